//! Where a DataRow becomes a result. The column decoders are chosen once per statement; what
//! differs between the shapes is only how the decoded values are put together. A shape whose rows become
//! one object, and not an object each, is a `Collector` in a file of its own.
const std = @import("std");
const arrow = @import("arrow");
const protocol = @import("protocol");
const py = @import("py.zig");
const arrow_object = @import("arrow_object.zig");
const arrow_sink = @import("arrow_sink.zig");
const decode = @import("decode.zig");
const JsonRows = @import("json_sink.zig").JsonRows;
const model_sink = @import("model_sink.zig");
const ModuleState = @import("module.zig").ModuleState;
const raise = @import("raise.zig");
const Statement = @import("statement.zig").Statement;
const Object = py.Object;

const gpa_of_collectors = std.heap.c_allocator;

/// Numbers that the Python half names (`_native.Shape`).
pub const Shape = enum(u8) {
    /// Rows are read and dropped: `execute`.
    discard = 0,
    /// Column name to value; of duplicate names the last wins.
    dict = 1,
    /// Values in order.
    tuple = 2,
    /// A tuple subclass with `_fields`, filled by name.
    named_tuple = 3,
    /// Any callable of keywords.
    keywords = 4,
    /// The first column alone.
    value = 5,
    /// All rows as one JSON array, in bytes.
    json = 6,
    /// Arrow columns of all rows: `query_arrow`.
    arrow = 7,
    /// Instances of models, by the plan of a Hydration.
    model = 8,
    _,
};

/// Keeps what the rows were made into, and makes the one object of it that `Request.result` gives.
pub const Collector = union(enum) {
    none,
    json: *JsonRows,
    arrow: *arrow.Rows,

    fn deinit(self: *Collector) void {
        switch (self.*) {
            .none => {},
            .json => |rows| rows.destroy(),
            .arrow => |rows| arrow_sink.end(gpa_of_collectors, rows),
        }
        self.* = .none;
    }
};

pub const RowError = decode.Failure || error{ OutOfMemory, FieldCountMismatch, DuplicateName };

pub const Sink = struct {
    shape: Shape,
    /// The named tuple's class, the callable, or the Hydration.
    target: ?*Object = null,
    /// Column index to field index, once the first row has shown that the names agree.
    order: []u16 = &.{},
    order_known: bool = false,
    /// The column whose value could not be decoded, for the message.
    column: usize = 0,
    collector: Collector = .none,

    /// Build one row from the body of a DataRow message. Null: the collector has it.
    pub fn row(self: *Sink, gpa: std.mem.Allocator, context: *decode.Context, statement: *const Statement, body: []const u8) RowError!?*Object {
        const data_row = protocol.DataRow.decode(body) catch return error.Malformed;
        var values = data_row.iterator();
        if (data_row.count != statement.columns.len) return error.FieldCountMismatch;
        return switch (self.shape) {
            .dict => self.dictRow(context, statement, &values),
            .tuple => self.tupleRow(context, statement, &values, null),
            .named_tuple => self.namedTupleRow(gpa, context, statement, &values),
            .keywords => self.keywordsRow(gpa, context, statement, &values),
            .value => self.firstValue(context, statement, &values),
            .json => self.jsonRow(context, statement, &values),
            .arrow => self.arrowRow(context, statement, values),
            .model => try model_sink.row(gpa, .of(self.target.?), context, statement, &values, &self.column),
            .discard, _ => unreachable,
        };
    }

    /// The object that all rows have become, or null where each is one of its own. `statement` may have had no rows.
    pub fn finish(self: *Sink, state: *ModuleState, statement: ?*const Statement) py.Error!?*Object {
        switch (self.shape) {
            .json => if (self.collector == .none) return try py.checked(py.PyBytes_FromStringAndSize("[]", 2)),
            .arrow => _ = self.arrowRows(statement) catch |err| return if (err == error.OutOfMemory) raise.outOfMemory() else error.PythonError,
            .model => {
                // There were no rows, so nobody has looked at this yet.
                if (statement) |known| try model_sink.check(.of(self.target.?), known);
                return null;
            },
            else => return null,
        }
        defer self.dropRows();
        switch (self.collector) {
            .none => unreachable, // both shapes have one by now
            .json => |rows| return try rows.finish(),
            .arrow => |rows| return try arrow_object.create(state, rows.finish() catch return raise.outOfMemory()),
        }
    }

    /// Forget the rows: they are of no use any more.
    pub fn dropRows(self: *Sink) void {
        self.collector.deinit();
    }

    pub fn deinit(self: *Sink, gpa: std.mem.Allocator) void {
        self.collector.deinit();
        gpa.free(self.order);
        const target = self.target;
        self.* = .{ .shape = .discard };
        py.xdecref(target);
    }

    fn jsonRow(self: *Sink, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator) RowError!?*Object {
        if (self.collector == .none) self.collector = .{ .json = try .create() };
        try self.collector.json.row(context, statement, values, &self.column);
        return null;
    }

    inline fn cell(self: *Sink, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator, index: usize) RowError!*Object {
        // `row` has compared the counts, so there is a value for each column.
        const bytes = (values.take() catch return error.Malformed) orelse return py.none();
        const column = &statement.columns[index];
        return column.decoder(context, column.info, bytes) catch |err| {
            self.column = index;
            return err;
        };
    }

    inline fn end(values: *protocol.DataRow.Iterator) RowError!void {
        values.end() catch return error.Malformed;
    }

    fn dictRow(self: *Sink, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator) RowError!*Object {
        const result = try py.checked(py.PyDict_Copy(statement.template));
        errdefer py.decref(result);
        for (statement.columns, 0..) |column, i| {
            const item = try self.cell(context, statement, values, i);
            defer py.decref(item);
            // The template holds None already, unless an earlier column has the same name.
            if (item == py.hd_none() and statement.names_unique) continue;
            try py.ok(py.PyDict_SetItem(result, column.name, item));
        }
        try end(values);
        if (statement.leaves_only) py.hd_untrack_dict(result);
        return result;
    }

    fn tupleRow(self: *Sink, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator, class: ?*Object) RowError!*Object {
        const count: isize = @intCast(statement.columns.len);
        const result = if (class) |type_object|
            try py.checked(py.hd_alloc_items(@ptrCast(type_object), count))
        else
            try py.checked(py.PyTuple_New(count));
        errdefer py.decref(result);
        for (0..statement.columns.len) |i| {
            const item = try self.cell(context, statement, values, i);
            const at: usize = if (class != null) self.order[i] else i;
            py.hd_tuple_set(result, @intCast(at), item);
        }
        try end(values);
        // A tuple never changes; what a subclass may hold besides its items is not ours to know.
        if (statement.leaves_only and class == null) py.PyObject_GC_UnTrack(result);
        return result;
    }

    fn namedTupleRow(self: *Sink, gpa: std.mem.Allocator, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator) RowError!*Object {
        if (!self.order_known) {
            self.order = try fieldOrder(gpa, self.target.?, statement);
            self.order_known = true;
        }
        // Other names than the class has: its own constructor fills defaults, or says what is missing.
        if (self.order.len != statement.columns.len) return self.keywordsRow(gpa, context, statement, values);
        return self.tupleRow(context, statement, values, self.target);
    }

    fn keywordsRow(self: *Sink, gpa: std.mem.Allocator, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator) RowError!*Object {
        if (!statement.names_unique) return error.DuplicateName;
        var stack: [32]?*Object = undefined;
        const count = statement.columns.len;
        const items: []?*Object = if (count <= stack.len) stack[0..count] else try gpa.alloc(?*Object, count);
        defer if (count > stack.len) gpa.free(items);
        var filled: usize = 0;
        defer for (items[0..filled]) |item| py.decref(item.?);
        for (0..count) |i| {
            items[i] = try self.cell(context, statement, values, i);
            filled += 1;
        }
        try end(values);
        return py.checked(py.PyObject_Vectorcall(self.target.?, items.ptr, 0, statement.names));
    }

    fn arrowRow(self: *Sink, context: *decode.Context, statement: *const Statement, values: protocol.DataRow.Iterator) RowError!?*Object {
        const rows = try self.arrowRows(statement);
        rows.append(values) catch |err| {
            self.column = rows.column;
            if (err == error.NotRepresentable) context.say("{s}", .{rows.problem});
            return err;
        };
        return null;
    }

    fn arrowRows(self: *Sink, statement: ?*const Statement) (error{OutOfMemory} || py.Error)!*arrow.Rows {
        if (self.collector == .none) self.collector = .{ .arrow = try arrow_sink.begin(gpa_of_collectors, statement) };
        return self.collector.arrow;
    }

    /// Every value is decoded no matter how many columns follow: a row must be well formed.
    fn firstValue(self: *Sink, context: *decode.Context, statement: *const Statement, values: *protocol.DataRow.Iterator) RowError!*Object {
        if (statement.columns.len == 0) return py.none();
        const item = try self.cell(context, statement, values, 0);
        errdefer py.decref(item);
        for (1..statement.columns.len) |_| {
            _ = values.take() catch return error.Malformed;
        }
        try end(values);
        return item;
    }
};

/// Column index to index in `class._fields`; empty where the names are not the same set.
fn fieldOrder(gpa: std.mem.Allocator, class: *Object, statement: *const Statement) (error{OutOfMemory} || py.Error)![]u16 {
    const fields = try py.checked(py.PyObject_GetAttrString(class, "_fields"));
    defer py.decref(fields);
    const tuple = try py.checked(py.PySequence_Tuple(fields));
    defer py.decref(tuple);
    const count = statement.columns.len;
    if (!statement.names_unique or py.hd_tuple_size(tuple) != @as(isize, @intCast(count))) return &.{};
    const order = try gpa.alloc(u16, count);
    errdefer gpa.free(order);
    for (statement.columns, order) |column, *at| {
        const found = py.PySequence_Index(tuple, column.name);
        if (found < 0) {
            if (py.PyErr_ExceptionMatches(py.PyExc_ValueError) == 0) return error.PythonError;
            py.PyErr_Clear();
            gpa.free(order);
            return &.{};
        }
        at.* = @intCast(found);
    }
    return order;
}
