//! bit and varbit: an Int32 count of bits, then the bits, first one in the highest place, the last
//! byte filled up with zeros.
//! PostgreSQL docs: datatype-bit, "Bit String Types".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Bits = struct {
    count: usize,
    bytes: []const u8,

    pub fn at(self: Bits, index: usize) u1 {
        return @truncate(self.bytes[index / 8] >> @intCast(7 - index % 8));
    }
};

pub fn decode(body: []const u8) DecodeError!Bits {
    var cursor: Cursor = .init(body);
    const count = std.math.cast(u31, try cursor.int(i32)) orelse return error.InvalidValue;
    if (cursor.rest.len != (@as(usize, count) + 7) / 8) return error.InvalidValue;
    return .{ .count = count, .bytes = cursor.rest };
}

/// Exactly the bytes that `toText` writes: one per bit.
pub fn textLength(body: []const u8) DecodeError!usize {
    return (try decode(body)).count;
}

/// One `0` or `1` per bit. `out` has at least `textLength(body)` bytes.
pub fn toText(body: []const u8, out: []u8) DecodeError![]u8 {
    const bits = try decode(body);
    for (out[0..bits.count], 0..) |*byte, i| byte.* = '0' + @as(u8, bits.at(i));
    return out[0..bits.count];
}

/// Write the bits that a text of zeros and ones denotes; InvalidValue for any other character.
pub fn fromText(writer: *protocol.WriteBuffer, text: []const u8) EncodeError!void {
    try writer.writeInt(i32, std.math.cast(i32, text.len) orelse return error.OutOfRange);
    const bytes = try writer.addManyAsSlice((text.len + 7) / 8);
    @memset(bytes, 0);
    for (text, 0..) |byte, i| switch (byte) {
        '0' => {},
        '1' => bytes[i / 8] |= @as(u8, 0x80) >> @intCast(i % 8),
        else => return error.InvalidValue,
    };
}
