//! Wire bytes to JSON text, without Python objects in between: which writer a column gets, and the
//! writers of single values. Called by `json_sink.zig`, one writer per column and statement, and by the
//! writers of containers. docs/json.md says what becomes what, and why.
//! PostgreSQL docs: functions-json, "to_json": its form is taken wherever nothing speaks against it.
//!
//! A writer takes a value's body, never NULL. Where it fails, what it has written is the caller's to take back.
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const containers = @import("json_containers.zig");
const ranges = @import("json_ranges.zig");
const text_format = @import("json_text_format.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const json_text = types.json_text;

pub const Context = decode.Context;
pub const Failure = decode.Failure || error{OutOfMemory};

/// Where the text goes.
pub const Target = struct {
    out: protocol.WriteBuffer,
    /// For texts that must be escaped once they are there.
    scratch: protocol.WriteBuffer,
};

pub const Writer = *const fn (context: *Context, info: *const TypeInfo, target: *Target, body: []const u8) Failure!void;

pub fn writerFor(info: *const TypeInfo, format: decode.Format) Writer {
    if (info.codec != null) return if (format == .binary) codecBinary else codecText;
    if (format == .text) return text_format.writerFor(info);
    return switch (info.kind) {
        .bool => boolean,
        .int2 => integer(i16),
        .int4 => integer(i32),
        .int8 => integer(i64),
        .oid => integer(u32),
        .xid8 => integer(u64),
        .float4 => float(f32),
        .float8 => float(f64),
        .numeric => numeric,
        .text => text,
        .jsonpath, .ltree => versionedText,
        .json => json,
        .jsonb => jsonb,
        .bytea => bytea,
        .uuid => uuid,
        .date => date,
        .timestamp => timestamp(false),
        .timestamptz => timestamp(true),
        inline .time, .timetz, .interval => |kind| printed(kind),
        inline .inet, .cidr, .macaddr, .macaddr8, .bit, .varbit, .pg_lsn => |kind| printed(kind),
        inline .point, .line, .lseg, .box, .circle, .path, .polygon => |kind| printed(kind),
        inline .char, .tsvector, .tsquery => |kind| printedAndEscaped(kind),
        .range, .multirange => ranges.write,
        .array => containers.array,
        .record, .composite => containers.composite,
        .hstore => containers.hstore,
        .vector => containers.vector(f32),
        .halfvec => containers.vector(f16),
        .void => nothing,
        .money, .text_only => textOnly,
    };
}

/// What a function of `types` says, in this layer's terms.
pub inline fn wire(value: anytype) Failure!@typeInfo(@TypeOf(value)).error_union.payload {
    return value catch |err| switch (@as(anyerror, err)) {
        error.OutOfMemory => error.OutOfMemory,
        else => error.Malformed,
    };
}

/// Text that needs no escape: braces, commas, words.
pub inline fn put(target: *Target, bytes: []const u8) error{OutOfMemory}!void {
    @memcpy((try target.out.reserve(bytes.len))[0..bytes.len], bytes);
    target.out.advance(bytes.len);
}

fn boolean(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try put(target, if (try wire(types.scalar.decodeBool(body))) "true" else "false");
}

fn integer(comptime T: type) Writer {
    return struct {
        fn write(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
            try json_text.integer(&target.out, try wire(types.scalar.decodeInt(T, body)));
        }
    }.write;
}

fn float(comptime T: type) Writer {
    return struct {
        fn write(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
            try json_text.float(&target.out, try wire(types.scalar.decodeFloat(T, body)));
        }
    }.write;
}

fn numeric(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try wire(json_text.numeric(&target.out, body));
}

pub fn text(context: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try string(context, target, body);
}

/// Strictly UTF-8. A SQL_ASCII database may hold other bytes; the error says where.
pub fn string(context: *Context, target: *Target, body: []const u8) Failure!void {
    json_text.string(&target.out, body) catch |err| switch (err) {
        error.OutOfMemory => return error.OutOfMemory,
        error.NotUtf8 => {
            decode.sayNotUtf8(context, body);
            return error.NotRepresentable;
        },
    };
}

fn versionedText(context: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try string(context, target, try wire(types.versioned.decode(body)));
}

/// The text as it is: white space, the order of keys and duplicates stay.
pub fn json(context: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    types.json_check.check(body) catch |err| {
        switch (err) {
            error.NotJson => context.say("the text is not JSON", .{}),
            error.TooDeep => context.say("more than {d} lists and objects inside one another", .{types.json_check.depth_max}),
        }
        return error.NotRepresentable;
    };
    try put(target, body);
}

fn jsonb(context: *Context, info: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try json(context, info, target, try wire(types.versioned.decode(body)));
}

fn bytea(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try put(target, "\"\\\\x");
    try types.server_text.hex(&target.out, body);
    try put(target, "\"");
}

fn uuid(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    _ = try target.out.reserve(40);
    try put(target, "\"");
    try wire(types.server_text.uuid(&target.out, body));
    try put(target, "\"");
}

fn date(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    try put(target, "\"");
    try types.time_text.date(&target.out, try wire(types.datetime.decodeDate(body)));
    try put(target, "\"");
}

fn timestamp(comptime has_zone: bool) Writer {
    return struct {
        fn write(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
            const value = try wire(types.datetime.decodeTimestamp(body));
            try put(target, "\"");
            try types.time_text.timestamp(&target.out, value, has_zone, .xsd);
            try put(target, "\"");
        }
    }.write;
}

/// The server's text, of characters that stand for themselves in a string.
fn printed(comptime kind: types.Kind) Writer {
    return struct {
        fn write(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
            try put(target, "\"");
            try wire(types.server_text.write(&target.out, kind, body));
            try put(target, "\"");
        }
    }.write;
}

/// The server's text, which may hold anything.
fn printedAndEscaped(comptime kind: types.Kind) Writer {
    return struct {
        fn write(context: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
            target.scratch.truncate(0);
            try wire(types.server_text.write(&target.scratch, kind, body));
            try string(context, target, target.scratch.bytes.items);
        }
    }.write;
}

pub fn nothing(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    if (body.len != 0) return error.Malformed;
    try put(target, "null");
}

/// Only inside an anonymous record does such a type arrive in binary.
fn textOnly(context: *Context, info: *const TypeInfo, _: *Target, _: []const u8) Failure!void {
    return decode.sayTextOnly(context, info);
}

/// A codec makes a Python value, and `json_dumps` makes JSON of it.
fn codecBinary(context: *Context, info: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    const bytes = try py.checked(py.PyBytes_FromStringAndSize(body.ptr, @intCast(body.len)));
    defer py.decref(bytes);
    try decoded(context, info, target, bytes);
}

fn codecText(context: *Context, info: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    const document = try decode.string(context, body);
    defer py.decref(document);
    try decoded(context, info, target, document);
}

fn decoded(context: *Context, info: *const TypeInfo, target: *Target, argument: *Object) Failure!void {
    const value = try py.checked(py.PyObject_CallOneArg(info.codec.?.decode, argument));
    defer py.decref(value);
    const document = try py.checked(py.PyObject_CallOneArg(context.classes.json_dumps, value));
    defer py.decref(document);
    try json(context, info, target, try bytesOf(context, document));
}

/// Of a str or a bytes, as long as it lives.
fn bytesOf(context: *Context, document: *Object) Failure![]const u8 {
    var size: isize = 0;
    if (py.hd_flags(document) & py.flag.unicode != 0) {
        const bytes = py.PyUnicode_AsUTF8AndSize(document, &size) orelse return error.PythonError;
        return bytes[0..@intCast(size)];
    }
    if (py.hd_flags(document) & py.flag.bytes != 0) {
        var bytes: [*]u8 = undefined;
        try py.ok(py.PyBytes_AsStringAndSize(document, &bytes, &size));
        return bytes[0..@intCast(size)];
    }
    context.say("json_dumps gave {s}, not str or bytes", .{py.hd_type_name(document)});
    return error.NotRepresentable;
}
