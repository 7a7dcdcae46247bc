//! Parse, 'P', frontend to backend. Makes a prepared statement from one SQL text.
//! PostgreSQL docs: protocol-message-formats, "Parse (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const Error = text.EncodeError || error{TooManyParameters};

/// `name`: empty for the unnamed statement. `parameter_oids`: 0, or a slice shorter than the number
/// of placeholders, leaves the type to the backend.
pub fn encode(writer: *WriteBuffer, name: []const u8, sql: []const u8, parameter_oids: []const u32) Error!void {
    const count = std.math.cast(u16, parameter_oids.len) orelse return error.TooManyParameters;
    try text.check(name);
    try text.check(sql);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('P');
    try writer.writeCString(name);
    try writer.writeCString(sql);
    try writer.writeInt(u16, count);
    for (parameter_oids) |oid| try writer.writeInt(u32, oid);
    try writer.endMessage(mark);
}

/// What a scripted backend reads; `next` gives the OIDs.
pub const Parse = struct {
    name: []const u8,
    sql: []const u8,
    count: u16,
    reader: Reader,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!Parse {
        var reader: Reader = .init(body);
        const name = try reader.takeCString();
        const sql = try reader.takeCString();
        const count = try reader.takeInt(u16);
        if (reader.rest.len < @as(usize, count) * 4) return error.MessageTooShort;
        if (reader.rest.len > @as(usize, count) * 4) return error.MessageTooLong;
        return .{ .name = name, .sql = sql, .count = count, .reader = reader };
    }

    pub fn next(self: *Parse) ?u32 {
        return self.reader.takeInt(u32) catch null;
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try Parse.decode(body);
}

test "Parse: name, SQL, parameter types" {
    const table = [_]struct { []const u8, []const u8, []const u8, []const u32 }{
        .{ "P\x00\x00\x00\x08\x00\x00\x00\x00", "", "", &.{} },
        .{ "P\x00\x00\x00\x1bs1\x00select $1\x00\x00\x02\x00\x00\x00\x17\x00\x00\x00\x00", "s1", "select $1", &.{ 23, 0 } },
    };
    for (table) |case| {
        const bytes, const name, const sql, const parameter_oids = case;
        try kit.expectWritten(bytes, encode, .{ name, sql, parameter_oids });
        try kit.expectAllocationFailures(encode, .{ name, sql, parameter_oids });
        const body = try kit.body('P', bytes);
        var message: Parse = try .decode(body);
        try std.testing.expectEqualStrings(name, message.name);
        try std.testing.expectEqualStrings(sql, message.sql);
        for (parameter_oids) |oid| try std.testing.expectEqual(oid, message.next());
        try std.testing.expectEqual(null, message.next());
        try kit.expectPrefixesRefused(body, readAll);
    }
}

test "Parse: NUL in the name or the SQL, and a 65536th parameter, are refused" {
    const none: []const u32 = &.{};
    try kit.expectRefused(error.NulInString, encode, .{ "s\x00", "select 1", none });
    try kit.expectRefused(error.NulInString, encode, .{ "s", "select 1\x00", none });
    const oids: [65536]u32 = @splat(25);
    try kit.expectRefused(error.TooManyParameters, encode, .{ "s", "select 1", @as([]const u32, &oids) });
    var writer: WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try encode(&writer, "", "", oids[0..65535]);
    try std.testing.expectEqual(5 + 2 + 2 + 65535 * 4, writer.len());
}
