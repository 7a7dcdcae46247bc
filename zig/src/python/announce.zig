//! What the backend says without being asked: notices, notifications, changes of run-time parameters.
//! PostgreSQL docs: protocol-flow, "Asynchronous Operations".
const protocol = @import("protocol");
const py = @import("py.zig");
const raise = @import("raise.zig");
const Link = @import("link.zig").Link;
const Object = py.Object;

/// Call `on_notice`, which any thread may change, with the fields of a NoticeResponse.
pub fn notice(link: *Link, body: []const u8) py.Error!void {
    const function = py.hd_field_get(link.object, &link.on_notice) orelse return;
    defer py.decref(function);
    const fields = raise.fieldsDict(body) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        else => return, // checked by the state machine
    };
    defer py.decref(fields);
    const answer = try py.checked(py.PyObject_CallOneArg(function, fields));
    py.decref(answer);
}

/// Call `on_notification` with channel, payload and process ID.
pub fn notification(link: *Link, message: protocol.NotificationResponse) py.Error!void {
    const function = py.hd_field_get(link.object, &link.on_notification) orelse return;
    defer py.decref(function);
    const channel = try text(message.channel);
    defer py.decref(channel);
    const payload = try text(message.payload);
    defer py.decref(payload);
    const pid = try py.checked(py.PyLong_FromLongLong(message.process_id));
    defer py.decref(pid);
    const arguments = [_]?*Object{ channel, payload, pid };
    const answer = try py.checked(py.PyObject_Vectorcall(function, &arguments, arguments.len, null));
    py.decref(answer);
}

/// Keep the value of a run-time parameter.
pub fn parameter(link: *Link, status: protocol.ParameterStatus) py.Error!void {
    const name = try text(status.name);
    defer py.decref(name);
    const value = try text(status.value);
    defer py.decref(value);
    try py.ok(py.PyDict_SetItem(link.parameters, name, value));
}

fn text(bytes: []const u8) py.Error!*Object {
    return py.checked(py.PyUnicode_DecodeUTF8(bytes.ptr, @intCast(bytes.len), "replace"));
}
