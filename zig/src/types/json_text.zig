//! The pieces of a JSON text: strings with what must be escaped in them, and numbers. Called by the
//! printers of the `python` layer, once per value.
//! RFC 8259, "Numbers" and "Strings". The escapes are those that PostgreSQL's to_json writes.
const std = @import("std");
const protocol = @import("protocol");
const digits = @import("digits.zig");
const float_text = @import("float_text.zig");
const numeric_type = @import("numeric.zig");
const errors = @import("errors.zig");
const Writer = protocol.WriteBuffer;

/// Bytes at a time, each with room for its longest escape.
const block_size = 4096;
const escape_max = 6;

const chunk_size = 16;
const half_size = 8;
const Chunk = @Vector(chunk_size, u8);
const Half = @Vector(half_size, u8);

/// A string. NotUtf8 leaves `writer` with a part of it.
pub fn string(writer: *Writer, text: []const u8) error{ OutOfMemory, NotUtf8 }!void {
    var rest = text;
    var seen: Chunk = @splat(0);
    try oneQuote(writer);
    while (rest.len > block_size) : (rest = rest[block_size..]) try block(writer, rest[0..block_size], &seen);
    try block(writer, rest, &seen);
    try oneQuote(writer);
    if (@reduce(.Or, seen) >= 0x80 and !std.unicode.utf8ValidateSlice(text)) return error.NotUtf8;
}

inline fn oneQuote(writer: *Writer) error{OutOfMemory}!void {
    (try writer.reserve(1))[0] = '"';
    writer.advance(1);
}

/// A string of characters that stand for themselves, as the printers of numbers, times and addresses write them.
pub fn plain(writer: *Writer, text: []const u8) error{OutOfMemory}!void {
    const out = try writer.reserve(text.len + 2);
    out[0] = '"';
    @memcpy(out[1..][0..text.len], text);
    out[text.len + 1] = '"';
    writer.advance(text.len + 2);
}

fn block(writer: *Writer, text: []const u8, seen: *Chunk) error{OutOfMemory}!void {
    const out = try writer.reserve(text.len * escape_max);
    std.debug.assert(out.len >= text.len * escape_max);
    writer.advance(escape(out.ptr, text, seen));
}

/// `out` has room for every byte's longest escape. `seen` collects the bits of all bytes. Characters
/// are copied in chunks up to the first that needs an escape; so what is written behind it is overwritten.
fn escape(out: [*]u8, text: []const u8, seen: *Chunk) usize {
    var read: usize = 0;
    var written: usize = 0;
    while (text.len - read >= chunk_size) {
        const chunk: Chunk = text[read..][0..chunk_size].*;
        out[written..][0..chunk_size].* = chunk;
        seen.* |= chunk;
        const special: u16 = specials(chunk_size, chunk);
        const clean = if (special == 0) chunk_size else @ctz(special);
        read += clean;
        written += clean;
        if (special == 0) continue;
        written += putEscape(out + written, text[read]);
        read += 1;
    }
    if (text.len - read >= half_size) {
        const half: Half = text[read..][0..half_size].*;
        if (specials(half_size, half) == 0) {
            out[written..][0..half_size].* = half;
            seen[0] |= @reduce(.Or, half);
            read += half_size;
            written += half_size;
        }
    }
    for (text[read..]) |byte| {
        if (is_special[byte]) {
            written += putEscape(out + written, byte);
        } else {
            out[written] = byte;
            written += 1;
            seen[0] |= byte;
        }
    }
    return written;
}

/// A bit for each character that cannot stand in a string.
inline fn specials(comptime size: usize, chunk: @Vector(size, u8)) @Int(.unsigned, size) {
    const Mask = @Int(.unsigned, size);
    const control: Mask = @bitCast(chunk < splat(size, 0x20));
    const quote: Mask = @bitCast(chunk == splat(size, '"'));
    const backslash: Mask = @bitCast(chunk == splat(size, '\\'));
    return control | quote | backslash;
}

inline fn splat(comptime size: usize, byte: u8) @Vector(size, u8) {
    return @splat(byte);
}

const is_special: [256]bool = table: {
    var table: [256]bool = @splat(false);
    for (0..0x20) |byte| table[byte] = true;
    table['"'] = true;
    table['\\'] = true;
    break :table table;
};

fn putEscape(out: [*]u8, byte: u8) usize {
    out[0] = '\\';
    out[1] = switch (byte) {
        '"', '\\' => byte,
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0c' => 'f',
        '\r' => 'r',
        else => {
            out[1..4].* = "u00".*;
            out[4..6].* = std.fmt.hex(byte);
            return escape_max;
        },
    };
    return 2;
}

/// `value` is any integer of up to 64 bits.
pub fn integer(writer: *Writer, value: anytype) error{OutOfMemory}!void {
    const out = try writer.reserve(digits.count_max + 1);
    writer.advance(if (@typeInfo(@TypeOf(value)).int.signedness == .signed) digits.signed(out, value) else digits.unsigned(out, value));
}

/// A number, or a string for what is none.
pub fn float(writer: *Writer, value: anytype) error{OutOfMemory}!void {
    if (float_text.word(value)) |word| return plain(writer, word);
    return float_text.write(writer, value, .with_point);
}

/// A number with the scale it has, or a string for what is none. `body` is a numeric's.
pub fn numeric(writer: *Writer, body: []const u8) (error{OutOfMemory} || errors.DecodeError)!void {
    if (try numeric_type.write(writer, body)) |word| try plain(writer, word);
}

fn expectString(expected: []const u8, text: []const u8) !void {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    try string(&writer, text);
    try std.testing.expectEqualStrings(expected, writer.bytes.items);
}

test "quotes, backslashes and control characters are escaped, everything else stands for itself" {
    try expectString("\"\"", "");
    try expectString("\"a\\\"b\\\\c/d\"", "a\"b\\c/d");
    try expectString("\"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\"", "\x08\t\n\x0c\r\x00\x1f\x7f");
    try expectString("\"äöü €  𝄞\"", "äöü €  𝄞");
}

test "an escape anywhere in a text of any length" {
    var text: [80]u8 = undefined;
    var expected: [162]u8 = undefined;
    for (0..text.len + 1) |length| for (0..length + 1) |place| {
        @memset(text[0..length], 'x');
        @memset(expected[0 .. length + 4], 'x');
        expected[0] = '"';
        var end = length + 1;
        if (place < length) {
            text[place] = '\n';
            expected[place + 1 ..][0..2].* = "\\n".*;
            end += 1;
        }
        expected[end] = '"';
        try expectString(expected[0 .. end + 1], text[0..length]);
    };
}

test "a text longer than a block, of nothing but escapes" {
    const text: [block_size * 2 + 5]u8 = @splat(1);
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    try string(&writer, &text);
    try std.testing.expectEqual(text.len * escape_max + 2, writer.len());
    try std.testing.expectEqualStrings("\\u0001\"", writer.bytes.items[writer.len() - 7 ..]);
}

test "what is not UTF-8 is an error wherever it stands" {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    inline for (.{ "\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80" }) |bad| {
        inline for (.{ bad, bad ++ "after", "before " ++ bad, "sixteen bytes and more" ++ bad ++ "and then some more" }) |text| {
            try std.testing.expectError(error.NotUtf8, string(&writer, text));
        }
    }
    // A character that lies in two blocks.
    var long: [block_size + 1]u8 = @splat('x');
    long[block_size - 1 ..][0..2].* = "é".*;
    try string(&writer, &long);
}

fn expectWritten(expected: []const u8, function: anytype, value: anytype) !void {
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    try function(&writer, value);
    try std.testing.expectEqualStrings(expected, writer.bytes.items);
}

test "numbers, and the words for what is none" {
    try expectWritten("-9223372036854775808", integer, @as(i64, std.math.minInt(i64)));
    try expectWritten("18446744073709551615", integer, @as(u64, std.math.maxInt(u64)));
    try expectWritten("-1", integer, @as(i16, -1));
    try expectWritten("1.0", float, @as(f64, 1));
    try expectWritten("-0.0", float, -@as(f64, 0));
    try expectWritten("\"NaN\"", float, std.math.nan(f64));
    try expectWritten("\"-Infinity\"", float, -std.math.inf(f32));
    const hex = @import("testing.zig").hex;
    try expectWritten("-123.4500", numeric, @as([]const u8, hex("0002000040000004007b1194")));
    try expectWritten("\"NaN\"", numeric, @as([]const u8, hex("00000000c0000000")));
    try expectWritten("\"-Infinity\"", numeric, @as([]const u8, hex("00000000f0000020")));
}

fn fuzzString(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    const text = buffer[0..smith.slice(&buffer)];
    var writer: Writer = .init(std.testing.allocator);
    defer writer.deinit();
    string(&writer, text) catch |err| return std.testing.expect(err == error.NotUtf8 and !std.unicode.utf8ValidateSlice(text));
    const again = try std.json.parseFromSlice([]const u8, std.testing.allocator, writer.bytes.items, .{});
    defer again.deinit();
    try std.testing.expectEqualSlices(u8, text, again.value);
}

test "fuzz: a string reads back as the text it was made of" {
    try std.testing.fuzz({}, fuzzString, .{});
}
