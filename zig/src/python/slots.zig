//! `set_slot`, `fill`, `construct`, `group` and `column`: an instance's slots by their member descriptors. For the
//! ORM, which has these at hand, and for whom a value that it writes itself is no change of the user's. A descriptor's
//! own `__set__` is no substitute: the collector is not told by it.
const std = @import("std");
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Object = py.Object;

pub const table = [_]py.MethodDef{
    .{
        .name = "set_slot",
        .function = &setSlot,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("set_slot", &.{ "instance", "descriptor", "value" }, "Write one slot, without marking it as changed."),
    },
    .{
        .name = "fill",
        .function = &fill,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("fill", &.{ "instance", "descriptors", "values" }, "Write many slots, without marking them as changed."),
    },
    .{
        .name = "construct",
        .function = &construct,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("construct", &.{ "instance", "values", "setters", "defaults" }, "Fill a new instance; the name that there is no setter for, or None."),
    },
    .{
        .name = "column",
        .function = &column,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("column", &.{ "instances", "descriptor", "default" }, "What a slot of each instance holds, the default where it holds nothing."),
    },
    .{
        .name = "group",
        .function = &group,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("group", &.{ "instances", "descriptor" }, "The instances by the value of a slot, each list in their order."),
    },
    .{},
};

/// Where an instance of `class` keeps the slot. TypeError where it has no such slot.
pub fn offsetIn(class: *py.TypeObject, descriptor: *Object) py.Error!isize {
    if (py.hd_slot_check(descriptor) == 0) {
        _ = py.PyErr_Format(py.PyExc_TypeError, "a slot is named by its member descriptor, not by %.200s", py.hd_type_name(descriptor));
        return error.PythonError;
    }
    const owner = py.hd_slot_owner(descriptor);
    const offset = py.hd_slot_offset(descriptor);
    const is_inside = offset >= py.hd_instance_size and offset + @sizeOf(*Object) <= py.hd_type_size(class);
    if (py.PyType_IsSubtype(class, owner) == 0 or !is_inside) {
        _ = py.PyErr_Format(py.PyExc_TypeError, "%.200s has no slot %U of %.200s", py.hd_type_title(class), py.hd_slot_name(descriptor), py.hd_type_title(owner));
        return error.PythonError;
    }
    return offset;
}

pub fn fieldAt(object: *Object, offset: isize) *?*Object {
    return @ptrFromInt(@intFromPtr(object) + @as(usize, @intCast(offset)));
}

fn checkInstance(self: *Object, object: *Object) py.Error!void {
    const class: *py.TypeObject = @ptrCast(module.ModuleState.ofModule(self).instance_type.?);
    if (py.hd_is(object, class) != 0) return;
    _ = py.PyErr_Format(py.PyExc_TypeError, "an Instance is needed, not %.200s", py.hd_type_name(object));
    return error.PythonError;
}

fn write(object: *Object, descriptor: *Object, value: *Object) py.Error!void {
    const offset = try offsetIn(py.hd_type(object), descriptor);
    if (py.hd_is_gc(value) != 0) py.hd_track(object);
    py.xdecref(py.hd_field_swap(object, fieldAt(object, offset), py.incref(value)));
}

/// Reads one slot of many instances.
const Reader = struct {
    module: *Object,
    descriptor: *Object,
    /// The last class that was met: mostly there is but one. Held, so that no other can get its address.
    class: ?*Object = null,
    offset: isize = 0,

    /// A new reference, or null where the slot holds nothing.
    fn read(self: *Reader, object: *Object) py.Error!?*Object {
        const class: *Object = @ptrCast(py.hd_type(object));
        if (class != self.class) {
            try checkInstance(self.module, object);
            self.offset = try offsetIn(py.hd_type(object), self.descriptor);
            const former = self.class;
            self.class = py.incref(class);
            py.xdecref(former);
        }
        return py.hd_field_get(object, fieldAt(object, self.offset));
    }

    fn deinit(self: *Reader) void {
        py.xdecref(self.class);
    }
};

fn setSlot(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 3) return raise.asNull(raise.typeError("set_slot() takes an instance, a member descriptor and a value"));
    checkInstance(self, arguments[0]) catch return null;
    write(arguments[0], arguments[1], arguments[2]) catch return null;
    return py.none();
}

fn fill(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 3) return raise.asNull(raise.typeError("fill() takes an instance, member descriptors and values"));
    return fillChecked(self, arguments[0], arguments[1], arguments[2]) catch null;
}

fn fillChecked(self: *Object, object: *Object, descriptors: *Object, values: *Object) py.Error!*Object {
    try checkInstance(self, object);
    if (py.hd_tuple_check(descriptors) == 0) return raise.typeError("the member descriptors must be a tuple");
    // A list could become shorter while the values that they replace are deallocated.
    const frozen = if (py.hd_tuple_check(values) != 0)
        py.incref(values)
    else if (py.hd_list_check(values) != 0)
        try py.checked(py.PyList_AsTuple(values))
    else
        return raise.typeError("the values must be a tuple or a list");
    defer py.decref(frozen);
    const size = py.hd_tuple_size(descriptors);
    if (py.hd_tuple_size(frozen) != size) return raise.valueError("there must be one value for each member descriptor");
    var i: isize = 0;
    while (i < size) : (i += 1) try write(object, py.hd_tuple_get(descriptors, i), py.hd_tuple_get(frozen, i));
    return py.none();
}

/// `setters` has for each name a slot, or what is called with the instance and the value. `defaults` are tuples: a name,
/// another name or None, a slot, a value, and what makes one or None; for those whose names are not among the values.
fn construct(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 4) return raise.asNull(raise.typeError("construct() takes an instance, values, setters and defaults"));
    return constructChecked(self, arguments[0], arguments[1], arguments[2], arguments[3]) catch null;
}

fn constructChecked(self: *Object, object: *Object, values: *Object, setters: *Object, defaults: *Object) py.Error!*Object {
    try checkInstance(self, object);
    if (py.hd_dict_check(values) == 0 or py.hd_dict_check(setters) == 0) return raise.typeError("values and setters must be dicts");
    if (py.hd_tuple_check(defaults) == 0) return raise.typeError("the defaults must be a tuple");
    // A setter may run Python code, which may do anything to the values.
    const given = try py.checked(py.PyDict_Copy(values));
    defer py.decref(given);
    var place: isize = 0;
    var name: ?*Object = null;
    var value: ?*Object = null;
    while (py.PyDict_Next(given, &place, &name, &value) != 0) {
        const setter = py.PyDict_GetItemWithError(setters, name.?) orelse {
            if (py.PyErr_Occurred() != null) return error.PythonError;
            return py.incref(name.?);
        };
        if (py.hd_slot_check(setter) != 0) {
            try write(object, setter, value.?);
        } else {
            const held = py.incref(setter);
            defer py.decref(held);
            py.decref(try py.checked(py.PyObject_CallFunctionObjArgs(held, object, value.?, @as(?*Object, null))));
        }
    }
    var i: isize = 0;
    while (i < py.hd_tuple_size(defaults)) : (i += 1) try setDefault(object, given, py.hd_tuple_get(defaults, i));
    return py.none();
}

fn setDefault(object: *Object, given: *Object, default: *Object) py.Error!void {
    if (py.hd_tuple_check(default) == 0 or py.hd_tuple_size(default) != 5) return raise.typeError("a default is a tuple of five");
    for ([_]isize{ 0, 1 }) |i| {
        if (py.PyDict_GetItemWithError(given, py.hd_tuple_get(default, i)) != null) return;
        if (py.PyErr_Occurred() != null) return error.PythonError;
    }
    const factory = py.hd_tuple_get(default, 4);
    if (factory == py.hd_none()) return write(object, py.hd_tuple_get(default, 2), py.hd_tuple_get(default, 3));
    const made = try py.checked(py.PyObject_CallNoArgs(factory));
    defer py.decref(made);
    try write(object, py.hd_tuple_get(default, 2), made);
}

fn column(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 3) return raise.asNull(raise.typeError("column() takes a list of instances, a member descriptor and a default"));
    return columnChecked(self, arguments[0], arguments[1], arguments[2]) catch null;
}

fn columnChecked(self: *Object, instances: *Object, descriptor: *Object, default: *Object) py.Error!*Object {
    if (py.hd_list_check(instances) == 0) return raise.typeError("the instances must be a list");
    // To make the list can set off a collection, which runs what may shorten the other one.
    const found = try py.checked(py.PyList_New(0));
    errdefer py.decref(found);
    var reader: Reader = .{ .module = self, .descriptor = descriptor };
    defer reader.deinit();
    var i: isize = 0;
    while (i < py.PyList_Size(instances)) : (i += 1) {
        const object = try py.checked(py.hd_list_item(instances, i));
        defer py.decref(object);
        const value = try reader.read(object) orelse py.incref(default);
        defer py.decref(value);
        try py.ok(py.PyList_Append(found, value));
    }
    return found;
}

fn group(self: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 2) return raise.asNull(raise.typeError("group() takes a list of instances and a member descriptor"));
    return groupChecked(self, arguments[0], arguments[1]) catch null;
}

fn groupChecked(self: *Object, instances: *Object, descriptor: *Object) py.Error!*Object {
    if (py.hd_list_check(instances) == 0) return raise.typeError("the instances must be a list");
    const groups = try py.checked(py.PyDict_New());
    errdefer py.decref(groups);
    var reader: Reader = .{ .module = self, .descriptor = descriptor };
    defer reader.deinit();
    var i: isize = 0;
    // To hash and compare the values may run Python code, which may do anything to the list.
    while (i < py.PyList_Size(instances)) : (i += 1) {
        const object = try py.checked(py.hd_list_item(instances, i));
        defer py.decref(object);
        const key = try reader.read(object) orelse {
            _ = py.PyErr_Format(py.PyExc_ValueError, "%U of an instance of %.200s is not loaded", py.hd_slot_name(descriptor), py.hd_type_title(py.hd_type(object)));
            return error.PythonError;
        };
        defer py.decref(key);
        try put(groups, key, object);
    }
    return groups;
}

fn put(groups: *Object, key: *Object, object: *Object) py.Error!void {
    if (py.PyDict_GetItemWithError(groups, key)) |known| return py.ok(py.PyList_Append(known, object));
    if (py.PyErr_Occurred() != null) return error.PythonError;
    const fresh = try py.checked(py.PyList_New(0));
    defer py.decref(fresh);
    try py.ok(py.PyList_Append(fresh, object));
    try py.ok(py.PyDict_SetItem(groups, key, fresh));
}
