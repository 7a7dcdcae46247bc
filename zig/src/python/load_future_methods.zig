//! The methods and properties of `LoadFuture`: those of asyncio's Future, with its errors. For `load_future.zig`.
//! Python docs: library/asyncio-future, "Future Object".
const py = @import("py.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const load_future = @import("load_future.zig");
const fieldsOf = load_future.fieldsOf;
const Object = py.Object;

pub const table = [_]py.MethodDef{
    method("done", &done, py.METH_NOARGS, &.{}, "Whether it has a result or an exception, or was cancelled."),
    method("cancelled", &cancelled, py.METH_NOARGS, &.{}, "Whether it was cancelled."),
    method("result", &result, py.METH_NOARGS, &.{}, "The result; its exception is raised."),
    method("exception", &exception, py.METH_NOARGS, &.{}, "The exception that it has, or None."),
    method("get_loop", &getLoop, py.METH_NOARGS, &.{}, "The event loop that it is of."),
    method("set_result", &setResult, py.METH_O, &.{"result"}, "Give it a result, and have its callbacks called."),
    method("set_exception", &setException, py.METH_O, &.{"exception"}, "Give it an exception, and have its callbacks called."),
    method("remove_done_callback", &removeDoneCallback, py.METH_O, &.{"fn"}, "Have a callback not called; how many it was."),
    method("_make_cancelled_error", &makeCancelledError, py.METH_NOARGS, &.{}, "The error that waiting for it raises, once it was cancelled."),
    .{
        .name = "cancel",
        .function = &cancel,
        .flags = py.METH_FASTCALL | py.METH_KEYWORDS,
        .doc = "cancel($self, /, msg=None)\n--\n\nCancel it, and have its callbacks called; False where it is done.",
    },
    .{
        .name = "add_done_callback",
        .function = &addDoneCallback,
        .flags = py.METH_FASTCALL | py.METH_KEYWORDS,
        .doc = "add_done_callback($self, fn, /, *, context=None)\n--\n\nHave something called with it when it is done, or soon where it is already.",
    },
    .{},
};

fn method(comptime name: [:0]const u8, function: *const anyopaque, flags: c_int, comptime parameters: []const []const u8, comptime sentence: []const u8) py.MethodDef {
    return .{ .name = name, .function = function, .flags = flags, .doc = signature.ofMethod(name, parameters, sentence) };
}

fn done(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    return py.boolean(fieldsOf(self).currentState() != .pending);
}

fn cancelled(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    return py.boolean(fieldsOf(self).currentState() == .cancelled);
}

fn result(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    return load_future.outcomeOf(self) catch null;
}

fn exception(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    const fields = fieldsOf(self);
    switch (fields.currentState()) {
        .pending => return raise.asNull(load_future.invalidState(self, "Exception is not set.")),
        .cancelled => return raise.asNull(load_future.raiseCancelled(self)),
        .finished => {},
    }
    fields.is_unseen = false;
    return py.incref(if (fields.is_exception) fields.outcome.? else py.hd_none());
}

fn getLoop(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    return py.incref(fieldsOf(self).loop.?);
}

fn setResult(self: *Object, value: *Object) callconv(.c) ?*Object {
    const was_pending = load_future.finish(self, value) catch return null;
    return if (was_pending) py.none() else raise.asNull(load_future.invalidState(self, "invalid state"));
}

fn setException(self: *Object, given: *Object) callconv(.c) ?*Object {
    return setExceptionChecked(self, given) catch null;
}

fn setExceptionChecked(self: *Object, given: *Object) py.Error!*Object {
    if (fieldsOf(self).currentState() != .pending) return load_future.invalidState(self, "invalid state");
    // A class that is none of exceptions gives no exception either.
    const is_class = py.hd_exception_class_check(given) != 0;
    const made = if (is_class) try py.checked(py.PyObject_CallNoArgs(given)) else py.incref(given);
    defer py.decref(made);
    if (py.hd_exception_check(made) == 0) return raise.typeError("invalid exception object");
    const fit = if (isStopIteration(made)) try inPlaceOf(made) else py.incref(made);
    defer py.decref(fit);
    if (!try load_future.fail(self, fit)) return load_future.invalidState(self, "invalid state");
    return py.none();
}

const refusal = "StopIteration interacts badly with generators and cannot be raised into a Future";

fn isStopIteration(given: *Object) bool {
    if (py.hd_py_hex >= 0x030C0000) return py.PyErr_GivenExceptionMatches(given, py.PyExc_StopIteration) != 0;
    return @as(*Object, @ptrCast(py.hd_type(given))) == py.PyExc_StopIteration;
}

/// Since Python 3.12 a RuntimeError stands for it.
fn inPlaceOf(stop: *Object) py.Error!*Object {
    if (py.hd_py_hex < 0x030C0000) return raise.typeError(refusal);
    const message = try py.checked(py.PyUnicode_FromString(refusal));
    defer py.decref(message);
    const made = try py.checked(py.PyObject_CallOneArg(py.PyExc_RuntimeError, message));
    py.PyException_SetCause(made, py.incref(stop));
    py.PyException_SetContext(made, py.incref(stop));
    return made;
}

fn removeDoneCallback(self: *Object, callback: *Object) callconv(.c) ?*Object {
    return py.PyLong_FromLongLong(load_future.removeCallback(self, callback) catch return null);
}

fn makeCancelledError(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    return load_future.cancelledError(self) catch null;
}

fn cancel(self: *Object, arguments: [*]const *Object, count: isize, keywords: ?*Object) callconv(.c) ?*Object {
    const named: isize = if (keywords) |names| py.hd_tuple_size(names) else 0;
    if (count + named > 1) return raise.asNull(raise.typeError("cancel() takes at most 1 argument"));
    if (named == 1 and !isNamed(keywords.?, "msg")) return raise.asNull(raise.typeError("cancel() takes no other keyword than msg"));
    const message = if (count + named == 1) arguments[0] else py.hd_none();
    return py.boolean(load_future.cancel(self, message) catch return null);
}

fn addDoneCallback(self: *Object, arguments: [*]const *Object, count: isize, keywords: ?*Object) callconv(.c) ?*Object {
    const named: isize = if (keywords) |names| py.hd_tuple_size(names) else 0;
    if (count != 1) return raise.asNull(raise.typeError("add_done_callback() takes exactly 1 positional argument"));
    if (named > 1 or (named == 1 and !isNamed(keywords.?, "context"))) return raise.asNull(raise.typeError("add_done_callback() takes no other keyword than context"));
    const given = if (named == 1) arguments[1] else py.hd_none();
    load_future.addCallback(self, arguments[0], if (given == py.hd_none()) null else given) catch return null;
    return py.none();
}

fn isNamed(names: *Object, name: [*:0]const u8) bool {
    return py.PyUnicode_CompareWithASCIIString(py.hd_tuple_get(names, 0), name) == 0;
}

pub fn repr(self: *Object) callconv(.c) ?*Object {
    return reprChecked(self) catch null;
}

/// asyncio's own way of showing a future, which reads its properties.
fn reprChecked(self: *Object) py.Error!*Object {
    const shown = try py.checked(py.PyImport_ImportModule("asyncio.base_futures"));
    defer py.decref(shown);
    const function = try py.checked(py.PyObject_GetAttrString(shown, "_future_repr"));
    defer py.decref(function);
    return py.checked(py.PyObject_CallOneArg(function, self));
}

pub const getters = [_]py.GetSetDef{
    .{ .name = "_asyncio_future_blocking", .get = &getBlocking, .set = &setBlocking, .doc = "It was handed to a task that is to wait for it." },
    .{ .name = "_callbacks", .get = &getCallbacks, .doc = "Callbacks and their contexts, or None." },
    .{ .name = "_cancel_message", .get = &getCancelMessage, .set = &setCancelMessage, .doc = "What it was cancelled with." },
    .{ .name = "_exception", .get = &getException, .doc = "The exception that it has, or None." },
    .{ .name = "_log_traceback", .get = &getUnseen, .set = &setUnseen, .doc = "It has an exception that nobody has asked for." },
    .{ .name = "_loop", .get = &getLoopProperty, .doc = "The event loop that it is of." },
    .{ .name = "_result", .get = &getResult, .doc = "The result, or None." },
    .{ .name = "_source_traceback", .get = &getSourceTraceback, .doc = "None: in debug mode futures are asyncio's own." },
    .{ .name = "_state", .get = &getState, .doc = "PENDING, FINISHED or CANCELLED." },
    .{},
};

fn getBlocking(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(fieldsOf(self).is_blocking);
}

fn setBlocking(self: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const truth = py.PyObject_IsTrue(written(value) catch return -1);
    if (truth < 0) return -1;
    fieldsOf(self).is_blocking = truth != 0;
    return 0;
}

fn getCallbacks(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const found = load_future.listCallbacks(self) catch return null;
    return found orelse py.none();
}

fn getCancelMessage(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.hd_field_get(self, &fieldsOf(self).cancel_message) orelse py.none();
}

fn setCancelMessage(self: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const message = written(value) catch return -1;
    py.xdecref(py.hd_field_swap(self, &fieldsOf(self).cancel_message, py.incref(message)));
    return 0;
}

fn getException(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return outcomeWhere(self, true);
}

fn getResult(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return outcomeWhere(self, false);
}

fn outcomeWhere(self: *Object, is_exception: bool) ?*Object {
    const fields = fieldsOf(self);
    const is_there = fields.currentState() == .finished and fields.is_exception == is_exception;
    return py.incref(if (is_there) fields.outcome.? else py.hd_none());
}

fn getUnseen(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(fieldsOf(self).is_unseen);
}

fn setUnseen(self: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const truth = py.PyObject_IsTrue(written(value) catch return -1);
    if (truth < 0) return -1;
    if (truth != 0) {
        raise.valueError("_log_traceback can only be set to False") catch return -1;
    }
    fieldsOf(self).is_unseen = false;
    return 0;
}

fn getLoopProperty(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(fieldsOf(self).loop.?);
}

fn getSourceTraceback(_: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.none();
}

fn getState(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyUnicode_InternFromString(switch (fieldsOf(self).currentState()) {
        .pending => "PENDING",
        .finished => "FINISHED",
        .cancelled => "CANCELLED",
    });
}

/// None of the properties can be deleted.
fn written(value: ?*Object) py.Error!*Object {
    return value orelse {
        py.PyErr_SetString(py.PyExc_AttributeError, "cannot delete attribute");
        return error.PythonError;
    };
}
