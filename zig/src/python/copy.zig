//! COPY: data that travels beside rows. A COPY IN has no Sync behind its Execute, because in copy-in mode
//! the backend would read and ignore it; the Sync follows CopyDone, CopyFail, or the answer that made
//! these needless. So there is never a doubt how many ReadyForQuery are to come. A COPY OUT is read in
//! parts: while nobody takes one, nothing more is received, and the backend waits.
//! PostgreSQL docs: protocol-flow, "COPY Operations"; sql-copy, "File Formats".
const std = @import("std");
const net = @import("net");
const protocol = @import("protocol");
const py = @import("py.zig");
const ending = @import("ending.zig");
const module = @import("module.zig");
const owed = @import("owed.zig");
const raise = @import("raise.zig");
const records = @import("copy_records.zig");
const request_file = @import("request.zig");
const submit = @import("submit.zig");
const calls = @import("connection_requests.zig");
const link_file = @import("link.zig");
const Link = link_file.Link;
const Progress = link_file.Progress;
const Request = request_file.Request;
const Statement = @import("statement.zig").Statement;
const gpa = link_file.gpa;
const Object = py.Object;

/// A CopyData message grows up to here while nothing of it has been sent.
pub const message_size_max = 32 * 1024;
/// With more than this before the socket, no more is taken from who feeds.
const backlog_max = 64 * 1024;
/// The first bytes of the binary format: signature, flags, length of an extension that is never there.
pub const signature = "PGCOPY\n\xff\r\n\x00";
pub const header = signature ++ "\x00\x00\x00\x00\x00\x00\x00\x00";
/// The field count of a record that is none.
pub const trailer = "\xff\xff";

/// copy_in(sql) -> Request: begin a COPY FROM STDIN. When the progress is `wants_data`, `feed` or
/// `feed_records`; then `end_copy`. `drop` fails it.
pub fn copyIn(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    return begin(object, self, arguments[0], .in, .{ .shape = .discard });
}

/// copy_out(sql, described | None, shape, target | None, part_size) -> Request: begin a COPY TO STDOUT.
/// Without `described` its parts are bytes. With it, the finished `prepare` of a query with the same columns,
/// they are lists of rows, and the format must be binary.
pub fn copyOut(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const sql, const described, const shape_object, const target, const part_size = arguments[0..5].*;
    const shape = try calls.shapeOf(shape_object);
    try calls.checkTarget(object, shape, target);
    const size = py.PyLong_AsLongLong(part_size);
    if (size <= 0) return if (py.PyErr_Occurred() != null) error.PythonError else raise.valueError("part_size must be positive");
    const statement: ?*Statement = if (described == py.hd_none()) null else twin: {
        const source = try calls.requestOf(object, described, "copy_out takes the Request of a prepare");
        if (!source.isDone() or source.statement == null) return raise.raise("InterfaceError", "the request has described nothing", .{});
        break :twin try Statement.inBinary(gpa, source.statement.?);
    };
    errdefer if (statement) |each| each.release();
    if (statement == null and shape != .discard) return raise.valueError("rows need a description");
    const made = try begin(object, self, sql, .out, .{ .shape = shape, .target = if (target == py.hd_none()) null else target });
    const request = Request.of(made);
    request.statement = statement;
    request.copy_binary = statement != null;
    request.part_size_max = @intCast(size);
    return made;
}

fn begin(object: *Object, self: *Link, sql: *Object, way: request_file.Copy, sink: @import("sink.zig").Sink) py.Error!*Object {
    try calls.checkUsable(self);
    if (py.hd_unicode_check(sql) == 0) return raise.typeError("the SQL text must be a str");
    const nothing = py.PyTuple_New(0) orelse return error.PythonError;
    defer py.decref(nothing);
    const made = try request_file.create(module.ModuleState.ofInstance(object), .{
        .sql = sql,
        .arguments = nothing,
        .sink = sink,
        .copy = way,
        .fresh = true,
        .started_ns = net.now(),
    });
    errdefer py.decref(made);
    self.progress = .waiting;
    try write(self, Request.of(made));
    self.tail_open = false;
    return calls.started(self, made);
}

/// Parse, Bind, Execute, and what has the backend answer: a Flush where the Sync comes later.
fn write(self: *Link, request: *Request) py.Error!void {
    self.heedPooler();
    const output = &self.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    owed.write(self) catch |err| return submit.encodeFailed(err);
    request.output_start = self.session.position();
    const sql = try submit.textOf(request.sql);
    protocol.parse.encode(output, "", sql, &.{}) catch |err| return submit.encodeFailed(err);
    const message = protocol.bind.begin(output, "", "", 0) catch |err| return submit.encodeFailed(err);
    message.finish(output, &.{}) catch |err| return submit.encodeFailed(err);
    protocol.execute.encode(output, "", 0) catch |err| return submit.encodeFailed(err);
    const last = if (request.copy == .in) protocol.flush.encode(output) else protocol.sync.encode(output);
    last catch |err| return submit.encodeFailed(err);
    try submit.noted(self, owed.note(self, request));
    try submit.sent(self, request, &.{ .parse, .bind, .execute });
    if (request.copy == .out) try submit.sent(self, request, &.{.sync});
    request.output_end = self.session.position();
    request.stage = .executing;
}

/// The first request, while it is a COPY that still takes data.
fn open(self: *Link) ?*Request {
    const request = Request.of(self.queue.front() orelse return null);
    return if (request.copy == .in and !request.copy_ended) request else null;
}

/// What is to be said to somebody who feeds where nothing takes data any more: the rest of the answer may
/// still be to come.
fn closing(self: *Link) py.Error!Progress {
    return if (self.queue.len == 0) .done else self.advance(0);
}

/// Whether the backend reads data, and what it was given has nearly left.
pub fn wantsData(self: *const Link, request: *const Request) bool {
    if (request.copy != .in or !request.copying or request.copy_ended) return false;
    return backlog(self) < backlog_max and !self.session.filter_pending;
}

fn backlog(self: *const Link) usize {
    return self.session.output.len() - self.session.output_sent;
}

/// feed(data) -> progress: give a piece of the data, str or bytes, cut anywhere. `done`: it has failed, or nothing
/// takes data any more.
pub fn feed(_: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const request = open(self) orelse return calls.progressObject(self, try closing(self));
    if (!request.copying) return raise.raise("InterfaceError", "the backend does not read data yet", .{});
    if (py.hd_unicode_check(arguments[0]) != 0) {
        try put(self, request, try submit.textOf(arguments[0]));
    } else {
        var view: py.Buffer = undefined;
        if (py.PyObject_GetBuffer(arguments[0], &view, 0) != 0) return error.PythonError;
        defer py.PyBuffer_Release(&view);
        if (view.buf) |bytes| try put(self, request, bytes[0..@intCast(view.len)]);
    }
    return calls.progressObject(self, try pump(self));
}

fn put(self: *Link, request: *Request, data: []const u8) py.Error!void {
    if (data.len == 0) return;
    const output = &self.session.output;
    const mark = output.len();
    errdefer {
        output.truncate(mark);
        request.copy_message = 0;
    }
    const at = openMessage(self, request) catch |err| return submit.encodeFailed(err);
    output.writeBytes(data) catch |err| return submit.encodeFailed(err);
    output.endMessage(at) catch |err| return submit.encodeFailed(err);
}

/// The place of the length word of a CopyData that may grow: the last one, where nothing of it has left and it is
/// still small, else a new one. `endMessage` is owed.
pub fn openMessage(self: *Link, request: *Request) protocol.EncodeError!usize {
    const session = &self.session;
    const output = &session.output;
    if (request.copy_message >= session.positionSent() and request.copy_message > request.output_end) {
        const at: usize = @intCast(request.copy_message - session.output_base);
        if (output.len() - at < message_size_max) return at;
    }
    const at = try output.beginMessage('d');
    request.copy_message = session.output_base + at;
    return at;
}

/// Send what is worth a system call, and look what the backend says.
pub fn pump(self: *Link) py.Error!Progress {
    if (backlog(self) < message_size_max) return .wants_data;
    return self.advance(0);
}

/// feed_records(iterator, described) -> bool: write records as long as the iterator gives some and the socket takes
/// them; True: there are no more. `described` is the finished `prepare` of a query for the columns; `binary`
/// says in which format. What `Connection.progress` says then is for the caller.
pub fn feedRecords(object: *Object, self: *Link, arguments: []const *Object) py.Error!*Object {
    const iterator, const described, const binary = arguments[0..3].*;
    if (py.PyIter_Check(iterator) == 0) return raise.typeError("feed_records takes an iterator");
    const source = try calls.requestOf(object, described, "feed_records takes the Request of a prepare");
    const statement = source.statement orelse return raise.raise("InterfaceError", "the request has described nothing", .{});
    const request = open(self) orelse {
        self.progress = try closing(self);
        return py.boolean(false);
    };
    if (!request.copying) return raise.raise("InterfaceError", "the backend does not read data yet", .{});
    _ = py.incref(described);
    defer py.decref(described);
    request.copy_binary = binary == py.hd_true();
    const slice_end = net.now() + link_file.slice_ns;
    while (true) {
        const is_over = try records.write(self, request, statement, iterator, slice_end);
        self.progress = try pump(self);
        if (is_over or self.progress != .wants_data) return py.boolean(is_over);
        if (net.now() > slice_end) {
            self.progress = .again;
            return py.boolean(false);
        }
    }
}

/// end_copy() -> progress: no more data comes.
pub fn endCopy(_: *Object, self: *Link, _: []const *Object) py.Error!*Object {
    const request = open(self) orelse return calls.progressObject(self, try closing(self));
    if (request.copy_binary) try put(self, request, trailer);
    const output = &self.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    protocol.copy_done.encode(output) catch |err| return submit.encodeFailed(err);
    protocol.sync.encode(output) catch |err| return submit.encodeFailed(err);
    try submit.sent(self, request, &.{ .copy_done, .sync });
    return calls.progressObject(self, try ended(self, request));
}

/// Its caller gives up: nothing of what was copied may stay.
pub fn fail(self: *Link, request: *Request) py.Error!void {
    if (request.copy != .in or request.copy_ended or self.closed) return;
    const output = &self.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    protocol.copy_fail.encode(output, "the frontend has given up") catch |err| return submit.encodeFailed(err);
    protocol.sync.encode(output) catch |err| return submit.encodeFailed(err);
    try submit.sent(self, request, &.{ .copy_fail, .sync });
    request.copy_ended = true;
    self.flushRequest() catch {
        self.closed = true; // whoever waits for the rest finds it so
    };
}

/// The backend has answered a COPY IN before its end, with an error or because it was none: it waits for a Sync.
pub fn settle(self: *Link, request: *Request) py.Error!void {
    if (request.copy != .in or request.copy_ended or self.closed or request.owed_left > 0) return;
    protocol.sync.encode(&self.session.output) catch |err| return submit.encodeFailed(err);
    try submit.sent(self, request, &.{.sync});
    _ = try ended(self, request);
}

fn ended(self: *Link, request: *Request) py.Error!Progress {
    request.copy_ended = true;
    request.output_end = self.session.position();
    self.flushRequest() catch |err| return ending.ioFailed(self, request, err);
    // Of what is here already the socket would not say so.
    return if (self.session.hasInput()) .again else .waiting;
}

/// Rows have come where data was to come, or data was to go the other way.
pub fn violated(self: *Link, request: *Request) void {
    raise.set("ProtocolError", "the server answered a COPY with something else than its data", .{});
    request.takeException();
    self.closed = true;
}

/// One CopyData of a COPY OUT: a row.
pub fn received(self: *Link, request: *Request, data: []const u8) py.Error!void {
    if (request.fault != null or request.copy != .out) return;
    request.part_size += data.len;
    if (request.statement == null) {
        return request.copied.appendSlice(gpa, data) catch return raise.outOfMemory();
    }
    var body = data;
    if (!request.copy_header) {
        if (!std.mem.startsWith(u8, body, signature) or body.len < header.len) return malformed(self, request);
        const extension = std.mem.readInt(u32, body[header.len - 4 ..][0..4], .big);
        if (extension > body.len - header.len) return malformed(self, request);
        body = body[header.len + extension ..];
        request.copy_header = true;
    }
    if (body.len == 0 or std.mem.eql(u8, body, trailer)) return;
    self.buildRow(request, body) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        // What is inside of a record is not announced; it is read as the text that cannot be had here.
        error.UnknownType => {
            raise.set("DataError", "a value holds a type that is not known: read these rows with stream()", .{});
            request.takeException();
        },
    };
}

fn malformed(self: *Link, request: *Request) void {
    raise.set("ProtocolError", "the data of the COPY does not begin as its binary format does", .{});
    request.takeException();
    self.closed = true;
}

pub fn isPartFull(request: *const Request) bool {
    return request.fault == null and request.part_size >= request.part_size_max;
}

/// take_part(request) -> bytes | list | None: what has come of a COPY OUT since the last time.
pub fn takePart(object: *Object, _: *Link, arguments: []const *Object) py.Error!*Object {
    const request = try calls.requestOf(object, arguments[0], "take_part takes a Request");
    request.part_size = 0;
    if (request.statement != null) {
        const rows = request.rows orelse return py.none();
        request.rows = null;
        return rows;
    }
    const copied = &request.copied;
    if (copied.items.len == 0) return py.none();
    defer if (copied.capacity > 4 * request.part_size_max) copied.clearAndFree(gpa) else copied.clearRetainingCapacity();
    return py.checked(py.PyBytes_FromStringAndSize(copied.items.ptr, @intCast(copied.items.len)));
}
