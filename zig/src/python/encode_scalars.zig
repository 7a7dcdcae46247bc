//! Single values to their binary bodies: numbers, text, bytes, JSON, UUIDs, and the user's codecs.
//! PostgreSQL docs: datatype, "Data Types".
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const encode = @import("encode.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = encode.Context;
const Writer = encode.Writer;
const Inner = encode.Inner;

/// `expected` names what would do.
pub fn notThis(context: *Context, expected: []const u8, object: *Object) Inner {
    context.say("expected {s}, not {s}", .{ expected, std.mem.span(py.hd_type_name(object)) });
    return error.Mismatch;
}

pub fn boolean(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (object == py.hd_true()) return types.scalar.encodeBool(writer, true);
    if (object == py.hd_false()) return types.scalar.encodeBool(writer, false);
    return notThis(context, "bool", object);
}

/// Ints, bools, and whatever has `__index__`; floats are refused, even whole ones.
pub fn integer(comptime T: type, context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_flags(object) & py.flag.long == 0) {
        if (py.PyIndex_Check(object) == 0) return notThis(context, "int", object);
        const index = py.PyNumber_Index(object) orelse return encode.complaint(context);
        defer py.decref(index);
        return exactInteger(T, context, info, index, writer);
    }
    return exactInteger(T, context, info, object, writer);
}

fn exactInteger(comptime T: type, context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    const value: ?T = if (T == u64) wide: {
        const value = py.PyLong_AsUnsignedLongLong(object);
        if (value != std.math.maxInt(u64) or py.PyErr_Occurred() == null) break :wide value;
        py.PyErr_Clear(); // OverflowError, nothing else is possible for an int
        break :wide null;
    } else narrow: {
        var overflow: c_int = 0;
        const value = py.PyLong_AsLongLongAndOverflow(object, &overflow);
        break :narrow if (overflow != 0) null else std.math.cast(T, value);
    };
    try types.scalar.encodeInt(T, writer, value orelse {
        context.say("out of range for {f}, which holds {d} to {d}", .{ info, std.math.minInt(T), std.math.maxInt(T) });
        return error.Mismatch;
    });
}

pub fn float(comptime T: type, context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    const value = try floatValue(context, object);
    if (T == f64) return types.scalar.encodeFloat(f64, writer, value);
    types.scalar.encodeFloat4(writer, value) catch |err| {
        if (err == error.OutOfRange) context.say("out of range for {f}", .{info});
        return if (err == error.OutOfRange) error.Mismatch else err;
    };
}

/// Floats, ints, Decimals, and whatever else has `__float__`.
pub fn floatValue(context: *Context, object: *Object) Inner!f64 {
    if (py.hd_type(object) == py.typeObject("PyFloat_Type")) return py.hd_float_value(object);
    const value = py.PyFloat_AsDouble(object);
    if (value == -1 and py.PyErr_Occurred() != null) return encode.complaint(context);
    return value;
}

pub fn numeric(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_is(object, @ptrCast(context.classes.decimal)) != 0) return decimal(context, object, writer);
    if (py.hd_flags(object) & py.flag.long != 0 or py.PyIndex_Check(object) != 0) return wholeNumeric(context, object, writer);
    if (py.hd_is(object, py.typeObject("PyFloat_Type")) == 0) return notThis(context, "Decimal, int or float", object);
    // Through a plain float: a subclass may print itself in another way.
    const plain = try py.checked(py.PyFloat_FromDouble(py.hd_float_value(object)));
    defer py.decref(plain);
    return decimal(context, plain, writer);
}

fn wholeNumeric(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const index = py.PyNumber_Index(object) orelse return encode.complaint(context);
    defer py.decref(index);
    var overflow: c_int = 0;
    const small = py.PyLong_AsLongLongAndOverflow(index, &overflow);
    if (overflow == 0) return types.numeric.fromInt(writer, small);
    // Python prints no int of more than 4300 digits, but a Decimal made of it.
    const whole = try py.checked(py.PyObject_CallOneArg(context.classes.decimal, index));
    defer py.decref(whole);
    return decimal(context, whole, writer);
}

/// Any object whose `str` is a decimal number.
fn decimal(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const printed = try py.checked(py.PyObject_Str(object));
    defer py.decref(printed);
    types.numeric.fromText(writer, try utf8(context, printed)) catch |err| switch (err) {
        error.InvalidValue => {
            context.say("numeric has no such value", .{});
            return error.Mismatch;
        },
        error.OutOfRange => {
            context.say("more digits than a numeric holds", .{});
            return error.Mismatch;
        },
        else => |other| return other,
    };
}

/// A str as UTF-8; what cannot travel is refused.
pub fn text(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_flags(object) & py.flag.unicode == 0) return notThis(context, "str", object);
    try writer.writeBytes(try plainText(context, object));
}

/// The str's UTF-8 without NUL; lives as long as the str.
pub fn plainText(context: *Context, object: *Object) Inner![]const u8 {
    const bytes = try utf8(context, object);
    if (std.mem.findScalar(u8, bytes, 0) == null) return bytes;
    context.say("the text holds a NUL character, which PostgreSQL cannot store", .{});
    return error.Mismatch;
}

pub fn utf8(context: *Context, object: *Object) Inner![]const u8 {
    var length: isize = 0;
    if (py.PyUnicode_AsUTF8AndSize(object, &length)) |bytes| return bytes[0..@intCast(length)];
    return encode.complaint(context); // a lone surrogate: UnicodeEncodeError is a ValueError
}

pub fn versioned(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_flags(object) & py.flag.unicode == 0) return notThis(context, "str", object);
    try types.versioned.encode(writer, try plainText(context, object));
}

/// Anything that shows its bytes: bytes, bytearray, memoryview, arrays.
pub fn bytea(context: *Context, object: *Object, writer: *Writer) Inner!void {
    var view: py.Buffer = undefined;
    if (py.PyObject_GetBuffer(object, &view, 0) != 0) {
        if (py.PyErr_ExceptionMatches(py.PyExc_TypeError) == 0) return encode.complaint(context);
        py.PyErr_Clear();
        return notThis(context, "bytes, bytearray or memoryview", object);
    }
    defer py.PyBuffer_Release(&view);
    const bytes = view.buf orelse return;
    try writer.writeBytes(bytes[0..@intCast(view.len)]);
}

/// A str is JSON text already; everything else goes through `json_dumps`.
pub fn json(context: *Context, with_version: bool, object: *Object, writer: *Writer) Inner!void {
    if (with_version) try types.versioned.begin(writer);
    if (encode.isStr(context, object)) return text(context, object, writer);
    const document = py.PyObject_CallOneArg(context.classes.json_dumps, object) orelse return encode.complaint(context);
    defer py.decref(document);
    if (py.hd_flags(document) & py.flag.unicode != 0) return text(context, document, writer);
    if (py.hd_flags(document) & py.flag.bytes != 0) return bytea(context, document, writer);
    return notThis(context, "str or bytes from json_dumps", document);
}

pub fn uuid(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const class = &context.classes.uuid;
    if (py.hd_is(object, @ptrCast(class.class)) == 0) return notThis(context, "UUID", object);
    const number = if (class.int_offset >= 0)
        py.incref(py.hd_slot_get(object, class.int_offset) orelse return notThis(context, "a UUID with a value", object))
    else
        try py.checked(py.PyObject_GetAttr(object, context.classes.names.int));
    defer py.decref(number);
    if (py.hd_flags(number) & py.flag.long == 0) return notThis(context, "a UUID whose int is an int", number);
    var bytes: [16]u8 = undefined;
    if (py.hd_long_as_bytes(number, &bytes, bytes.len) != 0) return encode.complaint(context);
    try types.uuid.encode(writer, bytes);
}

/// The user's own: bytes or str, whichever format it is for.
pub fn codec(context: *Context, function: *Object, binary: bool, object: *Object, writer: *Writer) Inner!void {
    const made = try py.checked(py.PyObject_CallOneArg(function, object));
    defer py.decref(made);
    if (py.hd_flags(made) & py.flag.unicode != 0) {
        return writer.writeBytes(if (binary) try utf8(context, made) else try plainText(context, made));
    }
    if (py.hd_flags(made) & py.flag.bytes != 0) return bytea(context, made, writer);
    return notThis(context, "bytes or str from the codec", made);
}
