//! Wire bytes to Python objects: which decoder a column gets, and the decoders of single values.
//! Called by the sinks, one decoder per column and statement, and by the container decoders.
//!
//! A decoder takes a value's body, never NULL, and returns a new reference.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const context_file = @import("context.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const time = @import("decode_time.zig");
const containers = @import("decode_containers.zig");
const printed = @import("decode_printed.zig");
const shapes = @import("decode_shapes.zig");
const text_format = @import("decode_text.zig");
const Object = py.Object;

pub const Context = context_file.Context;

pub const Failure = error{
    /// A Python exception is set.
    PythonError,
    /// A type inside the value is not known; `context.unknown_oid` names it. Introspect and decode again.
    UnknownType,
    /// The bytes are not this type's binary form.
    Malformed,
    /// Python has no such value; `context.message` says why. For the user a DataError.
    NotRepresentable,
};

pub const Format = enum { text, binary };

pub const Decoder = *const fn (context: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object;

pub fn decoderFor(info: *const TypeInfo, format: Format) Decoder {
    if (info.codec != null) return if (format == .binary) codecBinary else codecText;
    if (format == .text) return text_format.decoderFor(info);
    return switch (info.kind) {
        .bool => boolean,
        .int2 => integer(i16),
        .int4 => integer(i32),
        .int8 => integer(i64),
        .oid => integer(u32),
        .xid8 => integer(u64),
        .float4 => float(f32),
        .float8 => float(f64),
        .text => text,
        .char => printed.char,
        .bytea => bytea,
        .json => json,
        .jsonb => jsonb,
        .jsonpath, .ltree => versionedText,
        .numeric => printed.numeric,
        .date => time.date,
        .time => time.time,
        .timetz => time.timetz,
        .timestamp => time.timestamp,
        .timestamptz => time.timestamptz,
        .interval => time.interval,
        .uuid => uuid,
        .inet, .cidr => printed.inet,
        .macaddr => printed.macaddr(6),
        .macaddr8 => printed.macaddr(8),
        .bit, .varbit => printed.bits,
        .pg_lsn => printed.lsn,
        .tsvector => printed.tsvector,
        .tsquery => printed.tsquery,
        .money, .text_only => textOnly,
        .point => shapes.coordinates(types.geometric.Point),
        .line => shapes.coordinates(types.geometric.Line),
        .lseg => shapes.coordinates(types.geometric.Lseg),
        .box => shapes.coordinates(types.geometric.Box),
        .circle => shapes.coordinates(types.geometric.Circle),
        .path => shapes.path,
        .polygon => shapes.polygon,
        .array => containers.array,
        .range => containers.range,
        .multirange => containers.multirange,
        .record, .composite => containers.composite,
        .void => nothing,
        .hstore => containers.hstore,
        .vector => shapes.vector(f32),
        .halfvec => shapes.vector(f16),
    };
}

/// What a codec of `types` says about bytes, in this layer's terms.
pub inline fn wire(value: anytype) Failure!@typeInfo(@TypeOf(value)).error_union.payload {
    return value catch error.Malformed;
}

fn boolean(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return py.boolean(try wire(types.scalar.decodeBool(body)));
}

fn integer(comptime T: type) Decoder {
    return struct {
        fn decode(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
            const value = try wire(types.scalar.decodeInt(T, body));
            if (T == u64) return py.checked(py.PyLong_FromUnsignedLongLong(value));
            return py.checked(py.PyLong_FromLongLong(value));
        }
    }.decode;
}

fn float(comptime T: type) Decoder {
    return struct {
        fn decode(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
            return py.checked(py.PyFloat_FromDouble(try wire(types.scalar.decodeFloat(T, body))));
        }
    }.decode;
}

pub fn text(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return string(context, body);
}

/// A str, strictly UTF-8. A SQL_ASCII database may hold other bytes; the error says where.
pub fn string(context: *Context, body: []const u8) Failure!*Object {
    return py.PyUnicode_DecodeUTF8(body.ptr, @intCast(body.len), null) orelse {
        if (py.PyErr_ExceptionMatches(py.PyExc_UnicodeError) == 0) return error.PythonError;
        py.PyErr_Clear();
        sayNotUtf8(context, body);
        return error.NotRepresentable;
    };
}

/// `body` is not UTF-8.
pub fn sayNotUtf8(context: *Context, body: []const u8) void {
    var valid: usize = 0;
    while (valid < body.len) {
        const length = std.unicode.utf8ByteSequenceLength(body[valid]) catch break;
        if (valid + length > body.len or !std.unicode.utf8ValidateSlice(body[valid..][0..length])) break;
        valid += length;
    }
    context.say("the text is not UTF-8: byte 0x{x:0>2} at offset {d}", .{ body[@min(valid, body.len - 1)], valid });
}

fn bytea(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return py.checked(py.PyBytes_FromStringAndSize(body.ptr, @intCast(body.len)));
}

pub fn json(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const document = try string(context, body);
    defer py.decref(document);
    if (context.classes.json_scan) |scan| if (try scanned(scan, document)) |value| return value;
    return py.PyObject_CallOneArg(context.classes.json_loads, document) orelse {
        // A function of the user's raises what it likes; the standard library's has two ways to fail.
        const is_ours = context.classes.json_scan != null;
        if (is_ours and py.PyErr_ExceptionMatches(py.PyExc_RecursionError) != 0) {
            py.PyErr_Clear();
            context.say("the JSON is nested too deeply for Python", .{});
            return error.NotRepresentable;
        }
        if (is_ours and py.PyErr_ExceptionMatches(py.PyExc_ValueError) != 0) {
            py.PyErr_Clear();
            context.say("the text is not JSON", .{});
            return error.NotRepresentable;
        }
        return error.PythonError;
    };
}

/// What `json.loads` finds, by its inner function alone. Null where that does not take the whole text:
/// `loads` then allows for white space or says what is wrong.
fn scanned(scan: *Object, document: *Object) Failure!?*Object {
    const zero = try py.checked(py.PyLong_FromLong(0)); // one of the small ints that exist already
    defer py.decref(zero);
    const arguments = [_]?*Object{ document, zero };
    const pair = py.PyObject_Vectorcall(scan, &arguments, arguments.len, null) orelse {
        const about_text = py.PyErr_ExceptionMatches(py.PyExc_ValueError) != 0 or
            py.PyErr_ExceptionMatches(py.PyExc_RecursionError) != 0 or py.PyErr_ExceptionMatches(py.PyExc_StopIteration) != 0;
        if (!about_text) return error.PythonError;
        py.PyErr_Clear();
        return null;
    };
    defer py.decref(pair);
    if (py.hd_tuple_check(pair) == 0 or py.hd_tuple_size(pair) != 2) return null;
    const end = py.PyLong_AsLongLong(py.hd_tuple_get(pair, 1));
    if (end == -1 and py.PyErr_Occurred() != null) return error.PythonError;
    if (end != py.PyObject_Size(document)) return null;
    return py.incref(py.hd_tuple_get(pair, 0));
}

fn jsonb(context: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object {
    return json(context, info, try wire(types.versioned.decode(body)));
}

fn versionedText(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    return string(context, try wire(types.versioned.decode(body)));
}

fn uuid(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const bytes = try wire(types.uuid.decode(body));
    return context.classes.uuid.make(&bytes);
}

pub fn nothing(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    if (body.len != 0) return error.Malformed;
    return py.none();
}

/// Only inside an anonymous record does such a type arrive in binary.
fn textOnly(context: *Context, info: *const TypeInfo, _: []const u8) Failure!*Object {
    return sayTextOnly(context, info);
}

pub fn sayTextOnly(context: *Context, info: *const TypeInfo) error{NotRepresentable} {
    context.say("{f} inside a record has no form that can be read; cast it to text", .{info});
    return error.NotRepresentable;
}

fn codecBinary(_: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object {
    const bytes = try py.checked(py.PyBytes_FromStringAndSize(body.ptr, @intCast(body.len)));
    defer py.decref(bytes);
    return py.checked(py.PyObject_CallOneArg(info.codec.?.decode, bytes));
}

fn codecText(context: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object {
    const document = try string(context, body);
    defer py.decref(document);
    return py.checked(py.PyObject_CallOneArg(info.codec.?.decode, document));
}
