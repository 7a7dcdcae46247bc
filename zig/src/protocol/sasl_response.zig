//! SASLResponse, 'p', frontend to backend. Answers AuthenticationSASLContinue; all of the body is
//! the mechanism's own data.
//! PostgreSQL docs: protocol-message-formats, "SASLResponse (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub fn encode(writer: *WriteBuffer, data: []const u8) WriteBuffer.Error!void {
    try text.checkSize(data);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('p');
    try writer.writeBytes(data);
    try writer.endMessage(mark);
}

/// What a scripted backend reads: the body itself.
pub fn decode(body: []const u8) []const u8 {
    return body;
}

test "SASLResponse: the data and nothing else" {
    const table = [_]struct { []const u8, []const u8 }{
        .{ "p\x00\x00\x00\x04", "" },
        .{ "p\x00\x00\x00\x0ac=biws", "c=biws" },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], encode, .{case[1]});
        try std.testing.expectEqualStrings(case[1], decode(try kit.body('p', case[0])));
        try kit.expectAllocationFailures(encode, .{case[1]});
    }
}
