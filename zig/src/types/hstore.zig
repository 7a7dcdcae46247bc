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
