//! The machine as a whole: every message in every state, and memory that runs out.
const std = @import("std");
const protocol = @import("protocol");
const scripted = @import("scripted.zig");
const state_module = @import("state.zig");
const machine = @import("machine.zig");

const Connection = machine.Connection;
const Incoming = state_module.Incoming;
const Sent = machine.Sent;
const State = state_module.State;
const testing = std.testing;

/// A well-formed message of each kind.
fn sample(incoming: Incoming) []const u8 {
    return switch (incoming) {
        .authentication_ok => scripted.auth_ok,
        .authentication_password => scripted.back('R', "\x00\x00\x00\x03"),
        .authentication_sasl => scripted.back('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"),
        .authentication_sasl_continue => scripted.back('R', "\x00\x00\x00\x0br=x"),
        .authentication_sasl_final => scripted.back('R', "\x00\x00\x00\x0cv=x"),
        .authentication_unsupported => scripted.back('R', "\x00\x00\x00\x07"),
        .backend_key_data => scripted.back('K', "\x00\x00\x00\x07key!"),
        .parameter_status => scripted.status,
        .negotiate_protocol_version => scripted.back('v', "\x00\x03\x00\x00\x00\x00\x00\x00"),
        .notice_response => scripted.notice,
        .notification_response => scripted.notification,
        .parse_complete => scripted.back('1', ""),
        .bind_complete => scripted.back('2', ""),
        .close_complete => scripted.back('3', ""),
        .parameter_description => scripted.back('t', "\x00\x00"),
        .row_description => scripted.one_field,
        .no_data => scripted.back('n', ""),
        .data_row => scripted.one_row,
        .portal_suspended => scripted.back('s', ""),
        .command_complete => scripted.select_1,
        .empty_query_response => scripted.back('I', ""),
        .copy_in_response => scripted.back('G', "\x00\x00\x00"),
        .copy_out_response => scripted.back('H', "\x00\x00\x00"),
        .copy_data => scripted.back('d', "1\n"),
        .copy_done => scripted.back('c', ""),
        .error_response => scripted.failure,
        .fatal_error => scripted.fatal,
        .ready_for_query => scripted.ready,
    }.back;
}

/// A way into each state, by what is sent and what comes.
const Way = struct { State, []const scripted.Line };

const copy_in = scripted.back('G', "\x00\x00\x00");
const copy_out = scripted.back('H', "\x00\x00\x00");
const copy_end = scripted.back('c', "");
const sasl = scripted.back('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00");
const sasl_final = scripted.back('R', "\x00\x00\x00\x0cv=x");
const cleartext = scripted.back('R', "\x00\x00\x00\x03");
const front = scripted.front;

const ways = [_]Way{
    .{ .idle, &.{} },
    .{ .startup, &.{front(.startup)} },
    .{ .password_owed, &.{ front(.startup), cleartext } },
    .{ .password_sent, &.{ front(.startup), cleartext, front(.password) } },
    .{ .sasl_owed, &.{ front(.startup), sasl } },
    .{ .sasl_sent, &.{ front(.startup), sasl, front(.password) } },
    .{ .sasl_verified, &.{ front(.startup), sasl, front(.password), sasl_final } },
    .{ .session, &.{ front(.startup), scripted.auth_ok } },
    .{ .parse, &.{front(.parse)} },
    .{ .bind, &.{front(.bind)} },
    .{ .close, &.{front(.close)} },
    .{ .describe_statement, &.{front(.describe_statement)} },
    .{ .describe_portal, &.{front(.describe_portal)} },
    .{ .execute, &.{front(.execute)} },
    .{ .execute_limited, &.{front(.execute_limited)} },
    .{ .execute_rows, &.{ front(.execute), scripted.one_row } },
    .{ .execute_limited_rows, &.{ front(.execute_limited), scripted.one_row } },
    .{ .execute_copy_in, &.{ front(.execute), copy_in } },
    .{ .execute_copy_in_done, &.{ front(.execute), copy_in, front(.copy_done) } },
    .{ .execute_copy_in_failed, &.{ front(.execute_limited), copy_in, front(.copy_fail) } },
    .{ .execute_copy_out, &.{ front(.execute), copy_out } },
    .{ .execute_copy_out_done, &.{ front(.execute), copy_out, copy_end } },
    .{ .sync, &.{front(.sync)} },
    .{ .skipping, &.{ front(.bind), scripted.failure } },
    .{ .failed, &.{ front(.bind), front(.sync), scripted.failure } },
    .{ .query, &.{front(.query)} },
    .{ .query_next, &.{ front(.query), scripted.select_1 } },
    .{ .query_rows, &.{ front(.query), scripted.one_field } },
    .{ .query_copy_in, &.{ front(.query), copy_in } },
    .{ .query_copy_in_done, &.{ front(.query), copy_in, front(.copy_done) } },
    .{ .query_copy_in_failed, &.{ front(.query), copy_in, front(.copy_fail) } },
    .{ .query_copy_out, &.{ front(.query), copy_out } },
    .{ .query_copy_out_done, &.{ front(.query), copy_out, copy_end } },
    .{ .query_failed, &.{ front(.query), scripted.failure } },
    .{ .terminated, &.{scripted.fatal} },
};

test "every state can be reached" {
    for (std.enums.values(State)) |state| {
        if (state == .done or state == .skip) continue;
        for (ways) |way| {
            if (way[0] == state) break;
        } else {
            std.debug.print("no way into {t}\n", .{state});
            return error.TestStateNotReached;
        }
    }
}

test "every message in every state is in the table, or a violation" {
    for (ways) |way| {
        const state, const lines = way;
        for (std.enums.values(Incoming)) |incoming| {
            var player: scripted.Player = .init();
            defer player.deinit();
            try player.play(lines, false);
            const connection = &player.connection;
            try testing.expectEqual(state, connection.state);
            const result = connection.next(sample(incoming));
            const to = state_module.transition(state, incoming) orelse {
                try testing.expectError(error.UnexpectedMessage, result);
                try testing.expectEqual(state, connection.violation.?.state);
                continue;
            };
            const step = (try result).?;
            try testing.expectEqual(sample(incoming).len, step.consumed);
            switch (to) {
                .done => try testing.expectEqual(.idle, connection.state),
                .skip => try testing.expectEqual(.skipping, connection.state),
                else => try testing.expectEqual(to, connection.state),
            }
            try testing.expectEqual(state_module.isRows(connection.state), connection.is_rows);
        }
    }
}

test "every byte in every state is accepted as a type, or a violation at once" {
    for (ways) |way| {
        const state, const lines = way;
        for (0..256) |byte| {
            var player: scripted.Player = .init();
            defer player.deinit();
            try player.play(lines, false);
            const result = player.connection.next(&.{@intCast(byte)});
            const message = protocol.BackendMessage.fromByte(@intCast(byte)) orelse {
                try testing.expectError(error.UnknownMessage, result);
                continue;
            };
            if (state_module.accepts(state, message)) {
                try testing.expectEqual(null, try result);
            } else {
                try testing.expectError(error.UnexpectedMessage, result);
            }
        }
    }
}

fn converse(gpa: std.mem.Allocator) !void {
    var connection: Connection = .init(gpa);
    defer connection.deinit();
    for (0..100) |_| {
        for ([_]Sent{ .bind, .execute, .sync }) |what| try connection.sent(what);
    }
    try testing.expectEqual(100, connection.pendingSyncs());
    // Answer half of them, then send more, so that the ring goes round.
    for (0..50) |_| try answer(&connection);
    for (0..200) |_| {
        for ([_]Sent{ .bind, .execute, .sync }) |what| try connection.sent(what);
    }
    for (0..250) |_| try answer(&connection);
    try testing.expect(connection.isIdle());
}

fn answer(connection: *Connection) !void {
    for ([_]Incoming{ .bind_complete, .data_row, .data_row, .command_complete, .ready_for_query }) |incoming| {
        _ = (try connection.next(sample(incoming))).?;
    }
}

test "the queue grows and goes round, and running out of memory loses nothing but the call" {
    try testing.checkAllAllocationFailures(testing.allocator, converse, .{});
}

test "after `reserve` so many messages are noted without memory" {
    var failing: testing.FailingAllocator = .init(testing.allocator, .{});
    var connection: Connection = .init(failing.allocator());
    defer connection.deinit();
    try connection.reserve(3);
    failing.fail_index = failing.alloc_index;
    failing.resize_fail_index = failing.resize_index;
    for ([_]Sent{ .bind, .execute, .sync }) |what| try connection.sent(what);
    try answer(&connection);
    try testing.expect(connection.isIdle());
    try testing.expectError(error.OutOfMemory, connection.reserve(1000));
}
