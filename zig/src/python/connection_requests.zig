//! The methods of `Connection` that send statements and take in their answers: for `_channel.py`,
//! `_async_replies.py`, `_sync_replies.py` and whoever submits. The type itself stands in connection_object.zig.
const std = @import("std");
const net = @import("net");
const protocol = @import("protocol");
const copy = @import("copy.zig");
const py = @import("py.zig");
const announce = @import("announce.zig");
const ending = @import("ending.zig");
const many = @import("many.zig");
const raise = @import("raise.zig");
const module = @import("module.zig");
const owed = @import("owed.zig");
const prepared = @import("prepared.zig");
const request_file = @import("request.zig");
const service = @import("service.zig");
const sink = @import("sink.zig");
const submit_file = @import("submit.zig");
const link_file = @import("link.zig");
const Link = link_file.Link;
const Progress = link_file.Progress;
const Request = request_file.Request;
const gpa = link_file.gpa;
const Object = py.Object;

/// submit(sql, arguments | None, shape, target | None, first_only, first_set | None) -> Request
/// With `first_set`, the arguments are sets of values, and this is the number of the first in messages.
pub fn submit(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try checkUsable(self);
    const sql, const values, const shape, const target, const first_only, const first_set = arguments[0..6].*;
    const made = try makeRequest(object, sql, values, shape, target, first_only, first_set);
    errdefer py.decref(made);
    const request = Request.of(made);
    self.progress = .waiting;
    try submit_file.begin(self, request);
    self.tail_open = service.leavesRoom(request);
    return started(self, made);
}

pub fn checkUsable(self: *Link) py.Error!void {
    if (self.closed) return raise.raise("ConnectionLost", "the connection is closed", .{});
    if (self.queue.len > 0) return raise.raise("InterfaceError", "another statement is under way on this connection", .{});
}

/// What was written is under way now, and as much of it as the socket takes has left; corked, it waits for `push`.
pub fn started(self: *Link, made: *Object) py.Error!*Object {
    try self.enqueue(made);
    if (self.corked) return made;
    self.flushRequest() catch |err| {
        _ = try ending.ioFailed(self, Request.of(self.queue.front().?), err);
    };
    return made;
}

pub fn makeRequest(object: *Object, sql: *Object, values: *Object, shape: *Object, target: *Object, first_only: *Object, first_set: *Object) py.Error!*Object {
    if (py.hd_unicode_check(sql) == 0) return raise.typeError("the SQL text must be a str");
    const simple = values == py.hd_none();
    if (!simple and py.hd_tuple_check(values) == 0) return raise.typeError("the values must be a tuple");
    const number = try shapeOf(shape);
    // Its rows come in text format and without a statement to decode them by.
    if (simple and number != .discard) return raise.valueError("the simple protocol gives no rows");
    const batch = first_set != py.hd_none();
    const set_number = if (batch) py.PyLong_AsLongLong(first_set) else 0;
    if (set_number < 0) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("first_set must not be negative");
    if (batch) try checkSets(values);
    try checkTarget(object, number, target);
    const made = try request_file.create(module.ModuleState.ofInstance(object), .{
        .sql = sql,
        .arguments = if (simple) null else values,
        .batch = batch,
        .first_set = @intCast(set_number),
        .first_only = first_only == py.hd_true(),
        .sink = .{ .shape = number, .target = if (target == py.hd_none()) null else target },
    });
    Request.of(made).started_ns = net.now();
    return made;
}

pub fn shapeOf(object: *Object) py.Error!sink.Shape {
    const number = py.PyLong_AsLong(object);
    if (number == -1 and py.PyErr_Occurred() != null) return error.PythonError;
    for (std.enums.values(sink.Shape)) |shape| if (@backingInt(shape) == number) return shape;
    return raise.valueError("no such shape");
}

/// append(sql, arguments, shape, target | None, first_only, budget_ns) -> Request | None
/// Write a statement behind those that are under way, without sending it yet: `push` does. None: it is to
/// be sent elsewhere, or later. A budget of None: the caller has the connection to itself and wants its order.
pub fn append(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (self.closed) return py.none();
    const sql, const values, const shape, const target, const first_only, const budget = arguments[0..6].*;
    if (py.hd_unicode_check(sql) == 0) return raise.typeError("the SQL text must be a str");
    if (py.hd_tuple_check(values) == 0) return raise.typeError("the values must be a tuple");
    const text = try submit_file.textOf(sql);
    if (budget == py.hd_none()) {
        if (!try submit_file.mayFollowInOrder(self, text)) return py.none();
    } else {
        const budget_ns = py.PyLong_AsLongLong(budget);
        if (budget_ns < 0) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("budget_ns must not be negative");
        const found = self.cache.find(text) orelse return py.none();
        if (!submit_file.isOfToday(self, found.statement)) return py.none();
        if (!service.hasRoom(self, found.statement, @intCast(budget_ns))) return py.none();
    }
    const made = try makeRequest(object, sql, values, shape, target, first_only, py.hd_none());
    errdefer py.decref(made);
    return enqueued(self, made, text);
}

/// ask(sql, shape) -> Request | None
/// Write a question without values behind whatever is under way, as `append`, but behind definitions and a script as well:
/// one that means the same whatever these do. None: a part of them is still to be written, or nothing is known of
/// the question.
pub fn ask(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (self.closed or self.owed.items.len > 0) return py.none();
    const sql, const shape = arguments[0..2].*;
    if (py.hd_unicode_check(sql) == 0) return raise.typeError("the SQL text must be a str");
    if (self.queue.back()) |last| if (!service.isWritten(Request.of(last))) return py.none();
    const nothing = py.PyTuple_New(0) orelse return error.PythonError;
    defer py.decref(nothing);
    const made = try makeRequest(object, sql, nothing, shape, py.hd_none(), py.hd_true(), py.hd_none());
    errdefer py.decref(made);
    return enqueued(self, made, try submit_file.textOf(sql));
}

/// Write a request behind those under way, where it is known what it needs; None where not.
fn enqueued(self: *Link, made: *Object, text: []const u8) py.Error!*Object {
    if (!try submit_file.follow(self, Request.of(made), text)) {
        py.decref(made);
        return py.none();
    }
    if (self.queue.len == 0) self.progress = .waiting;
    try self.enqueue(made);
    return made;
}

/// begin_many(sql, sets, shape, target | None, first_set) -> Request | None
/// Start a statement with its first sets of values; others may follow with `extend`, until `end_many`. None: it
/// is not known what it would need, `prepare` it first.
pub fn beginMany(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try checkUsable(self);
    const sql, const sets, const shape, const target, const first_set = arguments[0..5].*;
    if (first_set == py.hd_none()) return raise.typeError("first_set must be an int");
    const made = try makeRequest(object, sql, sets, shape, target, py.hd_none(), first_set);
    errdefer py.decref(made);
    self.progress = .waiting;
    if (!try many.begin(self, Request.of(made))) {
        py.decref(made);
        return py.none();
    }
    self.tail_open = false;
    return started(self, made);
}

/// extend(sets, start) -> int: how many of the sets from this index on were written, and sent as far as the
/// socket takes them; 0 where there is no room now, or nothing that takes more.
pub fn extend(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (py.hd_tuple_check(arguments[0]) == 0) return raise.typeError("a batch is a tuple of tuples");
    const start = py.PyLong_AsLongLong(arguments[1]);
    if (start < 0) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("start must not be negative");
    const written = try many.extend(self, arguments[0], @intCast(start));
    try sendFirst(self);
    return py.checked(py.PyLong_FromSize_t(written));
}

/// end_many(): no more sets follow. Nothing where nothing takes any.
pub fn endMany(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    try many.end(self);
    try sendFirst(self);
    return py.none();
}

fn sendFirst(self: *Link) py.Error!void {
    const first = self.queue.front() orelse return;
    if (self.closed or !self.session.wantsWrite()) return;
    self.flushRequest() catch |err| {
        _ = try ending.ioFailed(self, Request.of(first), err);
    };
}

/// push(): send what was appended, as far as the socket takes it. Faults end in the requests.
/// Called when the loop comes to look for answers, so that its own business is not taken for the backend's.
pub fn push(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const first = self.queue.front() orelse return py.none();
    self.looked_ns = net.now();
    if (!self.session.wantsWrite()) return py.none();
    self.flushRequest() catch |err| {
        _ = try ending.ioFailed(self, Request.of(first), err);
    };
    return py.none();
}

/// prepare(sql) -> Request: learn what a text takes and gives, behind what is under way; nothing of it runs.
pub fn prepare(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (self.closed) return raise.raise("ConnectionLost", "the connection is closed", .{});
    const nothing = py.PyTuple_New(0) orelse return error.PythonError;
    defer py.decref(nothing);
    const discard = py.PyLong_FromLong(@backingInt(sink.Shape.discard)) orelse return error.PythonError;
    defer py.decref(discard);
    const made = try makeRequest(object, arguments[0], nothing, discard, py.hd_none(), py.hd_none(), py.hd_none());
    errdefer py.decref(made);
    const request = Request.of(made);
    request.describe_only = true;
    if (self.queue.len == 0) self.progress = .waiting;
    try submit_file.begin(self, request);
    self.tail_open = false;
    try self.enqueue(made);
    return made;
}

/// run_owed() -> Request: the commands that are owed, and nothing else. Its tag is the last one's.
pub fn runOwed(object: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    try checkUsable(self);
    const last = self.owed.getLastOrNull() orelse return raise.raise("InterfaceError", "nothing is owed", .{});
    const sql = try py.checked(py.PyUnicode_DecodeUTF8(last.ptr, @intCast(last.len), "replace"));
    defer py.decref(sql);
    const nothing = py.PyTuple_New(0) orelse return error.PythonError;
    defer py.decref(nothing);
    const made = try request_file.create(module.ModuleState.ofInstance(object), .{
        .sql = sql,
        .arguments = nothing,
        .first_only = false,
        .sink = .{ .shape = .discard, .target = null },
    });
    errdefer py.decref(made);
    Request.of(made).started_ns = net.now();
    self.progress = .waiting;
    try submit_file.runOwed(self, Request.of(made));
    self.tail_open = false;
    return started(self, made);
}

/// owe(sql): put a command without parameters and rows in front of the next statement.
pub fn owe(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (py.hd_unicode_check(arguments[0]) == 0) return raise.typeError("the SQL text must be a str");
    try owed.add(self, try submit_file.textOf(arguments[0]));
    return py.none();
}

/// disown(sql | None) -> bool: take the last command back where it is this one and was not sent; None: all but a reset.
pub fn disown(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (arguments[0] == py.hd_none()) {
        owed.takeBackAll(self);
        return py.boolean(true);
    }
    if (py.hd_unicode_check(arguments[0]) == 0) return raise.typeError("the SQL text must be a str");
    return py.boolean(owed.takeBack(self, try submit_file.textOf(arguments[0])));
}

/// settle(): what the session is now is how it was opened.
pub fn settle(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    self.session_changed = false;
    self.other_path = false;
    return py.none();
}

/// take_finished() -> list[Request] | None: those with a waiter that are done since the last time.
pub fn takeFinished(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    if (self.finished.items.len == 0) return py.none();
    const list = try py.checked(py.PyList_New(0));
    errdefer py.decref(list);
    for (self.finished.items) |each| try py.ok(py.PyList_Append(list, each));
    for (self.finished.items) |each| py.decref(each);
    self.finished.clearRetainingCapacity();
    return list;
}

/// is_stuck(limit_ns) -> bool: whether the backend has been busy with the first request for longer, and says nothing.
pub fn isStuck(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const limit = py.PyLong_AsLongLong(arguments[0]);
    if (limit < 0) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("limit_ns must not be negative");
    return py.boolean(service.isStuck(self, @intCast(limit)));
}

fn checkSets(sets: *Object) py.Error!void {
    if (py.hd_tuple_check(sets) == 0) return raise.typeError("a batch is a tuple of tuples");
    const count: usize = @intCast(py.hd_tuple_size(sets));
    if (count == 0) return raise.valueError("a batch has at least one set of values");
    for (0..count) |i| {
        if (py.hd_tuple_check(py.hd_tuple_get(sets, @intCast(i))) == 0) return raise.typeError("a batch is a tuple of tuples");
    }
}

/// The sink builds instances of a tuple's subclass without asking its constructor, and of models by their Hydration.
pub fn checkTarget(connection: *Object, shape: sink.Shape, target: *Object) py.Error!void {
    switch (shape) {
        .model => if (py.hd_is(target, @ptrCast(module.ModuleState.ofInstance(connection).hydration_type.?)) == 0) return raise.typeError("the target of this shape is a Hydration"),
        .named_tuple => if (py.hd_tuple_class_check(target) == 0) return raise.typeError("the target of this shape is a subclass of tuple"),
        .keywords => if (py.PyCallable_Check(target) == 0) return raise.typeError("the target of this shape is called"),
        else => {},
    }
}

pub fn progressObject(self: *Link, progress: Progress) py.Error!*Object {
    self.progress = progress;
    return py.checked(py.PyLong_FromLong(@backingInt(progress)));
}

pub fn advance(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return progressObject(self, try self.advance(0));
}

/// advance_lone(): as advance, for a caller beside whom nobody waits for the loop: pauses in a result are waited out in here.
pub fn advanceLone(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return progressObject(self, try self.advance(patience_ns));
}

/// The backend sends 8 kB at a time; a round of the loop for each costs more than what it brings. Beyond
/// the kernel's tick, for the reason that `Look` gives; used up once in a request at most.
const patience_ns = 4 * std.time.ns_per_ms;

/// look() -> progress: wait for the replies in here, shortly, each as long as that has paid before for its statement.
pub fn look(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const end = net.now() + patience_ns;
    while (self.queue.front()) |object| {
        const request = Request.of(object);
        if (request.stage != .executing or self.session.transport != .socket or self.session.wantsWrite()) break;
        const credit = try creditOf(self, request) orelse break;
        const budget = @min(credit.budget(), end -| net.now());
        if (budget == 0) break;
        if (!try self.pollFor(.{ .read = true }, budget)) {
            credit.timedOut();
            break;
        }
        // What stands behind others began when they were done.
        credit.paid(net.now() -| @max(request.started_ns, self.answered_ns));
        const progress = try self.advance(patience_ns);
        // Each Sync has an answer of its own, and the next one's may be on its way.
        if (progress != .waiting or self.queue.front() == object) return progressObject(self, progress);
    } else return progressObject(self, .done);
    return progressObject(self, .waiting);
}

/// Of a statement that is prepared, or of what a block owes at its end.
fn creditOf(self: *Link, request: *const Request) py.Error!?*prepared.Look {
    if (request.owed_only) return &self.owed_look;
    const entry = self.cache.find(try submit_file.textOf(request.sql)) orelse return null;
    return &entry.look;
}

/// wait(timeout_ns) -> progress: the blocking face. The GIL is released while the socket is waited
/// for; a signal handler that raises ends the wait, the request stays under way. A negative timeout
/// waits for ever; `waiting` is returned when it has passed, and where there is room for more sets.
pub fn wait(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const timeout = py.PyLong_AsLongLong(arguments[0]);
    if (timeout == -1 and py.PyErr_Occurred() != null) return error.PythonError;
    const deadline: ?u64 = if (timeout < 0) null else net.now() +| @as(u64, @intCast(timeout));
    // Right after sending there is nothing to receive yet.
    var poll_first = !takesMoreNow(self) and !self.session.hasInput() and if (self.queue.front()) |object| Request.of(object).stage != .held else false;
    while (true) {
        if (!poll_first) switch (try self.advance(0)) {
            .waiting => {},
            .again => {
                // However much has come already: other threads have their turn between two slices.
                py.PyEval_RestoreThread(py.PyEval_SaveThread());
                try py.ok(py.PyErr_CheckSignals());
                continue;
            },
            .done => return progressObject(self, .done),
            .needs_types, .wants_data, .full => |progress| return progressObject(self, progress),
        };
        if (!poll_first and takesMoreNow(self)) return progressObject(self, .waiting);
        poll_first = false;
        const left: ?u64 = if (deadline) |at| at -| net.now() else null;
        if (left == 0) return progressObject(self, .waiting);
        _ = try self.pollFor(.{ .read = true, .write = self.session.wantsWrite() }, left);
    }
}

fn takesMoreNow(self: *const Link) bool {
    return many.openOne(self) != null and many.hasRoom(self);
}

pub fn resume_(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const object = self.queue.front() orelse return raise.raise("InterfaceError", "no request is under way", .{});
    _ = py.incref(object);
    defer py.decref(object);
    const request = Request.of(object);
    if (request.stage != .needs_types and request.stage != .held) return raise.raise("InterfaceError", "the request does not wait for types", .{});
    submit_file.resume_(self, request) catch {
        request.takeException();
        ending.finish(self, request);
        return progressObject(self, .done);
    };
    if (request.unknown.items.len > 0) return progressObject(self, .needs_types);
    if (request.describe_only) {
        self.keepDescribed(request) catch request.takeException();
        ending.finish(self, request);
        return progressObject(self, .done);
    }
    if (request.stage == .held) return progressObject(self, .again);
    self.flushRequest() catch |err| return progressObject(self, try ending.ioFailed(self, request, err));
    return progressObject(self, .waiting);
}

/// drop(request | None, exception): its caller does not want the result any more. What comes for it is read
/// and dropped, and it ends with the exception given. None: the first one under way.
pub fn drop(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const request = if (arguments[0] == py.hd_none())
        Request.of(self.queue.front() orelse return py.none())
    else
        try requestOf(object, arguments[0], "drop takes a Request");
    if (py.hd_exception_check(arguments[1]) == 0) return raise.typeError("drop takes an exception");
    if (request.isDone()) return py.none();
    request.setFault(py.incref(arguments[1]));
    try copy.fail(self, request);
    return py.none();
}

pub fn requestOf(connection: *Object, object: *Object, message: [*:0]const u8) py.Error!*Request {
    const state = module.ModuleState.ofInstance(connection);
    if (@as(*Object, @ptrCast(py.hd_type(object))) != state.request_type.?) return raise.typeError(message);
    return Request.of(object);
}

/// suspend_request() -> Request | None: take the first request out, which waits for types, so that the catalogs
/// can be asked; nothing is owed to it by the backend then.
pub fn suspendRequest(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const object = self.queue.front() orelse return py.none();
    const request = Request.of(object);
    if (request.stage != .needs_types and request.stage != .held) return raise.raise("InterfaceError", "the request does not wait for types", .{});
    // Where it goes on, which may be another connection, its text is prepared anew.
    if (request.stage == .needs_types and request.parsed and request.parse_number != 0) {
        self.closing.append(gpa, request.parse_number) catch return raise.outOfMemory();
        request.parsed = false;
    }
    _ = self.dequeue();
    if (self.queue.len == 0) self.tail_open = false;
    request.releaseClaim();
    return object;
}

/// restore_request(request): take it up again, here or on another connection of the pool.
pub fn restoreRequest(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const request = try requestOf(object, arguments[0], "restore_request takes a Request");
    try checkUsable(self);
    if (self.owed.items.len > 0) return raise.raise("InterfaceError", "commands are owed: run_owed first", .{});
    if (!request.claim()) return raise.raise("InterfaceError", "the request is under way on a connection", .{});
    if (request.stage != .needs_types and request.stage != .held) {
        request.releaseClaim();
        return raise.raise("InterfaceError", "the request does not wait for types", .{});
    }
    try self.enqueue(arguments[0]);
    self.progress = .needs_types;
    return py.none();
}

pub fn isAlive(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return py.boolean(try self.isAlive());
}

/// hear(take, count_max) -> bool: take in what has come unasked; true where there may be more.
pub fn hear(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const count_max = py.PyLong_AsLongLong(arguments[1]);
    if (count_max < 1) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("count_max must be at least 1");
    return py.boolean(try announce.hear(self, arguments[0], @intCast(count_max)));
}

/// knows(sql) -> bool: whether a text can be run without asking for its description first.
pub fn knows(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (py.hd_unicode_check(arguments[0]) == 0) return raise.typeError("the SQL text must be a str");
    return py.boolean(submit_file.isKnown(self, try submit_file.textOf(arguments[0])));
}

pub fn forget(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try submit_file.forget(self, arguments[0]);
    return py.none();
}

/// close(): no call works any more; the owner of the socket closes it. What is under way ends here.
pub fn close(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    self.closed = true;
    ending.endAll(self);
    return py.none();
}

/// terminate(): say good-bye if the socket takes it at once.
pub fn terminate(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    if (!self.closed and self.queue.len == 0) {
        protocol.terminate.encode(&self.session.output) catch return raise.outOfMemory();
        _ = self.session.flush() catch |err| if (err == error.FilterFailed) py.PyErr_Clear();
    }
    self.closed = true;
    return py.none();
}
