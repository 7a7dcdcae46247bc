//! Values that contain values as JSON: arrays as lists in lists, rows as objects, hstore as an object,
//! pgvector's vectors as lists of numbers. The counterpart of `decode_containers.zig`.
//! PostgreSQL docs: arrays, "Arrays"; rowtypes, "Composite Types".
const types = @import("types");
const py = @import("py.zig");
const decode_containers = @import("decode_containers.zig");
const json_write = @import("json_write.zig");
const type_info = @import("type_info.zig");
const TypeInfo = type_info.TypeInfo;
const Context = json_write.Context;
const Failure = json_write.Failure;
const Target = json_write.Target;
const Writer = json_write.Writer;
const put = json_write.put;
const wire = json_write.wire;

pub fn array(context: *Context, info: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    const value = try wire(types.array.decode(body));
    if (value.element_count == 0) return put(target, "[]");
    try decode_containers.enter(context);
    defer context.leave();
    const element = try decode_containers.lookup(context, value.element_oid, info.element);
    var level: Level = .{
        .context = context,
        .target = target,
        .element = element,
        .writer = json_write.writerFor(element, .binary),
        .elements = value.iterator(),
    };
    try level.list(value.dims());
    try wire(level.elements.finish());
}

const Level = struct {
    context: *Context,
    target: *Target,
    element: *const TypeInfo,
    writer: Writer,
    elements: types.array.Iterator,

    /// Recursion is bounded: `dimensions` has at most six entries.
    fn list(self: *Level, dimensions: []const types.array.Dimension) Failure!void {
        try put(self.target, "[");
        for (0..dimensions[0].length) |i| {
            if (i > 0) try put(self.target, ",");
            if (dimensions.len > 1) try self.list(dimensions[1..]) else try self.one();
        }
        try put(self.target, "]");
    }

    inline fn one(self: *Level) Failure!void {
        const body = try wire(self.elements.next()) orelse return put(self.target, "null");
        try self.writer(self.context, self.element, self.target, body);
    }
};

/// Fields by name; those of a record are f1, f2 and so on, as the server calls them.
pub fn composite(context: *Context, described: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    const value = try wire(types.composite.decode(body));
    try decode_containers.enter(context);
    defer context.leave();
    const info = try decode_containers.asItIs(context, described, value);
    var fields = value.iterator();
    try put(target, "{");
    for (0..value.count) |i| {
        const field = try wire(fields.next());
        try key(context, info, target, i);
        const bytes = field.value orelse {
            try put(target, "null");
            continue;
        };
        const expected = if (i < info.fields.len) info.fields[i].type else null;
        const field_info = try decode_containers.lookup(context, field.oid, expected);
        try json_write.writerFor(field_info, .binary)(context, field_info, target, bytes);
    }
    try wire(fields.finish());
    try put(target, "}");
}

/// The name of a row's field, and what stands around it.
pub fn key(context: *Context, info: *const TypeInfo, target: *Target, index: usize) Failure!void {
    if (index > 0) try put(target, ",");
    if (index < info.fields.len) {
        try json_write.string(context, target, try nameOf(info.fields[index].name));
        return put(target, ":");
    }
    try put(target, "\"f");
    try types.json_text.integer(&target.out, @as(u64, index + 1));
    try put(target, "\":");
}

/// The UTF-8 of a str, as long as it lives.
pub fn nameOf(name: *py.Object) py.Error![]const u8 {
    var size: isize = 0;
    const bytes = py.PyUnicode_AsUTF8AndSize(name, &size) orelse return error.PythonError;
    return bytes[0..@intCast(size)];
}

pub fn hstore(context: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    const value = try wire(types.hstore.decode(body));
    var pairs = value.iterator();
    try put(target, "{");
    for (0..value.count) |i| {
        const pair = try wire(pairs.next());
        if (i > 0) try put(target, ",");
        try json_write.string(context, target, pair.key);
        try put(target, ":");
        if (pair.value) |bytes| try json_write.string(context, target, bytes) else try put(target, "null");
    }
    try wire(pairs.finish());
    try put(target, "}");
}

/// `T` is f32 for vector, f16 for halfvec.
pub fn vector(comptime T: type) Writer {
    return struct {
        fn write(_: *Context, _: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
            const value = try wire(types.vector.decode(T, body));
            try put(target, "[");
            for (0..value.len()) |i| {
                if (i > 0) try put(target, ",");
                try types.json_text.float(&target.out, @as(f32, value.at(i)));
            }
            try put(target, "]");
        }
    }.write;
}
