//! numeric, the way to the server: decimal text, as Python's `str(Decimal)`, `str(int)` and
//! `repr(float)` give it, and integers, to base-10000 digit groups.
//! PostgreSQL docs: datatype-numeric, "Arbitrary Precision Numbers".
const std = @import("std");
const protocol = @import("protocol");
const numeric = @import("numeric.zig");
const EncodeError = @import("errors.zig").EncodeError;

/// Decimal text as its digits, without sign and point.
const Decimal = struct {
    /// Digits with the point, if any, among them.
    text: []const u8,
    /// Digits before the point.
    integer_count: usize,
    digit_count: usize,
    exponent: i64,

    fn digit(self: *const Decimal, index: usize) u8 {
        return self.text[index + @intFromBool(index >= self.integer_count)] - '0';
    }

    /// The power of ten of the digit at `index`.
    fn powerAt(self: *const Decimal, index: usize) i64 {
        return @as(i64, @intCast(self.integer_count)) + self.exponent - 1 - @as(i64, @intCast(index));
    }

    /// The digit at a power of ten, zero outside the text.
    fn atPower(self: *const Decimal, power: i64) u8 {
        const index = self.powerAt(0) - power;
        if (index < 0 or index >= self.digit_count) return 0;
        return self.digit(@intCast(index));
    }
};

/// Write the numeric that `text` denotes: sign, digits, point, exponent, or NaN, Infinity, inf in
/// any case. Digits behind the point make the scale: 1.0 is not 1.00. InvalidValue for anything
/// else, a signalling NaN too; OutOfRange for more digits than a numeric holds.
pub fn fromText(writer: *protocol.WriteBuffer, text: []const u8) EncodeError!void {
    const signed = text.len > 0 and (text[0] == '-' or text[0] == '+');
    const negative = signed and text[0] == '-';
    const unsigned = text[@intFromBool(signed)..];
    if (std.ascii.eqlIgnoreCase(unsigned, "nan")) return writeHeader(writer, 0, 0, numeric.sign_nan, 0);
    if (std.ascii.eqlIgnoreCase(unsigned, "inf") or std.ascii.eqlIgnoreCase(unsigned, "infinity")) {
        return writeHeader(writer, 0, 0, if (negative) numeric.sign_negative_infinity else numeric.sign_infinity, 0);
    }
    const decimal = try parseDecimal(unsigned);

    const fraction_count: i64 = @intCast(decimal.digit_count - decimal.integer_count);
    const scale = @max(0, fraction_count - decimal.exponent);
    if (scale > numeric.scale_max) return error.OutOfRange;

    var first: usize = 0;
    while (first < decimal.digit_count and decimal.digit(first) == 0) first += 1;
    if (first == decimal.digit_count) return writeHeader(writer, 0, 0, numeric.sign_positive, @intCast(scale));
    var last = decimal.digit_count - 1;
    while (decimal.digit(last) == 0) last -= 1;
    if (decimal.powerAt(first) >= numeric.integer_digits_max) return error.OutOfRange;

    // `last` is not below -scale_max, so groups are bounded by what the type holds.
    const weight = @divFloor(decimal.powerAt(first), 4);
    const group_count: usize = @intCast(weight - @divFloor(decimal.powerAt(last), 4) + 1);
    try writeHeader(writer, @intCast(group_count), @intCast(weight), if (negative) numeric.sign_negative else numeric.sign_positive, @intCast(scale));
    const groups = try writer.addManyAsSlice(group_count * 2);
    var power = weight * 4 + 3;
    for (0..group_count) |i| {
        var group: u16 = 0;
        for (0..4) |_| {
            group = group * 10 + decimal.atPower(power);
            power -= 1;
        }
        std.mem.writeInt(u16, groups[i * 2 ..][0..2], group, .big);
    }
}

fn parseDecimal(text: []const u8) EncodeError!Decimal {
    const mantissa_end = std.mem.findAny(u8, text, "eE") orelse text.len;
    const mantissa = text[0..mantissa_end];
    const point = std.mem.findScalar(u8, mantissa, '.');
    const digit_count = mantissa.len - @intFromBool(point != null);
    if (digit_count == 0) return error.InvalidValue;
    for (mantissa, 0..) |byte, i| {
        if (!std.ascii.isDigit(byte) and i != point) return error.InvalidValue;
    }
    return .{
        .text = mantissa,
        .integer_count = point orelse mantissa.len,
        .digit_count = digit_count,
        .exponent = if (mantissa_end == text.len) 0 else try parseExponent(text[mantissa_end + 1 ..]),
    };
}

/// Far more than any numeric's exponent; sums with it stay far inside an i64.
const exponent_max = 1_000_000_000_000;

fn parseExponent(text: []const u8) EncodeError!i64 {
    const signed = text.len > 0 and (text[0] == '-' or text[0] == '+');
    const digits = text[@intFromBool(signed)..];
    if (digits.len == 0) return error.InvalidValue;
    var exponent: i64 = 0;
    for (digits) |byte| {
        if (!std.ascii.isDigit(byte)) return error.InvalidValue;
        exponent = @min(exponent * 10 + (byte - '0'), exponent_max);
    }
    return if (signed and text[0] == '-') -exponent else exponent;
}

/// Write an integer as a numeric of scale 0.
pub fn fromInt(writer: *protocol.WriteBuffer, value: i64) EncodeError!void {
    var groups: [5]u16 = undefined; // 10000 ** 5 > 2 ** 64
    var count: usize = 0;
    var trailing: usize = 0;
    var rest = @abs(value);
    while (rest != 0) : (rest /= 10_000) {
        groups[count] = @intCast(rest % 10_000);
        if (groups[count] == 0 and trailing == count) trailing += 1;
        count += 1;
    }
    const weight: i16 = @intCast(@max(count, 1) - 1);
    try writeHeader(writer, @intCast(count - trailing), weight, if (value < 0) numeric.sign_negative else numeric.sign_positive, 0);
    while (count > trailing) {
        count -= 1;
        try writer.writeInt(u16, groups[count]);
    }
}

fn writeHeader(writer: *protocol.WriteBuffer, group_count: u16, weight: i16, sign: u16, scale: u16) EncodeError!void {
    try writer.writeInt(u16, group_count);
    try writer.writeInt(i16, weight);
    try writer.writeInt(u16, sign);
    try writer.writeInt(u16, scale);
}

const testing = @import("testing.zig");
const hex = testing.hex;

test "NaN and the infinities, in the spellings of Decimal and float" {
    inline for (.{
        .{ "NaN", "00000000c0000000" },      .{ "-nan", "00000000c0000000" },
        .{ "Infinity", "00000000d0000000" }, .{ "inf", "00000000d0000000" },
        .{ "+inf", "00000000d0000000" },     .{ "-Infinity", "00000000f0000000" },
        .{ "-inf", "00000000f0000000" },
    }) |row| try testing.expectEncoded(fromText, @as([]const u8, row[0]), hex(row[1]));
}

test "exponents as Python writes them" {
    inline for (.{
        .{ "1E+3", "000100000000000003e8" },
        .{ "1.5E+3", "000100000000000005dc" },
        .{ "1.50E+1", "0001000000000001000f" },
        .{ "1.500E+1", "0001000000000002000f" },
        .{ "1e-7", "0001fffe00000007000a" },
        .{ "0E-7", "0000000000000007" },
        .{ "0E+999999999999999999", "0000000000000000" },
        .{ "-0", "0000000000000000" },
        .{ "1e+16", "00010004000000000001" },
        .{ "1.25E-1", "0001ffff0000000304e2" },
        .{ "+.5", "0001ffff000000011388" },
        .{ "5.", "00010000000000000005" },
        .{ "000012", "0001000000000000000c" },
    }) |row| try testing.expectEncoded(fromText, @as([]const u8, row[0]), hex(row[1]));
}

test "text that is no number is invalid, a number too large or too fine is out of range" {
    inline for (.{
        "",      "-",        "+",     ".", "e5", "1e", "1e+", "1e5.", "1.2.3", "--1", "1_000", " 1", "1 ", "0x1", "sNaN", "NaN123", "Inf1",
        "1e1e1", "\xd9\xa1", "1\x00",
    }) |bad| try testing.expectEncodeError(error.InvalidValue, fromText, @as([]const u8, bad));
    inline for (.{
        "1e131072", "1e-16384", "0e-16384", "1e999999999999999999999", "-1e-99999999999999999999", "10e131071",
    }) |bad| try testing.expectEncodeError(error.OutOfRange, fromText, @as([]const u8, bad));
}

fn expectRoundTrip(text: []const u8) !void {
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try fromText(&writer, text);
    try numeric.expectText(text, writer.bytes.items);
}

test "the longest numeric goes both ways: 131072 digits before the point, 16383 behind it" {
    const text = try std.testing.allocator.alloc(u8, 1 + numeric.integer_digits_max + 1 + numeric.scale_max);
    defer std.testing.allocator.free(text);
    for (text, 0..) |*byte, i| byte.* = '1' + @as(u8, @intCast(i % 9));
    text[0] = '-';
    text[1 + numeric.integer_digits_max] = '.';
    try expectRoundTrip(text);
    try expectRoundTrip(text[1..]);
    text[text.len - 1] = '0';
    text[1] = '9';
    try expectRoundTrip(text);
    try testing.expectEncodeError(error.OutOfRange, fromText, @as([]const u8, "9") ++ text[1..][0..numeric.integer_digits_max]);
}

test "a power of ten of every size keeps its one digit" {
    var text: [64]u8 = undefined;
    for (0..30) |zeros| {
        @memset(&text, '0');
        text[0] = '1';
        try expectRoundTrip(text[0 .. zeros + 1]);
        text[0..2].* = "0.".*;
        text[2 + zeros] = '1';
        try expectRoundTrip(text[0 .. zeros + 3]);
    }
}

test "integers encode as their text does" {
    inline for (.{
        0, 1, -1, 9999, 10_000, 10_001, 100_000_000, 123_456_789, -20_000_000_000, std.math.maxInt(i64), std.math.minInt(i64),
    }) |value| {
        var writer: protocol.WriteBuffer = .init(std.testing.allocator);
        defer writer.deinit();
        try fromText(&writer, std.fmt.comptimePrint("{d}", .{value}));
        try testing.expectEncoded(fromInt, @as(i64, value), writer.bytes.items);
    }
}

/// Text made of the characters that numbers are made of.
fn fuzzText(_: void, smith: *std.testing.Smith) anyerror!void {
    const alphabet = "0019.eE+-Nan";
    var buffer: [24]u8 = undefined;
    const length = smith.valueRangeAtMost(u8, 0, buffer.len);
    for (buffer[0..length]) |*byte| byte.* = alphabet[smith.valueRangeAtMost(u8, 0, alphabet.len - 1)];
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    fromText(&writer, buffer[0..length]) catch return;
    const out = try std.testing.allocator.alloc(u8, try numeric.textLength(writer.bytes.items));
    defer std.testing.allocator.free(out);
    const printed = try numeric.toText(writer.bytes.items, out);
    const first = try std.testing.allocator.dupe(u8, writer.bytes.items);
    defer std.testing.allocator.free(first);
    writer.truncate(0);
    try fromText(&writer, printed);
    try std.testing.expectEqualSlices(u8, first, writer.bytes.items);
}

test "fuzz: text that encodes is printed as text that encodes to the same bytes" {
    try std.testing.fuzz({}, fuzzText, .{});
}
