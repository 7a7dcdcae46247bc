//! float4 and float8 as the server prints them: the shortest digits that read back as the same bits. Where
//! the shortest lie exactly half-way to a neighbour the server takes one more; readers round to even, as Python does.
//! PostgreSQL docs: datatype-numeric, "Floating-Point Types"; runtime-config-client, "extra_float_digits".
const std = @import("std");
const protocol = @import("protocol");
const digits = @import("digits.zig");
const Writer = protocol.WriteBuffer;

/// Sign, 17 digits, a point, four zeros in front or behind, an exponent.
const length_max = 32;

/// How a number without a fraction is written.
pub const Whole = enum {
    /// `1`, as the server has it.
    bare,
    /// `1.0`, so that a reader of JSON sees that it is a float, and -0.0 keeps its sign.
    with_point,
};

/// `value` is an f32 or an f64; NaN and the infinities are words.
pub fn write(writer: *Writer, value: anytype, whole: Whole) error{OutOfMemory}!void {
    const out = try writer.reserve(length_max);
    writer.advance(put(out[0..length_max], value, whole));
}

/// The word for a value that is no number, null for one that is.
pub fn word(value: anytype) ?[]const u8 {
    if (std.math.isNan(value)) return "NaN";
    if (!std.math.isInf(value)) return null;
    return if (value > 0) "Infinity" else "-Infinity";
}

fn put(out: *[length_max]u8, value: anytype, whole: Whole) usize {
    if (word(value)) |text| {
        @memcpy(out[0..text.len], text);
        return text.len;
    }
    var length: usize = 0;
    if (std.math.signbit(value)) {
        out[0] = '-';
        length = 1;
    }
    if (value == 0) {
        const text: []const u8 = if (whole == .bare) "0" else "0.0";
        @memcpy(out[length..][0..text.len], text);
        return length + text.len;
    }
    const shortest = decimal(value);
    const count = digits.count(shortest.mantissa);
    // The exponent of the first digit. From these bounds on the server writes it down.
    const exponent = shortest.exponent + @as(i32, @intCast(count)) - 1;
    const exponent_limit = if (@TypeOf(value) == f32) 6 else 15;
    if (exponent < -4 or exponent >= exponent_limit) return length + putScientific(out[length..], shortest.mantissa, count, exponent);
    return length + putFixed(out[length..], shortest.mantissa, count, exponent, whole);
}

const Decimal = struct { mantissa: u64, exponent: i32 };

fn decimal(value: anytype) Decimal {
    const T = @TypeOf(value);
    const Bits = @Int(.unsigned, @bitSizeOf(T));
    const found = std.fmt.float.binaryToDecimal(
        u64,
        @as(Bits, @bitCast(value)),
        std.math.floatMantissaBits(T),
        std.math.floatExponentBits(T),
        false,
        &std.fmt.float.Backend64_TablesFull,
    );
    var made: Decimal = .{ .mantissa = found.mantissa, .exponent = found.exponent };
    while (made.mantissa % 10 == 0) {
        made.mantissa /= 10;
        made.exponent += 1;
    }
    return made;
}

fn putScientific(out: []u8, mantissa: u64, count: usize, exponent: i32) usize {
    // The digits go one further, then the first one comes back over the point's place.
    digits.fill(out[1..][0..count], mantissa);
    out[0] = out[1];
    var length: usize = 1;
    if (count > 1) {
        out[1] = '.';
        length = count + 1;
    }
    out[length] = 'e';
    out[length + 1] = if (exponent < 0) '-' else '+';
    length += 2;
    const size = @abs(exponent);
    if (size < 10) {
        out[length] = '0';
        length += 1;
    }
    return length + digits.unsigned(out[length..], size);
}

fn putFixed(out: []u8, mantissa: u64, count: usize, exponent: i32, whole: Whole) usize {
    if (exponent < 0) {
        const zeros: usize = @intCast(-exponent); // one of them before the point
        @memcpy(out[0..5], "0.000");
        digits.fill(out[1 + zeros ..][0..count], mantissa);
        return 1 + zeros + count;
    }
    const before: usize = @intCast(exponent + 1);
    if (count > before) {
        digits.fill(out[1..][0..count], mantissa);
        std.mem.copyForwards(u8, out[0..before], out[1..][0..before]);
        out[before] = '.';
        return count + 1;
    }
    digits.fill(out[0..count], mantissa);
    @memset(out[count..before], '0');
    if (whole == .bare) return before;
    @memcpy(out[before..][0..2], ".0");
    return before + 2;
}

fn expectText(expected: []const u8, value: anytype, whole: Whole) !void {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    try write(&writer, value, whole);
    try std.testing.expectEqualStrings(expected, writer.bytes.items);
}

test "floats print as the server prints them" {
    inline for (.{
        .{ 0.0, "0", "0.0" },
        .{ -0.0, "-0", "-0.0" },
        .{ 1.0, "1", "1.0" },
        .{ -2.5, "-2.5", "-2.5" },
        .{ 0.1, "0.1", "0.1" },
        .{ 0.0001, "0.0001", "0.0001" },
        .{ 0.00012345, "0.00012345", "0.00012345" },
        .{ 0.00001, "1e-05", "1e-05" },
        .{ 1.25e-7, "1.25e-07", "1.25e-07" },
        .{ 100.0, "100", "100.0" },
        .{ 123456.789, "123456.789", "123456.789" },
        .{ 999999999999999.0, "999999999999999", "999999999999999.0" },
        .{ 1e15, "1e+15", "1e+15" },
        .{ 1.5e300, "1.5e+300", "1.5e+300" },
        .{ 5e-324, "5e-324", "5e-324" },
        .{ 1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308" },
        .{ std.math.nan(f64), "NaN", "NaN" },
        .{ std.math.inf(f64), "Infinity", "Infinity" },
        .{ -std.math.inf(f64), "-Infinity", "-Infinity" },
    }) |row| {
        const value: f64 = if (row[1].len == 2 and row[1][0] == '-') -@as(f64, 0) else row[0];
        try expectText(row[1], value, .bare);
        try expectText(row[2], value, .with_point);
    }
    inline for (.{ .{ 0.1, "0.1" }, .{ 123456.0, "123456" }, .{ 1e6, "1e+06" }, .{ 1e-45, "1e-45" }, .{ 3.4028235e38, "3.4028235e+38" } }) |row| {
        try expectText(row[1], @as(f32, row[0]), .bare);
    }
}

fn fuzzFloat(_: void, smith: *std.testing.Smith) anyerror!void {
    inline for (.{ f32, f64 }) |T| {
        const value: T = @bitCast(smith.value(@Int(.unsigned, @bitSizeOf(T))));
        if (word(value) == null) inline for (.{ .bare, .with_point }) |whole| {
            var out: [length_max]u8 = undefined;
            const again = try std.fmt.parseFloat(T, out[0..put(&out, value, whole)]);
            try std.testing.expectEqual(value, again);
            try std.testing.expectEqual(std.math.signbit(value), std.math.signbit(again));
        };
    }
}

test "fuzz: what is printed reads back as the same bits" {
    try std.testing.fuzz({}, fuzzFloat, .{});
}
