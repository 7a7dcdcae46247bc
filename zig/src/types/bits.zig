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

const testing = @import("testing.zig");
const hex = testing.hex;

/// Text and bytes from the server's varbit_out and varbit_send.
const rows = .{
    .{ "", "00000000" },
    .{ "1", "0000000180" },
    .{ "0", "0000000100" },
    .{ "10110", "00000005b0" },
    .{ "11111111", "00000008ff" },
    .{ "101100111", "00000009b380" },
    .{ "0000000000000001", "000000100001" },
};

test "bit strings, as the server sends them, both ways" {
    var out: [64]u8 = undefined;
    inline for (rows) |row| {
        const body = hex(row[1]);
        try std.testing.expectEqual(row[0].len, try textLength(body));
        try std.testing.expectEqualStrings(row[0], try toText(body, &out));
        try testing.expectEncoded(fromText, @as([]const u8, row[0]), body);
        try testing.checkBytes(decode, body);
    }
}

test "a bit count that is not the bytes' is an error" {
    inline for (.{ "0000000980", "00000008", "ffffffff", "7fffffffff", "0000000000" }) |bad| {
        try std.testing.expectError(error.InvalidValue, textLength(hex(bad)));
    }
    inline for (.{ "2", "01x", " 1", "0b1" }) |bad| {
        try testing.expectEncodeError(error.InvalidValue, fromText, @as([]const u8, bad));
    }
}

fn fuzzBits(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [32]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    var out: [256]u8 = undefined;
    const length = textLength(body) catch return;
    const printed = try toText(body, &out);
    try std.testing.expectEqual(length, printed.len);
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try fromText(&writer, printed);
    // Bits behind the last one are not part of the value.
    try std.testing.expectEqual(body.len, writer.bytes.items.len);
    try std.testing.expectEqualStrings(printed, try toText(writer.bytes.items, out[0..]));
}

test "fuzz: a bit string's text denotes the same bits" {
    try std.testing.fuzz({}, fuzzBits, .{});
}
