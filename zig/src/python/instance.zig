//! `Instance`: the base of all models. A row is an allocation and its values in the slots of a class made in Python;
//! beside these it knows where it came from, which attributes were set since, and what `annotate` added.
//!
//! Attributes are read as of any object with `__slots__`. Setting one writes down its name; what is written without
//! being set by the user (a row, the constructor's arguments) goes through `set_slot` and `fill` (`slots.zig`).
const std = @import("std");
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const Origin = @import("origin.zig").Origin;
const Object = py.Object;

/// Behind the head of each instance; pyshim.c has the same.
pub const Fields = extern struct {
    /// An Origin, in which this instance has a place; null: in no database yet.
    origin: ?*Object,
    /// A set of names, null for none.
    changed: ?*Object,
    /// A dict of values that are in no slot, null for none.
    extra: ?*Object,
    /// The place in the Origin.
    peer: usize,
};

pub fn fieldsOf(object: *Object) *Fields {
    return @ptrCast(@alignCast(py.hd_instance_fields(object)));
}

/// Give a new instance, which nobody else knows yet, its Origin.
pub fn originate(object: *Object, origin: *Object) error{OutOfMemory}!void {
    const must_track = try Origin.of(origin).add(object);
    fieldsOf(object).origin = py.incref(origin);
    if (must_track) py.hd_track(object);
}

fn new(class: *py.TypeObject, _: *Object, _: ?*Object) callconv(.c) ?*Object {
    return py.hd_alloc(class);
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    const fields = fieldsOf(object);
    if (fields.origin) |origin| {
        Origin.of(origin).remove(object);
        py.decref(origin);
    }
    py.xdecref(fields.changed);
    py.xdecref(fields.extra);
    py.hd_free(object);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const fields = fieldsOf(object);
    for ([_]?*Object{ @ptrCast(py.hd_type(object)), fields.origin, fields.changed, fields.extra }) |held| {
        const status = visit(held orelse continue, arg);
        if (status != 0) return status;
    }
    return 0;
}

/// The Origin stays: what it holds can be cleared itself.
fn clear(object: *Object) callconv(.c) c_int {
    const fields = fieldsOf(object);
    for ([_]*?*Object{ &fields.changed, &fields.extra }) |field| py.xdecref(py.hd_field_swap(object, field, null));
    return 0;
}

fn setAttribute(object: *Object, name: *Object, value: ?*Object) callconv(.c) c_int {
    if (py.PyObject_GenericSetAttr(object, name, value) < 0) {
        if (value != null and py.PyErr_ExceptionMatches(py.PyExc_AttributeError) != 0) explainRefusal(object, name);
        return -1;
    }
    py.hd_track(object); // what it holds now may lead back to it
    if (py.hd_is_private(name) != 0) return 0;
    noteChange(object, name, value != null) catch return -1;
    return 0;
}

/// The class knows its names, and says in `_refused(name, error)` which was meant: it returns the error to raise.
fn explainRefusal(object: *Object, name: *Object) void {
    const refusal = py.hd_take_exception() orelse return;
    const explained = explain(object, name, refusal) orelse {
        py.PyErr_Clear(); // whatever is wrong with the explanation, the refusal stands
        py.PyErr_SetObject(@ptrCast(py.hd_type(refusal)), refusal);
        return py.decref(refusal);
    };
    defer py.decref(explained);
    py.decref(refusal);
    py.PyErr_SetObject(@ptrCast(py.hd_type(explained)), explained);
}

fn explain(object: *Object, name: *Object, refusal: *Object) ?*Object {
    const method = py.PyObject_GetAttrString(object, "_refused") orelse return null;
    defer py.decref(method);
    return py.PyObject_CallFunctionObjArgs(method, name, refusal, @as(?*Object, null));
}

/// An attribute that was deleted has no value to be saved.
fn noteChange(object: *Object, name: *Object, is_set: bool) py.Error!void {
    const field = &fieldsOf(object).changed;
    if (py.hd_field_get(object, field)) |changed| {
        defer py.decref(changed);
        return py.ok(if (is_set) py.PySet_Add(changed, name) else py.PySet_Discard(changed, name));
    }
    if (!is_set) return;
    const fresh = try py.checked(py.PySet_New(null));
    defer py.decref(fresh);
    const changed = py.hd_field_default(object, field, fresh).?; // another thread's, perhaps
    defer py.decref(changed);
    try py.ok(py.PySet_Add(changed, name));
}

fn getOrigin(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.hd_field_get(object, &fieldsOf(object).origin) orelse py.none();
}

fn setOrigin(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const given = if (value == py.hd_none()) null else value;
    moveTo(object, given) catch return -1;
    return 0;
}

fn moveTo(object: *Object, target: ?*Object) py.Error!void {
    if (target) |origin| {
        const state: *module.ModuleState = @ptrCast(@alignCast(py.hd_state_of_class(py.hd_type(object)) orelse return error.PythonError));
        if (py.hd_is(origin, @ptrCast(state.origin_type.?)) == 0) return raise.typeError("_origin is an Origin or None");
    }
    var move: Move = .{ .object = object, .target = target };
    py.hd_locked(object, &Move.run, &move);
    py.xdecref(move.source);
    if (move.failed) return raise.outOfMemory();
    if (target != null) py.hd_track(object);
}

/// From one Origin to another, in one step for other threads.
const Move = struct {
    object: *Object,
    target: ?*Object,
    source: ?*Object = null,
    failed: bool = false,

    fn run(argument: ?*anyopaque) callconv(.c) void {
        const self: *Move = @ptrCast(@alignCast(argument.?));
        const fields = fieldsOf(self.object);
        if (fields.origin == self.target) return;
        self.source = fields.origin;
        if (self.source) |source| Origin.of(source).remove(self.object);
        fields.origin = null;
        const target = self.target orelse return;
        _ = Origin.of(target).add(self.object) catch {
            self.failed = true;
            return;
        };
        fields.origin = py.incref(target);
    }
};

/// Whoever has the set or the dict can put into it what leads back to the instance.
fn getHeld(object: *Object, field: *?*Object) ?*Object {
    const held = py.hd_field_get(object, field) orelse return py.none();
    py.hd_track(object);
    return held;
}

fn setHeld(object: *Object, field: *?*Object, value: ?*Object) c_int {
    const given = if (value == py.hd_none()) null else value;
    if (given != null) py.hd_track(object);
    py.xdecref(py.hd_field_swap(object, field, if (given) |held| py.incref(held) else null));
    return 0;
}

fn getChanged(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return getHeld(object, &fieldsOf(object).changed);
}

fn setChanged(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    if (value) |given| if (given != py.hd_none() and py.hd_set_check(given) == 0) {
        raise.typeError("_changed is a set or None") catch return -1;
    };
    return setHeld(object, &fieldsOf(object).changed, value);
}

fn getExtra(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return getHeld(object, &fieldsOf(object).extra);
}

fn setExtra(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    if (value) |given| if (given != py.hd_none() and py.hd_dict_check(given) == 0) {
        raise.typeError("_extra is a dict or None") catch return -1;
    };
    return setHeld(object, &fieldsOf(object).extra, value);
}

const getters = [_]py.GetSetDef{
    .{ .name = "_origin", .get = &getOrigin, .set = &setOrigin, .doc = "The Origin of the result it came with; None: it is in no database yet." },
    .{ .name = "_changed", .get = &getChanged, .set = &setChanged, .doc = "The names of the attributes that were set, or None." },
    .{ .name = "_extra", .get = &getExtra, .set = &setExtra, .doc = "Values that are in no slot, by name, or None." },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_setattro, .function = &setAttribute },
    .{ .slot = py.slot.tp_doc, .function = "Instance()\n--\n\nThe base of all models." },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.Instance",
        .basicsize = py.hd_instance_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_BASETYPE | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    module.ModuleState.ofModule(object).instance_type = try module.addType(object, "Instance", &spec);
}
