//! Python objects to wire bytes: one parameter of a Bind message. The server's own type for the
//! parameter decides, never a guess from the Python class. Called by the connection for each
//! argument, before anything is sent.
//! PostgreSQL docs: protocol-message-formats, "Bind (F)".
//!
//! Values go in binary. A str for a type that is not text-like goes in text format, so that the server
//! parses it and its own error is what the user sees; a str inside a container takes the whole
//! container into text format.
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const scalars = @import("encode_scalars.zig");
const time = @import("encode_time.zig");
const containers = @import("encode_containers.zig");
const shapes = @import("encode_shapes.zig");
const text_format = @import("encode_text.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;

pub const Context = decode.Context;
pub const Format = decode.Format;
pub const Writer = protocol.WriteBuffer;

pub const Failure = error{
    /// A Python exception is set.
    PythonError,
    /// The value does not fit; `context.message` says why. For the user a DataError.
    Mismatch,
};

/// What encoders below this file fail with.
pub const Inner = Failure || types.EncodeError || error{
    /// Only the server can parse what was found; write the parameter again, in text format.
    NeedsText,
};

/// Write the Int32 length and the body of one parameter and say in which format they are. After a
/// failure the writer holds what it held before.
pub fn parameter(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Failure!Format {
    const mark = writer.len();
    context.message = "";
    errdefer {
        writer.truncate(mark);
        context.depth = 0;
    }
    return attempt(context, info, object, writer) catch |err| switch (err) {
        error.NeedsText => {
            writer.truncate(mark);
            text_format.element(context, info, object, writer) catch |inner| return failure(context, info, inner);
            return .text;
        },
        else => |other| failure(context, info, other),
    };
}

/// As `parameter`, but in binary or not at all: inside of a COPY all values have one format.
pub fn binary(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Failure!void {
    if (object != py.hd_none() and info.codec == null and info.kind != .text and isStr(context, object)) {
        switch (info.kind) {
            .json, .jsonb, .jsonpath, .ltree => {},
            else => {
                context.say("a str is parsed by the server, which binary format leaves no room for; give a value of the type, or format=\"text\"", .{});
                return error.Mismatch;
            },
        }
    }
    element(context, info, object, writer) catch |err| return failure(context, info, err);
}

fn attempt(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!Format {
    if (object == py.hd_none()) {
        try writer.writeNull();
        return .binary;
    }
    if (info.codec == null and isStr(context, object)) {
        const mark = try writer.beginValue();
        try scalars.text(context, object, writer);
        try writer.endValue(mark);
        return .text;
    }
    if (!info.binary) return error.NeedsText;
    try element(context, info, object, writer);
    return .binary;
}

/// What an encoder below fails with, in terms of the caller.
pub fn failure(context: *Context, info: *const TypeInfo, err: Inner) Failure {
    switch (err) {
        error.PythonError => return error.PythonError,
        error.OutOfMemory => {
            _ = py.PyErr_NoMemory();
            return error.PythonError;
        },
        error.Mismatch => {},
        error.MessageTooLong => context.say("the value is longer than the protocol allows", .{}),
        error.OutOfRange => context.say("out of range for {f}", .{info}),
        error.InvalidValue => context.say("not a value of {f}", .{info}),
        error.NeedsText => context.say("a str inside this value has no text form here", .{}),
    }
    return error.Mismatch;
}

/// A value with its length, or NULL.
pub fn element(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    if (object == py.hd_none()) return writer.writeNull();
    const mark = try writer.beginValue();
    try body(context, info, object, writer);
    try writer.endValue(mark);
}

/// The value alone, in binary. `object` is not None.
pub fn body(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    if (isEnumMember(context, object)) {
        const value = try enterEnum(context, object);
        defer leaveEnum(context, value);
        return body(context, info, value, writer);
    }
    if (info.codec) |codec| return scalars.codec(context, codec.encode, info.binary, object, writer);
    return switch (info.kind) {
        .text => scalars.text(context, object, writer),
        .json, .jsonb => scalars.json(context, info.kind == .jsonb, object, writer),
        .jsonpath, .ltree => scalars.versioned(context, object, writer),
        // The server parses whatever text it is given for these, and better than we could.
        .inet, .cidr, .macaddr, .macaddr8, .bit, .varbit, .pg_lsn, .tsvector, .tsquery, .money, .text_only => error.NeedsText,
        .record, .void => notEncodable(context, info),
        else => if (isStr(context, object)) error.NeedsText else switch (info.kind) {
            .bool => scalars.boolean(context, object, writer),
            .int2 => scalars.integer(i16, context, info, object, writer),
            .int4 => scalars.integer(i32, context, info, object, writer),
            .int8 => scalars.integer(i64, context, info, object, writer),
            .oid => scalars.integer(u32, context, info, object, writer),
            .xid8 => scalars.integer(u64, context, info, object, writer),
            .float4 => scalars.float(f32, context, info, object, writer),
            .float8 => scalars.float(f64, context, info, object, writer),
            .numeric => scalars.numeric(context, object, writer),
            .char => scalars.notThis(context, "str", object),
            .bytea => scalars.bytea(context, object, writer),
            .uuid => scalars.uuid(context, object, writer),
            .date => time.date(context, object, writer),
            .time => time.time(context, object, writer),
            .timetz => time.timetz(context, object, writer),
            .timestamp => time.timestamp(context, object, writer),
            .timestamptz => time.timestamptz(context, object, writer),
            .interval => time.interval(context, object, writer),
            .point => shapes.point(context, object, writer),
            .line => shapes.line(context, object, writer),
            .lseg, .box => shapes.twoPoints(context, object, writer),
            .circle => shapes.circle(context, object, writer),
            .path => shapes.path(context, object, writer),
            .polygon => shapes.polygon(context, object, writer),
            .vector => shapes.vector(f32, context, object, writer),
            .halfvec => shapes.vector(f16, context, object, writer),
            .array => containers.array(context, info, object, writer),
            .composite => containers.composite(context, info, object, writer),
            .range => containers.range(context, info, object, writer),
            .multirange => containers.multirange(context, info, object, writer),
            .hstore => containers.hstore(context, object, writer),
            else => unreachable, // all other kinds are above
        },
    };
}

fn notEncodable(context: *Context, info: *const TypeInfo) Inner {
    context.say("{f} is not a type that parameters can have", .{info});
    return error.Mismatch;
}

/// A member of a str enum is none: it goes by its value, which `body` takes.
pub inline fn isStr(context: *Context, object: *Object) bool {
    return py.hd_flags(object) & py.flag.unicode != 0 and !isEnumMember(context, object);
}

/// Enum classes have a metaclass of their own, so two loads exclude nearly everything.
pub inline fn isEnumMember(context: *Context, object: *Object) bool {
    return !hasPlainMetaclass(object) and py.hd_is(object, @ptrCast(context.classes.@"enum")) != 0;
}

inline fn hasPlainMetaclass(object: *Object) bool {
    return py.hd_type(@ptrCast(py.hd_type(object))) == py.typeObject("PyType_Type");
}

/// The member's value, a new reference. A member may have another member as its value, hence the depth.
pub fn enterEnum(context: *Context, object: *Object) Inner!*Object {
    if (!context.enter()) return error.Mismatch;
    errdefer context.leave();
    return py.checked(py.PyObject_GetAttr(object, context.classes.names.value));
}

pub fn leaveEnum(context: *Context, value: *Object) void {
    py.decref(value);
    context.leave();
}

/// Turn an exception that complains about the value into a Mismatch with its text. Others, an
/// interrupt or an error inside the user's own code, go on as they are.
pub fn complaint(context: *Context) Failure {
    const about_value = [_]*Object{ py.PyExc_TypeError, py.PyExc_ValueError, py.PyExc_OverflowError };
    for (about_value) |class| {
        if (py.PyErr_ExceptionMatches(class) == 0) continue;
        var parts: [3]?*Object = undefined;
        py.PyErr_Fetch(&parts[0], &parts[1], &parts[2]);
        defer for (parts) |part| py.xdecref(part);
        sayText(context, parts[1]);
        return error.Mismatch;
    }
    return error.PythonError;
}

fn sayText(context: *Context, value: ?*Object) void {
    const text = py.PyObject_Str(value orelse return context.say("refused", .{})) orelse {
        py.PyErr_Clear();
        return context.say("refused", .{});
    };
    defer py.decref(text);
    var length: isize = 0;
    const bytes = py.PyUnicode_AsUTF8AndSize(text, &length) orelse {
        py.PyErr_Clear();
        return context.say("refused", .{});
    };
    context.say("{s}", .{bytes[0..@intCast(length)]});
}
