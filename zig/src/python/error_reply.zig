//! ErrorResponse to a request: the exception it becomes, and whether the statement was out of date and can be
//! sent again. Called by link.zig.
//! PostgreSQL docs: protocol-error-fields; errcodes-appendix.
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const owed = @import("owed.zig");
const raise = @import("raise.zig");
const submit = @import("submit.zig");
const binding = @import("binding.zig");
const Request = @import("request.zig").Request;
const Link = @import("link.zig").Link;

pub fn failed(link: *Link, request: *Request, body: []const u8) py.Error!void {
    const fields = raise.fieldsDict(body) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        else => return, // the state machine has checked the body's form
    };
    defer py.decref(fields);
    const parts = protocol.ErrorResponse.decode(body) catch return;
    // A SQL_ASCII database may hold bytes that are not UTF-8; the backend refuses to send them.
    const refused = request.stage == .executing and std.mem.eql(u8, parts.sqlstate orelse "", "22021");
    const columns = if (refused and request.statement != null) try request.statement.?.textColumns() else null;
    defer py.xdecref(columns);
    if (request.owed_left > 0) {
        owed.failed(link, request);
    } else if (request.one_trip and !request.bound and request.parameter_oids.items.len > 0) {
        binding.raiseValueCount(request);
        return request.takeException();
    }
    const instance = try raise.fromFields(fields, request.sql, columns);
    if (mayBeDone(link, request, parts.sqlstate orelse "")) {
        raise.set("OutcomeUnknown", "the backend ended in the middle of its answer; whether the statement was carried out is not known", .{});
        const unknown = py.hd_take_exception().?;
        py.PyException_SetCause(unknown, instance);
        request.setFault(unknown);
    } else request.setFault(instance);
    // The backend has said its last words; when its socket closes is of no interest.
    if (link.session.connection.isTerminated()) link.closed = true;
    if (isStale(request, parts) or isOutdated(request, parts)) {
        if (isForeign(link, request, parts)) link.map.has_pooler.store(true, .release);
        request.stale = true;
        if (request.statement) |statement| submit.forgetTypes(link, statement);
        try submit.forgetOf(link, request);
    }
}

/// The backend's last words came where a commit belongs that may have taken place: one is answered before or behind it. What has
/// no transaction around it commits with its Sync, behind its command tag, and a script in front of its last one.
fn mayBeDone(link: *const Link, request: *const Request, code: []const u8) bool {
    if (!link.session.connection.isTerminated() or request.was_forestalled or !submit.mayHaveCommitted(link, request)) return false;
    // Operator intervention, but for an idle session's end, can come there. Other reasons have come before it.
    if (!std.mem.startsWith(u8, code, "57P0") or std.mem.eql(u8, code, "57P05")) return false;
    if (request.arguments == null or request.completed > 0) return true;
    return submit.commits(request);
}

/// The backend has lost the statement, or its result is not what it was.
/// Both are said in answer to Bind, before anything has run: what is prepared or altered by the statement
/// itlink is its own affair.
fn isStale(request: *const Request, parts: protocol.ErrorResponse) bool {
    if (request.arguments == null or request.bound or request.fresh or request.with_parse) return false;
    const code = parts.sqlstate orelse return false;
    if (std.mem.eql(u8, code, "26000")) return true;
    return std.mem.eql(u8, code, "0A000") and std.mem.eql(u8, parts.routine orelse "", "RevalidateCachedQuery");
}

/// The backend has not got what was prepared on this connection, and nobody has deallocated it: it is
/// another backend. A pooler stands between that gives each transaction the next one.
fn isForeign(link: *Link, request: *const Request, parts: protocol.ErrorResponse) bool {
    if (!std.mem.eql(u8, parts.sqlstate orelse "", "26000")) return false;
    const sql = submit.textOf(request.sql) catch {
        py.PyErr_Clear();
        return false;
    };
    const found = link.cache.find(sql) orelse return false;
    if (found.number != request.parse_number) return false;
    link.strangers +|= 1;
    return link.strangers > 1;
}

/// The backend could not make anything of the values' types, and among these are some that may have
/// been altered, or dropped and made again, since they were looked up. Nothing has run.
fn isOutdated(request: *const Request, parts: protocol.ErrorResponse) bool {
    if (request.stage != .executing or request.fresh or request.bound) return false;
    const code = parts.sqlstate orelse return false;
    if (!std.mem.startsWith(u8, code, "42") and !std.mem.eql(u8, code, "XX000")) return false;
    const statement = request.statement orelse return false;
    return statement.hasUserParameters();
}
