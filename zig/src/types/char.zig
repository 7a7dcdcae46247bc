//! The one-byte type `"char"`, which the catalogs use: any byte, zero meaning empty.
//! PostgreSQL docs: datatype-character, "Special Character Types".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// `\377`.
pub const text_max = 4;

pub fn decode(body: []const u8) DecodeError!u8 {
    if (body.len != 1) return error.InvalidValue;
    return body[0];
}

pub fn encode(writer: *protocol.WriteBuffer, value: u8) EncodeError!void {
    try writer.writeByte(value);
}

/// Empty for zero, the character below 0x80, from there on a backslash and three octal digits, as
/// servers since 16 print it. Older ones print the bare byte, which is no character in UTF-8.
pub fn toText(body: []const u8, out: *[text_max]u8) DecodeError![]u8 {
    const byte = try decode(body);
    if (byte == 0) return out[0..0];
    if (byte < 0x80) {
        out[0] = byte;
        return out[0..1];
    }
    out.* = .{ '\\', '0' + (byte >> 6), '0' + (byte >> 3 & 7), '0' + (byte & 7) };
    return out;
}

/// The inverse of `toText`: nothing, one ASCII character, or a backslash and three octal digits.
pub fn fromText(writer: *protocol.WriteBuffer, text: []const u8) EncodeError!void {
    if (text.len == 0) return encode(writer, 0);
    if (text.len == 1 and text[0] < 0x80) return encode(writer, text[0]);
    if (text.len != text_max or text[0] != '\\') return error.InvalidValue;
    var value: u16 = 0;
    for (text[1..]) |byte| value = value << 3 | (std.fmt.charToDigit(byte, 8) catch return error.InvalidValue);
    try encode(writer, std.math.cast(u8, value) orelse return error.InvalidValue);
}

const testing = @import("testing.zig");
const hex = testing.hex;

/// Text and bytes from the server's charout and charsend.
const rows = .{
    .{ "a", "61" },
    .{ "", "00" },
    .{ "\\377", "ff" },
    .{ "\\200", "80" },
    .{ "~", "7e" },
    .{ " ", "20" },
};

test "one byte, as the server prints it, both ways" {
    var out: [text_max]u8 = undefined;
    inline for (rows) |row| {
        try std.testing.expectEqualStrings(row[0], try toText(hex(row[1]), &out));
        try testing.expectEncoded(fromText, @as([]const u8, row[0]), hex(row[1]));
        try testing.checkBytes(decode, hex(row[1]));
    }
}

test "every byte comes back from its text" {
    for (0..256) |i| {
        const byte: u8 = @intCast(i);
        var out: [text_max]u8 = undefined;
        try testing.expectEncoded(fromText, @as([]const u8, try toText(&.{byte}, &out)), &.{byte});
    }
}

test "text that is not one byte is invalid" {
    inline for (.{ "ab", "\xc3\xa9", "\\400", "\\38", "\\ab1", "\\0000", "\xff" }) |bad| {
        try testing.expectEncodeError(error.InvalidValue, fromText, @as([]const u8, bad));
    }
}
