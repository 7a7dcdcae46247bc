//! Raising the exceptions of `hyperdjango.database.errors`, which the SQLSTATE chooses, and ours.
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const Object = py.Object;

/// Set `errors.<class>(message)` as the current exception.
pub fn raise(class: [*:0]const u8, comptime format: []const u8, arguments: anytype) py.Error {
    var buffer: [1024]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buffer);
    // A message longer than the buffer is cut, it is for people.
    writer.print(format, arguments) catch {};
    const text = writer.buffered();
    const message = py.PyUnicode_DecodeUTF8(text.ptr, @intCast(text.len), "replace") orelse return error.PythonError;
    defer py.decref(message);
    return raiseObject(class, message);
}

/// As `raise`, for who goes on with the exception set.
pub fn set(class: [*:0]const u8, comptime format: []const u8, arguments: anytype) void {
    switch (raise(class, format, arguments)) {
        error.PythonError => {},
    }
}

/// For functions that return an object to CPython: null says that an exception is set.
pub fn asNull(_: py.Error) ?*Object {
    return null;
}

fn raiseObject(class: [*:0]const u8, message: *Object) py.Error {
    const errors = py.PyImport_ImportModule("hyperdjango.database.errors") orelse return error.PythonError;
    defer py.decref(errors);
    const exception = py.PyObject_GetAttrString(errors, class) orelse return error.PythonError;
    defer py.decref(exception);
    py.PyErr_SetObject(exception, message);
    return error.PythonError;
}

pub fn typeError(message: [*:0]const u8) py.Error {
    py.PyErr_SetString(py.PyExc_TypeError, message);
    return error.PythonError;
}

pub fn valueError(message: [*:0]const u8) py.Error {
    py.PyErr_SetString(py.PyExc_ValueError, message);
    return error.PythonError;
}

pub fn outOfMemory() py.Error {
    _ = py.PyErr_NoMemory();
    return error.PythonError;
}

/// The fields of an ErrorResponse or NoticeResponse as a dict of one-letter codes.
pub fn fieldsDict(body: []const u8) (py.Error || protocol.DecodeError)!*Object {
    const fields = try py.checked(py.PyDict_New());
    errdefer py.decref(fields);
    var iterator = protocol.ErrorResponse.iterate(body);
    while (try iterator.next()) |field| {
        const code = [1]u8{field.code};
        const key = try py.checked(py.PyUnicode_DecodeUTF8(&code, 1, "replace"));
        defer py.decref(key);
        const value = try py.checked(py.PyUnicode_DecodeUTF8(field.value.ptr, @intCast(field.value.len), "replace"));
        defer py.decref(value);
        try py.ok(py.PyDict_SetItem(fields, key, value));
    }
    return fields;
}

/// `errors.from_fields(fields, query, columns)`: an exception instance, not raised. `columns`: the names
/// of those that the error may be about, where the backend does not say so itself.
pub fn fromFields(fields: *Object, query: ?*Object, columns: ?*Object) py.Error!*Object {
    const errors = try py.checked(py.PyImport_ImportModule("hyperdjango.database.errors"));
    defer py.decref(errors);
    const factory = try py.checked(py.PyObject_GetAttrString(errors, "from_fields"));
    defer py.decref(factory);
    const arguments = [_]?*Object{ fields, query orelse py.hd_none(), columns };
    return py.checked(py.PyObject_Vectorcall(factory, &arguments, if (columns == null) 2 else 3, null));
}

/// Raise `instance` again.
pub fn again(instance: *Object) py.Error {
    py.PyErr_SetObject(@ptrCast(py.hd_type(instance)), instance);
    return error.PythonError;
}
