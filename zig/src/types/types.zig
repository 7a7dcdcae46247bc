//! PostgreSQL's types: binary wire bytes to plain Zig values and back, one file per family.
//! Called by the column decoders and parameter encoders of the `python` layer; knows nothing of Python.
//!
//! A decoder takes a value's body, the bytes after its Int32 length, and borrows from it. An encoder
//! appends the body to a `protocol.WriteBuffer`; the length around it is the caller's `beginValue`
//! and `endValue`.
pub const DecodeError = @import("errors.zig").DecodeError;
pub const EncodeError = @import("errors.zig").EncodeError;

pub const array = @import("array.zig");
pub const composite = @import("composite.zig");
pub const datetime = @import("datetime.zig");
pub const geometric = @import("geometric.zig");
pub const hstore = @import("hstore.zig");
pub const interval = @import("interval.zig");
pub const multirange = @import("multirange.zig");
pub const oids = @import("oids.zig");
pub const range = @import("range.zig");
pub const scalar = @import("scalar.zig");
pub const uuid = @import("uuid.zig");
pub const vector = @import("vector.zig");

pub const Kind = oids.Kind;

test {
    _ = @import("cursor.zig");
    _ = array;
    _ = composite;
    _ = datetime;
    _ = geometric;
    _ = hstore;
    _ = interval;
    _ = multirange;
    _ = oids;
    _ = range;
    _ = scalar;
    _ = uuid;
    _ = vector;
}
