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
