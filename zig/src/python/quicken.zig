//! `quicken`: what the metaclass of models calls with each class that it has made.
//!
//! Before 3.12 a class with a `__getattr__` in Python reads every attribute several times slower, those that are
//! there, too: the interpreter asks the class for `__getattr__` and `__getattribute__` first. Asking only when there is
//! no such attribute means the same. Since 3.12 it reads slots of such classes as quickly as any.
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Object = py.Object;

pub const table = [_]py.MethodDef{
    .{
        .name = "quicken",
        .function = &quicken,
        .flags = py.METH_O,
        .doc = signature.ofFunction("quicken", &.{"cls"}, "Have a class of instances with a __getattr__ in Python read what is there as quickly as without."),
    },
    .{},
};

fn quicken(self: *Object, class: *Object) callconv(.c) ?*Object {
    const instance_type: *py.TypeObject = @ptrCast(module.ModuleState.ofModule(self).instance_type.?);
    if (py.hd_type_check(class) == 0 or py.PyType_IsSubtype(@ptrCast(class), instance_type) == 0 or class == @as(*Object, @ptrCast(instance_type))) {
        return raise.asNull(raise.typeError("quicken() takes a subclass of Instance"));
    }
    if (py.hd_py_hex >= 0x030C0000) return py.none();
    const is_slowed = isSlowed(class) catch return null;
    if (is_slowed) py.hd_type_read_by(@ptrCast(class), &read);
    return py.none();
}

/// It has a `__getattr__`, and the usual `__getattribute__`.
fn isSlowed(class: *Object) py.Error!bool {
    const object_type: *Object = @ptrCast(py.typeObject("PyBaseObject_Type"));
    const usual = try py.checked(py.PyObject_GetAttrString(object_type, "__getattribute__"));
    defer py.decref(usual);
    const own = try py.checked(py.PyObject_GetAttrString(class, "__getattribute__"));
    defer py.decref(own);
    if (own != usual) return false;
    const fallback = py.PyObject_GetAttrString(class, "__getattr__") orelse {
        if (py.PyErr_ExceptionMatches(py.PyExc_AttributeError) == 0) return error.PythonError;
        py.PyErr_Clear();
        return false;
    };
    py.decref(fallback);
    return true;
}

fn read(object: *Object, name: *Object) callconv(.c) ?*Object {
    if (py.hd_read_slot(object, name)) |found| return found;
    if (py.PyObject_GenericGetAttr(object, name)) |found| return found;
    if (py.PyErr_ExceptionMatches(py.PyExc_AttributeError) == 0) return null;
    py.PyErr_Clear();
    const fallback = py.PyObject_GetAttrString(@ptrCast(py.hd_type(object)), "__getattr__") orelse return null;
    defer py.decref(fallback);
    const arguments = [_]?*Object{ object, name };
    return py.PyObject_Vectorcall(fallback, &arguments, arguments.len, null);
}
