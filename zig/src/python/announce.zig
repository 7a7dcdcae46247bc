//! What the backend says without being asked: notices, notifications, changes of run-time parameters.
//! PostgreSQL docs: protocol-flow, "Asynchronous Operations".
const net = @import("net");
const protocol = @import("protocol");
const py = @import("py.zig");
const ending = @import("ending.zig");
const raise = @import("raise.zig");
const link_file = @import("link.zig");
const Link = link_file.Link;
const Object = py.Object;

/// Take in what has come on an idle connection, `count_max` messages at most, and no longer than a slice: each
/// notification is handed to `take` as a tuple of channel, payload and process ID. False when the socket has
/// nothing more now, true when there may be more. What has ended the connection is raised, behind all that came
/// before it.
pub fn hear(link: *Link, take: *Object, count_max: usize) py.Error!bool {
    if (link.closed) return raise.raise("ConnectionLost", "the connection is closed", .{});
    if (link.queue.len > 0) return raise.raise("InterfaceError", "a statement is under way on this connection", .{});
    const slice_end = net.now() + link_file.slice_ns;
    var left = count_max;
    while (true) {
        while (left > 0) : (left -= 1) {
            const event = link.session.next() catch {
                link.closed = true;
                ending.raiseViolation(link);
                return error.PythonError;
            } orelse break;
            switch (event) {
                .notice => |body| try notice(link, body),
                .notification => |message| try hand(take, message),
                .parameter_status => |status| try parameter(link, status),
                .error_response => |body| return lastWords(link, body),
                else => {
                    link.closed = true;
                    return raise.raise("ProtocolError", "{t} came where nothing was asked", .{event});
                },
            }
        } else return true;
        switch (link.session.fill() catch |err| return ending.idleFailed(link, err)) {
            .received => if (net.now() > slice_end) return true,
            .would_block => return false,
            .end => {
                link.closed = true;
                return raise.raise("ConnectionLost", "the server closed the connection unexpectedly", .{});
            },
        }
    }
}

/// An ErrorResponse to nothing: the backend ends the session and says why.
fn lastWords(link: *Link, body: []const u8) py.Error {
    link.closed = true;
    const fields = raise.fieldsDict(body) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        else => return raise.raise("ProtocolError", "ErrorResponse is malformed", .{}),
    };
    defer py.decref(fields);
    const instance = try raise.fromFields(fields, null, null);
    defer py.decref(instance);
    return raise.again(instance);
}

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
    const parts = try partsOf(message);
    defer for (parts) |part| py.decref(part);
    const arguments = [_]?*Object{ parts[0], parts[1], parts[2] };
    const answer = try py.checked(py.PyObject_Vectorcall(function, &arguments, arguments.len, null));
    py.decref(answer);
}

fn hand(take: *Object, message: protocol.NotificationResponse) py.Error!void {
    const tuple = py.PyTuple_New(3) orelse return error.PythonError;
    defer py.decref(tuple);
    for (try partsOf(message), 0..) |part, index| py.hd_tuple_set(tuple, @intCast(index), part);
    const answer = try py.checked(py.PyObject_CallOneArg(take, tuple));
    py.decref(answer);
}

fn partsOf(message: protocol.NotificationResponse) py.Error![3]*Object {
    const channel = try text(message.channel);
    errdefer py.decref(channel);
    const payload = try text(message.payload);
    errdefer py.decref(payload);
    return .{ channel, payload, try py.checked(py.PyLong_FromLongLong(message.process_id)) };
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
