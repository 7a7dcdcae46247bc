//! How requests end: answered, or with a connection that was lost or broke the protocol. Of each that is left
//! then it is said whether it ran, did not, or cannot be known. Called by link.zig and connection_requests.zig.
const std = @import("std");
const session_layer = @import("session");
const py = @import("py.zig");
const raise = @import("raise.zig");
const service = @import("service.zig");
const submit = @import("submit.zig");
const link_file = @import("link.zig");
const Link = link_file.Link;
const Progress = link_file.Progress;
const Request = @import("request.zig").Request;
const Session = session_layer.Session;
const Object = py.Object;
const gpa = link_file.gpa;

/// The first request is done; with the connection closed, so are all.
pub fn finish(link: *Link, request: *Request) void {
    service.account(link, request);
    // Something is still to come, or may be: nobody else may have the connection.
    const connection = &link.session.connection;
    if (connection.in_doubt or connection.pendingSyncs() > link.syncs_behind) link.closed = true;
    if (link.queue.len == 1 and !connection.isIdle()) link.closed = true;
    if (link.dequeue()) |object| end(link, object);
    if (link.closed) endAll(link);
    if (link.queue.len == 0) link.tail_open = false;
}

/// Whoever waits for it will find it among the finished ones.
pub fn end(link: *Link, object: *Object) void {
    const request = Request.of(object);
    request.complete();
    if (request.waiter != null) {
        if (link.finished.append(gpa, object)) return else |_| {}
        // Without memory for the list nobody would be woken: the face closes it and wakes all.
        link.closed = true;
    }
    py.decref(object);
}

/// The connection has ended under requests that have had no answer yet.
pub fn endAll(link: *Link) void {
    while (link.dequeue()) |object| {
        const request = Request.of(object);
        const unsent = link.session.positionSent() <= request.output_start;
        // A backend that says good-bye before its turn has not begun it.
        request.undone = unsent or link.session.connection.isTerminated();
        if (!request.undone and submit.mayHaveCommitted(link, request)) {
            raise.set("OutcomeUnknown", "the connection was lost before the answer; whether the statement was carried out is not known", .{});
        } else raise.set("ConnectionLost", "the connection was lost before the answer", .{});
        request.takeException();
        end(link, object);
    }
}

/// The backend is not to be trusted any more.
pub fn violated(link: *Link, request: *Request) py.Error!Progress {
    raiseViolation(link);
    return broken(link, request);
}

pub fn raiseViolation(link: *Link) void {
    const violation = link.session.connection.violation.?;
    raise.set("ProtocolError", "{f}", .{violation});
}

pub fn ioFailed(link: *Link, request: *Request, err: Session.FillError) py.Error!Progress {
    switch (err) {
        error.SocketFailed => {
            const code = link.session.transport.socket.errno;
            return lost(link, request, std.mem.span(py.hd_strerror(code)));
        },
        error.FilterFailed => {
            // KeyboardInterrupt and its like are no word of the filter's: the caller has it as it is.
            if (py.PyErr_ExceptionMatches(py.PyExc_Exception) == 0) return broken(link, request);
            const text = takeText();
            defer py.xdecref(text);
            return lost(link, request, textOf(text) orelse "TLS failed");
        },
        error.MessageTooLong => {
            raise.set("ProtocolError", "the server announced a message that is too long", .{});
            return broken(link, request);
        },
        error.OutOfMemory => {
            _ = py.PyErr_NoMemory();
            return broken(link, request);
        },
    }
}

/// The same where nothing is under way: the connection is closed, and why is raised.
pub fn idleFailed(link: *Link, err: Session.FillError) py.Error {
    link.closed = true;
    switch (err) {
        error.SocketFailed => {
            const code = link.session.transport.socket.errno;
            return raise.raise("ConnectionLost", "{s}", .{std.mem.span(py.hd_strerror(code))});
        },
        error.FilterFailed => {
            if (py.PyErr_ExceptionMatches(py.PyExc_Exception) == 0) return error.PythonError;
            const text = takeText();
            defer py.xdecref(text);
            return raise.raise("ConnectionLost", "{s}", .{textOf(text) orelse "TLS failed"});
        },
        error.MessageTooLong => return raise.raise("ProtocolError", "the server announced a message that is too long", .{}),
        error.OutOfMemory => return raise.outOfMemory(),
    }
}

/// The text of the current exception, which is dropped; null where it has none.
fn takeText() ?*Object {
    const cause = py.hd_take_exception() orelse return null;
    defer py.decref(cause);
    return py.PyObject_Str(cause);
}

fn textOf(text: ?*Object) ?[]const u8 {
    var size: isize = 0;
    const bytes = py.PyUnicode_AsUTF8AndSize(text orelse return null, &size) orelse return null;
    return bytes[0..@intCast(size)];
}

/// The connection ended under a request. The server's own last words, if any, are the fault already.
pub fn lost(link: *Link, request: *Request, why: []const u8) py.Error!Progress {
    if (request.fault == null) {
        request.undone = link.session.positionSent() <= request.output_start;
        const unknown = submit.mayHaveCommitted(link, request);
        if (unknown) {
            raise.set("OutcomeUnknown", "{s}; whether the statement was carried out is not known", .{why});
        } else {
            raise.set("ConnectionLost", "{s}", .{why});
        }
        request.takeException();
    }
    link.closed = true;
    return done(link, request);
}

pub fn broken(link: *Link, request: *Request) Progress {
    request.takeException();
    link.closed = true;
    return done(link, request);
}

pub fn done(link: *Link, request: *Request) Progress {
    finish(link, request);
    return .done;
}
