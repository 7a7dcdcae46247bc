//! The messages before the first ReadyForQuery, for `_connect.py`, which decides what to answer.
//! PostgreSQL docs: protocol-flow, "Start-up".
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const ending = @import("ending.zig");
const announce = @import("announce.zig");
const raise = @import("raise.zig");
const auth_objects = @import("auth_objects.zig");
const Link = @import("link.zig").Link;
const gpa = @import("link.zig").gpa;
const submit = @import("submit.zig");
const Object = py.Object;

fn written(link: *Link, outcome: anytype) py.Error!void {
    outcome catch |err| return switch (@as(anyerror, err)) {
        error.NulInString, error.InvalidParameter => raise.raise("InterfaceError", "a startup value contains a NUL character or is too long", .{}),
        error.OutOfMemory => raise.outOfMemory(),
        else => raise.raise("InterfaceError", "the startup message is too long", .{}),
    };
    _ = link;
}

fn passwordOwed(link: *const Link) py.Error!void {
    if (!link.session.connection.isPasswordOwed()) return raise.raise("InterfaceError", "the backend has not asked for a password", .{});
}

fn noted(link: *Link, comptime what: anytype) py.Error!void {
    link.session.connection.sent(what) catch return raise.outOfMemory();
}

pub fn sendStartup(link: *Link, parameters: *Object) py.Error!void {
    if (!link.session.connection.isIdle()) return raise.raise("InterfaceError", "the start-up is under way or over", .{});
    var list: std.ArrayList(protocol.startup_message.Parameter) = .empty;
    defer list.deinit(gpa);
    var position: isize = 0;
    var key: ?*Object = null;
    var value: ?*Object = null;
    while (py.PyDict_Next(parameters, &position, &key, &value) != 0) {
        list.append(gpa, .{ .name = try submit.textOf(key.?), .value = try submit.textOf(value.?) }) catch return raise.outOfMemory();
    }
    try written(link, protocol.startup_message.encode(&link.session.output, protocol.startup_message.version_3_0, list.items));
    try noted(link, .startup);
}

pub fn sendPassword(link: *Link, secret: *Object) py.Error!void {
    try passwordOwed(link);
    const password = auth_objects.secretBytes(secret) orelse
        return raise.raise("InterfaceError", "send_password takes a Secret", .{});
    try written(link, protocol.password_message.encode(&link.session.output, password));
    try noted(link, .password);
}

pub fn sendText(link: *Link, text: []const u8) py.Error!void {
    try passwordOwed(link);
    try written(link, protocol.password_message.encode(&link.session.output, text));
    try noted(link, .password);
}

pub fn sendSaslInitial(link: *Link, mechanism: []const u8, data: []const u8) py.Error!void {
    try passwordOwed(link);
    try written(link, protocol.sasl_initial_response.encode(&link.session.output, mechanism, data));
    try noted(link, .password);
}

pub fn sendSaslResponse(link: *Link, data: []const u8) py.Error!void {
    try passwordOwed(link);
    try written(link, protocol.sasl_response.encode(&link.session.output, data));
    try noted(link, .password);
}

/// The next event as a tuple whose first item is its kind, or None when more must be received.
pub fn event(link: *Link) py.Error!*Object {
    const next = link.session.next() catch {
        link.closed = true;
        ending.raiseViolation(link);
        return error.PythonError;
    };
    return switch (next orelse return py.none()) {
        .authentication => |request| authentication(request),
        .error_response => |body| fields("error", body),
        .notice => |body| fields("notice", body),
        .parameter_status => |status| {
            try announce.parameter(link, status);
            return tuple("parameter_status", .{ status.name, status.value });
        },
        .backend_key_data => |key| tuple("backend_key_data", .{ key.process_id, Bytes{ .slice = key.secret_key } }),
        .negotiate_protocol_version => |negotiate| options(negotiate),
        .ready_for_query => |status| tuple("ready", .{@as([]const u8, &[1]u8{@backingInt(status)})}),
        else => {
            link.closed = true;
            return raise.raise("ProtocolError", "a message that does not belong into the start-up", .{});
        },
    };
}

/// The code and what stands behind it: a salt, the mechanisms' names with a NUL each, or SASL data.
fn authentication(request: protocol.Authentication) py.Error!*Object {
    const none: Bytes = .{ .slice = "" };
    return switch (request) {
        .ok => tuple("authentication", .{ @as(u32, 0), none }),
        .cleartext_password => tuple("authentication", .{ @as(u32, 3), none }),
        .md5_password => |salt| tuple("authentication", .{ @as(u32, 5), Bytes{ .slice = &salt } }),
        .sasl => |mechanisms| tuple("authentication", .{ @as(u32, 10), Bytes{ .slice = mechanisms.reader.rest } }),
        .sasl_continue => |data| tuple("authentication", .{ @as(u32, 11), Bytes{ .slice = data } }),
        .sasl_final => |data| tuple("authentication", .{ @as(u32, 12), Bytes{ .slice = data } }),
        .unsupported => |code| tuple("authentication", .{ code, none }),
    };
}

fn options(negotiate: protocol.NegotiateProtocolVersion) py.Error!*Object {
    const list = try py.checked(py.PyList_New(0));
    defer py.decref(list);
    var names = negotiate;
    while (names.next() catch return raise.raise("ProtocolError", "a malformed NegotiateProtocolVersion", .{})) |name| {
        const item = try object(name);
        defer py.decref(item);
        try py.ok(py.PyList_Append(list, item));
    }
    return tuple("negotiate_protocol_version", .{ negotiate.version & 0xffff, list });
}

fn fields(comptime kind: []const u8, body: []const u8) py.Error!*Object {
    const dict = raise.fieldsDict(body) catch |err| return switch (err) {
        error.PythonError => error.PythonError,
        else => raise.raise("ProtocolError", "a malformed ErrorResponse", .{}),
    };
    defer py.decref(dict);
    return tuple(kind, .{dict});
}

const Bytes = struct { slice: []const u8 };

fn tuple(comptime kind: []const u8, items: anytype) py.Error!*Object {
    const made = try py.checked(py.PyTuple_New(1 + items.len));
    errdefer py.decref(made);
    py.hd_tuple_set(made, 0, try object(kind));
    inline for (items, 1..) |item, i| py.hd_tuple_set(made, i, try object(item));
    return made;
}

/// A new reference.
fn object(item: anytype) py.Error!*Object {
    return switch (@TypeOf(item)) {
        *Object => py.incref(item),
        Bytes => py.checked(py.PyBytes_FromStringAndSize(item.slice.ptr, @intCast(item.slice.len))),
        u32, i32, u16 => py.checked(py.PyLong_FromLongLong(item)),
        else => text: {
            const slice: []const u8 = item;
            break :text py.checked(py.PyUnicode_DecodeUTF8(slice.ptr, @intCast(slice.len), "replace"));
        },
    };
}
