//! The geometric types to small named tuples, and pgvector's vectors to lists of floats.
//! PostgreSQL docs: datatype-geometric, "Geometric Types".
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const Classes = @import("classes.zig").Classes;
const TypeInfo = @import("type_info.zig").TypeInfo;
const geometric = types.geometric;
const Object = py.Object;
const Context = decode.Context;
const Decoder = decode.Decoder;
const Failure = decode.Failure;
const wire = decode.wire;

/// `T` is one of the types of fixed size: its fields are the named tuple's items, in order.
pub fn coordinates(comptime T: type) Decoder {
    return struct {
        fn decode(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
            return make(context.classes, try wire(geometric.decode(T, body)));
        }
    }.decode;
}

fn make(classes: *const Classes, value: anytype) Failure!*Object {
    const T = @TypeOf(value);
    if (T == f64) return py.checked(py.PyFloat_FromDouble(value));
    const names = @typeInfo(T).@"struct".field_names;
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(classOf(T, classes)), names.len));
    errdefer py.decref(result);
    inline for (names, 0..) |name, i| py.hd_tuple_set(result, i, try make(classes, @field(value, name)));
    return result;
}

fn classOf(comptime T: type, classes: *const Classes) *Object {
    return switch (T) {
        geometric.Point => classes.point,
        geometric.Line => classes.line,
        geometric.Lseg => classes.line_segment,
        geometric.Box => classes.box,
        geometric.Circle => classes.circle,
        else => @compileError("not a geometric type of fixed size"),
    };
}

pub fn path(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(geometric.decodePath(body));
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(context.classes.path), 2));
    errdefer py.decref(result);
    py.hd_tuple_set(result, 0, try points(context, value.points));
    py.hd_tuple_set(result, 1, py.boolean(value.closed));
    return result;
}

pub fn polygon(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(geometric.decodePolygon(body));
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(context.classes.polygon), 1));
    errdefer py.decref(result);
    py.hd_tuple_set(result, 0, try points(context, value));
    return result;
}

fn points(context: *Context, value: geometric.Points) Failure!*Object {
    const result = try py.checked(py.PyTuple_New(@intCast(value.len())));
    errdefer py.decref(result);
    for (0..value.len()) |i| py.hd_tuple_set(result, @intCast(i), try make(context.classes, value.at(i)));
    return result;
}

/// `T` is f32 for vector, f16 for halfvec.
pub fn vector(comptime T: type) Decoder {
    return struct {
        fn decode(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
            const value = try wire(types.vector.decode(T, body));
            const result = try py.checked(py.PyList_New(@intCast(value.len())));
            errdefer py.decref(result);
            for (0..value.len()) |i| {
                py.hd_list_set(result, @intCast(i), try py.checked(py.PyFloat_FromDouble(value.at(i))));
            }
            return result;
        }
    }.decode;
}
