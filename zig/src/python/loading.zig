//! `enqueue`, `all_wait` and `answer`: what a loader does for most keys that it is asked for. The key's future is found, or a
//! new one put into the cache and the queue; when the batch leaves nobody is gone; when it is back all have a value.
//! hyper-dataloader calls them, and does by itself whatever is not usual.
//!
//! All that is for each load, so that its future costs more than what is around it.
//! Python docs: c-api/contextvars, "Context Variables Objects".
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Object = py.Object;

pub const table = [_]py.MethodDef{
    .{
        .name = "enqueue",
        .function = &enqueue,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("enqueue", &.{ "gate", "key" }, "The future of a key, which waits in the queue, or None where more is to be done."),
    },
    .{
        .name = "all_wait",
        .function = &allWait,
        .flags = py.METH_O,
        .doc = signature.ofFunction("all_wait", &.{"futures"}, "Whether none of the futures is done."),
    },
    .{
        .name = "answer",
        .function = &answer,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("answer", &.{ "futures", "values" }, "Give futures their values; how many, before one that is done or a value that is an exception."),
    },
    .{},
};

/// What a gate is made of, in this order.
const Gate = struct {
    loop: *Object,
    /// The thread that the loop runs in.
    thread: *Object,
    /// Whether the loop runs, as a function; None where the loop says the thread by itself.
    is_running: *Object,
    /// A ContextVar of the transactions that the running task is in: a tuple.
    running: *Object,
    cache: *Object,
    keys: *Object,
    futures: *Object,
    new_future: *Object,
    /// A list of one number: how many keys were found.
    hits: *Object,

    const size = @typeInfo(Gate).@"struct".field_names.len;

    fn of(object: *Object) py.Error!Gate {
        if (py.hd_tuple_check(object) == 0 or py.hd_tuple_size(object) != size) return raise.typeError("a gate is a tuple of nine");
        var gate: Gate = undefined;
        inline for (@typeInfo(Gate).@"struct".field_names, 0..) |name, i| @field(gate, name) = py.hd_tuple_get(object, i);
        if (py.hd_dict_check(gate.cache) == 0) return raise.typeError("a gate's cache must be a dict");
        const are_lists = py.hd_list_check(gate.keys) != 0 and py.hd_list_check(gate.futures) != 0 and py.hd_list_check(gate.hits) != 0;
        if (!are_lists) return raise.typeError("a gate's keys, futures and hits must be lists");
        return gate;
    }
};

/// Intern the names of the attributes that are asked for.
pub fn addToModule(self: *Object) py.Error!void {
    const state = module.ModuleState.ofModule(self);
    state.done_name = try py.checked(py.PyUnicode_InternFromString("done"));
    state.cancelled_name = try py.checked(py.PyUnicode_InternFromString("cancelled"));
    const keyword = try py.checked(py.PyTuple_New(1));
    state.loop_keyword = keyword;
    py.hd_tuple_set(keyword, 0, try py.checked(py.PyUnicode_InternFromString("loop")));
    state.set_result_name = try py.checked(py.PyUnicode_InternFromString("set_result"));
    state.thread_id_name = try py.checked(py.PyUnicode_InternFromString("_thread_id"));
    try py.ok(py.PyModule_AddFunctions(self, &table));
}

fn enqueue(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 2) return raise.asNull(raise.typeError("enqueue() takes a gate and a key"));
    const found = enqueueChecked(module.ModuleState.ofModule(self), arguments[0], arguments[1]) catch return null;
    return found orelse py.none();
}

fn enqueueChecked(state: *module.ModuleState, object: *Object, key: *Object) py.Error!?*Object {
    const gate = try Gate.of(object);
    if (!try isRunningHere(state, gate) or !try isOutside(gate)) return null;
    if (py.PyDict_GetItemWithError(gate.cache, key)) |borrowed| {
        const future = py.incref(borrowed);
        errdefer py.decref(future);
        if (!try says(future, state.done_name.?) or try says(future, state.cancelled_name.?)) {
            py.decref(future);
            return null;
        }
        try increment(gate.hits);
        return future;
    }
    if (py.PyErr_Occurred() != null) return error.PythonError;
    // The first key of a batch has the loop look at the queue.
    if (py.PyList_Size(gate.keys) == 0) return null;
    const future = try newFuture(state, gate);
    errdefer py.decref(future);
    // Into the queue first: what the cache has and the queue has not would never be answered.
    try py.ok(py.PyList_Append(gate.futures, future));
    try py.ok(py.PyList_Append(gate.keys, key));
    try py.ok(py.PyDict_SetItem(gate.cache, key, future));
    return future;
}

/// A class is called with the loop, as asyncio's own does; anything else without arguments.
fn newFuture(state: *module.ModuleState, gate: Gate) py.Error!*Object {
    if (py.hd_type_check(gate.new_future) == 0) return py.checked(py.PyObject_CallNoArgs(gate.new_future));
    const arguments = [_]?*Object{gate.loop};
    return py.checked(py.PyObject_Vectorcall(gate.new_future, &arguments, 0, state.loop_keyword));
}

/// The gate's loop runs, in this thread.
fn isRunningHere(state: *module.ModuleState, gate: Gate) py.Error!bool {
    if (gate.is_running != py.hd_none()) {
        if (!try isThisThread(gate.thread)) return false;
        return isTrue(try py.checked(py.PyObject_CallNoArgs(gate.is_running)));
    }
    const thread = try py.checked(py.PyObject_GetAttr(gate.loop, state.thread_id_name.?));
    defer py.decref(thread);
    return thread != py.hd_none() and try isThisThread(thread);
}

fn isThisThread(thread: *Object) py.Error!bool {
    const ident = py.PyLong_AsUnsignedLong(thread);
    if (ident == py.PyThread_get_thread_ident()) return true;
    if (py.PyErr_Occurred() != null) return error.PythonError;
    return false;
}

/// The running task is in no transaction.
fn isOutside(gate: Gate) py.Error!bool {
    var value: ?*Object = null;
    try py.ok(py.PyContextVar_Get(gate.running, null, &value));
    const transactions = value orelse return false;
    defer py.decref(transactions);
    return py.hd_tuple_check(transactions) != 0 and py.hd_tuple_size(transactions) == 0;
}

fn says(object: *Object, name: *Object) py.Error!bool {
    const arguments = [_]?*Object{object};
    return isTrue(try py.checked(py.PyObject_VectorcallMethod(name, &arguments, arguments.len, null)));
}

fn isTrue(object: *Object) py.Error!bool {
    defer py.decref(object);
    const truth = py.PyObject_IsTrue(object);
    if (truth < 0) return error.PythonError;
    return truth != 0;
}

fn increment(counter: *Object) py.Error!void {
    const former = try py.checked(py.hd_list_item(counter, 0));
    defer py.decref(former);
    const number = py.PyLong_AsLongLong(former);
    if (number == -1 and py.PyErr_Occurred() != null) return error.PythonError;
    // The list takes the reference, whatever happens.
    try py.ok(py.PyList_SetItem(counter, 0, try py.checked(py.PyLong_FromLongLong(number +% 1))));
}

fn allWait(self: *Object, futures: *Object) callconv(.c) ?*Object {
    const state = module.ModuleState.ofModule(self);
    if (py.hd_list_check(futures) == 0) return raise.asNull(raise.typeError("the futures must be a list"));
    var i: isize = 0;
    while (i < py.PyList_Size(futures)) : (i += 1) {
        const future = py.hd_list_item(futures, i) orelse return null;
        defer py.decref(future);
        const is_done = says(future, state.done_name.?) catch return null;
        if (is_done) return py.boolean(false);
    }
    return py.boolean(true);
}

fn answer(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 2 or py.hd_list_check(arguments[0]) == 0 or py.hd_list_check(arguments[1]) == 0) {
        return raise.asNull(raise.typeError("answer() takes a list of futures and a list of values"));
    }
    const given = answerAll(module.ModuleState.ofModule(self), arguments[0], arguments[1]) catch return null;
    return py.PyLong_FromLongLong(given);
}

fn answerAll(state: *module.ModuleState, futures: *Object, values: *Object) py.Error!isize {
    var i: isize = 0;
    // A future of a loop of its own kind may run Python code, which may do anything to the lists.
    while (i < py.PyList_Size(futures) and i < py.PyList_Size(values)) : (i += 1) {
        const value = try py.checked(py.hd_list_item(values, i));
        defer py.decref(value);
        if (py.hd_flags(value) & py.flag.base_exception != 0) break;
        const future = try py.checked(py.hd_list_item(futures, i));
        defer py.decref(future);
        if (try says(future, state.done_name.?)) break;
        const pair = [_]?*Object{ future, value };
        py.decref(try py.checked(py.PyObject_VectorcallMethod(state.set_result_name.?, &pair, pair.len, null)));
    }
    return i;
}
