//! Composite values and anonymous records: a field count, then for each field its type and its value.
//! PostgreSQL docs: rowtypes, "Composite Types"; the binary form is record_send's.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Field = struct {
    oid: u32,
    /// Null for SQL NULL.
    value: ?[]const u8,
};

pub const Composite = struct {
    count: usize,
    fields: []const u8,

    pub fn iterator(self: Composite) Iterator {
        return .{ .cursor = .init(self.fields) };
    }
};

/// Call `next` `count` times, then `finish`.
pub const Iterator = struct {
    cursor: Cursor,

    pub fn next(self: *Iterator) DecodeError!Field {
        const oid = try self.cursor.int(u32);
        return .{ .oid = oid, .value = try self.cursor.value() };
    }

    pub fn finish(self: *const Iterator) DecodeError!void {
        try self.cursor.finish();
    }
};

pub fn decode(body: []const u8) DecodeError!Composite {
    var cursor: Cursor = .init(body);
    // A type and a length word are the least a field takes.
    const count = try cursor.count(8);
    if (count == 0) try cursor.finish();
    return .{ .count = count, .fields = cursor.rest };
}

/// Write the field count. For each field follows `field`, then `beginValue` … `endValue` or `writeNull`.
pub fn begin(writer: *protocol.WriteBuffer, count: usize) EncodeError!void {
    try writer.writeInt(i32, std.math.cast(i32, count) orelse return error.OutOfRange);
}

pub fn field(writer: *protocol.WriteBuffer, oid: u32) EncodeError!void {
    try writer.writeInt(u32, oid);
}
