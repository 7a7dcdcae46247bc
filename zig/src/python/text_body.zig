//! Text of simple types, as the server prints it in its ISO styles, to the binary body that the
//! decoders read. The inverse of body_text.zig; for results in text format.
//! PostgreSQL docs: datatype-datetime, "Date/Time Output"; datatype-binary, "bytea Hex Format".
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const datetime = types.datetime;
const geometric = types.geometric;
const Writer = protocol.WriteBuffer;
const Error = types.EncodeError;

pub fn write(writer: *Writer, kind: types.Kind, text: []const u8) Error!void {
    switch (kind) {
        .bool => try types.scalar.encodeBool(writer, try boolean(text)),
        .int2 => try types.scalar.encodeInt(i16, writer, try integer(i16, text)),
        .int4 => try types.scalar.encodeInt(i32, writer, try integer(i32, text)),
        .int8 => try types.scalar.encodeInt(i64, writer, try integer(i64, text)),
        .oid => try types.scalar.encodeInt(u32, writer, try integer(u32, text)),
        .xid8 => try types.scalar.encodeInt(u64, writer, try integer(u64, text)),
        .float4 => try types.scalar.encodeFloat(f32, writer, try float(f32, text)),
        .float8 => try types.scalar.encodeFloat(f64, writer, try float(f64, text)),
        .numeric => try types.numeric.fromText(writer, text),
        .bytea => try bytea(writer, text),
        .uuid => try uuid(writer, text),
        .date => try date(writer, text),
        .timestamp, .timestamptz => try timestamp(writer, text, kind == .timestamptz),
        .time => try types.datetime.encodeTime(writer, try clock(text)),
        .timetz => {
            const at = zoneStart(text);
            try datetime.encodeTimeTz(writer, .{ .microseconds = try clock(text[0..at]), .zone_seconds_west = -try zone(text[at..]) });
        },
        .interval => try types.interval.encode(writer, try interval(text)),
        .point => try coordinates(writer, text, 2),
        .line => try coordinates(writer, text, 3),
        .lseg, .box => try coordinates(writer, text, 4),
        .circle => try coordinates(writer, text, 3),
        .path => {
            try geometric.beginPath(writer, text.len > 0 and text[0] == '(', try count(text) / 2);
            try coordinates(writer, text, null);
        },
        .polygon => {
            try geometric.beginPolygon(writer, try count(text) / 2);
            try coordinates(writer, text, null);
        },
        .vector => try vector(f32, writer, text),
        .halfvec => try vector(f16, writer, text),
        .hstore => try hstore(writer, text),
        else => return error.InvalidValue,
    }
}

fn boolean(text: []const u8) Error!bool {
    if (std.mem.eql(u8, text, "t")) return true;
    if (std.mem.eql(u8, text, "f")) return false;
    return error.InvalidValue;
}

fn integer(comptime T: type, text: []const u8) Error!T {
    return std.fmt.parseInt(T, text, 10) catch error.InvalidValue;
}

fn float(comptime T: type, text: []const u8) Error!T {
    return std.fmt.parseFloat(T, text) catch error.InvalidValue;
}

/// `\x` and hex digits, or the older escapes: `\\` and `\ooo`.
fn bytea(writer: *Writer, text: []const u8) Error!void {
    if (std.mem.startsWith(u8, text, "\\x")) {
        const room = try writer.addManyAsSlice((text.len - 2) / 2);
        _ = std.fmt.hexToBytes(room, text[2..]) catch return error.InvalidValue;
        return;
    }
    var i: usize = 0;
    while (i < text.len) : (i += 1) {
        if (text[i] != '\\') {
            try writer.writeByte(text[i]);
        } else if (i + 1 < text.len and text[i + 1] == '\\') {
            try writer.writeByte('\\');
            i += 1;
        } else {
            if (i + 4 > text.len) return error.InvalidValue;
            try writer.writeByte(std.fmt.parseInt(u8, text[i + 1 ..][0..3], 8) catch return error.InvalidValue);
            i += 3;
        }
    }
}

fn uuid(writer: *Writer, text: []const u8) Error!void {
    var digits: [32]u8 = undefined;
    var length: usize = 0;
    for (text) |byte| {
        if (byte == '-') continue;
        if (length == digits.len) return error.InvalidValue;
        digits[length] = byte;
        length += 1;
    }
    var bytes: [16]u8 = undefined;
    if (length != digits.len) return error.InvalidValue;
    _ = std.fmt.hexToBytes(&bytes, &digits) catch return error.InvalidValue;
    try types.uuid.encode(writer, bytes);
}

/// `infinity`, or the year, month and day and perhaps ` BC` at the very end of `text`.
fn civil(text: []const u8) Error!datetime.Civil {
    const before_christ = std.mem.endsWith(u8, text, " BC");
    var parts = std.mem.splitScalar(u8, if (before_christ) text[0 .. text.len - 3] else text, '-');
    const year = try integer(i32, parts.next() orelse return error.InvalidValue);
    const month = try integer(u8, parts.next() orelse return error.InvalidValue);
    const day = try integer(u8, parts.next() orelse return error.InvalidValue);
    if (parts.next() != null or year < 1) return error.InvalidValue;
    return .{ .year = if (before_christ) 1 - year else year, .month = month, .day = day };
}

fn date(writer: *Writer, text: []const u8) Error!void {
    if (std.mem.eql(u8, text, "infinity")) return datetime.encodeDate(writer, .infinity);
    if (std.mem.eql(u8, text, "-infinity")) return datetime.encodeDate(writer, .negative_infinity);
    try datetime.encodeDate(writer, .{ .finite = try civil(text) });
}

/// `2024-02-29 01:02:03.4+05:30 BC`.
fn timestamp(writer: *Writer, text: []const u8, with_zone: bool) Error!void {
    if (std.mem.eql(u8, text, "infinity")) return datetime.encodeTimestamp(writer, .infinity);
    if (std.mem.eql(u8, text, "-infinity")) return datetime.encodeTimestamp(writer, .negative_infinity);
    const space = std.mem.findScalar(u8, text, ' ') orelse return error.InvalidValue;
    const before_christ = std.mem.endsWith(u8, text, " BC");
    const rest = if (before_christ) text[space + 1 .. @max(text.len - 3, space + 1)] else text[space + 1 ..];
    var day = try civil(text[0..space]);
    if (before_christ) day.year = 1 - day.year;
    const at = if (with_zone) zoneStart(rest) else rest.len;
    const days = try datetime.daysFromCivil(day);
    const seconds_east: i64 = if (with_zone) try zone(rest[at..]) else 0;
    const start = std.math.mul(i64, days, datetime.microseconds_per_day) catch return error.OutOfRange;
    const local = std.math.add(i64, start, try clock(rest[0..at])) catch return error.OutOfRange;
    const utc = std.math.sub(i64, local, seconds_east * std.time.us_per_s) catch return error.OutOfRange;
    try types.scalar.encodeInt(i64, writer, utc);
}

/// `24:00:00` included. Microseconds since midnight.
fn clock(text: []const u8) Error!i64 {
    const point = std.mem.findScalar(u8, text, '.') orelse text.len;
    var parts = std.mem.splitScalar(u8, text[0..point], ':');
    var seconds: i64 = 0;
    for (0..3) |_| seconds = seconds * 60 + try integer(u8, parts.next() orelse return error.InvalidValue);
    if (parts.next() != null) return error.InvalidValue;
    return seconds * std.time.us_per_s + try fraction(text[point..]);
}

/// Nothing, or a point and up to six digits.
fn fraction(text: []const u8) Error!i64 {
    if (text.len == 0) return 0;
    if (text.len > 7) return error.InvalidValue;
    var value: i64 = 0;
    for (0..6) |i| value = value * 10 + if (i + 1 < text.len) try integer(u8, text[i + 1 ..][0..1]) else 0;
    return value;
}

fn zoneStart(text: []const u8) usize {
    return std.mem.findAny(u8, text, "+-") orelse text.len;
}

/// `+05`, `+05:30`, `-00:19:32`: seconds east of Greenwich.
fn zone(text: []const u8) Error!i32 {
    if (text.len < 2) return error.InvalidValue;
    var parts = std.mem.splitScalar(u8, text[1..], ':');
    var seconds: i32 = 0;
    for (0..3) |_| seconds = seconds * 60 + try integer(u8, parts.next() orelse "0");
    if (parts.next() != null) return error.InvalidValue;
    return if (text[0] == '-') -seconds else seconds;
}

/// The style `postgres`: `1 year 2 mons -3 days -04:05:06.789`.
fn interval(text: []const u8) Error!types.interval.Interval {
    if (std.mem.eql(u8, text, "infinity")) return .infinity;
    if (std.mem.eql(u8, text, "-infinity")) return .negative_infinity;
    var value: types.interval.Interval = .{ .months = 0, .days = 0, .microseconds = 0 };
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    while (words.next()) |word| {
        if (std.mem.findScalar(u8, word, ':') != null) {
            value.microseconds = try hours(word);
            continue;
        }
        const number = try integer(i32, word);
        const unit = words.next() orelse return error.InvalidValue;
        if (std.mem.startsWith(u8, unit, "year")) {
            const months = std.math.mul(i32, number, 12) catch return error.OutOfRange;
            value.months = std.math.add(i32, value.months, months) catch return error.OutOfRange;
        } else if (std.mem.startsWith(u8, unit, "mon")) {
            value.months = std.math.add(i32, value.months, number) catch return error.OutOfRange;
        } else if (std.mem.startsWith(u8, unit, "day")) {
            value.days = number;
        } else return error.InvalidValue;
    }
    return value;
}

/// `-04:05:06.789`, with as many hours as there are.
fn hours(text: []const u8) Error!i64 {
    const negative = text[0] == '-';
    const unsigned = if (negative or text[0] == '+') text[1..] else text;
    const point = std.mem.findScalar(u8, unsigned, '.') orelse unsigned.len;
    var parts = std.mem.splitScalar(u8, unsigned[0..point], ':');
    var seconds: i64 = try integer(u32, parts.next() orelse return error.InvalidValue);
    for (0..2) |_| seconds = seconds * 60 + try integer(u8, parts.next() orelse return error.InvalidValue);
    if (parts.next() != null) return error.InvalidValue;
    const total = seconds * std.time.us_per_s + try fraction(unsigned[point..]);
    return if (negative) -total else total;
}

const brackets = "()[]{}<>,";

fn count(text: []const u8) Error!usize {
    var numbers = std.mem.tokenizeAny(u8, text, brackets);
    var total: usize = 0;
    while (numbers.next() != null) total += 1;
    return total;
}

/// All numbers in `text`, exactly `expected` of them where that is told.
fn coordinates(writer: *Writer, text: []const u8, expected: ?usize) Error!void {
    const total = try count(text);
    if (total != expected orelse total or (expected == null and total % 2 != 0)) return error.InvalidValue;
    var numbers = std.mem.tokenizeAny(u8, text, brackets);
    while (numbers.next()) |number| try types.scalar.encodeFloat(f64, writer, try float(f64, number));
}

fn vector(comptime T: type, writer: *Writer, text: []const u8) Error!void {
    try types.vector.begin(writer, try count(text));
    var numbers = std.mem.tokenizeAny(u8, text, brackets);
    while (numbers.next()) |number| try types.vector.element(T, writer, try float(f64, number));
}

/// `"key"=>"value", "other"=>NULL`, as hstore_out writes it: every text in quotes.
fn hstore(writer: *Writer, text: []const u8) Error!void {
    const mark = writer.len();
    try types.hstore.begin(writer, 0);
    var rest = text;
    var total: u32 = 0;
    while (rest.len > 0) : (total += 1) {
        if (total > 0) rest = try after(rest, ", ");
        rest = try quoted(writer, rest);
        rest = try after(rest, "=>");
        if (std.mem.startsWith(u8, rest, "NULL")) {
            try writer.writeNull();
            rest = rest[4..];
        } else rest = try quoted(writer, rest);
    }
    std.mem.writeInt(u32, writer.bytes.items[mark..][0..4], total, .big);
}

fn after(text: []const u8, prefix: []const u8) Error![]const u8 {
    if (!std.mem.startsWith(u8, text, prefix)) return error.InvalidValue;
    return text[prefix.len..];
}

/// Write what stands in quotes as a value with its length; return what follows.
fn quoted(writer: *Writer, text: []const u8) Error![]const u8 {
    if (text.len == 0 or text[0] != '"') return error.InvalidValue;
    const mark = try writer.beginValue();
    var i: usize = 1;
    while (i < text.len) : (i += 1) {
        if (text[i] == '"') {
            try writer.endValue(mark);
            return text[i + 1 ..];
        }
        if (text[i] == '\\') i += 1;
        if (i < text.len) try writer.writeByte(text[i]);
    }
    return error.InvalidValue;
}
