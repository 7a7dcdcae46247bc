//! A Python object between a session and its socket: TLS, done by `_tls.TlsFilter` with OpenSSL.
const session_layer = @import("session");
const py = @import("py.zig");
const Object = py.Object;
const Session = session_layer.Session;
const Error = session_layer.Filter.Error;

/// Borrows `object`; the Connection holds it.
pub fn around(object: *Object) session_layer.Filter {
    return .{ .context = object, .read = &read, .write = &write, .flush = &flush };
}

fn of(context: *anyopaque) *Object {
    return @ptrCast(context);
}

fn call(object: *Object, name: [*:0]const u8, argument: ?*Object) Error!*Object {
    const method = py.PyObject_GetAttrString(object, name) orelse return error.FilterFailed;
    defer py.decref(method);
    const result = if (argument) |a| py.PyObject_CallOneArg(method, a) else py.PyObject_CallNoArgs(method);
    return result orelse error.FilterFailed;
}

fn read(context: *anyopaque, session: *Session) Error!session_layer.Fill {
    const result = try call(of(context), "read", null);
    defer py.decref(result);
    if (result == py.hd_none()) return .would_block;
    var bytes: [*]u8 = undefined;
    var size: isize = 0;
    if (py.PyBytes_AsStringAndSize(result, &bytes, &size) < 0) return error.FilterFailed;
    if (size == 0) return .end;
    try session.append(bytes[0..@intCast(size)]);
    return .received;
}

fn write(context: *anyopaque, bytes: []const u8) Error!void {
    const copy = py.PyBytes_FromStringAndSize(bytes.ptr, @intCast(bytes.len)) orelse return error.FilterFailed;
    defer py.decref(copy);
    py.decref(try call(of(context), "write", copy));
}

fn flush(context: *anyopaque) Error!bool {
    const result = try call(of(context), "flush", null);
    defer py.decref(result);
    return result == py.hd_true();
}
