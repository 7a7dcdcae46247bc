//! Query, 'Q', frontend to backend. One string of SQL, possibly several statements, no parameters.
//! PostgreSQL docs: protocol-flow, "Simple Query".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub fn encode(writer: *WriteBuffer, sql: []const u8) text.EncodeError!void {
    try text.check(sql);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('Q');
    try writer.writeCString(sql);
    try writer.endMessage(mark);
}

/// What a scripted backend reads: the SQL.
pub fn decode(body: []const u8) DecodeError![]const u8 {
    var reader: Reader = .init(body);
    const sql = try reader.takeCString();
    try reader.end();
    return sql;
}

fn readAll(body: []const u8) DecodeError!void {
    _ = try decode(body);
}

test "Query: one String" {
    const table = [_]struct { []const u8, []const u8 }{
        .{ "Q\x00\x00\x00\x05\x00", "" },
        .{ "Q\x00\x00\x00\x0dselect 1\x00", "select 1" },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], encode, .{case[1]});
        const body = try kit.body('Q', case[0]);
        try std.testing.expectEqualStrings(case[1], try decode(body));
        try kit.expectPrefixesRefused(body, readAll);
        try kit.expectAllocationFailures(encode, .{case[1]});
    }
    try kit.expectRefused(error.NulInString, encode, .{"select 1\x00; drop table t"});
}
