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

const testing = @import("testing.zig");
const hex = testing.hex;

/// Reads an array through to its end, as a column decoder does.
fn decodeAll(body: []const u8) DecodeError!Array {
    const array = try decode(body);
    var iterator = array.iterator();
    for (0..array.element_count) |_| _ = try iterator.next();
    try iterator.finish();
    return array;
}

test "a one-dimensional array with a NULL, as array_send gives it" {
    const body = hex("00000001000000010000001700000003000000010000000400000001ffffffff0000000400000003");
    const array = try decodeAll(body);
    try std.testing.expectEqual(23, array.element_oid);
    try std.testing.expect(array.has_null);
    try std.testing.expectEqualSlices(Dimension, &.{.{ .length = 3, .lower_bound = 1 }}, array.dims());
    var iterator = array.iterator();
    try std.testing.expectEqualSlices(u8, "\x00\x00\x00\x01", (try iterator.next()).?);
    try std.testing.expectEqual(null, try iterator.next());
    try std.testing.expectEqualSlices(u8, "\x00\x00\x00\x03", (try iterator.next()).?);
    try iterator.finish();
    try std.testing.expectError(error.InvalidValue, iterator.next());
    try testing.checkBytes(decodeAll, body);
}

test "lower bounds of every dimension are kept" {
    const body = hex("000000020000000000000015000000020000000200000002ffffffff" ++
        "000000020001000000020002000000020003000000020004");
    const array = try decodeAll(body);
    try std.testing.expectEqualSlices(Dimension, &.{
        .{ .length = 2, .lower_bound = 2 },
        .{ .length = 2, .lower_bound = -1 },
    }, array.dims());
    try std.testing.expectEqual(4, array.element_count);
    try testing.checkBytes(decodeAll, body);
}

test "six dimensions are the most" {
    const six = hex("000000060000000000000015" ++ "0000000100000001000000010000000100000001000000010000000100000001" ++
        "00000001000000010000000100000001" ++ "000000020001");
    try std.testing.expectEqual(6, (try decodeAll(six)).dims().len);
    try testing.checkBytes(decodeAll, six);
    try std.testing.expectError(error.InvalidValue, decode(hex("000000070000000000000015" ++ "0000000100000001" ++
        "0000000100000001" ++ "0000000100000001" ++ "0000000100000001" ++ "0000000100000001" ++ "0000000100000001" ++
        "0000000100000001" ++ "000000020001")));
}

test "an empty array has no dimensions; an empty int2vector keeps one" {
    const empty = hex("000000000000000000000017");
    try std.testing.expectEqual(0, (try decodeAll(empty)).element_count);
    try std.testing.expectEqual(0, (try decodeAll(empty)).dims().len);
    try testing.checkBytes(decodeAll, empty);
    const vector = hex("0000000100000000000000150000000000000000");
    try std.testing.expectEqual(0, (try decodeAll(vector)).element_count);
    try testing.checkBytes(decodeAll, vector);
}

test "a header that promises more than the bytes hold fails before anyone allocates by it" {
    inline for (.{
        // 2**31-1 elements; a negative length; a product beyond any integer; zero beside a huge dimension.
        "000000010000000000000017" ++ "7fffffff00000001",
        "000000010000000000000017" ++ "ffffffff00000001",
        "000000060000000000000017" ++ "7fffffff00000001" ++ "7fffffff00000001" ++ "7fffffff00000001" ++
            "7fffffff00000001" ++ "7fffffff00000001" ++ "7fffffff00000001",
        "000000020000000000000017" ++ "7fffffff00000001" ++ "0000000000000001",
        "000000010000000000000017" ++ "0000000200000001" ++ "ffffffff",
        "000000010000000200000017" ++ "0000000100000001" ++ "ffffffff",
        "ffffffff0000000000000017",
    }) |bad| try std.testing.expectError(error.InvalidValue, decode(hex(bad)));
}

fn encodeRow(writer: *protocol.WriteBuffer, values: []const ?[]const u8) EncodeError!void {
    try begin(writer, 23, &.{@intCast(values.len)}, true, 1);
    for (values) |value| {
        const bytes = value orelse {
            try writer.writeNull();
            continue;
        };
        const mark = try writer.beginValue();
        try writer.writeBytes(bytes);
        try writer.endValue(mark);
    }
}

test "an encoded array is what the server would have sent" {
    const values = [_]?[]const u8{ "\x00\x00\x00\x01", null, "\x00\x00\x00\x03" };
    try testing.expectEncoded(encodeRow, @as([]const ?[]const u8, &values), hex("00000001000000010000001700000003" ++
        "000000010000000400000001ffffffff0000000400000003"));
}

fn encodeHeader(writer: *protocol.WriteBuffer, dims: []const u32) EncodeError!void {
    try begin(writer, 26, dims, false, 0);
}

test "seven dimensions, or a length beyond a signed 32-bit integer, cannot be sent" {
    try testing.expectEncoded(encodeHeader, @as([]const u32, &.{ 2, 3 }), hex("00000002000000000000001a" ++
        "00000002000000000000000300000000"));
    try testing.expectEncodeError(error.OutOfRange, encodeHeader, @as([]const u32, &.{ 1, 1, 1, 1, 1, 1, 1 }));
    try testing.expectEncodeError(error.OutOfRange, encodeHeader, @as([]const u32, &.{0x8000_0000}));
}

/// Mostly a header of small dimensions and elements of small lengths; sometimes any bytes at all.
fn smithArray(smith: *std.testing.Smith, buffer: *[256]u8) ![]const u8 {
    if (smith.valueRangeAtMost(u8, 0, 7) == 0) return buffer[0..smith.slice(buffer)];
    var writer: std.Io.Writer = .fixed(buffer);
    const dimension_count = smith.valueRangeAtMost(u8, 0, dimensions_max + 1);
    try writer.writeInt(u32, dimension_count, .big);
    try writer.writeInt(u32, smith.valueRangeAtMost(u8, 0, 2), .big);
    try writer.writeInt(u32, 23, .big);
    for (0..dimension_count) |_| {
        try writer.writeInt(i32, smith.valueRangeAtMost(i8, -1, 3), .big);
        try writer.writeInt(i32, smith.value(i32), .big);
    }
    while (smith.valueRangeAtMost(u8, 0, 7) != 0) {
        const length = smith.valueRangeAtMost(i8, -2, 4);
        writer.writeInt(i32, length, .big) catch break;
        writer.splatByteAll('x', @intCast(@max(length, 0))) catch break;
    }
    return writer.buffered();
}

fn fuzzArray(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [256]u8 = undefined;
    const array = decodeAll(try smithArray(smith, &buffer)) catch return;
    try std.testing.expect(array.element_count * 4 <= array.elements.len);
    var product: usize = @intFromBool(array.dimension_count > 0);
    for (array.dims()) |dimension| product *= dimension.length;
    try std.testing.expectEqual(array.element_count, product);
}

test "fuzz: an array never has more elements than its bytes can hold" {
    try std.testing.fuzz({}, fuzzArray, .{});
}
