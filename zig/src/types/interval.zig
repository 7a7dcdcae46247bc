//! interval: months, days and microseconds, three numbers that do not convert into each other.
//! PostgreSQL docs: datatype-datetime, "Interval Input".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Interval = struct {
    months: i32,
    days: i32,
    microseconds: i64,

    /// Since PostgreSQL 17 all fields at their largest or smallest mean an infinity; before, and
    /// to us when encoding, they are a value like any other.
    pub const infinity: Interval = .{
        .months = std.math.maxInt(i32),
        .days = std.math.maxInt(i32),
        .microseconds = std.math.maxInt(i64),
    };
    pub const negative_infinity: Interval = .{
        .months = std.math.minInt(i32),
        .days = std.math.minInt(i32),
        .microseconds = std.math.minInt(i64),
    };

    pub fn isInfinite(self: Interval) bool {
        return std.meta.eql(self, infinity) or std.meta.eql(self, negative_infinity);
    }
};

pub fn decode(body: []const u8) DecodeError!Interval {
    var cursor: Cursor = .init(body);
    const microseconds = try cursor.int(i64);
    const days = try cursor.int(i32);
    const months = try cursor.int(i32);
    try cursor.finish();
    return .{ .months = months, .days = days, .microseconds = microseconds };
}

pub fn encode(writer: *protocol.WriteBuffer, value: Interval) EncodeError!void {
    try writer.writeInt(i64, value.microseconds);
    try writer.writeInt(i32, value.days);
    try writer.writeInt(i32, value.months);
}

const testing = @import("testing.zig");
const hex = testing.hex;

test "intervals keep months, days and microseconds apart" {
    const rows = .{
        .{ 1, 0, 0, "00000000000000000000000000000001" },
        .{ 0, -1, 0, "0000000000000000ffffffff00000000" },
        .{ 14, 3, 14_706_789_000, "000000036c97ca88000000030000000e" },
        .{ -2_136_000_000, 0, 0, "00000000000000000000000080af3a00" },
        .{ 0, 2_147_483_647, 0, "00000000000000007fffffff00000000" },
    };
    inline for (rows) |row| {
        const value: Interval = .{ .months = row[0], .days = row[1], .microseconds = row[2] };
        try std.testing.expectEqual(value, try decode(hex(row[3])));
        try testing.expectEncoded(encode, value, hex(row[3]));
        try testing.checkBytes(decode, hex(row[3]));
        try std.testing.expect(!value.isInfinite());
    }
}

test "the infinities are the extremes of all three fields" {
    try std.testing.expectEqual(Interval.infinity, try decode(hex("7fffffffffffffff7fffffff7fffffff")));
    try std.testing.expectEqual(Interval.negative_infinity, try decode(hex("80000000000000008000000080000000")));
    try std.testing.expect((try decode(hex("7fffffffffffffff7fffffff7fffffff"))).isInfinite());
    try std.testing.expect((try decode(hex("80000000000000008000000080000000"))).isInfinite());
    try std.testing.expect(!(try decode(hex("7fffffffffffffff7fffffff7ffffffe"))).isInfinite());
}

fn fuzzInterval(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [20]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    if (decode(body)) |value| try testing.expectEncoded(encode, value, body) else |_| try std.testing.expect(body.len != 16);
}

test "fuzz: any sixteen bytes are an interval" {
    try std.testing.fuzz({}, fuzzInterval, .{});
}
