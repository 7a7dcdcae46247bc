//! bool, the integers (int2, int4, int8, oid, xid, cid, xid8) and the floats: a fixed number of
//! big-endian bytes. Called per value by the column decoders and parameter encoders.
//! PostgreSQL docs: datatype-numeric, "Numeric Types"; the binary form is the C type's, in network order.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// The server sends 0 or 1 and nothing else.
pub inline fn decodeBool(body: []const u8) DecodeError!bool {
    if (body.len != 1 or body[0] > 1) return error.InvalidValue;
    return body[0] == 1;
}

pub fn encodeBool(writer: *protocol.WriteBuffer, value: bool) EncodeError!void {
    try writer.writeByte(@intFromBool(value));
}

/// `T` is i16, i32, i64, u32 (oid, xid, cid) or u64 (xid8).
pub inline fn decodeInt(comptime T: type, body: []const u8) DecodeError!T {
    const size = @divExact(@typeInfo(T).int.bits, 8);
    if (body.len != size) return error.InvalidValue;
    return std.mem.readInt(T, body[0..size], .big);
}

pub fn encodeInt(comptime T: type, writer: *protocol.WriteBuffer, value: T) EncodeError!void {
    try writer.writeInt(T, value);
}

/// `T` is f32 or f64. The bits are kept: -0.0, infinities and NaN payloads too.
pub inline fn decodeFloat(comptime T: type, body: []const u8) DecodeError!T {
    return @bitCast(try decodeInt(@Int(.unsigned, @bitSizeOf(T)), body));
}

pub fn encodeFloat(comptime T: type, writer: *protocol.WriteBuffer, value: T) EncodeError!void {
    try writer.writeInt(@Int(.unsigned, @bitSizeOf(T)), @bitCast(value));
}

/// float8 to float4 as the server rounds: a finite value that becomes infinite, or a value other
/// than zero that becomes zero, is out of range.
pub fn encodeFloat4(writer: *protocol.WriteBuffer, value: f64) EncodeError!void {
    const narrow: f32 = @floatCast(value);
    if (std.math.isInf(narrow) and !std.math.isInf(value)) return error.OutOfRange;
    if (narrow == 0 and value != 0) return error.OutOfRange;
    try encodeFloat(f32, writer, narrow);
}

const testing = @import("testing.zig");
const hex = testing.hex;

test "bool is one byte, 0 or 1" {
    try std.testing.expectEqual(true, try decodeBool("\x01"));
    try std.testing.expectEqual(false, try decodeBool("\x00"));
    inline for (.{ "", "\x02", "\xff", "\x00\x00" }) |body| try std.testing.expectError(error.InvalidValue, decodeBool(body));
    try testing.expectEncoded(encodeBool, true, "\x01");
    try testing.expectEncoded(encodeBool, false, "\x00");
}

fn checkInt(comptime T: type, comptime rows: anytype) !void {
    const Codec = struct {
        fn decode(body: []const u8) DecodeError!T {
            return decodeInt(T, body);
        }
        fn encode(writer: *protocol.WriteBuffer, value: T) EncodeError!void {
            return encodeInt(T, writer, value);
        }
    };
    inline for (rows) |row| {
        try std.testing.expectEqual(@as(T, row[0]), try Codec.decode(hex(row[1])));
        try testing.checkBytes(Codec.decode, hex(row[1]));
        try testing.expectEncoded(Codec.encode, @as(T, row[0]), hex(row[1]));
    }
}

test "integers have exactly their size, extremes included" {
    try checkInt(i16, .{ .{ -32768, "8000" }, .{ 32767, "7fff" }, .{ -1, "ffff" }, .{ 0, "0000" } });
    try checkInt(i32, .{ .{ -2147483648, "80000000" }, .{ 2147483647, "7fffffff" }, .{ 42, "0000002a" } });
    try checkInt(i64, .{ .{ -9223372036854775808, "8000000000000000" }, .{ 9223372036854775807, "7fffffffffffffff" } });
    try checkInt(u32, .{ .{ 4294967295, "ffffffff" }, .{ 0, "00000000" } });
    try checkInt(u64, .{ .{ 18446744073709551615, "ffffffffffffffff" }, .{ 1, "0000000000000001" } });
}

test "floats keep their bits: -0.0, infinities, NaN, the smallest and the largest" {
    inline for (.{
        .{ f64, -0.0, "8000000000000000" },
        .{ f64, std.math.inf(f64), "7ff0000000000000" },
        .{ f64, -std.math.inf(f64), "fff0000000000000" },
        .{ f64, 1.5, "3ff8000000000000" },
        .{ f64, 5e-324, "0000000000000001" },
        .{ f64, 1.7976931348623157e308, "7fefffffffffffff" },
        .{ f32, 0.1, "3dcccccd" },
        .{ f32, -0.0, "80000000" },
        .{ f32, 3.4028235e38, "7f7fffff" },
        .{ f32, 1e-45, "00000001" },
    }) |row| {
        const T = row[0];
        const Bits = @Int(.unsigned, @bitSizeOf(T));
        const value: T = if (std.mem.startsWith(u8, row[2], "80")) -@as(T, 0) else row[1];
        try std.testing.expectEqual(@as(Bits, @bitCast(value)), @as(Bits, @bitCast(try decodeFloat(T, hex(row[2])))));
        try std.testing.expectError(error.InvalidValue, decodeFloat(T, hex(row[2])[1..]));
    }
    try std.testing.expect(std.math.isNan(try decodeFloat(f64, hex("7ff8000000000000"))));
    try std.testing.expect(std.math.isNan(try decodeFloat(f32, hex("7fc00000"))));
}

test "a float8 that a float4 cannot hold is out of range, not infinite or zero" {
    try testing.expectEncoded(encodeFloat4, @as(f64, 0.1), hex("3dcccccd"));
    try testing.expectEncoded(encodeFloat4, std.math.inf(f64), hex("7f800000"));
    try testing.expectEncoded(encodeFloat4, @as(f64, 0), hex("00000000"));
    try testing.expectEncodeError(error.OutOfRange, encodeFloat4, @as(f64, 1e39));
    try testing.expectEncodeError(error.OutOfRange, encodeFloat4, @as(f64, -1e-60));
}

fn fuzzScalars(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [16]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    if (decodeBool(body)) |_| try std.testing.expectEqual(1, body.len) else |_| {}
    inline for (.{ i16, i32, i64 }) |T| {
        if (decodeInt(T, body)) |value| {
            var again: [@sizeOf(T)]u8 = undefined;
            std.mem.writeInt(T, &again, value, .big);
            try std.testing.expectEqualSlices(u8, body, &again);
        } else |_| try std.testing.expect(body.len != @sizeOf(T));
    }
}

test "fuzz: scalars take their length and no other" {
    try std.testing.fuzz({}, fuzzScalars, .{});
}
