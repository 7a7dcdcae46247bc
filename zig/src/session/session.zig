//! A connection with its two buffers and its way out: what is written here leaves through a socket
//! or a filter (TLS), what arrives is framed in place. Never waits: who calls it decides how.
const std = @import("std");
const protocol = @import("protocol");
const connection = @import("connection");
const net = @import("net");

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
        self.output.truncate(0);
        self.output_sent = 0;
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
        if (needed > self.input.len) try self.resize(@max(needed, self.input_size));
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
