//! Arrays of every element type: a header with the dimensions, then the elements in row-major
//! order, each an Int32 length (-1 for NULL) and its bytes.
//! PostgreSQL docs: arrays, "Arrays"; the binary form is what array_send in the server's sources writes.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// The server's limit on subscripts.
pub const dimensions_max = 6;

pub const Dimension = struct { length: u32, lower_bound: i32 };

pub const Array = struct {
    /// The element's own type, which for a domain is not the base type.
    element_oid: u32,
    has_null: bool,
    /// Slots beyond `dimension_count` are undefined.
    dimensions: [dimensions_max]Dimension,
    dimension_count: u8,
    /// The product of all lengths; zero when there are no dimensions.
    element_count: usize,
    elements: []const u8,

    pub fn dims(self: *const Array) []const Dimension {
        return self.dimensions[0..self.dimension_count];
    }

    pub fn iterator(self: *const Array) Iterator {
        return .{ .cursor = .init(self.elements) };
    }
};

/// Call `next` `element_count` times, then `finish`.
pub const Iterator = struct {
    cursor: Cursor,

    /// The next element's bytes, null for SQL NULL. InvalidValue past the end.
    pub fn next(self: *Iterator) DecodeError!?[]const u8 {
        return self.cursor.value();
    }

    /// No bytes may follow the last element.
    pub fn finish(self: *const Iterator) DecodeError!void {
        try self.cursor.finish();
    }
};

/// Read the header. The element count is checked against the bytes that remain before anyone can
/// allocate by it: an element takes at least the four bytes of its length.
pub fn decode(body: []const u8) DecodeError!Array {
    var cursor: Cursor = .init(body);
    const dimension_count = try cursor.int(u32);
    if (dimension_count > dimensions_max) return error.InvalidValue;
    const flags = try cursor.int(u32);
    if (flags > 1) return error.InvalidValue;
    var array: Array = .{
        .element_oid = try cursor.int(u32),
        .has_null = flags == 1,
        .dimensions = undefined,
        .dimension_count = @intCast(dimension_count),
        .element_count = @intFromBool(dimension_count != 0),
        .elements = &.{},
    };
    for (array.dimensions[0..dimension_count]) |*dimension| {
        const length = std.math.cast(u31, try cursor.int(i32)) orelse return error.InvalidValue;
        // An empty array has no dimensions, except int2vector and oidvector, which keep one.
        if (length == 0 and dimension_count != 1) return error.InvalidValue;
        dimension.* = .{ .length = length, .lower_bound = try cursor.int(i32) };
        array.element_count = std.math.mul(usize, array.element_count, length) catch return error.InvalidValue;
    }
    if (array.element_count > cursor.rest.len / 4) return error.InvalidValue;
    array.elements = cursor.rest;
    if (array.element_count == 0) try cursor.finish();
    return array;
}

/// Write the header of an array whose subscripts begin at `lower_bound` (1 except for
/// `oids.arrayLowerBound`). The elements follow, each through `beginValue` and `endValue` or
/// `writeNull`. An array with no elements is written with `dims` empty.
pub fn begin(
    writer: *protocol.WriteBuffer,
    element_oid: u32,
    dims: []const u32,
    has_null: bool,
    lower_bound: i32,
) EncodeError!void {
    if (dims.len > dimensions_max) return error.OutOfRange;
    try writer.writeInt(u32, @intCast(dims.len));
    try writer.writeInt(u32, @intFromBool(has_null));
    try writer.writeInt(u32, element_oid);
    for (dims) |length| {
        try writer.writeInt(i32, std.math.cast(i32, length) orelse return error.OutOfRange);
        try writer.writeInt(i32, lower_bound);
    }
}
