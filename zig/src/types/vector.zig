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
