//! `Gate`: what a load has to know of its loader, and the usual load itself. The key's future is found, or a new one put into
//! the cache and the queue; whatever is not usual is left to hyper-dataloader, which makes a gate for each loop it serves.
//! Called by `quick_load.zig`.
//!
//! All that is for each load, so that its future costs more than what is around it.
//! Python docs: c-api/contextvars, "Context Variables Objects".
const std = @import("std");
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const load_future = @import("load_future.zig");
const Object = py.Object;

/// How the loop says that it runs in this thread.
const Says = enum(u8) {
    /// A function gives the running loop. Before Python 3.12 that is a system call.
    running_loop,
    /// Its `_thread_id` is that of the thread it runs in.
    thread_id,
    /// It has a function, and does not change its thread.
    is_running,
};

/// Behind the head of each gate.
const Fields = extern struct {
    loop: ?*Object,
    /// The function, where there is one.
    asked: ?*Object,
    /// A ContextVar of the transactions that the running task is in: a tuple.
    transactions: ?*Object,
    /// Makes a future of the loop; null for ours.
    new_future: ?*Object,
    /// A dict and two lists; null before `use`.
    cache: ?*Object,
    keys: ?*Object,
    futures: ?*Object,
    thread: c_ulong,
    /// How many keys were found.
    hits: u64,
    says: Says,
};

const held_fields = .{ "loop", "asked", "transactions", "new_future", "cache", "keys", "futures" };

fn fieldsOf(object: *Object) *Fields {
    return @ptrCast(@alignCast(py.hd_instance_fields(object)));
}

/// The future of a key, or null where more is to be done.
pub fn enqueue(state: *module.ModuleState, object: *Object, key: *Object) (py.Error || error{KeyFailed})!?*Object {
    const fields = fieldsOf(object);
    if (!try isRunningHere(state, fields) or !try isOutside(fields)) return null;
    var queue: Queue = .take(object, fields);
    defer queue.release();
    const cache = queue.cache orelse return null;
    if (py.PyDict_GetItemWithError(cache, key)) |borrowed| {
        const future = py.incref(borrowed);
        if (try isAnswered(state, future)) {
            _ = @atomicRmw(u64, &fields.hits, .Add, 1, .monotonic);
            return future;
        }
        py.decref(future);
        return null;
    }
    if (py.PyErr_Occurred() != null) return error.KeyFailed;
    // The first key of a batch has the loop look at the queue.
    if (py.PyList_Size(queue.keys.?) == 0) return null;
    const future = if (fields.new_future) |make|
        try py.checked(py.PyObject_CallNoArgs(make))
    else
        try load_future.make(@ptrCast(state.load_future_type.?), fields.loop.?);
    errdefer py.decref(future);
    // Into the queue first: what the cache has and the queue has not would never be answered.
    try py.ok(py.PyList_Append(queue.futures.?, future));
    try py.ok(py.PyList_Append(queue.keys.?, key));
    try py.ok(py.PyDict_SetItem(cache, key, future));
    return future;
}

/// What a key's `__hash__` and `__eq__` may replace while they run.
const Queue = struct {
    fields: *Fields,
    cache: ?*Object = null,
    keys: ?*Object = null,
    futures: ?*Object = null,

    fn take(object: *Object, fields: *Fields) Queue {
        var self: Queue = .{ .fields = fields };
        py.hd_locked(object, &run, &self);
        return self;
    }

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Queue = @ptrCast(@alignCast(argument.?));
        const cache = self.fields.cache orelse return;
        self.cache = py.incref(cache);
        self.keys = py.incref(self.fields.keys.?);
        self.futures = py.incref(self.fields.futures.?);
    }

    fn release(self: *Queue) void {
        for ([_]?*Object{ self.cache, self.keys, self.futures }) |held| py.xdecref(held);
    }
};

/// It is done and was not cancelled.
fn isAnswered(state: *module.ModuleState, future: *Object) py.Error!bool {
    if (@as(*Object, @ptrCast(py.hd_type(future))) == state.load_future_type.?) return load_future.fieldsOf(future).currentState() == .finished;
    errdefer py.decref(future);
    return try says(future, state.done_name.?) and !try says(future, state.cancelled_name.?);
}

pub fn says(object: *Object, name: *Object) py.Error!bool {
    const arguments = [_]?*Object{object};
    return isTrue(try py.checked(py.PyObject_VectorcallMethod(name, &arguments, arguments.len, null)));
}

fn isTrue(object: *Object) py.Error!bool {
    defer py.decref(object);
    const truth = py.PyObject_IsTrue(object);
    if (truth < 0) return error.PythonError;
    return truth != 0;
}

/// The gate's loop runs, in this thread.
fn isRunningHere(state: *module.ModuleState, fields: *Fields) py.Error!bool {
    const loop = fields.loop.?;
    switch (fields.says) {
        .running_loop => {
            const running = py.PyObject_CallNoArgs(fields.asked.?) orelse {
                // None runs here; `load` says so, too.
                if (py.PyErr_ExceptionMatches(py.PyExc_RuntimeError) == 0) return error.PythonError;
                py.PyErr_Clear();
                return false;
            };
            defer py.decref(running);
            return running == loop;
        },
        .thread_id => {
            const thread = try py.checked(py.PyObject_GetAttr(loop, state.thread_id_name.?));
            defer py.decref(thread);
            if (thread == py.hd_none()) return false;
            const ident = py.PyLong_AsUnsignedLong(thread);
            if (ident == py.PyThread_get_thread_ident()) return true;
            if (py.PyErr_Occurred() != null) return error.PythonError;
            return false;
        },
        .is_running => {
            if (fields.thread != py.PyThread_get_thread_ident()) return false;
            return isTrue(try py.checked(py.PyObject_CallNoArgs(fields.asked.?)));
        },
    }
}

/// The running task is in no transaction.
fn isOutside(fields: *Fields) py.Error!bool {
    var value: ?*Object = null;
    try py.ok(py.PyContextVar_Get(fields.transactions.?, null, &value));
    const transactions = value orelse return false;
    defer py.decref(transactions);
    return py.hd_tuple_check(transactions) != 0 and py.hd_tuple_size(transactions) == 0;
}

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    return create(class, arguments, keywords) catch null;
}

fn create(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) py.Error!*Object {
    const names = [_]?[*:0]const u8{ "", "", "new_future", null };
    var loop: *Object = undefined;
    var transactions: *Object = undefined;
    var new_future: *Object = py.hd_none();
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "OO!|O:Gate", &names, &loop, py.typeObject("PyContextVar_Type"), &transactions, &new_future) == 0) return error.PythonError;
    const object = try py.checked(py.hd_alloc(class));
    errdefer py.decref(object);
    const fields = fieldsOf(object);
    fields.loop = py.incref(loop);
    fields.transactions = py.incref(transactions);
    if (new_future != py.hd_none()) fields.new_future = py.incref(new_future);
    fields.thread = py.PyThread_get_thread_ident();
    try learn(fields, loop);
    return object;
}

/// Find out how the loop says that it runs.
fn learn(fields: *Fields, loop: *Object) py.Error!void {
    if (py.hd_py_hex >= 0x030C0000) {
        const asyncio = try py.checked(py.PyImport_ImportModule("asyncio"));
        defer py.decref(asyncio);
        fields.says = .running_loop;
        fields.asked = try py.checked(py.PyObject_GetAttrString(asyncio, "get_running_loop"));
        return;
    }
    fields.says = .thread_id;
    if (py.PyObject_GetAttrString(loop, "_thread_id")) |thread| {
        defer py.decref(thread);
        if (py.hd_flags(thread) & py.flag.long != 0) return;
    } else py.PyErr_Clear();
    fields.says = .is_running;
    fields.asked = try py.checked(py.PyObject_GetAttrString(loop, "is_running"));
}

fn use(object: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 3) return raise.asNull(raise.typeError("use() takes a cache, keys and futures"));
    const are_fit = py.hd_dict_check(arguments[0]) != 0 and py.hd_list_check(arguments[1]) != 0 and py.hd_list_check(arguments[2]) != 0;
    if (!are_fit) return raise.asNull(raise.typeError("use() takes a dict and two lists"));
    var change: Change = .{
        .fields = fieldsOf(object),
        .cache = py.incref(arguments[0]),
        .keys = py.incref(arguments[1]),
        .futures = py.incref(arguments[2]),
    };
    change.make(object);
    return py.none();
}

/// Another cache and queue, all three in one step for other threads.
const Change = struct {
    fields: *Fields,
    cache: ?*Object = null,
    keys: ?*Object = null,
    futures: ?*Object = null,

    fn make(self: *Change, object: *Object) void {
        py.hd_locked(object, &run, self);
        for ([_]?*Object{ self.cache, self.keys, self.futures }) |held| py.xdecref(held);
    }

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Change = @ptrCast(@alignCast(argument.?));
        std.mem.swap(?*Object, &self.cache, &self.fields.cache);
        std.mem.swap(?*Object, &self.keys, &self.fields.keys);
        std.mem.swap(?*Object, &self.futures, &self.fields.futures);
    }
};

fn getHits(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromUnsignedLongLong(@atomicLoad(u64, &fieldsOf(object).hits, .monotonic));
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    const fields = fieldsOf(object);
    inline for (held_fields) |name| py.xdecref(@field(fields, name));
    py.hd_free(object);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const fields = fieldsOf(object);
    const status = visit(@ptrCast(py.hd_type(object)), arg);
    if (status != 0) return status;
    inline for (held_fields) |name| {
        if (@field(fields, name)) |held| {
            const stop = visit(held, arg);
            if (stop != 0) return stop;
        }
    }
    return 0;
}

/// What the other fields hold can be cleared itself.
fn clear(object: *Object) callconv(.c) c_int {
    var change: Change = .{ .fields = fieldsOf(object) };
    change.make(object);
    return 0;
}

const table = [_]py.MethodDef{
    .{
        .name = "use",
        .function = &use,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofMethod("use", &.{ "cache", "keys", "futures" }, "Load from this cache and into this queue from now on."),
    },
    .{},
};

const getters = [_]py.GetSetDef{
    .{ .name = "hits", .get = &getHits, .doc = "How many keys were found in the cache." },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_doc, .function = "Gate(loop, transactions, /, new_future=None)\n--\n\nWhat the usual load of a loader knows of it." },
    .{ .slot = py.slot.tp_methods, .function = &table },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(self: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.Gate",
        .basicsize = py.hd_head_size + @as(c_int, @sizeOf(Fields)),
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    module.ModuleState.ofModule(self).gate_type = try module.addType(self, "Gate", &spec);
}
