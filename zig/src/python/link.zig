//! The state behind a native `Connection`, and the way of the replies: what has arrived is framed,
//! checked and handed to the request that waits for it. Never waits for the socket itself.
const std = @import("std");
const protocol = @import("protocol");
const net = @import("net");
const session_layer = @import("session");
const py = @import("py.zig");
const announce = @import("announce.zig");
const copy = @import("copy.zig");
const raise = @import("raise.zig");
const decode = @import("decode.zig");
const session_state = @import("session_state.zig");
const submit = @import("submit.zig");
const ending = @import("ending.zig");
const error_reply = @import("error_reply.zig");
const owed = @import("owed.zig");
const prepared = @import("prepared.zig");
const service = @import("service.zig");
const Context = @import("context.zig").Context;
const TypeMap = @import("type_map.zig").TypeMap;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Request = @import("request.zig").Request;
const Statement = @import("statement.zig").Statement;
const Object = py.Object;
const Session = session_layer.Session;
const Event = session_layer.Event;

pub const gpa = std.heap.c_allocator;

/// One step of `advance` decodes rows for this long, then gives the loop its turn.
pub const slice_ns = 3 * std.time.ns_per_ms;
/// The clock is asked once in this many rows.
const rows_per_look = 16;
/// Rows that wait for types are given this many rounds of looking them up before they are read as they are.
const rounds_patient = 3;

/// What `advance` says; numbers that the Python half names.
pub const Progress = enum(u8) {
    /// The socket has nothing more, or takes nothing more, now.
    waiting = 0,
    done = 1,
    /// The slice is over, more is here already: call again soon.
    again = 2,
    /// `Request.unknown_oids` must be introspected and added, then `resume` called.
    needs_types = 3,
    /// A COPY IN takes more data: `feed` it, or `end_copy`.
    wants_data = 4,
    /// A part of a COPY OUT is here: `take_part`, then go on.
    full = 5,
};

pub const Link = struct {
    /// The Python object this is the inside of; borrowed.
    object: *Object,
    session: Session,
    fd: std.c.fd_t,
    type_map: *Object,
    map: *TypeMap,
    filter: ?*Object,
    /// Run-time parameters that the backend reports, name to value.
    parameters: *Object,
    cache: prepared.Cache,
    /// Statements to be closed on the backend, by number, in front of the next batch.
    closing: std.ArrayList(u64) = .empty,
    /// Portals that have been read to their end, by number: they are closed in front of the next batch, or end
    /// with their transaction.
    spent: std.ArrayList(u64) = .empty,
    /// The requests under way, in the order of sending. What comes is for the first.
    queue: std.Deque(*Object) = .empty,
    /// Those that are done and have somebody who waits for them, until `take_finished`.
    finished: std.ArrayList(*Object) = .empty,
    /// ReadyForQuery that will come for all but the first request.
    syncs_behind: usize = 0,
    /// Another request may be sent behind the last one.
    tail_open: bool = false,
    /// Portals opened so far: the last one's number.
    portals: u64 = 0,
    /// Requests under way that what stands behind them in a pipeline would be wrong to overtake.
    barriers: usize = 0,
    bytes_in_flight: u64 = 0,
    /// What the requests under way are expected to take.
    service_in_flight: u64 = 0,
    /// When the last request was complete.
    answered_ns: u64 = 0,
    /// When the loop was free to look for the answer to what was sent last: it may have been busy before.
    looked_ns: u64 = 0,
    /// The least that a round trip takes.
    rtt_ns: u64 = 0,
    /// How often the backend was not the one that had prepared a statement.
    strangers: u8 = 0,
    /// Commands that go in front of the next statement.
    owed: std.ArrayList([]u8) = .empty,
    /// Whether waiting in the call has been worth it for those that went alone: a COMMIT.
    owed_look: prepared.Look = .{},
    on_notice: ?*Object = null,
    on_notification: ?*Object = null,
    closed: bool = false,
    /// What is submitted waits for `push`: more is to leave with it.
    corked: bool = false,
    /// What the last step of the request under way said.
    progress: Progress = .waiting,
    /// The next borrower would notice: the session is to be reset before.
    session_changed: bool = false,
    /// Names may lead to other tables than on the pool's other connections.
    other_path: bool = false,
    /// The transaction under way has changed what texts mean.
    has_altered: bool = false,
    /// Entered by one thread, and not by a callback of its own call.
    busy: std.atomic.Value(bool) = .init(false),

    pub fn enter(self: *Link) py.Error!void {
        if (self.busy.swap(true, .acquire)) {
            return raise.raise("InterfaceError", "the connection is in use by another thread or by the call that called back", .{});
        }
    }

    pub fn leave(self: *Link) void {
        self.busy.store(false, .release);
    }

    /// Read and handle what is there. Faults of the backend and the network end in the requests.
    /// `done`: nothing is under way any more.
    /// `patience_ns`: how long to wait for more of a result that is coming in already; the slice bounds it all.
    pub fn advance(self: *Link, patience_ns: u64) py.Error!Progress {
        if (self.queue.len == 0) return raise.raise("InterfaceError", "no request is under way", .{});
        const slice_end = net.now() + slice_ns;
        var rows: usize = 0;
        while (self.queue.front()) |object| {
            // Whatever a callback does, the request outlives this call.
            _ = py.incref(object);
            defer py.decref(object);
            const progress = try self.advanceFirst(Request.of(object), slice_end, patience_ns, &rows);
            if (progress != .done) return progress;
        }
        return .done;
    }

    /// Take in what comes for the first request. `done`: it is complete, the next one is the first now.
    fn advanceFirst(self: *Link, request: *Request, slice_end: u64, patience_ns: u64, rows: *usize) py.Error!Progress {
        if (request.stage == .held) {
            if (!try self.replay(request, slice_end)) return .again;
            return self.complete(request);
        }
        if (self.session.wantsWrite()) self.flushRequest() catch |err| return ending.ioFailed(self, request, err);
        while (true) {
            while (self.session.next() catch return ending.violated(self, request)) |event| {
                if (event == .data_row) {
                    try self.row(request, event.data_row);
                    if (self.closed) return ending.done(self, request);
                    rows.* += 1;
                    if (rows.* % rows_per_look == 0 and net.now() > slice_end) return .again;
                    continue;
                }
                if (event == .copy_data) {
                    try copy.received(self, request, event.copy_data);
                    if (self.closed) return ending.done(self, request);
                    rows.* += 1;
                    if (copy.isPartFull(request)) return .full;
                    if (rows.* % rows_per_look == 0 and net.now() > slice_end) return .again;
                    continue;
                }
                if (try self.handle(request, event)) |progress| {
                    if (progress == .done and net.now() > slice_end and self.queue.len > 0) return .again;
                    return progress;
                }
                if (self.closed) return ending.done(self, request);
            }
            switch (self.session.fill() catch |err| return ending.ioFailed(self, request, err)) {
                .received => {},
                .would_block => {
                    if (copy.wantsData(self, request)) return .wants_data;
                    if (patience_ns == 0 or rows.* == 0 or net.now() > slice_end) return .waiting;
                    if (request.is_slow) return .waiting;
                    if (!try self.pollFor(.{ .read = true }, patience_ns)) {
                        request.is_slow = true;
                        return .waiting;
                    }
                },
                .end => return ending.lost(self, request, "the server closed the connection unexpectedly"),
            }
            if (net.now() > slice_end) return .again;
        }
    }

    /// Add a request that has been written to those under way.
    pub fn enqueue(self: *Link, object: *Object) py.Error!void {
        self.queue.pushBack(gpa, object) catch {
            // The backend will answer what nobody waits for.
            self.closed = true;
            return raise.outOfMemory();
        };
        _ = py.incref(object);
        const request = Request.of(object);
        request.was_alone = self.queue.len == 1;
        if (!request.was_alone) self.syncs_behind += request.syncs;
        request.size = request.output_end -| request.output_start;
        self.bytes_in_flight += request.size;
        if (request.statement) |statement| request.service_ns = @min(statement.service.mean(), slice_ns);
        self.service_in_flight += request.service_ns;
        request.is_barrier = service.isBarrier(request);
        self.barriers += @intFromBool(request.is_barrier);
    }

    /// Take the first request off the queue: the caller has its reference.
    pub fn dequeue(self: *Link) ?*Object {
        const object = self.queue.popFront() orelse return null;
        const request = Request.of(object);
        self.bytes_in_flight -|= request.size;
        self.service_in_flight -|= request.service_ns;
        self.barriers -= @intFromBool(request.is_barrier);
        if (self.queue.front()) |next| self.syncs_behind -|= Request.of(next).syncs;
        return object;
    }

    /// Send what can be sent, for requests under way; true when nothing is left. A dead socket is no fault
    /// yet: the server's last words may still wait to be read, and the next receive says if there are none.
    pub fn flushRequest(self: *Link) Session.IoError!void {
        _ = self.session.flush() catch |err| switch (err) {
            error.SocketFailed => self.session.dropOutput(),
            else => return err,
        };
    }

    fn row(self: *Link, request: *Request, body: []const u8) py.Error!void {
        if (request.copy != .none) return copy.violated(self, request);
        if (request.statement) |statement| if (!statement.has_rows) {
            raise.set("ProtocolError", "a DataRow came for a statement that gives no rows", .{});
            request.takeException();
            self.closed = true;
            return;
        };
        if (!request.wantsRow()) return;
        // Once a type was missing, later rows wait too, to keep their order.
        if (request.statement == null or request.held.items.len > request.held_read) return self.hold(request, body);
        self.buildRow(request, body) catch |err| switch (err) {
            error.UnknownType => return self.hold(request, body),
            error.PythonError => return error.PythonError,
        };
    }

    /// A value that cannot be had is the request's fault; error.PythonError is left for what is nobody's.
    pub fn buildRow(self: *Link, request: *Request, body: []const u8) error{ UnknownType, PythonError }!void {
        var context: Context = .init(self.map);
        context.insist = request.rounds >= rounds_patient;
        const statement = request.statement.?;
        const made = request.sink.row(gpa, &context, statement, body) catch |err| {
            switch (err) {
                error.PythonError => {},
                error.UnknownType => {
                    request.noteUnknown(context.unknown_oid) catch return raise.outOfMemory();
                    return error.UnknownType;
                },
                error.OutOfMemory => _ = py.PyErr_NoMemory(),
                error.FieldCountMismatch => raise.set("ProtocolError", "a DataRow has another number of values than the statement has columns", .{}),
                error.DuplicateName => raise.set("DataError", "two columns have the same name: give them names of their own, or read the rows as tuples", .{}),
                error.Malformed, error.NotRepresentable => raiseColumn(statement, request.sink.column, err, &context),
            }
            request.takeException();
            // Bytes that do not fit what the server itself described: nothing it says can be trusted.
            if (err == error.Malformed or err == error.FieldCountMismatch) self.closed = true;
            return;
        };
        if (made) |object| request.addRow(object) catch request.takeException();
    }

    fn hold(_: *Link, request: *Request, body: []const u8) py.Error!void {
        const size = std.math.cast(u32, body.len) orelse return raise.outOfMemory();
        request.held.ensureUnusedCapacity(gpa, body.len + 4) catch return raise.outOfMemory();
        request.held.appendSliceAssumeCapacity(&std.mem.toBytes(size));
        request.held.appendSliceAssumeCapacity(body);
    }

    /// Build the rows that were held, now that their types are known. False when the slice is over.
    fn replay(self: *Link, request: *Request, slice_end: u64) py.Error!bool {
        while (request.held_read < request.held.items.len) {
            const rest = request.held.items[request.held_read..];
            const size = std.mem.bytesToValue(u32, rest[0..4]);
            self.buildRow(request, rest[4..][0..size]) catch |err| switch (err) {
                error.UnknownType => return true, // another one: `complete` asks for it
                error.PythonError => return error.PythonError,
            };
            if (request.fault != null) return true;
            request.held_read += 4 + size;
            if (net.now() > slice_end) return false;
        }
        request.held.clearAndFree(gpa);
        request.held_read = 0;
        return true;
    }

    /// Everything but rows. Returns what `advance` shall say, or null to go on.
    fn handle(self: *Link, request: *Request, event: Event) py.Error!?Progress {
        switch (event) {
            .data_row, .copy_data => unreachable,
            .parse_complete => if (request.owed_left == 0) try self.parsed(request),
            .bind_complete => if (request.owed_left == 0) {
                request.bound = true;
            },
            .close_complete, .copy_done => {},
            .portal_suspended => request.suspended = true,
            .parameter_description => |description| try noteParameters(request, description),
            .row_description => |description| try self.described(request, description),
            .no_data => try self.described(request, null),
            .command_complete => |tag| {
                if (request.owed_left > 0) {
                    owed.answered(request);
                    if (!request.owed_only) return null;
                }
                request.keepTag(tag, protocol.rowCount(tag));
                if (request.portal != 0) self.spent.append(gpa, request.portal) catch return raise.outOfMemory();
                if (altersTypes(tag)) self.map.forgetComposites();
                try self.noteTag(request, tag);
                try copy.settle(self, request);
            },
            .empty_query => {
                request.keepTag("", 0);
                try copy.settle(self, request);
            },
            .error_response => |body| {
                try error_reply.failed(self, request, body);
                try copy.settle(self, request);
            },
            .notice => |body| try announce.notice(self, body),
            .notification => |notification| try announce.notification(self, notification),
            .parameter_status => |status| try self.noteParameter(request, status),
            // Not the last one: the Sync behind a CopyFail in the middle of a batch has one of its own.
            // Nor is the one that a reset in front of a COPY IN, or of what takes more sets, has: these end later.
            .ready_for_query => {
                if (request.is_open or self.session.connection.pendingSyncs() > self.syncs_behind) return null;
                if (request.copy == .in and !request.copy_ended) return null;
                return try self.ready(request);
            },
            .copy_in => switch (request.copy) {
                .none => return try self.refuseCopyIn(request),
                .out => copy.violated(self, request),
                .in => {
                    request.copying = true;
                    if (copy.wantsData(self, request)) return .wants_data;
                },
            },
            .copy_out => switch (request.copy) {
                .none => self.refuseCopyOut(request),
                .in => copy.violated(self, request),
                .out => request.copying = true,
            },
            .authentication, .backend_key_data, .negotiate_protocol_version => unreachable, // the state machine lets them through during startup alone
        }
        return null;
    }

    fn parsed(self: *Link, request: *Request) py.Error!void {
        request.parsed = true;
        // The statement that was sent along with Parse is known already; else it is made in `ready`.
        if (request.stage == .executing and request.parse_number != 0 and !request.one_trip) {
            try submit.keepPrepared(self, request.statement.?, request.parse_number);
        }
    }

    /// Null is NoData: no columns.
    fn described(self: *Link, request: *Request, description: ?protocol.RowDescription) py.Error!void {
        request.description.clearRetainingCapacity();
        request.description_count = 0;
        request.has_rows = description != null;
        if (description) |columns| {
            request.description.appendSlice(gpa, columns.reader.rest) catch return raise.outOfMemory();
            request.description_count = columns.count;
        }
        // A portal's description comes with rows in these very formats behind it.
        if (request.stage != .executing) return;
        if (request.one_trip) try submit.learnOnTheWay(self, request) else try submit.adopt(self, request);
    }

    fn ready(self: *Link, request: *Request) py.Error!Progress {
        if (self.session.connection.transaction_status == .idle) self.spent.clearRetainingCapacity();
        if (self.other_path and !self.session_changed and self.session.connection.transaction_status == .idle) {
            try self.leavePath();
            self.other_path = false;
        }
        if (self.has_altered and self.session.connection.transaction_status == .idle) {
            // Others have read the old definitions until now; and if it was rolled back we have read the new ones.
            self.has_altered = false;
            self.map.catalog.renew();
        }
        if (request.fault != null) return self.complete(request);
        switch (request.stage) {
            .preparing => {
                if (!try submit.resolve(self, request)) {
                    request.stage = .needs_types;
                    return .needs_types;
                }
                if (request.describe_only) {
                    try self.keepDescribed(request);
                    return self.complete(request);
                }
                submit.execute(self, request) catch {
                    request.takeException();
                    return self.complete(request);
                };
                self.flushRequest() catch |err| return ending.ioFailed(self, request, err);
                return .waiting;
            },
            .executing => return self.complete(request),
            .needs_types, .held, .done => unreachable, // nothing is owed in these stages
        }
    }

    /// What was prepared ahead is used by its name from now on.
    pub fn keepDescribed(self: *Link, request: *Request) py.Error!void {
        if (!request.parsed or request.parse_number == 0) return;
        try submit.keepPrepared(self, request.statement.?, request.parse_number);
    }

    /// All replies are in. Rows may still wait for types.
    fn complete(self: *Link, request: *Request) Progress {
        if (request.fault == null and request.held_read < request.held.items.len) {
            request.stage = .held;
            return .needs_types;
        }
        return ending.done(self, request);
    }

    /// What a command did to the session, and to what is known of other statements.
    fn noteTag(self: *Link, request: *const Request, tag: []const u8) py.Error!void {
        if (request.changes_path) try self.leavePath();
        // Nearly all commands are one of these.
        if (std.mem.startsWith(u8, tag, "SELECT ") or std.mem.startsWith(u8, tag, "INSERT ")) return;
        const sql = if (request.arguments == null) null else try submit.textOf(request.sql);
        if (session_state.tagChanges(tag, sql)) self.session_changed = true;
        if (session_state.isReset(tag)) self.session_changed = false;
        if (session_state.tagDeallocates(tag)) {
            self.cache.clear();
            self.closing.clearRetainingCapacity();
        }
        if (session_state.isReset(tag)) self.other_path = false;
        if (session_state.tagAlters(tag)) {
            self.has_altered = true;
            self.map.catalog.renew();
        }
    }

    /// What is prepared here means something else now, and is no news for the other connections.
    fn leavePath(self: *Link) py.Error!void {
        self.other_path = true;
        while (self.cache.takeAny()) |number| self.closing.append(gpa, number) catch return raise.outOfMemory();
    }

    /// Behind a pooler nothing is prepared under a name, and what was is somewhere else.
    pub fn heedPooler(self: *Link) void {
        if (self.cache.capacity == 0 or !self.map.has_pooler.load(.acquire)) return;
        self.cache.clear();
        self.closing.clearRetainingCapacity();
        self.cache.capacity = 0;
    }

    fn altersTypes(tag: []const u8) bool {
        return std.mem.eql(u8, tag, "ALTER TYPE") or std.mem.eql(u8, tag, "ALTER TABLE");
    }

    fn noteParameter(self: *Link, request: *Request, status: protocol.ParameterStatus) py.Error!void {
        try announce.parameter(self, status);
        if (std.mem.eql(u8, status.name, "client_encoding") and !std.mem.eql(u8, status.value, "UTF8")) {
            self.closed = true;
            raise.set("InterfaceError", "client_encoding was changed to {s}; it must stay UTF8, the connection is closed", .{status.value});
            request.takeException();
        }
    }

    /// COPY ... FROM STDIN as an ordinary statement. In copy-in mode the backend passed over our
    /// Sync, so one is owed behind CopyFail.
    fn refuseCopyIn(self: *Link, request: *Request) py.Error!?Progress {
        // The backend reads what stands behind it as part of the COPY, and is lost to the others.
        if (self.queue.len > 1) self.closed = true;
        raise.set("InterfaceError", "COPY FROM STDIN cannot run as an ordinary statement, nothing was copied: execute(sql, data) takes its data", .{});
        request.takeException();
        if (self.closed) return null;
        submit.refuseCopyIn(self, request) catch return raise.outOfMemory();
        self.flushRequest() catch |err| return try ending.ioFailed(self, request, err);
        return null;
    }

    fn refuseCopyOut(_: *Link, request: *Request) void {
        raise.set("InterfaceError", "COPY TO STDOUT cannot run as an ordinary statement, its data was dropped: copy_out(sql) gives it", .{});
        request.takeException();
    }

    /// Wait for the socket with the GIL released; false when the time is over. A signal handler may raise.
    pub fn pollFor(self: *Link, interest: net.Socket.Interest, timeout_ns: ?u64) py.Error!bool {
        var socket: net.Socket = switch (self.session.transport) {
            .socket => |socket| socket,
            .filter => .{ .fd = self.fd },
        };
        const thread = py.PyEval_SaveThread();
        const outcome = socket.poll(interest, timeout_ns);
        py.PyEval_RestoreThread(thread);
        return outcome catch |err| switch (err) {
            error.Interrupted => {
                try py.ok(py.PyErr_CheckSignals());
                return true; // not known: the caller looks
            },
            error.SocketFailed => true, // the next receive says why
        };
    }

    /// True where an idle connection can be handed out: nothing has come but what may come at any time.
    pub fn isAlive(self: *Link) py.Error!bool {
        if (self.closed or self.queue.len > 0) return false;
        if (self.session.transport == .socket and !self.session.hasInput() and self.session.transport.socket.isQuiet()) return true;
        // One who never stops talking is not worth the time of everybody else on the loop.
        const slice_end = net.now() + slice_ns;
        while (net.now() <= slice_end) {
            while (self.session.next() catch return false) |event| switch (event) {
                .notice => |body| try announce.notice(self, body),
                .notification => |notification| try announce.notification(self, notification),
                .parameter_status => |status| try announce.parameter(self, status),
                else => return false,
            };
            switch (self.session.fill() catch |err| {
                if (err == error.FilterFailed) py.PyErr_Clear();
                return false;
            }) {
                .received => {},
                .would_block => return true,
                .end => return false,
            }
        }
        return false;
    }
};

fn noteParameters(request: *Request, description: protocol.ParameterDescription) py.Error!void {
    request.parameter_oids.clearRetainingCapacity();
    var oids = description.iterator();
    while (oids.next()) |oid| request.parameter_oids.append(gpa, oid) catch return raise.outOfMemory();
}

fn raiseColumn(statement: *const Statement, index: usize, err: anyerror, context: *const Context) void {
    const column = statement.columns[index];
    var size: isize = 0;
    const name = if (py.PyUnicode_AsUTF8AndSize(column.name, &size)) |bytes| bytes[0..@intCast(size)] else "?";
    const why = if (context.message.len > 0) context.message else "the bytes are not of this type's form";
    const class = if (err == error.Malformed) "ProtocolError" else "DataError";
    raise.set(class, "column \"{s}\" ({f}): {s}", .{ name, column.info, why });
}
