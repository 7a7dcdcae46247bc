//! What a backend may not send, and what is said about it.
const std = @import("std");
const scripted = @import("scripted.zig");
const Sent = @import("machine.zig").Sent;
const Line = scripted.Line;

const front = scripted.front;
const back = scripted.back;
const status = scripted.status;
const one_row = scripted.one_row;
const expectTrace = scripted.expectTrace;
const Player = scripted.Player;
const testing = std.testing;

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

/// A field of RowDescription up to its format.
const field = "a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff";

test "malformed bodies are violations: a bad status byte, a bad count, a field cut short" {
    const table = [_]struct { Sent, Line, []const u8 }{
        .{ .sync, back('Z', "X"), "! malformed ReadyForQuery ('Z') while waiting for ReadyForQuery\n" },
        .{ .sync, back('Z', ""), "! too short ReadyForQuery ('Z') while waiting for ReadyForQuery\n" },
        .{ .describe_portal, back('T', "\x00\x01a\x00"), "! too short RowDescription ('T') while waiting for RowDescription or NoData\n" },
        .{ .describe_portal, back('T', "\x00\x00a"), "! too long RowDescription ('T') while waiting for RowDescription or NoData\n" },
        // The second of two fields has a format that does not exist.
        .{
            .describe_portal,
            back('T', "\x00\x02" ++ field ++ "\x00\x00" ++ field ++ "\x00\x02"),
            "! malformed RowDescription ('T') while waiting for RowDescription or NoData\n",
        },
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

test "the largest message is the caller's to set, on the quick path too" {
    var player: Player = .init();
    defer player.deinit();
    player.connection.message_size_max = 11;
    try player.play(&.{ front(.execute), one_row, one_row }, true);
    try testing.expect(player.connection.is_rows);
    try testing.expectError(error.MessageTooLong, player.connection.next("D\x00\x00\x00\x0c\x00\x01\x00\x00\x00\x0212"));
}
