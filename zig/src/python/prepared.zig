//! The statements prepared on one connection, by SQL text. Bounded: the least recently used is
//! closed with the protocol's Close, in front of the next batch, at no round trip.
const std = @import("std");
const Statement = @import("statement.zig").Statement;

pub const Prepared = struct {
    statement: *Statement,
    number: u64,
    tick: u64,
    look: Look = .{},

    pub const prefix_size_max = 20;
    pub const name_size_max = prefix_size_max + 20;
};

/// Whether waiting for the reply inside the call has been worth it for this statement. A look that
/// pays earns credit, one that times out costs more than it earned; without credit only every 64th
/// call tries again.
///
/// A timer that is due before the kernel's next tick makes it program the clock, which costs more than
/// the rest of a lookup. So a statement with full credit is given a time beyond the tick: it will be
/// needed almost never, and where it is, once, because the credit is gone then.
pub const Look = struct {
    credit: i8 = 2,
    skipped: u8 = 0,

    const credit_max = 8;
    const retry_every = 64;
    const first_budget_ns = 250 * std.time.ns_per_us;
    const trusted_budget_ns = 4 * std.time.ns_per_ms;

    /// How long to look now; 0 is not at all.
    pub fn budget(self: *Look) u64 {
        if (self.credit == credit_max) return trusted_budget_ns;
        if (self.credit <= 0) {
            self.skipped +%= 1;
            if (self.skipped % retry_every != 0) return 0;
        }
        return first_budget_ns;
    }

    /// The reply came in time. One that took long costs a little: the next may take longer.
    pub fn paid(self: *Look, took_ns: u64) void {
        if (took_ns > first_budget_ns) {
            self.credit = @max(self.credit - 1, -1);
            return;
        }
        self.credit = @min(self.credit + 1, credit_max);
    }

    pub fn timedOut(self: *Look) void {
        self.credit = @max(self.credit - credit_max / 2, -1);
    }
};

pub const Cache = struct {
    gpa: std.mem.Allocator,
    capacity: u32,
    /// What every name begins with. Unlike any other connection's: behind a pooler two of them can meet
    /// on one backend, and one must never run what the other has prepared.
    prefix: []const u8 = "h",
    entries: std.StringHashMapUnmanaged(*Prepared) = .empty,
    tick: u64 = 0,
    number: u64 = 0,

    pub fn deinit(self: *Cache) void {
        var all = self.entries.valueIterator();
        while (all.next()) |prepared| self.destroy(prepared.*);
        self.entries.deinit(self.gpa);
        self.* = undefined;
    }

    pub fn find(self: *Cache, sql: []const u8) ?*Prepared {
        const prepared = self.entries.get(sql) orelse return null;
        self.tick += 1;
        prepared.tick = self.tick;
        return prepared;
    }

    /// The name on the backend. Numbers are not used twice on a connection.
    pub fn nameOf(self: *const Cache, number: u64, buffer: *[Prepared.name_size_max]u8) []const u8 {
        return std.fmt.bufPrint(buffer, "{s}{d}", .{ self.prefix, number }) catch unreachable; // 20 digits at most
    }

    /// A number for a statement about to be parsed.
    pub fn nextNumber(self: *Cache) u64 {
        self.number += 1;
        return self.number;
    }

    /// The backend has prepared `statement` as `number`. Any other one of the same text was forgotten before.
    pub fn put(self: *Cache, statement: *Statement, number: u64) error{OutOfMemory}!*Prepared {
        std.debug.assert(!self.entries.contains(statement.sql));
        const prepared = try self.gpa.create(Prepared);
        errdefer self.gpa.destroy(prepared);
        self.tick += 1;
        prepared.* = .{ .statement = statement, .number = number, .tick = self.tick };
        try self.entries.put(self.gpa, statement.sql, prepared);
        _ = statement.retain();
        return prepared;
    }

    /// Take the least recently used out when the cache, with `coming` more, is over its bound. The
    /// number is to be closed.
    pub fn evict(self: *Cache, coming: u32) ?u64 {
        if (self.entries.count() == 0 or self.entries.count() + coming <= self.capacity) return null;
        var oldest: ?*Prepared = null;
        var all = self.entries.valueIterator();
        while (all.next()) |each| {
            if (oldest == null or each.*.tick < oldest.?.tick) oldest = each.*;
        }
        return self.remove(oldest.?);
    }

    /// Take one text out, when its plan or the whole statement is no longer what we think.
    pub fn forget(self: *Cache, sql: []const u8) ?u64 {
        return self.remove(self.entries.get(sql) orelse return null);
    }

    fn remove(self: *Cache, prepared: *Prepared) u64 {
        const removed = self.entries.remove(prepared.statement.sql);
        std.debug.assert(removed);
        const number = prepared.number;
        self.destroy(prepared);
        return number;
    }

    /// Take any one out; null when none is left.
    pub fn takeAny(self: *Cache) ?u64 {
        var all = self.entries.valueIterator();
        return self.remove((all.next() orelse return null).*);
    }

    /// Forget everything: the backend has (DISCARD ALL).
    pub fn clear(self: *Cache) void {
        var all = self.entries.valueIterator();
        while (all.next()) |prepared| self.destroy(prepared.*);
        self.entries.clearRetainingCapacity();
    }

    fn destroy(self: *Cache, prepared: *Prepared) void {
        prepared.statement.release();
        self.gpa.destroy(prepared);
    }
};
