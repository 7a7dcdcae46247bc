//! Portals that are read in pieces: what `stream` is made of. A portal has a name of its own and lives as long
//! as its transaction; each piece is a request like any other, so others may use the connection in between.
//! PostgreSQL docs: protocol-flow, "Extended Query".
const std = @import("std");
const net = @import("net");
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const request_file = @import("request.zig");
const sink = @import("sink.zig");
const submit = @import("submit.zig");
const calls = @import("connection_requests.zig");
const Link = @import("link.zig").Link;
const Request = request_file.Request;
const Object = py.Object;

/// open_portal(sql, arguments, shape, target | None, row_limit) -> Request: the first rows; with
/// `Request.suspended` there are more, which `fetch` gets.
pub fn open(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try calls.checkUsable(self);
    const sql, const values, const shape, const target, const limit_object = arguments[0..5].*;
    const limit = try limitOf(limit_object);
    if (py.hd_tuple_check(values) == 0) return raise.typeError("the values must be a tuple");
    const made = try calls.makeRequest(object, sql, values, shape, target, py.hd_false(), py.hd_none());
    errdefer py.decref(made);
    const request = Request.of(made);
    self.portals += 1;
    request.portal = self.portals;
    request.row_limit = limit;
    self.progress = .waiting;
    try submit.begin(self, request);
    self.tail_open = false;
    return calls.started(self, made);
}

fn limitOf(object: *Object) py.Error!u31 {
    const limit = py.PyLong_AsLongLong(object);
    if (limit < 1 or limit > std.math.maxInt(i32)) {
        if (py.PyErr_Occurred() != null) return error.PythonError;
        return raise.valueError("row_limit must be from 1 to 2147483647");
    }
    return @intCast(limit);
}

/// fetch(request) -> Request: as many more rows of the portal that a request has opened or read from.
pub fn fetch(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const made = try again(object, self, arguments[0], true);
    errdefer py.decref(made);
    try submit.fetch(self, Request.of(made));
    return calls.started(self, made);
}

/// close_portal(request) -> Request: no more rows of it are wanted.
pub fn close(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const made = try again(object, self, arguments[0], false);
    errdefer py.decref(made);
    try submit.closePortal(self, Request.of(made));
    return calls.started(self, made);
}

/// A request about the portal of an earlier one.
fn again(object: *Object, self: *Link, former: *Object, with_rows: bool) py.Error!*Object {
    try calls.checkUsable(self);
    const source = try calls.requestOf(object, former, "this takes the Request that has opened the portal");
    if (!source.isDone() or source.portal == 0) return raise.raise("InterfaceError", "the request has opened no portal", .{});
    const statement = source.statement orelse return raise.raise("InterfaceError", "the request has opened no portal", .{});
    const nothing = py.PyTuple_New(0) orelse return error.PythonError;
    defer py.decref(nothing);
    const kept = statement.retain();
    errdefer kept.release();
    const made = try request_file.create(module.ModuleState.ofInstance(object), .{
        .sql = source.sql,
        .arguments = nothing,
        .sink = if (with_rows) .{ .shape = source.sink.shape, .target = source.sink.target } else .{ .shape = .discard },
        .statement = kept,
        .portal = source.portal,
        .row_limit = source.row_limit,
        .fresh = true,
        .started_ns = net.now(),
    });
    self.progress = .waiting;
    self.tail_open = false;
    return made;
}
