//! Ranges and multiranges: a flags byte and up to two bounds; a count and that many ranges.
//! PostgreSQL docs: rangetypes, "Range Types". The flags are those of range_send.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

const flag_empty = 0x01;
const flag_lower_inclusive = 0x02;
const flag_upper_inclusive = 0x04;
const flag_lower_infinite = 0x08;
const flag_upper_infinite = 0x10;
const flags_known = 0x1f;

/// The bounds are the subtype's bytes, null where the range has no bound on that side.
pub const Range = struct {
    empty: bool = false,
    lower_inclusive: bool = false,
    upper_inclusive: bool = false,
    lower: ?[]const u8 = null,
    upper: ?[]const u8 = null,
};

/// What an encoder must know before it writes the bounds.
pub const Shape = struct {
    empty: bool = false,
    lower_inclusive: bool = false,
    upper_inclusive: bool = false,
    has_lower: bool = false,
    has_upper: bool = false,
};

pub fn decode(body: []const u8) DecodeError!Range {
    var cursor: Cursor = .init(body);
    const flags = try cursor.int(u8);
    if (flags & ~@as(u8, flags_known) != 0) return error.InvalidValue;
    if (flags & flag_empty != 0) {
        try cursor.finish();
        return .{ .empty = true };
    }
    const range: Range = .{
        .lower_inclusive = flags & flag_lower_inclusive != 0,
        .upper_inclusive = flags & flag_upper_inclusive != 0,
        .lower = try bound(&cursor, flags & flag_lower_infinite != 0),
        .upper = try bound(&cursor, flags & flag_upper_infinite != 0),
    };
    try cursor.finish();
    return range;
}

fn bound(cursor: *Cursor, infinite: bool) DecodeError!?[]const u8 {
    if (infinite) return null;
    return try cursor.value() orelse error.InvalidValue;
}

/// Write the flags. The bounds that `shape` promises follow, lower first, each through
/// `beginValue` and `endValue`. An infinite bound is never inclusive.
pub fn begin(writer: *protocol.WriteBuffer, shape: Shape) EncodeError!void {
    if (shape.empty) return writer.writeByte(flag_empty);
    var flags: u8 = 0;
    if (!shape.has_lower) flags |= flag_lower_infinite else if (shape.lower_inclusive) flags |= flag_lower_inclusive;
    if (!shape.has_upper) flags |= flag_upper_infinite else if (shape.upper_inclusive) flags |= flag_upper_inclusive;
    try writer.writeByte(flags);
}

const testing = @import("testing.zig");
const hex = testing.hex;

const Row = struct { bytes: []const u8, range: Range };

const rows = [_]Row{
    .{ .bytes = hex("01"), .range = .{ .empty = true } },
    .{ .bytes = hex("18"), .range = .{} },
    .{ .bytes = hex("0200000004000000010000000400000005"), .range = .{
        .lower_inclusive = true,
        .lower = "\x00\x00\x00\x01",
        .upper = "\x00\x00\x00\x05",
    } },
    .{ .bytes = hex("080000000400000005"), .range = .{ .upper = "\x00\x00\x00\x05" } },
    .{ .bytes = hex("120000000400000003"), .range = .{ .lower_inclusive = true, .lower = "\x00\x00\x00\x03" } },
    .{ .bytes = hex("040000000c0002000000000001000113880000000a00010000000000000002"), .range = .{
        .upper_inclusive = true,
        .lower = hex("000200000000000100011388"),
        .upper = hex("00010000000000000002"),
    } },
};

fn encodeWhole(writer: *protocol.WriteBuffer, range: Range) EncodeError!void {
    try begin(writer, .{
        .empty = range.empty,
        .lower_inclusive = range.lower_inclusive,
        .upper_inclusive = range.upper_inclusive,
        .has_lower = range.lower != null,
        .has_upper = range.upper != null,
    });
    for ([_]?[]const u8{ range.lower, range.upper }) |side| {
        const bytes = side orelse continue;
        const mark = try writer.beginValue();
        try writer.writeBytes(bytes);
        try writer.endValue(mark);
    }
}

test "ranges, as range_send gives them, both ways" {
    for (rows) |row| {
        try std.testing.expectEqualDeep(row.range, try decode(row.bytes));
        try testing.expectEncoded(encodeWhole, row.range, row.bytes);
        try testing.checkBytes(decode, row.bytes);
    }
}

test "an infinite bound is never sent as inclusive" {
    try testing.expectEncoded(encodeWhole, Range{ .lower_inclusive = true, .upper_inclusive = true }, hex("18"));
}

test "a NULL bound or an unknown flag is an error" {
    inline for (.{ "02ffffffff0000000400000005", "20", "40", "80", "0100" }) |bad| {
        try std.testing.expectError(error.InvalidValue, decode(hex(bad)));
    }
}

fn fuzzRange(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [64]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    const range = decode(body) catch return;
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try encodeWhole(&writer, range);
    // The flags may differ where they contradict each other; what follows them may not.
    try std.testing.expectEqualSlices(u8, body[1..], writer.bytes.items[1..]);
}

test "fuzz: a range that decodes encodes to the same bounds" {
    try std.testing.fuzz({}, fuzzRange, .{});
}
