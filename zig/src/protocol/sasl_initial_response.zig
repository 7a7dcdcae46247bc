//! SASLInitialResponse, 'p', frontend to backend. Answers AuthenticationSASL: the mechanism chosen
//! and the client's first message.
//! PostgreSQL docs: protocol-message-formats, "SASLInitialResponse (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// `data`: the client-first-message; null where the mechanism has none, sent as the length -1.
pub fn encode(writer: *WriteBuffer, mechanism: []const u8, data: ?[]const u8) text.EncodeError!void {
    try text.check(mechanism);
    if (data) |bytes| try text.checkSize(bytes);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('p');
    try writer.writeCString(mechanism);
    if (data) |bytes| {
        const value = try writer.beginValue();
        try writer.writeBytes(bytes);
        try writer.endValue(value);
    } else {
        try writer.writeNull();
    }
    try writer.endMessage(mark);
}

/// What a scripted backend reads.
pub const SASLInitialResponse = struct {
    mechanism: []const u8,
    data: ?[]const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!SASLInitialResponse {
        var reader: Reader = .init(body);
        const mechanism = try reader.takeCString();
        const data = try reader.takeValue();
        try reader.end();
        return .{ .mechanism = mechanism, .data = data };
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try SASLInitialResponse.decode(body);
}

test "SASLInitialResponse: mechanism and first message, which may be missing" {
    const table = [_]struct { []const u8, []const u8, ?[]const u8 }{
        .{ "p\x00\x00\x00\x20SCRAM-SHA-256\x00\x00\x00\x00\x0an,,n=,r=ab", "SCRAM-SHA-256", "n,,n=,r=ab" },
        .{ "p\x00\x00\x00\x0aM\x00\x00\x00\x00\x00", "M", "" },
        .{ "p\x00\x00\x00\x0aM\x00\xff\xff\xff\xff", "M", null },
    };
    for (table) |case| {
        const bytes, const mechanism, const data = case;
        try kit.expectWritten(bytes, encode, .{ mechanism, data });
        const body = try kit.body('p', bytes);
        const message: SASLInitialResponse = try .decode(body);
        try std.testing.expectEqualStrings(mechanism, message.mechanism);
        try std.testing.expectEqualDeep(data, message.data);
        try kit.expectPrefixesRefused(body, readAll);
        try kit.expectAllocationFailures(encode, .{ mechanism, data });
    }
    try kit.expectRefused(error.NulInString, encode, .{ "SCRAM\x00", @as(?[]const u8, null) });
}
