//! A connection with its two buffers and its way out: what is written here leaves through a socket
//! or a filter (TLS), what arrives is framed in place. Never waits: who calls it decides how.
const std = @import("std");
const protocol = @import("protocol");
const connection = @import("connection");
const net = @import("net");

pub const keyword = @import("keyword.zig");
pub const Connection = connection.Connection;
pub const Event = connection.Event;

/// What a TLS layer of the caller's offers in place of recv and send. Never blocks.
pub const Filter = struct {
    context: *anyopaque,
    /// Pass decrypted bytes to `Session.append`; says whether there were any.
    read: *const fn (*anyopaque, *Session) Error!Fill,
    /// Take all of `bytes`, to be sent when the socket allows.
    write: *const fn (*anyopaque, []const u8) Error!void,
    /// Send what was taken. True when nothing is left.
    flush: *const fn (*anyopaque) Error!bool,

    pub const Error = error{ OutOfMemory, FilterFailed };
};

pub const Transport = union(enum) { socket: net.Socket, filter: Filter };
pub const Fill = enum { received, would_block, end };

pub const Session = struct {
    gpa: std.mem.Allocator,
    connection: Connection,
    transport: Transport,
    /// Bytes for the backend; those before `output_sent` are gone already.
    output: protocol.WriteBuffer,
    output_sent: usize = 0,
    /// Bytes that were in `output` before what is there now: with it every byte has a place in one stream.
    output_base: u64 = 0,
    filter_pending: bool = false,
    input: []u8 = &.{},
    input_start: usize = 0,
    input_end: usize = 0,
    /// Grows while the backend sends faster than we read, up to `input_size_max`.
    input_size: usize = input_size_min,

    pub const input_size_min = 16 * 1024;
    pub const input_size_max = 256 * 1024;
    /// An output buffer that once held a large value is not kept for ever.
    const output_size_kept = 64 * 1024;

    pub const IoError = error{ OutOfMemory, SocketFailed, FilterFailed };
    pub const FillError = IoError || error{MessageTooLong};

    pub fn init(gpa: std.mem.Allocator, core: Connection, transport: Transport) Session {
        return .{ .gpa = gpa, .connection = core, .transport = transport, .output = .init(gpa) };
    }

    pub fn deinit(self: *Session) void {
        self.connection.deinit();
        self.output.deinit();
        self.gpa.free(self.input);
        self.* = undefined;
    }

    /// True while bytes wait for the socket to take them.
    pub fn wantsWrite(self: *const Session) bool {
        return self.output_sent < self.output.len() or self.filter_pending;
    }

    /// The place in the stream of the next byte that is written into `output`.
    pub fn position(self: *const Session) u64 {
        return self.output_base + self.output.len();
    }

    /// The place up to which the socket, or the filter, has taken everything.
    pub fn positionSent(self: *const Session) u64 {
        return self.output_base + self.output_sent;
    }

    /// Give up what was not sent: it will never leave.
    pub fn dropOutput(self: *Session) void {
        self.output_base += self.output_sent;
        self.output.truncate(0);
        self.output_sent = 0;
    }

    /// Send what can be sent now. True when nothing is left.
    pub fn flush(self: *Session) IoError!bool {
        switch (self.transport) {
            .socket => |*socket| while (self.output_sent < self.output.len()) {
                self.output_sent += socket.send(self.output.bytes.items[self.output_sent..]) catch |err| switch (err) {
                    error.WouldBlock => return false,
                    error.SocketFailed => return error.SocketFailed,
                };
            },
            .filter => |filter| {
                if (self.output_sent < self.output.len()) {
                    try filter.write(filter.context, self.output.bytes.items[self.output_sent..]);
                    self.output_sent = self.output.len();
                }
                self.filter_pending = !try filter.flush(filter.context);
                if (self.filter_pending) return false;
            },
        }
        self.dropOutput();
        if (self.output.bytes.capacity > output_size_kept) self.output.bytes.clearAndFree(self.gpa);
        return true;
    }

    /// Receive once. Slices of earlier events are invalid afterwards.
    pub fn fill(self: *Session) FillError!Fill {
        switch (self.transport) {
            .socket => |*socket| {
                const space = try self.room();
                const got = socket.recv(space) catch |err| switch (err) {
                    error.WouldBlock => return .would_block,
                    error.SocketFailed => return error.SocketFailed,
                };
                if (got == 0) return .end;
                self.input_end += got;
                if (got == space.len and self.input_size < input_size_max) self.input_size *= 2;
                return .received;
            },
            .filter => |filter| return filter.read(filter.context, self),
        }
    }

    /// Add bytes that did not come from our own socket: a filter's, or a test's.
    pub fn append(self: *Session, bytes: []const u8) error{OutOfMemory}!void {
        self.compact();
        const needed = self.input_end + bytes.len;
        const is_outgrown = self.input_end == 0 and self.input.len > input_size_max;
        if (needed > self.input.len or is_outgrown) try self.resize(@max(needed, self.input_size));
        @memcpy(self.input[self.input_end..][0..bytes.len], bytes);
        self.input_end += bytes.len;
    }

    /// The next event of what has been received, or null when a message is not whole yet. Its
    /// slices live until the next `fill` or `append`.
    pub inline fn next(self: *Session) connection.ProtocolViolation!?Event {
        const step = try self.connection.next(self.input[self.input_start..self.input_end]) orelse return null;
        self.input_start += step.consumed;
        return step.event;
    }

    /// True while received bytes wait to be read by `next`.
    pub fn hasInput(self: *const Session) bool {
        return self.input_start < self.input_end;
    }

    /// Free space behind the input, for one recv. A message that fills the whole buffer doubles it:
    /// memory follows what has really arrived, never what a length word promises.
    fn room(self: *Session) error{ OutOfMemory, MessageTooLong }![]u8 {
        self.compact();
        if (self.input_end == 0) {
            if (self.input.len != self.input_size) try self.resize(self.input_size);
        } else if (self.input.len - self.input_end < input_size_min / 2) {
            const doubled = std.math.mul(usize, self.input.len, 2) catch return error.MessageTooLong;
            try self.resize(doubled);
        }
        return self.input[self.input_end..];
    }

    fn compact(self: *Session) void {
        if (self.input_start == 0) return;
        const rest = self.input[self.input_start..self.input_end];
        std.mem.copyForwards(u8, self.input, rest);
        self.input_start = 0;
        self.input_end = rest.len;
    }

    fn resize(self: *Session, size: usize) error{OutOfMemory}!void {
        std.debug.assert(size >= self.input_end);
        if (self.input_end == 0) {
            // Nothing to keep: a fresh block saves the copy.
            const fresh = try self.gpa.alloc(u8, size);
            self.gpa.free(self.input);
            self.input = fresh;
        } else self.input = try self.gpa.realloc(self.input, size);
    }
};

test {
    _ = keyword;
}

const testing = std.testing;

fn socketPair() ![2]std.c.fd_t {
    var fds: [2]std.c.fd_t = undefined;
    if (std.c.socketpair(std.c.AF.UNIX, std.c.SOCK.STREAM | std.c.SOCK.NONBLOCK, 0, &fds) != 0) return error.SkipZigTest;
    return fds;
}

fn overSocket(fd: std.c.fd_t) Session {
    return .init(testing.allocator, .init(testing.allocator), .{ .socket = .{ .fd = fd } });
}

test "what is written leaves, what arrives comes out as events" {
    const fds = try socketPair();
    defer for (fds) |fd| {
        _ = std.c.close(fd);
    };
    var session = overSocket(fds[0]);
    defer session.deinit();
    try protocol.query.encode(&session.output, "select 1");
    try session.connection.sent(.query);
    try testing.expect(session.wantsWrite());
    try testing.expect(try session.flush());
    try testing.expect(!session.wantsWrite());
    var backend: net.Socket = .{ .fd = fds[1] };
    var room: [64]u8 = undefined;
    const sent = try backend.recv(&room);
    try testing.expectEqualStrings("Q\x00\x00\x00\x0dselect 1\x00", room[0..sent]);

    try testing.expectEqual(.would_block, try session.fill());
    // A message in two parts is an event when the second one has come.
    _ = try backend.send("C\x00\x00\x00\x0dSELE");
    try testing.expectEqual(.received, try session.fill());
    try testing.expectEqual(null, try session.next());
    _ = try backend.send("CT 1\x00Z\x00\x00\x00\x05I");
    try testing.expectEqual(.received, try session.fill());
    try testing.expectEqualStrings("SELECT 1", (try session.next()).?.command_complete);
    try testing.expectEqual(.idle, (try session.next()).?.ready_for_query);
    try testing.expect(!session.hasInput());
}

test "a full socket keeps the rest for later, and reading goes on" {
    const fds = try socketPair();
    defer for (fds) |fd| {
        _ = std.c.close(fd);
    };
    var session = overSocket(fds[0]);
    defer session.deinit();
    const size = 4 * 1024 * 1024;
    @memset(try session.output.addManyAsSlice(size), 'x');
    try testing.expect(!try session.flush());
    try testing.expect(session.wantsWrite());
    var backend: net.Socket = .{ .fd = fds[1] };
    var room: [64 * 1024]u8 = undefined;
    var received: usize = 0;
    while (received < size) {
        received += backend.recv(&room) catch |err| switch (err) {
            error.WouldBlock => {
                _ = try session.flush();
                continue;
            },
            error.SocketFailed => return err,
        };
    }
    try testing.expect(try session.flush());
    try testing.expectEqual(size, received);
}

test "memory follows what has arrived, not what a length word promises" {
    const fds = try socketPair();
    defer for (fds) |fd| {
        _ = std.c.close(fd);
    };
    var session = overSocket(fds[0]);
    defer session.deinit();
    try session.connection.sent(.query);
    var backend: net.Socket = .{ .fd = fds[1] };
    _ = try backend.send("T\x3f\x00\x00\x00abc");
    try testing.expectEqual(.received, try session.fill());
    try testing.expectEqual(null, try session.next());
    try testing.expectEqual(.would_block, try session.fill());
    try testing.expect(session.input.len <= Session.input_size_max);
}

test "a message longer than the buffer makes it grow, and it shrinks again" {
    var session = overSocket(-1);
    defer session.deinit();
    try session.connection.sent(.query);
    const size = 3 * Session.input_size_max;
    const body = try testing.allocator.alloc(u8, size);
    defer testing.allocator.free(body);
    @memset(body, 'n');
    body[0] = 'M';
    body[size - 2] = 0;
    body[size - 1] = 0;
    var header = [5]u8{ 'N', 0, 0, 0, 0 };
    std.mem.writeInt(u32, header[1..5], size + 4, .big);
    try session.append(&header);
    var at: usize = 0;
    while (at < size) : (at += size / 6) {
        try testing.expectEqual(null, try session.next());
        try session.append(body[at..][0 .. size / 6]);
    }
    try testing.expectEqual(size, (try session.next()).?.notice.len);
    try testing.expect(!session.hasInput());
    try testing.expect((try session.room()).len <= Session.input_size_max);
}

test "a filter's buffer shrinks again too" {
    var session = overSocket(-1);
    defer session.deinit();
    const half = try testing.allocator.alloc(u8, Session.input_size_max);
    defer testing.allocator.free(half);
    @memset(half, 'n');
    for (0..2) |_| try session.append(half);
    try testing.expect(session.input.len >= 2 * half.len);
    session.input_start = session.input_end;
    try session.append("C\x00\x00\x00\x0dSELECT 1\x00");
    try testing.expect(session.input.len <= Session.input_size_max);
    try testing.expectEqual(14, session.input_end - session.input_start);
}

test "the end of the stream is told from an error" {
    const fds = try socketPair();
    defer _ = std.c.close(fds[0]);
    var session = overSocket(fds[0]);
    defer session.deinit();
    _ = std.c.close(fds[1]);
    try testing.expectEqual(.end, try session.fill());
    try session.output.writeByte('X');
    try testing.expectError(error.SocketFailed, session.flush());
}

test "a failing allocator leaves nothing behind" {
    try testing.checkAllAllocationFailures(testing.allocator, struct {
        fn run(gpa: std.mem.Allocator) !void {
            var session: Session = .init(gpa, .init(gpa), .{ .socket = .{ .fd = -1 } });
            defer session.deinit();
            try session.connection.sent(.query);
            try session.append("C\x00\x00\x00\x0dSELECT 1\x00");
            try testing.expectEqualStrings("SELECT 1", (try session.next()).?.command_complete);
        }
    }.run, .{});
}
