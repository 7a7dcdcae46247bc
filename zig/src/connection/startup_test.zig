//! Start-up and authentication with a scripted backend.
//! PostgreSQL docs: protocol-flow, "Start-up".
const std = @import("std");
const scripted = @import("scripted.zig");

const front = scripted.front;
const back = scripted.back;
const ready = scripted.ready;
const failure = scripted.failure;
const notice = scripted.notice;
const notification = scripted.notification;
const status = scripted.status;
const auth_ok = scripted.auth_ok;
const expectTrace = scripted.expectTrace;
const Player = scripted.Player;
const testing = std.testing;

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

test "a stranger's error is small" {
    var player: Player = .init();
    defer player.deinit();
    try player.connection.sent(.startup);
    try testing.expectEqual(null, try player.connection.next("E\x00\x00\x75\x30"));
    try testing.expectError(error.MessageTooLong, player.connection.next("E\x00\x00\x75\x31"));
}
