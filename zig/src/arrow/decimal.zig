//! numeric as an integer that counts units of its scale, which is what an Arrow decimal is.
//! Arrow docs: "Decimal Type"; PostgreSQL docs: datatype-numeric, "Arbitrary Precision Numbers".
const std = @import("std");
const types = @import("types");
const Finite = types.numeric.Finite;

pub const Error = types.DecodeError || error{
    /// NaN or an infinity.
    NotFinite,
    /// Digits behind the scale, or more than the precision.
    DoesNotFit,
};

/// `T` is i128 or i256. The result counts units of 10 to the power -`scale`.
pub fn scaled(comptime T: type, body: []const u8, precision: u8, scale: u8) Error!T {
    const finite = switch (try types.numeric.parse(body)) {
        .special => return error.NotFinite,
        .finite => |finite| finite,
    };
    const U = @Int(.unsigned, @typeInfo(T).int.bits);
    var first: i32 = 0;
    while (first < finite.count() and finite.at(first) == 0) first += 1;
    if (first == finite.count()) return 0;
    // The group in which the last digit of the scale stands, and how many digits of it lie behind that.
    const last = finite.weight + @divFloor(@as(i32, scale) + 3, 4);
    const behind: usize = @intCast(@mod(-@as(i32, scale), 4));
    var index = last + 1;
    while (index < finite.count()) : (index += 1) {
        if (finite.at(index) != 0) return error.DoesNotFit;
    }
    if (first > last) return error.DoesNotFit;
    if (last - first > 20) return error.DoesNotFit; // 81 digits or more
    const digits = finite.at(last);
    const divisor = small_powers[behind];
    if (digits % divisor != 0) return error.DoesNotFit;
    const magnitude: U = if (last - first < 4) magnitude: {
        var sum: u64 = 0;
        index = first;
        while (index < last) : (index += 1) sum = sum * 10_000 + finite.at(index);
        break :magnitude sum * (10_000 / divisor) + digits / divisor;
    } else magnitude: {
        var sum: U = 0;
        index = first;
        while (index < last) : (index += 1) sum = try timesPlus(U, sum, 10_000, finite.at(index));
        break :magnitude try timesPlus(U, sum, 10_000 / divisor, digits / divisor);
    };
    if (magnitude >= powers(U)[precision]) return error.DoesNotFit;
    const value: T = @intCast(magnitude);
    return if (finite.negative) -value else value;
}

fn timesPlus(comptime U: type, sum: U, factor: u16, addend: u16) error{DoesNotFit}!U {
    const product, const too_large = @mulWithOverflow(sum, factor);
    const total, const too_large_now = @addWithOverflow(product, addend);
    if (too_large | too_large_now != 0) return error.DoesNotFit;
    return total;
}

const small_powers = [4]u16{ 1, 10, 100, 1000 };

/// Powers of ten as far as decimals of this size go.
fn powers(comptime U: type) []const U {
    const Holder = struct {
        const table: [(if (U == u128) 38 else 76) + 1]U = table: {
            var made: [(if (U == u128) 38 else 76) + 1]U = undefined;
            var power: U = 1;
            for (&made, 0..) |*each, i| {
                each.* = power;
                if (i + 1 < made.len) power *= 10;
            }
            break :table made;
        };
    };
    return &Holder.table;
}

const protocol = @import("protocol");

fn fromText(comptime T: type, text: []const u8, precision: u8, scale: u8) !T {
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try types.numeric.fromText(&writer, text);
    return scaled(T, writer.bytes.items, precision, scale);
}

fn zeros(comptime count: usize) []const u8 {
    return comptime &@as([count]u8, @splat('0'));
}

test "a numeric counts units of its column's scale" {
    const rows = .{
        .{ "0", 5, 2, 0 },
        .{ "0.00", 5, 2, 0 },
        .{ "1", 5, 2, 100 },
        .{ "-1.5", 5, 2, -150 },
        .{ "123.45", 5, 2, 12_345 },
        .{ "123.4500", 5, 2, 12_345 },
        .{ "10000", 5, 0, 10_000 },
        .{ "100000000", 12, 2, 10_000_000_000 },
        .{ "0.0001", 4, 4, 1 },
        .{ "0.00012", 5, 5, 12 },
        .{ "-0.000000000000000001", 18, 18, -1 },
        .{ "9999.9999", 8, 4, 99_999_999 },
        .{ "12345678901234567890.123", 38, 3, 12345678901234567890123 },
        .{ "99999999999999999999999999999999999999", 38, 0, 99999999999999999999999999999999999999 },
        .{ "9999999999999999999999999999999999999.9", 38, 1, 99999999999999999999999999999999999999 },
        .{ "0.99999999999999999999999999999999999999", 38, 38, 99999999999999999999999999999999999999 },
    };
    inline for (rows) |row| {
        try std.testing.expectEqual(row[3], try fromText(i128, row[0], row[1], row[2]));
        try std.testing.expectEqual(row[3], try fromText(i256, row[0], row[1], row[2]));
    }
    try std.testing.expectEqual(7 * @as(i256, @intCast(powers(u256)[75])), try fromText(i256, "7" ++ comptime zeros(74), 76, 1));
}

test "what a decimal of this size cannot hold is said, not cut" {
    inline for (.{ i128, i256 }) |T| {
        try std.testing.expectError(error.DoesNotFit, fromText(T, "0.001", 5, 2));
        try std.testing.expectError(error.DoesNotFit, fromText(T, "0.00001", 5, 2));
        try std.testing.expectError(error.DoesNotFit, fromText(T, "1000", 5, 2));
        try std.testing.expectError(error.DoesNotFit, fromText(T, "1" ++ comptime zeros(100), 38, 0));
        try std.testing.expectError(error.DoesNotFit, fromText(T, "1" ++ comptime zeros(38), 38, 0));
        try std.testing.expectError(error.NotFinite, scaled(T, &.{ 0, 0, 0, 0, 0xc0, 0, 0, 0 }, 5, 2));
        try std.testing.expectError(error.InvalidValue, scaled(T, &.{ 0, 1, 0, 0, 0, 0, 0, 0 }, 5, 2));
    }
    try std.testing.expectError(error.DoesNotFit, fromText(i128, "1" ++ comptime zeros(50), 38, 0));
}

test "fuzz: a decimal is what the printed digits say, or an error" {
    try std.testing.fuzz({}, fuzzDecimal, .{});
}

fn fuzzDecimal(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [40]u8 = undefined;
    const group_count = smith.valueRangeAtMost(u16, 0, 6);
    const weight = smith.valueRangeAtMost(i16, -4, 6);
    std.mem.writeInt(u16, buffer[0..2], group_count, .big);
    std.mem.writeInt(i16, buffer[2..4], weight, .big);
    std.mem.writeInt(u16, buffer[4..6], if (smith.value(bool)) 0x4000 else 0, .big);
    std.mem.writeInt(u16, buffer[6..8], 40, .big);
    for (0..group_count) |i| std.mem.writeInt(u16, buffer[8 + i * 2 ..][0..2], smith.valueRangeAtMost(u16, 0, 9999), .big);
    const body = buffer[0 .. 8 + @as(usize, group_count) * 2];
    const scale = smith.valueRangeAtMost(u8, 0, 38);
    const value = scaled(i256, body, 76, scale) catch |err| return std.testing.expect(err == error.DoesNotFit);
    var out: [256]u8 = undefined;
    const text = try types.numeric.toText(body, &out);
    var digits: i256 = 0;
    const point = std.mem.findScalar(u8, text, '.').?;
    for (text[0 .. point + 1 + scale]) |character| {
        if (std.ascii.isDigit(character)) digits = digits * 10 + (character - '0');
    }
    for (text[point + 1 + scale ..]) |character| try std.testing.expectEqual('0', character);
    try std.testing.expectEqual(if (text[0] == '-') -digits else digits, value);
}
