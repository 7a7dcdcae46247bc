//! Fuzz tests of the machine. One converses with a model of the backend, which takes the frontend's
//! messages in order and answers as the manual says, with errors and asynchronous messages thrown
//! in: no right answer may be refused, and in the end both sides agree on what is owed. The other
//! sends anything: nothing may crash, and whole or byte by byte the events are the same.
const std = @import("std");
const protocol = @import("protocol");
const scripted = @import("scripted.zig");
const machine = @import("machine.zig");

const Connection = machine.Connection;
const Sent = machine.Sent;
const Smith = std.testing.Smith;
const testing = std.testing;

/// The backend of an established session. Knows nothing of the frontend's state machine.
const Model = struct {
    smith: *Smith,
    writer: protocol.WriteBuffer,
    /// Sent, not read yet.
    inbox: std.Deque(Sent) = .empty,
    copying: enum { no, by_query, by_execute } = .no,
    is_skipping: bool = false,
    is_gone: bool = false,
    /// A COPY was cancelled before a Sync sent into it was read.
    is_crossed: bool = false,
    ready_count: usize = 0,

    fn deinit(self: *Model) void {
        self.writer.deinit();
        self.inbox.deinit(testing.allocator);
    }

    fn oneIn(self: *Model, count: u8) bool {
        return self.smith.valueRangeLessThan(u8, 0, count) == count - 1;
    }

    fn write(self: *Model, line: scripted.Line) !void {
        try self.writer.writeBytes(line.back);
    }

    fn asynchronous(self: *Model) !void {
        switch (self.smith.valueRangeAtMost(u8, 0, 15)) {
            1 => try self.write(scripted.notice),
            2 => try self.write(scripted.notification),
            3 => try self.write(scripted.status),
            else => {},
        }
    }

    fn fail(self: *Model, is_extended: bool) !void {
        return self.failWith(scripted.failure, is_extended);
    }

    fn failWith(self: *Model, response: scripted.Line, is_extended: bool) !void {
        try self.write(response);
        self.copying = .no;
        if (is_extended) self.is_skipping = true else try self.ready();
    }

    fn ready(self: *Model) !void {
        try self.asynchronous();
        const statuses = std.enums.values(protocol.TransactionStatus);
        try protocol.ReadyForQuery.encode(&self.writer, statuses[self.smith.valueRangeAtMost(u8, 0, 2)]);
        self.ready_count += 1;
    }

    /// Read one message of the frontend and answer it.
    fn run(self: *Model) !void {
        const what = self.inbox.popFront() orelse return;
        if (self.is_gone) return;
        try self.asynchronous();
        if (self.copying != .no) return self.copy(what);
        if (what == .copy_done or what == .copy_fail) return;
        if (self.is_skipping and what != .sync) return;
        if (what != .sync and what != .query and self.oneIn(6)) return self.fail(true);
        switch (what) {
            .parse => try self.write(scripted.back('1', "")),
            .bind => try self.write(scripted.back('2', "")),
            .close => try self.write(scripted.back('3', "")),
            .describe_statement => {
                try self.write(scripted.back('t', "\x00\x01\x00\x00\x00\x17"));
                try self.asynchronous();
                try self.fields();
            },
            .describe_portal => try self.fields(),
            .execute, .execute_limited => try self.execute(what == .execute_limited),
            .sync => {
                if (!self.is_skipping and self.oneIn(8)) try self.write(scripted.failure);
                self.is_skipping = false;
                try self.ready();
            },
            // Nothing but white space and comments.
            .query => if (self.oneIn(8)) {
                try self.write(scripted.back('I', ""));
                try self.ready();
            } else try self.statements(),
            .startup, .password, .copy_done, .copy_fail => unreachable,
        }
    }

    fn fields(self: *Model) !void {
        try self.write(if (self.oneIn(4)) scripted.back('n', "") else scripted.one_field);
    }

    fn rows(self: *Model) !void {
        for (0..self.smith.valueRangeAtMost(u8, 0, 4)) |_| {
            try self.asynchronous();
            try self.write(scripted.one_row);
        }
    }

    fn execute(self: *Model, is_limited: bool) !void {
        switch (self.smith.valueRangeAtMost(u8, 0, 7)) {
            3 => return self.write(scripted.back('I', "")),
            4 => return self.copyIn(.by_execute),
            5 => if (!try self.copyOut()) return self.fail(true),
            else => {
                try self.rows();
                if (self.oneIn(6)) return self.fail(true);
                if (is_limited and self.oneIn(2)) return self.write(scripted.back('s', ""));
            },
        }
        try self.write(scripted.select_1);
    }

    /// What is left of a Query's statements, and its ReadyForQuery.
    fn statements(self: *Model) !void {
        for (0..self.smith.valueRangeAtMost(u8, 1, 3)) |_| {
            if (self.oneIn(6)) return self.fail(false);
            switch (self.smith.valueRangeAtMost(u8, 0, 7)) {
                2 => {},
                3 => return self.copyIn(.by_query),
                4 => if (!try self.copyOut()) return self.fail(false),
                else => {
                    try self.write(scripted.one_field);
                    try self.rows();
                    if (self.oneIn(6)) return self.fail(false);
                },
            }
            try self.write(scripted.select_1);
        }
        try self.ready();
    }

    fn copyIn(self: *Model, by: @FieldType(Model, "copying")) !void {
        self.copying = by;
        try self.write(scripted.back('G', "\x00\x00\x00"));
        // A cancelled COPY: the error comes without a message of the frontend.
        if (!self.oneIn(4)) return;
        try self.failWith(scripted.cancelled, by == .by_execute);
        self.is_crossed = true;
    }

    /// Whether it came to its end.
    fn copyOut(self: *Model) !bool {
        try self.write(scripted.back('H', "\x00\x00\x00"));
        for (0..self.smith.valueRangeAtMost(u8, 0, 3)) |_| {
            try self.asynchronous();
            try self.write(scripted.back('d', "1\n"));
        }
        if (self.oneIn(4)) return false;
        try self.write(scripted.back('c', ""));
        return !self.oneIn(4);
    }

    fn copy(self: *Model, what: Sent) !void {
        const is_extended = self.copying == .by_execute;
        switch (what) {
            .sync => {},
            .copy_done => {
                if (self.oneIn(4)) return self.fail(is_extended);
                self.copying = .no;
                try self.write(scripted.select_1);
                if (is_extended) return;
                if (self.oneIn(2)) try self.statements() else try self.ready();
            },
            .copy_fail => try self.failWith(scripted.cancelled, is_extended),
            else => {
                self.is_gone = true;
                try self.write(scripted.fatal);
            },
        }
    }
};

const sendable = [_]Sent{
    .query,   .parse,           .bind,      .describe_statement, .describe_portal,
    .execute, .execute_limited, .close,     .sync,               .sync,
    .sync,    .copy_done,       .copy_fail,
};

fn converseOne(_: void, smith: *Smith) anyerror!void {
    var model: Model = .{ .smith = smith, .writer = .init(testing.allocator) };
    defer model.deinit();
    var connection: Connection = .init(testing.allocator);
    defer connection.deinit();
    var ready_count: usize = 0;
    var read: usize = 0;
    var is_copy_failed = false;

    for (0..smith.valueRangeAtMost(u8, 1, 60)) |_| {
        switch (smith.valueRangeAtMost(u8, 0, 3)) {
            0, 1 => {
                const what = sendable[smith.index(sendable.len)];
                try connection.sent(what);
                try model.inbox.pushBack(testing.allocator, what);
                if (what == .copy_fail) is_copy_failed = true;
            },
            2 => try model.run(),
            else => ready_count += try readSome(&connection, &model, &read, smith.valueRangeAtMost(u8, 0, 3)),
        }
        // May be right or wrong from here: the session is given up.
        if (connection.in_doubt or (model.is_crossed and is_copy_failed)) return;
    }
    while (model.inbox.len > 0) try model.run();
    if (model.is_crossed and is_copy_failed) return;
    ready_count += try readSome(&connection, &model, &read, std.math.maxInt(u8));
    if (connection.in_doubt) return;

    try testing.expectEqual(model.writer.len(), read);
    try testing.expectEqual(model.ready_count, ready_count);
    try testing.expectEqual(model.is_gone, connection.isTerminated());
    if (model.is_gone) return;
    try testing.expectEqual(@intFromBool(model.copying == .by_query), connection.pendingSyncs());
    try testing.expectEqual(model.copying != .no, connection.isCopyIn());
    try testing.expectEqual(model.is_skipping, connection.isSyncOwed());
    try testing.expectEqual(model.copying == .no and !model.is_skipping, connection.isIdle());
}

/// Take up to `count` events; how many of them were ReadyForQuery.
fn readSome(connection: *Connection, model: *Model, read: *usize, count: u8) !usize {
    var ready_count: usize = 0;
    for (0..count) |_| {
        if (connection.in_doubt) break;
        const step = connection.next(model.writer.bytes.items[read.*..]) catch |err| {
            std.debug.print("{f}\n", .{connection.violation.?});
            return err;
        } orelse break;
        read.* += step.consumed;
        if (step.event == .ready_for_query) ready_count += 1;
    }
    return ready_count;
}

test "fuzz: every right answer is accepted, and both sides agree on what is owed" {
    try testing.fuzz({}, converseOne, .{});
    try protocol.testing.runSeeds(4000, converseOne);
}

/// Message types that exist, with bodies that are often nearly right.
const bodies = [_][]const u8{
    "",               "I",                "\x00\x00",            "\x00\x00\x00\x00",     "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00",
    "\x00",           "\x00\x00\x00\x03", "SET\x00",             "a\x00b\x00",           "\x00\x01\x00\x00\x00\x011",
    "VERROR\x00\x00", "VFATAL\x00\x00",   "\x00\x00\x00\x0cv=x", "\x00\x00\x00\x07key!", "\x00\x03\x00\x00\x00\x00\x00\x00",
};

fn hostileOne(_: void, smith: *Smith) anyerror!void {
    var bytes: protocol.WriteBuffer = .init(testing.allocator);
    defer bytes.deinit();
    var sends: std.ArrayList(Sent) = .empty;
    defer sends.deinit(testing.allocator);

    if (smith.value(bool)) try sends.append(testing.allocator, .startup);
    for (0..smith.valueRangeAtMost(u8, 0, 12)) |_| {
        try sends.append(testing.allocator, sendable[smith.index(sendable.len)]);
    }
    const messages = std.enums.values(protocol.BackendMessage);
    for (0..smith.valueRangeAtMost(u8, 0, 12)) |_| {
        const message_type = switch (smith.value(u8)) {
            0...60 => @backingInt(messages[smith.index(messages.len)]),
            else => smith.value(u8),
        };
        const body = bodies[smith.index(bodies.len)];
        const mark = try bytes.beginMessage(message_type);
        try bytes.writeBytes(body);
        try bytes.endMessage(mark);
        const length = bytes.bytes.items[mark..][0..4];
        if (smith.valueRangeAtMost(u8, 0, 30) == 30) std.mem.writeInt(u32, length, smith.value(u32), .big);
    }

    var whole: std.Io.Writer.Allocating = .init(testing.allocator);
    defer whole.deinit();
    try feed(sends.items, bytes.bytes.items, bytes.len(), &whole.writer);
    var single: std.Io.Writer.Allocating = .init(testing.allocator);
    defer single.deinit();
    try feed(sends.items, bytes.bytes.items, 1, &single.writer);
    try testing.expectEqualStrings(whole.written(), single.written());
}

/// All sent first, then `bytes` in pieces; what happens goes into `trace`.
fn feed(sends: []const Sent, bytes: []const u8, piece: usize, trace: *std.Io.Writer) !void {
    var connection: Connection = .init(testing.allocator);
    defer connection.deinit();
    for (sends) |what| try connection.sent(what);
    var from: usize = 0;
    var to: usize = 0;
    while (to < bytes.len) {
        to = @min(bytes.len, to + piece);
        while (true) {
            const step = connection.next(bytes[from..to]) catch {
                return trace.print("! {f}\n", .{connection.violation.?});
            } orelse break;
            try trace.print("< {f}\n", .{step.event});
            from += step.consumed;
            if (connection.isPasswordOwed()) try connection.sent(.password);
        }
    }
    try trace.print("{t}, {d} owed\n", .{ connection.state, connection.pendingSyncs() });
}

test "fuzz: whatever comes, nothing crashes, and the pieces it comes in do not matter" {
    try testing.fuzz({}, hostileOne, .{});
    try protocol.testing.runSeeds(3000, hostileOne);
}
