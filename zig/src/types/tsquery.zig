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
    for (0..item_count) |i| {
        switch (try cursor.int(u8)) {
            item_value => {
                try putValue(&text, &cursor);
                // An operand is complete: so is whatever waited for it alone.
                context = resume_: while (pending.pop()) |waiting| switch (waiting) {
                    .text => |bytes| text.put(bytes),
                    .left_after => |operator| {
                        putOperator(&text, operator.operator, operator.distance);
                        break :resume_ .{ .priority = operator.operator.priority() };
                    },
                } else {
                    if (i + 1 != item_count) return error.InvalidValue;
                    break :resume_ context;
                };
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
                    try pending.append(gpa, .{ .left_after = .{ .operator = operator, .distance = distance } });
                }
                context = .{ .priority = operator.priority(), .right_of_phrase = operator == .phrase };
            },
            else => return error.InvalidValue,
        }
    }
    if (pending.items.len != 0) return error.InvalidValue;
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
