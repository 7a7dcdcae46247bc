//! Python's dates, times and intervals to their binary bodies.
//! PostgreSQL docs: datatype-datetime, "Date/Time Types". The ends of Python's range stand for infinity.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const encode = @import("encode.zig");
const scalars = @import("encode_scalars.zig");
const datetime = types.datetime;
const Object = py.Object;
const Context = encode.Context;
const Writer = encode.Writer;
const Inner = encode.Inner;

const Moment = struct { civil: datetime.Civil, clock: datetime.Clock };

/// A datetime goes by its date.
pub fn date(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const api = context.classes.datetime;
    if (py.hd_is(object, api.date_type) == 0) return scalars.notThis(context, "date", object);
    const civil = civilOf(object);
    const value: datetime.Date = if (isLast(civil)) .infinity else if (isFirst(civil)) .negative_infinity else .{ .finite = civil };
    try datetime.encodeDate(writer, value);
}

/// A date is midnight. An aware datetime is refused: the server would have to drop its zone.
pub fn timestamp(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const api = context.classes.datetime;
    if (py.hd_is(object, api.datetime_type) == 0) {
        if (py.hd_is(object, api.date_type) == 0) return scalars.notThis(context, "datetime", object);
        const civil = civilOf(object);
        return write(writer, .{ .civil = civil, .clock = .{ .hour = 0, .minute = 0, .second = 0, .microsecond = 0 } }, isLast(civil), 0);
    }
    if (try offset(context, object, py.hd_datetime_tzinfo(object)) != null) {
        context.say("aware datetime for timestamp; use timestamptz, or drop the zone with replace(tzinfo=None)", .{});
        return error.Mismatch;
    }
    const moment = momentOf(object);
    try write(writer, moment, isLastMoment(moment), 0);
}

/// Naive datetimes are refused, except the two that stand for infinity.
pub fn timestamptz(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const api = context.classes.datetime;
    if (py.hd_is(object, api.datetime_type) == 0) return scalars.notThis(context, "an aware datetime", object);
    const moment = momentOf(object);
    const infinite = isLastMoment(moment) or isFirstMoment(moment);
    const zone = try offset(context, object, py.hd_datetime_tzinfo(object)) orelse if (infinite) 0 else {
        context.say("naive datetime for timestamptz; give it a tzinfo", .{});
        return error.Mismatch;
    };
    try write(writer, moment, isLastMoment(moment), zone);
}

/// `zone_microseconds` is east of Greenwich.
fn write(writer: *Writer, moment: Moment, infinite: bool, zone_microseconds: i64) Inner!void {
    if (infinite) return datetime.encodeTimestamp(writer, .infinity);
    if (isFirstMoment(moment)) return datetime.encodeTimestamp(writer, .negative_infinity);
    // Python's years keep the sum far from the ends of an i64.
    const local = try datetime.microsecondsFromCivil(moment.civil, moment.clock);
    try types.scalar.encodeInt(i64, writer, local - zone_microseconds);
}

pub fn time(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_is(object, context.classes.datetime.time_type) == 0) return scalars.notThis(context, "time", object);
    if (try offset(context, object, py.hd_time_tzinfo(object)) != null) {
        context.say("aware time for time without time zone", .{});
        return error.Mismatch;
    }
    try datetime.encodeTime(writer, try timeOf(object));
}

pub fn timetz(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_is(object, context.classes.datetime.time_type) == 0) return scalars.notThis(context, "an aware time", object);
    const zone = try offset(context, object, py.hd_time_tzinfo(object)) orelse {
        context.say("naive time for timetz; give it a tzinfo with a fixed offset", .{});
        return error.Mismatch;
    };
    const seconds: i32 = @intCast(@divTrunc(zone, std.time.us_per_s)); // an offset is less than a day
    try datetime.encodeTimeTz(writer, .{ .microseconds = try timeOf(object), .zone_seconds_west = -seconds });
}

/// A timedelta goes as days and microseconds; only an Interval has months.
pub fn interval(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_is(object, context.classes.datetime.delta_type) != 0) {
        var fields: [3]c_int = undefined;
        py.hd_delta_fields(object, &fields);
        return types.interval.encode(writer, deltaInterval(fields));
    }
    if (py.hd_is(object, @ptrCast(context.classes.interval)) == 0) {
        return scalars.notThis(context, "timedelta or Interval", object);
    }
    if (py.hd_tuple_size(object) != 3) return scalars.notThis(context, "an Interval of three numbers", object);
    try types.interval.encode(writer, .{
        .months = try part(i32, context, object, 0),
        .days = try part(i32, context, object, 1),
        .microseconds = try part(i64, context, object, 2),
    });
}

fn deltaInterval(fields: [3]c_int) types.interval.Interval {
    // The ends of timedelta's range are where an infinite interval is read from.
    if (std.mem.eql(c_int, &fields, &.{ 999_999_999, 86_399, 999_999 })) return .infinity;
    if (std.mem.eql(c_int, &fields, &.{ -999_999_999, 0, 0 })) return .negative_infinity;
    return .{ .months = 0, .days = fields[0], .microseconds = @as(i64, fields[1]) * std.time.us_per_s + fields[2] };
}

fn part(comptime T: type, context: *Context, tuple: *Object, index: isize) Inner!T {
    const item = py.hd_tuple_get(tuple, index);
    if (py.hd_flags(item) & py.flag.long == 0) return scalars.notThis(context, "ints in an Interval", item);
    var overflow: c_int = 0;
    const value = py.PyLong_AsLongLongAndOverflow(item, &overflow);
    if (overflow == 0) if (std.math.cast(T, value)) |narrow| return narrow;
    context.say("the interval's parts are out of range", .{});
    return error.Mismatch;
}

/// Microseconds east of Greenwich, null for a naive object.
fn offset(context: *Context, object: *Object, zone: *Object) Inner!?i64 {
    if (zone == py.hd_none()) return null;
    const api = context.classes.datetime;
    if (zone == api.utc) return 0;
    const arguments: [1]?*Object = .{object};
    const delta = py.PyObject_VectorcallMethod(context.classes.names.utcoffset, &arguments, 1, null) orelse return encode.complaint(context);
    defer py.decref(delta);
    if (py.hd_is(delta, api.delta_type) == 0) return null;
    var fields: [3]c_int = undefined;
    py.hd_delta_fields(delta, &fields);
    return @as(i64, fields[0]) * std.time.us_per_day + @as(i64, fields[1]) * std.time.us_per_s + fields[2];
}

fn civilOf(object: *Object) datetime.Civil {
    var fields: [3]c_int = undefined;
    py.hd_date_fields(object, &fields);
    return .{ .year = fields[0], .month = @intCast(fields[1]), .day = @intCast(fields[2]) };
}

fn momentOf(object: *Object) Moment {
    var fields: [7]c_int = undefined;
    py.hd_datetime_fields(object, &fields);
    return .{
        .civil = .{ .year = fields[0], .month = @intCast(fields[1]), .day = @intCast(fields[2]) },
        .clock = .{
            .hour = @intCast(fields[3]),
            .minute = @intCast(fields[4]),
            .second = @intCast(fields[5]),
            .microsecond = @intCast(fields[6]),
        },
    };
}

fn timeOf(object: *Object) Inner!i64 {
    var fields: [4]c_int = undefined;
    py.hd_time_fields(object, &fields);
    return datetime.microsecondsFromClock(.{
        .hour = @intCast(fields[0]),
        .minute = @intCast(fields[1]),
        .second = @intCast(fields[2]),
        .microsecond = @intCast(fields[3]),
    });
}

fn isLast(civil: datetime.Civil) bool {
    return civil.year == 9999 and civil.month == 12 and civil.day == 31;
}

fn isFirst(civil: datetime.Civil) bool {
    return civil.year == 1 and civil.month == 1 and civil.day == 1;
}

fn isLastMoment(moment: Moment) bool {
    return isLast(moment.civil) and
        std.meta.eql(moment.clock, .{ .hour = 23, .minute = 59, .second = 59, .microsecond = 999_999 });
}

fn isFirstMoment(moment: Moment) bool {
    return isFirst(moment.civil) and std.meta.eql(moment.clock, .{ .hour = 0, .minute = 0, .second = 0, .microsecond = 0 });
}
