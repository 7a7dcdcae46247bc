//! `LoadFutureIterator`: what `await` makes of a `LoadFuture`. It hands the future to the task if that must wait, and then
//! ends with its result. Its one pointer (pyshim.c, hd_box) is the future, null once it has ended.
//! Python docs: reference/datamodel, "Awaitable Objects".
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const load_future = @import("load_future.zig");
const Object = py.Object;

/// Made by `await` and `iter`. One that has ended is used again where nobody else has it; without a GIL another thread could
/// take it meanwhile.
pub fn iterate(future: *Object) callconv(.c) ?*Object {
    const state = module.ModuleState.ofInstance(future);
    const object = takeSpare(state) orelse py.hd_alloc(@ptrCast(state.load_iterator_type.?)) orelse return null;
    fieldOf(object).* = py.incref(future);
    return object;
}

fn takeSpare(state: *module.ModuleState) ?*Object {
    if (py.hd_free_threaded != 0) return null;
    const spare = state.spare_iterator orelse return null;
    state.spare_iterator = null;
    if (py.hd_is_shared(spare) == 0) return spare;
    py.decref(spare);
    return null;
}

/// Keep one that has ended.
fn spareIt(object: *Object) void {
    if (py.hd_free_threaded != 0) return;
    const state = module.ModuleState.ofInstance(object);
    if (state.spare_iterator == null) state.spare_iterator = py.incref(object);
}

fn fieldOf(object: *Object) *?*Object {
    return @ptrCast(@alignCast(py.hd_instance_fields(object)));
}

/// What PyIter_Send says.
const Sent = enum(c_int) { failed = -1, returned = 0, yielded = 1 };

fn send(object: *Object, _: ?*Object, answer: *?*Object) callconv(.c) Sent {
    answer.* = null;
    const future = py.hd_field_get(object, fieldOf(object)) orelse return .failed;
    defer py.decref(future);
    const fields = load_future.fieldsOf(future);
    if (fields.currentState() == .pending) {
        if (fields.is_blocking) {
            py.PyErr_SetString(py.PyExc_RuntimeError, "await wasn't used with future");
            return .failed;
        }
        fields.is_blocking = true;
        answer.* = py.incref(future);
        return .yielded;
    }
    py.xdecref(py.hd_field_swap(object, fieldOf(object), null));
    spareIt(object);
    answer.* = load_future.outcomeOf(future) catch return .failed;
    return .returned;
}

fn next(object: *Object) callconv(.c) ?*Object {
    var answer: ?*Object = null;
    switch (send(object, null, &answer)) {
        .failed => return null,
        .yielded => return answer,
        .returned => {},
    }
    const result = answer.?;
    defer py.decref(result);
    py.hd_stop(result);
    return null;
}

fn sendMethod(object: *Object, _: *Object) callconv(.c) ?*Object {
    const answer = next(object);
    if (answer == null and py.PyErr_Occurred() == null) py.PyErr_SetObject(py.PyExc_StopIteration, py.hd_none());
    return answer;
}

fn close(object: *Object, _: ?*Object) callconv(.c) ?*Object {
    py.xdecref(py.hd_field_swap(object, fieldOf(object), null));
    return py.none();
}

fn throw(object: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count < 1 or count > 3) return raise.asNull(raise.typeError("throw() takes an exception, or its class, value and traceback"));
    const value = if (count > 1 and arguments[1] != py.hd_none()) arguments[1] else null;
    const traceback = if (count > 2 and arguments[2] != py.hd_none()) arguments[2] else null;
    throwChecked(arguments[0], value, traceback) catch return null;
    py.xdecref(py.hd_field_swap(object, fieldOf(object), null));
    return null;
}

fn throwChecked(given: *Object, value: ?*Object, traceback: ?*Object) py.Error!void {
    if (py.hd_exception_check(given) != 0) {
        if (value != null) return raise.typeError("instance exception may not have a separate value");
        py.PyErr_Restore(@ptrCast(py.incref(@ptrCast(py.hd_type(given)))), py.incref(given), if (traceback) |held| py.incref(held) else py.PyException_GetTraceback(given));
    } else if (py.hd_exception_class_check(given) != 0) {
        py.PyErr_Restore(py.incref(given), if (value) |held| py.incref(held) else null, if (traceback) |held| py.incref(held) else null);
    } else {
        _ = py.PyErr_Format(py.PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %.200s", py.hd_type_name(given));
        return error.PythonError;
    }
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    py.xdecref(fieldOf(object).*);
    py.hd_free(object);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    for ([_]?*Object{ @ptrCast(py.hd_type(object)), fieldOf(object).* }) |held| {
        const status = visit(held orelse continue, arg);
        if (status != 0) return status;
    }
    return 0;
}

fn clear(object: *Object) callconv(.c) c_int {
    py.xdecref(py.hd_field_swap(object, fieldOf(object), null));
    return 0;
}

fn itself(object: *Object) callconv(.c) ?*Object {
    return py.incref(object);
}

const table = [_]py.MethodDef{
    .{ .name = "send", .function = &sendMethod, .flags = py.METH_O, .doc = signature.ofMethod("send", &.{"value"}, "Go on; the value is of no account.") },
    .{ .name = "throw", .function = &throw, .flags = py.METH_FASTCALL, .doc = "throw($self, kind, value=None, traceback=None, /)\n--\n\nEnd with an exception." },
    .{ .name = "close", .function = &close, .flags = py.METH_NOARGS, .doc = signature.ofMethod("close", &.{}, "End.") },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_iter, .function = &itself },
    .{ .slot = py.slot.tp_iternext, .function = &next },
    .{ .slot = py.slot.am_send, .function = &send },
    .{ .slot = py.slot.tp_methods, .function = &table },
    .{ .slot = py.slot.tp_doc, .function = "Waits for a LoadFuture." },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(self: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.LoadFutureIterator",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE | py.TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = &slots,
    };
    module.ModuleState.ofModule(self).load_iterator_type = try module.addType(self, "LoadFutureIterator", &spec);
}
