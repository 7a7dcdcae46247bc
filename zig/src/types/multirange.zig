//! Multiranges: an Int32 count, then each range with its Int32 length.
//! PostgreSQL docs: rangetypes, "Range Types".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Multirange = struct {
    count: usize,
    ranges: []const u8,

    pub fn iterator(self: Multirange) Iterator {
        return .{ .cursor = .init(self.ranges) };
    }
};

/// Call `next` `count` times, then `finish`.
pub const Iterator = struct {
    cursor: Cursor,

    /// The next range's bytes, for `range.decode`.
    pub fn next(self: *Iterator) DecodeError![]const u8 {
        return try self.cursor.value() orelse error.InvalidValue;
    }

    pub fn finish(self: *const Iterator) DecodeError!void {
        try self.cursor.finish();
    }
};

pub fn decode(body: []const u8) DecodeError!Multirange {
    var cursor: Cursor = .init(body);
    // A length word and a flags byte are the least a range takes.
    const count = try cursor.count(5);
    if (count == 0) try cursor.finish();
    return .{ .count = count, .ranges = cursor.rest };
}

/// Write the count. The ranges follow, each through `beginValue`, `range.begin` … and `endValue`.
pub fn begin(writer: *protocol.WriteBuffer, count: usize) EncodeError!void {
    try writer.writeInt(i32, std.math.cast(i32, count) orelse return error.OutOfRange);
}

const testing = @import("testing.zig");
const hex = testing.hex;
const range = @import("range.zig");

fn decodeAll(body: []const u8) DecodeError!Multirange {
    const multirange = try decode(body);
    var iterator = multirange.iterator();
    for (0..multirange.count) |_| _ = try range.decode(try iterator.next());
    try iterator.finish();
    return multirange;
}

test "multiranges, as multirange_send gives them" {
    try std.testing.expectEqual(0, (try decodeAll(hex("00000000"))).count);
    const body = hex("0000000200000011020000000400000001000000040000000300000009120000000400000007");
    const multirange = try decodeAll(body);
    try std.testing.expectEqual(2, multirange.count);
    var iterator = multirange.iterator();
    try std.testing.expectEqualSlices(u8, "\x00\x00\x00\x03", (try range.decode(try iterator.next())).upper.?);
    try std.testing.expectEqual(null, (try range.decode(try iterator.next())).upper);
    try testing.checkBytes(decodeAll, body);
    try testing.checkBytes(decodeAll, hex("00000000"));
}

test "a count beyond the bytes, and a NULL range, are errors" {
    inline for (.{ "7fffffff", "ffffffff", "00000001ffffffff" }) |bad| {
        try std.testing.expectError(error.InvalidValue, decodeAll(hex(bad)));
    }
}

fn encodeTwo(writer: *protocol.WriteBuffer, _: void) EncodeError!void {
    try begin(writer, 2);
    for (0..2) |_| {
        const mark = try writer.beginValue();
        try range.begin(writer, .{});
        try writer.endValue(mark);
    }
}

test "an encoded multirange is its count and its ranges" {
    try testing.expectEncoded(encodeTwo, {}, hex("00000002" ++ "0000000118" ++ "0000000118"));
}

fn fuzzMultirange(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    const multirange = decodeAll(body) catch return;
    try std.testing.expect(multirange.count * 5 <= body.len);
}

test "fuzz: a multirange never has more ranges than its bytes can hold" {
    try std.testing.fuzz({}, fuzzMultirange, .{});
}
