//! tsquery: operators before their operands on the wire, the text with operators between and as
//! few parentheses as the server prints.
//! PostgreSQL docs: datatype-textsearch, "tsquery"; textsearch-controls, "Parsing Queries".
//!
//! The wire gives an operator, its right operand, then its left one. Text that is written from its
//! end to its beginning wants just that order, so one pass without recursion does it: what must
//! still be written before an operand waits on a stack.
const std = @import("std");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const putQuoted = @import("tsvector.zig").putQuoted;
const DecodeError = errors.DecodeError;

const item_value = 1;
const item_operator = 2;

const Operator = enum(u8) {
    not = 1,
    @"and" = 2,
    @"or" = 3,
    phrase = 4,

    /// A higher one binds closer.
    fn priority(self: Operator) u8 {
        return switch (self) {
            .@"or" => 1,
            .@"and" => 2,
            .phrase => 3,
            .not => 4,
        };
    }
};

/// What an operand must know of the operator above it.
const Context = struct {
    priority: u8 = 0,
    /// Phrase operators lean left: one as right operand of another keeps its parentheses.
    right_of_phrase: bool = false,
};

const Pending = union(enum) {
    /// Both right and left of this operator are to come, the right one first.
    left_after: struct { operator: Operator, distance: u16 },
    /// Bytes to write once the operand behind them is written.
    text: []const u8,
};

pub const Error = DecodeError || error{OutOfMemory};

/// An upper bound of the bytes that `toText` writes: an operand is four bytes and its lexeme on
/// the wire, eight and twice the lexeme in text; an operator two or four against seven or thirteen.
pub fn textLength(body: []const u8) usize {
    return body.len * 4;
}

/// The query's text, at the end of `out`, which has at least `textLength(body)` bytes. `gpa` is
/// used for a stack that is gone at return, bounded by the body's length.
pub fn toText(gpa: std.mem.Allocator, body: []const u8, out: []u8) Error![]u8 {
    std.debug.assert(out.len >= textLength(body));
    var cursor: Cursor = .init(body);
    const item_count = try cursor.count(2);
    if (item_count == 0) {
        try cursor.finish();
        return out[0..0];
    }
    var text: Backwards = .{ .out = out, .start = out.len };
    var pending: std.ArrayList(Pending) = .empty;
    defer pending.deinit(gpa);
    var context: Context = .{};
    var operands_missing: usize = 1;
    for (0..item_count) |_| {
        if (operands_missing == 0) return error.InvalidValue;
        switch (try cursor.int(u8)) {
            item_value => {
                try putValue(&text, &cursor);
                operands_missing -= 1;
                // An operand is complete: so is whatever waited for it alone.
                context = resume_: while (pending.pop()) |waiting| switch (waiting) {
                    .text => |bytes| text.put(bytes),
                    .left_after => |operator| {
                        putOperator(&text, operator.operator, operator.distance);
                        break :resume_ .{ .priority = operator.operator.priority() };
                    },
                } else context;
            },
            item_operator => {
                const operator: Operator = switch (try cursor.int(u8)) {
                    1...4 => |byte| @fromBackingInt(@intCast(byte)),
                    else => return error.InvalidValue,
                };
                const distance = if (operator == .phrase) try cursor.int(u16) else 0;
                const leans = operator == .phrase and context.right_of_phrase;
                if (operator.priority() < context.priority or leans) {
                    text.put(" )");
                    try pending.append(gpa, .{ .text = "( " });
                }
                if (operator == .not) {
                    try pending.append(gpa, .{ .text = "!" });
                } else {
                    operands_missing += 1;
                    try pending.append(gpa, .{ .left_after = .{ .operator = operator, .distance = distance } });
                }
                context = .{ .priority = operator.priority(), .right_of_phrase = operator == .phrase };
            },
            else => return error.InvalidValue,
        }
    }
    if (operands_missing != 0) return error.InvalidValue;
    try cursor.finish();
    return out[text.start..];
}

const Backwards = struct {
    out: []u8,
    start: usize,

    fn put(self: *Backwards, bytes: []const u8) void {
        self.start -= bytes.len;
        @memcpy(self.out[self.start..][0..bytes.len], bytes);
    }
};

/// `'lexeme':*AB`: a prefix match and the weights asked for, where there are any.
fn putValue(text: *Backwards, cursor: *Cursor) DecodeError!void {
    const weights = try cursor.int(u8);
    const prefix = try cursor.int(u8);
    if (weights > 0xf or prefix > 1) return error.InvalidValue;
    const lexeme = try cursor.cString();
    for ("DCBA", 0..) |letter, bit| {
        if (weights >> @intCast(bit) & 1 == 1) text.put(&.{letter});
    }
    if (prefix == 1) text.put("*");
    if (weights != 0 or prefix == 1) text.put(":");
    var doubled: usize = 0;
    for (lexeme) |byte| doubled += @intFromBool(byte == '\'' or byte == '\\');
    text.start -= lexeme.len + doubled + 2;
    _ = putQuoted(text.out[text.start..], lexeme);
}

fn putOperator(text: *Backwards, operator: Operator, distance: u16) void {
    switch (operator) {
        .@"and" => text.put(" & "),
        .@"or" => text.put(" | "),
        .phrase => if (distance == 1) text.put(" <-> ") else {
            var buffer: [16]u8 = undefined;
            text.put(std.fmt.bufPrint(&buffer, " <{d}> ", .{distance}) catch unreachable); // five digits fit
        },
        .not => unreachable, // never waits for a left operand
    }
}

const testing = @import("testing.zig");
const hex = testing.hex;

/// Text and bytes from the server's tsqueryout and tsquerysend.
const rows = .{
    .{ "", "00000000" },
    .{ "'a'", "000000010100006100" },
    .{ "'a' & 'b'", "00000003020201000062000100006100" },
    .{ "'a' | 'b' & 'c'", "0000000502030202010000630001000062000100006100" },
    .{ "( 'a' | 'b' ) & 'c'", "0000000502020100006300020301000062000100006100" },
    .{ "!'a'", "0000000202010100006100" },
    .{ "!( 'a' & 'b' )", "000000040201020201000062000100006100" },
    .{ "!!'a'", "00000003020102010100006100" },
    .{ "'a' <-> 'b'", "000000030204000101000062000100006100" },
    .{ "'a' <3> 'b'", "000000030204000301000062000100006100" },
    .{ "'a' <-> ( 'b' <-> 'c' )", "000000050204000102040001010000630001000062000100006100" },
    .{ "'a' <-> 'b' <-> 'c'", "000000050204000101000063000204000101000062000100006100" },
    .{ "'a' & 'b' & 'c'", "0000000502020202010000630001000062000100006100" },
    .{ "'a' & 'b' & 'c'", "0000000502020100006300020201000062000100006100" },
    .{ "'a':*", "000000010100016100" },
    .{ "'a':*AB", "00000001010c016100" },
    .{ "'a':D", "000000010101006100" },
    .{ "'a':ABCD & !'b':C", "00000004020202010102006200010f006100" },
    .{ "( 'a' | 'b' ) <-> ( 'c' & 'd' )", "0000000702040001020201000064000100006300020301000062000100006100" },
    .{ "!'a' <-> !'b'", "00000005020400010201010000620002010100006100" },
    .{ "!( 'a' <-> 'b' )", "0000000402010204000101000062000100006100" },
    .{ "'it''s' | 'ba\\\\ck'", "00000003020301000062615c636b000100006974277300" },
    .{ "'a' <-> !( 'b' <-> 'c' )", "0000000602040001020102040001010000630001000062000100006100" },
    .{ "'a' <0> 'b' <16384> 'c'", "000000050204400001000063000204000001000062000100006100" },
    .{ "'a' | 'b' | 'c' & ( 'd' | 'e' )", "00000009020302030202020301000065000100006400010000630001000062000100006100" },
    .{ "!( !'a' | 'b' )", "0000000502010203010000620002010100006100" },
    .{ "!'a' & 'b'", "000000040202010000620002010100006100" },
    .{ "'a' & 'b' <-> ( 'c' | 'd' ) <-> 'e' | !( 'f' <2> ( 'g' <3> 'h' ) )", "0000001002030201020400020204000301000068000100006700010000660002020204000101000065000204000102030100006400010000630001000062000100006100" },
    .{ "'a' & ( 'b' | 'c' ) & ( 'd' | 'e' ) & 'f'", "0000000b02020100006600020202020203010000650001000064000203010000630001000062000100006100" },
};

fn decodeAny(body: []const u8) Error!usize {
    var out: [1024]u8 = undefined;
    return (try toText(std.testing.allocator, body, out[0..textLength(body)])).len;
}

test "queries print as the server prints them, parentheses and all" {
    inline for (rows) |row| {
        const body = hex(row[1]);
        var out: [body.len * 4]u8 = undefined;
        try std.testing.expectEqualStrings(row[0], try toText(std.testing.allocator, body, &out));
        try testing.checkBytes(decodeAny, body);
    }
}

test "an operator without operands, or operands without an operator, is an error" {
    inline for (.{
        "7fffffff",     "ffffffff",           "000000010201",             "000000020202" ++ "0100006100", "00000002" ++ "0100006100" ++ "0100006200",
        "000000010205", "000000010300006100", "0000000101100061" ++ "00", "00000001010002" ++ "6100",     "00000001" ++ "01000061",
    }) |bad| try std.testing.expectError(error.InvalidValue, decodeAny(hex(bad)));
}

test "a query nested as deep as its bytes allow needs no deep stack" {
    const depth = 100_000;
    const body = try std.testing.allocator.alloc(u8, 4 + depth * 2 + 5);
    defer std.testing.allocator.free(body);
    std.mem.writeInt(u32, body[0..4], depth + 1, .big);
    for (0..depth) |i| body[4 + i * 2 ..][0..2].* = .{ item_operator, @backingInt(Operator.not) };
    body[4 + depth * 2 ..][0..5].* = "\x01\x00\x00a\x00".*;
    const out = try std.testing.allocator.alloc(u8, textLength(body));
    defer std.testing.allocator.free(out);
    const printed = try toText(std.testing.allocator, body, out);
    try std.testing.expectEqual(depth + 3, printed.len);
    try std.testing.expectEqualStrings("!!'a'", printed[depth - 2 ..]);
}

fn toTextLeakless(gpa: std.mem.Allocator, body: []const u8) Error!void {
    var out: [1024]u8 = undefined;
    _ = try toText(gpa, body, out[0..textLength(body)]);
}

test "running out of memory is an error and leaks nothing" {
    const body = hex(rows[rows.len - 1][1]);
    try std.testing.checkAllAllocationFailures(std.testing.allocator, toTextLeakless, .{@as([]const u8, body)});
}

/// Items in any order: most are no query, all are well-formed by themselves.
fn fuzzTsquery(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buffer);
    const item_count = smith.valueRangeAtMost(u8, 0, 12);
    try writer.writeInt(u32, item_count, .big);
    for (0..item_count) |_| switch (smith.valueRangeAtMost(u8, 0, 5)) {
        0...2 => {
            try writer.writeAll(&.{ item_value, smith.valueRangeAtMost(u8, 0, 16), smith.valueRangeAtMost(u8, 0, 2) });
            try writer.writeAll(if (smith.value(bool)) "\\'" else "a");
            try writer.writeByte(0);
        },
        3...4 => |operator| try writer.writeAll(&.{ item_operator, operator - 2 }),
        else => {
            try writer.writeAll(&.{ item_operator, @backingInt(Operator.phrase) });
            try writer.writeInt(u16, smith.value(u16), .big);
        },
    };
    const body = writer.buffered();
    var out: [4 * buffer.len]u8 = undefined;
    const printed = toText(std.testing.allocator, body, out[0..textLength(body)]) catch return;
    try std.testing.expectEqual(std.mem.count(u8, printed, "( "), std.mem.count(u8, printed, " )"));
}

test "fuzz: a tsquery's text fits the room promised" {
    try std.testing.fuzz({}, fuzzTsquery, .{});
}
