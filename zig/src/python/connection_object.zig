//! `Connection`, the native half of one connection: its methods, for `_async_io.py`, `_sync_io.py` and `_connect.py`.
//! The socket belongs to the Python half; nothing here opens or closes one.
const std = @import("std");
const auth = @import("auth");
const protocol = @import("protocol");
const session_layer = @import("session");
const py = @import("py.zig");
const raise = @import("raise.zig");
const module = @import("module.zig");
const startup = @import("startup.zig");
const submit_file = @import("submit.zig");
const calls = @import("connection_requests.zig");
const copy = @import("copy.zig");
const many = @import("many.zig");
const signature = @import("signature.zig");
const auth_objects = @import("auth_objects.zig");
const link_file = @import("link.zig");
const owed = @import("owed.zig");
const portal = @import("portal.zig");
const prepared = @import("prepared.zig");
const filter_file = @import("filter.zig");
const TypeMap = @import("type_map.zig").TypeMap;
const Link = link_file.Link;
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
        return raise.typeError("type_map must be a TypeMap");
    if (message_size_max < 1024 or message_size_max > std.math.maxInt(i32)) return raise.valueError("message_size_max must be from 1024 to 2147483647");
    if (cache_size < 0) return raise.valueError("statement_cache_size must not be negative");
    const prefix_bytes = std.mem.span(prefix);
    if (prefix_bytes.len == 0 or prefix_bytes.len > prepared.Prepared.prefix_size_max) return raise.valueError("statement_prefix has 1 to 20 bytes");

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
        self.spent.deinit(gpa);
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
    if (py.hd_dict_check(arguments[0]) == 0) return raise.typeError("send_startup takes a dict");
    try startup.sendStartup(self, arguments[0]);
    return py.none();
}

fn sendPassword(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    try startup.sendPassword(self, arguments[0]);
    return py.none();
}

fn sendMd5(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const password = auth_objects.secretBytes(arguments[0]) orelse return raise.typeError("send_md5 takes a Secret");
    const salt = try bytesOf(arguments[2]);
    if (salt.len != 4) return raise.valueError("an md5 salt has 4 bytes");
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

fn getTakesMore(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(many.openOne(linkOf(object)) != null);
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

fn getCorked(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.boolean(linkOf(object).corked);
}

fn setCorked(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    linkOf(object).corked = value == py.hd_true();
    return 0;
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
    method(calls.submit, "submit", &.{ "sql", "arguments", "shape", "target", "first_only", "first_set" }, "Start a statement and return its Request; arguments None: by the simple protocol."),
    method(calls.append, "append", &.{ "sql", "arguments", "shape", "target", "first_only", "budget_ns" }, "Write a statement behind those under way and return its Request, None where it is better sent elsewhere; push sends it."),
    method(calls.ask, "ask", &.{ "sql", "shape" }, "Write a question behind definitions and scripts, too, and return its Request, None where it cannot go yet; push sends it."),
    method(calls.prepare, "prepare", &.{"sql"}, "Learn what a text takes and gives, behind what is under way; push sends it."),
    method(calls.beginMany, "begin_many", &.{ "sql", "sets", "shape", "target", "first_set" }, "Start a statement with its first sets of values and return its Request; None: prepare it first."),
    method(calls.extend, "extend", &.{ "sets", "start" }, "Send more sets behind those, as many as there is room for, and return how many."),
    method(calls.endMany, "end_many", &.{}, "No more sets follow; nothing where nothing takes any."),
    method(calls.push, "push", &.{}, "Send what was appended, as far as the socket takes it."),
    method(calls.owe, "owe", &.{"sql"}, "Put a command without parameters and rows in front of the next statement."),
    method(calls.disown, "disown", &.{"sql"}, "Take the last command back where it is this one and was not sent; None: all but a reset."),
    method(calls.runOwed, "run_owed", &.{}, "Send what is owed by itself and return its Request."),
    method(calls.settle, "settle", &.{}, "Take the session as it is now for how it was opened."),
    method(calls.takeFinished, "take_finished", &.{}, "The requests with a waiter that are done since the last time, or None."),
    method(calls.isStuck, "is_stuck", &.{"limit_ns"}, "Whether the backend has been busy with the first request for longer and says nothing."),
    method(calls.advance, "advance", &.{}, "Take in what the socket has and return the progress."),
    method(calls.advanceLone, "advance_lone", &.{}, "As advance, and wait microseconds for more of a result that is coming in."),
    method(calls.look, "look", &.{}, "Wait for the reply for microseconds, where that has paid for this statement."),
    method(calls.wait, "wait", &.{"timeout_ns"}, "Advance until done, the GIL released; a negative timeout has no end, 0 is returned when time is over."),
    method(portal.open, "open_portal", &.{ "sql", "arguments", "shape", "target", "row_limit" }, "Start a statement whose rows come in pieces and return the Request of the first."),
    method(portal.fetch, "fetch", &.{"request"}, "Ask for as many more rows of the portal a request has opened."),
    method(portal.close, "close_portal", &.{"request"}, "Say that no more rows of the portal are wanted."),
    method(copy.copyIn, "copy_in", &.{"sql"}, "Begin a COPY FROM STDIN and return its Request."),
    method(copy.feed, "feed", &.{"data"}, "Give a piece of a COPY's data, str or bytes, and return the progress."),
    method(copy.feedRecords, "feed_records", &.{ "iterator", "described", "binary" }, "Write records as a COPY's data while the socket takes them; True: there are no more."),
    method(copy.endCopy, "end_copy", &.{}, "Say that no more data comes and return the progress."),
    method(copy.copyOut, "copy_out", &.{ "sql", "described", "shape", "target", "part_size" }, "Begin a COPY TO STDOUT and return its Request; it stops whenever a part is full."),
    method(copy.takePart, "take_part", &.{"request"}, "What has come of a COPY TO STDOUT since the last time: bytes, rows or None."),
    method(calls.resume_, "resume", &.{}, "Go on with the request once the types it asked for are in the TypeMap."),
    method(calls.drop, "drop", &.{ "request", "exception" }, "Read the rest of a request's result, None: the first one's, and throw it away; it ends with this exception."),
    method(calls.suspendRequest, "suspend_request", &.{}, "Put a request that waits for types aside and return it, None where there is none."),
    method(calls.restoreRequest, "restore_request", &.{"request"}, "Take up a request that was put aside."),
    method(calls.isAlive, "is_alive", &.{}, "Whether an idle connection still has its backend; costs no round trip."),
    method(calls.hear, "hear", &.{ "take", "count_max" }, "Take in what the backend says unasked on an idle connection, each notification by a call of take; True where there may be more."),
    method(calls.knows, "knows", &.{"sql"}, "Whether a text can be run without asking for its description first."),
    method(calls.forget, "forget", &.{"sql"}, "Prepare this text anew when it is used again."),
    method(calls.terminate, "terminate", &.{}, "Say good-bye if the socket takes it at once; no call works any more."),
    method(calls.close, "close", &.{}, "No call works any more; the owner of the socket closes it."),
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
    .{ .name = "corked", .get = &getCorked, .set = &setCorked, .doc = "What is submitted waits for push: more is to leave with it." },
    .{ .name = "progress", .get = &getProgress, .doc = "What the last step of the request under way said." },
    .{ .name = "takes_more", .get = &getTakesMore, .doc = "A statement is under way that takes more sets of values and has not failed." },
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
