//! `ArrowStream`, what `query_arrow` gives: all rows of a result as columns, which any library that knows
//! Arrow's PyCapsule interface reads in place, as often as it likes.
//! Arrow docs: "The Arrow PyCapsule Interface".
const std = @import("std");
const arrow = @import("arrow");
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Object = py.Object;

const gpa = std.heap.c_allocator;

pub const stream_name = "arrow_array_stream";
const schema_name = "arrow_schema";

/// Takes over the reference to `table`, also where it fails.
pub fn create(state: *module.ModuleState, table: *arrow.Table) py.Error!*Object {
    errdefer table.release();
    const object = try py.checked(py.hd_alloc(@ptrCast(state.arrow_stream_type.?)));
    py.hd_box_set(object, table);
    return object;
}

fn dealloc(object: *Object) callconv(.c) void {
    if (py.hd_box_get(object) != null) py.state(arrow.Table, object).release();
    py.hd_free(object);
}

/// A capsule around a new struct of the interface. What nobody has taken out is released with it.
fn capsule(comptime T: type, comptime name: [:0]const u8, filled: T) py.Error!*Object {
    const Holder = struct {
        fn destroy(object: *Object) callconv(.c) void {
            const pointer = py.PyCapsule_GetPointer(object, name) orelse return py.PyErr_Clear();
            const held: *T = @ptrCast(@alignCast(pointer));
            if (held.release) |release| release(held);
            gpa.destroy(held);
        }
    };
    var value = filled;
    errdefer value.release.?(&value);
    const held = gpa.create(T) catch return raise.outOfMemory();
    errdefer gpa.destroy(held);
    const object = try py.checked(py.PyCapsule_New(held, name, &Holder.destroy));
    held.* = value;
    return object;
}

fn cStream(object: *Object, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    var requested: ?*Object = null;
    const names = [_]?[*:0]const u8{ "requested_schema", null };
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:__arrow_c_stream__", &names, &requested) == 0) return null;
    // To give other types than these is for the consumer: the interface calls it a request.
    return makeStream(object) catch null;
}

fn makeStream(object: *Object) py.Error!*Object {
    var stream: arrow.c_data.Stream = .{};
    arrow.exporting.streamStruct(py.state(arrow.Table, object), &stream) catch return raise.outOfMemory();
    return capsule(arrow.c_data.Stream, stream_name, stream);
}

fn cSchema(object: *Object, _: ?*Object) callconv(.c) ?*Object {
    return makeSchema(object) catch null;
}

fn makeSchema(object: *Object) py.Error!*Object {
    var schema: arrow.c_data.Schema = .{};
    arrow.exporting.schemaStruct(py.state(arrow.Table, object).schema, &schema) catch return raise.outOfMemory();
    return capsule(arrow.c_data.Schema, schema_name, schema);
}

fn getRows(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromSize_t(py.state(arrow.Table, object).row_count);
}

fn getBatches(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromSize_t(py.state(arrow.Table, object).batches.len);
}

fn getColumns(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromSize_t(py.state(arrow.Table, object).schema.fields.len);
}

fn getNames(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const fields = py.state(arrow.Table, object).schema.fields;
    const names = py.PyTuple_New(@intCast(fields.len)) orelse return null;
    for (fields, 0..) |field, i| {
        const name = py.PyUnicode_DecodeUTF8(field.name.ptr, @intCast(field.name.len), "replace") orelse {
            py.decref(names);
            return null;
        };
        py.hd_tuple_set(names, @intCast(i), name);
    }
    return names;
}

fn repr(object: *Object) callconv(.c) ?*Object {
    const table = py.state(arrow.Table, object);
    var text: [96]u8 = undefined;
    const shown = std.fmt.bufPrint(&text, "<ArrowStream: {d} rows, {d} columns>", .{ table.row_count, table.schema.fields.len }) catch unreachable; // two numbers
    return py.PyUnicode_FromStringAndSize(shown.ptr, @intCast(shown.len));
}

const methods = [_]py.MethodDef{
    .{
        .name = "__arrow_c_stream__",
        .function = &cStream,
        .flags = py.METH_VARARGS | py.METH_KEYWORDS,
        .doc = "__arrow_c_stream__($self, requested_schema=None)\n--\n\nA capsule with an ArrowArrayStream over all rows, a new one each time.",
    },
    .{
        .name = "__arrow_c_schema__",
        .function = &cSchema,
        .flags = py.METH_NOARGS,
        .doc = signature.ofMethod("__arrow_c_schema__", &.{}, "A capsule with the ArrowSchema."),
    },
    .{},
};

const getters = [_]py.GetSetDef{
    .{ .name = "num_rows", .get = &getRows, .doc = "Rows in all." },
    .{ .name = "num_columns", .get = &getColumns, .doc = "Columns." },
    .{ .name = "num_batches", .get = &getBatches, .doc = "Record batches that the rows are in." },
    .{ .name = "column_names", .get = &getNames, .doc = "The columns' names in order, with duplicates." },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_doc, .function = "All rows of a result as Arrow columns; whatever reads Arrow can read it, any number of times." },
    .{ .slot = py.slot.tp_repr, .function = &repr },
    .{ .slot = py.slot.tp_methods, .function = &methods },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.ArrowStream",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_IMMUTABLETYPE | py.TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = &slots,
    };
    module.ModuleState.ofModule(object).arrow_stream_type = try module.addType(object, "ArrowStream", &spec);
}
