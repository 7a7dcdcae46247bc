//! `encode_value` and `decode_value`: one value through the very encoders and decoders that parameters
//! and columns go through. For the tests, which so need no server.
const std = @import("std");
const py = @import("py.zig");
const module = @import("module.zig");
const type_map = @import("type_map.zig");
const oidOf = @import("type_map_methods.zig").oidOf;
const decode = @import("decode.zig");
const encode = @import("encode.zig");
const Object = py.Object;

pub const table = [_]py.MethodDef{
    .{
        .name = "encode_value",
        .function = &encodeValue,
        .flags = py.METH_FASTCALL,
        .doc = "encode_value($module, type_map, oid, value, /)\n--\n\n(format, body) of a parameter, body None for NULL. ValueError where the value does not fit.",
    },
    .{
        .name = "decode_value",
        .function = &decodeValue,
        .flags = py.METH_FASTCALL,
        .doc = "decode_value($module, type_map, oid, body, wire_format=None, /)\n--\n\nThe Python value of a column, in its type's own format without one named. ValueError where there is none, LookupError for an unknown type.",
    },
    .{},
};

fn encodeValue(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    return encodeChecked(self, arguments[0..@intCast(count)]) catch null;
}

fn decodeValue(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    return decodeChecked(self, arguments[0..@intCast(count)]) catch null;
}

const Subject = struct { map: *type_map.TypeMap, info: *const type_map.TypeInfo };

fn subject(self: *Object, arguments: []const *Object, count_max: usize) py.Error!Subject {
    if (arguments.len < 3 or arguments.len > count_max) return fail(py.PyExc_TypeError, "wrong number of arguments");
    const class: *py.TypeObject = @ptrCast(module.ModuleState.ofModule(self).type_map_type.?);
    if (py.hd_is(arguments[0], class) == 0) return fail(py.PyExc_TypeError, "the first argument is a TypeMap");
    const map: *type_map.TypeMap = .of(arguments[0]);
    const oid = try oidOf(arguments[1]);
    const info = map.lookup(oid) orelse {
        _ = py.PyErr_Format(py.PyExc_LookupError, "unknown type %u", oid);
        return error.PythonError;
    };
    return .{ .map = map, .info = info };
}

fn encodeChecked(self: *Object, arguments: []const *Object) py.Error!*Object {
    const about = try subject(self, arguments, 3);
    var context: encode.Context = .init(about.map);
    var writer: encode.Writer = .init(std.heap.c_allocator);
    defer writer.deinit();
    const format = encode.parameter(&context, about.info, arguments[2], &writer) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        error.Mismatch => return complain(&context),
    };
    const bytes = writer.bytes.items;
    const body = if (std.mem.readInt(i32, bytes[0..4], .big) < 0)
        py.none()
    else
        try py.checked(py.PyBytes_FromStringAndSize(bytes.ptr + 4, @intCast(bytes.len - 4)));
    errdefer py.decref(body);
    const name = try py.checked(py.PyUnicode_FromString(@tagName(format)));
    errdefer py.decref(name);
    const pair = try py.checked(py.PyTuple_New(2));
    py.hd_tuple_set(pair, 0, name);
    py.hd_tuple_set(pair, 1, body);
    return pair;
}

fn decodeChecked(self: *Object, arguments: []const *Object) py.Error!*Object {
    const about = try subject(self, arguments, 4);
    var format: decode.Format = if (about.info.binary) .binary else .text;
    if (arguments.len == 4 and arguments[3] != py.hd_none()) {
        var length: isize = 0;
        const name = py.PyUnicode_AsUTF8AndSize(arguments[3], &length) orelse return error.PythonError;
        format = std.meta.stringToEnum(decode.Format, name[0..@intCast(length)]) orelse
            return fail(py.PyExc_ValueError, "wire_format is text or binary");
    }
    var body: [*]u8 = undefined;
    var size: isize = 0;
    try py.ok(py.PyBytes_AsStringAndSize(arguments[2], &body, &size));
    var context: decode.Context = .init(about.map);
    return decode.decoderFor(about.info, format)(&context, about.info, body[0..@intCast(size)]) catch |err| switch (err) {
        error.PythonError => error.PythonError,
        error.NotRepresentable => complain(&context),
        error.Malformed => fail(py.PyExc_ValueError, "malformed"),
        error.UnknownType => {
            _ = py.PyErr_Format(py.PyExc_LookupError, "unknown type %u", context.unknown_oid);
            return error.PythonError;
        },
    };
}

fn complain(context: *const decode.Context) py.Error {
    const message = py.PyUnicode_DecodeUTF8(context.message.ptr, @intCast(context.message.len), "replace") orelse return error.PythonError;
    defer py.decref(message);
    py.PyErr_SetObject(py.PyExc_ValueError, message);
    return error.PythonError;
}

fn fail(class: *Object, message: [*:0]const u8) py.Error {
    py.PyErr_SetString(class, message);
    return error.PythonError;
}
