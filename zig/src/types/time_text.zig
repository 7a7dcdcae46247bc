//! Dates, times and intervals as the server prints them with DateStyle ISO and IntervalStyle postgres,
//! or, with a T between date and time, as its to_json writes them.
//! PostgreSQL docs: datatype-datetime, "Date/Time Output" and "Interval Output"; functions-json, "to_json".
const std = @import("std");
const protocol = @import("protocol");
const datetime = @import("datetime.zig");
const digits = @import("digits.zig");
const Interval = @import("interval.zig").Interval;
const Writer = protocol.WriteBuffer;
const Error = error{OutOfMemory};

/// More than any of them takes: an interval whose four parts all have signs and many digits.
const length_max = 128;

pub const Style = enum {
    /// `2026-01-02 03:04:05`, and `+00` for UTC.
    iso,
    /// `2026-01-02T03:04:05`, and `+00:00` for UTC.
    xsd,
};

pub fn date(writer: *Writer, value: datetime.Date) Error!void {
    const out = try writer.reserve(length_max);
    writer.advance(switch (value) {
        .infinity => word(out, "infinity"),
        .negative_infinity => word(out, "-infinity"),
        .finite => |civil| finite: {
            const length = putCivil(out, civil);
            break :finite length + putEra(out[length..], civil);
        },
    });
}

/// `has_zone`: a timestamptz, which is UTC here.
pub fn timestamp(writer: *Writer, value: datetime.Timestamp, has_zone: bool, style: Style) Error!void {
    const out = try writer.reserve(length_max);
    writer.advance(switch (value) {
        .infinity => word(out, "infinity"),
        .negative_infinity => word(out, "-infinity"),
        .finite => |finite| finite: {
            var length = putCivil(out, finite.civil);
            out[length] = if (style == .xsd) 'T' else ' ';
            length += 1;
            length += putClock(out[length..], finite.clock.hour, finite.clock.minute, finite.clock.second, finite.clock.microsecond);
            if (has_zone) length += word(out[length..], if (style == .xsd) "+00:00" else "+00");
            break :finite length + putEra(out[length..], finite.civil);
        },
    });
}

/// `microseconds` since midnight, 24:00:00 included.
pub fn time(writer: *Writer, microseconds: i64) Error!void {
    const out = try writer.reserve(length_max);
    writer.advance(putDuration(out, @intCast(microseconds)));
}

pub fn timetz(writer: *Writer, value: datetime.TimeTz) Error!void {
    const out = try writer.reserve(length_max);
    var length = putDuration(out, @intCast(value.microseconds));
    out[length] = if (value.zone_seconds_west > 0) '-' else '+';
    length += 1;
    const offset = @abs(value.zone_seconds_west);
    digits.two(out[length..][0..2], offset / 3600);
    length += 2;
    const minutes = offset / 60 % 60;
    const seconds = offset % 60;
    if (minutes != 0 or seconds != 0) length += putPart(out[length..], minutes);
    if (seconds != 0) length += putPart(out[length..], seconds);
    writer.advance(length);
}

fn putPart(out: []u8, value: u32) usize {
    out[0] = ':';
    digits.two(out[1..3], value);
    return 3;
}

/// Each part with its own sign; a plus where it follows a negative one.
pub fn interval(writer: *Writer, value: Interval) Error!void {
    const out = try writer.reserve(length_max);
    if (std.meta.eql(value, Interval.infinity)) return writer.advance(word(out, "infinity"));
    if (std.meta.eql(value, Interval.negative_infinity)) return writer.advance(word(out, "-infinity"));
    var length: usize = 0;
    var after_negative = false;
    const parts = [_]i32{ @divTrunc(value.months, 12), @rem(value.months, 12), value.days };
    for (parts, [_][]const u8{ "year", "mon", "day" }) |part, unit| {
        if (part == 0) continue;
        if (length > 0) length += word(out[length..], " ");
        if (after_negative and part > 0) length += word(out[length..], "+");
        length += digits.signed(out[length..], part);
        length += word(out[length..], " ");
        length += word(out[length..], unit);
        if (part != 1) length += word(out[length..], "s");
        after_negative = part < 0;
    }
    if (value.microseconds != 0 or length == 0) {
        if (length > 0) length += word(out[length..], " ");
        if (value.microseconds < 0) {
            length += word(out[length..], "-");
        } else if (after_negative) length += word(out[length..], "+");
        length += putDuration(out[length..], @abs(value.microseconds));
    }
    writer.advance(length);
}

inline fn word(out: []u8, text: []const u8) usize {
    @memcpy(out[0..text.len], text);
    return text.len;
}

/// The year has four digits at least; which era it is of stands at the very end.
fn putCivil(out: []u8, civil: datetime.Civil) usize {
    const year: u32 = @abs(if (civil.year > 0) civil.year else 1 - civil.year);
    var length: usize = 4;
    if (year < 10_000) digits.four(out[0..4], year) else length = digits.unsigned(out, year);
    const rest = out[length..][0..6];
    rest[0] = '-';
    digits.two(rest[1..3], civil.month);
    rest[3] = '-';
    digits.two(rest[4..6], civil.day);
    return length + rest.len;
}

fn putEra(out: []u8, civil: datetime.Civil) usize {
    return if (civil.year > 0) 0 else word(out, " BC");
}

fn putDuration(out: []u8, microseconds: u64) usize {
    const seconds = microseconds / std.time.us_per_s;
    return putClock(out, seconds / 3600, @intCast(seconds / 60 % 60), @intCast(seconds % 60), @intCast(microseconds % std.time.us_per_s));
}

/// Hours have two digits at least; a fraction has as many as it needs.
inline fn putClock(out: []u8, hour: u64, minute: u32, second: u32, microsecond: u32) usize {
    var length: usize = 2;
    if (hour < 100) digits.two(out[0..2], @intCast(hour)) else length = digits.unsigned(out, hour);
    const rest = out[length..][0..6];
    rest[0] = ':';
    digits.two(rest[1..3], minute);
    rest[3] = ':';
    digits.two(rest[4..6], second);
    length += rest.len;
    if (microsecond == 0) return length;
    const fraction = out[length..][0..7];
    fraction[0] = '.';
    digits.two(fraction[1..3], microsecond / 10_000);
    digits.four(fraction[3..7], microsecond % 10_000);
    var last: usize = fraction.len;
    while (fraction[last - 1] == '0') last -= 1;
    return length + last;
}

fn expectText(expected: []const u8, function: anytype, arguments: anytype) !void {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    try @call(.auto, function, .{&writer} ++ arguments);
    try std.testing.expectEqualStrings(expected, writer.bytes.items);
}

fn at(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8, microsecond: u32) datetime.Timestamp {
    return .{ .finite = .{
        .civil = .{ .year = year, .month = month, .day = day },
        .clock = .{ .hour = hour, .minute = minute, .second = second, .microsecond = microsecond },
    } };
}

test "dates and timestamps, in both styles" {
    try expectText("2026-01-02", date, .{datetime.Date{ .finite = .{ .year = 2026, .month = 1, .day = 2 } }});
    try expectText("0044-03-15 BC", date, .{datetime.Date{ .finite = .{ .year = -43, .month = 3, .day = 15 } }});
    try expectText("5874897-12-31", date, .{datetime.Date{ .finite = .{ .year = 5_874_897, .month = 12, .day = 31 } }});
    try expectText("-infinity", date, .{@as(datetime.Date, .negative_infinity)});
    const plain = at(2026, 1, 2, 3, 4, 5, 0);
    try expectText("2026-01-02 03:04:05", timestamp, .{ plain, false, .iso });
    try expectText("2026-01-02T03:04:05", timestamp, .{ plain, false, .xsd });
    try expectText("2026-01-02 03:04:05+00", timestamp, .{ plain, true, .iso });
    try expectText("2026-01-02T03:04:05.12+00:00", timestamp, .{ at(2026, 1, 2, 3, 4, 5, 120_000), true, .xsd });
    try expectText("0001-12-31T23:59:59.000001+00:00 BC", timestamp, .{ at(0, 12, 31, 23, 59, 59, 1), true, .xsd });
    try expectText("294276-12-31T23:59:59.999999", timestamp, .{ at(294_276, 12, 31, 23, 59, 59, 999_999), false, .xsd });
    try expectText("infinity", timestamp, .{ @as(datetime.Timestamp, .infinity), true, .xsd });
}

test "times, and what stands behind a timetz" {
    try expectText("00:00:00", time, .{0});
    try expectText("24:00:00", time, .{datetime.microseconds_per_day});
    try expectText("01:02:03.45", time, .{3_723_450_000});
    inline for (.{ .{ -7200, "+02" }, .{ 0, "+00" }, .{ 12_600, "-03:30" }, .{ -3661, "+01:01:01" }, .{ 5, "-00:00:05" } }) |row| {
        try expectText("00:00:01" ++ row[1], timetz, .{datetime.TimeTz{ .microseconds = 1_000_000, .zone_seconds_west = row[0] }});
    }
}

test "intervals, with a sign wherever it changes" {
    inline for (.{
        .{ 0, 0, 0, "00:00:00" },
        .{ 14, 3, 14_706_789_000, "1 year 2 mons 3 days 04:05:06.789" },
        .{ -14, 3, 0, "-1 years -2 mons +3 days" },
        .{ 0, -1, 1, "-1 days +00:00:00.000001" },
        .{ 1, -1, -3_600_000_000, "1 mon -1 days -01:00:00" },
        .{ 0, 0, std.math.minInt(i64), "-2562047788:00:54.775808" },
        .{ 24, 1, 0, "2 years 1 day" },
        .{ std.math.minInt(i32), std.math.minInt(i32), std.math.minInt(i64) + 1, "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807" },
        .{ std.math.maxInt(i32), std.math.maxInt(i32), std.math.maxInt(i64), "infinity" },
    }) |row| try expectText(row[3], interval, .{Interval{ .months = row[0], .days = row[1], .microseconds = row[2] }});
}
