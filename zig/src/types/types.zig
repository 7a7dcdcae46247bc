//! PostgreSQL's types: binary wire bytes to plain Zig values and back, one file per family.
//! Called by the column decoders and parameter encoders of the `python` layer; knows nothing of Python.
//!
//! A decoder takes a value's body, the bytes after its Int32 length, and borrows from it. An encoder
//! appends the body to a `protocol.WriteBuffer`; the length around it is the caller's `beginValue`
//! and `endValue`.
const std = @import("std");

pub const DecodeError = @import("errors.zig").DecodeError;
pub const EncodeError = @import("errors.zig").EncodeError;

pub const array = @import("array.zig");
pub const bits = @import("bits.zig");
pub const char = @import("char.zig");
pub const composite = @import("composite.zig");
pub const datetime = @import("datetime.zig");
pub const digits = @import("digits.zig");
pub const float_text = @import("float_text.zig");
pub const geometric = @import("geometric.zig");
pub const hstore = @import("hstore.zig");
pub const inet = @import("inet.zig");
pub const interval = @import("interval.zig");
pub const json_check = @import("json_check.zig");
pub const json_text = @import("json_text.zig");
pub const macaddr = @import("macaddr.zig");
pub const multirange = @import("multirange.zig");
pub const numeric = @import("numeric.zig");
pub const oids = @import("oids.zig");
pub const pg_lsn = @import("pg_lsn.zig");
pub const range = @import("range.zig");
pub const scalar = @import("scalar.zig");
pub const server_text = @import("server_text.zig");
pub const text_array = @import("text_array.zig");
pub const time_text = @import("time_text.zig");
pub const tsquery = @import("tsquery.zig");
pub const tsvector = @import("tsvector.zig");
pub const uuid = @import("uuid.zig");
pub const vector = @import("vector.zig");
pub const versioned = @import("versioned.zig");

pub const Kind = oids.Kind;

test {
    _ = @import("cursor.zig");
    _ = @import("numeric_encode.zig");
    // References every declaration, so that one without a caller yet must compile too.
    std.testing.refAllDecls(@This());
    inline for (.{
        array,   bits,       char,       composite, datetime,    geometric,  hstore,  inet,     interval, macaddr, multirange,
        numeric, oids,       pg_lsn,     range,     scalar,      text_array, tsquery, tsvector, uuid,     vector,  versioned,
        digits,  float_text, json_check, json_text, server_text, time_text,
    }) |file| std.testing.refAllDecls(file);
}
