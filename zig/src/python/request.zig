//! One statement on its way: what was asked, how far it is, and what came back. The Python half holds
//! it between `Connection.submit` and `Request.result()`.
const std = @import("std");
const py = @import("py.zig");
const raise = @import("raise.zig");
const copy_records = @import("copy_records.zig");
const sink = @import("sink.zig");
const module = @import("module.zig");
const signature = @import("signature.zig");
const Statement = @import("statement.zig").Statement;
const type_map = @import("type_map.zig");
const Object = py.Object;

const gpa = std.heap.c_allocator;

pub const Stage = enum {
    /// Parse and Describe are under way.
    preparing,
    /// Described, but some types must be introspected before it can go on.
    needs_types,
    /// Bind and Execute are under way.
    executing,
    /// All replies are in; rows wait for types that were met late.
    held,
    done,
};

/// Which way the data of a COPY goes.
pub const Copy = enum { none, in, out };

pub const Request = struct {
    sql: *Object,
    /// A tuple of values; with `batch`, a tuple of such tuples; null for the simple protocol.
    arguments: ?*Object,
    batch: bool = false,
    first_set: u64 = 0,
    /// More sets may follow those that were sent: its Sync is still owed.
    is_open: bool = false,
    sets_sent: u64 = 0,
    /// A value of a set went in text format: each has a format code of its own from then on.
    has_text: bool = false,
    first_only: bool = false,
    sink: sink.Sink,
    stage: Stage = .preparing,
    /// The connection it is under way on works on it, or a call that reads what is not its alone.
    claimed: std.atomic.Value(bool) = .init(true),
    statement: ?*Statement = null,
    /// The name under which Parse was sent in this batch, 0 for the unnamed statement.
    parse_number: u64 = 0,
    parsed: bool = false,
    /// A list of rows, or the first row or value.
    rows: ?*Object = null,
    fault: ?*Object = null,
    /// The plan or the statement behind it was stale: the same call can be made again.
    stale: bool = false,
    /// The statement was described in answer to this very request: what is known of it is not out of date.
    fresh: bool = false,
    /// A value did not fit a type that may be another by now.
    misfit: bool = false,
    /// The backend has taken the values.
    bound: bool = false,
    /// How often rows have waited for types.
    rounds: u8 = 0,
    /// Afterwards names may lead to other tables.
    changes_path: bool = false,
    /// A pause in its result was longer than the patience for it: the loop waits from now on.
    is_slow: bool = false,
    /// Who waits for it: kept for the face that has set it, and not looked at here.
    waiter: ?*Object = null,
    /// Only Parse and Describe: what is learned of the text is all that is wanted.
    describe_only: bool = false,
    /// All of a text that nobody knew was sent at once.
    one_trip: bool = false,
    /// The statement goes with a Parse that is not confirmed before ParseComplete.
    with_parse: bool = false,
    /// How many ReadyForQuery answer it.
    syncs: u32 = 0,
    /// Commands owed by the session that went in front of it and are not answered yet.
    owed_left: u32 = 0,
    /// The first of them brings the session back to how it was opened.
    resets: bool = false,
    /// Such commands went in front of it.
    carried: bool = false,
    /// There is nothing behind them: the last one's answer is its own.
    owed_only: bool = false,
    /// Something had come before it was sent, as the last words of a backend that has not seen it.
    was_forestalled: bool = false,
    /// One of them began a transaction: what follows is not committed by its own end.
    opens_transaction: bool = false,
    /// Nothing of it has run, and nothing will: the same call can be made again, anywhere.
    undone: bool = false,
    /// Where in the stream to the backend its own bytes begin, and where they end.
    output_start: u64 = 0,
    output_end: u64 = 0,
    /// What stands behind it in a pipeline must wait until it is done.
    is_barrier: bool = false,
    /// The bytes it counted for when it was sent, in the sum that its connection keeps.
    size: u64 = 0,
    /// What it is expected to take on the backend, in the sum that its connection keeps.
    service_ns: u64 = 0,
    /// Nothing else was under way when it was sent: a round trip is part of the time it takes.
    was_alone: bool = true,
    copy: Copy = .none,
    /// CopyInResponse or CopyOutResponse has come.
    copying: bool = false,
    /// The Sync behind a COPY IN was sent, and CopyDone or CopyFail in front of it where it was still due.
    copy_ended: bool = false,
    /// Records, or data in binary format: a header stands in front of them, a trailer behind.
    copy_binary: bool = false,
    /// The header was written, or read.
    copy_header: bool = false,
    /// Records written so far.
    records: u64 = 0,
    /// Where in the stream the last CopyData begins, which may still grow.
    copy_message: u64 = 0,
    /// Data of a COPY OUT that nobody has taken yet; what is decoded stands in `rows`.
    copied: std.ArrayList(u8) = .empty,
    /// The bytes that these came in, and how many make a part.
    part_size: usize = 0,
    part_size_max: usize = 0,
    /// The portal's number; 0 for the unnamed one.
    portal: u64 = 0,
    /// How many rows of the portal are asked for; 0 for all.
    row_limit: u31 = 0,
    /// The portal has more rows than were asked for.
    suspended: bool = false,
    tag: [64]u8 = undefined,
    tag_size: u8 = 0,
    affected: u64 = 0,
    completed: u32 = 0,
    started_ns: u64 = 0,
    /// What ParameterDescription and RowDescription said, until the statement is made of them.
    parameter_oids: std.ArrayList(u32) = .empty,
    description: std.ArrayList(u8) = .empty,
    description_count: u16 = 0,
    /// The last description was a RowDescription, not NoData.
    has_rows: bool = false,
    unknown: std.ArrayList(u32) = .empty,
    /// DataRows that wait for types: Int32 length and body, one after the other.
    held: std.ArrayList(u8) = .empty,
    held_read: usize = 0,

    pub fn of(object: *Object) *Request {
        return py.state(Request, object);
    }

    /// False: somebody else has it.
    pub fn claim(self: *Request) bool {
        return !self.claimed.swap(true, .acquire);
    }

    pub fn releaseClaim(self: *Request) void {
        self.claimed.store(false, .release);
    }

    /// Nothing more comes. Whoever sees it done, on whatever thread, sees all that came.
    pub fn complete(self: *Request) void {
        self.releaseClaim();
        @atomicStore(Stage, &self.stage, .done, .release);
    }

    pub fn isDone(self: *const Request) bool {
        return @atomicLoad(Stage, &self.stage, .acquire) == .done;
    }

    /// Remember the exception that is set, if no earlier one is; rows are of no use any more.
    pub fn takeException(self: *Request) void {
        const exception = py.hd_take_exception();
        if (self.fault == null) self.fault = exception else py.xdecref(exception);
        self.dropRows();
    }

    pub fn setFault(self: *Request, instance: *Object) void {
        if (self.fault == null) self.fault = instance else py.decref(instance);
        self.dropRows();
    }

    fn dropRows(self: *Request) void {
        const rows = self.rows;
        self.rows = null;
        py.xdecref(rows);
        self.sink.dropRows();
        self.held.clearAndFree(gpa);
        self.held_read = 0;
        self.copied.clearAndFree(gpa);
        self.part_size = 0;
    }

    pub fn keepTag(self: *Request, tag: []const u8, affected: u64) void {
        const size = @min(tag.len, self.tag.len);
        @memcpy(self.tag[0..size], tag[0..size]);
        self.tag_size = @intCast(size);
        // The sets of a batch add up, and what is owed and sent by itself; of a script the last statement counts.
        self.affected = if (self.batch or self.owed_only) self.affected +| affected else affected;
        self.completed +|= 1;
    }

    pub fn noteUnknown(self: *Request, oid: u32) error{OutOfMemory}!void {
        for (self.unknown.items) |known| if (known == oid) return;
        try self.unknown.append(gpa, oid);
    }

    /// Rows are wanted and nothing has gone wrong so far.
    pub fn wantsRow(self: *const Request) bool {
        if (self.fault != null or self.sink.shape == .discard) return false;
        return !(self.first_only and (self.rows != null or self.held.items.len > 0));
    }

    pub fn addRow(self: *Request, row: *Object) py.Error!void {
        if (self.first_only) {
            std.debug.assert(self.rows == null);
            self.rows = row;
            return;
        }
        defer py.decref(row);
        if (self.rows == null) self.rows = try py.checked(py.PyList_New(0));
        try py.ok(py.PyList_Append(self.rows.?, row));
    }
};

pub fn create(state: *module.ModuleState, request: Request) py.Error!*Object {
    const object = try py.checked(py.hd_alloc(@ptrCast(state.request_type.?)));
    const self = gpa.create(Request) catch {
        py.decref(object);
        return raise.outOfMemory();
    };
    self.* = request;
    _ = py.incref(self.sql);
    if (self.arguments) |arguments| _ = py.incref(arguments);
    if (self.sink.target) |target| _ = py.incref(target);
    py.hd_box_set(object, self);
    return object;
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    if (py.hd_box_get(object) != null) {
        const self = Request.of(object);
        py.hd_box_set(object, null);
        self.sink.deinit(gpa);
        py.decref(self.sql);
        py.xdecref(self.arguments);
        py.xdecref(self.rows);
        py.xdecref(self.fault);
        py.xdecref(self.waiter);
        if (self.statement) |statement| statement.release();
        self.parameter_oids.deinit(gpa);
        self.description.deinit(gpa);
        self.unknown.deinit(gpa);
        self.held.deinit(gpa);
        self.copied.deinit(gpa);
        gpa.destroy(self);
    }
    py.hd_free(object);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const stop = visit(@ptrCast(py.hd_type(object)), arg);
    if (stop != 0) return stop;
    if (py.hd_box_get(object) == null) return 0;
    const self = Request.of(object);
    for ([_]?*Object{ self.arguments, self.rows, self.fault, self.waiter, self.sink.target }) |held| {
        if (held) |each| {
            const status = visit(each, arg);
            if (status != 0) return status;
        }
    }
    return 0;
}

fn clear(object: *Object) callconv(.c) c_int {
    if (py.hd_box_get(object) == null) return 0;
    const self = Request.of(object);
    const rows = self.rows;
    self.rows = null;
    py.xdecref(rows);
    const fault = self.fault;
    self.fault = null;
    py.xdecref(fault);
    const waiter = self.waiter;
    self.waiter = null;
    py.xdecref(waiter);
    return 0;
}

/// result(): the rows, the row, the value or None; raises what went wrong. Only once.
fn result(object: *Object, _: ?*Object) callconv(.c) ?*Object {
    const self = Request.of(object);
    if (!self.isDone()) {
        return raise.asNull(raise.raise("InterfaceError", "the request is not complete", .{}));
    }
    if (py.hd_field_swap(object, &self.fault, null)) |fault| {
        defer py.decref(fault);
        return raise.asNull(raise.again(fault));
    }
    if (py.hd_field_swap(object, &self.rows, null)) |made| return made;
    const whole = self.sink.finish(module.ModuleState.ofInstance(object), self.statement) catch return null;
    if (whole) |made| return made;
    if (self.first_only or self.sink.shape == .discard) return py.none();
    return py.PyList_New(0);
}

fn getTag(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const self = Request.of(object);
    return py.PyUnicode_DecodeUTF8(&self.tag, self.tag_size, "replace");
}

fn getAffected(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromUnsignedLongLong(Request.of(object).affected);
}

fn getCompleted(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromUnsignedLongLong(Request.of(object).completed);
}

fn getDone(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(Request.of(object).isDone());
}

fn getStale(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(Request.of(object).stale);
}

fn getFailed(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(Request.of(object).fault != null);
}

fn getUndone(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(Request.of(object).undone);
}

fn getCarried(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(Request.of(object).carried);
}

fn getBinaryRecords(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const self = Request.of(object);
    if (!self.isDone()) return py.boolean(false);
    return py.boolean(if (self.statement) |statement| copy_records.hasBinary(statement) else false);
}

fn getColumns(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const self = Request.of(object);
    if (!self.isDone()) return py.PyTuple_New(0);
    return if (self.statement) |statement| py.incref(statement.names) else py.PyTuple_New(0);
}

fn getRecords(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromUnsignedLongLong(Request.of(object).records);
}

fn getSuspended(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(Request.of(object).suspended);
}

fn getWaiter(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.hd_field_get(object, &Request.of(object).waiter) orelse py.none();
}

fn setWaiter(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const given = value orelse py.hd_none();
    const kept = if (given == py.hd_none()) null else py.incref(given);
    py.xdecref(py.hd_field_swap(object, &Request.of(object).waiter, kept));
    return 0;
}

fn getUnknown(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const self = Request.of(object);
    if (!self.claim()) return py.PyTuple_New(0); // under way: what it waits for is not known yet
    defer self.releaseClaim();
    const list = py.PyTuple_New(@intCast(self.unknown.items.len)) orelse return null;
    for (self.unknown.items, 0..) |oid, i| {
        const number = py.PyLong_FromUnsignedLongLong(oid) orelse {
            py.decref(list);
            return null;
        };
        py.hd_tuple_set(list, @intCast(i), number);
    }
    return list;
}

const methods = [_]py.MethodDef{
    .{
        .name = "result",
        .function = &result,
        .flags = py.METH_NOARGS,
        .doc = signature.ofMethod("result", &.{}, "What the statement gave, or raise what went wrong; once."),
    },
    .{},
};

const getters = [_]py.GetSetDef{
    .{ .name = "tag", .get = &getTag, .doc = "The last command tag." },
    .{ .name = "affected", .get = &getAffected, .doc = "Rows affected, summed over a batch." },
    .{ .name = "completed", .get = &getCompleted, .doc = "How many commands of a batch were answered." },
    .{ .name = "done", .get = &getDone, .doc = "Nothing more will come." },
    .{ .name = "stale", .get = &getStale, .doc = "The prepared plan was out of date; the same call can be made again." },
    .{ .name = "failed", .get = &getFailed, .doc = "`result` will raise." },
    .{ .name = "undone", .get = &getUndone, .doc = "Nothing of it has run or will: the same call can be made on another connection." },
    .{ .name = "carried", .get = &getCarried, .doc = "Commands that were owed went in front of it." },
    .{ .name = "columns", .get = &getColumns, .doc = "The names of the columns, once it is done." },
    .{ .name = "binary_records", .get = &getBinaryRecords, .doc = "Whether every column has a binary form in which feed_records can write it." },
    .{ .name = "records", .get = &getRecords, .doc = "How many records were written." },
    .{ .name = "suspended", .get = &getSuspended, .doc = "The portal has more rows than were asked for." },
    .{ .name = "waiter", .get = &getWaiter, .set = &setWaiter, .doc = "Anything; a request that has one is given by Connection.take_finished when it is done." },
    .{ .name = "unknown_oids", .get = &getUnknown, .doc = "Types that must be added to the TypeMap before it can go on." },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_doc, .function = "One statement on its way, from Connection.submit to result." },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_methods, .function = &methods },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.Request",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE | py.TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = &slots,
    };
    module.ModuleState.ofModule(object).request_type = try module.addType(object, "Request", &spec);
}
