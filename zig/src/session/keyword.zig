//! The first word of an SQL text: enough to tell a plain read from what may write.
const std = @import("std");

/// False only for statements that read: after a lost connection these simply failed. In doubt it is a
/// write: a SELECT with a parenthesis may call a function that writes, one with INTO makes a table.
pub fn mayWrite(sql: []const u8) bool {
    if (isScript(sql)) return true;
    const word = first(sql);
    for ([_][]const u8{ "show", "table", "fetch" }) |each| if (std.ascii.eqlIgnoreCase(word, each)) return false;
    for ([_][]const u8{ "select", "values" }) |each| {
        if (!std.ascii.eqlIgnoreCase(word, each)) continue;
        const rest = sql[@intFromPtr(word.ptr) - @intFromPtr(sql.ptr) ..];
        return std.mem.indexOfScalar(u8, rest, '(') != null or std.ascii.findIgnoreCase(rest, "into") != null;
    }
    return true;
}

/// True for what ends a transaction and makes it durable.
pub fn commits(sql: []const u8) bool {
    const ends = [_][]const u8{ "commit", "end", "prepare" };
    const word = first(sql);
    for (ends) |each| if (std.ascii.eqlIgnoreCase(word, each)) return true;
    if (!isScript(sql)) return false;
    for (ends) |each| if (std.ascii.findIgnoreCase(sql, each) != null) return true;
    return false;
}

pub const Kind = enum {
    /// Waits for nobody's row locks, and changes nothing but through the functions that it calls.
    read,
    /// May wait for row locks, and changes rows.
    write,
    /// Everything else: definitions, transaction commands, COPY, what leaves the session changed.
    other,
};

/// In doubt it is the later one of the list.
pub fn kindOf(sql: []const u8) Kind {
    if (isScript(sql)) return .other;
    const word = first(sql);
    for ([_][]const u8{ "insert", "update", "delete", "merge" }) |each| if (std.ascii.eqlIgnoreCase(word, each)) return .write;
    const reads = for ([_][]const u8{ "select", "values", "table", "show", "with" }) |each| {
        if (std.ascii.eqlIgnoreCase(word, each)) break true;
    } else false;
    if (!reads) return .other;
    const with = std.ascii.eqlIgnoreCase(word, "with");
    var words = std.mem.tokenizeAny(u8, sql, " \t\r\n();,");
    var before: []const u8 = "";
    while (words.next()) |each| : (before = each) {
        if (std.ascii.eqlIgnoreCase(each, "into")) return if (with) .write else .other;
        if (std.ascii.findIgnoreCase(each, "advisory") != null) return .write;
        if (std.ascii.eqlIgnoreCase(before, "for")) {
            // What follows a comment is not looked for.
            if (std.mem.startsWith(u8, each, "/*") or std.mem.startsWith(u8, each, "--")) return .write;
            for ([_][]const u8{ "update", "share", "no", "key" }) |lock| if (std.ascii.eqlIgnoreCase(each, lock)) return .write;
        }
        if (with) for ([_][]const u8{ "insert", "update", "delete", "merge" }) |verb| {
            if (std.ascii.eqlIgnoreCase(each, verb)) return .write;
        };
    }
    return .read;
}

/// Perhaps several statements. In doubt it is: a semicolon may be part of a literal.
fn isScript(sql: []const u8) bool {
    const at = std.mem.indexOfScalar(u8, sql, ';') orelse return false;
    return std.mem.trim(u8, sql[at + 1 ..], &std.ascii.whitespace).len > 0;
}

/// Skips white space, comments and opening parentheses.
fn first(sql: []const u8) []const u8 {
    var at: usize = 0;
    while (at < sql.len) {
        const rest = sql[at..];
        if (std.mem.startsWith(u8, rest, "--")) {
            at += std.mem.indexOfScalar(u8, rest, '\n') orelse return "";
        } else if (std.mem.startsWith(u8, rest, "/*")) {
            at += commentSize(rest) orelse return "";
        } else if (std.ascii.isWhitespace(rest[0]) or rest[0] == '(') {
            at += 1;
        } else break;
    }
    var end = at;
    while (end < sql.len and std.ascii.isAlphabetic(sql[end])) end += 1;
    return sql[at..end];
}

/// Comments nest in PostgreSQL. Null: it never ends.
fn commentSize(text: []const u8) ?usize {
    var depth: usize = 0;
    var at: usize = 0;
    while (at + 1 < text.len) {
        if (text[at] == '/' and text[at + 1] == '*') {
            depth += 1;
            at += 2;
        } else if (text[at] == '*' and text[at + 1] == '/') {
            depth -= 1;
            at += 2;
            if (depth == 0) return at;
        } else at += 1;
    }
    return null;
}

test "what waits for nobody is told from what may wait for a lock, and from all the rest" {
    const table = [_]struct { Kind, []const u8 }{
        .{ .read, "SELECT * FROM t WHERE id = $1" },
        .{ .read, "-- note\n(select count(*) from t)" },
        .{ .read, "WITH x AS (SELECT 1) SELECT * FROM x" },
        .{ .read, "VALUES (1), (2)" },
        .{ .read, "SELECT substring(a for 3) FROM t" },
        .{ .write, "SELECT * FROM t FOR UPDATE" },
        .{ .write, "select * from t for\n no key update" },
        .{ .write, "SELECT * FROM t FOR /* all */ UPDATE" },
        .{ .write, "SELECT pg_advisory_xact_lock(1)" },
        .{ .write, "INSERT INTO t VALUES (1)" },
        .{ .write, "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x" },
        .{ .write, "with x as (select 1) insert into t select * from x" },
        .{ .other, "SELECT 1 INTO t" },
        .{ .other, "COPY t FROM STDIN" },
        .{ .other, "BEGIN" },
        .{ .other, "SELECT 1; SELECT 2" },
        .{ .other, "CREATE TABLE t (a int)" },
        .{ .other, "EXPLAIN SELECT 1" },
        .{ .other, "" },
    };
    for (table) |case| try std.testing.expectEqual(case[0], kindOf(case[1]));
}

test "reads are told from what may write, whatever stands in front" {
    const table = [_]struct { bool, []const u8 }{
        .{ false, "SELECT 1" },
        .{ false, "  (select 1)" },
        .{ false, "-- why\n/* a /* nested */ one */ Select 1" },
        .{ true, "SELECT refill()" },
        .{ true, "select * into copy from t" },
        .{ false, "show all" },
        .{ false, "select 1; " },
        .{ true, "select 1; delete from t" },
        .{ true, "INSERT INTO t VALUES (1)" },
        .{ true, "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x" },
        .{ true, "/* never ends" },
        .{ true, "--" },
        .{ true, "" },
        .{ true, "selection" },
    };
    for (table) |case| try std.testing.expectEqual(case[0], mayWrite(case[1]));
}

test "what ends a transaction and makes it durable" {
    for ([_][]const u8{ "COMMIT", "end", " prepare transaction 'x'", "select 1; commit" }) |sql| try std.testing.expect(commits(sql));
    for ([_][]const u8{ "ROLLBACK", "SELECT 1", "SELECT 1;", "SELECT 1; SELECT 2", "commitment" }) |sql| try std.testing.expect(!commits(sql));
}
