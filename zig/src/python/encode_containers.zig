//! Values that contain values to their binary bodies: arrays, composites, ranges, multiranges, hstore.
//! PostgreSQL docs: arrays, "Arrays"; rowtypes, "Composite Types"; rangetypes, "Range Types".
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const encode = @import("encode.zig");
const scalars = @import("encode_scalars.zig");
const Nesting = @import("nesting.zig").Nesting;
const Sequence = @import("sequence.zig").Sequence;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = encode.Context;
const Writer = encode.Writer;
const Inner = encode.Inner;
const dimensions_max = types.array.dimensions_max;

fn enter(context: *Context) Inner!void {
    if (!context.enter()) return error.Mismatch;
}

/// Lengths of all dimensions, taken from the first item on each level; `Level.write` checks the others.
pub const Shape = struct {
    lengths: [dimensions_max]u32 = undefined,
    count: usize = 0,

    pub fn measure(context: *Context, nesting: Nesting, outermost: Sequence) Inner!Shape {
        var shape: Shape = .{};
        try shape.add(context, outermost.count);
        var current: *Object = py.incref(outermost.object);
        defer py.decref(current);
        while (true) {
            const items = (try Sequence.of(context, current)).?; // a list or tuple, here and below
            defer items.deinit();
            if (items.count == 0) return shape;
            const first = try items.at(context, 0);
            const is_dimension = nesting.isDimension(context, first) catch |err| {
                py.decref(first);
                return err;
            };
            if (!is_dimension) {
                py.decref(first);
                return shape;
            }
            py.decref(current);
            current = first;
            const inner = (try Sequence.of(context, current)).?;
            defer inner.deinit();
            try shape.add(context, inner.count);
        }
    }

    fn add(self: *Shape, context: *Context, length: usize) Inner!void {
        if (self.count == dimensions_max) {
            context.say("more than {d} dimensions", .{dimensions_max});
            return error.Mismatch;
        }
        self.lengths[self.count] = std.math.cast(u31, length) orelse return error.OutOfRange;
        self.count += 1;
    }

    pub fn isEmpty(self: *const Shape) bool {
        return std.mem.findScalar(u32, self.lengths[0..self.count], 0) != null;
    }
};

pub fn notArray(context: *Context, object: *Object) Inner {
    return scalars.notThis(context, "a list or another sequence", object);
}

pub fn ragged(context: *Context) Inner {
    context.say("ragged list: all lists on one level must have the same length, down to the same depth", .{});
    return error.Mismatch;
}

pub fn array(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const element = info.element.?;
    const nesting: Nesting = .of(element);
    const items = try Sequence.of(context, object) orelse return notArray(context, object);
    defer items.deinit();
    const shape: Shape = try .measure(context, nesting, items);
    const mark = writer.len();
    try types.array.begin(writer, element.oid, shape.lengths[0..shape.count], false, info.lower_bound);
    var level: Level = .{ .context = context, .element = element, .nesting = nesting, .writer = writer };
    try level.write(items, shape.lengths[0..shape.count]);
    if (shape.isEmpty()) {
        writer.truncate(mark);
        // int2vector and oidvector have no binary form without elements that the server takes.
        if (info.lower_bound == 0) return error.NeedsText;
        return types.array.begin(writer, element.oid, &.{}, false, info.lower_bound);
    }
    // The flag word stands behind the number of dimensions.
    if (level.has_null) std.mem.writeInt(u32, writer.bytes.items[mark + 4 ..][0..4], 1, .big);
}

const Level = struct {
    context: *Context,
    element: *const TypeInfo,
    nesting: Nesting,
    writer: *Writer,
    has_null: bool = false,

    /// Recursion is bounded: `lengths` has at most six entries.
    fn write(self: *Level, items: Sequence, lengths: []const u32) Inner!void {
        if (items.count != lengths[0]) return ragged(self.context);
        for (0..items.count) |i| {
            const item = try items.at(self.context, i);
            defer py.decref(item);
            if (try self.nesting.isDimension(self.context, item) != (lengths.len > 1)) return ragged(self.context);
            if (lengths.len > 1) {
                const inner = (try Sequence.of(self.context, item)).?;
                defer inner.deinit();
                try self.write(inner, lengths[1..]);
            } else {
                if (item == py.hd_none()) self.has_null = true;
                try encode.element(self.context, self.element, item, self.writer);
            }
        }
    }
};

/// A sequence of as many values as the type has fields, or a mapping that has all of its fields.
pub fn composite(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const items = try fieldValues(context, info, object);
    defer items.deinit();
    try types.composite.begin(writer, info.fields.len);
    for (info.fields, 0..) |field, i| {
        const item = try items.at(context, i);
        defer py.decref(item);
        try types.composite.field(writer, field.type.oid);
        try encode.element(context, field.type, item, writer);
    }
}

/// The values in the order of the type's fields.
pub fn fieldValues(context: *Context, info: *const TypeInfo, object: *Object) Inner!Sequence {
    const flags = py.hd_flags(object);
    if (flags & (py.flag.tuple | py.flag.list) == 0) {
        if (py.PyMapping_Check(object) == 0 or flags & (py.flag.unicode | py.flag.bytes) != 0) {
            return scalars.notThis(context, "a tuple, a list or a mapping", object);
        }
        return fromMapping(context, info, object);
    }
    const items = (try Sequence.of(context, object)).?;
    if (items.count == info.fields.len) return items;
    defer items.deinit();
    context.say("{f} has {d} fields, the value {d}", .{ info, info.fields.len, items.count });
    return error.Mismatch;
}

fn fromMapping(context: *Context, info: *const TypeInfo, object: *Object) Inner!Sequence {
    const size = py.PyObject_Size(object);
    if (size < 0) return encode.complaint(context);
    const values = try py.checked(py.PyTuple_New(@intCast(info.fields.len)));
    errdefer py.decref(values);
    for (info.fields, 0..) |field, i| {
        const item = py.PyObject_GetItem(object, field.name) orelse {
            if (py.PyErr_ExceptionMatches(py.PyExc_LookupError) == 0) return encode.complaint(context);
            py.PyErr_Clear();
            context.say("no value for field {s}", .{try scalars.utf8(context, field.name)});
            return error.Mismatch;
        };
        py.hd_tuple_set(values, @intCast(i), item);
    }
    if (size != info.fields.len) {
        context.say("{f} has {d} fields, the mapping {d} keys", .{ info, info.fields.len, size });
        return error.Mismatch;
    }
    return .{ .object = values, .is_tuple = true, .count = info.fields.len };
}

/// The inside of a Range object; the objects are borrowed from it, and it is immutable.
pub const Bounds = struct {
    shape: types.range.Shape,
    lower: *Object,
    upper: *Object,

    pub fn of(context: *Context, object: *Object) Inner!Bounds {
        const class = &context.classes.range;
        if (py.hd_is(object, @ptrCast(class.class)) == 0) return scalars.notThis(context, "Range", object);
        const lower = py.hd_slot_get(object, class.lower);
        const upper = py.hd_slot_get(object, class.upper);
        const brackets = py.hd_slot_get(object, class.bounds);
        if (lower == null or upper == null or brackets == null) return scalars.notThis(context, "a Range with its bounds", object);
        if (brackets == py.hd_none()) return .{ .shape = .{ .empty = true }, .lower = lower.?, .upper = upper.? };
        if (py.hd_flags(brackets.?) & py.flag.unicode == 0) return scalars.notThis(context, "a Range with its brackets", object);
        const text = try scalars.utf8(context, brackets.?);
        if (text.len != 2) return scalars.notThis(context, "a Range with its brackets", object);
        return .{
            .shape = .{
                .lower_inclusive = text[0] == '[',
                .upper_inclusive = text[1] == ']',
                .has_lower = lower.? != py.hd_none(),
                .has_upper = upper.? != py.hd_none(),
            },
            .lower = lower.?,
            .upper = upper.?,
        };
    }
};

pub fn range(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const bounds: Bounds = try .of(context, object);
    try types.range.begin(writer, bounds.shape);
    if (bounds.shape.has_lower) try encode.element(context, info.element.?, bounds.lower, writer);
    if (bounds.shape.has_upper) try encode.element(context, info.element.?, bounds.upper, writer);
}

/// A Multirange, or any sequence of Range objects.
pub fn multirange(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const items = try Sequence.of(context, object) orelse return scalars.notThis(context, "Multirange", object);
    defer items.deinit();
    try types.multirange.begin(writer, items.count);
    for (0..items.count) |i| {
        const item = try items.at(context, i);
        defer py.decref(item);
        if (item == py.hd_none()) return scalars.notThis(context, "Range", item);
        try encode.element(context, info.element.?, item, writer);
    }
}

/// A mapping of str to str or None.
pub fn hstore(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const pairs = try pairsOf(context, object);
    defer pairs.deinit();
    try types.hstore.begin(writer, pairs.count);
    for (0..pairs.count) |i| {
        const pair = try pairs.at(context, i);
        defer py.decref(pair);
        const key = try pairText(context, pair, 0) orelse return scalars.notThis(context, "str as key", py.hd_none());
        try types.hstore.pair(writer, key, try pairText(context, pair, 1));
    }
}

/// A copy of the mapping's items.
pub fn pairsOf(context: *Context, object: *Object) Inner!Sequence {
    if (py.PyMapping_Check(object) == 0 or py.hd_flags(object) & (py.flag.list | py.flag.tuple | py.flag.bytes) != 0) {
        return scalars.notThis(context, "a dict", object);
    }
    const items = py.PyMapping_Items(object) orelse return encode.complaint(context);
    defer py.decref(items);
    return (try Sequence.of(context, items)).?;
}

/// Lives as long as the pair.
pub fn pairText(context: *Context, pair: *Object, index: isize) Inner!?[]const u8 {
    if (py.hd_flags(pair) & py.flag.tuple == 0 or py.hd_tuple_size(pair) != 2) {
        return scalars.notThis(context, "pairs of key and value", pair);
    }
    const item = py.hd_tuple_get(pair, index);
    if (item == py.hd_none()) return null;
    if (py.hd_flags(item) & py.flag.unicode == 0) return scalars.notThis(context, "str", item);
    return try scalars.plainText(context, item);
}
