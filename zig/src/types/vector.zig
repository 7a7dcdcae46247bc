//! pgvector's vector and halfvec: a dimension count, an unused word, then float4s or half-precision floats.
//! pgvector's README, "Vector Type" and "Halfvec Type"; the binary form is vector_send's.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// `T` is f32 for vector, f16 for halfvec.
pub fn Vector(comptime T: type) type {
    return struct {
        bytes: []const u8,

        const Self = @This();
        const Bits = @Int(.unsigned, @bitSizeOf(T));

        pub fn len(self: Self) usize {
            return self.bytes.len / @sizeOf(T);
        }

        pub fn at(self: Self, index: usize) T {
            return @bitCast(std.mem.readInt(Bits, self.bytes[index * @sizeOf(T) ..][0..@sizeOf(T)], .big));
        }
    };
}

pub fn decode(comptime T: type, body: []const u8) DecodeError!Vector(T) {
    var cursor: Cursor = .init(body);
    const count = try cursor.int(u16);
    if (try cursor.int(u16) != 0) return error.InvalidValue;
    const bytes = try cursor.take(@as(usize, count) * @sizeOf(T));
    try cursor.finish();
    return .{ .bytes = bytes };
}

/// Write what stands before the elements; `element` follows `count` times.
pub fn begin(writer: *protocol.WriteBuffer, count: usize) EncodeError!void {
    try writer.writeInt(u16, std.math.cast(u16, count) orelse return error.OutOfRange);
    try writer.writeInt(u16, 0);
}

/// A finite value that becomes infinite in `T` is OutOfRange.
pub fn element(comptime T: type, writer: *protocol.WriteBuffer, value: f64) EncodeError!void {
    const narrow: T = @floatCast(value);
    if (std.math.isInf(narrow) and !std.math.isInf(value)) return error.OutOfRange;
    try writer.writeInt(@Int(.unsigned, @bitSizeOf(T)), @bitCast(narrow));
}

const testing = @import("testing.zig");
const hex = testing.hex;

fn decodeVector(body: []const u8) DecodeError!Vector(f32) {
    return decode(f32, body);
}

fn decodeHalf(body: []const u8) DecodeError!Vector(f16) {
    return decode(f16, body);
}

test "vectors, as vector_send and halfvec_send give them" {
    const single = hex("000300003f800000c020000040400000");
    const vector = try decodeVector(single);
    try std.testing.expectEqual(3, vector.len());
    try std.testing.expectEqual(-2.5, vector.at(1));
    try testing.checkBytes(decodeVector, single);
    const half = hex("000200003c00c100");
    try std.testing.expectEqual(-2.5, (try decodeHalf(half)).at(1));
    try testing.checkBytes(decodeHalf, half);
    try std.testing.expectError(error.InvalidValue, decodeVector(hex("000000010000")));
}

fn encodeHalf(writer: *protocol.WriteBuffer, values: []const f64) EncodeError!void {
    try begin(writer, values.len);
    for (values) |value| try element(f16, writer, value);
}

fn encodeVector(writer: *protocol.WriteBuffer, values: []const f64) EncodeError!void {
    try begin(writer, values.len);
    for (values) |value| try element(f32, writer, value);
}

test "an element that the type cannot hold is out of range" {
    try testing.expectEncoded(encodeVector, @as([]const f64, &.{ 1, -2.5, 3 }), hex("000300003f800000c020000040400000"));
    try testing.expectEncoded(encodeHalf, @as([]const f64, &.{ 1, -2.5 }), hex("000200003c00c100"));
    try testing.expectEncodeError(error.OutOfRange, encodeHalf, @as([]const f64, &.{70_000}));
    try testing.expectEncodeError(error.OutOfRange, encodeVector, @as([]const f64, &.{1e39}));
}

fn fuzzVector(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [64]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    const vector = decodeVector(body) catch return;
    try std.testing.expectEqual(body.len, 4 + vector.len() * 4);
}

test "fuzz: a vector has as many elements as it says" {
    try std.testing.fuzz({}, fuzzVector, .{});
}
