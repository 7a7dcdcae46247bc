//! pg_lsn: a place in the write-ahead log, an unsigned 64-bit byte position, printed as two hex halves.
//! PostgreSQL docs: datatype-pg-lsn, "pg_lsn Type".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const scalar = @import("scalar.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// `FFFFFFFF/FFFFFFFF`.
pub const text_max = 17;

pub fn decode(body: []const u8) DecodeError!u64 {
    return scalar.decodeInt(u64, body);
}

pub fn encode(writer: *protocol.WriteBuffer, value: u64) EncodeError!void {
    try writer.writeInt(u64, value);
}

pub fn toText(body: []const u8, out: *[text_max]u8) DecodeError![]u8 {
    const lsn = try decode(body);
    return std.fmt.bufPrint(out, "{X}/{X}", .{ lsn >> 32, @as(u32, @truncate(lsn)) }) catch unreachable; // two u32 fit
}

/// Two halves of one to eight hex digits with a slash between.
pub fn fromText(writer: *protocol.WriteBuffer, text: []const u8) EncodeError!void {
    const slash = std.mem.findScalar(u8, text, '/') orelse return error.InvalidValue;
    const high = try parseHalf(text[0..slash]);
    const low = try parseHalf(text[slash + 1 ..]);
    try encode(writer, @as(u64, high) << 32 | low);
}

fn parseHalf(text: []const u8) error{InvalidValue}!u32 {
    if (text.len == 0 or text.len > 8) return error.InvalidValue;
    var half: u32 = 0;
    for (text) |byte| half = half << 4 | (std.fmt.charToDigit(byte, 16) catch return error.InvalidValue);
    return half;
}

const testing = @import("testing.zig");
const hex = testing.hex;

fn fixedText(body: []const u8) DecodeError![text_max]u8 {
    var out: [text_max]u8 = @splat(0);
    _ = try toText(body, &out);
    return out;
}

test "log positions print as two hex halves, and come back" {
    inline for (.{
        .{ "0/0", "0000000000000000" },
        .{ "16/B374D848", "00000016b374d848" },
        .{ "FFFFFFFF/FFFFFFFF", "ffffffffffffffff" },
        .{ "1/A", "000000010000000a" },
    }) |row| {
        var out: [text_max]u8 = undefined;
        try std.testing.expectEqualStrings(row[0], try toText(hex(row[1]), &out));
        try testing.expectEncoded(fromText, @as([]const u8, row[0]), hex(row[1]));
        try testing.checkBytes(fixedText, hex(row[1]));
    }
    try testing.expectEncoded(fromText, @as([]const u8, "1/a"), hex("000000010000000a"));
}

test "text that is no log position is invalid" {
    inline for (.{ "", "/", "1", "1/", "/1", "123456789/0", "0/123456789", "g/0", "-1/0", "1/0/0", "1_0/0" }) |bad| {
        try testing.expectEncodeError(error.InvalidValue, fromText, @as([]const u8, bad));
    }
}

fn fuzzLsn(_: void, smith: *std.testing.Smith) anyerror!void {
    var body: [8]u8 = undefined;
    smith.bytes(&body);
    var out: [text_max]u8 = undefined;
    try testing.expectEncoded(fromText, @as([]const u8, try toText(&body, &out)), &body);
}

test "fuzz: a log position's text denotes the same position" {
    try std.testing.fuzz({}, fuzzLsn, .{});
}
