//! How long statements keep a backend busy, and what follows from it: which call may be sent behind
//! others that are under way. A call that waits behind a slow one has lost; so nothing is sent behind a
//! statement that is not known to be quick, that may wait for a lock, or that leaves the session changed.
const std = @import("std");
const net = @import("net");
const py = @import("py.zig");
const Statement = @import("statement.zig").Statement;
const Request = @import("request.zig").Request;
const Link = @import("link.zig").Link;

/// Requests under way on one connection, and bytes of them.
pub const depth_max = 32;
pub const bytes_max = 64 * 1024;
/// A statement that takes longer is better off on a connection of its own.
const quick_ns = std.time.ns_per_ms;
/// One sample says no more than this: the loop may have been late to look.
const sample_ns_max = 4 * std.time.ns_per_ms;
/// What a quick statement is asked to prove after it was found stuck: this many runs, then four times as many.
const runs_first = 64;
const runs_max = 4096;

/// What is known of one text's time on the backend. Shared by threads; a lost update is of no matter.
pub const Service = struct {
    mean_ns: std.atomic.Value(u32) = .init(unknown),
    runs: std.atomic.Value(u32) = .init(0),
    runs_needed: std.atomic.Value(u32) = .init(1),

    const unknown = std.math.maxInt(u32);

    pub fn mean(self: *const Service) u64 {
        return self.mean_ns.load(.monotonic);
    }

    pub fn isQuick(self: *const Service) bool {
        return self.mean_ns.load(.monotonic) <= quick_ns and self.runs.load(.monotonic) >= self.runs_needed.load(.monotonic);
    }

    fn note(self: *Service, sample_ns: u64) void {
        const sample: u32 = @intCast(@min(sample_ns, sample_ns_max));
        const old = self.mean_ns.load(.monotonic);
        self.mean_ns.store(if (old == unknown) sample else old - old / 8 + sample / 8, .monotonic);
        self.runs.store(self.runs.load(.monotonic) +| 1, .monotonic);
    }

    /// It was found waiting for something; it has to be quick for longer each time until it is trusted again.
    fn distrust(self: *Service) void {
        const needed = self.runs_needed.load(.monotonic);
        self.runs_needed.store(@min(@max(needed *| 4, runs_first), runs_max), .monotonic);
        self.runs.store(0, .monotonic);
    }
};

/// A request is complete: count the time it kept the backend busy.
pub fn account(link: *Link, request: *const Request) void {
    const now = net.now();
    const begun = @max(request.started_ns, link.answered_ns, link.looked_ns);
    link.answered_ns = now;
    const statement = request.statement orelse return;
    // A first use is planned and described, and a batch is as long as it is.
    if (request.fresh or request.with_parse or request.batch or request.fault != null) return;
    var took = now -| begun;
    if (request.was_alone) {
        link.rtt_ns = @min(link.rtt_ns, took);
        took -= link.rtt_ns;
    }
    @constCast(&statement.service).note(took);
}

/// Whether something may be sent behind this one, as far as it alone says.
pub fn leavesRoom(request: *const Request) bool {
    const statement = request.statement orelse return false;
    return request.stage == .executing and !request.batch and statement.kind == .read and !statement.changes_session and
        !statement.changes_path and statement.service.isQuick();
}

/// Whether all of it is written that the backend waits for, so that what is written next is read behind its end. Not of a
/// COPY, behind whose end poolers lose messages (PgBouncer 1.18).
pub fn isWritten(request: *const Request) bool {
    return request.stage == .executing and !request.is_open and request.copy == .none;
}

/// Definitions and settings must have taken place before the next text is read by what is known of it; and
/// what is described first sends its values later. What a block owes, its COMMIT say, changes no meaning.
pub fn isBarrier(request: *const Request) bool {
    const statement = request.statement orelse return !request.owed_only or request.resets;
    return request.stage != .executing or statement.kind == .other or statement.changes_path;
}

/// Whether `statement` may be sent behind what is under way. `budget_ns` bounds what it then waits for.
pub fn hasRoom(link: *const Link, statement: *const Statement, budget_ns: u64) bool {
    if (!link.tail_open or link.owed.items.len > 0 or statement.kind != .read or statement.changes_session or statement.changes_path) return false;
    if (!statement.service.isQuick()) return false;
    if (link.queue.len >= depth_max or link.bytes_in_flight >= bytes_max) return false;
    return link.service_in_flight + statement.service.mean() <= budget_ns;
}

/// Whether the backend has been busy with the first request for longer than `limit_ns` and has nothing
/// to say yet: then its statement is not trusted to be quick any more.
pub fn isStuck(link: *Link, limit_ns: u64) bool {
    const object = link.queue.front() orelse return false;
    const request = Request.of(object);
    const begun = @max(request.started_ns, link.answered_ns);
    if (net.now() -| begun < limit_ns +| link.rtt_ns) return false;
    var socket: net.Socket = .{ .fd = link.fd };
    if (link.session.hasInput() or !socket.isQuiet()) return false;
    // Once for each time it is found so, however often it is looked at.
    if (link.tail_open) if (request.statement) |statement| @constCast(&statement.service).distrust();
    link.tail_open = false;
    return true;
}
