//! Queries with a scripted backend, compared as traces, one line per message, fed whole and byte by
//! byte.
//! PostgreSQL docs: protocol-flow, "Simple Query" and "Extended Query".
const std = @import("std");
const scripted = @import("scripted.zig");

const front = scripted.front;
const back = scripted.back;
const ready = scripted.ready;
const failure = scripted.failure;
const fatal = scripted.fatal;
const notice = scripted.notice;
const notification = scripted.notification;
const status = scripted.status;
const one_row = scripted.one_row;
const one_field = scripted.one_field;
const select_1 = scripted.select_1;
const auth_ok = scripted.auth_ok;
const expectTrace = scripted.expectTrace;
const Player = scripted.Player;
const testing = std.testing;

test "a prepared statement: Parse and Describe, then Bind and Execute" {
    try expectTrace(&.{
        front(.parse),
        front(.describe_statement),
        front(.sync),
        back('1', ""),
        back('t', "\x00\x01\x00\x00\x00\x17"),
        one_field,
        ready,
        front(.bind),
        front(.execute),
        front(.sync),
        back('2', ""),
        one_row,
        one_row,
        select_1,
        back('Z', "T"),
    },
        \\> parse
        \\> describe_statement
        \\> sync
        \\< ParseComplete
        \\< ParameterDescription 1
        \\< RowDescription 1
        \\< ReadyForQuery idle
        \\> bind
        \\> execute
        \\> sync
        \\< BindComplete
        \\< DataRow 7 bytes
        \\< DataRow 7 bytes
        \\< CommandComplete SELECT 1
        \\< ReadyForQuery in_transaction
        \\
    );
}

test "statements without rows: NoData, EmptyQueryResponse, CloseComplete" {
    try expectTrace(&.{
        front(.parse), front(.describe_statement), front(.bind),  front(.describe_portal), front(.execute),
        front(.close), front(.sync),               back('1', ""), back('t', "\x00\x00"),   back('n', ""),
        back('2', ""), back('n', ""),              back('I', ""), back('3', ""),           ready,
    },
        \\> parse
        \\> describe_statement
        \\> bind
        \\> describe_portal
        \\> execute
        \\> close
        \\> sync
        \\< ParseComplete
        \\< ParameterDescription 0
        \\< NoData
        \\< BindComplete
        \\< NoData
        \\< EmptyQueryResponse
        \\< CloseComplete
        \\< ReadyForQuery idle
        \\
    );
}

test "asynchronous messages come between any two, in the middle of rows too" {
    try expectTrace(&.{
        notification, front(.bind), front(.execute), front(.sync), notice, back('2', ""), status, one_row,
        notice,       one_row,      notification,    select_1,     status, ready,         notice,
    },
        \\< NotificationResponse jobs=42
        \\> bind
        \\> execute
        \\> sync
        \\< NoticeResponse NOTICE 00000
        \\< BindComplete
        \\< ParameterStatus TimeZone=UTC
        \\< DataRow 7 bytes
        \\< NoticeResponse NOTICE 00000
        \\< DataRow 7 bytes
        \\< NotificationResponse jobs=42
        \\< CommandComplete SELECT 1
        \\< ParameterStatus TimeZone=UTC
        \\< ReadyForQuery idle
        \\< NoticeResponse NOTICE 00000
        \\
    );
}

test "a limited Execute is suspended and goes on" {
    try expectTrace(&.{
        front(.bind),  front(.execute_limited), front(.sync),            back('2', ""), one_row,
        back('s', ""), ready,                   front(.execute_limited), front(.sync),  select_1,
        ready,
    },
        \\> bind
        \\> execute_limited
        \\> sync
        \\< BindComplete
        \\< DataRow 7 bytes
        \\< PortalSuspended
        \\< ReadyForQuery idle
        \\> execute_limited
        \\> sync
        \\< CommandComplete SELECT 1
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.execute), front(.sync), one_row, back('s', "") },
        \\> execute
        \\> sync
        \\< DataRow 7 bytes
        \\! unexpected PortalSuspended ('s') while waiting for DataRow or CommandComplete
        \\
    );
}

test "an error skips what is left up to its Sync, and nothing behind it" {
    try expectTrace(&.{
        front(.parse), front(.describe_statement), front(.bind), front(.execute), front(.sync), // fails in Parse
        front(.bind), front(.execute), front(.sync), // runs
        failure,      ready,           back('2', ""),
        one_row,      select_1,        ready,
    },
        \\> parse
        \\> describe_statement
        \\> bind
        \\> execute
        \\> sync
        \\> bind
        \\> execute
        \\> sync
        \\< ErrorResponse ERROR 22012
        \\< ReadyForQuery idle
        \\< BindComplete
        \\< DataRow 7 bytes
        \\< CommandComplete SELECT 1
        \\< ReadyForQuery idle
        \\
    );
}

test "an error in the middle of rows, and one that answers the Sync itself" {
    try expectTrace(&.{ front(.execute), front(.sync), one_row, failure, notice, back('Z', "E") },
        \\> execute
        \\> sync
        \\< DataRow 7 bytes
        \\< ErrorResponse ERROR 22012
        \\< NoticeResponse NOTICE 00000
        \\< ReadyForQuery failed
        \\
    );
    try expectTrace(&.{ front(.execute), front(.sync), back('C', "INSERT 0 1\x00"), failure, ready },
        \\> execute
        \\> sync
        \\< CommandComplete INSERT 0 1
        \\< ErrorResponse ERROR 22012
        \\< ReadyForQuery idle
        \\
    );
}

test "after an error everything sent before the next Sync stays unanswered, a Query too" {
    try expectTrace(&.{ front(.parse), failure, front(.bind), front(.query), front(.execute), notice, front(.sync), ready },
        \\> parse
        \\< ErrorResponse ERROR 22012
        \\> bind
        \\> query
        \\> execute
        \\< NoticeResponse NOTICE 00000
        \\> sync
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.parse), failure, ready },
        \\> parse
        \\< ErrorResponse ERROR 22012
        \\! unexpected ReadyForQuery ('Z') while the backend skips to the next Sync
        \\
    );
}

test "one ReadyForQuery per Sync, not more" {
    try expectTrace(&.{ front(.sync), front(.sync), ready, ready, ready },
        \\> sync
        \\> sync
        \\< ReadyForQuery idle
        \\< ReadyForQuery idle
        \\! unexpected ReadyForQuery ('Z') while nothing was asked
        \\
    );
}

test "a Query gives several results, then ReadyForQuery" {
    try expectTrace(&.{
        front(.query), one_field,     one_row, select_1, back('C', "SET\x00"), one_field, select_1, back('Z', "T"),
        front(.query), back('I', ""), ready,
    },
        \\> query
        \\< RowDescription 1
        \\< DataRow 7 bytes
        \\< CommandComplete SELECT 1
        \\< CommandComplete SET
        \\< RowDescription 1
        \\< CommandComplete SELECT 1
        \\< ReadyForQuery in_transaction
        \\> query
        \\< EmptyQueryResponse
        \\< ReadyForQuery idle
        \\
    );
}

test "an error ends a Query, whatever statements are left" {
    try expectTrace(&.{ front(.query), front(.query), select_1, failure, ready, back('C', "SET\x00"), ready },
        \\> query
        \\> query
        \\< CommandComplete SELECT 1
        \\< ErrorResponse ERROR 22012
        \\< ReadyForQuery idle
        \\< CommandComplete SET
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.query), failure, select_1 },
        \\> query
        \\< ErrorResponse ERROR 22012
        \\! unexpected CommandComplete ('C') while waiting for ReadyForQuery
        \\
    );
    try expectTrace(&.{ front(.query), ready },
        \\> query
        \\! unexpected ReadyForQuery ('Z') while waiting for RowDescription, CommandComplete, EmptyQueryResponse, CopyInResponse or CopyOutResponse
        \\
    );
}

test "a fatal error ends the session, in the middle of rows and while nothing is asked" {
    try expectTrace(&.{ front(.execute), front(.sync), one_row, fatal, one_row },
        \\> execute
        \\> sync
        \\< DataRow 7 bytes
        \\< ErrorResponse FATAL 57P01
        \\! unexpected DataRow ('D') while the session is over
        \\
    );
    try expectTrace(&.{ notice, fatal },
        \\< NoticeResponse NOTICE 00000
        \\< ErrorResponse FATAL 57P01
        \\
    );
    // Behind a first error, while the Sync is awaited.
    try expectTrace(&.{ front(.execute), front(.sync), failure, fatal },
        \\> execute
        \\> sync
        \\< ErrorResponse ERROR 22012
        \\< ErrorResponse FATAL 57P01
        \\
    );
}

test "the transaction status and the replies owed can be asked for" {
    var player: Player = .init();
    defer player.deinit();
    const connection = &player.connection;
    try testing.expect(connection.isIdle());
    try player.play(&.{ front(.startup), auth_ok, front(.query), front(.bind), front(.sync) }, false);
    try testing.expectEqual(3, connection.pendingSyncs());
    try player.play(&.{ready}, false);
    try testing.expectEqual(2, connection.pendingSyncs());
    try player.play(&.{ back('C', "BEGIN\x00"), back('Z', "T") }, false);
    try testing.expectEqual(.in_transaction, connection.transaction_status);
    try testing.expectEqual(1, connection.pendingSyncs());
    try testing.expect(!connection.isIdle());
    try player.play(&.{ failure, back('Z', "E") }, false);
    try testing.expectEqual(.failed, connection.transaction_status);
    try testing.expectEqual(0, connection.pendingSyncs());
    try testing.expect(connection.isIdle());
    try testing.expect(!connection.isTerminated());
    try player.play(&.{fatal}, false);
    try testing.expect(connection.isTerminated());
}
