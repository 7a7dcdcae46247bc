//! Dates, times and intervals to Python's datetime, through its C API and without temporaries.
//! PostgreSQL docs: datatype-datetime, "Date/Time Types". Python's years are 1 to 9999; infinities
//! become the ends of Python's range, everything else outside of it is refused.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = decode.Context;
const Failure = decode.Failure;
const wire = decode.wire;

const year_min = 1;
const year_max = 9999;

pub fn date(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return switch (try wire(types.datetime.decodeDate(body))) {
        .infinity => makeDate(context, year_max, 12, 31),
        .negative_infinity => makeDate(context, year_min, 1, 1),
        .finite => |civil| {
            try checkYear(context, civil.year);
            return makeDate(context, civil.year, civil.month, civil.day);
        },
    };
}

fn makeDate(context: *Context, year: i32, month: u8, day: u8) Failure!*Object {
    const api = context.classes.datetime;
    return py.checked(api.dateFromDate(year, month, day, api.date_type));
}

fn checkYear(context: *Context, year: i32) Failure!void {
    if (year >= year_min and year <= year_max) return;
    if (year < year_min) {
        context.say("year {d} BC is before Python's first; cast the column to text", .{1 - @as(i64, year)});
    } else {
        context.say("year {d} is after Python's last, {d}; cast the column to text", .{ year, year_max });
    }
    return error.NotRepresentable;
}

pub fn timestamp(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return makeTimestamp(context, body, py.hd_none());
}

/// The server sends UTC whatever the session's time zone is.
pub fn timestamptz(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return makeTimestamp(context, body, context.classes.datetime.utc);
}

inline fn makeTimestamp(context: *Context, body: []const u8, zone: *Object) Failure!*Object {
    const api = context.classes.datetime;
    const make = api.dateTimeFromDateAndTime;
    return py.checked(switch (try wire(types.datetime.decodeTimestamp(body))) {
        .infinity => make(year_max, 12, 31, 23, 59, 59, 999_999, zone, api.datetime_type),
        .negative_infinity => make(year_min, 1, 1, 0, 0, 0, 0, zone, api.datetime_type),
        .finite => |at| finite: {
            try checkYear(context, at.civil.year);
            break :finite make(
                at.civil.year,
                at.civil.month,
                at.civil.day,
                at.clock.hour,
                at.clock.minute,
                at.clock.second,
                @intCast(at.clock.microsecond),
                zone,
                api.datetime_type,
            );
        },
    });
}

pub fn time(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return makeTime(context, try wire(types.datetime.decodeTime(body)), py.hd_none());
}

pub fn timetz(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const api = context.classes.datetime;
    const value = try wire(types.datetime.decodeTimeTz(body));
    const offset = try py.checked(api.deltaFromDelta(0, -value.zone_seconds_west, 0, 1, api.delta_type));
    defer py.decref(offset);
    const zone = try py.checked(api.timeZoneFromTimeZone(offset, null));
    defer py.decref(zone);
    return makeTime(context, value.microseconds, zone);
}

fn makeTime(context: *Context, microseconds: i64, zone: *Object) Failure!*Object {
    const api = context.classes.datetime;
    const clock = types.datetime.clockFromMicroseconds(microseconds) catch {
        context.say("24:00:00 has no time in Python; cast the column to text", .{});
        return error.NotRepresentable;
    };
    return py.checked(api.timeFromTime(clock.hour, clock.minute, clock.second, @intCast(clock.microsecond), zone, api.time_type));
}

pub fn interval(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(types.interval.decode(body));
    if (context.map.exact_intervals) return exact(context, value);
    return makeDelta(context, value);
}

fn exact(context: *Context, value: types.interval.Interval) Failure!*Object {
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(context.classes.interval), 3));
    errdefer py.decref(result);
    for ([_]i64{ value.months, value.days, value.microseconds }, 0..) |part, i| {
        py.hd_tuple_set(result, @intCast(i), try py.checked(py.PyLong_FromLongLong(part)));
    }
    return result;
}

/// timedelta reaches 999 999 999 days on either side; an infinite interval becomes the end it lies beyond.
fn makeDelta(context: *Context, value: types.interval.Interval) Failure!*Object {
    const api = context.classes.datetime;
    const days_max = 999_999_999;
    if (value.isInfinite()) {
        if (value.months > 0) return py.checked(api.deltaFromDelta(days_max, 86_399, 999_999, 0, api.delta_type));
        return py.checked(api.deltaFromDelta(-days_max, 0, 0, 0, api.delta_type));
    }
    // Towards zero, as the server splits months into years.
    const years: i64 = @divTrunc(value.months, 12);
    const months: i64 = @rem(value.months, 12);
    const of_day = @mod(value.microseconds, std.time.us_per_day);
    const days = years * 365 + months * 30 + value.days + @divFloor(value.microseconds, std.time.us_per_day);
    if (days > days_max or days < -days_max) {
        context.say("an interval of {d} days is more than a timedelta holds; ask for exact intervals or cast the column to text", .{days});
        return error.NotRepresentable;
    }
    const seconds: c_int = @intCast(@divTrunc(of_day, std.time.us_per_s));
    const microseconds: c_int = @intCast(@rem(of_day, std.time.us_per_s));
    return py.checked(api.deltaFromDelta(@intCast(days), seconds, microseconds, 0, api.delta_type));
}
