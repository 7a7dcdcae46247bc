//! The frontend's side of one session, without I/O: a queue of what was sent, and so of the replies
//! owed; backend bytes come in, one event per message goes out.
//!
//! Whoever writes a message with `protocol` notes it here with `sent`. `next` checks each backend
//! message against the table in state.zig. After a protocol violation every further call gives the
//! same error: the connection must be closed.
//! PostgreSQL docs: protocol-flow.
const std = @import("std");
const protocol = @import("protocol");
const event_module = @import("event.zig");
const state_module = @import("state.zig");
const violation_module = @import("violation.zig");

const Event = event_module.Event;
const State = state_module.State;
const ProtocolViolation = violation_module.ProtocolViolation;
const Violation = violation_module.Violation;

/// A frontend message that the state machine must know of. Flush, Terminate and CopyData are none.
pub const Sent = enum(u8) {
    startup,
    /// PasswordMessage, SASLInitialResponse or SASLResponse.
    password,
    query,
    parse,
    bind,
    describe_statement,
    describe_portal,
    execute,
    /// Execute with a row limit other than 0.
    execute_limited,
    close,
    sync,
    copy_done,
    copy_fail,
};

pub const Step = struct {
    event: Event,
    /// How many bytes of the buffer the message took.
    consumed: usize,
};

pub const Connection = struct {
    gpa: std.mem.Allocator,
    /// What was sent and is not wholly answered. The reply at the front has come to `state`.
    queue: std.Deque(Sent) = .empty,
    state: State = .idle,
    /// DataRows change nothing now: see `next`.
    is_rows: bool = false,
    /// An error came while it was open whether the backend had read a Sync as part of a COPY, which
    /// ignores it. One ReadyForQuery more may come than is owed: do not use the session again.
    /// (Not seen: a COPY cancelled in the instant that our CopyFail crosses. There the surplus
    /// ReadyForQuery is a violation when it comes, so a Sync round trip after a cancel finds it.)
    in_doubt: bool = false,
    ready_owed: usize = 0,
    syncs_ignored: usize = 0,
    transaction_status: protocol.TransactionStatus = .idle,
    /// The largest length word that is accepted.
    message_size_max: u32 = message_size_max_default,
    violation: ?Violation = null,

    /// What PostgreSQL itself can build.
    pub const message_size_max_default = 1 << 30;

    pub fn init(gpa: std.mem.Allocator) Connection {
        return .{ .gpa = gpa };
    }

    pub fn deinit(self: *Connection) void {
        self.queue.deinit(self.gpa);
        self.* = undefined;
    }

    /// Make room for `count` messages, so that `sent` cannot fail for so many.
    pub fn reserve(self: *Connection, count: usize) error{OutOfMemory}!void {
        try self.queue.ensureUnusedCapacity(self.gpa, count);
    }

    /// Note that a message was sent, in the order of sending. Its bytes may still be in a buffer.
    pub fn sent(self: *Connection, what: Sent) error{OutOfMemory}!void {
        switch (what) {
            .password => return self.passwordSent(),
            // With other messages between, it is no answer to this COPY: that one has failed.
            .copy_done, .copy_fail => if (self.queue.len == 1 and self.endCopyIn(what)) return,
            .sync => if (self.queue.len == 1 and self.isCopyIn()) {
                self.syncs_ignored += 1;
                return;
            },
            else => {},
        }
        // The backend reads and drops it, as it does with all but Sync.
        if (self.state == .skipping and what != .sync) return;
        try self.queue.pushBack(self.gpa, what);
        if (isAnsweredByReady(what)) self.ready_owed += 1;
        if (self.state == .idle) {
            self.enterFront();
        } else if (self.state == .skipping) {
            self.enter(.failed);
        }
    }

    /// The event of the message at the start of `buffer`, or null when more bytes are needed.
    pub inline fn next(self: *Connection, buffer: []const u8) ProtocolViolation!?Step {
        if (self.is_rows and buffer.len >= protocol.frame.header_size and buffer[0] == 'D') {
            const length = std.mem.readInt(u32, buffer[1..5], .big);
            if (length >= 6 and length <= self.message_size_max and length < buffer.len) {
                const size = @as(usize, length) + 1;
                return .{
                    .event = .{ .data_row = buffer[protocol.frame.header_size..size] },
                    .consumed = size,
                };
            }
        }
        return self.nextAny(buffer);
    }

    /// How many ReadyForQuery are still to come: one per Sync, per Query, and one for start-up.
    pub fn pendingSyncs(self: *const Connection) usize {
        return self.ready_owed;
    }

    /// Nothing is owed by either side.
    pub fn isIdle(self: *const Connection) bool {
        return self.state == .idle;
    }

    /// The backend waits for `sent(.password)`.
    pub fn isPasswordOwed(self: *const Connection) bool {
        return self.state == .password_owed or self.state == .sasl_owed;
    }

    /// The backend waits for CopyData, CopyDone or CopyFail.
    pub fn isCopyIn(self: *const Connection) bool {
        return self.state == .query_copy_in or self.state == .execute_copy_in;
    }

    /// An extended-protocol error came and no Sync is under way: the backend answers nothing else.
    pub fn isSyncOwed(self: *const Connection) bool {
        return self.state == .skipping;
    }

    /// The backend has said that it closes: end of stream is no surprise now.
    pub fn isTerminated(self: *const Connection) bool {
        return self.state == .terminated;
    }

    noinline fn nextAny(self: *Connection, buffer: []const u8) ProtocolViolation!?Step {
        if (self.violation) |violation| return violation.kind;
        if (buffer.len == 0) return null;
        const step = self.read(buffer) catch |err| {
            self.violation = .{ .kind = err, .message_type = buffer[0], .state = self.state };
            self.is_rows = false;
            return err;
        } orelse return null;
        return step;
    }

    /// The type byte alone says whether the message can be right, so nothing wrong is waited for.
    fn read(self: *Connection, buffer: []const u8) ProtocolViolation!?Step {
        const message = protocol.BackendMessage.fromByte(buffer[0]) orelse return error.UnknownMessage;
        if (!state_module.accepts(self.state, message)) return error.UnexpectedMessage;
        const is_start_up = state_module.isStartUp(self.state);
        const size_max = event_module.sizeMax(message, is_start_up, self.message_size_max);
        const frame = try protocol.frame.next(buffer, size_max) orelse return null;
        const incoming, const event = try event_module.decode(message, frame.body);
        const to = state_module.transition(self.state, incoming) orelse return error.UnexpectedMessage;
        if (incoming == .error_response and self.syncs_ignored > 0) self.doubt(frame.body);
        if (incoming == .ready_for_query) self.transaction_status = event.ready_for_query;
        self.follow(to);
        return .{ .event = event, .consumed = frame.size() };
    }

    fn follow(self: *Connection, to: State) void {
        if (to == self.state) return;
        switch (to) {
            .done => {
                self.drop();
                self.enterFront();
            },
            .skip => {
                while (self.queue.front()) |what| {
                    if (what == .sync) return self.enter(.failed);
                    self.drop();
                }
                self.enter(.skipping);
            },
            .execute_copy_in, .query_copy_in => self.beginCopyIn(to),
            else => self.enter(to),
        }
    }

    fn enter(self: *Connection, state: State) void {
        self.state = state;
        self.is_rows = state_module.isRows(state);
    }

    /// Take the front off the queue.
    fn drop(self: *Connection) void {
        const what = self.queue.popFront() orelse return;
        if (isAnsweredByReady(what)) self.ready_owed -= 1;
    }

    /// Wait for the reply to what is now at the front. CopyDone and CopyFail outside of COPY get
    /// none: the backend takes them for late ones and drops them.
    fn enterFront(self: *Connection) void {
        while (self.queue.front()) |what| {
            const state: State = switch (what) {
                .startup => .startup,
                .query => .query,
                .parse => .parse,
                .bind => .bind,
                .describe_statement => .describe_statement,
                .describe_portal => .describe_portal,
                .execute => .execute,
                .execute_limited => .execute_limited,
                .close => .close,
                .sync => .sync,
                .copy_done, .copy_fail, .password => {
                    self.drop();
                    continue;
                },
            };
            return self.enter(state);
        }
        self.enter(.idle);
    }

    /// COPY begins. The backend reads Syncs as part of it and ignores them. CopyDone or CopyFail may
    /// have been sent already.
    fn beginCopyIn(self: *Connection, to: State) void {
        self.enter(to);
        self.syncs_ignored = 0;
        const front = self.queue.popFront() orelse return;
        defer self.queue.pushFrontAssumeCapacity(front);
        while (self.queue.front()) |what| switch (what) {
            .sync => {
                self.drop();
                self.syncs_ignored += 1;
            },
            .copy_done, .copy_fail => {
                _ = self.endCopyIn(what);
                return self.drop();
            },
            else => return,
        };
    }

    /// Whether a COPY was there to end.
    fn endCopyIn(self: *Connection, what: Sent) bool {
        const is_done = what == .copy_done;
        switch (self.state) {
            .execute_copy_in => self.enter(if (is_done) .execute_copy_in_done else .execute_copy_in_failed),
            .query_copy_in => self.enter(if (is_done) .query_copy_in_done else .query_copy_in_failed),
            else => return false,
        }
        return true;
    }

    /// A COPY IN has failed that Syncs were sent into. Had the backend got as far as CopyDone or
    /// CopyFail, or does it complain about data, then it has read and ignored them. Cancelled, it may
    /// have stopped before them, and answers them now.
    fn doubt(self: *Connection, body: []const u8) void {
        const is_cancelled = if (protocol.ErrorResponse.decode(body)) |response|
            std.mem.eql(u8, response.sqlstate orelse "", query_canceled)
        else |_|
            false;
        switch (self.state) {
            .execute_copy_in, .query_copy_in => self.in_doubt = true,
            .execute_copy_in_done, .query_copy_in_done => if (is_cancelled) {
                self.in_doubt = true;
            },
            else => {},
        }
    }

    fn passwordSent(self: *Connection) void {
        std.debug.assert(self.isPasswordOwed());
        self.enter(if (self.state == .sasl_owed) .sasl_sent else .password_sent);
    }
};

/// Its SQLSTATE.
const query_canceled = "57014";

fn isAnsweredByReady(what: Sent) bool {
    return switch (what) {
        .startup, .query, .sync => true,
        else => false,
    };
}
