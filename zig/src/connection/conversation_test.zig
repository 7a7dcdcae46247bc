//! Conversations with a scripted backend, compared as traces, one line per message, fed whole and
//! byte by byte.
const std = @import("std");
const protocol = @import("protocol");
const machine = @import("machine.zig");
const Violation = @import("violation.zig").Violation;

const Connection = machine.Connection;
const Sent = machine.Sent;
const testing = std.testing;

/// A message of the frontend, noted, or one of the backend, as bytes.
pub const Line = union(enum) { front: Sent, back: []const u8 };

fn front(comptime what: Sent) Line {
    return .{ .front = what };
}

/// A backend message of this type and body.
fn back(comptime message_type: u8, comptime body: []const u8) Line {
    const length = comptime std.mem.toBytes(std.mem.nativeToBig(u32, body.len + 4));
    return .{ .back = [_]u8{message_type} ++ length ++ body };
}

const ready = back('Z', "I");
const failure = back('E', "SERROR\x00VERROR\x00C22012\x00Mdivision by zero\x00\x00");
const fatal = back('E', "SFATAL\x00VFATAL\x00C57P01\x00Mterminating\x00\x00");
const notice = back('N', "VNOTICE\x00C00000\x00\x00");
const notification = back('A', "\x00\x00\x00\x07jobs\x0042\x00");
const status = back('S', "TimeZone\x00UTC\x00");
const one_row = back('D', "\x00\x01\x00\x00\x00\x011");
const one_field = back('T', "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00");
const select_1 = back('C', "SELECT 1\x00");
const auth_ok = back('R', "\x00\x00\x00\x00");

/// Plays lines into a connection and writes what happens.
const Player = struct {
    connection: Connection,
    received: std.ArrayList(u8) = .empty,
    trace: std.Io.Writer.Allocating,

    fn init() Player {
        return .{ .connection = .init(testing.allocator), .trace = .init(testing.allocator) };
    }

    fn deinit(self: *Player) void {
        self.connection.deinit();
        self.received.deinit(testing.allocator);
        self.trace.deinit();
    }

    /// `byte_by_byte`: look after each byte; otherwise only when the frontend has something to say.
    fn play(self: *Player, lines: []const Line, byte_by_byte: bool) !void {
        for (lines) |line| switch (line) {
            .front => |what| {
                try self.look();
                try self.trace.writer.print("> {t}\n", .{what});
                try self.connection.sent(what);
            },
            .back => |bytes| for (bytes) |byte| {
                try self.received.append(testing.allocator, byte);
                if (byte_by_byte) try self.look();
            },
        };
        try self.look();
        if (self.connection.violation == null) try testing.expectEqual(0, self.received.items.len);
    }

    fn look(self: *Player) !void {
        if (self.connection.violation != null) return;
        while (true) {
            const step = self.connection.next(self.received.items) catch {
                try self.trace.writer.print("! {f}\n", .{self.connection.violation.?});
                return;
            } orelse return;
            try self.trace.writer.print("< {f}\n", .{step.event});
            self.received.replaceRangeAssumeCapacity(0, step.consumed, &.{});
        }
    }
};

fn expectTrace(lines: []const Line, expected: []const u8) !void {
    for ([_]bool{ false, true }) |byte_by_byte| {
        var player: Player = .init();
        defer player.deinit();
        try player.play(lines, byte_by_byte);
        try testing.expectEqualStrings(expected, player.trace.written());
    }
}

test "start-up with SCRAM: each challenge waits for our answer" {
    try expectTrace(&.{
        front(.startup),
        back('v', "\x00\x03\x00\x00\x00\x00\x00\x00"),
        back('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"),
        front(.password),
        back('R', "\x00\x00\x00\x0br=x"),
        front(.password),
        back('R', "\x00\x00\x00\x0cv=x"),
        auth_ok,
        status,
        notice,
        back('K', "\x00\x00\x00\x07key!"),
        ready,
    },
        \\> startup
        \\< NegotiateProtocolVersion 3.0
        \\< Authentication sasl
        \\> password
        \\< Authentication sasl_continue
        \\> password
        \\< Authentication sasl_final
        \\< Authentication ok
        \\< ParameterStatus TimeZone=UTC
        \\< NoticeResponse NOTICE 00000
        \\< BackendKeyData 7
        \\< ReadyForQuery idle
        \\
    );
}

test "start-up without a password, with one, and with a method we do not speak" {
    try expectTrace(&.{ front(.startup), auth_ok, ready },
        \\> startup
        \\< Authentication ok
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.startup), back('R', "\x00\x00\x00\x05salt"), front(.password), auth_ok, ready },
        \\> startup
        \\< Authentication md5_password
        \\> password
        \\< Authentication ok
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.startup), back('R', "\x00\x00\x00\x07") },
        \\> startup
        \\< Authentication 7
        \\
    );
}

test "start-up: a backend may not skip our password, nor its own proof" {
    try expectTrace(&.{ front(.startup), back('R', "\x00\x00\x00\x03"), auth_ok },
        \\> startup
        \\< Authentication cleartext_password
        \\! unexpected Authentication ('R') while the backend waits for a password
        \\
    );
    try expectTrace(&.{ front(.startup), back('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"), front(.password), auth_ok },
        \\> startup
        \\< Authentication sasl
        \\> password
        \\! unexpected Authentication ('R') while waiting for AuthenticationSASLContinue or AuthenticationSASLFinal
        \\
    );
}

test "start-up: asynchronous messages are accepted once the backend is known" {
    try expectTrace(&.{ front(.startup), notice, auth_ok, notice, status, notification, ready },
        \\> startup
        \\< NoticeResponse NOTICE 00000
        \\< Authentication ok
        \\< NoticeResponse NOTICE 00000
        \\< ParameterStatus TimeZone=UTC
        \\< NotificationResponse jobs=42
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.startup), status },
        \\> startup
        \\! unexpected ParameterStatus ('S') while waiting for AuthenticationOk, a request for a password, AuthenticationSASL or NegotiateProtocolVersion
        \\
    );
}

test "start-up refused: an error, and nothing after it" {
    try expectTrace(&.{ front(.startup), failure, notice, ready },
        \\> startup
        \\< ErrorResponse ERROR 22012
        \\< NoticeResponse NOTICE 00000
        \\! unexpected ReadyForQuery ('Z') while the session is over
        \\
    );
}

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

test "COPY OUT answers a Query and an Execute" {
    try expectTrace(&.{
        front(.query),   back('H', "\x00\x00\x00"), back('d', "1\n"),          notice,         back('d', "2\n"), back('c', ""),           back('C', "COPY 2\x00"), ready,
        front(.execute), front(.sync),              back('H', "\x01\x00\x00"), back('d', "x"), back('c', ""),    back('C', "COPY 1\x00"), ready,
    },
        \\> query
        \\< CopyOutResponse 0
        \\< CopyData 2 bytes
        \\< NoticeResponse NOTICE 00000
        \\< CopyData 2 bytes
        \\< CopyDone
        \\< CommandComplete COPY 2
        \\< ReadyForQuery idle
        \\> execute
        \\> sync
        \\< CopyOutResponse 1
        \\< CopyData 1 bytes
        \\< CopyDone
        \\< CommandComplete COPY 1
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.query), back('H', "\x00\x00\x00"), back('d', "1\n"), failure, ready },
        \\> query
        \\< CopyOutResponse 0
        \\< CopyData 2 bytes
        \\< ErrorResponse ERROR 22012
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.query), back('H', "\x00\x00\x00"), select_1 },
        \\> query
        \\< CopyOutResponse 0
        \\! unexpected CommandComplete ('C') while waiting for CopyData or CopyDone
        \\
    );
}

test "COPY IN by Query: done, failed by us, failed by the backend" {
    const begin = back('G', "\x00\x00\x00");
    try expectTrace(&.{ front(.query), begin, notice, front(.copy_done), back('C', "COPY 2\x00"), ready },
        \\> query
        \\< CopyInResponse 0
        \\< NoticeResponse NOTICE 00000
        \\> copy_done
        \\< CommandComplete COPY 2
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.query), begin, front(.copy_fail), failure, ready },
        \\> query
        \\< CopyInResponse 0
        \\> copy_fail
        \\< ErrorResponse ERROR 22012
        \\< ReadyForQuery idle
        \\
    );
    // Our CopyDone crosses the backend's error: it is dropped there.
    try expectTrace(&.{ front(.query), begin, failure, front(.copy_done), ready, front(.query), select_1, ready },
        \\> query
        \\< CopyInResponse 0
        \\< ErrorResponse ERROR 22012
        \\> copy_done
        \\< ReadyForQuery idle
        \\> query
        \\< CommandComplete SELECT 1
        \\< ReadyForQuery idle
        \\
    );
    // CopyDone sent ahead, before CopyInResponse was seen; then for a statement that was no COPY.
    try expectTrace(&.{ front(.query), front(.copy_done), begin, back('C', "COPY 0\x00"), ready },
        \\> query
        \\> copy_done
        \\< CopyInResponse 0
        \\< CommandComplete COPY 0
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.query), front(.copy_done), front(.query), failure, ready, select_1, ready },
        \\> query
        \\> copy_done
        \\> query
        \\< ErrorResponse ERROR 22012
        \\< ReadyForQuery idle
        \\< CommandComplete SELECT 1
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.query), begin, select_1 },
        \\> query
        \\< CopyInResponse 0
        \\! unexpected CommandComplete ('C') while the backend reads CopyData
        \\
    );
    try expectTrace(&.{ front(.query), begin, front(.copy_fail), select_1 },
        \\> query
        \\< CopyInResponse 0
        \\> copy_fail
        \\! unexpected CommandComplete ('C') while waiting for ErrorResponse
        \\
    );
}

test "COPY IN by Execute: the Sync behind it is ignored, a new one is owed" {
    var player: Player = .init();
    defer player.deinit();
    try player.play(&.{ front(.bind), front(.execute), front(.sync), back('2', ""), back('G', "\x00\x00\x00") }, true);
    try testing.expect(player.connection.isCopyIn());
    try testing.expectEqual(0, player.connection.pendingSyncs());
    try player.play(&.{ notice, front(.copy_fail), failure }, true);
    try testing.expect(player.connection.isSyncOwed());
    try testing.expect(!player.connection.isIdle());
    try player.play(&.{ front(.sync), ready }, true);
    try testing.expect(player.connection.isIdle());
    try testing.expect(!player.connection.in_doubt);
    try testing.expectEqualStrings(
        \\> bind
        \\> execute
        \\> sync
        \\< BindComplete
        \\< CopyInResponse 0
        \\< NoticeResponse NOTICE 00000
        \\> copy_fail
        \\< ErrorResponse ERROR 22012
        \\> sync
        \\< ReadyForQuery idle
        \\
    , player.trace.written());
}

test "COPY IN by Execute: done, and a Sync after CopyDone counts" {
    try expectTrace(&.{ front(.execute), front(.sync), front(.copy_done), front(.sync), back('G', "\x00\x00\x00"), back('C', "COPY 1\x00"), ready },
        \\> execute
        \\> sync
        \\> copy_done
        \\> sync
        \\< CopyInResponse 0
        \\< CommandComplete COPY 1
        \\< ReadyForQuery idle
        \\
    );
    try expectTrace(&.{ front(.execute), back('G', "\x00\x00\x00"), front(.sync), front(.copy_done), back('C', "COPY 1\x00"), front(.sync), ready },
        \\> execute
        \\< CopyInResponse 0
        \\> sync
        \\> copy_done
        \\< CommandComplete COPY 1
        \\> sync
        \\< ReadyForQuery idle
        \\
    );
}

test "COPY IN that fails while a Sync may or may not have been read leaves the session in doubt" {
    var player: Player = .init();
    defer player.deinit();
    try player.play(&.{ front(.execute), front(.sync), back('G', "\x00\x00\x00"), failure }, false);
    try testing.expect(player.connection.in_doubt);
    try testing.expect(player.connection.isSyncOwed());
}

test "a message that cannot be right is refused by its type byte" {
    const table = [_]struct { []const u8, []const u8 }{
        .{ "D", "unexpected DataRow ('D') while waiting for ParseComplete" },
        .{ "Z", "unexpected ReadyForQuery ('Z') while waiting for ParseComplete" },
        .{ "V", "unexpected FunctionCallResponse ('V') while waiting for ParseComplete" },
        .{ "W", "unexpected CopyBothResponse ('W') while waiting for ParseComplete" },
        .{ "Q", "unknown message ('Q') while waiting for ParseComplete" },
        .{ "\x00", "unknown message (0x00) while waiting for ParseComplete" },
        .{ "1\x00\x00\x00\x05", "too long ParseComplete ('1') while waiting for ParseComplete" },
        .{ "1\x00\x00\x00\x03", "too short ParseComplete ('1') while waiting for ParseComplete" },
        .{ "S\x00\x00\x75\x31", "too long ParameterStatus ('S') while waiting for ParseComplete" },
        .{ "N\x40\x00\x00\x01", "too long NoticeResponse ('N') while waiting for ParseComplete" },
        .{ "E\x00\x00\x00\x05x", "too short ErrorResponse ('E') while waiting for ParseComplete" },
        .{ "E\x00\x00\x00\x06\x00x", "too long ErrorResponse ('E') while waiting for ParseComplete" },
    };
    for (table) |case| {
        var player: Player = .init();
        defer player.deinit();
        try player.connection.sent(.parse);
        const err = player.connection.next(case[0]);
        try testing.expect(if (err) |_| false else |_| true);
        try testing.expectFmt(case[1], "{f}", .{player.connection.violation.?});
        // It stays broken, whatever comes.
        try testing.expectEqual(err, player.connection.next("1\x00\x00\x00\x04"));
    }
}

test "malformed bodies are violations: a bad status byte, a bad count, a field cut short" {
    const table = [_]struct { Sent, Line, []const u8 }{
        .{ .sync, back('Z', "X"), "! malformed ReadyForQuery ('Z') while waiting for ReadyForQuery\n" },
        .{ .sync, back('Z', ""), "! too short ReadyForQuery ('Z') while waiting for ReadyForQuery\n" },
        .{ .describe_portal, back('T', "\x00\x01a\x00"), "! too short RowDescription ('T') while waiting for RowDescription or NoData\n" },
        .{ .describe_portal, back('T', "\x00\x00a"), "! too long RowDescription ('T') while waiting for RowDescription or NoData\n" },
        .{ .describe_portal, back('n', "a"), "! too long NoData ('n') while waiting for RowDescription or NoData\n" },
        .{ .describe_statement, back('t', "\x00\x02\x00\x00\x00\x17"), "! too short ParameterDescription ('t') while waiting for ParameterDescription\n" },
        .{ .query, back('C', "SELECT 1"), "! too short CommandComplete ('C') while waiting for RowDescription, CommandComplete, EmptyQueryResponse, CopyInResponse or CopyOutResponse\n" },
        .{ .query, back('G', "\x02\x00\x00"), "! malformed CopyInResponse ('G') while waiting for RowDescription, CommandComplete, EmptyQueryResponse, CopyInResponse or CopyOutResponse\n" },
    };
    for (table) |case| {
        var player: Player = .init();
        defer player.deinit();
        try player.connection.sent(case[0]);
        try player.play(&.{case[1]}, false);
        try testing.expectEqualStrings(case[2], player.trace.written());
    }
    try expectTrace(&.{ front(.execute), one_row, back('D', "\x00") },
        \\> execute
        \\< DataRow 7 bytes
        \\! too short DataRow ('D') while waiting for DataRow or CommandComplete
        \\
    );
}

test "a stranger's error is small" {
    var player: Player = .init();
    defer player.deinit();
    try player.connection.sent(.startup);
    try testing.expectEqual(null, try player.connection.next("E\x00\x00\x75\x30"));
    try testing.expectError(error.MessageTooLong, player.connection.next("E\x00\x00\x75\x31"));
}

test "the largest message is the caller's to set, on the quick path too" {
    var player: Player = .init();
    defer player.deinit();
    player.connection.message_size_max = 11;
    try player.play(&.{ front(.execute), one_row, one_row }, true);
    try testing.expect(player.connection.is_rows);
    try testing.expectError(error.MessageTooLong, player.connection.next("D\x00\x00\x00\x0c\x00\x01\x00\x00\x00\x0212"));
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
