//! `QuickLoad`: the method `DataLoader.load`, which a Gate answers without a Python frame. It stands in the class in place of
//! the Python function that it is made of, and calls that for whatever the Gate leaves to it: another number of arguments, a
//! keyword, a loader without a Gate, anything unusual.
//!
//! The Gate is found in a slot of the loader, so that neither holds the other's method and no cycle is made.
//! Python docs: howto/descriptor, "Functions and methods"; c-api/call, "The Vectorcall Protocol".
const py = @import("py.zig");
const gate = @import("gate.zig");
const module = @import("module.zig");
const slots_file = @import("slots.zig");
const raise = @import("raise.zig");
const Object = py.Object;

/// Behind the head.
const Fields = extern struct {
    vectorcall: ?*const anyopaque,
    function: ?*Object,
    /// The class whose slot it is, and where its instances have it.
    owner: ?*Object,
    offset: isize,
};

fn fieldsOf(object: *Object) *Fields {
    return @ptrCast(@alignCast(py.hd_instance_fields(object)));
}

/// c-api/call: what stands in the topmost bit of a number of arguments.
const count_mask: usize = ~(@as(usize, 1) << (@bitSizeOf(usize) - 1));

fn call(self: *Object, arguments: [*]const ?*Object, count: usize, keywords: ?*Object) callconv(.c) ?*Object {
    const fields = fieldsOf(self);
    if (keywords == null and count & count_mask == 2) {
        const found = ask(self, fields, arguments[0].?, arguments[1].?) catch return null;
        if (found) |future| return future;
    }
    return py.PyObject_Vectorcall(fields.function.?, arguments, count, keywords);
}

/// Null: the function is to do it.
fn ask(self: *Object, fields: *Fields, loader: *Object, key: *Object) py.Error!?*Object {
    if (py.hd_is(loader, @ptrCast(fields.owner.?)) == 0) return null;
    const state = module.ModuleState.ofInstance(self);
    const held = py.hd_field_get(loader, slots_file.fieldAt(loader, fields.offset)) orelse return null;
    defer py.decref(held);
    if (@as(*Object, @ptrCast(py.hd_type(held))) != state.gate_type.?) return null;
    return gate.enqueue(state, held, key) catch |err| switch (err) {
        error.PythonError => error.PythonError,
        error.KeyFailed => {
            // A key that cannot be looked up: the function says so in its own words.
            if (py.PyErr_ExceptionMatches(py.PyExc_TypeError) == 0) return error.PythonError;
            py.PyErr_Clear();
            return null;
        },
    };
}

fn bind(self: *Object, instance: ?*Object, _: ?*Object) callconv(.c) ?*Object {
    const object = instance orelse return py.incref(self);
    return if (object == py.hd_none()) py.incref(self) else py.PyMethod_New(self, object);
}

/// What it has not itself, as its name and its signature, is that of the function.
fn getAttribute(self: *Object, name: *Object) callconv(.c) ?*Object {
    if (py.PyObject_GenericGetAttr(self, name)) |found| return found;
    if (py.PyErr_ExceptionMatches(py.PyExc_AttributeError) == 0) return null;
    py.PyErr_Clear();
    return py.PyObject_GetAttr(fieldsOf(self).function.?, name);
}

fn getDoc(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyObject_GetAttrString(fieldsOf(self).function.?, "__doc__");
}

fn getModule(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyObject_GetAttrString(fieldsOf(self).function.?, "__module__");
}

fn getWrapped(self: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(fieldsOf(self).function.?);
}

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    return create(class, arguments, keywords) catch null;
}

fn create(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) py.Error!*Object {
    const names = [_]?[*:0]const u8{ "", "", null };
    var function: *Object = undefined;
    var descriptor: *Object = undefined;
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "OO:QuickLoad", &names, &function, &descriptor) == 0) return error.PythonError;
    if (py.hd_slot_check(descriptor) == 0) return raise.typeError("the slot of the Gate is named by its member descriptor");
    const object = try py.checked(py.hd_alloc(class));
    fieldsOf(object).* = .{
        .vectorcall = &call,
        .function = py.incref(function),
        .owner = py.incref(@ptrCast(py.hd_slot_owner(descriptor))),
        .offset = py.hd_slot_offset(descriptor),
    };
    return object;
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    const fields = fieldsOf(object);
    py.xdecref(fields.function);
    py.xdecref(fields.owner);
    py.hd_free(object);
}

/// The class and the function hold it, and can be cleared themselves.
fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const fields = fieldsOf(object);
    for ([_]?*Object{ @ptrCast(py.hd_type(object)), fields.function, fields.owner }) |held| {
        const status = visit(held orelse continue, arg);
        if (status != 0) return status;
    }
    return 0;
}

const getters = [_]py.GetSetDef{
    .{ .name = "__doc__", .get = &getDoc },
    .{ .name = "__module__", .get = &getModule },
    .{ .name = "__wrapped__", .get = &getWrapped, .doc = "The Python function." },
    .{},
};

pub fn addToModule(self: *Object) py.Error!void {
    const members = [_]py.MemberDef{
        .{ .name = "__vectorcalloffset__", .type = py.T_PYSSIZET, .offset = py.hd_head_size, .flags = py.READONLY },
        .{},
    };
    const slots = [_]py.TypeSlot{
        .{ .slot = py.slot.tp_new, .function = &new },
        .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
        .{ .slot = py.slot.tp_traverse, .function = &traverse },
        .{ .slot = py.slot.tp_call, .function = &py.PyVectorcall_Call },
        .{ .slot = py.slot.tp_descr_get, .function = &bind },
        .{ .slot = py.slot.tp_getattro, .function = &getAttribute },
        .{ .slot = py.slot.tp_getset, .function = &getters },
        .{ .slot = py.slot.tp_members, .function = &members },
        .{ .slot = 0, .function = null },
    };
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.QuickLoad",
        .basicsize = py.hd_head_size + @as(c_int, @sizeOf(Fields)),
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE | py.TPFLAGS_HAVE_VECTORCALL | py.TPFLAGS_METHOD_DESCRIPTOR,
        .slots = &slots,
    };
    py.decref(try module.addType(self, "QuickLoad", &spec));
}
