//! Binary bodies of simple types, as the encoders wrote them, printed as text that the server's input
//! functions read. Only for parameters in text format; results are never printed through here.
//! PostgreSQL docs: datatype, "Data Types"; each type's own section shows its text.
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const Writer = protocol.WriteBuffer;
const geometric = types.geometric;

pub fn write(writer: *Writer, kind: types.Kind, body: []const u8) types.EncodeError!void {
    switch (kind) {
        .bool => try writer.writeByte(if (try types.scalar.decodeBool(body)) 't' else 'f'),
        .int2 => try print(writer, "{d}", .{try types.scalar.decodeInt(i16, body)}),
        .int4 => try print(writer, "{d}", .{try types.scalar.decodeInt(i32, body)}),
        .int8 => try print(writer, "{d}", .{try types.scalar.decodeInt(i64, body)}),
        .oid => try print(writer, "{d}", .{try types.scalar.decodeInt(u32, body)}),
        .xid8 => try print(writer, "{d}", .{try types.scalar.decodeInt(u64, body)}),
        .float4 => try float(writer, try types.scalar.decodeFloat(f32, body)),
        .float8 => try float(writer, try types.scalar.decodeFloat(f64, body)),
        .numeric => try numeric(writer, body),
        .bytea => {
            try writer.writeBytes("\\x");
            for (body) |byte| try writer.writeBytes(&std.fmt.hex(byte));
        },
        .uuid => for (try types.uuid.decode(body)) |byte| try writer.writeBytes(&std.fmt.hex(byte)),
        .date => try date(writer, try types.datetime.decodeDate(body)),
        .timestamp => try timestamp(writer, try types.datetime.decodeTimestamp(body), ""),
        .timestamptz => try timestamp(writer, try types.datetime.decodeTimestamp(body), "+00"),
        .time => try time(writer, try types.datetime.decodeTime(body)),
        .timetz => try timetz(writer, try types.datetime.decodeTimeTz(body)),
        .interval => try interval(writer, try types.interval.decode(body)),
        .point => try point(writer, try geometric.decode(geometric.Point, body)),
        .line => try line(writer, try geometric.decode(geometric.Line, body)),
        .lseg => try lseg(writer, try geometric.decode(geometric.Lseg, body)),
        .box => try box(writer, try geometric.decode(geometric.Box, body)),
        .circle => try circle(writer, try geometric.decode(geometric.Circle, body)),
        .path => {
            const path = try geometric.decodePath(body);
            try points(writer, path.points, if (path.closed) "()" else "[]");
        },
        .polygon => try points(writer, try geometric.decodePolygon(body), "()"),
        .vector => try vector(writer, try types.vector.decode(f32, body)),
        .halfvec => try vector(writer, try types.vector.decode(f16, body)),
        .hstore => try hstore(writer, body),
        else => return error.InvalidValue, // no encoder of ours writes another one here
    }
}

fn print(writer: *Writer, comptime format: []const u8, arguments: anytype) types.EncodeError!void {
    var buffer: [96]u8 = undefined;
    try writer.writeBytes(std.fmt.bufPrint(&buffer, format, arguments) catch unreachable); // numbers and little else
}

/// The shortest text that reads back as the same bits: an exponent always, `inf` and `nan` in words.
fn float(writer: *Writer, value: anytype) types.EncodeError!void {
    try print(writer, "{e}", .{value});
}

fn numeric(writer: *Writer, body: []const u8) types.EncodeError!void {
    const mark = writer.len();
    const room = try writer.addManyAsSlice(try types.numeric.textLength(body));
    const text = try types.numeric.toText(body, room);
    writer.truncate(mark + text.len);
}

fn civil(writer: *Writer, value: types.datetime.Civil) types.EncodeError!void {
    // Encoders take Python's dates only, whose years have no sign.
    const year = std.math.cast(u32, value.year) orelse return error.OutOfRange;
    try print(writer, "{d:0>4}-{d:0>2}-{d:0>2}", .{ year, value.month, value.day });
}

fn clock(writer: *Writer, value: types.datetime.Clock) types.EncodeError!void {
    try print(writer, "{d:0>2}:{d:0>2}:{d:0>2}.{d:0>6}", .{ value.hour, value.minute, value.second, value.microsecond });
}

fn date(writer: *Writer, value: types.datetime.Date) types.EncodeError!void {
    switch (value) {
        .infinity => try writer.writeBytes("infinity"),
        .negative_infinity => try writer.writeBytes("-infinity"),
        .finite => |finite| try civil(writer, finite),
    }
}

fn timestamp(writer: *Writer, value: types.datetime.Timestamp, zone: []const u8) types.EncodeError!void {
    switch (value) {
        .infinity => try writer.writeBytes("infinity"),
        .negative_infinity => try writer.writeBytes("-infinity"),
        .finite => |finite| {
            try civil(writer, finite.civil);
            try writer.writeByte(' ');
            try clock(writer, finite.clock);
            try writer.writeBytes(zone);
        },
    }
}

fn time(writer: *Writer, microseconds: i64) types.EncodeError!void {
    try clock(writer, try types.datetime.clockFromMicroseconds(microseconds));
}

fn timetz(writer: *Writer, value: types.datetime.TimeTz) types.EncodeError!void {
    try time(writer, value.microseconds);
    const size = @abs(value.zone_seconds_west);
    try writer.writeByte(if (value.zone_seconds_west > 0) '-' else '+');
    try print(writer, "{d:0>2}:{d:0>2}:{d:0>2}", .{ size / 3600, size / 60 % 60, size % 60 });
}

fn interval(writer: *Writer, value: types.interval.Interval) types.EncodeError!void {
    if (std.meta.eql(value, types.interval.Interval.infinity)) return writer.writeBytes("infinity");
    if (std.meta.eql(value, types.interval.Interval.negative_infinity)) return writer.writeBytes("-infinity");
    try print(writer, "{d} mons {d} days {d} microseconds", .{ value.months, value.days, value.microseconds });
}

fn point(writer: *Writer, value: geometric.Point) types.EncodeError!void {
    try print(writer, "({e},{e})", .{ value.x, value.y });
}

fn line(writer: *Writer, value: geometric.Line) types.EncodeError!void {
    try print(writer, "{{{e},{e},{e}}}", .{ value.a, value.b, value.c });
}

fn lseg(writer: *Writer, value: geometric.Lseg) types.EncodeError!void {
    try writer.writeByte('[');
    try point(writer, value.start);
    try writer.writeByte(',');
    try point(writer, value.end);
    try writer.writeByte(']');
}

fn box(writer: *Writer, value: geometric.Box) types.EncodeError!void {
    try point(writer, value.high);
    try writer.writeByte(',');
    try point(writer, value.low);
}

fn circle(writer: *Writer, value: geometric.Circle) types.EncodeError!void {
    try writer.writeByte('<');
    try point(writer, value.center);
    try print(writer, ",{e}>", .{value.radius});
}

fn points(writer: *Writer, value: geometric.Points, brackets: *const [2]u8) types.EncodeError!void {
    try writer.writeByte(brackets[0]);
    for (0..value.len()) |i| {
        if (i != 0) try writer.writeByte(',');
        try point(writer, value.at(i));
    }
    try writer.writeByte(brackets[1]);
}

fn vector(writer: *Writer, value: anytype) types.EncodeError!void {
    try writer.writeByte('[');
    for (0..value.len()) |i| {
        if (i != 0) try writer.writeByte(',');
        try float(writer, value.at(i));
    }
    try writer.writeByte(']');
}

fn hstore(writer: *Writer, body: []const u8) types.EncodeError!void {
    const value = try types.hstore.decode(body);
    var pairs = value.iterator();
    for (0..value.count) |i| {
        if (i != 0) try writer.writeByte(',');
        const pair = try pairs.next();
        try types.text_array.quote(writer, pair.key);
        try writer.writeBytes("=>");
        if (pair.value) |bytes| try types.text_array.quote(writer, bytes) else try writer.writeBytes("NULL");
    }
}
