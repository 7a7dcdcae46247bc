//! Values of Arrow in the binary form of a PostgreSQL type: which pairs there are, and each value's bytes.
//! Nothing is rounded or cut: what does not fit is refused.
//! PostgreSQL docs: sql-copy, "Binary Format"; datatype, "Data Types".
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const column = @import("column.zig");
const foreign = @import("foreign.zig");
const node_file = @import("node.zig");
const text_file = @import("text.zig");
const Field = foreign.Field;
const Node = node_file.Node;
const Value = node_file.Value;
const Writer = protocol.WriteBuffer;

pub const Error = Writer.Error || node_file.ValueError || error{
    /// The value does not fit; `problem` says why.
    Refused,
};

/// A type of the server's as a target of values.
pub const Target = struct {
    oid: u32,
    kind: types.Kind,
    /// Has a binary form.
    binary: bool = true,
    element: ?*const Target = null,
    lower_bound: i32 = 1,
};

/// How values of one Arrow type get to one of the server's types.
pub const Way = enum {
    binary,
    /// As text, which the server reads: the whole COPY is in text format then.
    text,
    none,
};

pub fn wayOf(field: *const Field, target: *const Target) Way {
    const kind = field.valueKind();
    if (kind == .nothing) return .binary;
    if (kind == .list or kind == .fixed_list) return ofList(field.valueField(), target);
    if (kind == .text or kind == .text_view) return ofText(target);
    if (!target.binary) return .none;
    const fits = switch (kind) {
        .boolean => target.kind == .bool,
        .integer => switch (target.kind) {
            .int2, .int4, .int8, .oid, .xid8, .numeric, .float4, .float8 => true,
            else => false,
        },
        .float => switch (target.kind) {
            .float4, .float8, .numeric, .int2, .int4, .int8 => true,
            else => false,
        },
        .decimal => target.kind == .numeric,
        .binary, .binary_view => target.kind == .bytea or target.kind == .uuid,
        .fixed => |size| target.kind == .bytea or (target.kind == .uuid and size == 16),
        .date => target.kind == .date or target.kind == .timestamp,
        .time => target.kind == .time,
        .timestamp => |moment| target.kind == @as(types.Kind, if (moment.has_zone) .timestamptz else .timestamp),
        .duration, .months, .day_time, .month_day_nano => target.kind == .interval,
        else => false,
    };
    return if (fits) .binary else .none;
}

fn ofText(target: *const Target) Way {
    if (!target.binary) return .text;
    return switch (target.kind) {
        .text, .json, .jsonb, .numeric, .uuid => .binary,
        else => .text,
    };
}

fn ofList(field: *const Field, target: *const Target) Way {
    const of = &field.children[0];
    switch (target.kind) {
        .vector, .halfvec => return switch (of.valueKind()) {
            .float, .integer => .binary,
            else => .none,
        },
        .array => {},
        else => return .none,
    }
    const element = target.element.?;
    // A list of lists may be ragged, which no array is.
    if (element.kind == .array) return .none;
    switch (of.valueKind()) {
        .list, .fixed_list => return if (element.kind == .vector or element.kind == .halfvec) wayOf(of, element) else .none,
        else => {},
    }
    const way = wayOf(of, element);
    return if (way == .binary and !target.binary) .text else way;
}

/// Write a value with its length in front, NULL too.
pub fn write(writer: *Writer, target: *const Target, value: Value, problem: *[]const u8) Error!void {
    if (value == .nothing) return writer.writeNull();
    const mark = try writer.beginValue();
    writeBody(writer, target, value, problem) catch |err| return switch (err) {
        error.InvalidValue => refuse(problem, "it is no value of this type"),
        error.OutOfRange => refuse(problem, out_of_range),
        else => |other| other,
    };
    try writer.endValue(mark);
}

const out_of_range = "the value is out of range";

fn refuse(problem: *[]const u8, why: []const u8) error{Refused} {
    problem.* = why;
    return error.Refused;
}

/// Pairs that `wayOf` does not name do not come here.
fn writeBody(writer: *Writer, target: *const Target, value: Value, problem: *[]const u8) (Error || types.EncodeError)!void {
    switch (target.kind) {
        .bool => try types.scalar.encodeBool(writer, value.boolean),
        .int2 => try integer(i16, writer, value, problem),
        .int4 => try integer(i32, writer, value, problem),
        .int8 => try integer(i64, writer, value, problem),
        .oid => try integer(u32, writer, value, problem),
        .xid8 => try integer(u64, writer, value, problem),
        .float4 => try types.scalar.encodeFloat4(writer, try float(f32, value, problem)),
        .float8 => try types.scalar.encodeFloat(f64, writer, try float(f64, value, problem)),
        .numeric => try numeric(writer, value),
        .text, .json => try text(writer, value.text, problem),
        .jsonb => {
            try types.versioned.begin(writer);
            try text(writer, value.text, problem);
        },
        .bytea => try writer.writeBytes(value.bytes),
        .uuid => try uuid(writer, value),
        .date => try writer.writeInt(i32, try days(value.days)),
        .time => try types.datetime.encodeTime(writer, try microseconds(value, problem)),
        .timestamp, .timestamptz => try timestamp(writer, value, problem),
        .interval => try interval(writer, value, problem),
        .array => try array(writer, target, value, problem),
        .vector => try vector(f32, writer, value, problem),
        .halfvec => try vector(f16, writer, value, problem),
        else => return refuse(problem, "it has no binary form"),
    }
}

fn integer(comptime T: type, writer: *Writer, value: Value, problem: *[]const u8) (Error || types.EncodeError)!void {
    const number: i128 = switch (value) {
        .integer => |number| number,
        .float => |number| number: {
            if (!std.math.isFinite(number) or @trunc(number) != number) return refuse(problem, "it is no whole number");
            if (@abs(number) > 1e20) return error.OutOfRange;
            break :number @intFromFloat(number);
        },
        else => return error.InvalidValue,
    };
    try writer.writeInt(T, std.math.cast(T, number) orelse return error.OutOfRange);
}

/// For a column of `T`. A float may have more digits, an integer may not: those who count want all of them.
fn float(comptime T: type, value: Value, problem: *[]const u8) (Error || types.EncodeError)!f64 {
    switch (value) {
        .float => |number| return number,
        .integer => |number| {
            const near: f64 = @floatFromInt(number);
            const narrow: T = @floatCast(near);
            if (!std.math.isFinite(narrow)) return error.OutOfRange;
            if (@as(i128, @intFromFloat(narrow)) != number) return refuse(problem, "the integer has more digits than a float holds");
            return near;
        },
        else => return error.InvalidValue,
    }
}

fn numeric(writer: *Writer, value: Value) types.EncodeError!void {
    switch (value) {
        .integer => |number| try digits(writer, number < 0, @abs(number), 0),
        .decimal => |decimal| try digits(writer, decimal.value < 0, @abs(decimal.value), decimal.scale),
        .float => |number| {
            var shortest: [512]u8 = undefined;
            try types.numeric.fromText(writer, std.fmt.bufPrint(&shortest, "{e}", .{number}) catch unreachable); // twenty-odd characters
        },
        .text => |given| try types.numeric.fromText(writer, std.mem.trim(u8, given, &std.ascii.whitespace)),
        else => return error.InvalidValue,
    }
}

/// A numeric of `magnitude` units of 10 to the power -`scale`.
fn digits(writer: *Writer, negative: bool, magnitude: u256, scale: i32) types.EncodeError!void {
    if (magnitude <= std.math.maxInt(u64) / 1000 and scale >= 0) return groupsOf(u64, writer, negative, @intCast(magnitude), scale);
    if (magnitude <= std.math.maxInt(u128) / 1000 and scale >= 0) return groupsOf(u128, writer, negative, @intCast(magnitude), scale);
    return groupsOf(u512, writer, negative, magnitude, scale);
}

fn groupsOf(comptime U: type, writer: *Writer, negative: bool, magnitude: U, scale: i32) types.EncodeError!void {
    var rest = magnitude;
    // The point stands between two groups.
    var shift: i32 = @mod(-scale, 4);
    while (shift > 0) : (shift -= 1) rest *= 10;
    var weight = -@divFloor(scale + 3, 4);
    var groups: [64]u16 = undefined;
    var count: usize = 0;
    while (rest != 0) {
        const group: u16 = @intCast(rest % 10_000);
        rest /= 10_000;
        // Zeros at the end are not written.
        if (group == 0 and count == 0) {
            weight += 1;
            continue;
        }
        groups[count] = group;
        count += 1;
    }
    try writer.writeInt(u16, @intCast(count));
    try writer.writeInt(i16, if (count == 0) 0 else @intCast(weight + @as(i32, @intCast(count)) - 1));
    try writer.writeInt(u16, if (negative) types.numeric.sign_negative else types.numeric.sign_positive);
    try writer.writeInt(u16, @intCast(@max(scale, 0)));
    while (count > 0) {
        count -= 1;
        try writer.writeInt(u16, groups[count]);
    }
}

/// What the server's text may be: UTF-8 without a NUL.
pub fn text(writer: *Writer, given: []const u8, problem: *[]const u8) Error!void {
    if (std.mem.findScalar(u8, given, 0) != null) return refuse(problem, "it contains a NUL character");
    if (!text_file.isUtf8(given)) return refuse(problem, "it is not UTF-8");
    try writer.writeBytes(given);
}

fn uuid(writer: *Writer, value: Value) types.EncodeError!void {
    switch (value) {
        .bytes => |bytes| {
            if (bytes.len != 16) return error.InvalidValue;
            try writer.writeBytes(bytes);
        },
        .text => |given| {
            var out: [16]u8 = undefined;
            var count: usize = 0;
            for (std.mem.trim(u8, given, "{}")) |character| {
                if (character == '-') continue;
                const digit = std.fmt.charToDigit(character, 16) catch return error.InvalidValue;
                if (count == 32) return error.InvalidValue;
                out[count / 2] = if (count % 2 == 0) digit << 4 else out[count / 2] | digit;
                count += 1;
            }
            if (count != 32) return error.InvalidValue;
            try writer.writeBytes(&out);
        },
        else => return error.InvalidValue,
    }
}

/// From 1970 to 2000, as the server counts. Its calendar begins in 4714 BC and the last number is an infinity.
fn days(since_1970: i64) types.EncodeError!i32 {
    const value = std.math.sub(i64, since_1970, column.epoch_days) catch return error.OutOfRange;
    if (value < -2_451_545 or value > 2_145_031_948) return error.OutOfRange;
    return @intCast(value);
}

fn microseconds(value: Value, problem: *[]const u8) (Error || types.EncodeError)!i64 {
    const moment = value.moment;
    const factor: i64 = switch (moment.unit) {
        .second => std.time.us_per_s,
        .millisecond => 1000,
        .microsecond => 1,
        .nanosecond => return wholeMicroseconds(moment.count, problem),
    };
    return std.math.mul(i64, moment.count, factor) catch error.OutOfRange;
}

fn wholeMicroseconds(nanoseconds: i64, problem: *[]const u8) error{Refused}!i64 {
    if (@mod(nanoseconds, 1000) != 0) return refuse(problem, "it has nanoseconds, and PostgreSQL counts microseconds: round it first");
    return @divExact(nanoseconds, 1000);
}

/// The first and the last moment that the server has; beyond are its infinities.
const timestamp_min = -211_813_488_000_000_000;
const timestamp_end = 9_223_371_331_200_000_000;

fn timestamp(writer: *Writer, value: Value, problem: *[]const u8) (Error || types.EncodeError)!void {
    const since_1970 = switch (value) {
        .days => |count| std.math.mul(i64, count, types.datetime.microseconds_per_day) catch return error.OutOfRange,
        else => try microseconds(value, problem),
    };
    const since_2000 = std.math.sub(i64, since_1970, column.epoch_microseconds) catch return error.OutOfRange;
    if (since_2000 < timestamp_min or since_2000 >= timestamp_end) return error.OutOfRange;
    try writer.writeInt(i64, since_2000);
}

fn interval(writer: *Writer, value: Value, problem: *[]const u8) (Error || types.EncodeError)!void {
    try types.interval.encode(writer, switch (value) {
        .span => |span| .{ .months = span.months, .days = span.days, .microseconds = try wholeMicroseconds(span.nanoseconds, problem) },
        else => .{ .months = 0, .days = 0, .microseconds = try microseconds(value, problem) },
    });
}

fn array(writer: *Writer, target: *const Target, value: Value, problem: *[]const u8) (Error || types.EncodeError)!void {
    const list = value.list;
    const element = target.element.?;
    const count = list.end - list.start;
    var has_null = false;
    for (list.start..list.end) |index| has_null = has_null or list.child.isNull(index);
    const length = std.math.cast(u32, count) orelse return error.OutOfRange;
    try types.array.begin(writer, element.oid, if (count == 0) &.{} else &.{length}, has_null, target.lower_bound);
    for (list.start..list.end) |index| try write(writer, element, try list.child.value(index, problem), problem);
}

fn vector(comptime T: type, writer: *Writer, value: Value, problem: *[]const u8) (Error || types.EncodeError)!void {
    const list = value.list;
    try types.vector.begin(writer, list.end - list.start);
    for (list.start..list.end) |index| {
        const item = try list.child.value(index, problem);
        if (item == .nothing) return refuse(problem, "a vector has no NULLs");
        try types.vector.element(T, writer, try float(T, item, problem));
    }
}
