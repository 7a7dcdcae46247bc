//! The structs in which Arrow data goes from one library to another in one process: a public ABI, shared
//! by name and layout with everybody who speaks it.
//! Arrow docs: "The Arrow C data interface", "The Arrow C stream interface".
//!
//! Whoever fills a struct sets `release`; whoever takes it calls that once, on any thread, and a released
//! struct has none. A struct may be moved: copied byte by byte, and its old place marked as released.

pub const flag_nullable: i64 = 2;

pub const Schema = extern struct {
    format: ?[*:0]const u8 = null,
    name: ?[*:0]const u8 = null,
    /// A count, then a size and so many bytes for each key and each value, sizes as native 32-bit integers.
    metadata: ?[*]const u8 = null,
    flags: i64 = 0,
    n_children: i64 = 0,
    children: ?[*]?*Schema = null,
    dictionary: ?*Schema = null,
    release: ?*const fn (*Schema) callconv(.c) void = null,
    private_data: ?*anyopaque = null,
};

pub const Array = extern struct {
    length: i64 = 0,
    /// -1 where nobody has counted.
    null_count: i64 = 0,
    offset: i64 = 0,
    n_buffers: i64 = 0,
    n_children: i64 = 0,
    buffers: ?[*]?*const anyopaque = null,
    children: ?[*]?*Array = null,
    dictionary: ?*Array = null,
    release: ?*const fn (*Array) callconv(.c) void = null,
    private_data: ?*anyopaque = null,
};

/// Its functions return 0 or an errno value.
pub const Stream = extern struct {
    get_schema: ?*const fn (*Stream, *Schema) callconv(.c) c_int = null,
    /// A released array is the end.
    get_next: ?*const fn (*Stream, *Array) callconv(.c) c_int = null,
    /// Why the last call failed, valid until the next one.
    get_last_error: ?*const fn (*Stream) callconv(.c) ?[*:0]const u8 = null,
    release: ?*const fn (*Stream) callconv(.c) void = null,
    private_data: ?*anyopaque = null,
};

test "the structs have the sizes that every other library has" {
    const expectEqual = @import("std").testing.expectEqual;
    try expectEqual(72, @sizeOf(Schema));
    try expectEqual(80, @sizeOf(Array));
    try expectEqual(40, @sizeOf(Stream));
}
