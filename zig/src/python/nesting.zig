//! Which Python sequences inside an array parameter are its dimensions, and which are elements. Asked
//! by the array encoders of both formats, item by item.
//! PostgreSQL docs: arrays, "Array Value Input".
const py = @import("py.zig");
const encode = @import("encode.zig");
const Sequence = @import("sequence.zig").Sequence;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = encode.Context;

pub const Nesting = enum {
    /// Lists and plain tuples nest.
    sequences,
    /// A tuple is an element: row values and points.
    lists,
    /// An element is a sequence of what is none: vectors of numbers, multiranges of ranges.
    lists_of_sequences,
    /// An element is a sequence of points, and these are sequences: paths and polygons.
    lists_of_shapes,
    /// The outermost sequence is the only dimension, because a list may be an element: JSON, and
    /// domains over arrays.
    none,

    pub fn of(element: *const TypeInfo) Nesting {
        if (element.codec != null) return .none;
        return switch (element.kind) {
            .json, .jsonb, .array => .none,
            .composite, .record, .point, .line, .lseg, .box, .circle => .lists,
            .vector, .halfvec, .multirange => .lists_of_sequences,
            .path, .polygon => .lists_of_shapes,
            else => .sequences,
        };
    }

    pub fn isDimension(self: Nesting, context: *Context, object: *Object) encode.Inner!bool {
        const is_list = py.hd_flags(object) & py.flag.list != 0;
        return switch (self) {
            .none => false,
            .sequences => is_list or py.hd_type(object) == py.typeObject("PyTuple_Type"),
            .lists => is_list,
            .lists_of_sequences => is_list and try firstIs(context, object, &isSequenceOrNone),
            .lists_of_shapes => is_list and try firstIs(context, object, &isShapeOrNone),
        };
    }
};

const Test = *const fn (context: *Context, object: *Object) encode.Inner!bool;

fn firstIs(context: *Context, object: *Object, check: Test) encode.Inner!bool {
    const items = try Sequence.of(context, object) orelse return false;
    defer items.deinit();
    if (items.count == 0) return false;
    const first = try items.at(context, 0);
    defer py.decref(first);
    return check(context, first);
}

fn isSequenceOrNone(_: *Context, object: *Object) encode.Inner!bool {
    return object == py.hd_none() or py.hd_flags(object) & (py.flag.list | py.flag.tuple) != 0;
}

/// A point begins with a number, a path or a polygon with a point or with a sequence of such.
fn isShapeOrNone(context: *Context, object: *Object) encode.Inner!bool {
    if (object == py.hd_none()) return true;
    if (py.hd_flags(object) & (py.flag.list | py.flag.tuple) == 0) return false;
    return firstIs(context, object, &isSequenceOrNone);
}
