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

const testing = @import("testing.zig");
const hex = testing.hex;

fn check(comptime T: type, value: T, comptime bytes: []const u8) !void {
    const Codec = struct {
        fn decodeOne(body: []const u8) DecodeError!T {
            return decode(T, body);
        }
        fn encodeOne(writer: *protocol.WriteBuffer, each: T) EncodeError!void {
            return encode(writer, each);
        }
    };
    try std.testing.expectEqual(value, try Codec.decodeOne(hex(bytes)));
    try testing.expectEncoded(Codec.encodeOne, value, hex(bytes));
    try testing.checkBytes(Codec.decodeOne, hex(bytes));
}

const one = "3ff0000000000000";
const two = "4000000000000000";
const three = "4008000000000000";
const four = "4010000000000000";

test "types of a fixed number of coordinates, as the server sends them" {
    try check(Point, .{ .x = 1, .y = -2 }, one ++ "c000000000000000");
    try check(Line, .{ .a = 1, .b = 2, .c = 3 }, one ++ two ++ three);
    try check(Lseg, .{ .start = .{ .x = 1, .y = 2 }, .end = .{ .x = 3, .y = 4 } }, one ++ two ++ three ++ four);
    try check(Box, .{ .high = .{ .x = 3, .y = 4 }, .low = .{ .x = 1, .y = 2 } }, three ++ four ++ one ++ two);
    try check(Circle, .{ .center = .{ .x = 1, .y = 2 }, .radius = 3 }, one ++ two ++ three);
}

test "paths and polygons count their points" {
    const open = hex("00" ++ "00000002" ++ one ++ two ++ three ++ four);
    const path = try decodePath(open);
    try std.testing.expect(!path.closed);
    try std.testing.expectEqual(2, path.points.len());
    try std.testing.expectEqual(Point{ .x = 3, .y = 4 }, path.points.at(1));
    try testing.checkBytes(decodePath, open);
    const closed = hex("01" ++ "00000001" ++ one ++ two);
    try std.testing.expect((try decodePath(closed)).closed);
    try testing.checkBytes(decodePath, closed);
    const polygon = hex("00000003" ++ one ++ two ++ three ++ four ++ "4014000000000000" ++ "4018000000000000");
    try std.testing.expectEqual(Point{ .x = 5, .y = 6 }, (try decodePolygon(polygon)).at(2));
    try testing.checkBytes(decodePolygon, polygon);
}

test "a point count beyond the bytes is an error" {
    inline for (.{ "7fffffff", "ffffffff", "00000001" ++ one }) |bad| {
        try std.testing.expectError(error.InvalidValue, decodePolygon(hex(bad)));
    }
    try std.testing.expectError(error.InvalidValue, decodePath(hex("02" ++ "00000001" ++ one ++ two)));
}

fn encodePath(writer: *protocol.WriteBuffer, closed: bool) EncodeError!void {
    try beginPath(writer, closed, 1);
    try encode(writer, Point{ .x = 1, .y = 2 });
}

fn encodeEmpty(writer: *protocol.WriteBuffer, _: void) EncodeError!void {
    try beginPolygon(writer, 0);
}

test "an encoded path is what the server would have sent, and never empty" {
    try testing.expectEncoded(encodePath, true, hex("01" ++ "00000001" ++ one ++ two));
    try testing.expectEncoded(encodePath, false, hex("00" ++ "00000001" ++ one ++ two));
    try testing.expectEncodeError(error.InvalidValue, encodeEmpty, {});
}

fn fuzzGeometric(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    const path = decodePath(body) catch return;
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    beginPath(&writer, path.closed, path.points.len()) catch return;
    for (0..path.points.len()) |i| try encode(&writer, path.points.at(i));
    try std.testing.expectEqualSlices(u8, body, writer.bytes.items);
}

test "fuzz: a path that decodes encodes to the same bytes" {
    try std.testing.fuzz({}, fuzzGeometric, .{});
}
