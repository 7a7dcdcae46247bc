//! date, time, timetz, timestamp and timestamptz: counts of days or microseconds from 2000-01-01,
//! to civil dates and clock times and back.
//! PostgreSQL docs: datatype-datetime, "Date/Time Types"; datetime-units-history, "History of Units".
//!
//! The calendar is the proleptic Gregorian one with a year 0 (1 BC), as in the server's own sums.
//! A timestamptz is sent in UTC whatever the session's time zone is.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const scalar = @import("scalar.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const microseconds_per_second = std.time.us_per_s;
pub const microseconds_per_day = std.time.us_per_day;

/// `year` counts 1 BC as 0, 2 BC as -1. Every i32 day and i64 microsecond fits.
pub const Civil = struct { year: i32, month: u8, day: u8 };

pub const Clock = struct { hour: u8, minute: u8, second: u8, microsecond: u32 };

pub const Date = union(enum) { infinity, negative_infinity, finite: Civil };

pub const Timestamp = union(enum) {
    infinity,
    negative_infinity,
    finite: struct { civil: Civil, clock: Clock },
};

/// `microseconds` since midnight, 24:00:00 included. `zone_seconds_west` is positive west of Greenwich, as the server has it.
pub const TimeTz = struct { microseconds: i64, zone_seconds_west: i32 };

pub const date_infinity: i32 = std.math.maxInt(i32);
pub const date_negative_infinity: i32 = std.math.minInt(i32);
pub const timestamp_infinity: i64 = std.math.maxInt(i64);
pub const timestamp_negative_infinity: i64 = std.math.minInt(i64);

/// Zones end before 16 hours on either side.
const zone_seconds_limit = 16 * std.time.s_per_hour;

const days_per_era = 146_097; // 400 years
/// From 0000-03-01, where a computed year begins, to 2000-01-01.
const days_to_epoch = 730_425;
/// Whole eras added so that every i32 day becomes positive, and unsigned division serves.
const eras_added = 14_700;

comptime {
    std.debug.assert(std.math.minInt(i32) + days_to_epoch + eras_added * days_per_era > 0);
}

/// Days since 2000-01-01 to year, month and day. Computed years begin in March, so that the leap
/// day is a year's last.
pub fn civilFromDays(days: i32) Civil {
    const shifted: u64 = @intCast(@as(i64, days) + (days_to_epoch + eras_added * days_per_era));
    const era = shifted / days_per_era;
    const day_of_era = shifted % days_per_era;
    // 1460 days is one short of four years, 36524 a century, 146096 an era less its last day.
    const year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    const day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // 153 days in each five months from March on.
    const month_from_march = (5 * day_of_year + 2) / 153;
    const day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    const month = if (month_from_march < 10) month_from_march + 3 else month_from_march - 9;
    const year = @as(i64, @intCast(era * 400 + year_of_era)) - eras_added * 400 + @intFromBool(month <= 2);
    return .{ .year = @intCast(year), .month = @intCast(month), .day = @intCast(day) };
}

/// Year, month and day to days since 2000-01-01. OutOfRange where there is no such day or an i32 does not hold it.
pub fn daysFromCivil(civil: Civil) error{OutOfRange}!i32 {
    if (civil.month < 1 or civil.month > 12) return error.OutOfRange;
    if (civil.day < 1 or civil.day > daysInMonth(civil.year, civil.month)) return error.OutOfRange;
    const year = @as(i64, civil.year) - @intFromBool(civil.month <= 2);
    const era = @divFloor(year, 400);
    const year_of_era = year - era * 400;
    const month_from_march: i64 = if (civil.month > 2) civil.month - 3 else civil.month + 9;
    const day_of_year = @divTrunc(153 * month_from_march + 2, 5) + civil.day - 1;
    const day_of_era = year_of_era * 365 + @divTrunc(year_of_era, 4) - @divTrunc(year_of_era, 100) + day_of_year;
    return std.math.cast(i32, era * days_per_era + day_of_era - days_to_epoch) orelse error.OutOfRange;
}

fn daysInMonth(year: i32, month: u8) u8 {
    const leap = @mod(year, 4) == 0 and (@mod(year, 100) != 0 or @mod(year, 400) == 0);
    return switch (month) {
        2 => if (leap) 29 else 28,
        4, 6, 9, 11 => 30,
        else => 31,
    };
}

/// Microseconds since midnight to a clock time. 24:00:00 and beyond is OutOfRange: no clock shows it.
pub fn clockFromMicroseconds(microseconds: i64) error{OutOfRange}!Clock {
    if (microseconds < 0 or microseconds >= microseconds_per_day) return error.OutOfRange;
    return clockOfDay(@intCast(microseconds));
}

fn clockOfDay(microseconds: u64) Clock {
    const seconds: u32 = @intCast(microseconds / microseconds_per_second);
    return .{
        .hour = @intCast(seconds / 3600),
        .minute = @intCast(seconds / 60 % 60),
        .second = @intCast(seconds % 60),
        .microsecond = @intCast(microseconds % microseconds_per_second),
    };
}

pub fn microsecondsFromClock(clock: Clock) error{OutOfRange}!i64 {
    if (clock.hour > 23 or clock.minute > 59 or clock.second > 59 or clock.microsecond > 999_999) return error.OutOfRange;
    const seconds = (@as(i64, clock.hour) * 60 + clock.minute) * 60 + clock.second;
    return seconds * microseconds_per_second + clock.microsecond;
}

/// Microseconds since 2000-01-01 00:00:00 for a civil date and clock time.
pub fn microsecondsFromCivil(civil: Civil, clock: Clock) error{OutOfRange}!i64 {
    const days = try daysFromCivil(civil);
    // The first day's midnight lies below an i64, its last hours do not.
    const wide = @as(i128, days) * microseconds_per_day + try microsecondsFromClock(clock);
    const total = std.math.cast(i64, wide) orelse return error.OutOfRange;
    if (total == timestamp_infinity or total == timestamp_negative_infinity) return error.OutOfRange;
    return total;
}

/// Microseconds since 2000-01-01, infinities as their sentinels.
pub fn timestampFromMicroseconds(microseconds: i64) Timestamp {
    if (microseconds == timestamp_infinity) return .infinity;
    if (microseconds == timestamp_negative_infinity) return .negative_infinity;
    const days = @divFloor(microseconds, microseconds_per_day);
    const rest: u64 = @intCast(@mod(microseconds, microseconds_per_day));
    return .{ .finite = .{ .civil = civilFromDays(@intCast(days)), .clock = clockOfDay(rest) } };
}

pub fn decodeDate(body: []const u8) DecodeError!Date {
    const days = try scalar.decodeInt(i32, body);
    return switch (days) {
        date_infinity => .infinity,
        date_negative_infinity => .negative_infinity,
        else => .{ .finite = civilFromDays(days) },
    };
}

pub fn encodeDate(writer: *protocol.WriteBuffer, value: Date) EncodeError!void {
    try writer.writeInt(i32, switch (value) {
        .infinity => date_infinity,
        .negative_infinity => date_negative_infinity,
        .finite => |civil| try finiteDays(civil),
    });
}

fn finiteDays(civil: Civil) error{OutOfRange}!i32 {
    const days = try daysFromCivil(civil);
    if (days == date_infinity or days == date_negative_infinity) return error.OutOfRange;
    return days;
}

/// timestamp and timestamptz alike; the latter is UTC.
pub fn decodeTimestamp(body: []const u8) DecodeError!Timestamp {
    return timestampFromMicroseconds(try scalar.decodeInt(i64, body));
}

pub fn encodeTimestamp(writer: *protocol.WriteBuffer, value: Timestamp) EncodeError!void {
    try writer.writeInt(i64, switch (value) {
        .infinity => timestamp_infinity,
        .negative_infinity => timestamp_negative_infinity,
        .finite => |finite| try microsecondsFromCivil(finite.civil, finite.clock),
    });
}

/// Microseconds since midnight, up to and including 24:00:00.
pub fn decodeTime(body: []const u8) DecodeError!i64 {
    const microseconds = try scalar.decodeInt(i64, body);
    try checkTime(microseconds);
    return microseconds;
}

pub fn encodeTime(writer: *protocol.WriteBuffer, microseconds: i64) EncodeError!void {
    try checkTime(microseconds);
    try writer.writeInt(i64, microseconds);
}

pub fn decodeTimeTz(body: []const u8) DecodeError!TimeTz {
    var cursor: Cursor = .init(body);
    const value: TimeTz = .{ .microseconds = try cursor.int(i64), .zone_seconds_west = try cursor.int(i32) };
    try cursor.finish();
    try checkTimeTz(value);
    return value;
}

pub fn encodeTimeTz(writer: *protocol.WriteBuffer, value: TimeTz) EncodeError!void {
    try checkTimeTz(value);
    try writer.writeInt(i64, value.microseconds);
    try writer.writeInt(i32, value.zone_seconds_west);
}

fn checkTime(microseconds: i64) error{OutOfRange}!void {
    if (microseconds < 0 or microseconds > microseconds_per_day) return error.OutOfRange;
}

fn checkTimeTz(value: TimeTz) error{OutOfRange}!void {
    try checkTime(value.microseconds);
    const zone = value.zone_seconds_west;
    if (zone <= -zone_seconds_limit or zone >= zone_seconds_limit) return error.OutOfRange;
}

const testing = @import("testing.zig");
const hex = testing.hex;

fn ymd(year: i32, month: u8, day: u8) Civil {
    return .{ .year = year, .month = month, .day = day };
}

test "dates, as the server's date_send gives them" {
    const rows = .{
        .{ ymd(2000, 1, 1), "00000000" },    .{ ymd(1999, 12, 31), "ffffffff" },
        .{ ymd(1, 1, 1), "fff4dbf9" },       .{ ymd(0, 12, 31), "fff4dbf8" },
        .{ ymd(9999, 12, 31), "002c95d3" },  .{ ymd(2024, 2, 29), "00002279" },
        .{ ymd(1900, 2, 28), "ffff718e" },   .{ ymd(1970, 1, 1), "ffffd533" },
        .{ ymd(-4712, 11, 24), "ffda9915" }, .{ ymd(5_874_897, 12, 31), "7fda970c" },
    };
    inline for (rows) |row| {
        try std.testing.expectEqual(Date{ .finite = row[0] }, try decodeDate(hex(row[1])));
        try testing.expectEncoded(encodeDate, Date{ .finite = row[0] }, hex(row[1]));
        try testing.checkBytes(decodeDate, hex(row[1]));
    }
    try std.testing.expectEqual(@as(Date, .infinity), try decodeDate(hex("7fffffff")));
    try std.testing.expectEqual(@as(Date, .negative_infinity), try decodeDate(hex("80000000")));
    try testing.expectEncoded(encodeDate, @as(Date, .infinity), hex("7fffffff"));
    try testing.expectEncoded(encodeDate, @as(Date, .negative_infinity), hex("80000000"));
}

test "a day that no calendar has is out of range" {
    inline for (.{
        ymd(2023, 2, 29),                ymd(1900, 2, 29), ymd(2023, 4, 31), ymd(2023, 0, 1),
        ymd(2023, 13, 1),                ymd(2023, 1, 0),  ymd(2023, 1, 32), ymd(std.math.maxInt(i32), 1, 1),
        ymd(std.math.minInt(i32), 1, 1),
    }) |bad| try testing.expectEncodeError(error.OutOfRange, encodeDate, Date{ .finite = bad });
}

test "every day is the day after the one before it, and comes back as itself" {
    var previous = civilFromDays(-800_001);
    var days: i32 = -800_000;
    while (days < 800_000) : (days += 1) {
        const today = civilFromDays(days);
        try std.testing.expectEqual(days, try daysFromCivil(today));
        const next = if (previous.day < daysInMonth(previous.year, previous.month))
            ymd(previous.year, previous.month, previous.day + 1)
        else if (previous.month < 12) ymd(previous.year, previous.month + 1, 1) else ymd(previous.year + 1, 1, 1);
        try std.testing.expectEqual(next, today);
        previous = today;
    }
}

test "the smallest and the largest day and microsecond do not overflow" {
    inline for (.{ std.math.minInt(i32), std.math.minInt(i32) + 1, std.math.maxInt(i32) - 1, std.math.maxInt(i32) }) |days| {
        try std.testing.expectEqual(days, try daysFromCivil(civilFromDays(days)));
    }
    inline for (.{ std.math.minInt(i64) + 1, std.math.maxInt(i64) - 1 }) |microseconds| {
        const finite = timestampFromMicroseconds(microseconds).finite;
        try std.testing.expectEqual(microseconds, try microsecondsFromCivil(finite.civil, finite.clock));
    }
    try std.testing.expectError(error.OutOfRange, microsecondsFromCivil(ymd(300_000, 1, 1), clockOfDay(0)));
    try std.testing.expectError(error.OutOfRange, microsecondsFromCivil(ymd(-300_000, 1, 1), clockOfDay(0)));
}

test "timestamps, as the server's timestamp_send gives them" {
    const last: Clock = .{ .hour = 23, .minute = 59, .second = 59, .microsecond = 999_999 };
    const midnight: Clock = .{ .hour = 0, .minute = 0, .second = 0, .microsecond = 0 };
    const noonish: Clock = .{ .hour = 12, .minute = 34, .second = 56, .microsecond = 789_012 };
    const rows = .{
        .{ ymd(2000, 1, 1), midnight, "0000000000000000" },
        .{ ymd(1999, 12, 31), last, "ffffffffffffffff" },
        .{ ymd(1, 1, 1), midnight, "ff1fe2ffc59c6000" },
        .{ ymd(9999, 12, 31), last, "0380e70b913b7fff" },
        .{ ymd(-4712, 11, 24), midnight, "fd0f9983eb0ae000" },
        .{ ymd(294_276, 12, 31), last, "7fffff5bb3b29fff" },
        .{ ymd(2024, 2, 29), noonish, "0002b58341728614" },
    };
    inline for (rows) |row| {
        const value: Timestamp = .{ .finite = .{ .civil = row[0], .clock = row[1] } };
        try std.testing.expectEqual(value, try decodeTimestamp(hex(row[2])));
        try testing.expectEncoded(encodeTimestamp, value, hex(row[2]));
        try testing.checkBytes(decodeTimestamp, hex(row[2]));
    }
    try std.testing.expectEqual(@as(Timestamp, .infinity), try decodeTimestamp(hex("7fffffffffffffff")));
    try std.testing.expectEqual(@as(Timestamp, .negative_infinity), try decodeTimestamp(hex("8000000000000000")));
    try testing.expectEncoded(encodeTimestamp, @as(Timestamp, .infinity), hex("7fffffffffffffff"));
    try testing.expectEncoded(encodeTimestamp, @as(Timestamp, .negative_infinity), hex("8000000000000000"));
}

test "times reach from midnight to 24:00:00, which no clock shows" {
    const rows = .{
        .{ 0, "0000000000000000" },
        .{ microseconds_per_day, "000000141dd76000" },
        .{ microseconds_per_day - 1, "000000141dd75fff" },
        .{ 45_296_000_001, "0000000a8bda1c01" },
    };
    inline for (rows) |row| {
        try std.testing.expectEqual(row[0], try decodeTime(hex(row[1])));
        try testing.expectEncoded(encodeTime, @as(i64, row[0]), hex(row[1]));
        try testing.checkBytes(decodeTime, hex(row[1]));
    }
    try std.testing.expectError(error.OutOfRange, decodeTime(hex("000000141dd76001")));
    try std.testing.expectError(error.OutOfRange, decodeTime(hex("ffffffffffffffff")));
    try testing.expectEncodeError(error.OutOfRange, encodeTime, @as(i64, -1));
    try std.testing.expectError(error.OutOfRange, clockFromMicroseconds(microseconds_per_day));
    const clock: Clock = .{ .hour = 12, .minute = 34, .second = 56, .microsecond = 1 };
    try std.testing.expectEqual(clock, try clockFromMicroseconds(45_296_000_001));
    try std.testing.expectEqual(45_296_000_001, try microsecondsFromClock(clock));
    try std.testing.expectError(error.OutOfRange, microsecondsFromClock(.{ .hour = 24, .minute = 0, .second = 0, .microsecond = 0 }));
}

test "timetz counts its zone west of Greenwich, seconds included" {
    const rows = .{
        .{ 0, 0, "000000000000000000000000" },
        .{ microseconds_per_day, 57_599, "000000141dd760000000e0ff" },
        .{ microseconds_per_day - 1, -57_599, "000000141dd75fffffff1f01" },
        .{ 45_296_000_001, -19_800, "0000000a8bda1c01ffffb2a8" },
    };
    inline for (rows) |row| {
        const value: TimeTz = .{ .microseconds = row[0], .zone_seconds_west = row[1] };
        try std.testing.expectEqual(value, try decodeTimeTz(hex(row[2])));
        try testing.expectEncoded(encodeTimeTz, value, hex(row[2]));
        try testing.checkBytes(decodeTimeTz, hex(row[2]));
    }
    try std.testing.expectError(error.OutOfRange, decodeTimeTz(hex("00000000000000000000e100")));
    try std.testing.expectError(error.OutOfRange, decodeTimeTz(hex("000000000000000080000000")));
    try testing.expectEncodeError(error.OutOfRange, encodeTimeTz, TimeTz{ .microseconds = 0, .zone_seconds_west = -57_600 });
}

fn fuzzDatetime(_: void, smith: *std.testing.Smith) anyerror!void {
    const days = smith.value(i32);
    try std.testing.expectEqual(days, try daysFromCivil(civilFromDays(days)));
    const microseconds = smith.value(i64);
    switch (timestampFromMicroseconds(microseconds)) {
        .infinity, .negative_infinity => {},
        .finite => |finite| try std.testing.expectEqual(microseconds, try microsecondsFromCivil(finite.civil, finite.clock)),
    }
    var buffer: [16]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    if (decodeTimeTz(body)) |value| try testing.expectEncoded(encodeTimeTz, value, body) else |_| {}
}

test "fuzz: days and microseconds come back as themselves" {
    try std.testing.fuzz({}, fuzzDatetime, .{});
}
