//! What a statement may leave behind in its session for the next borrower of the connection: told by
//! its command tag where that says so, else by its text. Saying yes too often costs a DISCARD ALL.
//! PostgreSQL docs: sql-discard; functions-admin, "Configuration Settings Functions" and "Advisory
//! Lock Functions".
const std = @import("std");

/// `sql`: the text behind the tag, null where it holds several statements.
pub fn tagChanges(tag: []const u8, sql: ?[]const u8) bool {
    if (std.mem.eql(u8, tag, "SET")) return if (sql) |text| !isLocalSet(text) else true;
    const others = [_][]const u8{ "LISTEN", "PREPARE", "DECLARE CURSOR", "LOAD", "DO" };
    for (others) |each| if (std.mem.eql(u8, tag, each)) return true;
    return false;
}

/// The backend has forgotten every prepared statement.
pub fn tagDeallocates(tag: []const u8) bool {
    return std.mem.eql(u8, tag, "DEALLOCATE ALL") or isReset(tag);
}

/// The session is what it was when it was opened.
pub fn isReset(tag: []const u8) bool {
    return std.mem.eql(u8, tag, "DISCARD ALL");
}

/// True for what gives texts that are known another meaning: they must be described again.
pub fn tagAlters(tag: []const u8) bool {
    const all = [_][]const u8{ "TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "TYPE", "DOMAIN", "FUNCTION" };
    const rest = for ([_][]const u8{ "ALTER ", "DROP " }) |verb| {
        if (std.mem.startsWith(u8, tag, verb)) break tag[verb.len..];
    } else return false;
    for (all) |each| if (std.mem.eql(u8, rest, each)) return true;
    return false;
}

/// Session-level functions and temporary objects, for which the command tag says nothing.
pub fn textChanges(sql: []const u8) bool {
    var words: Words = .{ .text = sql };
    var before: []const u8 = "";
    var last: []const u8 = "";
    while (words.next()) |word| {
        if (is(word, "set_config")) {
            if (!isLocalCall(sql[words.at..])) return true;
        } else if (startsWith(word, "pg_advisory_lock") or startsWith(word, "pg_try_advisory_lock") or is(word, "pg_temp")) {
            return true;
        } else if (is(word, "temp") or is(word, "temporary")) {
            const created = is(last, "create") or is(last, "local") or is(last, "global") or is(last, "replace");
            if (created or (is(last, "into") and !is(before, "insert"))) return true;
        }
        before = last;
        last = word;
    }
    return false;
}

/// True for what may lead names to other tables than before.
pub fn textChangesPath(sql: []const u8) bool {
    var words: Words = .{ .text = sql };
    var first: []const u8 = "";
    while (words.next()) |word| {
        if (is(word, "search_path")) return true;
        if (first.len == 0) first = word;
        // "$user" in the path is the role's name.
        if ((is(word, "role") or is(word, "authorization")) and (is(first, "set") or is(first, "reset"))) return true;
    }
    return false;
}

/// SET LOCAL and SET TRANSACTION end with their transaction.
fn isLocalSet(sql: []const u8) bool {
    var words: Words = .{ .text = sql };
    if (!is(words.next() orelse return false, "set")) return false;
    const second = words.next() orelse return false;
    return is(second, "local") or is(second, "transaction");
}

/// `rest` follows `set_config`: is its last argument a plain `true`?
fn isLocalCall(rest: []const u8) bool {
    var depth: usize = 0;
    var quoted = false;
    for (rest, 0..) |byte, i| {
        if (byte == '\'') quoted = !quoted;
        if (quoted) continue;
        if (byte == '(') depth += 1;
        if (byte != ')') continue;
        depth -|= 1;
        if (depth > 0) continue;
        const arguments = std.mem.trim(u8, rest[0..i], &std.ascii.whitespace);
        const comma = std.mem.lastIndexOfScalar(u8, arguments, ',') orelse return false;
        return is(std.mem.trim(u8, arguments[comma + 1 ..], &std.ascii.whitespace), "true");
    }
    return false;
}

/// Runs of letters, digits and underscores.
const Words = struct {
    text: []const u8,
    at: usize = 0,

    fn next(self: *Words) ?[]const u8 {
        while (self.at < self.text.len and !isPart(self.text[self.at])) self.at += 1;
        const start = self.at;
        while (self.at < self.text.len and isPart(self.text[self.at])) self.at += 1;
        return if (self.at > start) self.text[start..self.at] else null;
    }

    fn isPart(byte: u8) bool {
        return std.ascii.isAlphanumeric(byte) or byte == '_' or byte >= 0x80;
    }
};

fn is(word: []const u8, keyword: []const u8) bool {
    return std.ascii.eqlIgnoreCase(word, keyword);
}

fn startsWith(word: []const u8, prefix: []const u8) bool {
    return std.ascii.startsWithIgnoreCase(word, prefix);
}
