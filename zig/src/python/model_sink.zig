//! A DataRow becomes instances of models: one for the first node of its plan, and one in a slot of another for each
//! join that has found something. No constructor runs: an allocation, and the decoded values into their slots.
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const decode = @import("decode.zig");
const hydrator = @import("hydrator.zig");
const instance = @import("instance.zig");
const raise = @import("raise.zig");
const RowError = @import("sink.zig").RowError;
const statement_file = @import("statement.zig");
const Statement = statement_file.Statement;
const Hydration = hydrator.Hydration;
const Iterator = protocol.DataRow.Iterator;
const Object = py.Object;

/// Plans with more nodes take their memory from the heap, for each row.
const nodes_on_stack = 16;

/// Characters of a value in a message.
const shown_max = 80;

const Made = struct {
    /// Null: the join has found nothing.
    object: ?*Object,
    /// Nothing in its slots can lead back to it.
    has_leaves_alone: bool = false,
};

/// `failed` becomes the column at fault.
pub fn row(gpa: std.mem.Allocator, self: *const Hydration, context: *decode.Context, statement: *const Statement, values: *Iterator, failed: *usize) RowError!*Object {
    try check(self, statement);
    const nodes = self.plan.nodes;
    var stack: [nodes_on_stack]Made = undefined;
    const all = if (nodes.len <= stack.len) stack[0..nodes.len] else try gpa.alloc(Made, nodes.len);
    defer if (nodes.len > stack.len) gpa.free(all);
    all[0] = .{ .object = try py.checked(py.hd_alloc(nodes[0].class)) };
    const root = all[0].object.?;
    errdefer py.decref(root); // the others are in its slots, or in theirs
    try fill(&nodes[0], &all[0], context, statement, 0, values, failed);
    var first = nodes[0].columns.len;
    for (nodes[1..], all[1..]) |*node, *made| {
        made.* = .{ .object = try join(node, &all[node.parent], values) };
        if (made.object != null) try fill(node, made, context, statement, first, values, failed);
        first += node.columns.len;
    }
    values.end() catch return error.Malformed;
    for (nodes, all, 0..) |*node, *made, i| {
        const object = made.object orelse continue;
        if (made.has_leaves_alone and node.has_slots_alone) py.PyObject_GC_UnTrack(object);
        try instance.originate(object, py.hd_tuple_get(self.origins, @intCast(i)));
    }
    return root;
}

pub fn check(self: *const Hydration, statement: *const Statement) py.Error!void {
    const count = self.plan.column_count;
    if (count == statement.columns.len) return;
    return raise.raise("InterfaceError", "the statement gives {d} columns, but its hydrator is made for {d}", .{ statement.columns.len, count });
}

/// Put a new instance, or None, into the slot of its parent; borrowed. Of what is absent the columns are read over.
fn join(node: *const hydrator.Node, parent: *Made, values: *Iterator) RowError!?*Object {
    const owner = parent.object orelse {
        try skip(node, values);
        return null;
    };
    if (try isAbsent(node, values.*)) {
        try skip(node, values);
        py.hd_slot_set(owner, node.relation, py.none());
        return null;
    }
    const object = try py.checked(py.hd_alloc(node.class));
    py.hd_slot_set(owner, node.relation, object);
    parent.has_leaves_alone = false; // it may be given a reference back
    return object;
}

/// `values`: a copy, to look ahead.
fn isAbsent(node: *const hydrator.Node, values: Iterator) RowError!bool {
    var ahead = values;
    for (node.is_key) |is_key| {
        const bytes = ahead.take() catch return error.Malformed;
        if (is_key and bytes == null) return true;
    }
    return false;
}

fn skip(node: *const hydrator.Node, values: *Iterator) RowError!void {
    for (0..node.columns.len) |_| _ = values.take() catch return error.Malformed;
}

inline fn fill(node: *const hydrator.Node, made: *Made, context: *decode.Context, statement: *const Statement, first: usize, values: *Iterator, failed: *usize) RowError!void {
    const object = made.object.?;
    var leaves_alone = true;
    var extra_leaves_alone = true;
    if (node.extra) |template| instance.fieldsOf(object).extra = try py.checked(py.PyDict_Copy(template));
    for (node.columns, statement.columns[first..][0..node.columns.len], first..) |*target, *column, index| {
        const bytes = values.take() catch return error.Malformed;
        if (target.target == .none) continue;
        const value = if (bytes) |body| value: {
            const decoded = column.decoder(context, column.info, body) catch |err| {
                failed.* = index;
                return err;
            };
            const value = try convert(target, column, decoded);
            const is_leaf = switch (target.converter) {
                .none => column.is_leaf or py.hd_is_gc(value) == 0,
                .table => |table| table.is_leaf,
                .callable => py.hd_is_gc(value) == 0,
            };
            if (target.target == .slot) leaves_alone = leaves_alone and is_leaf else extra_leaves_alone = extra_leaves_alone and is_leaf;
            break :value value;
        } else py.none();
        switch (target.target) {
            .none => unreachable, // read over above
            .slot => |offset| py.hd_slot_set(object, offset, value),
            .extra => |name| {
                defer py.decref(value);
                try py.ok(py.PyDict_SetItem(instance.fieldsOf(object).extra.?, name, value));
            },
        }
    }
    if (node.extra != null and extra_leaves_alone) py.hd_untrack_dict(instance.fieldsOf(object).extra.?);
    made.has_leaves_alone = leaves_alone and extra_leaves_alone;
}

/// Takes over the reference to `value`.
inline fn convert(target: *const hydrator.Column, column: *const statement_file.Column, value: *Object) py.Error!*Object {
    switch (target.converter) {
        .none => return value,
        .table => |table| {
            defer py.decref(value);
            if (py.PyDict_GetItemWithError(table.dict, value)) |found| return py.incref(found);
            return notInTable(column, value);
        },
        .callable => |callable| {
            defer py.decref(value);
            return py.checked(py.PyObject_CallOneArg(callable, value));
        },
    }
}

fn notInTable(column: *const statement_file.Column, value: *Object) py.Error {
    if (py.PyErr_Occurred() != null) return error.PythonError;
    const whole = try py.checked(py.PyObject_Repr(value));
    defer py.decref(whole);
    const shown = try py.checked(py.PyUnicode_Substring(whole, 0, shown_max));
    defer py.decref(shown);
    return raise.raise("DataError", "column \"{s}\" ({f}): {s} is none of the values that it can have", .{ textOf(column.name), column.info, textOf(shown) });
}

fn textOf(object: *Object) []const u8 {
    var size: isize = 0;
    const bytes = py.PyUnicode_AsUTF8AndSize(object, &size) orelse {
        py.PyErr_Clear(); // lone surrogates
        return "?";
    };
    return bytes[0..@intCast(size)];
}
