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
