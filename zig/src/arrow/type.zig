//! Which Arrow type a PostgreSQL type becomes, and how Arrow writes it down.
//! Arrow docs: "The Arrow C data interface", "Data type description -- format strings"; "Canonical Extension Types".
const std = @import("std");
const types = @import("types");

/// How a column is made. Several tags are one Arrow type that is reached in different ways.
pub const Tag = enum {
    /// A function that returns nothing.
    nothing,
    boolean,
    int16,
    int32,
    int64,
    uint32,
    uint64,
    float32,
    float64,
    /// The wire's bytes are the text, in binary or in text format.
    text,
    json,
    /// A version byte in front.
    jsonb,
    binary,
    date,
    time,
    timestamp,
    timestamptz,
    interval,
    uuid,
    decimal128,
    decimal256,
    /// A numeric of no declared precision, as text.
    numeric,
    list,
    /// An array that comes as text, its elements as the server prints them.
    text_list,
    vector,
    halfvec,
};

pub const Type = struct {
    tag: Tag,
    /// Of a decimal: digits in all, and behind the point.
    precision: u8 = 0,
    scale: u8 = 0,
    /// Of a list.
    element: ?*const Type = null,
    /// Of a list: what each value must say that its elements are.
    element_oid: u32 = 0,
    /// Of a text list.
    delimiter: u8 = ',',

    /// The format string; decimals have their numbers in it.
    pub fn format(self: Type, arena: std.mem.Allocator) error{OutOfMemory}![:0]const u8 {
        return switch (self.tag) {
            .nothing => "n",
            .boolean => "b",
            .int16 => "s",
            .int32 => "i",
            .int64 => "l",
            .uint32 => "I",
            .uint64 => "L",
            .float32 => "f",
            .float64 => "g",
            .text, .json, .jsonb, .numeric => "u",
            .binary => "z",
            .date => "tdD",
            .time => "ttu",
            .timestamp => "tsu:",
            .timestamptz => "tsu:UTC",
            .interval => "tin",
            .uuid => "w:16",
            .decimal128 => try std.fmt.allocPrintSentinel(arena, "d:{d},{d}", .{ self.precision, self.scale }, 0),
            .decimal256 => try std.fmt.allocPrintSentinel(arena, "d:{d},{d},256", .{ self.precision, self.scale }, 0),
            .list, .text_list, .vector, .halfvec => "+l",
        };
    }

    /// What says more of a type than Arrow's own types can.
    pub fn metadata(self: Type) ?[*]const u8 {
        return switch (self.tag) {
            .json, .jsonb => comptime extension("arrow.json"),
            .uuid => comptime extension("arrow.uuid"),
            else => null,
        };
    }

    pub fn isList(self: Type) bool {
        return self.element != null;
    }
};

fn extension(comptime name: []const u8) [*]const u8 {
    const key = "ARROW:extension:name";
    const more = "ARROW:extension:metadata";
    return int(2) ++ int(key.len) ++ key ++ int(name.len) ++ name ++ int(more.len) ++ more ++ int(0);
}

fn int(comptime value: i32) []const u8 {
    return &std.mem.toBytes(value);
}

const text: Type = .{ .tag = .text };
const float32: Type = .{ .tag = .float32 };

/// The type for values of `kind` that come in binary, or null for those that are better read as the text
/// that the server prints. `type_modifier` as RowDescription has it.
pub fn ofKind(kind: types.Kind, type_modifier: i32) ?Type {
    return switch (kind) {
        .void => .{ .tag = .nothing },
        .bool => .{ .tag = .boolean },
        .int2 => .{ .tag = .int16 },
        .int4 => .{ .tag = .int32 },
        .int8 => .{ .tag = .int64 },
        .oid => .{ .tag = .uint32 },
        .xid8 => .{ .tag = .uint64 },
        .float4 => .{ .tag = .float32 },
        .float8 => .{ .tag = .float64 },
        .text => text,
        .json => .{ .tag = .json },
        .jsonb => .{ .tag = .jsonb },
        .bytea => .{ .tag = .binary },
        .date => .{ .tag = .date },
        .time => .{ .tag = .time },
        .timestamp => .{ .tag = .timestamp },
        .timestamptz => .{ .tag = .timestamptz },
        .interval => .{ .tag = .interval },
        .uuid => .{ .tag = .uuid },
        .numeric => decimal(type_modifier) orelse .{ .tag = .numeric },
        .vector => .{ .tag = .vector, .element = &float32 },
        .halfvec => .{ .tag = .halfvec, .element = &float32 },
        else => null,
    };
}

/// What a numeric's precision and scale come to, or null where there are none, or more digits than Arrow has.
/// PostgreSQL docs: datatype-numeric, "Arbitrary Precision Numbers"; packed as numerictypmodin does it.
fn decimal(type_modifier: i32) ?Type {
    if (type_modifier < 4) return null;
    const bits = type_modifier - 4;
    const declared: i32 = bits >> 16;
    // Eleven bits with a sign.
    const scale: i32 = ((bits & 0x7ff) ^ 1024) - 1024;
    // A negative scale rounds digits before the point away, which are still there; a scale beyond the
    // precision means zeros behind the point.
    const precision = if (scale < 0) declared - scale else @max(declared, scale);
    if (precision < 1 or precision > 76) return null;
    return .{
        .tag = if (precision <= 38) .decimal128 else .decimal256,
        .precision = @intCast(precision),
        .scale = @intCast(@max(scale, 0)),
    };
}

test "a numeric is a decimal of its own precision, as far as Arrow has digits" {
    const rows = [_]struct { i32, ?Type }{
        .{ -1, null },
        .{ 786438, .{ .tag = .decimal128, .precision = 12, .scale = 2 } }, // numeric(12, 2)
        .{ (38 << 16) + 4, .{ .tag = .decimal128, .precision = 38, .scale = 0 } },
        .{ (39 << 16) + 10 + 4, .{ .tag = .decimal256, .precision = 39, .scale = 10 } },
        .{ (77 << 16) + 4, null },
        .{ (3 << 16) + 5 + 4, .{ .tag = .decimal128, .precision = 5, .scale = 5 } },
        .{ (3 << 16) + (-2 & 0x7ff) + 4, .{ .tag = .decimal128, .precision = 5, .scale = 0 } },
        .{ (1000 << 16) + 1000 + 4, null },
        .{ 4, null },
    };
    for (rows) |row| try std.testing.expectEqual(row[1], decimal(row[0]));
}

test "metadata is a count, and keys and values with their sizes" {
    const bytes = (Type{ .tag = .uuid }).metadata().?;
    try std.testing.expectEqual(2, std.mem.bytesToValue(i32, bytes[0..4]));
    try std.testing.expectEqualStrings("ARROW:extension:name", bytes[8..28]);
    try std.testing.expectEqualStrings("arrow.uuid", bytes[32..42]);
    try std.testing.expectEqual(null, (Type{ .tag = .text }).metadata());
}
