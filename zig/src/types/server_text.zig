//! Binary bodies of simple types as the text that the server prints for them, with the usual run-time
//! parameters: DateStyle ISO, IntervalStyle postgres, bytea_output hex, and UTC for what has a zone.
//! For values that stand in a text of ours: the bounds of a range, the fields of a row in one.
//! PostgreSQL docs: datatype, "Data Types"; each type's own section shows its text.
const std = @import("std");
const protocol = @import("protocol");
const digits = @import("digits.zig");
const errors = @import("errors.zig");
const float_text = @import("float_text.zig");
const geometric = @import("geometric.zig");
const scalar = @import("scalar.zig");
const time_text = @import("time_text.zig");
const types = @import("types.zig");
const Writer = protocol.WriteBuffer;

pub const Error = errors.DecodeError || error{OutOfMemory};

/// Containers and what has no binary form are not `kind`s of this function: InvalidValue.
pub fn write(writer: *Writer, kind: types.Kind, body: []const u8) Error!void {
    switch (kind) {
        .bool => try bytes(writer, if (try scalar.decodeBool(body)) "t" else "f"),
        .int2 => try integer(writer, try scalar.decodeInt(i16, body)),
        .int4 => try integer(writer, try scalar.decodeInt(i32, body)),
        .int8 => try integer(writer, try scalar.decodeInt(i64, body)),
        .oid => try integer(writer, try scalar.decodeInt(u32, body)),
        .xid8 => writer.advance(digits.unsigned(try writer.reserve(digits.count_max), try scalar.decodeInt(u64, body))),
        .float4 => try float(writer, try scalar.decodeFloat(f32, body)),
        .float8 => try float(writer, try scalar.decodeFloat(f64, body)),
        .text, .json => try bytes(writer, body),
        .jsonb, .jsonpath, .ltree => try bytes(writer, try types.versioned.decode(body)),
        .numeric => if (try types.numeric.write(writer, body)) |word| try bytes(writer, word),
        .bytea => try bytea(writer, body),
        .uuid => try uuid(writer, body),
        .date => try time_text.date(writer, try types.datetime.decodeDate(body)),
        .timestamp => try time_text.timestamp(writer, try types.datetime.decodeTimestamp(body), false, .iso),
        .timestamptz => try time_text.timestamp(writer, try types.datetime.decodeTimestamp(body), true, .iso),
        .time => try time_text.time(writer, try types.datetime.decodeTime(body)),
        .timetz => try time_text.timetz(writer, try types.datetime.decodeTimeTz(body)),
        .interval => try time_text.interval(writer, try types.interval.decode(body)),
        .char => try fixed(writer, types.char, body),
        .inet, .cidr => try fixed(writer, types.inet, body),
        .pg_lsn => try fixed(writer, types.pg_lsn, body),
        .macaddr => try macaddr(writer, 6, body),
        .macaddr8 => try macaddr(writer, 8, body),
        .bit, .varbit => {
            const out = try writer.reserve(try types.bits.textLength(body));
            writer.advance((try types.bits.toText(body, out)).len);
        },
        .tsvector => {
            const out = try writer.reserve(types.tsvector.textLength(body));
            writer.advance((try types.tsvector.toText(body, out)).len);
        },
        .tsquery => {
            const out = try writer.reserve(types.tsquery.textLength(body));
            const text = try types.tsquery.toText(writer.gpa, body, out);
            // It was written from the end of the room.
            std.mem.copyForwards(u8, out[0..text.len], text);
            writer.advance(text.len);
        },
        .point => try point(writer, try geometric.decode(geometric.Point, body)),
        .line => try list(writer, "{}", try geometric.decode(geometric.Line, body)),
        .lseg => try list(writer, "[]", try geometric.decode(geometric.Lseg, body)),
        .box => try list(writer, "", try geometric.decode(geometric.Box, body)),
        .circle => try list(writer, "<>", try geometric.decode(geometric.Circle, body)),
        .path => {
            const path = try geometric.decodePath(body);
            try points(writer, path.points, if (path.closed) "()" else "[]");
        },
        .polygon => try points(writer, try geometric.decodePolygon(body), "()"),
        .vector => try vector(writer, try types.vector.decode(f32, body)),
        .halfvec => try vector(writer, try types.vector.decode(f16, body)),
        .hstore => try hstore(writer, body),
        .void => if (body.len != 0) return error.InvalidValue,
        .array, .range, .multirange, .record, .composite, .money, .text_only => return error.InvalidValue,
    }
}

fn bytes(writer: *Writer, text: []const u8) error{OutOfMemory}!void {
    @memcpy((try writer.reserve(text.len))[0..text.len], text);
    writer.advance(text.len);
}

fn integer(writer: *Writer, value: i64) error{OutOfMemory}!void {
    writer.advance(digits.signed(try writer.reserve(digits.count_max + 1), value));
}

fn float(writer: *Writer, value: anytype) error{OutOfMemory}!void {
    try float_text.write(writer, value, .bare);
}

/// `codec` prints into a buffer of its `text_max`.
fn fixed(writer: *Writer, comptime codec: type, body: []const u8) Error!void {
    const out = try writer.reserve(codec.text_max);
    writer.advance((try codec.toText(body, out[0..codec.text_max])).len);
}

fn macaddr(writer: *Writer, comptime size: usize, body: []const u8) Error!void {
    const length = size * 3 - 1;
    const out = try writer.reserve(length);
    writer.advance((try types.macaddr.toText(size, body, out[0..length])).len);
}

fn bytea(writer: *Writer, body: []const u8) error{OutOfMemory}!void {
    try bytes(writer, "\\x");
    try hex(writer, body);
}

/// Two digits for each byte.
pub fn hex(writer: *Writer, body: []const u8) error{OutOfMemory}!void {
    const out = try writer.reserve(body.len * 2);
    for (body, 0..) |byte, i| out[i * 2 ..][0..2].* = hex_pairs[byte];
    writer.advance(body.len * 2);
}

const hex_pairs: [256][2]u8 = table: {
    @setEvalBranchQuota(10_000);
    var table: [256][2]u8 = undefined;
    for (&table, 0..) |*pair, byte| pair.* = std.fmt.hex(@as(u8, byte));
    break :table table;
};

pub fn uuid(writer: *Writer, body: []const u8) Error!void {
    const value = try types.uuid.decode(body);
    const out = (try writer.reserve(36))[0..36];
    comptime var at = 0;
    inline for (0..16) |i| {
        if (i == 4 or i == 6 or i == 8 or i == 10) {
            out[at] = '-';
            at += 1;
        }
        out[at..][0..2].* = hex_pairs[value[i]];
        at += 2;
    }
    writer.advance(out.len);
}

fn point(writer: *Writer, value: geometric.Point) error{OutOfMemory}!void {
    try list(writer, "()", value);
}

/// The fields of a geometric type of fixed size between brackets.
fn list(writer: *Writer, comptime brackets: []const u8, value: anytype) error{OutOfMemory}!void {
    if (brackets.len > 0) try bytes(writer, brackets[0..1]);
    inline for (@typeInfo(@TypeOf(value)).@"struct".field_names, 0..) |name, i| {
        if (i > 0) try bytes(writer, ",");
        const field = @field(value, name);
        if (@TypeOf(field) == f64) try float(writer, field) else try point(writer, field);
    }
    if (brackets.len > 0) try bytes(writer, brackets[1..2]);
}

fn points(writer: *Writer, value: geometric.Points, brackets: *const [2]u8) error{OutOfMemory}!void {
    try bytes(writer, brackets[0..1]);
    for (0..value.len()) |i| {
        if (i > 0) try bytes(writer, ",");
        try point(writer, value.at(i));
    }
    try bytes(writer, brackets[1..2]);
}

fn vector(writer: *Writer, value: anytype) error{OutOfMemory}!void {
    try bytes(writer, "[");
    for (0..value.len()) |i| {
        if (i > 0) try bytes(writer, ",");
        try float(writer, @as(f32, value.at(i)));
    }
    try bytes(writer, "]");
}

fn hstore(writer: *Writer, body: []const u8) Error!void {
    const value = try types.hstore.decode(body);
    var pairs = value.iterator();
    for (0..value.count) |i| {
        if (i > 0) try bytes(writer, ", ");
        const pair = try pairs.next();
        try quoted(writer, pair.key);
        try bytes(writer, "=>");
        if (pair.value) |text| try quoted(writer, text) else try bytes(writer, "NULL");
    }
    try pairs.finish();
}

fn quoted(writer: *Writer, text: []const u8) error{OutOfMemory}!void {
    const mark = writer.len();
    try bytes(writer, text);
    try quoteFrom(writer, mark, .backslash);
}

/// What stands before a quote or a backslash inside quotes.
pub const Escape = enum {
    /// A backslash: arrays, hstore.
    backslash,
    /// The same character once more: rows, ranges.
    doubled,
};

/// Put everything from `mark` on into quotes.
pub fn quoteFrom(writer: *Writer, mark: usize, escape: Escape) error{OutOfMemory}!void {
    const length = writer.len() - mark;
    var added: usize = 2;
    for (writer.bytes.items[mark..]) |byte| added += @intFromBool(byte == '"' or byte == '\\');
    _ = try writer.reserve(added);
    writer.advance(added);
    const all = writer.bytes.items[mark..];
    // From the end, so that nothing is overwritten before it has moved.
    var target = all.len - 1;
    all[target] = '"';
    var source = length;
    while (source > 0) {
        source -= 1;
        const byte = all[source];
        target -= 1;
        all[target] = byte;
        if (byte == '"' or byte == '\\') {
            target -= 1;
            all[target] = if (escape == .backslash) '\\' else byte;
        }
    }
    all[0] = '"';
}

const testing = @import("testing.zig");

fn expectText(expected: []const u8, kind: types.Kind, body: []const u8) !void {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    try write(&writer, kind, body);
    try std.testing.expectEqualStrings(expected, writer.bytes.items);
}

test "bodies print as the server prints them" {
    const text = testing.hex;
    inline for (.{
        .{ "t", .bool, "01" },
        .{ "-1", .int2, "ffff" },
        .{ "4294967295", .oid, "ffffffff" },
        .{ "18446744073709551615", .xid8, "ffffffffffffffff" },
        .{ "1.5", .float4, "3fc00000" },
        .{ "-0", .float8, "8000000000000000" },
        .{ "123.45", .numeric, "0002000000000002007b1194" },
        .{ "{\"a\": 1}", .jsonb, "017b2261223a20317d" },
        .{ "\\x00ff", .bytea, "00ff" },
        .{ "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", .uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11" },
        .{ "2000-01-01", .date, "00000000" },
        .{ "2000-01-01 00:00:00+00", .timestamptz, "0000000000000000" },
        .{ "(1,-2.5)", .point, "3ff0000000000000c004000000000000" },
        .{ "<(1,-2.5),1>", .circle, "3ff0000000000000c0040000000000003ff0000000000000" },
        .{ "[(1,-2.5)]", .path, "00000000013ff0000000000000c004000000000000" },
        .{ "((1,-2.5))", .polygon, "000000013ff0000000000000c004000000000000" },
        .{ "{1,1,1}", .line, "3ff00000000000003ff00000000000003ff0000000000000" },
        .{ "[1,-2.5]", .vector, "000200003f800000c0200000" },
        .{ "[1,-2.5]", .halfvec, "000200003c00c100" },
        .{ "\"a\"=>\"1\", \"bb\"=>NULL", .hstore, "0000000200000001610000000131000000026262ffffffff" },
        .{ "08:00:2b:01:02:03", .macaddr, "08002b010203" },
        .{ "101", .varbit, "00000003a0" },
        .{ "'a' & 'b'", .tsquery, "00000003020201000062000100006100" },
    }) |row| try expectText(row[0], row[1], text(row[2]));
}

test "a container is not printed here, and a body cut short is an error" {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    inline for (.{ .array, .money, .int4, .uuid, .hstore, .point, .bool }) |kind| {
        try std.testing.expectError(error.InvalidValue, write(&writer, kind, "\x00\x00\x00"));
    }
}

test "quotes around what is written already" {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    inline for (.{ .{ "", "\"\"" }, .{ "a\"b\\", "\"a\\\"b\\\\\"" } }) |row| {
        writer.truncate(0);
        try bytes(&writer, "before" ++ row[0]);
        try quoteFrom(&writer, "before".len, .backslash);
        try std.testing.expectEqualStrings("before" ++ row[1], writer.bytes.items);
    }
    writer.truncate(0);
    try bytes(&writer, "a\"b\\");
    try quoteFrom(&writer, 0, .doubled);
    try std.testing.expectEqualStrings("\"a\"\"b\\\\\"", writer.bytes.items);
}

fn fuzzText(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [64]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    inline for (comptime std.enums.values(types.Kind)) |kind| write(&writer, kind, body) catch |err| {
        try std.testing.expect(err == error.InvalidValue or err == error.OutOfRange);
    };
}

test "fuzz: any bytes as any type print or are an error" {
    try std.testing.fuzz({}, fuzzText, .{});
}
