//! `LoadFuture`: what `DataLoader.load` returns. A future as asyncio's own, and an instance of its class, but made in one
//! allocation without asking the loop anything, and answered by a write to its fields. Its methods are in
//! `load_future_methods.zig`, its iterator in `load_await.zig`.
//!
//! The fields of asyncio's class stay empty, but for who waits for it and what the user sets: each of its methods and
//! properties that reads them has its like here. Callbacks are taken out under a lock and scheduled without it.
//! Python docs: library/asyncio-future, "Future Object".
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const methods = @import("load_future_methods.zig");
const load_await = @import("load_await.zig");
const Object = py.Object;

pub const State = enum(u8) { pending, finished, cancelled };

/// Behind the fields of asyncio's class.
pub const Fields = extern struct {
    loop: ?*Object,
    /// The callback that was added first and its context; null for none. Most futures have one, if any.
    callback: ?*Object,
    context: ?*Object,
    /// A list of tuples of further callbacks and their contexts, null for none.
    callbacks: ?*Object,
    /// The result, or an exception. Once it is there it stays.
    outcome: ?*Object,
    /// That of the exception when it was set.
    traceback: ?*Object,
    cancel_message: ?*Object,
    state: State,
    is_exception: bool,
    /// It was handed to a task that is to wait for it.
    is_blocking: bool,
    /// It has an exception that nobody has asked for.
    is_unseen: bool,

    pub fn currentState(self: *Fields) State {
        return @atomicLoad(State, &self.state, .acquire);
    }
};

const held_fields = .{ "loop", "callback", "context", "callbacks", "outcome", "traceback", "cancel_message" };

/// Where the fields begin: the size of asyncio's class, one in a process.
var fields_offset: usize = 0;
/// asyncio's class is made as ours is, and visits the class of its instances itself. It is not before Python 3.12.
var base_visits_class = false;
var baseTraverse: *const fn (*Object, py.VisitProc, ?*anyopaque) callconv(.c) c_int = undefined;
var baseClear: *const fn (*Object) callconv(.c) c_int = undefined;

pub inline fn fieldsOf(object: *Object) *Fields {
    return @ptrFromInt(@intFromPtr(object) + fields_offset);
}

/// A future that waits; a new reference.
pub fn make(class: *py.TypeObject, loop: *Object) py.Error!*Object {
    const object = try py.checked(py.hd_alloc(class));
    fieldsOf(object).loop = py.incref(loop);
    return object;
}

/// How a future ends, and who wanted to know.
const Ending = struct {
    fields: *Fields,
    state: State,
    outcome: ?*Object = null,
    traceback: ?*Object = null,
    is_exception: bool = false,
    was_pending: bool = false,
    callback: ?*Object = null,
    context: ?*Object = null,
    callbacks: ?*Object = null,

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Ending = @ptrCast(@alignCast(argument.?));
        const fields = self.fields;
        if (fields.state != .pending) return;
        self.was_pending = true;
        if (self.state == .finished) {
            fields.outcome = self.outcome;
            fields.traceback = self.traceback;
            fields.is_exception = self.is_exception;
            fields.is_unseen = self.is_exception;
        } else fields.cancel_message = self.outcome;
        self.callback = fields.callback;
        self.context = fields.context;
        self.callbacks = fields.callbacks;
        fields.callback = null;
        fields.context = null;
        fields.callbacks = null;
        @atomicStore(State, &fields.state, self.state, .release);
    }
};

/// Give a result. False: it was done before.
pub fn finish(object: *Object, result: *Object) py.Error!bool {
    var ending: Ending = .{ .fields = fieldsOf(object), .state = .finished, .outcome = py.incref(result) };
    return end(object, &ending);
}

/// Give an exception, an instance. False: it was done before.
pub fn fail(object: *Object, exception: *Object) py.Error!bool {
    var ending: Ending = .{
        .fields = fieldsOf(object),
        .state = .finished,
        .outcome = py.incref(exception),
        .traceback = py.PyException_GetTraceback(exception),
        .is_exception = true,
    };
    errdefer fieldsOf(object).is_unseen = false;
    return end(object, &ending);
}

/// False: it was done before.
pub fn cancel(object: *Object, message: *Object) py.Error!bool {
    const fields = fieldsOf(object);
    fields.is_unseen = false;
    var ending: Ending = .{ .fields = fields, .state = .cancelled, .outcome = py.incref(message) };
    return end(object, &ending);
}

fn end(object: *Object, ending: *Ending) py.Error!bool {
    py.hd_locked(object, &Ending.run, ending);
    if (!ending.was_pending) {
        py.xdecref(ending.outcome);
        py.xdecref(ending.traceback);
        return false;
    }
    if (ending.callback != null or ending.callbacks != null) try schedule(object, ending);
    return true;
}

/// Where the loop refuses one, as when it is closed, the others are dropped with it.
fn schedule(object: *Object, ending: *Ending) py.Error!void {
    defer for ([_]?*Object{ ending.callback, ending.context, ending.callbacks }) |held| py.xdecref(held);
    if (ending.callback) |callback| try callSoon(object, callback, ending.context.?);
    const others = ending.callbacks orelse return;
    var i: isize = 0;
    while (i < py.PyList_Size(others)) : (i += 1) {
        const pair = try py.checked(py.hd_list_item(others, i));
        defer py.decref(pair);
        try callSoon(object, py.hd_tuple_get(pair, 0), py.hd_tuple_get(pair, 1));
    }
}

fn callSoon(object: *Object, callback: *Object, context: *Object) py.Error!void {
    const state = module.ModuleState.ofInstance(object);
    const arguments = [_]?*Object{ fieldsOf(object).loop, callback, object, context };
    py.decref(try py.checked(py.PyObject_VectorcallMethod(state.call_soon_name.?, &arguments, 3, state.context_keyword)));
}

/// What is added to the callbacks of a future that waits.
const Addition = struct {
    fields: *Fields,
    callback: *Object,
    context: *Object,
    is_done: bool = false,
    failed: bool = false,

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Addition = @ptrCast(@alignCast(argument.?));
        const fields = self.fields;
        if (fields.state != .pending) {
            self.is_done = true;
        } else if (fields.callback == null and fields.callbacks == null) {
            fields.callback = py.incref(self.callback);
            fields.context = py.incref(self.context);
        } else {
            self.append() catch {
                self.failed = true;
            };
        }
    }

    fn append(self: *Addition) py.Error!void {
        const pair = try py.checked(pairOf(self.callback, self.context));
        defer py.decref(pair);
        const callbacks = self.fields.callbacks orelse try py.checked(py.PyList_New(0));
        self.fields.callbacks = callbacks;
        try py.ok(py.PyList_Append(callbacks, pair));
    }
};

pub fn pairOf(callback: *Object, context: *Object) ?*Object {
    const pair = py.PyTuple_New(2) orelse return null;
    py.hd_tuple_set(pair, 0, py.incref(callback));
    py.hd_tuple_set(pair, 1, py.incref(context));
    return pair;
}

/// `context`: null for a copy of the present one.
pub fn addCallback(object: *Object, callback: *Object, context: ?*Object) py.Error!void {
    const own = if (context) |given| py.incref(given) else try py.checked(py.PyContext_CopyCurrent());
    defer py.decref(own);
    var addition: Addition = .{ .fields = fieldsOf(object), .callback = callback, .context = own };
    py.hd_locked(object, &Addition.run, &addition);
    if (addition.failed) return error.PythonError;
    if (addition.is_done) try callSoon(object, callback, own);
}

/// All callbacks of a future, in place of others.
const Exchange = struct {
    fields: *Fields,
    /// Leave one that is done without any.
    if_pending: bool = false,
    callback: ?*Object = null,
    context: ?*Object = null,
    callbacks: ?*Object = null,

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Exchange = @ptrCast(@alignCast(argument.?));
        if (self.if_pending and self.fields.state != .pending) return;
        const former = self.fields.*;
        self.fields.callback = self.callback;
        self.fields.context = self.context;
        self.fields.callbacks = self.callbacks;
        self.callback = former.callback;
        self.context = former.context;
        self.callbacks = former.callbacks;
    }

    fn deinit(self: *Exchange) void {
        for ([_]?*Object{ self.callback, self.context, self.callbacks }) |held| py.xdecref(held);
    }
};

/// A new list of tuples of callback and context, or null where there is none.
pub fn listCallbacks(object: *Object) py.Error!?*Object {
    var listing: Listing = .{ .fields = fieldsOf(object) };
    py.hd_locked(object, &Listing.run, &listing);
    if (listing.failed) return error.PythonError;
    return listing.found;
}

const Listing = struct {
    fields: *Fields,
    found: ?*Object = null,
    failed: bool = false,

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Listing = @ptrCast(@alignCast(argument.?));
        self.list() catch {
            self.failed = true;
        };
    }

    fn list(self: *Listing) py.Error!void {
        const fields = self.fields;
        if (fields.callback == null and fields.callbacks == null) return;
        const found = try py.checked(py.PyList_New(0));
        errdefer py.decref(found);
        if (fields.callback) |callback| {
            const pair = try py.checked(pairOf(callback, fields.context.?));
            defer py.decref(pair);
            try py.ok(py.PyList_Append(found, pair));
        }
        if (fields.callbacks) |others| {
            var i: isize = 0;
            while (i < py.PyList_Size(others)) : (i += 1) {
                const pair = try py.checked(py.hd_list_item(others, i));
                defer py.decref(pair);
                try py.ok(py.PyList_Append(found, pair));
            }
        }
        self.found = found;
    }
};

/// Drop all callbacks that are equal to one; how many. To compare may run Python code, which may add others: they stay
/// behind those that are kept.
pub fn removeCallback(object: *Object, callback: *Object) py.Error!isize {
    const listed = try listCallbacks(object) orelse return 0;
    defer py.decref(listed);
    const kept = try py.checked(py.PyList_New(0));
    errdefer py.decref(kept);
    const size = py.PyList_Size(listed);
    var i: isize = 0;
    while (i < size) : (i += 1) {
        const pair = try py.checked(py.hd_list_item(listed, i));
        defer py.decref(pair);
        const is_equal = py.PyObject_RichCompareBool(py.hd_tuple_get(pair, 0), callback, py.EQ);
        try py.ok(is_equal);
        if (is_equal == 0) try py.ok(py.PyList_Append(kept, pair));
    }
    const removed = size - py.PyList_Size(kept);
    if (removed == 0) {
        py.decref(kept);
        return 0;
    }
    if (try listCallbacks(object)) |now| {
        defer py.decref(now);
        i = size;
        while (i < py.PyList_Size(now)) : (i += 1) {
            const pair = try py.checked(py.hd_list_item(now, i));
            defer py.decref(pair);
            try py.ok(py.PyList_Append(kept, pair));
        }
    }
    const is_empty = py.PyList_Size(kept) == 0;
    if (is_empty) py.decref(kept);
    var exchange: Exchange = .{ .fields = fieldsOf(object), .if_pending = true, .callbacks = if (is_empty) null else kept };
    py.hd_locked(object, &Exchange.run, &exchange);
    exchange.deinit();
    return removed;
}

/// The result, a new reference, or the error it has.
pub fn outcomeOf(object: *Object) py.Error!*Object {
    const fields = fieldsOf(object);
    switch (fields.currentState()) {
        .finished => if (!fields.is_exception) return py.incref(fields.outcome.?),
        .pending => return invalidState(object, "Result is not set."),
        .cancelled => return raiseCancelled(object),
    }
    const exception = fields.outcome.?;
    fields.is_unseen = false;
    const traceback = py.hd_field_swap(object, &fields.traceback, null);
    defer py.xdecref(traceback);
    try py.ok(py.PyException_SetTraceback(exception, traceback orelse py.hd_none()));
    return raise.again(exception);
}

pub fn raiseCancelled(object: *Object) py.Error {
    const made = cancelledError(object) catch |err| return err;
    defer py.decref(made);
    return raise.again(made);
}

pub fn invalidState(object: *Object, message: [*:0]const u8) py.Error {
    py.PyErr_SetString(module.ModuleState.ofInstance(object).invalid_state_error.?, message);
    return error.PythonError;
}

/// A new one, with the message that it was cancelled with.
pub fn cancelledError(object: *Object) py.Error!*Object {
    const class = module.ModuleState.ofInstance(object).cancelled_error.?;
    const message = py.hd_field_get(object, &fieldsOf(object).cancel_message) orelse return py.checked(py.PyObject_CallNoArgs(class));
    defer py.decref(message);
    return py.checked(if (message == py.hd_none()) py.PyObject_CallNoArgs(class) else py.PyObject_CallOneArg(class, message));
}

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    const names = [_]?[*:0]const u8{ "loop", null };
    var loop: *Object = undefined;
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "$O:LoadFuture", &names, &loop) == 0) return null;
    return make(class, loop) catch null;
}

/// In place of that of asyncio's class, which would ask the loop.
fn init(_: *Object, _: *Object, _: ?*Object) callconv(.c) c_int {
    return 0;
}

fn dealloc(object: *Object) callconv(.c) void {
    const fields = fieldsOf(object);
    if (fields.is_unseen and py.PyObject_CallFinalizerFromDealloc(object) < 0) return; // it lives on
    py.PyObject_GC_UnTrack(object);
    py.PyObject_ClearWeakRefs(object);
    inline for (held_fields) |name| py.xdecref(@field(fields, name));
    _ = baseClear(object);
    py.hd_free(object);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const fields = fieldsOf(object);
    if (!base_visits_class) {
        const status = visit(@ptrCast(py.hd_type(object)), arg);
        if (status != 0) return status;
    }
    inline for (held_fields) |name| {
        if (@field(fields, name)) |held| {
            const status = visit(held, arg);
            if (status != 0) return status;
        }
    }
    return baseTraverse(object, visit, arg);
}

/// The loop stays: it can be cleared itself, and methods rely on it. So does the outcome of one that has a state.
fn clear(object: *Object) callconv(.c) c_int {
    var exchange: Exchange = .{ .fields = fieldsOf(object) };
    py.hd_locked(object, &Exchange.run, &exchange);
    exchange.deinit();
    const fields = fieldsOf(object);
    if (fields.outcome) |outcome| {
        fields.outcome = py.none();
        fields.is_exception = false;
        py.decref(outcome);
    }
    for ([_]*?*Object{ &fields.traceback, &fields.cancel_message }) |field| py.xdecref(py.hd_field_swap(object, field, null));
    return baseClear(object);
}

/// Tell the loop of an exception that nobody has asked for.
fn finalize(object: *Object) callconv(.c) void {
    const fields = fieldsOf(object);
    if (!fields.is_unseen) return;
    fields.is_unseen = false;
    var kind: ?*Object = null;
    var value: ?*Object = null;
    var traceback: ?*Object = null;
    py.PyErr_Fetch(&kind, &value, &traceback);
    tell(object, fields) catch py.PyErr_WriteUnraisable(object);
    py.PyErr_Restore(kind, value, traceback);
}

fn tell(object: *Object, fields: *Fields) py.Error!void {
    const told = try py.checked(py.PyDict_New());
    defer py.decref(told);
    const message = try py.checked(py.PyUnicode_FromString("LoadFuture exception was never retrieved"));
    defer py.decref(message);
    try py.ok(py.PyDict_SetItemString(told, "message", message));
    try py.ok(py.PyDict_SetItemString(told, "exception", fields.outcome.?));
    try py.ok(py.PyDict_SetItemString(told, "future", object));
    const handler = try py.checked(py.PyObject_GetAttrString(fields.loop.?, "call_exception_handler"));
    defer py.decref(handler);
    py.decref(try py.checked(py.PyObject_CallOneArg(handler, told)));
}

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_init, .function = &init },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_finalize, .function = &finalize },
    .{ .slot = py.slot.tp_repr, .function = &methods.repr },
    .{ .slot = py.slot.tp_iter, .function = &load_await.iterate },
    .{ .slot = py.slot.am_await, .function = &load_await.iterate },
    .{ .slot = py.slot.tp_doc, .function = "LoadFuture(*, loop)\n--\n\nThe future of a load: as asyncio's own, and quicker to make." },
    .{ .slot = py.slot.tp_methods, .function = &methods.table },
    .{ .slot = py.slot.tp_getset, .function = &methods.getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(self: *Object) py.Error!void {
    const state = module.ModuleState.ofModule(self);
    state.call_soon_name = try py.checked(py.PyUnicode_InternFromString("call_soon"));
    state.context_keyword = try py.checked(keyword("context"));
    const exceptions = try py.checked(py.PyImport_ImportModule("asyncio.exceptions"));
    defer py.decref(exceptions);
    state.cancelled_error = try py.checked(py.PyObject_GetAttrString(exceptions, "CancelledError"));
    state.invalid_state_error = try py.checked(py.PyObject_GetAttrString(exceptions, "InvalidStateError"));
    const native = try py.checked(py.PyImport_ImportModule("_asyncio"));
    defer py.decref(native);
    const base = try py.checked(py.PyObject_GetAttrString(native, "Future"));
    defer py.decref(base);
    const class: *py.TypeObject = @ptrCast(base);
    baseTraverse = @ptrCast(@alignCast(py.PyType_GetSlot(class, py.slot.tp_traverse).?));
    baseClear = @ptrCast(@alignCast(py.PyType_GetSlot(class, py.slot.tp_clear).?));
    base_visits_class = py.PyType_GetFlags(class) & py.flag.heap_type != 0;
    fields_offset = @intCast(py.hd_type_size(class));
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.LoadFuture",
        .basicsize = @intCast(fields_offset + @sizeOf(Fields)),
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    state.load_future_type = try py.checked(py.PyType_FromModuleAndSpec(self, &spec, base));
    try py.ok(py.PyModule_AddObjectRef(self, "LoadFuture", state.load_future_type.?));
    try load_await.addToModule(self);
}

/// A tuple of one name, for calls with a keyword.
pub fn keyword(name: [*:0]const u8) ?*Object {
    const names = py.PyTuple_New(1) orelse return null;
    py.hd_tuple_set(names, 0, py.PyUnicode_InternFromString(name) orelse {
        py.decref(names);
        return null;
    });
    return names;
}
