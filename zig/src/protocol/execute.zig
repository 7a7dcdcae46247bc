//! Execute, 'E', frontend to backend. Runs a portal, to its end or for a number of rows.
//! PostgreSQL docs: protocol-message-formats, "Execute (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// `portal`: empty for the unnamed one. `row_limit`: 0 for all rows; the backend reads it as signed,
/// so anything above the largest Int32 means all rows to it too and is refused here.
pub fn encode(writer: *WriteBuffer, portal: []const u8, row_limit: u31) text.EncodeError!void {
    try text.check(portal);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('E');
    try writer.writeCString(portal);
    try writer.writeInt(u32, row_limit);
    try writer.endMessage(mark);
}

/// What a scripted backend reads.
pub const Execute = struct {
    portal: []const u8,
    row_limit: i32,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!Execute {
        var reader: Reader = .init(body);
        const portal = try reader.takeCString();
        const row_limit = try reader.takeInt(i32);
        try reader.end();
        return .{ .portal = portal, .row_limit = row_limit };
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try Execute.decode(body);
}

test "Execute: a portal and a row limit" {
    const table = [_]struct { []const u8, []const u8, u31 }{
        .{ "E\x00\x00\x00\x09\x00\x00\x00\x00\x00", "", 0 },
        .{ "E\x00\x00\x00\x0bp1\x00\x00\x00\x03\xe8", "p1", 1000 },
        .{ "E\x00\x00\x00\x09\x00\x7f\xff\xff\xff", "", std.math.maxInt(i32) },
    };
    for (table) |case| {
        const bytes, const portal, const row_limit = case;
        try kit.expectWritten(bytes, encode, .{ portal, row_limit });
        try kit.expectAllocationFailures(encode, .{ portal, row_limit });
        const body = try kit.body('E', bytes);
        try std.testing.expectEqualDeep(Execute{ .portal = portal, .row_limit = row_limit }, try Execute.decode(body));
        try kit.expectPrefixesRefused(body, readAll);
    }
    try kit.expectRefused(error.NulInString, encode, .{ "p\x00", @as(u31, 0) });
}
