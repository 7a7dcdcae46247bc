//! Values that contain values: arrays, composites and records, ranges, multiranges, hstore. The
//! decoder of the parts is looked up once per container, or once per field of a row value.
//! PostgreSQL docs: arrays, "Arrays"; rowtypes, "Composite Types"; rangetypes, "Range Types".
//!
//! A domain's values carry the domain's OID here, though RowDescription names its base type.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = decode.Context;
const Failure = decode.Failure;
const wire = decode.wire;

pub fn enter(context: *Context) Failure!void {
    if (!context.enter()) return error.NotRepresentable;
}

/// The type a value says it has; mostly the expected one.
pub fn lookup(context: *Context, oid: u32, expected: ?*const TypeInfo) Failure!*const TypeInfo {
    if (expected) |info| if (info.oid == oid) return info;
    return context.map.lookup(oid) orelse {
        context.unknown_oid = oid;
        return error.UnknownType;
    };
}

/// Nested lists. Where subscripts begin is not kept.
pub fn array(context: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(types.array.decode(body));
    if (value.element_count == 0) return py.checked(py.PyList_New(0));
    try enter(context);
    defer context.leave();
    const element = try lookup(context, value.element_oid, info.element);
    var level: Level = .{
        .context = context,
        .element = element,
        .decoder = decode.decoderFor(element, .binary),
        .elements = value.iterator(),
    };
    const result = try level.list(value.dims());
    errdefer py.decref(result);
    try wire(level.elements.finish());
    return result;
}

const Level = struct {
    context: *Context,
    element: *const TypeInfo,
    decoder: decode.Decoder,
    elements: types.array.Iterator,

    /// Recursion is bounded: `dimensions` has at most six entries.
    fn list(self: *Level, dimensions: []const types.array.Dimension) Failure!*Object {
        const result = try py.checked(py.PyList_New(@intCast(dimensions[0].length)));
        errdefer py.decref(result);
        for (0..dimensions[0].length) |i| {
            const item = if (dimensions.len > 1) try self.list(dimensions[1..]) else try self.one();
            py.hd_list_set(result, @intCast(i), item);
        }
        return result;
    }

    inline fn one(self: *Level) Failure!*Object {
        const body = try wire(self.elements.next()) orelse return py.none();
        return self.decoder(self.context, self.element, body);
    }
};

/// A composite's fields are its type's; a record brings their types along.
pub fn composite(context: *Context, described: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(types.composite.decode(body));
    try enter(context);
    defer context.leave();
    const info = try asItIs(context, described, value);
    const class = if (info.factory) |factory| py.incref(factory) else try context.classes.recordType(value.count);
    defer py.decref(class);
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(class), @intCast(value.count)));
    errdefer py.decref(result);
    var fields = value.iterator();
    for (0..value.count) |i| {
        const field = try wire(fields.next());
        const expected = if (i < info.fields.len) info.fields[i].type else null;
        const item = if (field.value) |bytes| item: {
            const field_info = try lookup(context, field.oid, expected);
            break :item try decode.decoderFor(field_info, .binary)(context, field_info, bytes);
        } else py.none();
        py.hd_tuple_set(result, @intCast(i), item);
    }
    try wire(fields.finish());
    return result;
}

/// What a row value is read as when its type is not what the catalogs say.
pub const anonymous: TypeInfo = .{ .oid = 0, .name = "record", .kind = .record };

/// What `value` is read as: the record that it is, its composite type as it is now, or a record all the same.
pub fn asItIs(context: *Context, described: *const TypeInfo, value: types.composite.Composite) Failure!*const TypeInfo {
    if (described.kind == .record) return described;
    return try current(context, described, value) orelse &anonymous;
}

/// The composite type as `value` has it. When the type was altered after it was introspected, the map
/// may know better by now; if not, it forgets the type, so that it is asked for again. Null where that
/// was done and has not helped: a row from before or after what the catalogs show.
fn current(context: *Context, info: *const TypeInfo, value: types.composite.Composite) Failure!?*const TypeInfo {
    if (try fits(info, value)) return info;
    if (context.map.lookup(info.oid)) |known| {
        if (known.kind == .composite and try fits(known, value)) return known;
    }
    return giveUp(context, info);
}

/// Forget the type and ask again, or, with `insist`, null.
pub fn giveUp(context: *Context, info: *const TypeInfo) Failure!?*const TypeInfo {
    if (context.insist) return null;
    context.map.forget(info.oid);
    context.unknown_oid = info.oid;
    return error.UnknownType;
}

fn fits(info: *const TypeInfo, value: types.composite.Composite) Failure!bool {
    if (info.fields.len != value.count) return false;
    var fields = value.iterator();
    for (info.fields) |field| {
        if ((try wire(fields.next())).oid != field.type.oid) return false;
    }
    return true;
}

pub fn range(context: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(types.range.decode(body));
    const class = &context.classes.range;
    try enter(context);
    defer context.leave();
    const subtype = info.element.?;
    const decoder = decode.decoderFor(subtype, .binary);
    const lower = if (value.lower) |bytes| try decoder(context, subtype, bytes) else py.none();
    errdefer py.decref(lower);
    const upper = if (value.upper) |bytes| try decoder(context, subtype, bytes) else py.none();
    errdefer py.decref(upper);
    if (value.empty) return class.make(lower, upper, py.hd_none());
    const brackets = class.brackets(
        value.lower_inclusive and value.lower != null,
        value.upper_inclusive and value.upper != null,
    );
    return class.make(lower, upper, brackets);
}

pub fn multirange(context: *Context, info: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(types.multirange.decode(body));
    try enter(context);
    defer context.leave();
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(context.classes.multirange), @intCast(value.count)));
    errdefer py.decref(result);
    var ranges = value.iterator();
    for (0..value.count) |i| {
        py.hd_tuple_set(result, @intCast(i), try range(context, info.element.?, try wire(ranges.next())));
    }
    try wire(ranges.finish());
    return result;
}

pub fn hstore(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    const value = try wire(types.hstore.decode(body));
    const result = try py.checked(py.PyDict_New());
    errdefer py.decref(result);
    var pairs = value.iterator();
    for (0..value.count) |_| {
        const pair = try wire(pairs.next());
        const key = try decode.string(context, pair.key);
        defer py.decref(key);
        const item = if (pair.value) |bytes| try decode.string(context, bytes) else py.none();
        defer py.decref(item);
        try py.ok(py.PyDict_SetItem(result, key, item));
    }
    try wire(pairs.finish());
    return result;
}
