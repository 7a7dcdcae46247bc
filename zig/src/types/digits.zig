//! Decimal digits, two at a time: what the printers of this layer share. The caller has made room.
const std = @import("std");

/// The longest unsigned 64-bit number has this many.
pub const count_max = 20;

const pairs: [200]u8 = table: {
    var table: [200]u8 = undefined;
    for (0..100) |i| {
        table[i * 2] = '0' + i / 10;
        table[i * 2 + 1] = '0' + i % 10;
    }
    break :table table;
};

/// A number below 100, with its leading zero.
pub inline fn two(out: *[2]u8, value: u32) void {
    out.* = pairs[value * 2 ..][0..2].*;
}

pub inline fn four(out: *[4]u8, value: u32) void {
    two(out[0..2], value / 100);
    two(out[2..4], value % 100);
}

/// How many digits `value` has; zero has one.
pub fn count(value: u64) usize {
    // Its bits, times the logarithm of 2, which is a little more than 1233 / 4096: right, or one too many.
    const bits: usize = @bitSizeOf(u64) - @clz(value | 1);
    const guess = bits * 1233 >> 12;
    return guess + @intFromBool(guess == 0 or value >= powers[guess]);
}

const powers: [count_max]u64 = table: {
    var table: [count_max]u64 = undefined;
    var power: u64 = 1;
    for (&table) |*each| {
        each.* = power;
        power *|= 10;
    }
    break :table table;
};

/// Returns how many bytes were written, at most `count_max`.
pub fn unsigned(out: []u8, value: u64) usize {
    const length = count(value);
    fill(out[0..length], value);
    return length;
}

/// As `unsigned`, with a sign in front of what is negative.
pub fn signed(out: []u8, value: i64) usize {
    if (value >= 0) return unsigned(out, @intCast(value));
    out[0] = '-';
    return 1 + unsigned(out[1..], @abs(value));
}

/// The lowest digits of `value`, zeros in front, over the whole of `out`.
pub fn fill(out: []u8, value: u64) void {
    var rest = value;
    var end = out.len;
    while (end >= 2) : (end -= 2) {
        two(out[end - 2 ..][0..2], @intCast(rest % 100));
        rest /= 100;
    }
    if (end == 1) out[0] = '0' + @as(u8, @intCast(rest % 10));
}

test "numbers of every length, and their extremes" {
    var out: [count_max + 1]u8 = undefined;
    var value: u64 = 1;
    for (0..count_max) |_| {
        inline for (.{ value, value - 1, value +| 1 }) |each| {
            var expected: [32]u8 = undefined;
            const text = try std.fmt.bufPrint(&expected, "{d}", .{each});
            try std.testing.expectEqualStrings(text, out[0..unsigned(&out, each)]);
        }
        value *|= 10;
    }
    inline for (.{ std.math.minInt(i64), -1, 0, std.math.maxInt(i64) }) |each| {
        try std.testing.expectEqualStrings(std.fmt.comptimePrint("{d}", .{each}), out[0..signed(&out, each)]);
    }
    fill(out[0..5], 42);
    try std.testing.expectEqualStrings("00042", out[0..5]);
}
