//! CopyFail, 'f', frontend to backend. Ends a COPY IN by making it fail with our message.
//! PostgreSQL docs: protocol-message-formats, "CopyFail (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// `message`: comes back in the backend's ErrorResponse.
pub fn encode(writer: *WriteBuffer, message: []const u8) text.EncodeError!void {
    try text.check(message);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('f');
    try writer.writeCString(message);
    try writer.endMessage(mark);
}

/// What a scripted backend reads: the message.
pub fn decode(body: []const u8) DecodeError![]const u8 {
    var reader: Reader = .init(body);
    const message = try reader.takeCString();
    try reader.end();
    return message;
}

fn readAll(body: []const u8) DecodeError!void {
    _ = try decode(body);
}

test "CopyFail: one String" {
    const bytes = "f\x00\x00\x00\x0astopp\x00";
    const message: []const u8 = "stopp";
    try kit.expectWritten(bytes, encode, .{message});
    try kit.expectAllocationFailures(encode, .{message});
    const body = try kit.body('f', bytes);
    try std.testing.expectEqualStrings(message, try decode(body));
    try kit.expectPrefixesRefused(body, readAll);
    try kit.expectRefused(error.NulInString, encode, .{"a\x00b"});
}
