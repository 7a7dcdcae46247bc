//! macaddr and macaddr8: six or eight bytes, printed as hex pairs with colons between.
//! PostgreSQL docs: datatype-net-types, "macaddr" and "macaddr8".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// `size` is 6 for macaddr, 8 for macaddr8.
pub fn decode(comptime size: usize, body: []const u8) DecodeError![size]u8 {
    if (body.len != size) return error.InvalidValue;
    return body[0..size].*;
}

pub fn encode(comptime size: usize, writer: *protocol.WriteBuffer, value: [size]u8) EncodeError!void {
    try writer.writeBytes(&value);
}

pub fn toText(comptime size: usize, body: []const u8, out: *[size * 3 - 1]u8) DecodeError![]u8 {
    const bytes = try decode(size, body);
    for (bytes, 0..) |byte, i| {
        if (i != 0) out[i * 3 - 1] = ':';
        out[i * 3 ..][0..2].* = std.fmt.hex(byte);
    }
    return out;
}

const testing = @import("testing.zig");
const hex = testing.hex;

fn text(comptime size: usize) fn ([]const u8) DecodeError![size * 3 - 1]u8 {
    return struct {
        fn decodeText(body: []const u8) DecodeError![size * 3 - 1]u8 {
            var out: [size * 3 - 1]u8 = undefined;
            _ = try toText(size, body, &out);
            return out;
        }
    }.decodeText;
}

test "hardware addresses print in lower case with colons" {
    try std.testing.expectEqualStrings("08:00:2b:01:02:03", &try text(6)(hex("08002b010203")));
    try std.testing.expectEqualStrings("ff:ff:ff:ff:ff:ff", &try text(6)(hex("ffffffffffff")));
    try std.testing.expectEqualStrings("08:00:2b:01:02:03:04:05", &try text(8)(hex("08002b0102030405")));
    try testing.checkBytes(text(6), hex("08002b010203"));
    try testing.checkBytes(text(8), hex("08002b0102030405"));
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try encode(6, &writer, hex("08002b010203").*);
    try std.testing.expectEqualSlices(u8, hex("08002b010203"), writer.bytes.items);
}
