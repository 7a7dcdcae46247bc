//! hstore, the extension's map of text to text or NULL: a pair count, then key and value, each
//! with an Int32 length. PostgreSQL docs: hstore, "hstore — hstore key/value datatype".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Pair = struct { key: []const u8, value: ?[]const u8 };

pub const Hstore = struct {
    count: usize,
    pairs: []const u8,

    pub fn iterator(self: Hstore) Iterator {
        return .{ .cursor = .init(self.pairs) };
    }
};

/// Call `next` `count` times, then `finish`.
pub const Iterator = struct {
    cursor: Cursor,

    pub fn next(self: *Iterator) DecodeError!Pair {
        const key = try self.cursor.value() orelse return error.InvalidValue;
        return .{ .key = key, .value = try self.cursor.value() };
    }

    pub fn finish(self: *const Iterator) DecodeError!void {
        try self.cursor.finish();
    }
};

pub fn decode(body: []const u8) DecodeError!Hstore {
    var cursor: Cursor = .init(body);
    const count = try cursor.count(8);
    if (count == 0) try cursor.finish();
    return .{ .count = count, .pairs = cursor.rest };
}

/// Write the pair count; `pair` follows that many times.
pub fn begin(writer: *protocol.WriteBuffer, count: usize) EncodeError!void {
    try writer.writeInt(i32, std.math.cast(i32, count) orelse return error.OutOfRange);
}

pub fn pair(writer: *protocol.WriteBuffer, key: []const u8, value: ?[]const u8) EncodeError!void {
    const key_mark = try writer.beginValue();
    try writer.writeBytes(key);
    try writer.endValue(key_mark);
    const bytes = value orelse return writer.writeNull();
    const value_mark = try writer.beginValue();
    try writer.writeBytes(bytes);
    try writer.endValue(value_mark);
}

const testing = @import("testing.zig");
const hex = testing.hex;

fn decodeAll(body: []const u8) DecodeError!Hstore {
    const hstore = try decode(body);
    var iterator = hstore.iterator();
    for (0..hstore.count) |_| _ = try iterator.next();
    try iterator.finish();
    return hstore;
}

const two = hex("0000000200000001610000000131000000026262ffffffff");

test "pairs, as hstore_send gives them" {
    const hstore = try decodeAll(two);
    var iterator = hstore.iterator();
    try std.testing.expectEqualDeep(Pair{ .key = "a", .value = "1" }, try iterator.next());
    try std.testing.expectEqualDeep(Pair{ .key = "bb", .value = null }, try iterator.next());
    try testing.checkBytes(decodeAll, two);
    try std.testing.expectEqual(0, (try decodeAll(hex("00000000"))).count);
    try testing.checkBytes(decodeAll, hex("00000000"));
}

test "a NULL key, or a count beyond the bytes, is an error" {
    inline for (.{ "00000001ffffffffffffffff", "7fffffff", "ffffffff" }) |bad| {
        try std.testing.expectError(error.InvalidValue, decodeAll(hex(bad)));
    }
}

fn encodeTwo(writer: *protocol.WriteBuffer, _: void) EncodeError!void {
    try begin(writer, 2);
    try pair(writer, "a", "1");
    try pair(writer, "bb", null);
}

test "an encoded hstore is what the server would have sent" {
    try testing.expectEncoded(encodeTwo, {}, two);
}

fn fuzzHstore(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    const hstore = decodeAll(body) catch return;
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try begin(&writer, hstore.count);
    var iterator = hstore.iterator();
    for (0..hstore.count) |_| {
        const next = try iterator.next();
        try pair(&writer, next.key, next.value);
    }
    try std.testing.expectEqualSlices(u8, body, writer.bytes.items);
}

test "fuzz: an hstore that decodes encodes to the same bytes" {
    try std.testing.fuzz({}, fuzzHstore, .{});
}
