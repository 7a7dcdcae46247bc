//! The statements prepared on one connection, by SQL text. Bounded: the least recently used is
//! closed with the protocol's Close, in front of the next batch, at no round trip.
const std = @import("std");
const Statement = @import("statement.zig").Statement;

pub const Prepared = struct {
    statement: *Statement,
    number: u64,
    tick: u64,
    look: Look = .{},

    pub const name_size_max = 24;

    /// The name on the backend. Numbers are not used twice on a connection.
    pub fn name(self: *const Prepared, buffer: *[name_size_max]u8) []const u8 {
        return nameOf(self.number, buffer);
    }
};

pub fn nameOf(number: u64, buffer: *[Prepared.name_size_max]u8) []const u8 {
    return std.fmt.bufPrint(buffer, "h{d}", .{number}) catch unreachable; // 'h' and 20 digits at most
}

/// Whether waiting for the reply inside the call has been worth it for this statement. A look that
/// pays earns credit, one that times out costs more than it earned; without credit only every 64th
/// call tries again.
pub const Look = struct {
    credit: i8 = 2,
    skipped: u8 = 0,
    /// A moving average of how long the replies took that came in time.
    reply_ns: u64 = 60_000,

    const credit_max = 8;
    const retry_every = 64;
    const budget_ns_min = 80_000;
    const budget_ns_max = 250_000;

    /// How long to look now; 0 is not at all.
    pub fn budget(self: *Look) u64 {
        if (self.credit <= 0) {
            self.skipped +%= 1;
            if (self.skipped % retry_every != 0) return 0;
        }
        return std.math.clamp(self.reply_ns * 3, budget_ns_min, budget_ns_max);
    }

    pub fn paid(self: *Look, took_ns: u64) void {
        self.credit = @min(self.credit + 1, credit_max);
        const capped = @min(took_ns, budget_ns_max);
        self.reply_ns = self.reply_ns - self.reply_ns / 8 + capped / 8;
    }

    pub fn timedOut(self: *Look) void {
        self.credit = @max(self.credit - 3, -1);
    }
};

pub const Cache = struct {
    gpa: std.mem.Allocator,
    capacity: u32,
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
