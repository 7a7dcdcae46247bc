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

const testing = @import("testing.zig");
const hex = testing.hex;

/// Text and bytes from the server's tsvectorout and tsvectorsend.
const rows = .{
    .{ "", "00000000" },
    .{ "'a' 'b' 'c'", "00000003610000006200000063000000" },
    .{ "'a':1A 'b':2B,3C 'c':4,16383", "0000000361000001c00162000002800240036300000200043fff" },
    .{ "'ba\\\\ck' 'it''s' 'sp ace'", "0000000362615c636b00000069742773000000737020616365000000" },
    .{ "'x':1,2,3,4,5A", "00000001780000050001000200030004c005" },
    .{ "'été':3B", "00000001c3a974c3a90000018003" },
};

fn decodeAny(body: []const u8) DecodeError!usize {
    var out: [1024]u8 = undefined;
    return (try toText(body, out[0..textLength(body)])).len;
}

test "lexemes print as the server prints them" {
    inline for (rows) |row| {
        const body = hex(row[1]);
        var out: [body.len * 4]u8 = undefined;
        try std.testing.expectEqualStrings(row[0], try toText(body, &out));
        try testing.checkBytes(decodeAny, body);
    }
}

test "the room promised holds the longest text that the bytes can mean" {
    const quotes = hex("00000002" ++ "27272727000000" ++ "000002" ++ "ffffffff");
    var out: [quotes.len * 4]u8 = undefined;
    try std.testing.expectEqualStrings("'\'\'\'\'\'\'\'\'' '':16383A,16383A", try toText(quotes, &out));
}

test "a count beyond the bytes, or a lexeme without end, is an error" {
    inline for (.{ "7fffffff", "ffffffff", "0000000161626364", "00000001610000020001" }) |bad| {
        try std.testing.expectError(error.InvalidValue, decodeAny(hex(bad)));
    }
}

fn fuzzTsvector(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    var out: [4 * buffer.len]u8 = undefined;
    const printed = toText(body, out[0..textLength(body)]) catch return;
    try std.testing.expectEqual(0, std.mem.count(u8, printed, "'") % 2);
}

test "fuzz: a tsvector's text fits the room promised" {
    try std.testing.fuzz({}, fuzzTsvector, .{});
}
