//! Commands that a session owes before its next statement: the reset of what the last borrower has
//! changed, the BEGIN of a block, the SAVEPOINT of a nested one. They go out in one piece with that
//! statement, so they cost no round trip, and under the same Sync, so the backend skips everything
//! behind one that fails.
//! PostgreSQL docs: protocol-flow, "Extended Query" and "Pipelining".
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const raise = @import("raise.zig");
const session_state = @import("session_state.zig");
const Request = @import("request.zig").Request;
const Link = @import("link.zig").Link;
const gpa = @import("link.zig").gpa;

/// More than nested blocks ever leave behind; and one message buffer's worth.
const count_max = 1024;

/// Owe one command without parameters and without rows.
pub fn add(link: *Link, sql: []const u8) py.Error!void {
    if (std.mem.indexOfScalar(u8, sql, 0) != null) return raise.raise("InterfaceError", "a command contains a NUL character", .{});
    if (link.owed.items.len >= count_max) return raise.raise("InterfaceError", "too many commands are owed", .{});
    const is_reset = session_state.isReset(sql);
    if (is_reset and link.owed.items.len > 0) return raise.raise("InterfaceError", "a reset goes in front of all that is owed", .{});
    const kept = gpa.dupe(u8, sql) catch return raise.outOfMemory();
    link.owed.append(gpa, kept) catch {
        gpa.free(kept);
        return raise.outOfMemory();
    };
    if (is_reset) link.session_changed = false;
}

/// Take the last command back where it is this one and has not been sent.
pub fn takeBack(link: *Link, sql: []const u8) bool {
    const last = link.owed.getLastOrNull() orelse return false;
    if (!std.mem.eql(u8, last, sql)) return false;
    gpa.free(link.owed.pop().?);
    return true;
}

/// Take everything back but the reset.
pub fn takeBackAll(link: *Link) void {
    while (link.owed.getLastOrNull()) |last| {
        if (session_state.isReset(last)) return;
        gpa.free(link.owed.pop().?);
    }
}

pub fn deinit(link: *Link) void {
    for (link.owed.items) |sql| gpa.free(sql);
    link.owed.deinit(gpa);
}

/// Whether nothing but a reset is owed: that is no matter of the next borrower's.
pub fn isClean(link: *const Link) bool {
    return switch (link.owed.items.len) {
        0 => true,
        1 => startsWithReset(link),
        else => false,
    };
}

pub fn startsWithReset(link: *const Link) bool {
    return link.owed.items.len > 0 and session_state.isReset(link.owed.items[0]);
}

/// Write what is owed. Nothing is noted as sent before `note`: what stands behind it may not fit.
pub fn write(link: *Link) (protocol.EncodeError || error{TooManyParameters})!void {
    if (startsWithReset(link)) {
        // What stands behind it finds a session in which nothing is prepared and no path was set.
        link.cache.clear();
        link.closing.clearRetainingCapacity();
        link.other_path = false;
    }
    const output = &link.session.output;
    for (link.owed.items, 0..) |sql, i| {
        try protocol.parse.encode(output, "", sql, &.{});
        const message = try protocol.bind.begin(output, "", "", 0);
        try message.finish(output, &.{});
        try protocol.execute.encode(output, "", 0);
        if (hasSync(link, i)) try protocol.sync.encode(output);
    }
}

/// A BEGIN with modes must find a transaction in which nothing has run.
fn hasSync(link: *const Link, index: usize) bool {
    return index == 0 and startsWithReset(link) and link.owed.items.len > 1;
}

/// Note that what is owed has been written, in front of what `request` itself sends.
pub fn note(link: *Link, request: *Request) error{OutOfMemory}!void {
    if (link.owed.items.len == 0) return;
    const connection = &link.session.connection;
    try connection.reserve(4 * link.owed.items.len);
    request.carried = true;
    request.owed_left = @intCast(link.owed.items.len);
    request.resets = startsWithReset(link);
    for (link.owed.items, 0..) |sql, i| {
        try connection.sent(.parse);
        try connection.sent(.bind);
        try connection.sent(.execute);
        if (hasSync(link, i)) {
            try connection.sent(.sync);
            request.syncs += 1;
        }
        if (begins(sql)) request.opens_transaction = true;
    }
    for (link.owed.items) |sql| gpa.free(sql);
    link.owed.clearRetainingCapacity();
}

fn begins(sql: []const u8) bool {
    return std.ascii.startsWithIgnoreCase(sql, "begin") or std.ascii.startsWithIgnoreCase(sql, "start");
}

/// CommandComplete for a command in front of `request`.
pub fn answered(request: *Request) void {
    request.owed_left -= 1;
    request.resets = false;
}

/// ErrorResponse for a command in front of `request`: it has not run itself. A session that could not
/// be reset must not be used by anybody.
pub fn failed(link: *Link, request: *Request) void {
    request.owed_left = 0;
    if (!request.resets) return;
    request.undone = true;
    link.closed = true;
}
