//! numeric: base-10000 digit groups to decimal text as the server prints it. The way back is in
//! numeric_encode.zig.
//! PostgreSQL docs: datatype-numeric, "Arbitrary Precision Numbers"; the binary form is numeric_send's:
//! group count, weight of the first group, sign, display scale, groups.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const DecodeError = errors.DecodeError;

pub const fromText = @import("numeric_encode.zig").fromText;
pub const fromInt = @import("numeric_encode.zig").fromInt;

const header_size = 8;
/// Digits behind the point that a numeric can hold: the display scale has 14 bits.
pub const scale_max = 16_383;
/// Digits before the point.
pub const integer_digits_max = 131_072;

pub const sign_positive = 0x0000;
pub const sign_negative = 0x4000;
pub const sign_nan = 0xC000;
pub const sign_infinity = 0xD000;
pub const sign_negative_infinity = 0xF000;

const Finite = struct {
    negative: bool,
    /// Exponent of the first group in base 10000.
    weight: i32,
    scale: u32,
    /// Two bytes each, every one below 10000.
    groups: []const u8,

    fn count(self: *const Finite) i32 {
        return @intCast(self.groups.len / 2);
    }

    /// The group at `index`, zero on both sides of those that are there.
    inline fn at(self: *const Finite, index: i32) u16 {
        if (index < 0 or index >= self.count()) return 0;
        return std.mem.readInt(u16, self.groups[@as(usize, @intCast(index)) * 2 ..][0..2], .big);
    }
};

const Value = union(enum) { special: []const u8, finite: Finite };

fn parse(body: []const u8) DecodeError!Value {
    if (body.len < header_size) return error.InvalidValue;
    const group_count = std.mem.readInt(u16, body[0..2], .big);
    const sign = std.mem.readInt(u16, body[4..6], .big);
    const scale = std.mem.readInt(u16, body[6..8], .big);
    const groups = body[header_size..];
    if (groups.len != @as(usize, group_count) * 2) return error.InvalidValue;
    // Weight and scale of the special values are leftovers of their header bits.
    if (sign != sign_positive and sign != sign_negative) {
        if (group_count != 0) return error.InvalidValue;
        return .{ .special = switch (sign) {
            sign_nan => "NaN",
            sign_infinity => "Infinity",
            sign_negative_infinity => "-Infinity",
            else => return error.InvalidValue,
        } };
    }
    if (scale > scale_max) return error.InvalidValue;
    var i: usize = 0;
    while (i < groups.len) : (i += 2) {
        if (std.mem.readInt(u16, groups[i..][0..2], .big) > 9999) return error.InvalidValue;
    }
    return .{ .finite = .{
        .negative = sign == sign_negative,
        .weight = std.mem.readInt(i16, body[2..4], .big),
        .scale = scale,
        .groups = groups,
    } };
}

/// Room that `toText` needs, a few bytes more than it uses. At most 147 468.
pub fn textLength(body: []const u8) DecodeError!usize {
    return switch (try parse(body)) {
        .special => |text| text.len,
        .finite => |finite| finiteLength(&finite),
    };
}

fn finiteLength(finite: *const Finite) usize {
    const integer_groups: usize = @intCast(@max(finite.weight + 1, 1));
    // Sign and point, and whole groups are written even where fewer digits count.
    return 2 + integer_groups * 4 + finite.scale + 4;
}

/// As `toText`, written behind what is there; a value that is no number is not written, but returned as a word.
pub fn write(writer: *protocol.WriteBuffer, body: []const u8) (error{OutOfMemory} || DecodeError)!?[]const u8 {
    switch (try parse(body)) {
        .special => |text| return text,
        .finite => |finite| {
            const out = try writer.reserve(finiteLength(&finite));
            writer.advance(put(&finite, out));
            return null;
        },
    }
}

/// Decimal text as the server prints it: never an exponent, exactly `scale` digits behind the
/// point. `out` has at least `textLength(body)` bytes.
pub fn toText(body: []const u8, out: []u8) DecodeError![]u8 {
    const finite = switch (try parse(body)) {
        .special => |text| {
            @memcpy(out[0..text.len], text);
            return out[0..text.len];
        },
        .finite => |finite| finite,
    };
    return out[0..put(&finite, out)];
}

/// Returns how many bytes were written.
fn put(finite: *const Finite, out: []u8) usize {
    std.debug.assert(out.len >= finiteLength(finite));
    var length: usize = 0;
    if (finite.negative) {
        out[0] = '-';
        length = 1;
    }
    length += putInteger(finite, out[length..]);
    if (finite.scale == 0) return length;
    out[length] = '.';
    length += 1;
    var rest = finite.scale;
    var index = finite.weight + 1;
    while (rest >= 4) : (rest -= 4) {
        putGroup(out[length..][0..4], finite.at(index));
        length += 4;
        index += 1;
    }
    if (rest > 0) {
        putGroup(out[length..][0..4], finite.at(index));
        length += rest;
    }
    return length;
}

/// The digits before the point, "0" when there are none. Returns how many.
fn putInteger(finite: *const Finite, out: []u8) usize {
    var index: i32 = 0;
    while (index < finite.count() and index <= finite.weight and finite.at(index) == 0) index += 1;
    if (index == finite.count() or index > finite.weight) {
        out[0] = '0';
        return 1;
    }
    var first: [4]u8 = undefined;
    putGroup(&first, finite.at(index));
    const zeros = std.mem.findNone(u8, &first, "0").?;
    var length = first.len - zeros;
    @memcpy(out[0..length], first[zeros..]);
    index += 1;
    while (index <= finite.weight) : (index += 1) {
        putGroup(out[length..][0..4], finite.at(index));
        length += 4;
    }
    return length;
}

const two_digits: [200]u8 = digits: {
    var digits: [200]u8 = undefined;
    for (0..100) |i| {
        digits[i * 2] = '0' + i / 10;
        digits[i * 2 + 1] = '0' + i % 10;
    }
    break :digits digits;
};

inline fn putGroup(out: *[4]u8, group: u16) void {
    const high = group / 100;
    const low = group % 100;
    out[0..2].* = two_digits[high * 2 ..][0..2].*;
    out[2..4].* = two_digits[low * 2 ..][0..2].*;
}

const testing = @import("testing.zig");
const hex = testing.hex;

/// Text and bytes from the server's numeric_out and numeric_send.
const rows = .{
    .{ "0", "0000000000000000" },
    .{ "0.00", "0000000000000002" },
    .{ "1", "00010000000000000001" },
    .{ "-1", "00010000400000000001" },
    .{ "1.0", "00010000000000010001" },
    .{ "1.00", "00010000000000020001" },
    .{ "123.45", "0002000000000002007b1194" },
    .{ "-123.4500", "0002000040000004007b1194" },
    .{ "10000", "00010001000000000001" },
    .{ "100000000", "00010002000000000001" },
    .{ "0.0001", "0001ffff000000040001" },
    .{ "0.00012345", "0002ffff0000000800010929" },
    .{ "-0.000000000000000001", "0001fffb400000120064" },
    .{ "99999999.99999999", "0004000100000008270f270f270f270f" },
    .{ "12345678901234567890.1234567890", "000800040000000a04d2162e23340d801ed204d2162e2328" },
    .{ "100000000000000000000", "00010005000000000001" },
    .{ "0.00000000000000000001", "0001fffb000000140001" },
    .{ "0.1", "0001ffff0000000103e8" },
    .{ "1234", "000100000000000004d2" },
    .{ "9999.9999", "0002000000000004270f270f" },
    .{ "100.001", "00020000000000030064000a" },
    .{ "10000.00000001", "00040001000000080001000000000001" },
    .{ "0.10000", "0001ffff0000000503e8" },
    .{ "-9223372036854775808", "0005000440000000039a0d2c0170156516b0" },
    .{ "1000000000000.000000000000", "000100030000000c0001" },
    .{ "7.00000", "00010000000000050007" },
    .{ "0.000100020003", "0003ffff0000000c000100020003" },
};

/// Also what the encoder's tests read their results back with.
pub fn expectText(expected: []const u8, body: []const u8) !void {
    // Exactly the room that was promised, so that one byte too many would be caught.
    const out = try std.testing.allocator.alloc(u8, try textLength(body));
    defer std.testing.allocator.free(out);
    try std.testing.expectEqualStrings(expected, try toText(body, out));
}

/// As `toText`, for a body whose length the caller has not asked for before.
fn decodeAny(body: []const u8) DecodeError!usize {
    const length = try textLength(body);
    var out: [147_500]u8 = undefined;
    return (try toText(body, out[0..length])).len;
}

test "numerics print as the server prints them, and the text encodes to the server's bytes" {
    inline for (rows) |row| {
        try expectText(row[0], hex(row[1]));
        try testing.expectEncoded(fromText, @as([]const u8, row[0]), hex(row[1]));
        try testing.checkBytes(decodeAny, hex(row[1]));
    }
}

test "NaN and the infinities, whose weight and scale mean nothing" {
    inline for (.{
        .{ "NaN", "00000000c0000000" },
        .{ "Infinity", "00000000d0000020" },
        .{ "-Infinity", "00000000f0000020" },
        .{ "-Infinity", "00007ffff000ffff" },
    }) |row| try expectText(row[0], hex(row[1]));
}

test "digits beyond the scale are not printed, leading zero groups are no digits" {
    try expectText("1.2", hex("00020000000000010001" ++ "07d0"));
    try expectText("12", hex("0003000200000000" ++ "00000000000c"));
    try expectText("0", hex("0001000100000000" ++ "0000"));
    try expectText("0.0", hex("0000000300000001"));
    try expectText("0.00", hex("00017fff00000002" ++ "0000"));
}

test "what numeric_send cannot have written is an error" {
    inline for (.{
        "00010000000000002710", // a group of 10000
        "00020000000000000001", // fewer groups than promised
        "0000000000000000ffff", // more
        "0000000000004000", // a scale of 15 bits
        "0000000080000000", // no such sign
        "00010000c00000000001", // NaN with digits
        "00000000000000",
    }) |bad| {
        try std.testing.expectError(error.InvalidValue, textLength(hex(bad)));
        var out: [64]u8 = undefined;
        try std.testing.expectError(error.InvalidValue, toText(hex(bad), &out));
    }
}

/// Mostly a well-formed numeric of up to eight groups; sometimes any bytes at all.
fn smithNumeric(smith: *std.testing.Smith, buffer: *[24]u8) []const u8 {
    if (smith.valueRangeAtMost(u8, 0, 7) == 0) return buffer[0..smith.slice(buffer)];
    const group_count = smith.valueRangeAtMost(u16, 0, 8);
    std.mem.writeInt(u16, buffer[0..2], group_count, .big);
    std.mem.writeInt(i16, buffer[2..4], smith.valueRangeAtMost(i16, -10, 10), .big);
    std.mem.writeInt(u16, buffer[4..6], if (smith.value(bool)) sign_positive else sign_negative, .big);
    std.mem.writeInt(u16, buffer[6..8], smith.valueRangeAtMost(u16, 0, 50), .big);
    for (0..group_count) |i| {
        std.mem.writeInt(u16, buffer[header_size + i * 2 ..][0..2], smith.valueRangeAtMost(u16, 0, 9999), .big);
    }
    return buffer[0 .. header_size + group_count * 2];
}

fn fuzzNumeric(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [24]u8 = undefined;
    const body = smithNumeric(smith, &buffer);
    const out = try std.testing.allocator.alloc(u8, textLength(body) catch return);
    defer std.testing.allocator.free(out);
    const printed = try toText(body, out);
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try fromText(&writer, printed);
    // A negative zero, which no server sends, loses its sign.
    const unsigned = std.mem.trimStart(u8, printed, "-");
    try expectText(if (std.mem.findNone(u8, unsigned, "0.") == null) unsigned else printed, writer.bytes.items);
}

test "fuzz: a numeric's text encodes to a numeric of the same text" {
    try std.testing.fuzz({}, fuzzNumeric, .{});
}
