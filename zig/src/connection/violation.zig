//! What was wrong with the backend's last message, for the text of a ProtocolError.
const std = @import("std");
const protocol = @import("protocol");
const state = @import("state.zig");

/// Unknown: no message starts with this byte. Unexpected: not in this state. The others: a length
/// word out of bounds, or a body that is not what the message's form says.
pub const ProtocolViolation = error{
    UnknownMessage,
    UnexpectedMessage,
    MessageTooShort,
    MessageTooLong,
    InvalidValue,
};

pub const Violation = struct {
    kind: ProtocolViolation,
    /// The type byte.
    message_type: u8,
    state: state.State,

    /// One sentence without a full stop.
    pub fn format(self: Violation, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        const name = if (protocol.BackendMessage.fromByte(self.message_type)) |message| message.name() else "message";
        try writer.writeAll(switch (self.kind) {
            error.UnknownMessage => "unknown ",
            error.UnexpectedMessage => "unexpected ",
            error.MessageTooShort => "too short ",
            error.MessageTooLong => "too long ",
            error.InvalidValue => "malformed ",
        });
        if (std.ascii.isPrint(self.message_type)) {
            try writer.print("{s} ('{c}') while ", .{ name, self.message_type });
        } else {
            try writer.print("{s} (0x{x:0>2}) while ", .{ name, self.message_type });
        }
        try state.describe(self.state, writer);
    }
};

test "a violation says what came and what was waited for" {
    const table = [_]struct { []const u8, Violation }{
        .{
            "unexpected DataRow ('D') while waiting for ParseComplete",
            .{ .kind = error.UnexpectedMessage, .message_type = 'D', .state = .parse },
        },
        .{
            "unknown message (0x07) while nothing was asked",
            .{ .kind = error.UnknownMessage, .message_type = 7, .state = .idle },
        },
        .{
            "malformed ReadyForQuery ('Z') while waiting for ReadyForQuery",
            .{ .kind = error.InvalidValue, .message_type = 'Z', .state = .sync },
        },
        .{
            "too long RowDescription ('T') while waiting for RowDescription or NoData",
            .{ .kind = error.MessageTooLong, .message_type = 'T', .state = .describe_portal },
        },
    };
    for (table) |case| {
        var storage: [256]u8 = undefined;
        var writer: std.Io.Writer = .fixed(&storage);
        try case[1].format(&writer);
        try std.testing.expectEqualStrings(case[0], writer.buffered());
    }
}
