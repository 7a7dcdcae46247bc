//! `ArrowRows`: what a library that knows Arrow gives, as the data of a COPY. The Python half (`_arrow.py`) takes
//! it through its columns' names, the types of the table's columns, and piece by piece.
//! Arrow docs: "The Arrow PyCapsule Interface"; PostgreSQL docs: sql-copy, "Binary Format" and "Text Format".
const std = @import("std");
const arrow = @import("arrow");
const py = @import("py.zig");
const arrow_cells = @import("arrow_cells.zig");
const arrow_object = @import("arrow_object.zig");
const copy = @import("copy.zig");
const module = @import("module.zig");
const protocol = @import("protocol");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Request = @import("request.zig").Request;
const Object = py.Object;
const Cell = arrow_cells.Cell;

const gpa = std.heap.c_allocator;

const State = struct {
    incoming: arrow.Incoming,
    /// Of the cells.
    arena: std.heap.ArenaAllocator,
    /// The table's columns that are loaded, in the order of the COPY.
    cells: []Cell = &.{},
    is_binary: bool = true,
    /// The header was given.
    has_begun: bool = false,
    /// Of the batch: the row that comes next.
    next: usize = 0,
    row_count: u64 = 0,
    output: protocol.WriteBuffer,
    scratch: protocol.WriteBuffer,
    /// A call is under way, perhaps on another thread.
    busy: std.atomic.Value(bool) = .init(false),

    fn enter(object: *Object) py.Error!*State {
        const self = py.state(State, object);
        if (self.busy.swap(true, .acquire)) return raise.raise("InterfaceError", "the data is being read by another call", .{});
        return self;
    }

    fn leave(self: *State) void {
        self.busy.store(false, .release);
    }
};

fn new(type_object: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    var given: ?*Object = null;
    const names = [_]?[*:0]const u8{ "", null };
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "O:ArrowRows", &names, &given) == 0) return null;
    return make(type_object, given.?) catch null;
}

fn make(type_object: *py.TypeObject, given: *Object) py.Error!*Object {
    const pointer = py.PyCapsule_GetPointer(given, arrow_object.stream_name) orelse {
        py.PyErr_Clear();
        return raise.typeError("__arrow_c_stream__ must return a capsule named arrow_array_stream");
    };
    const object = try py.checked(py.hd_alloc(type_object));
    errdefer py.decref(object);
    const self = gpa.create(State) catch return raise.outOfMemory();
    self.* = .{ .incoming = .init(gpa), .arena = .init(gpa), .output = .init(gpa), .scratch = .init(gpa) };
    py.hd_box_set(object, self);
    // A producer may wait, or need the GIL on a thread of its own, here as in `read`.
    const thread = py.PyEval_SaveThread();
    const outcome = self.incoming.open(@ptrCast(@alignCast(pointer)));
    py.PyEval_RestoreThread(thread);
    outcome catch |err| return failed(self, err);
    return object;
}

fn failed(self: *const State, err: arrow.incoming.Error) py.Error {
    return switch (err) {
        error.OutOfMemory => raise.outOfMemory(),
        error.Failed => raise.raise("DataError", "the Arrow stream has failed: {s}", .{self.incoming.message}),
        error.Refused => malformed(self.incoming.message),
    };
}

fn malformed(why: []const u8) py.Error {
    var buffer: [256]u8 = undefined;
    const text = std.fmt.bufPrintSentinel(&buffer, "this is no Arrow data: {s}", .{why}, 0) catch return raise.valueError("this is no Arrow data");
    return raise.valueError(text);
}

fn dealloc(object: *Object) callconv(.c) void {
    if (py.hd_box_get(object) != null) {
        const self = py.state(State, object);
        self.incoming.deinit();
        self.arena.deinit();
        self.output.deinit();
        self.scratch.deinit();
        gpa.destroy(self);
    }
    py.hd_free(object);
}

fn bind(object: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 2) return raise.asNull(raise.typeError("bind() takes the columns' description and their indices"));
    const self = State.enter(object) catch return null;
    defer self.leave();
    return bindTo(object, self, arguments[0], arguments[1]) catch null;
}

/// Decide how each column gets to the table, before anything is sent.
fn bindTo(object: *Object, self: *State, described: *Object, indices: *Object) py.Error!*Object {
    const class: *py.TypeObject = @ptrCast(module.ModuleState.ofInstance(object).request_type.?);
    if (py.hd_is(described, class) == 0) return raise.typeError("the description is a Request");
    if (py.hd_tuple_check(indices) == 0) return raise.typeError("the indices must be a tuple");
    const request = Request.of(described);
    const statement = if (request.isDone()) request.statement orelse null else null;
    const columns = (statement orelse return raise.raise("InterfaceError", "the table's columns are not described", .{})).columns;
    if (py.hd_tuple_size(indices) != @as(isize, @intCast(columns.len))) return raise.raise("InterfaceError", "the table's columns are others now", .{});
    const arena = self.arena.allocator();
    const cells = arena.alloc(Cell, columns.len) catch return raise.outOfMemory();
    const fields = self.incoming.root.children;
    self.is_binary = true;
    for (cells, columns, 0..) |*cell, column, i| {
        const index = py.PyLong_AsLongLong(py.hd_tuple_get(indices, @intCast(i)));
        if (index < 0 or index >= fields.len) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("there is no such column");
        const field = &fields[@intCast(index)];
        const target = arrow_cells.targetOf(arena, column.info, 0) catch return raise.outOfMemory();
        cell.* = .{ .index = @intCast(index), .field = field, .target = target, .info = column.info };
        switch (arrow.target.wayOf(field, target)) {
            .binary => {},
            .text => self.is_binary = false,
            .none => return raise.raise("DataError", "column \"{s}\": Arrow {s} cannot be loaded into {f}{s}", .{
                field.name, arrow_cells.nameOf(field), column.info, arrow_cells.advice(field, target),
            }),
        }
    }
    self.cells = cells;
    return py.boolean(self.is_binary);
}

fn read(object: *Object, _: ?*Object) callconv(.c) ?*Object {
    const self = State.enter(object) catch return null;
    defer self.leave();
    self.next = 0;
    const thread = py.PyEval_SaveThread();
    const outcome = self.incoming.read();
    py.PyEval_RestoreThread(thread);
    const has_rows = outcome catch |err| return raise.asNull(failed(self, err));
    return py.boolean(has_rows);
}

fn encode(object: *Object, given: *Object) callconv(.c) ?*Object {
    const size = py.PyLong_AsLongLong(given);
    if (size < 1) return if (py.PyErr_Occurred() != null) null else raise.asNull(raise.valueError("size must be positive"));
    const self = State.enter(object) catch return null;
    defer self.leave();
    return encodeSome(self, @intCast(size)) catch null;
}

fn encodeSome(self: *State, size: usize) py.Error!*Object {
    const node = if (self.incoming.node) |*node| node else return py.none();
    if (self.next == node.length) {
        self.incoming.endBatch();
        return py.none();
    }
    const output = &self.output;
    output.truncate(0);
    begin(self) catch return raise.outOfMemory();
    while (self.next < node.length and output.len() < size) {
        try row(self, node);
        self.next += 1;
        self.row_count += 1;
    }
    return py.checked(py.PyBytes_FromStringAndSize(output.bytes.items.ptr, @intCast(output.len())));
}

fn begin(self: *State) protocol.WriteBuffer.Error!void {
    if (self.is_binary and !self.has_begun) try self.output.writeBytes(copy.header);
    self.has_begun = true;
}

fn row(self: *State, node: *const arrow.node.Node) py.Error!void {
    const output = &self.output;
    if (self.is_binary) output.writeInt(i16, @intCast(self.cells.len)) catch return raise.outOfMemory();
    for (self.cells, 0..) |*cell, i| {
        var problem: []const u8 = "";
        const outcome = if (self.is_binary)
            cell.writeBinary(output, node, self.next, &problem)
        else
            cell.writeText(output, &self.scratch, node, self.next, i + 1 == self.cells.len, &problem);
        outcome catch |err| return switch (err) {
            error.OutOfMemory => raise.outOfMemory(),
            error.Corrupt => malformed(problem),
            error.Refused, error.MessageTooLong => raise.raise("DataError", "row {d}, column \"{s}\": Arrow {s} does not fit {f}: {s}", .{
                self.row_count,                                                 cell.field.name,
                arrow_cells.nameOf(cell.field),                                 cell.info,
                if (err == error.MessageTooLong) "it is too long" else problem,
            }),
        };
    }
    if (!self.is_binary and self.cells.len == 0) output.writeByte('\n') catch return raise.outOfMemory();
}

fn finish(object: *Object, _: ?*Object) callconv(.c) ?*Object {
    const self = State.enter(object) catch return null;
    defer self.leave();
    self.output.truncate(0);
    begin(self) catch return raise.asNull(raise.outOfMemory());
    if (self.is_binary) self.output.writeInt(i16, -1) catch return raise.asNull(raise.outOfMemory());
    return py.PyBytes_FromStringAndSize(self.output.bytes.items.ptr, @intCast(self.output.len()));
}

fn getNames(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const fields = py.state(State, object).incoming.root.children;
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

fn getRows(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromUnsignedLongLong(py.state(State, object).row_count);
}

const methods = [_]py.MethodDef{
    .{
        .name = "bind",
        .function = &bind,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofMethod("bind", &.{ "described", "indices" }, "Fit columns to those that were described; whether they go in binary, else as text."),
    },
    .{ .name = "read", .function = &read, .flags = py.METH_NOARGS, .doc = signature.ofMethod("read", &.{}, "Take the next batch, the GIL released; False at the end.") },
    .{ .name = "encode", .function = &encode, .flags = py.METH_O, .doc = signature.ofMethod("encode", &.{"size"}, "About so many bytes of a COPY's data, whole rows; None: the batch is over.") },
    .{ .name = "finish", .function = &finish, .flags = py.METH_NOARGS, .doc = signature.ofMethod("finish", &.{}, "The end of the COPY's data.") },
    .{},
};

const getters = [_]py.GetSetDef{
    .{ .name = "column_names", .get = &getNames, .doc = "The columns' names in order, with duplicates." },
    .{ .name = "row_count", .get = &getRows, .doc = "Rows encoded so far." },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_doc, .function = "ArrowRows(stream, /)\n--\n\nAn Arrow stream as the data of a COPY; takes it out of its capsule." },
    .{ .slot = py.slot.tp_methods, .function = &methods },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.ArrowRows",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    const made = try module.addType(object, "ArrowRows", &spec);
    py.decref(made); // the module holds it
}
