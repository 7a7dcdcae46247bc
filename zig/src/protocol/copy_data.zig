//! CopyData, 'd', both ways: a piece of a COPY. From the backend it is one row; from the frontend
//! it may be cut anywhere.
//! PostgreSQL docs: protocol-flow, "COPY Operations".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub fn encode(writer: *WriteBuffer, data: []const u8) WriteBuffer.Error!void {
    try text.checkSize(data);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('d');
    try writer.writeBytes(data);
    try writer.endMessage(mark);
}

/// `body`: the bytes after the length word; all of them are data. Borrowed.
pub fn decode(body: []const u8) []const u8 {
    return body;
}

test "CopyData: the data and nothing else" {
    const table = [_]struct { []const u8, []const u8 }{
        .{ "d\x00\x00\x00\x04", "" },
        .{ "d\x00\x00\x00\x091\tab\n", "1\tab\n" },
        .{ "d\x00\x00\x00\x06\x00\xff", "\x00\xff" },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], encode, .{case[1]});
        try std.testing.expectEqualStrings(case[1], decode(try kit.body('d', case[0])));
        try kit.expectAllocationFailures(encode, .{case[1]});
    }
    const byte: [*]const u8 = "x";
    try kit.expectRefused(error.MessageTooLong, encode, .{byte[0..std.math.maxInt(u31)]});
}
