//! For the tests of this layer: messages of a scripted backend, and a player that writes a trace.
const std = @import("std");
const machine = @import("machine.zig");

const Connection = machine.Connection;
const Sent = machine.Sent;
const testing = std.testing;

/// A message of the frontend, noted, or one of the backend, as bytes.
pub const Line = union(enum) { front: Sent, back: []const u8 };

pub fn front(comptime what: Sent) Line {
    return .{ .front = what };
}

/// A backend message of this type and body.
pub fn back(comptime message_type: u8, comptime body: []const u8) Line {
    const length = comptime std.mem.toBytes(std.mem.nativeToBig(u32, body.len + 4));
    return .{ .back = [_]u8{message_type} ++ length ++ body };
}

pub const ready = back('Z', "I");
pub const failure = back('E', "SERROR\x00VERROR\x00C22012\x00Mdivision by zero\x00\x00");
pub const cancelled = back('E', "SERROR\x00VERROR\x00C57014\x00Mcanceling statement\x00\x00");
pub const fatal = back('E', "SFATAL\x00VFATAL\x00C57P01\x00Mterminating\x00\x00");
pub const notice = back('N', "VNOTICE\x00C00000\x00\x00");
pub const notification = back('A', "\x00\x00\x00\x07jobs\x0042\x00");
pub const status = back('S', "TimeZone\x00UTC\x00");
pub const one_row = back('D', "\x00\x01\x00\x00\x00\x011");
pub const one_field = back('T', "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00");
pub const select_1 = back('C', "SELECT 1\x00");
pub const auth_ok = back('R', "\x00\x00\x00\x00");

/// Plays lines into a connection and writes what happens.
pub const Player = struct {
    connection: Connection,
    received: std.ArrayList(u8) = .empty,
    trace: std.Io.Writer.Allocating,

    pub fn init() Player {
        return .{ .connection = .init(testing.allocator), .trace = .init(testing.allocator) };
    }

    pub fn deinit(self: *Player) void {
        self.connection.deinit();
        self.received.deinit(testing.allocator);
        self.trace.deinit();
    }

    /// `byte_by_byte`: look after each byte; otherwise only when the frontend has something to say.
    pub fn play(self: *Player, lines: []const Line, byte_by_byte: bool) !void {
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

pub fn expectTrace(lines: []const Line, expected: []const u8) !void {
    for ([_]bool{ false, true }) |byte_by_byte| {
        var player: Player = .init();
        defer player.deinit();
        try player.play(lines, byte_by_byte);
        try testing.expectEqualStrings(expected, player.trace.written());
    }
}
