//! The only system calls of the driver: send, recv and poll on a non-blocking socket, and the clock.
//! The descriptor belongs to whoever opened it; nothing here closes it.
const std = @import("std");
const builtin = @import("builtin");
const c = std.c;

pub const Socket = struct {
    fd: c.fd_t,
    /// The errno of the last `error.SocketFailed`.
    errno: c_int = 0,

    pub const Error = error{ WouldBlock, SocketFailed };
    pub const PollError = error{ Interrupted, SocketFailed };
    pub const Interest = packed struct { read: bool = false, write: bool = false };

    /// Send what the kernel takes at once. Returns the byte count, at least 1 for a non-empty slice.
    pub fn send(self: *Socket, bytes: []const u8) Error!usize {
        while (true) {
            const sent = c.send(self.fd, bytes.ptr, bytes.len, send_flags);
            if (sent >= 0) return @intCast(sent);
            switch (c.errno(sent)) {
                .INTR => continue,
                .AGAIN => return error.WouldBlock,
                else => |code| return self.failed(code),
            }
        }
    }

    /// Receive what is there. Returns the byte count; 0 is the end of the stream.
    pub fn recv(self: *Socket, room: []u8) Error!usize {
        std.debug.assert(room.len > 0);
        return self.recvWith(room, dont_wait);
    }

    /// True where nothing waits to be read: an idle connection that is alive. Anything readable on
    /// it is the end of the stream, an error, or bytes that nobody asked for.
    pub fn isQuiet(self: *Socket) bool {
        var byte: [1]u8 = undefined;
        _ = self.recvWith(&byte, c.MSG.PEEK | dont_wait) catch |err| return err == error.WouldBlock;
        return false;
    }

    fn recvWith(self: *Socket, room: []u8, flags: u32) Error!usize {
        while (true) {
            const got = c.recv(self.fd, room.ptr, room.len, @intCast(flags));
            if (got >= 0) return @intCast(got);
            switch (c.errno(got)) {
                .INTR => continue,
                .AGAIN => return error.WouldBlock,
                else => |code| return self.failed(code),
            }
        }
    }

    /// Wait until the socket is ready, or for `timeout_ns` (null: for ever). False: it timed out.
    /// A hang-up or an error counts as ready, the next call on the socket tells which.
    pub fn poll(self: *Socket, interest: Interest, timeout_ns: ?u64) PollError!bool {
        var events: i16 = 0;
        if (interest.read) events |= c.POLL.IN;
        if (interest.write) events |= c.POLL.OUT;
        var fds = [1]c.pollfd{.{ .fd = self.fd, .events = events, .revents = 0 }};
        const ready = if (builtin.os.tag == .linux) ready: {
            const timeout: ?c.timespec = if (timeout_ns) |ns| .{
                .sec = @intCast(ns / std.time.ns_per_s),
                .nsec = @intCast(ns % std.time.ns_per_s),
            } else null;
            break :ready c.ppoll(&fds, 1, if (timeout) |*t| t else null, null);
        } else ready: {
            // Milliseconds, rounded up, so that a caller's deadline has passed when this returns.
            const ms: c_int = if (timeout_ns) |ns|
                std.math.cast(c_int, ns / std.time.ns_per_ms + 1) orelse std.math.maxInt(c_int)
            else
                -1;
            break :ready c.poll(&fds, 1, ms);
        };
        if (ready >= 0) return ready > 0;
        return switch (c.errno(ready)) {
            .INTR => error.Interrupted,
            else => |code| self.failed(code),
        };
    }

    fn failed(self: *Socket, code: c.E) error{SocketFailed} {
        self.errno = @intCast(@backingInt(code));
        return error.SocketFailed;
    }
};

/// Never wait here, whatever the owner of the descriptor has made of it.
const dont_wait: u32 = if (@hasDecl(c.MSG, "DONTWAIT")) c.MSG.DONTWAIT else 0;
/// A write to a connection that the backend closed is an error value, not a signal.
const send_flags: u32 = dont_wait | if (@hasDecl(c.MSG, "NOSIGNAL")) c.MSG.NOSIGNAL else 0;

/// Nanoseconds of the monotonic clock.
pub fn now() u64 {
    var time: c.timespec = undefined;
    const status = c.clock_gettime(.MONOTONIC, &time);
    std.debug.assert(status == 0);
    return @as(u64, @intCast(time.sec)) * std.time.ns_per_s + @as(u64, @intCast(time.nsec));
}

fn pair() ![2]Socket {
    var fds: [2]c.fd_t = undefined;
    if (c.socketpair(c.AF.UNIX, c.SOCK.STREAM | c.SOCK.NONBLOCK, 0, &fds) != 0) return error.SkipZigTest;
    return .{ .{ .fd = fds[0] }, .{ .fd = fds[1] } };
}

test "bytes pass, nothing waits, the end of the stream is 0" {
    var ends = try pair();
    defer _ = c.close(ends[0].fd);
    var room: [8]u8 = undefined;
    try std.testing.expectError(error.WouldBlock, ends[0].recv(&room));
    try std.testing.expect(ends[0].isQuiet());
    try std.testing.expect(!try ends[0].poll(.{ .read = true }, 1));
    try std.testing.expectEqual(3, try ends[1].send("abc"));
    try std.testing.expect(!ends[0].isQuiet());
    try std.testing.expect(try ends[0].poll(.{ .read = true }, null));
    try std.testing.expectEqual(3, try ends[0].recv(&room));
    _ = c.close(ends[1].fd);
    try std.testing.expect(!ends[0].isQuiet());
    try std.testing.expectEqual(0, try ends[0].recv(&room));
    try std.testing.expectError(error.SocketFailed, ends[0].send("x"));
    try std.testing.expectEqual(@as(c_int, @intCast(@backingInt(c.E.PIPE))), ends[0].errno);
}

test "the clock does not run backwards" {
    const before = now();
    try std.testing.expect(now() >= before);
}
