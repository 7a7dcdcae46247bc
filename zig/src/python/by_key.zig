//! `row_of_each` and `rows_of_each`: rows in the order of keys, as loaders give them back. For hyper-dataloader.
const py = @import("py.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Object = py.Object;

pub const table = [_]py.MethodDef{
    .{
        .name = "row_of_each",
        .function = &rowOfEach,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("row_of_each", &.{ "rows", "column", "keys", "fold", "several" }, "The row of each key, None where there is none, several() of the key where there are more."),
    },
    .{
        .name = "rows_of_each",
        .function = &rowsOfEach,
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("rows_of_each", &.{ "rows", "column", "keys", "fold" }, "A list of the rows of each key, in their order."),
    },
    .{},
};

fn rowOfEach(_: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 5) return raise.asNull(raise.typeError("row_of_each() takes rows, a column, keys, a function or None, and a function"));
    return sorted(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]) catch null;
}

fn rowsOfEach(_: *Object, arguments: [*]const *Object, count: isize) callconv(.c) ?*Object {
    if (count != 4) return raise.asNull(raise.typeError("rows_of_each() takes rows, a column, keys, and a function or None"));
    return sorted(arguments[0], arguments[1], arguments[2], arguments[3], null) catch null;
}

/// `several` makes what stands for a key of more than one row; null: each key has a list.
fn sorted(rows: *Object, column: *Object, keys: *Object, fold: *Object, several: ?*Object) py.Error!*Object {
    if (py.hd_list_check(rows) == 0 or py.hd_list_check(keys) == 0) return raise.typeError("rows and keys must be lists");
    const groups = try grouped(rows, column, fold);
    defer py.decref(groups);
    const found = try py.checked(py.PyList_New(0));
    errdefer py.decref(found);
    var i: isize = 0;
    // To hash, fold and compare may run Python code, which may do anything to the lists.
    while (i < py.PyList_Size(keys)) : (i += 1) {
        const key = try py.checked(py.hd_list_item(keys, i));
        defer py.decref(key);
        const one = try ofKey(groups, key, fold, several);
        defer py.decref(one);
        try py.ok(py.PyList_Append(found, one));
    }
    return found;
}

fn ofKey(groups: *Object, key: *Object, fold: *Object, several: ?*Object) py.Error!*Object {
    const folded = try apply(fold, key);
    defer py.decref(folded);
    const group: ?*Object = if (py.PyDict_GetItemWithError(groups, folded)) |borrowed| py.incref(borrowed) else null;
    defer py.xdecref(group);
    if (group == null and py.PyErr_Occurred() != null) return error.PythonError;
    const make = several orelse {
        if (group) |rows| return py.incref(rows);
        return py.checked(py.PyList_New(0));
    };
    const rows = group orelse return py.none();
    if (py.PyList_Size(rows) == 1) return py.checked(py.hd_list_item(rows, 0));
    return py.checked(py.PyObject_CallOneArg(make, key));
}

fn grouped(rows: *Object, column: *Object, fold: *Object) py.Error!*Object {
    const groups = try py.checked(py.PyDict_New());
    errdefer py.decref(groups);
    var i: isize = 0;
    while (i < py.PyList_Size(rows)) : (i += 1) {
        const row = try py.checked(py.hd_list_item(rows, i));
        defer py.decref(row);
        const value = try valueOf(row, column);
        defer py.decref(value);
        const key = try apply(fold, value);
        defer py.decref(key);
        if (py.PyDict_GetItemWithError(groups, key)) |borrowed| {
            const known = py.incref(borrowed);
            defer py.decref(known);
            try py.ok(py.PyList_Append(known, row));
        } else {
            if (py.PyErr_Occurred() != null) return error.PythonError;
            const fresh = try py.checked(py.PyList_New(0));
            defer py.decref(fresh);
            try py.ok(py.PyList_Append(fresh, row));
            try py.ok(py.PyDict_SetItem(groups, key, fresh));
        }
    }
    return groups;
}

/// A dict's item by name, a tuple's by number, anything else's attribute.
fn valueOf(row: *Object, column: *Object) py.Error!*Object {
    if (py.hd_dict_check(row) != 0) {
        if (py.PyDict_GetItemWithError(row, column)) |borrowed| return py.incref(borrowed);
        if (py.PyErr_Occurred() == null) py.PyErr_SetObject(py.PyExc_KeyError, column);
        return error.PythonError;
    }
    if (py.PyIndex_Check(column) != 0) return py.checked(py.PyObject_GetItem(row, column));
    return py.checked(py.PyObject_GetAttr(row, column));
}

fn apply(fold: *Object, value: *Object) py.Error!*Object {
    if (fold == py.hd_none()) return py.incref(value);
    return py.checked(py.PyObject_CallOneArg(fold, value));
}
