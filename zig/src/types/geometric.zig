//! The geometric types: every coordinate a float8, paths and polygons with a count before their points.
//! PostgreSQL docs: datatype-geometric, "Geometric Types".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Point = struct { x: f64, y: f64 };
/// Ax + By + C = 0.
pub const Line = struct { a: f64, b: f64, c: f64 };
pub const Lseg = struct { start: Point, end: Point };
/// `high` is the upper right corner, `low` the lower left.
pub const Box = struct { high: Point, low: Point };
pub const Circle = struct { center: Point, radius: f64 };

/// `points`: 16 bytes each; read them through `at`.
pub const Points = struct {
    bytes: []const u8,

    pub fn len(self: Points) usize {
        return self.bytes.len / point_size;
    }

    pub fn at(self: Points, index: usize) Point {
        const bytes = self.bytes[index * point_size ..][0..point_size];
        return .{ .x = @bitCast(std.mem.readInt(u64, bytes[0..8], .big)), .y = @bitCast(std.mem.readInt(u64, bytes[8..16], .big)) };
    }
};

pub const Path = struct { closed: bool, points: Points };

const point_size = 16;

/// `T` is Point, Line, Lseg, Box or Circle: nothing but float8 fields, in the order they are sent.
pub fn decode(comptime T: type, body: []const u8) DecodeError!T {
    var cursor: Cursor = .init(body);
    const value = try take(T, &cursor);
    try cursor.finish();
    return value;
}

fn take(comptime T: type, cursor: *Cursor) DecodeError!T {
    if (T == f64) return cursor.float(f64);
    var value: T = undefined;
    inline for (@typeInfo(T).@"struct".field_names) |name| {
        @field(value, name) = try take(@FieldType(T, name), cursor);
    }
    return value;
}

/// `value` is a Point, Line, Lseg, Box or Circle.
pub fn encode(writer: *protocol.WriteBuffer, value: anytype) EncodeError!void {
    const T = @TypeOf(value);
    if (T == f64) return writer.writeInt(u64, @bitCast(value));
    inline for (@typeInfo(T).@"struct".field_names) |name| try encode(writer, @field(value, name));
}

pub fn decodePath(body: []const u8) DecodeError!Path {
    var cursor: Cursor = .init(body);
    const closed = try cursor.int(u8);
    if (closed > 1) return error.InvalidValue;
    return .{ .closed = closed == 1, .points = try takePoints(&cursor) };
}

pub fn decodePolygon(body: []const u8) DecodeError!Points {
    var cursor: Cursor = .init(body);
    return takePoints(&cursor);
}

fn takePoints(cursor: *Cursor) DecodeError!Points {
    const count = try cursor.count(point_size);
    const points: Points = .{ .bytes = try cursor.take(count * point_size) };
    try cursor.finish();
    return points;
}

/// Write what stands before a path's points; each follows through `encode`.
pub fn beginPath(writer: *protocol.WriteBuffer, closed: bool, count: usize) EncodeError!void {
    try writer.writeByte(@intFromBool(closed));
    try beginPolygon(writer, count);
}

pub fn beginPolygon(writer: *protocol.WriteBuffer, count: usize) EncodeError!void {
    if (count == 0) return error.InvalidValue; // path_recv and poly_recv refuse it
    try writer.writeInt(i32, std.math.cast(i32, count) orelse return error.OutOfRange);
}
