//! The frontend's state machine as a table, and nothing else: which backend message is accepted in
//! which state, and the state it leads to. A pair that is not listed is a protocol violation.
//! Used by connection/machine.zig, which keeps the queue that `.done` and `.skip` work on.
//! PostgreSQL docs: protocol-flow, all of it.
const std = @import("std");
const protocol = @import("protocol");
const testing = std.testing;

/// What the reply at the head of the queue has come to.
pub const State = enum(u8) {
    /// Nothing is owed.
    idle,

    /// StartupMessage was sent; the backend says how to authenticate.
    startup,
    /// The backend waits for PasswordMessage.
    password_owed,
    password_sent,
    /// The backend waits for SASLInitialResponse or SASLResponse.
    sasl_owed,
    sasl_sent,
    /// The backend has given its proof, AuthenticationOk is next.
    sasl_verified,
    /// Authenticated; run-time parameters and the cancellation key come.
    session,

    parse,
    bind,
    close,
    describe_statement,
    describe_portal,
    execute,
    /// Execute with a row limit, which PortalSuspended can end.
    execute_limited,
    execute_rows,
    execute_limited_rows,
    /// The backend reads CopyData.
    execute_copy_in,
    execute_copy_in_done,
    execute_copy_in_failed,
    execute_copy_out,
    execute_copy_out_done,
    /// Sync was sent and all before it is answered.
    sync,
    /// After an error in the extended protocol: the backend skips to a Sync that was not sent yet.
    skipping,
    /// After an error in the extended protocol: the Sync is under way, its ReadyForQuery comes next.
    failed,

    /// Query was sent, no statement of it is answered.
    query,
    /// A statement of the Query is answered: another may follow, or ReadyForQuery.
    query_next,
    query_rows,
    query_copy_in,
    query_copy_in_done,
    query_copy_in_failed,
    query_copy_out,
    query_copy_out_done,
    query_failed,

    /// The session is over: a fatal error, or one during start-up. The backend closes.
    terminated,

    /// No state to rest in. The reply at the head of the queue is complete: on to the next.
    done,
    /// No state to rest in. An error in the extended protocol: drop what is owed up to the Sync.
    skip,
};

/// A backend message as far as the state machine tells it from others.
pub const Incoming = enum(u8) {
    authentication_ok,
    authentication_password,
    authentication_sasl,
    authentication_sasl_continue,
    authentication_sasl_final,
    authentication_unsupported,
    backend_key_data,
    parameter_status,
    negotiate_protocol_version,
    notice_response,
    notification_response,
    parse_complete,
    bind_complete,
    close_complete,
    parameter_description,
    row_description,
    no_data,
    data_row,
    portal_suspended,
    command_complete,
    empty_query_response,
    copy_in_response,
    copy_out_response,
    copy_data,
    copy_done,
    error_response,
    /// ErrorResponse of severity FATAL or PANIC.
    fatal_error,
    ready_for_query,

    /// As the manual writes it.
    pub fn name(self: Incoming) []const u8 {
        return switch (self) {
            .authentication_ok => "AuthenticationOk",
            .authentication_password => "a request for a password",
            .authentication_sasl => "AuthenticationSASL",
            .authentication_sasl_continue => "AuthenticationSASLContinue",
            .authentication_sasl_final => "AuthenticationSASLFinal",
            .authentication_unsupported => "Authentication",
            else => self.message().name(),
        };
    }

    /// The message it comes in.
    pub fn message(self: Incoming) protocol.BackendMessage {
        return switch (self) {
            .authentication_ok,
            .authentication_password,
            .authentication_sasl,
            .authentication_sasl_continue,
            .authentication_sasl_final,
            .authentication_unsupported,
            => .authentication,
            .fatal_error => .error_response,
            inline else => |same| @field(protocol.BackendMessage, @tagName(same)),
        };
    }
};

const Transition = struct { from: []const State, on: Incoming, to: State };

/// Every pair we accept, but for the asynchronous ones below.
const transitions = [_]Transition{
    .{ .from = &.{.startup}, .on = .negotiate_protocol_version, .to = .startup },
    .{ .from = &.{.startup}, .on = .authentication_password, .to = .password_owed },
    .{ .from = &.{.startup}, .on = .authentication_sasl, .to = .sasl_owed },
    .{ .from = &.{.startup}, .on = .authentication_unsupported, .to = .terminated },
    .{ .from = &.{.sasl_sent}, .on = .authentication_sasl_continue, .to = .sasl_owed },
    .{ .from = &.{.sasl_sent}, .on = .authentication_sasl_final, .to = .sasl_verified },
    // Not from sasl_sent: a backend that skips its own proof is not believed.
    .{ .from = &.{ .startup, .password_sent, .sasl_verified }, .on = .authentication_ok, .to = .session },
    .{ .from = &.{.session}, .on = .backend_key_data, .to = .session },
    .{ .from = &.{.session}, .on = .ready_for_query, .to = .done },

    .{ .from = &.{.parse}, .on = .parse_complete, .to = .done },
    .{ .from = &.{.bind}, .on = .bind_complete, .to = .done },
    .{ .from = &.{.close}, .on = .close_complete, .to = .done },
    .{ .from = &.{.describe_statement}, .on = .parameter_description, .to = .describe_portal },
    .{ .from = &.{.describe_portal}, .on = .row_description, .to = .done },
    .{ .from = &.{.describe_portal}, .on = .no_data, .to = .done },

    .{ .from = &.{ .execute, .execute_rows }, .on = .data_row, .to = .execute_rows },
    .{ .from = &.{ .execute_limited, .execute_limited_rows }, .on = .data_row, .to = .execute_limited_rows },
    .{ .from = &.{ .execute_limited, .execute_limited_rows }, .on = .portal_suspended, .to = .done },
    .{ .from = &.{ .execute, .execute_rows }, .on = .command_complete, .to = .done },
    .{ .from = &.{ .execute_limited, .execute_limited_rows }, .on = .command_complete, .to = .done },
    .{ .from = &.{ .execute, .execute_limited }, .on = .empty_query_response, .to = .done },
    .{ .from = &.{ .execute, .execute_limited }, .on = .copy_in_response, .to = .execute_copy_in },
    .{ .from = &.{ .execute, .execute_limited }, .on = .copy_out_response, .to = .execute_copy_out },
    .{ .from = &.{.execute_copy_in_done}, .on = .command_complete, .to = .done },
    .{ .from = &.{.execute_copy_out}, .on = .copy_data, .to = .execute_copy_out },
    .{ .from = &.{.execute_copy_out}, .on = .copy_done, .to = .execute_copy_out_done },
    .{ .from = &.{.execute_copy_out_done}, .on = .command_complete, .to = .done },

    .{ .from = &.{ .parse, .bind, .close, .describe_statement, .describe_portal }, .on = .error_response, .to = .skip },
    .{ .from = &.{ .execute, .execute_limited, .execute_rows, .execute_limited_rows }, .on = .error_response, .to = .skip },
    .{ .from = &.{ .execute_copy_in, .execute_copy_in_done, .execute_copy_in_failed }, .on = .error_response, .to = .skip },
    .{ .from = &.{ .execute_copy_out, .execute_copy_out_done }, .on = .error_response, .to = .skip },
    .{ .from = &.{.skipping}, .on = .error_response, .to = .skipping },
    // A deferred constraint fails when Sync commits.
    .{ .from = &.{ .sync, .failed }, .on = .error_response, .to = .failed },
    .{ .from = &.{ .sync, .failed }, .on = .ready_for_query, .to = .done },

    .{ .from = &.{ .query, .query_next }, .on = .row_description, .to = .query_rows },
    .{ .from = &.{.query_rows}, .on = .data_row, .to = .query_rows },
    .{ .from = &.{ .query, .query_next, .query_rows }, .on = .command_complete, .to = .query_next },
    .{ .from = &.{.query}, .on = .empty_query_response, .to = .query_next },
    .{ .from = &.{ .query, .query_next }, .on = .copy_in_response, .to = .query_copy_in },
    .{ .from = &.{ .query, .query_next }, .on = .copy_out_response, .to = .query_copy_out },
    .{ .from = &.{.query_copy_in_done}, .on = .command_complete, .to = .query_next },
    .{ .from = &.{.query_copy_out}, .on = .copy_data, .to = .query_copy_out },
    .{ .from = &.{.query_copy_out}, .on = .copy_done, .to = .query_copy_out_done },
    .{ .from = &.{.query_copy_out_done}, .on = .command_complete, .to = .query_next },
    .{ .from = &.{ .query, .query_next, .query_rows, .query_failed }, .on = .error_response, .to = .query_failed },
    .{ .from = &.{ .query_copy_in, .query_copy_in_done, .query_copy_in_failed }, .on = .error_response, .to = .query_failed },
    .{ .from = &.{ .query_copy_out, .query_copy_out_done }, .on = .error_response, .to = .query_failed },
    .{ .from = &.{ .query_next, .query_failed }, .on = .ready_for_query, .to = .done },

    // The backend says why before it closes: at start-up, and while nothing is owed.
    .{ .from = &start_up, .on = .error_response, .to = .terminated },
    .{ .from = &.{ .session, .idle }, .on = .error_response, .to = .terminated },
};

const start_up = [_]State{ .startup, .password_owed, .password_sent, .sasl_owed, .sasl_sent, .sasl_verified };

/// Where `message` leads from `state`; null when it is not accepted there.
pub fn transition(state: State, incoming: Incoming) ?State {
    return table[@backingInt(state)][@backingInt(incoming)];
}

/// Whether any form of `message` is accepted in `state`. Known from a message's first byte.
pub fn accepts(state: State, message: protocol.BackendMessage) bool {
    return accepted[@backingInt(state)].contains(message);
}

/// Authentication is not complete: what comes is from a stranger.
pub fn isStartUp(state: State) bool {
    return std.mem.findScalar(State, &start_up, state) != null;
}

/// DataRows come and change nothing: the state stays what it is.
pub fn isRows(state: State) bool {
    return transition(state, .data_row) == state;
}

const states = std.enums.values(State);
const incomings = std.enums.values(Incoming);

const table: [states.len][incomings.len]?State = build: {
    @setEvalBranchQuota(20_000);
    const none: [incomings.len]?State = @splat(null);
    var result: [states.len][incomings.len]?State = @splat(none);
    for (transitions) |one| {
        for (one.from) |from| {
            const place = &result[@backingInt(from)][@backingInt(one.on)];
            if (place.* != null) @compileError("listed twice: " ++ @tagName(from) ++ " on " ++ @tagName(one.on));
            place.* = one.to;
        }
    }
    for (states) |state| {
        const row = &result[@backingInt(state)];
        switch (state) {
            .done, .skip => continue,
            .terminated => {},
            else => row[@backingInt(Incoming.fatal_error)] = .terminated,
        }
        row[@backingInt(Incoming.notice_response)] = state;
        if (isStartUp(state) or state == .terminated) continue;
        row[@backingInt(Incoming.parameter_status)] = state;
        row[@backingInt(Incoming.notification_response)] = state;
    }
    break :build result;
};

const accepted: [states.len]std.EnumSet(protocol.BackendMessage) = build: {
    @setEvalBranchQuota(100_000);
    var result: [states.len]std.EnumSet(protocol.BackendMessage) = @splat(.empty);
    for (states) |state| {
        for (incomings) |incoming| {
            if (transition(state, incoming) != null) result[@backingInt(state)].insert(incoming.message());
        }
    }
    break :build result;
};

/// What the state waits for, after the words "while" or "unexpected … while".
pub fn describe(state: State, writer: *std.Io.Writer) std.Io.Writer.Error!void {
    switch (state) {
        .idle => return writer.writeAll("nothing was asked"),
        .password_owed, .sasl_owed => return writer.writeAll("the backend waits for a password"),
        .execute_copy_in, .query_copy_in => return writer.writeAll("the backend reads CopyData"),
        .skipping => return writer.writeAll("the backend skips to the next Sync"),
        .terminated => return writer.writeAll("the session is over"),
        else => {},
    }
    try writer.writeAll("waiting for ");
    var left: usize = 0;
    for (incomings) |incoming| left += @intFromBool(isAwaited(state, incoming));
    if (left == 0) return writer.writeAll("ErrorResponse");
    for (incomings) |incoming| {
        if (!isAwaited(state, incoming)) continue;
        try writer.writeAll(incoming.name());
        left -= 1;
        if (left > 0) try writer.writeAll(if (left == 1) " or " else ", ");
    }
}

/// Errors and asynchronous messages are accepted nearly everywhere and explain nothing.
fn isAwaited(state: State, incoming: Incoming) bool {
    return switch (incoming) {
        .error_response,
        .fatal_error,
        .notice_response,
        .parameter_status,
        .notification_response,
        .authentication_unsupported,
        => false,
        else => transition(state, incoming) != null,
    };
}

test "asynchronous messages are accepted in every state of a session and change none" {
    for (states) |state| {
        const resting = state != .done and state != .skip;
        try testing.expectEqual(if (resting) state else null, transition(state, .notice_response));
        const in_session = resting and !isStartUp(state) and state != .terminated;
        try testing.expectEqual(if (in_session) state else null, transition(state, .parameter_status));
        try testing.expectEqual(if (in_session) state else null, transition(state, .notification_response));
    }
}

test "a fatal error ends the session from every state, and nothing but notices comes after it" {
    for (states) |state| {
        const expected: ?State = if (state == .done or state == .skip or state == .terminated) null else .terminated;
        try testing.expectEqual(expected, transition(state, .fatal_error));
    }
    for (incomings) |incoming| {
        try testing.expectEqual(incoming == .notice_response, transition(.terminated, incoming) != null);
    }
}

test "DataRow leaves the row states as they are" {
    for (states) |state| {
        const expected = state == .execute_rows or state == .execute_limited_rows or state == .query_rows;
        try testing.expectEqual(expected, isRows(state));
    }
}

test "ReadyForQuery ends what it answers and nothing else" {
    for (states) |state| {
        const to = transition(state, .ready_for_query) orelse continue;
        try testing.expectEqual(.done, to);
        try testing.expect(switch (state) {
            .session, .sync, .failed, .query_next, .query_failed => true,
            else => false,
        });
    }
}

test "what a state waits for is said from the table" {
    const expectations = [_]struct { State, []const u8 }{
        .{ .idle, "nothing was asked" },
        .{ .parse, "waiting for ParseComplete" },
        .{ .describe_portal, "waiting for RowDescription or NoData" },
        .{ .execute_limited_rows, "waiting for DataRow, PortalSuspended or CommandComplete" },
        .{ .execute_copy_in_failed, "waiting for ErrorResponse" },
        .{ .sasl_sent, "waiting for AuthenticationSASLContinue or AuthenticationSASLFinal" },
        .{ .skipping, "the backend skips to the next Sync" },
    };
    for (expectations) |case| {
        var storage: [256]u8 = undefined;
        var writer: std.Io.Writer = .fixed(&storage);
        try describe(case[0], &writer);
        try testing.expectEqualStrings(case[1], writer.buffered());
    }
}
