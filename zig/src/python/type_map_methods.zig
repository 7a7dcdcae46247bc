//! The Python methods of TypeMap. Called by the introspection in `hyperdjango.database`, which turns
//! catalog rows into these calls, and by users who register a codec.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const signature = @import("signature.zig");
const type_map = @import("type_map.zig");
const Object = py.Object;
const Definition = type_map.Definition;

pub const table = [_]py.MethodDef{
    method("knows", knows, &.{"oid"}, "Whether this type and all it contains are known."),
    method("note_pooler", notePooler, &.{}, "A pooler stands between: from now on no connection prepares anything under a name."),
    method("add_text", addText, &.{ "oid", "name" }, "A type that travels in text format and becomes str."),
    method("add_string", addString, &.{ "oid", "name" }, "A type whose binary form is its text: enum, citext."),
    method("add_alias", addAlias, &.{ "oid", "name", "same_as" }, "A domain, or an extension's twin of a known type."),
    method("add_array", addArray, &.{ "oid", "name", "element", "delimiter" }, "An array type."),
    method("add_composite", addComposite, &.{ "oid", "name", "names", "oids", "factory" }, "A composite type; factory is a subclass of Composite."),
    method("add_range", addRange, &.{ "oid", "name", "subtype" }, "A range type."),
    method("add_multirange", addMultirange, &.{ "oid", "name", "range_oid" }, "A multirange type."),
    method("add_extension", addExtension, &.{ "oid", "name", "kind" }, "A type of an extension the driver knows."),
    method("add_codec", addCodec, &.{ "oid", "name", "encode", "decode", "binary" }, "The user's own codec for a type."),
    .{},
};

const Failure = py.Error || error{OutOfMemory};
const Arguments = []const *Object;

/// Wrap a function of ours as a METH_FASTCALL method; the parameters and the sentence are for `help()`.
fn method(
    comptime name: [:0]const u8,
    comptime function: fn (*type_map.TypeMap, Arguments) Failure!*Object,
    comptime parameters: []const []const u8,
    comptime sentence: []const u8,
) py.MethodDef {
    const Wrapper = struct {
        fn call(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
            return function(.of(self), arguments[0..@intCast(count)]) catch |err| switch (err) {
                error.PythonError => null,
                error.OutOfMemory => py.PyErr_NoMemory(),
            };
        }
    };
    return .{ .name = name, .function = &Wrapper.call, .flags = py.METH_FASTCALL, .doc = signature.ofMethod(name, parameters, sentence) };
}

fn knows(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 1);
    return py.boolean(map.lookup(try oidOf(arguments[0])) != null);
}

fn addText(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 2);
    return add(map, arguments, .{ .name = undefined, .kind = .text_only, .binary = false });
}

fn addString(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 2);
    return add(map, arguments, .{ .name = undefined, .kind = .text });
}

fn addAlias(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 3);
    return add(map, arguments, .{ .name = undefined, .kind = .text, .part = try oidOf(arguments[2]), .alias = true });
}

fn addArray(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 4);
    const delimiter = try textOf(arguments[3]);
    if (delimiter.len != 1) return fail("a delimiter is one byte");
    return add(map, arguments, .{ .name = undefined, .kind = .array, .part = try oidOf(arguments[2]), .delimiter = delimiter[0] });
}

fn addComposite(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 5);
    const names = try py.checked(py.PySequence_Tuple(arguments[2]));
    defer py.decref(names);
    const oids = try py.checked(py.PySequence_Tuple(arguments[3]));
    defer py.decref(oids);
    const count: usize = @intCast(py.hd_tuple_size(names));
    if (py.hd_tuple_size(oids) != py.hd_tuple_size(names)) return fail("names and oids differ in number");
    const factory = arguments[4];
    if (py.hd_is(factory, py.typeObject("PyType_Type")) == 0 or
        py.PyType_IsSubtype(@ptrCast(factory), @ptrCast(map.classes.composite)) == 0)
    {
        py.PyErr_SetString(py.PyExc_TypeError, "factory is not a subclass of Composite");
        return error.PythonError;
    }
    const field_names = try map.gpa.alloc(*Object, count);
    defer map.gpa.free(field_names);
    const field_oids = try map.gpa.alloc(u32, count);
    defer map.gpa.free(field_oids);
    for (field_names, field_oids, 0..) |*name, *oid, i| {
        name.* = py.hd_tuple_get(names, @intCast(i));
        if (py.hd_unicode_check(name.*) == 0) return fail("a field name is a str");
        oid.* = try oidOf(py.hd_tuple_get(oids, @intCast(i)));
    }
    return add(map, arguments, .{
        .name = undefined,
        .kind = .composite,
        .field_names = field_names,
        .field_oids = field_oids,
        .factory = factory,
    });
}

fn addRange(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 3);
    return add(map, arguments, .{ .name = undefined, .kind = .range, .part = try oidOf(arguments[2]) });
}

fn notePooler(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 0);
    map.has_pooler.store(true, .release);
    return py.none();
}

fn addMultirange(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 3);
    const part = try oidOf(arguments[2]);
    if (map.lookup(part)) |info| if (info.kind != .range) return fail("a multirange is made of a range type");
    return add(map, arguments, .{ .name = undefined, .kind = .multirange, .part = part });
}

fn addExtension(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 3);
    const name = try textOf(arguments[2]);
    inline for (.{ "hstore", "vector", "halfvec", "ltree" }) |known| {
        if (std.mem.eql(u8, name, known)) return add(map, arguments, .{ .name = undefined, .kind = @field(types.Kind, known) });
    }
    return fail("kind is one of hstore, vector, halfvec, ltree");
}

fn addCodec(map: *type_map.TypeMap, arguments: Arguments) Failure!*Object {
    try expectCount(arguments, 5);
    const binary = py.PyObject_IsTrue(arguments[4]);
    try py.ok(binary);
    const done = try add(map, arguments, .{
        .name = undefined,
        .kind = .text_only,
        .binary = binary == 1,
        .codec = .{ .encode = arguments[2], .decode = arguments[3] },
    });
    map.catalog.renew();
    return done;
}

/// The first two arguments of every `add_…` are the OID and the name.
fn add(map: *type_map.TypeMap, arguments: Arguments, definition: Definition) Failure!*Object {
    var named = definition;
    named.name = try textOf(arguments[1]);
    try map.add(try oidOf(arguments[0]), named);
    return py.none();
}

fn expectCount(arguments: Arguments, comptime count: usize) py.Error!void {
    if (arguments.len == count) return;
    py.PyErr_SetString(py.PyExc_TypeError, std.fmt.comptimePrint("{d} positional arguments are needed", .{count}));
    return error.PythonError;
}

fn fail(message: [*:0]const u8) py.Error {
    py.PyErr_SetString(py.PyExc_ValueError, message);
    return error.PythonError;
}

pub fn oidOf(object: *Object) py.Error!u32 {
    const value = py.PyLong_AsUnsignedLongLong(object);
    if (value == std.math.maxInt(c_ulonglong) and py.PyErr_Occurred() != null) return error.PythonError;
    return std.math.cast(u32, value) orelse fail("an OID has 32 bits");
}

fn textOf(object: *Object) py.Error![]const u8 {
    var length: isize = 0;
    const bytes = py.PyUnicode_AsUTF8AndSize(object, &length) orelse return error.PythonError;
    return bytes[0..@intCast(length)];
}
