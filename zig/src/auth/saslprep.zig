//! SASLprep (RFC 4013): the form of a password that both sides of SCRAM agree on.
//!
//! The backend prepares the password when it stores the verifier, so the frontend must prepare it in
//! the same way, deviations included: the checks look at the mapped text before normalization, ASCII
//! is never touched, and a password that SASLprep refuses is used as it is.
//! PostgreSQL docs: sasl-authentication, "SCRAM-SHA-256 Authentication".
const std = @import("std");
const tables = @import("saslprep_tables.zig");

const Allocator = std.mem.Allocator;

/// The longest password that is prepared; longer ones are used as they are. Bounds the memory.
const size_max = 64 * 1024;

pub const Error = error{
    OutOfMemory,
    /// Not UTF-8, a forbidden or unassigned character, mixed directions, or nothing left.
    Prohibited,
};

/// The prepared password, allocated; or a copy of `password` where SASLprep refuses it.
/// The caller frees the result, after wiping it.
pub fn prepareOrRaw(gpa: Allocator, password: []const u8) error{OutOfMemory}![]u8 {
    return prepare(gpa, password) catch |err| switch (err) {
        error.Prohibited => gpa.dupe(u8, password),
        error.OutOfMemory => error.OutOfMemory,
    };
}

/// RFC 4013, section 2, over UTF-8 text.
pub fn prepare(gpa: Allocator, password: []const u8) Error![]u8 {
    if (isAscii(password)) return gpa.dupe(u8, password);
    if (password.len > size_max) return error.Prohibited;
    const view = std.unicode.Utf8View.init(password) catch return error.Prohibited;

    var text: CodePoints = try .initCapacity(gpa, password.len);
    defer text.wipe(gpa);
    var iterator = view.iterator();
    while (iterator.nextCodepoint()) |code| {
        if (inRanges(&tables.non_ascii_space, code)) {
            text.list.appendAssumeCapacity(' ');
        } else if (!inRanges(&tables.mapped_to_nothing, code)) {
            text.list.appendAssumeCapacity(code);
        }
    }
    try check(text.list.items);

    var normalized = try normalize(gpa, text.list.items);
    defer normalized.wipe(gpa);
    return encode(gpa, normalized.list.items);
}

/// Code points of a password: wiped before they are given back.
const CodePoints = struct {
    list: std.ArrayList(u21),

    fn initCapacity(gpa: Allocator, capacity: usize) error{OutOfMemory}!CodePoints {
        return .{ .list = try .initCapacity(gpa, capacity) };
    }

    fn wipe(self: *CodePoints, gpa: Allocator) void {
        std.crypto.secureZero(u21, self.list.allocatedSlice());
        self.list.deinit(gpa);
    }
};

fn isAscii(text: []const u8) bool {
    for (text) |byte| if (byte >= 0x80) return false;
    return true;
}

/// RFC 4013, 2.3 and 2.4; RFC 3454, section 6.
fn check(text: []const u21) error{Prohibited}!void {
    if (text.len == 0) return error.Prohibited;
    var any_right_to_left = false;
    for (text) |code| {
        if (inRanges(&tables.prohibited, code)) return error.Prohibited;
        if (inRanges(&tables.unassigned, code)) return error.Prohibited;
        if (inRanges(&tables.right_to_left, code)) any_right_to_left = true;
    }
    if (!any_right_to_left) return;
    for (text) |code| {
        if (inRanges(&tables.left_to_right, code)) return error.Prohibited;
    }
    if (!inRanges(&tables.right_to_left, text[0])) return error.Prohibited;
    if (!inRanges(&tables.right_to_left, text[text.len - 1])) return error.Prohibited;
}

fn inRanges(ranges: []const tables.Range, code: u21) bool {
    var low: usize = 0;
    var high: usize = ranges.len;
    while (low < high) {
        const middle = low + (high - low) / 2;
        if (code < ranges[middle].first) {
            high = middle;
        } else if (code > ranges[middle].last) {
            low = middle + 1;
        } else return true;
    }
    return false;
}

/// Unicode NFKC: decompose, order the marks, compose.
fn normalize(gpa: Allocator, text: []const u21) error{OutOfMemory}!CodePoints {
    var count: usize = 0;
    for (text) |code| count += decompose(code, null);
    var result: CodePoints = try .initCapacity(gpa, count);
    for (text) |code| _ = decompose(code, &result.list);
    orderMarks(result.list.items);
    compose(&result.list);
    return result;
}

const hangul = struct {
    const first = 0xac00;
    const leading = 0x1100;
    const vowel = 0x1161;
    const trailing = 0x11a7;
    const leading_count = 19;
    const vowel_count = 21;
    const trailing_count = 28;
    const count = leading_count * vowel_count * trailing_count;
};

/// Append what `code` decomposes into, where a list with room is given; the number of code points.
fn decompose(code: u21, list: ?*std.ArrayList(u21)) usize {
    if (code >= hangul.first and code < hangul.first + hangul.count) {
        const index = code - hangul.first;
        const trailing = index % hangul.trailing_count;
        if (list) |l| {
            l.appendAssumeCapacity(hangul.leading + index / (hangul.vowel_count * hangul.trailing_count));
            l.appendAssumeCapacity(hangul.vowel + index / hangul.trailing_count % hangul.vowel_count);
            if (trailing != 0) l.appendAssumeCapacity(hangul.trailing + trailing);
        }
        return if (trailing != 0) 3 else 2;
    }
    const entry = findDecomposition(code) orelse {
        if (list) |l| l.appendAssumeCapacity(code);
        return 1;
    };
    if (list) |l| l.appendSliceAssumeCapacity(tables.decomposition_pool[entry.start..][0..entry.count]);
    return entry.count;
}

fn findDecomposition(code: u21) ?tables.Decomposition {
    const entries = &tables.decompositions;
    var low: usize = 0;
    var high: usize = entries.len;
    while (low < high) {
        const middle = low + (high - low) / 2;
        if (entries[middle].code == code) return entries[middle];
        if (entries[middle].code < code) low = middle + 1 else high = middle;
    }
    return null;
}

fn combiningClass(code: u21) u8 {
    const ranges = &tables.combining_classes;
    var low: usize = 0;
    var high: usize = ranges.len;
    while (low < high) {
        const middle = low + (high - low) / 2;
        if (code < ranges[middle].first) {
            high = middle;
        } else if (code > ranges[middle].last) {
            low = middle + 1;
        } else return ranges[middle].class;
    }
    return 0;
}

fn lessByClass(_: void, a: u21, b: u21) bool {
    return combiningClass(a) < combiningClass(b);
}

/// Sort each run of marks by combining class; equal classes keep their order.
fn orderMarks(text: []u21) void {
    var start: usize = 0;
    while (start < text.len) {
        var end = start;
        while (end < text.len and combiningClass(text[end]) != 0) end += 1;
        if (end - start > 1) std.mem.sort(u21, text[start..end], {}, lessByClass);
        start = @max(end, start + 1);
    }
}

/// Join each starter with the marks behind it that nothing blocks. In place: it only shrinks.
fn compose(list: *std.ArrayList(u21)) void {
    const text = list.items;
    if (text.len == 0) return;
    var starter: ?usize = null;
    var last_class: u8 = 0;
    var length: usize = 0;
    for (text) |code| {
        const class = combiningClass(code);
        if (starter) |at| {
            // Blocked: something of the same or a higher class, or another starter, stands between.
            const adjacent = length == at + 1;
            if (adjacent or (last_class < class and last_class != 0)) {
                if (composite(text[at], code)) |joined| {
                    text[at] = joined;
                    continue;
                }
            }
        }
        if (class == 0) starter = length;
        last_class = class;
        text[length] = code;
        length += 1;
    }
    list.shrinkRetainingCapacity(length);
}

fn composite(first: u21, second: u21) ?u21 {
    if (first >= hangul.leading and first < hangul.leading + hangul.leading_count and
        second >= hangul.vowel and second < hangul.vowel + hangul.vowel_count)
    {
        const index = (first - hangul.leading) * hangul.vowel_count + (second - hangul.vowel);
        return hangul.first + index * hangul.trailing_count;
    }
    if (first >= hangul.first and first < hangul.first + hangul.count and
        (first - hangul.first) % hangul.trailing_count == 0 and
        second > hangul.trailing and second < hangul.trailing + hangul.trailing_count)
    {
        return first + (second - hangul.trailing);
    }
    const entries = &tables.compositions;
    var low: usize = 0;
    var high: usize = entries.len;
    while (low < high) {
        const middle = low + (high - low) / 2;
        const entry = entries[middle];
        if (entry.first == first and entry.second == second) return entry.composite;
        const less = entry.first < first or (entry.first == first and entry.second < second);
        if (less) low = middle + 1 else high = middle;
    }
    return null;
}

fn encode(gpa: Allocator, text: []const u21) error{OutOfMemory}![]u8 {
    var size: usize = 0;
    // Everything here came out of valid UTF-8 or the tables: there is nothing that cannot be encoded.
    for (text) |code| size += std.unicode.utf8CodepointSequenceLength(code) catch unreachable;
    const bytes = try gpa.alloc(u8, size);
    var at: usize = 0;
    for (text) |code| at += std.unicode.utf8Encode(code, bytes[at..]) catch unreachable;
    std.debug.assert(at == bytes.len);
    return bytes;
}

fn expectPrepared(expected: ?[]const u8, password: []const u8) !void {
    const gpa = std.testing.allocator;
    if (expected) |text| {
        const prepared = try prepare(gpa, password);
        defer gpa.free(prepared);
        try std.testing.expectEqualStrings(text, prepared);
    } else {
        try std.testing.expectError(error.Prohibited, prepare(gpa, password));
        const raw = try prepareOrRaw(gpa, password);
        defer gpa.free(raw);
        try std.testing.expectEqualStrings(password, raw);
    }
}

test "the examples of RFC 4013, section 3" {
    try expectPrepared("IX", "I\u{ad}X");
    try expectPrepared("user", "user");
    try expectPrepared("USER", "USER");
    try expectPrepared("a", "\u{aa}");
    try expectPrepared("IX", "\u{2168}");
    try expectPrepared(null, "\u{627}\u{31}");
}

test "what the backend does beyond the RFC: ASCII passes, refusals leave the password as it is" {
    try expectPrepared("\x07", "\x07"); // forbidden by the RFC, but ASCII
    try expectPrepared("", "");
    try expectPrepared(null, "\u{ad}"); // nothing left
    try expectPrepared(null, "a\u{e000}"); // private use
    try expectPrepared(null, "a\u{221}"); // not assigned in Unicode 3.2
    try expectPrepared(null, "\xff\xfe");
    try expectPrepared(null, "\xed\xa0\x80"); // a surrogate
    try expectPrepared(null, "\u{80}"); // non-ASCII control character
}

test "spaces, normalization and marks" {
    const table = [_][2][]const u8{
        .{ "a b", "a\u{a0}b" },
        .{ "a b", "a\u{3000}b" },
        .{ "\u{e9}", "e\u{301}" },
        .{ "\u{1e69}", "s\u{307}\u{323}" }, // marks change places, then compose twice
        .{ "\u{1e69}", "s\u{323}\u{307}" },
        .{ "\u{e0}\u{5ae}\u{300}\u{315}b", "a\u{315}\u{300}\u{5ae}\u{300}b" },
        .{ "fi", "\u{fb01}" },
        .{ "\u{ac01}", "\u{1100}\u{1161}\u{11a8}" },
        .{ "\u{d55c}\u{ae00}", "\u{d55c}\u{ae00}" },
        .{ "\u{3ac}", "\u{1f71}" }, // a composition exclusion is never made again
        .{ "\u{5e9}\u{5c1}", "\u{fb2a}" }, // another one
        .{ "12", "\u{2460}\u{2461}" },
        .{ "\u{1d157}\u{1d165}", "\u{1d15e}" },
    };
    for (table) |row| try expectPrepared(row[0], row[1]);
}

test "every allocation may fail without a leak" {
    try std.testing.checkAllAllocationFailures(std.testing.allocator, struct {
        fn run(gpa: Allocator) !void {
            gpa.free(try prepareOrRaw(gpa, "p\u{e4}ssw\u{f6}rd\u{2168}"));
        }
    }.run, .{});
}

test "fuzz: any bytes give a result, and a prepared password prepares to itself" {
    try std.testing.fuzz({}, struct {
        fn run(_: void, smith: *std.testing.Smith) !void {
            var buffer: [256]u8 = undefined;
            const password = buffer[0..smith.slice(&buffer)];
            const gpa = std.testing.allocator;
            const once = prepare(gpa, password) catch |err| switch (err) {
                error.Prohibited => return,
                error.OutOfMemory => return err,
            };
            defer gpa.free(once);
            const twice = prepare(gpa, once) catch |err| switch (err) {
                error.Prohibited => return, // normalization can bring out what the check before it did not see
                error.OutOfMemory => return err,
            };
            defer gpa.free(twice);
            try std.testing.expectEqualStrings(once, twice);
        }
    }.run, .{ .corpus = &.{ "e\u{301}", "\u{1100}\u{1161}\u{11a8}", "\u{fb01}\u{2168}", "\u{627}\u{628}" } });
}
