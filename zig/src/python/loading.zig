//! `all_wait` and `answer`: what a loader does for most batches. When one leaves nobody is gone; when it is back all have a
//! value. hyper-dataloader calls them, and does by itself whatever is not usual. Loads themselves: `gate.zig`.
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const load_future = @import("load_future.zig");
const says = @import("gate.zig").says;
const Object = py.Object;

pub const table = [_]py.MethodDef{
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

/// Intern the names of the attributes that are asked for.
pub fn addToModule(self: *Object) py.Error!void {
    const state = module.ModuleState.ofModule(self);
    state.done_name = try py.checked(py.PyUnicode_InternFromString("done"));
    state.cancelled_name = try py.checked(py.PyUnicode_InternFromString("cancelled"));
    state.set_result_name = try py.checked(py.PyUnicode_InternFromString("set_result"));
    state.thread_id_name = try py.checked(py.PyUnicode_InternFromString("_thread_id"));
    try py.ok(py.PyModule_AddFunctions(self, &table));
}

/// One of ours, which is asked without a call.
fn isOurs(state: *module.ModuleState, future: *Object) bool {
    return @as(*Object, @ptrCast(py.hd_type(future))) == state.load_future_type.?;
}

fn isDone(state: *module.ModuleState, future: *Object) py.Error!bool {
    if (isOurs(state, future)) return load_future.fieldsOf(future).currentState() != .pending;
    return says(future, state.done_name.?);
}

fn allWait(self: *Object, futures: *Object) callconv(.c) ?*Object {
    const state = module.ModuleState.ofModule(self);
    if (py.hd_list_check(futures) == 0) return raise.asNull(raise.typeError("the futures must be a list"));
    var i: isize = 0;
    while (i < py.PyList_Size(futures)) : (i += 1) {
        const future = py.hd_list_item(futures, i) orelse return null;
        defer py.decref(future);
        const is_done = isDone(state, future) catch return null;
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
        if (isOurs(state, future)) {
            if (!try load_future.finish(future, value)) break;
            continue;
        }
        if (try says(future, state.done_name.?)) break;
        const pair = [_]?*Object{ future, value };
        py.decref(try py.checked(py.PyObject_VectorcallMethod(state.set_result_name.?, &pair, pair.len, null)));
    }
    return i;
}
