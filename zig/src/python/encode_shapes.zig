//! Geometric values and vectors to their binary bodies. A named tuple of `hyperdjango.database.types`
//! or any sequence of the same shape serves.
//! PostgreSQL docs: datatype-geometric, "Geometric Types".
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const encode = @import("encode.zig");
const scalars = @import("encode_scalars.zig");
const Sequence = @import("sequence.zig").Sequence;
const geometric = types.geometric;
const Object = py.Object;
const Context = encode.Context;
const Writer = encode.Writer;
const Inner = encode.Inner;

fn sequence(context: *Context, object: *Object, comptime count: usize, comptime expected: []const u8) Inner!Sequence {
    const items = try Sequence.of(context, object) orelse return scalars.notThis(context, expected, object);
    if (items.count == count) return items;
    defer items.deinit();
    context.say("expected {s}, not {d} items", .{ expected, items.count });
    return error.Mismatch;
}

fn number(context: *Context, items: Sequence, index: usize) Inner!f64 {
    const item = try items.at(context, index);
    defer py.decref(item);
    return scalars.floatValue(context, item);
}

fn pointAt(context: *Context, items: Sequence, index: usize, writer: *Writer) Inner!void {
    const item = try items.at(context, index);
    defer py.decref(item);
    try point(context, item, writer);
}

pub fn point(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const items = try sequence(context, object, 2, "a point of two numbers");
    defer items.deinit();
    try geometric.encode(writer, geometric.Point{ .x = try number(context, items, 0), .y = try number(context, items, 1) });
}

pub fn line(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const items = try sequence(context, object, 3, "a line of three numbers");
    defer items.deinit();
    for (0..3) |i| try geometric.encode(writer, try number(context, items, i));
}

/// lseg and box.
pub fn twoPoints(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const items = try sequence(context, object, 2, "two points");
    defer items.deinit();
    for (0..2) |i| try pointAt(context, items, i, writer);
}

pub fn circle(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const items = try sequence(context, object, 2, "a center and a radius");
    defer items.deinit();
    try pointAt(context, items, 0, writer);
    try geometric.encode(writer, try number(context, items, 1));
}

/// A Path says itself whether it is closed; of plain sequences a list is open and a tuple closed, as
/// SQL writes `[…]` and `(…)`.
pub fn path(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_is(object, @ptrCast(context.classes.path)) == 0) {
        return points(context, object, py.hd_flags(object) & py.flag.list == 0, writer);
    }
    const items = try sequence(context, object, 2, "a Path");
    defer items.deinit();
    const closed = try items.at(context, 1);
    defer py.decref(closed);
    const truth = py.PyObject_IsTrue(closed);
    if (truth < 0) return encode.complaint(context);
    const inner = try items.at(context, 0);
    defer py.decref(inner);
    try points(context, inner, truth == 1, writer);
}

pub fn polygon(context: *Context, object: *Object, writer: *Writer) Inner!void {
    if (py.hd_is(object, @ptrCast(context.classes.polygon)) == 0) return points(context, object, null, writer);
    const items = try sequence(context, object, 1, "a Polygon");
    defer items.deinit();
    const inner = try items.at(context, 0);
    defer py.decref(inner);
    try points(context, inner, null, writer);
}

/// `closed` is null for a polygon.
fn points(context: *Context, object: *Object, closed: ?bool, writer: *Writer) Inner!void {
    const items = try Sequence.of(context, object) orelse return scalars.notThis(context, "a sequence of points", object);
    defer items.deinit();
    if (items.count == 0) {
        context.say("at least one point is needed", .{});
        return error.Mismatch;
    }
    if (closed) |flag| try geometric.beginPath(writer, flag, items.count) else try geometric.beginPolygon(writer, items.count);
    for (0..items.count) |i| try pointAt(context, items, i, writer);
}

/// `T` is f32 for vector, f16 for halfvec.
pub fn vector(comptime T: type, context: *Context, object: *Object, writer: *Writer) Inner!void {
    const items = try Sequence.of(context, object) orelse return scalars.notThis(context, "a sequence of numbers", object);
    defer items.deinit();
    types.vector.begin(writer, items.count) catch |err| {
        if (err == error.OutOfRange) context.say("{d} dimensions are more than a vector has", .{items.count});
        return if (err == error.OutOfRange) error.Mismatch else err;
    };
    for (0..items.count) |i| try types.vector.element(T, writer, try number(context, items, i));
}
