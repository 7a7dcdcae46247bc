//! The types every server has: OID, name, kind, and for containers what they contain. The type map
//! starts from this table; everything else is asked of the catalogs at run time.
//! PostgreSQL docs: catalog-pg-type, "pg_type".
//!
//! OIDs below 10000 are assigned by hand in the server's sources and never change meaning, so the
//! table, made from the newest catalog, holds for older servers too. Composite types of the
//! catalogs (pg_class, …) are left out: their fields differ from release to release.
const std = @import("std");
const table = @import("oid_table.zig");

/// How a value travels, one per codec. `text_only` has no binary form worth decoding and is asked for as text.
pub const Kind = enum {
    bool,
    int2,
    int4,
    int8,
    /// oid, xid, cid: unsigned 32 bits.
    oid,
    /// Unsigned 64 bits.
    xid8,
    float4,
    float8,
    /// The binary form is the text itself: text, varchar, bpchar, name, xml, refcursor, unknown, cstring, enums.
    text,
    /// The one-byte type `"char"`.
    char,
    bytea,
    json,
    jsonb,
    jsonpath,
    numeric,
    date,
    time,
    timetz,
    timestamp,
    timestamptz,
    interval,
    uuid,
    inet,
    cidr,
    macaddr,
    macaddr8,
    /// Depends on lc_monetary, so only the server can print it: text format.
    money,
    bit,
    varbit,
    pg_lsn,
    tsvector,
    tsquery,
    point,
    line,
    lseg,
    box,
    path,
    polygon,
    circle,
    array,
    range,
    multirange,
    /// An anonymous row: field OIDs come with each value, names do not.
    record,
    composite,
    /// The result of a function that returns nothing; the body is empty.
    void,
    hstore,
    vector,
    halfvec,
    ltree,
    text_only,
};

pub const Entry = struct {
    oid: u32,
    name: []const u8,
    kind: Kind,
    /// Of an array: the element type. Zero otherwise, as are the next two.
    element: u32 = 0,
    /// Of a range: the type of its bounds.
    subtype: u32 = 0,
    /// Of a multirange: the range type.
    range: u32 = 0,
    /// Between the elements of this type's array in text form: `;` for box, `,` for all others.
    delimiter: u8 = ',',
    /// The array type over this type, zero when there is none.
    array: u32 = 0,
};

const entries = table.entries;
const oid_max = entries[entries.len - 1].oid;
const absent = std.math.maxInt(u8);

/// Entry index by OID: a lookup is one load, and the whole of it is 6 kB.
const index_by_oid: [oid_max + 1]u8 = index: {
    @setEvalBranchQuota(100_000);
    var index: [oid_max + 1]u8 = @splat(absent);
    for (entries, 0..) |entry, i| index[entry.oid] = i;
    break :index index;
};

comptime {
    std.debug.assert(entries.len < absent);
}

/// The built-in type with this OID, or null for one that the catalogs must explain.
pub fn builtin(oid: u32) ?*const Entry {
    if (oid > oid_max) return null;
    const index = index_by_oid[oid];
    return if (index == absent) null else &entries[index];
}

/// All entries, in order of OID.
pub fn all() []const Entry {
    return &entries;
}

/// True when values of this built-in type are asked for and sent in text format: a container
/// whose innermost type has no binary form has none itself.
pub fn textFormat(entry: *const Entry) bool {
    return switch (entry.kind) {
        .text_only, .money => true,
        .array => textFormat(builtin(entry.element) orelse return true),
        .range => textFormat(builtin(entry.subtype) orelse return true),
        .multirange => textFormat(builtin(entry.range) orelse return true),
        else => false,
    };
}

/// int2vector and oidvector are arrays whose first subscript is 0; their receive functions refuse any other.
pub fn arrayLowerBound(oid: u32) i32 {
    return if (oid == int2vector or oid == oidvector) 0 else 1;
}

pub const @"bool": u32 = 16;
pub const bytea: u32 = 17;
pub const char: u32 = 18;
pub const name: u32 = 19;
pub const int8: u32 = 20;
pub const int2: u32 = 21;
pub const int2vector: u32 = 22;
pub const int4: u32 = 23;
pub const text: u32 = 25;
pub const oid_type: u32 = 26;
pub const oidvector: u32 = 30;
pub const json: u32 = 114;
pub const float4: u32 = 700;
pub const float8: u32 = 701;
pub const unknown: u32 = 705;
pub const inet: u32 = 869;
pub const cidr: u32 = 650;
pub const bpchar: u32 = 1042;
pub const varchar: u32 = 1043;
pub const date: u32 = 1082;
pub const time: u32 = 1083;
pub const timestamp: u32 = 1114;
pub const timestamptz: u32 = 1184;
pub const interval: u32 = 1186;
pub const timetz: u32 = 1266;
pub const numeric: u32 = 1700;
pub const record: u32 = 2249;
pub const uuid: u32 = 2950;
pub const jsonb: u32 = 3802;

test "the table is in order, and every name constant agrees with it" {
    var previous: u32 = 0;
    for (all()) |entry| {
        try std.testing.expect(entry.oid > previous);
        previous = entry.oid;
        try std.testing.expectEqual(entry.oid, builtin(entry.oid).?.oid);
    }
    inline for (.{
        .{ "bool", @"bool" },        .{ "bytea", bytea },             .{ "char", char },     .{ "name", name },
        .{ "int8", int8 },           .{ "int2", int2 },               .{ "int4", int4 },     .{ "text", text },
        .{ "oid", oid_type },        .{ "json", json },               .{ "float4", float4 }, .{ "float8", float8 },
        .{ "unknown", unknown },     .{ "inet", inet },               .{ "cidr", cidr },     .{ "bpchar", bpchar },
        .{ "varchar", varchar },     .{ "date", date },               .{ "time", time },     .{ "timestamp", timestamp },
        .{ "interval", interval },   .{ "timestamptz", timestamptz }, .{ "timetz", timetz }, .{ "numeric", numeric },
        .{ "record", record },       .{ "uuid", uuid },               .{ "jsonb", jsonb },   .{ "int2vector", int2vector },
        .{ "oidvector", oidvector },
    }) |row| try std.testing.expectEqualStrings(row[0], builtin(row[1]).?.name);
}

test "containers name types that are in the table, and array links go both ways" {
    for (all()) |entry| {
        switch (entry.kind) {
            .array => {
                const element = builtin(entry.element).?;
                if (entry.oid != int2vector and entry.oid != oidvector) try std.testing.expectEqual(entry.oid, element.array);
            },
            .range => try std.testing.expect(builtin(entry.subtype) != null),
            .multirange => try std.testing.expectEqual(.range, builtin(entry.range).?.kind),
            else => {
                try std.testing.expectEqual(0, entry.element);
                try std.testing.expectEqual(0, entry.subtype);
                try std.testing.expectEqual(0, entry.range);
            },
        }
    }
    try std.testing.expectEqual(';', builtin(builtin(1020).?.element).?.delimiter);
    try std.testing.expectEqual(box_array, builtin(603).?.array);
}

const box_array = 1020;

test "an OID that is not built in has no entry" {
    inline for (.{ 0, 1, 71, 9999, 16384, std.math.maxInt(u32) }) |oid| try std.testing.expectEqual(null, builtin(oid));
}

test "a container of a type without binary form is in text format" {
    try std.testing.expect(textFormat(builtin(1033).?)); // aclitem
    try std.testing.expect(textFormat(builtin(1034).?)); // _aclitem
    try std.testing.expect(textFormat(builtin(791).?)); // _money
    try std.testing.expect(!textFormat(builtin(1231).?)); // _numeric
    try std.testing.expect(!textFormat(builtin(3904).?)); // int4range
    try std.testing.expect(!textFormat(builtin(6150).?)); // _int4multirange
}
