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
