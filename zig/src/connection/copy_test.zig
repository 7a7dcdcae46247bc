//! COPY with a scripted backend: asked for, unasked for, done, failed by either side.
//! PostgreSQL docs: protocol-flow, "COPY Operations".
const std = @import("std");
const scripted = @import("scripted.zig");
const Sent = @import("machine.zig").Sent;

const front = scripted.front;
const back = scripted.back;
const ready = scripted.ready;
const failure = scripted.failure;
const notice = scripted.notice;
const select_1 = scripted.select_1;
const expectTrace = scripted.expectTrace;
const Player = scripted.Player;
const testing = std.testing;

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

test "COPY IN that complains about data has read the Syncs before it; cancelled, it may not have" {
    const begin = back('G', "\x00\x00\x00");
    for ([_]scripted.Line{ failure, scripted.cancelled }, [_]bool{ false, true }) |response, in_doubt| {
        var player: Player = .init();
        defer player.deinit();
        try player.play(&.{ front(.execute), front(.sync), begin, front(.copy_done), front(.sync), response, ready }, false);
        try testing.expectEqual(in_doubt, player.connection.in_doubt);
        try testing.expect(player.connection.isIdle());
    }
    // Nothing was sent into it: nothing is in doubt.
    var player: Player = .init();
    defer player.deinit();
    try player.play(&.{ front(.execute), begin, scripted.cancelled, front(.sync), ready }, false);
    try testing.expect(!player.connection.in_doubt);
}

test "COPY IN: a Sync behind other messages is answered, once the error has skipped them" {
    const begin = back('G', "\x00\x00\x00");
    try expectTrace(&.{ front(.execute), front(.parse), begin, front(.sync), scripted.cancelled, ready },
        \\> execute
        \\> parse
        \\< CopyInResponse 0
        \\> sync
        \\< ErrorResponse ERROR 57014
        \\< ReadyForQuery idle
        \\
    );
}

test "COPY IN by Query ignores a Sync too" {
    const begin = back('G', "\x00\x00\x00");
    for ([_][]const scripted.Line{
        &.{ front(.query), front(.sync), begin, front(.copy_done) },
        &.{ front(.query), begin, front(.sync), front(.copy_done) },
    }) |lines| {
        var player: Player = .init();
        defer player.deinit();
        try player.play(lines, false);
        try testing.expectEqual(1, player.connection.pendingSyncs());
        try player.play(&.{ back('C', "COPY 0\x00"), ready }, false);
        try testing.expect(player.connection.isIdle());
    }
}

test "COPY IN: doubt outlives a notice, and ends with its COPY" {
    const begin = back('G', "\x00\x00\x00");
    for ([_]Sent{ .query, .execute }) |what| {
        var player: Player = .init();
        defer player.deinit();
        const again: scripted.Line = .{ .front = what };
        try player.play(&.{ again, front(.sync), begin, front(.copy_done), back('C', "COPY 0\x00") }, false);
        if (what == .query) try player.play(&.{ready}, false);
        try player.play(&.{ again, begin, scripted.cancelled }, false);
        try testing.expect(!player.connection.in_doubt);

        var other: Player = .init();
        defer other.deinit();
        try other.play(&.{ again, front(.sync), begin, notice, scripted.cancelled }, false);
        try testing.expect(other.connection.in_doubt);
    }
}

test "COPY IN: CopyDone behind another Query belongs to that one" {
    const begin = back('G', "\x00\x00\x00");
    try expectTrace(&.{
        front(.query), begin,                   front(.query), front(.copy_done), scripted.cancelled, ready,
        begin,         back('C', "COPY 0\x00"), ready,
    },
        \\> query
        \\< CopyInResponse 0
        \\> query
        \\> copy_done
        \\< ErrorResponse ERROR 57014
        \\< ReadyForQuery idle
        \\< CopyInResponse 0
        \\< CommandComplete COPY 0
        \\< ReadyForQuery idle
        \\
    );
}
