//! tsvector: lexemes with their positions and weights, to the text that the server prints.
//! PostgreSQL docs: datatype-textsearch, "tsvector".
const std = @import("std");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;

/// An upper bound of the bytes that `toText` writes. A position is two bytes on the wire and at
/// most seven in text (`,16383A`), a lexeme at least three and at most twice its length and three more.
pub fn textLength(body: []const u8) usize {
    return body.len * 4;
}

/// `'lexeme':1A,2 'other'`: every lexeme quoted, quotes and backslashes doubled, weight D not
/// printed. `out` has at least `textLength(body)` bytes.
pub fn toText(body: []const u8, out: []u8) DecodeError![]u8 {
    std.debug.assert(out.len >= textLength(body));
    var cursor: Cursor = .init(body);
    const lexeme_count = try cursor.count(3);
    var length: usize = 0;
    for (0..lexeme_count) |i| {
        if (i != 0) {
            out[length] = ' ';
            length += 1;
        }
        length += putQuoted(out[length..], try cursor.cString());
        const position_count = try cursor.int(u16);
        for (0..position_count) |j| {
            out[length] = if (j == 0) ':' else ',';
            length += 1;
            length += putPosition(out[length..], try cursor.int(u16));
        }
    }
    try cursor.finish();
    return out[0..length];
}

/// The two highest bits of a position are its weight.
fn putPosition(out: []u8, word: u16) usize {
    const length = std.fmt.printInt(out, word & 0x3fff, 10, .lower, .{});
    const weight: u8 = switch (word >> 14) {
        3 => 'A',
        2 => 'B',
        1 => 'C',
        else => return length,
    };
    out[length] = weight;
    return length + 1;
}

/// A lexeme in single quotes; also what a tsquery prints.
pub fn putQuoted(out: []u8, lexeme: []const u8) usize {
    out[0] = '\'';
    var length: usize = 1;
    for (lexeme) |byte| {
        if (byte == '\'' or byte == '\\') {
            out[length] = byte;
            length += 1;
        }
        out[length] = byte;
        length += 1;
    }
    out[length] = '\'';
    return length + 1;
}
