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
    const day_start = std.math.mul(i64, days, microseconds_per_day) catch return error.OutOfRange;
    const total = std.math.add(i64, day_start, try microsecondsFromClock(clock)) catch return error.OutOfRange;
    if (total == timestamp_infinity or total == timestamp_negative_infinity) return error.OutOfRange;
    return total;
}

/// Microseconds since 2000-01-01, infinities as their sentinels.
pub fn timestampFromMicroseconds(microseconds: i64) Timestamp {
    if (microseconds == timestamp_infinity) return .infinity;
    if (microseconds == timestamp_negative_infinity) return .negative_infinity;
    const days = @divFloor(microseconds, microseconds_per_day);
    const rest: u64 = @intCast(microseconds - days * microseconds_per_day);
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
