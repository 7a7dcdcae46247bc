//! `Connection`, the native half of one connection: its methods, for `_async_io.py`, `_sync_io.py` and `_connect.py`.
//! The socket belongs to the Python half; nothing here opens or closes one.
const std = @import("std");
const auth = @import("auth");
const net = @import("net");
const protocol = @import("protocol");
const session_layer = @import("session");
const py = @import("py.zig");
const raise = @import("raise.zig");
const module = @import("module.zig");
const startup = @import("startup.zig");
const submit_file = @import("submit.zig");
const request_file = @import("request.zig");
const signature = @import("signature.zig");
const sink = @import("sink.zig");
const auth_objects = @import("auth_objects.zig");
const link_file = @import("link.zig");
const owed = @import("owed.zig");
const prepared = @import("prepared.zig");
const service = @import("service.zig");
const filter_file = @import("filter.zig");
const TypeMap = @import("type_map.zig").TypeMap;
const Link = link_file.Link;
const Progress = link_file.Progress;
const Request = request_file.Request;
const gpa = link_file.gpa;
const Object = py.Object;
const Arguments = [*]const *Object;

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    return create(class, arguments, keywords) catch null;
}

fn create(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) py.Error!*Object {
    const names = [_]?[*:0]const u8{ "fd", "filter", "type_map", "message_size_max", "statement_cache_size", "statement_prefix", null };
    var fd: c_int = 0;
    var filter: ?*Object = null;
    var type_map: ?*Object = null;
    var message_size_max: c_longlong = 1 << 30;
    var cache_size: c_int = 256;
    var prefix: [*:0]const u8 = "h";
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "iOO|$Lis:Connection", &names, &fd, &filter, &type_map, &message_size_max, &cache_size, &prefix) == 0)
        return error.PythonError;
    const state: *module.ModuleState = @ptrCast(@alignCast(py.PyType_GetModuleState(class) orelse return error.PythonError));
    if (@as(*Object, @ptrCast(py.hd_type(type_map.?))) != state.type_map_type.?)
        return typeError("type_map must be a TypeMap");
    if (message_size_max < 1024 or message_size_max > std.math.maxInt(i32)) return valueError("message_size_max must be from 1024 to 2147483647");
    if (cache_size < 0) return valueError("statement_cache_size must not be negative");
    const prefix_bytes = std.mem.span(prefix);
    if (prefix_bytes.len == 0 or prefix_bytes.len > prepared.Prepared.prefix_size_max) return valueError("statement_prefix has 1 to 20 bytes");

    const object = try py.checked(py.hd_alloc(class));
    errdefer py.decref(object);
    const parameters = try py.checked(py.PyDict_New());
    errdefer py.decref(parameters);
    const kept_prefix = gpa.dupe(u8, prefix_bytes) catch return raise.outOfMemory();
    errdefer gpa.free(kept_prefix);
    const self = gpa.create(Link) catch return raise.outOfMemory();
    const has_filter = filter.? != py.hd_none();
    self.* = .{
        .object = object,
        .session = .init(gpa, .init(gpa), .{ .socket = .{ .fd = fd } }),
        .fd = fd,
        .type_map = py.incref(type_map.?),
        .map = TypeMap.of(type_map.?),
        .filter = if (has_filter) py.incref(filter.?) else null,
        .parameters = parameters,
        .cache = .{ .gpa = gpa, .capacity = @intCast(cache_size), .prefix = kept_prefix },
    };
    self.session.connection.message_size_max = @intCast(message_size_max);
    if (has_filter) self.session.transport = .{ .filter = filter_file.around(filter.?) };
    py.hd_box_set(object, self);
    return object;
}

fn typeError(message: [*:0]const u8) py.Error {
    py.PyErr_SetString(py.PyExc_TypeError, message);
    return error.PythonError;
}

fn valueError(message: [*:0]const u8) py.Error {
    py.PyErr_SetString(py.PyExc_ValueError, message);
    return error.PythonError;
}

fn linkOf(object: *Object) *Link {
    return py.state(Link, object);
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    if (py.hd_box_get(object) != null) {
        const self = linkOf(object);
        py.hd_box_set(object, null);
        self.session.deinit();
        const prefix = self.cache.prefix;
        self.cache.deinit();
        gpa.free(prefix);
        self.closing.deinit(gpa);
        owed.deinit(self);
        releaseRequests(self);
        self.queue.deinit(gpa);
        self.finished.deinit(gpa);
        py.xdecref(self.filter);
        py.xdecref(self.on_notice);
        py.xdecref(self.on_notification);
        py.decref(self.parameters);
        py.decref(self.type_map);
        gpa.destroy(self);
    }
    py.hd_free(object);
}

/// Whatever else happens: the list is empty before anything that a request holds is given up.
fn releaseRequests(self: *Link) void {
    while (self.dequeue()) |request| py.decref(request);
    while (self.finished.pop()) |request| py.decref(request);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const own_type = visit(@ptrCast(py.hd_type(object)), arg);
    if (own_type != 0) return own_type;
    if (py.hd_box_get(object) == null) return 0;
    const self = linkOf(object);
    for ([_]?*Object{ self.type_map, self.parameters, self.filter, self.on_notice, self.on_notification }) |held| {
        if (held) |each| {
            const status = visit(each, arg);
            if (status != 0) return status;
        }
    }
    var requests = self.queue.iterator();
    while (requests.next()) |each| {
        const status = visit(each, arg);
        if (status != 0) return status;
    }
    for (self.finished.items) |each| {
        const status = visit(each, arg);
        if (status != 0) return status;
    }
    return 0;
}

fn clear(object: *Object) callconv(.c) c_int {
    if (py.hd_box_get(object) == null) return 0;
    const self = linkOf(object);
    self.closed = true;
    const held = [_]?*Object{ self.on_notice, self.on_notification };
    self.on_notice = null;
    self.on_notification = null;
    releaseRequests(self);
    for (held) |each| py.xdecref(each);
    return 0;
}

/// Wraps a method: guards against use by two at once and turns errors into null.
fn guarded(comptime body: fn (*Object, *Link, []const *Object) py.Error!*Object, comptime count: usize, comptime name: []const u8) *const fn (*Object, Arguments, isize) callconv(.c) ?*Object {
    return &struct {
        fn call(object: *Object, arguments: Arguments, given: isize) callconv(.c) ?*Object {
            if (given != count) {
                py.PyErr_SetString(py.PyExc_TypeError, std.fmt.comptimePrint("{s}() takes {d} arguments", .{ name, count }));
                return null;
            }
            const self = linkOf(object);
            self.enter() catch return null;
            defer self.leave();
            return body(object, self, arguments[0..count]) catch null;
        }
    }.call;
}

fn bytesOf(object: *Object) py.Error![]const u8 {
    var bytes: [*]u8 = undefined;
    var size: isize = 0;
    try py.ok(py.PyBytes_AsStringAndSize(object, &bytes, &size));
    return bytes[0..@intCast(size)];
}

fn sendStartup(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (py.hd_dict_check(arguments[0]) == 0) return typeError("send_startup takes a dict");
    try startup.sendStartup(self, arguments[0]);
    return py.none();
}

fn sendPassword(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try startup.sendPassword(self, arguments[0]);
    return py.none();
}

fn sendMd5(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const password = auth_objects.secretBytes(arguments[0]) orelse return typeError("send_md5 takes a Secret");
    const salt = try bytesOf(arguments[2]);
    if (salt.len != 4) return valueError("an md5 salt has 4 bytes");
    const answer = auth.md5.answer(password, try submit_file.textOf(arguments[1]), salt[0..4].*);
    try startup.sendText(self, &answer);
    return py.none();
}

fn sendSaslInitial(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try startup.sendSaslInitial(self, try submit_file.textOf(arguments[0]), try bytesOf(arguments[1]));
    return py.none();
}

fn sendSaslResponse(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try startup.sendSaslResponse(self, try bytesOf(arguments[0]));
    return py.none();
}

fn startupEvent(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return startup.event(self);
}

fn receive(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const before = self.session.input_end - self.session.input_start;
    const filled = self.session.fill() catch |err| return ioFailed(self, err);
    const count: c_long = switch (filled) {
        .received => @intCast(self.session.input_end - self.session.input_start - before),
        .would_block => -1,
        .end => 0,
    };
    return py.checked(py.PyLong_FromLong(count));
}

fn flush(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return py.boolean(self.session.flush() catch |err| return ioFailed(self, err));
}

fn ioFailed(self: *Link, err: session_layer.Session.FillError) py.Error {
    return switch (err) {
        error.SocketFailed => failed: {
            const code = self.session.transport.socket.errno;
            const pair = py.PyTuple_New(2) orelse break :failed error.PythonError;
            defer py.decref(pair);
            py.hd_tuple_set(pair, 0, py.PyLong_FromLong(code) orelse break :failed error.PythonError);
            py.hd_tuple_set(pair, 1, py.PyUnicode_FromString(py.hd_strerror(code)) orelse break :failed error.PythonError);
            py.PyErr_SetObject(py.PyExc_OSError, pair);
            break :failed error.PythonError;
        },
        error.FilterFailed => error.PythonError,
        error.MessageTooLong => raise.raise("ProtocolError", "the server announced a message that is too long", .{}),
        error.OutOfMemory => raise.outOfMemory(),
    };
}

/// submit(sql, arguments | None, shape, target | None, first_only, first_set | None) -> Request
/// With `first_set`, the arguments are sets of values, and this is the number of the first in messages.
fn submit(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
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

fn checkUsable(self: *Link) py.Error!void {
    if (self.closed) return raise.raise("ConnectionLost", "the connection is closed", .{});
    if (self.queue.len > 0) return raise.raise("InterfaceError", "another statement is under way on this connection", .{});
}

/// What was written is under way now, and as much of it as the socket takes has left.
fn started(self: *Link, made: *Object) py.Error!*Object {
    try self.enqueue(made);
    self.flushRequest() catch |err| {
        _ = try self.ioFailed(Request.of(self.queue.front().?), err);
    };
    return made;
}

fn makeRequest(object: *Object, sql: *Object, values: *Object, shape: *Object, target: *Object, first_only: *Object, first_set: *Object) py.Error!*Object {
    if (py.hd_unicode_check(sql) == 0) return typeError("the SQL text must be a str");
    const simple = values == py.hd_none();
    if (!simple and py.hd_tuple_check(values) == 0) return typeError("the values must be a tuple");
    const number = try shapeOf(shape);
    // Its rows come in text format and without a statement to decode them by.
    if (simple and number != .discard) return valueError("the simple protocol gives no rows");
    const batch = first_set != py.hd_none();
    const set_number = if (batch) py.PyLong_AsLongLong(first_set) else 0;
    if (set_number < 0) return if (py.PyErr_Occurred() != null) error.PythonError else valueError("first_set must not be negative");
    if (batch) try checkSets(values);
    try checkTarget(number, target);
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

fn shapeOf(object: *Object) py.Error!sink.Shape {
    const number = py.PyLong_AsLong(object);
    if (number < 0 or number > @backingInt(sink.Shape.value)) {
        if (py.PyErr_Occurred() != null) return error.PythonError;
        return valueError("no such shape");
    }
    return @fromBackingInt(@as(u8, @intCast(number)));
}

/// append(sql, arguments, shape, target | None, first_only, budget_ns) -> Request | None
/// Write a statement behind those that are under way, without sending it yet: `push` does. None: it is to
/// be sent elsewhere, or later. A budget of None: the caller has the connection to itself and wants its order.
fn append(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (self.closed) return py.none();
    const sql, const values, const shape, const target, const first_only, const budget = arguments[0..6].*;
    if (py.hd_unicode_check(sql) == 0) return typeError("the SQL text must be a str");
    if (py.hd_tuple_check(values) == 0) return typeError("the values must be a tuple");
    const text = try submit_file.textOf(sql);
    if (budget == py.hd_none()) {
        if (!try submit_file.mayFollowInOrder(self, text)) return py.none();
    } else {
        const budget_ns = py.PyLong_AsLongLong(budget);
        if (budget_ns < 0) return if (py.PyErr_Occurred() != null) error.PythonError else valueError("budget_ns must not be negative");
        const found = self.cache.find(text) orelse return py.none();
        if (!submit_file.isOfToday(self, found.statement)) return py.none();
        if (!service.hasRoom(self, found.statement, @intCast(budget_ns))) return py.none();
    }
    const made = try makeRequest(object, sql, values, shape, target, first_only, py.hd_none());
    errdefer py.decref(made);
    if (!try submit_file.follow(self, Request.of(made), text)) {
        py.decref(made);
        return py.none();
    }
    if (self.queue.len == 0) self.progress = .waiting;
    try self.enqueue(made);
    return made;
}

/// push(): send what was appended, as far as the socket takes it. Faults end in the requests.
/// Called when the loop comes to look for answers, so that its own business is not taken for the backend's.
fn push(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const first = self.queue.front() orelse return py.none();
    self.looked_ns = net.now();
    if (!self.session.wantsWrite()) return py.none();
    self.flushRequest() catch |err| {
        _ = try self.ioFailed(Request.of(first), err);
    };
    return py.none();
}

/// prepare(sql) -> Request: learn what a text takes and gives, behind what is under way; nothing of it runs.
fn prepare(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
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
fn runOwed(object: *Object, self: *Link, _: []const *Object) py.Error!*Object {
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
fn owe(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (py.hd_unicode_check(arguments[0]) == 0) return typeError("the SQL text must be a str");
    try owed.add(self, try submit_file.textOf(arguments[0]));
    return py.none();
}

/// disown(sql | None) -> bool: take the last command back where it is this one and was not sent; None: all but a reset.
fn disown(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (arguments[0] == py.hd_none()) {
        owed.takeBackAll(self);
        return py.boolean(true);
    }
    if (py.hd_unicode_check(arguments[0]) == 0) return typeError("the SQL text must be a str");
    return py.boolean(owed.takeBack(self, try submit_file.textOf(arguments[0])));
}

/// settle(): what the session is now is how it was opened.
fn settle(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    self.session_changed = false;
    self.other_path = false;
    return py.none();
}

/// take_finished() -> list[Request] | None: those with a waiter that are done since the last time.
fn takeFinished(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    if (self.finished.items.len == 0) return py.none();
    const list = try py.checked(py.PyList_New(0));
    errdefer py.decref(list);
    for (self.finished.items) |each| try py.ok(py.PyList_Append(list, each));
    for (self.finished.items) |each| py.decref(each);
    self.finished.clearRetainingCapacity();
    return list;
}

/// is_stuck(limit_ns) -> bool: whether the backend has been busy with the first request for longer, and says nothing.
fn isStuck(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const limit = py.PyLong_AsLongLong(arguments[0]);
    if (limit < 0) return if (py.PyErr_Occurred() != null) error.PythonError else valueError("limit_ns must not be negative");
    return py.boolean(service.isStuck(self, @intCast(limit)));
}

fn checkSets(sets: *Object) py.Error!void {
    if (py.hd_tuple_check(sets) == 0) return typeError("a batch is a tuple of tuples");
    const count: usize = @intCast(py.hd_tuple_size(sets));
    if (count == 0) return valueError("a batch has at least one set of values");
    for (0..count) |i| {
        if (py.hd_tuple_check(py.hd_tuple_get(sets, @intCast(i))) == 0) return typeError("a batch is a tuple of tuples");
    }
}

/// The sink builds instances of a tuple's subclass without asking its constructor.
fn checkTarget(shape: sink.Shape, target: *Object) py.Error!void {
    switch (shape) {
        .named_tuple => if (py.hd_tuple_class_check(target) == 0) return typeError("the target of this shape is a subclass of tuple"),
        .keywords => if (py.PyCallable_Check(target) == 0) return typeError("the target of this shape is called"),
        else => {},
    }
}

fn progressObject(self: *Link, progress: Progress) py.Error!*Object {
    self.progress = progress;
    return py.checked(py.PyLong_FromLong(@backingInt(progress)));
}

fn advance(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return progressObject(self, try self.advance(0));
}

/// advance_lone(): as advance, for a caller beside whom nobody waits for the loop: pauses in a result are waited out in here.
fn advanceLone(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return progressObject(self, try self.advance(patience_ns));
}

/// The backend sends 8 kB at a time; a round of the loop for each costs more than what it brings. Beyond
/// the kernel's tick, for the reason that `Look` gives; used up once in a request at most.
const patience_ns = 4 * std.time.ns_per_ms;

/// look() -> progress: wait for the reply in here, shortly, where that has paid before.
fn look(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const object = self.queue.front() orelse return progressObject(self, .done);
    const request = Request.of(object);
    if (self.queue.len > 1) return progressObject(self, .waiting);
    if (request.stage != .executing or self.session.transport != .socket or self.session.wantsWrite()) return progressObject(self, .waiting);
    const entry = self.cache.find(try submit_file.textOf(request.sql)) orelse return progressObject(self, .waiting);
    const budget = entry.look.budget();
    if (budget == 0) return progressObject(self, .waiting);
    if (!try self.pollFor(.{ .read = true }, budget)) {
        entry.look.timedOut();
        return progressObject(self, .waiting);
    }
    entry.look.paid(net.now() -| request.started_ns);
    return progressObject(self, try self.advance(patience_ns));
}

/// wait(timeout_ns) -> progress: the blocking face. The GIL is released while the socket is waited
/// for; a signal handler that raises ends the wait, the request stays under way. A negative timeout
/// waits for ever; `waiting` is returned when it has passed.
fn wait(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const timeout = py.PyLong_AsLongLong(arguments[0]);
    if (timeout == -1 and py.PyErr_Occurred() != null) return error.PythonError;
    const deadline: ?u64 = if (timeout < 0) null else net.now() +| @as(u64, @intCast(timeout));
    // Right after sending there is nothing to receive yet.
    var poll_first = !self.session.hasInput() and if (self.queue.front()) |object| Request.of(object).stage != .held else false;
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
            .needs_types => return progressObject(self, .needs_types),
        };
        poll_first = false;
        const left: ?u64 = if (deadline) |at| at -| net.now() else null;
        if (left == 0) return progressObject(self, .waiting);
        _ = try self.pollFor(.{ .read = true, .write = self.session.wantsWrite() }, left);
    }
}

fn resume_(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const object = self.queue.front() orelse return raise.raise("InterfaceError", "no request is under way", .{});
    _ = py.incref(object);
    defer py.decref(object);
    const request = Request.of(object);
    if (request.stage != .needs_types and request.stage != .held) return raise.raise("InterfaceError", "the request does not wait for types", .{});
    submit_file.resume_(self, request) catch {
        request.takeException();
        self.finish(request);
        return progressObject(self, .done);
    };
    if (request.unknown.items.len > 0) return progressObject(self, .needs_types);
    if (request.describe_only) {
        self.keepDescribed(request) catch request.takeException();
        self.finish(request);
        return progressObject(self, .done);
    }
    if (request.stage == .held) return progressObject(self, .again);
    self.flushRequest() catch |err| return progressObject(self, try self.ioFailed(request, err));
    return progressObject(self, .waiting);
}

/// drop(request | None, exception): its caller does not want the result any more. What comes for it is read
/// and dropped, and it ends with the exception given. None: the first one under way.
fn drop(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const request = if (arguments[0] == py.hd_none())
        Request.of(self.queue.front() orelse return py.none())
    else
        try requestOf(object, arguments[0], "drop takes a Request");
    if (py.hd_exception_check(arguments[1]) == 0) return typeError("drop takes an exception");
    if (!request.isDone()) request.setFault(py.incref(arguments[1]));
    return py.none();
}

fn requestOf(connection: *Object, object: *Object, message: [*:0]const u8) py.Error!*Request {
    const state = module.ModuleState.ofInstance(connection);
    if (@as(*Object, @ptrCast(py.hd_type(object))) != state.request_type.?) return typeError(message);
    return Request.of(object);
}

/// suspend_request() -> Request | None: take the first request out, which waits for types, so that the catalogs
/// can be asked; nothing is owed to it by the backend then.
fn suspendRequest(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
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
fn restoreRequest(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
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

fn isAlive(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    return py.boolean(try self.isAlive());
}

/// knows(sql) -> bool: whether a text can be run without asking for its description first.
fn knows(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    if (py.hd_unicode_check(arguments[0]) == 0) return typeError("the SQL text must be a str");
    return py.boolean(submit_file.isKnown(self, try submit_file.textOf(arguments[0])));
}

fn forget(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try submit_file.forget(self, arguments[0]);
    return py.none();
}

/// close(): no call works any more; the owner of the socket closes it. What is under way ends here.
fn close(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    self.closed = true;
    self.endAll();
    return py.none();
}

/// terminate(): say good-bye if the socket takes it at once.
fn terminate(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    if (!self.closed and self.queue.len == 0) {
        protocol.terminate.encode(&self.session.output) catch return raise.outOfMemory();
        _ = self.session.flush() catch |err| if (err == error.FilterFailed) py.PyErr_Clear();
    }
    self.closed = true;
    return py.none();
}

fn getFd(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromLong(linkOf(object).fd);
}

fn getClosed(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(linkOf(object).closed);
}

fn getBusy(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(linkOf(object).queue.len > 0);
}

/// Nothing is under way and no transaction is open: fit for the next borrower.
fn getClean(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const self = linkOf(object);
    const idle = self.queue.len == 0 and owed.isClean(self) and self.session.connection.transaction_status == .idle;
    return py.boolean(idle and !self.closed and !self.session_changed);
}

fn getSessionChanged(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(linkOf(object).session_changed);
}

fn getDepth(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromSize_t(linkOf(object).queue.len);
}

fn getRoundTrip(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromUnsignedLongLong(linkOf(object).rtt_ns);
}

fn setRoundTrip(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const given = py.PyLong_AsLongLong(value orelse py.hd_none());
    if (given < 0) {
        if (py.PyErr_Occurred() == null) py.PyErr_SetString(py.PyExc_ValueError, "round_trip_ns must not be negative");
        return -1;
    }
    linkOf(object).rtt_ns = @intCast(given);
    return 0;
}

fn getOwed(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromSize_t(linkOf(object).owed.items.len);
}

fn getHasPooler(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(linkOf(object).map.has_pooler.load(.acquire));
}

fn getProgress(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromLong(@backingInt(linkOf(object).progress));
}

fn getWantsWrite(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(linkOf(object).session.wantsWrite());
}

fn getStatus(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    const byte = [1]u8{@backingInt(linkOf(object).session.connection.transaction_status)};
    return py.PyUnicode_DecodeUTF8(&byte, 1, null);
}

fn getParameters(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(linkOf(object).parameters);
}

fn getStatementCount(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.PyLong_FromSize_t(linkOf(object).cache.entries.count());
}

fn getTypeMap(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(linkOf(object).type_map);
}

fn callbackGetter(comptime field: []const u8) *const fn (*Object, ?*anyopaque) callconv(.c) ?*Object {
    return &struct {
        fn get(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
            return py.hd_field_get(object, &@field(linkOf(object), field)) orelse py.none();
        }
    }.get;
}

fn callbackSetter(comptime field: []const u8) *const fn (*Object, ?*Object, ?*anyopaque) callconv(.c) c_int {
    return &struct {
        fn set(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
            const given = value orelse py.hd_none();
            const kept = if (given == py.hd_none()) null else py.incref(given);
            py.xdecref(py.hd_field_swap(object, &@field(linkOf(object), field), kept));
            return 0;
        }
    }.set;
}

const methods = [_]py.MethodDef{
    method(sendStartup, "send_startup", &.{"parameters"}, "Write the startup message with these run-time parameters."),
    method(sendPassword, "send_password", &.{"secret"}, "Write the password in clear."),
    method(sendMd5, "send_md5", &.{ "secret", "user", "salt" }, "Write the md5 answer to the salt's four bytes."),
    method(sendSaslInitial, "send_sasl_initial", &.{ "mechanism", "data" }, "Write SASLInitialResponse."),
    method(sendSaslResponse, "send_sasl_response", &.{"data"}, "Write SASLResponse."),
    method(startupEvent, "startup_event", &.{}, "The next thing that happened at start-up, its kind first; None: receive more."),
    method(receive, "receive", &.{}, "One recv: the number of bytes, 0 at the end of the stream, -1 where it would block."),
    method(flush, "flush", &.{}, "Send what can be sent; True when nothing is left."),
    method(submit, "submit", &.{ "sql", "arguments", "shape", "target", "first_only", "first_set" }, "Start a statement and return its Request; arguments None: by the simple protocol."),
    method(append, "append", &.{ "sql", "arguments", "shape", "target", "first_only", "budget_ns" }, "Write a statement behind those under way and return its Request, None where it is better sent elsewhere; push sends it."),
    method(prepare, "prepare", &.{"sql"}, "Learn what a text takes and gives, behind what is under way; push sends it."),
    method(push, "push", &.{}, "Send what was appended, as far as the socket takes it."),
    method(owe, "owe", &.{"sql"}, "Put a command without parameters and rows in front of the next statement."),
    method(disown, "disown", &.{"sql"}, "Take the last command back where it is this one and was not sent; None: all but a reset."),
    method(runOwed, "run_owed", &.{}, "Send what is owed by itself and return its Request."),
    method(settle, "settle", &.{}, "Take the session as it is now for how it was opened."),
    method(takeFinished, "take_finished", &.{}, "The requests with a waiter that are done since the last time, or None."),
    method(isStuck, "is_stuck", &.{"limit_ns"}, "Whether the backend has been busy with the first request for longer and says nothing."),
    method(advance, "advance", &.{}, "Take in what the socket has and return the progress."),
    method(advanceLone, "advance_lone", &.{}, "As advance, and wait microseconds for more of a result that is coming in."),
    method(look, "look", &.{}, "Wait for the reply for microseconds, where that has paid for this statement."),
    method(wait, "wait", &.{"timeout_ns"}, "Advance until done, the GIL released; a negative timeout has no end, 0 is returned when time is over."),
    method(resume_, "resume", &.{}, "Go on with the request once the types it asked for are in the TypeMap."),
    method(drop, "drop", &.{ "request", "exception" }, "Read the rest of a request's result, None: the first one's, and throw it away; it ends with this exception."),
    method(suspendRequest, "suspend_request", &.{}, "Put a request that waits for types aside and return it, None where there is none."),
    method(restoreRequest, "restore_request", &.{"request"}, "Take up a request that was put aside."),
    method(isAlive, "is_alive", &.{}, "Whether an idle connection still has its backend; costs no round trip."),
    method(knows, "knows", &.{"sql"}, "Whether a text can be run without asking for its description first."),
    method(forget, "forget", &.{"sql"}, "Prepare this text anew when it is used again."),
    method(terminate, "terminate", &.{}, "Say good-bye if the socket takes it at once; no call works any more."),
    method(close, "close", &.{}, "No call works any more; the owner of the socket closes it."),
    .{},
};

/// A method of this many parameters; they and the sentence are what `help()` shows.
fn method(
    comptime function: fn (*Object, *Link, []const *Object) py.Error!*Object,
    comptime name: [:0]const u8,
    comptime parameters: []const []const u8,
    comptime sentence: []const u8,
) py.MethodDef {
    return .{
        .name = name,
        .function = guarded(function, parameters.len, name),
        .flags = py.METH_FASTCALL,
        .doc = signature.ofMethod(name, parameters, sentence),
    };
}

const getters = [_]py.GetSetDef{
    .{ .name = "fd", .get = &getFd, .doc = "The socket's file descriptor." },
    .{ .name = "closed", .get = &getClosed, .doc = "No call works any more." },
    .{ .name = "busy", .get = &getBusy, .doc = "A request is under way." },
    .{ .name = "is_clean", .get = &getClean, .doc = "Open, nothing under way, no transaction, the session as it was opened: fit for the next borrower." },
    .{ .name = "session_changed", .get = &getSessionChanged, .doc = "Whether session state may differ from a fresh connection's, since it was opened or since DISCARD ALL." },
    .{ .name = "depth", .get = &getDepth, .doc = "How many requests are under way." },
    .{ .name = "round_trip_ns", .get = &getRoundTrip, .set = &setRoundTrip, .doc = "The least that a round trip takes; calls that were alone on the connection lower it." },
    .{ .name = "owed", .get = &getOwed, .doc = "How many commands go in front of the next statement." },
    .{ .name = "has_pooler", .get = &getHasPooler, .doc = "A pooler was noticed between: nothing is prepared under a name." },
    .{ .name = "progress", .get = &getProgress, .doc = "What the last step of the request under way said." },
    .{ .name = "wants_write", .get = &getWantsWrite, .doc = "Something waits to be sent." },
    .{ .name = "transaction_status", .get = &getStatus, .doc = "I, T or E, from the last ReadyForQuery." },
    .{ .name = "parameters", .get = &getParameters, .doc = "The run-time parameters the server reports." },
    .{ .name = "statement_count", .get = &getStatementCount, .doc = "How many prepared statements are kept." },
    .{ .name = "type_map", .get = &getTypeMap, .doc = "The TypeMap it was made with." },
    .{ .name = "on_notice", .get = callbackGetter("on_notice"), .set = callbackSetter("on_notice"), .doc = "Called with the fields of each NoticeResponse, or None." },
    .{ .name = "on_notification", .get = callbackGetter("on_notification"), .set = callbackSetter("on_notification"), .doc = "Called with channel, payload and process ID of each NotificationResponse, or None." },
    .{},
};

const doc =
    "Connection(fd, filter, type_map, *, message_size_max=1073741824, statement_cache_size=256, statement_prefix='h')\n--\n\n" ++
    "One session with a backend, over a socket it borrows.";

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_doc, .function = doc },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_methods, .function = &methods },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.Connection",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    module.ModuleState.ofModule(object).connection_type = try module.addType(object, "Connection", &spec);
}
