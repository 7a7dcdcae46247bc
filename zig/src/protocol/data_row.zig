//! DataRow, 'D', backend to frontend. One row: a length and so many bytes per column. The hot path
//! of every result, so `next` is two comparisons and a load, and nothing is copied.
//! PostgreSQL docs: protocol-message-formats, "DataRow (B)".
const std = @import("std");
const kit = @import("testing.zig");
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const DataRow = struct {
    /// How many columns; no more than the body can hold.
    count: u16,
    rest: []const u8,

    /// A column value, or null for NULL.
    pub const Value = ?[]const u8;

    /// `body`: the bytes after the length word. Borrowed.
    pub inline fn decode(body: []const u8) DecodeError!DataRow {
        if (body.len < 2) return error.MessageTooShort;
        const count = std.mem.readInt(u16, body[0..2], .big);
        if (body.len - 2 < @as(usize, count) * 4) return error.MessageTooShort;
        return .{ .count = count, .rest = body[2..] };
    }

    pub inline fn iterator(self: DataRow) Iterator {
        return .{ .left = self.count, .rest = self.rest };
    }

    pub const Iterator = struct {
        left: u16,
        rest: []const u8,

        /// `count` values, then null. Bytes behind the last value are an error.
        pub inline fn next(self: *Iterator) DecodeError!?Value {
            if (self.left == 0) {
                try self.end();
                return null;
            }
            return try self.take();
        }

        /// The next value, for a caller that has compared `count` with what it expects and calls
        /// this so many times, then `end`.
        pub inline fn take(self: *Iterator) DecodeError!Value {
            std.debug.assert(self.left != 0);
            self.left -= 1;
            if (self.rest.len < 4) return error.MessageTooShort;
            const length = std.mem.readInt(u32, self.rest[0..4], .big);
            const after = self.rest[4..];
            if (length > after.len) return self.takeUnusual(length, after);
            self.rest = after[length..];
            return after[0..length];
        }

        /// A length beyond the body: NULL, or an error.
        fn takeUnusual(self: *Iterator, length: u32, after: []const u8) DecodeError!Value {
            if (length == std.math.maxInt(u32)) {
                self.rest = after;
                return null;
            }
            return if (length > std.math.maxInt(i32)) error.InvalidValue else error.MessageTooShort;
        }

        pub inline fn end(self: Iterator) DecodeError!void {
            std.debug.assert(self.left == 0);
            if (self.rest.len != 0) return error.MessageTooLong;
        }
    };

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, values: []const Value) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('D');
        try writer.writeInt(u16, @intCast(values.len));
        for (values) |value| {
            if (value) |bytes| {
                const start = try writer.beginValue();
                try writer.writeBytes(bytes);
                try writer.endValue(start);
            } else try writer.writeNull();
        }
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    const row: DataRow = try .decode(body);
    var values = row.iterator();
    while (try values.next()) |_| {}
}

test "DataRow: a count and so many values" {
    const table = [_]struct { []const u8, []const DataRow.Value }{
        .{ "D\x00\x00\x00\x06\x00\x00", &.{} },
        .{ "D\x00\x00\x00\x0a\x00\x01\xff\xff\xff\xff", &.{null} },
        .{
            "D\x00\x00\x00\x18\x00\x04\x00\x00\x00\x01a\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00",
            &.{ "a", null, "", "\x00" },
        },
    };
    for (table) |case| {
        const bytes, const values = case;
        try kit.expectWritten(bytes, DataRow.encode, .{values});
        const body = try kit.body('D', bytes);
        const row: DataRow = try .decode(body);
        try std.testing.expectEqual(values.len, row.count);
        var iterator = row.iterator();
        for (values) |value| try std.testing.expectEqualDeep(value, (try iterator.next()).?);
        try std.testing.expectEqual(null, try iterator.next());
        iterator = row.iterator();
        for (values) |value| try std.testing.expectEqualDeep(value, try iterator.take());
        try iterator.end();
        try kit.expectPrefixesRefused(body, readAll);
    }
}

test "DataRow: lengths and counts are bounded by the bytes that remain" {
    const table = [_]struct { DecodeError, []const u8 }{
        .{ error.MessageTooShort, "\xff\xff" ++ kit.repeat('\xff', 100) },
        .{ error.MessageTooShort, "\x00\x01\x00\x00\x00\x02a" },
        .{ error.MessageTooShort, "\x00\x01\x7f\xff\xff\xffa" },
        .{ error.InvalidValue, "\x00\x01\x80\x00\x00\x00a" },
        .{ error.InvalidValue, "\x00\x01\xff\xff\xff\xfea" },
        .{ error.MessageTooShort, "\x00\x02\x00\x00\x00\x02abcd" },
        .{ error.MessageTooLong, "\x00\x01\xff\xff\xff\xffa" },
        .{ error.MessageTooLong, "\x00\x00a" },
    };
    for (table) |case| try std.testing.expectError(case[0], readAll(case[1]));
}

test "fuzz: the values of a DataRow lie inside its body, and encode to the same bytes" {
    try std.testing.fuzz({}, fuzzOne, .{});
    try kit.runSeeds(300, fuzzOne);
}

fn fuzzOne(_: void, smith: *std.testing.Smith) anyerror!void {
    var storage: [128]u8 = undefined;
    const written_count = smith.valueRangeAtMost(u16, 0, 6);
    const claimed_count = if (smith.value(u8) < 60) written_count else smith.valueRangeAtMost(u16, 0, 8);
    std.mem.writeInt(u16, storage[0..2], claimed_count, .big);
    var size: usize = 2;
    for (0..written_count) |_| {
        const present = smith.valueRangeAtMost(u32, 0, 12);
        const length: u32 = switch (smith.value(u8)) {
            0...39 => present,
            40...49 => 0xffffffff,
            50...59 => smith.valueRangeAtMost(u32, 0, 12),
            else => smith.value(u32),
        };
        std.mem.writeInt(u32, storage[size..][0..4], length, .big);
        size += 4;
        if (length == 0xffffffff) continue;
        for (storage[size..][0..present]) |*byte| byte.* = smith.value(u8);
        size += present;
    }
    const body = storage[0..size];
    readAll(body) catch return;

    var values: [24]DataRow.Value = undefined;
    const row: DataRow = try .decode(body);
    var iterator = row.iterator();
    var count: usize = 0;
    while (try iterator.next()) |value| : (count += 1) values[count] = value;
    var writer: WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try DataRow.encode(&writer, values[0..count]);
    try std.testing.expectEqualSlices(u8, body, writer.bytes.items[5..]);
}
