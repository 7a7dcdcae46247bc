//! Arrays in text form, `{a,"b\"c",NULL,{…}}`, for element types that have no binary form.
//! PostgreSQL docs: arrays, "Array Input and Output Syntax".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const dimensions_max = @import("array.zig").dimensions_max;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Event = union(enum) {
    /// A brace opens or closes a list.
    open,
    close,
    null,
    /// An element's text, unescaped. Valid as long as the parser's text and scratch are.
    value: []const u8,
};

/// Gives events until null. Every open is closed by then, lists nest at most six deep, and
/// elements stand on one level only.
pub const Parser = struct {
    rest: []const u8,
    delimiter: u8,
    scratch: []u8,
    depth: u8 = 0,
    /// The depth at which the first element was found; zero before that.
    leaf_depth: u8 = 0,
    state: State = .start,

    const State = enum { start, first, element, after, done };

    /// `delimiter` is the element type's (`oids.Entry.delimiter`). `scratch` is at least as long
    /// as `text`: escaped elements are unescaped into it one behind the other.
    pub fn init(text: []const u8, delimiter: u8, scratch: []u8) Parser {
        std.debug.assert(scratch.len >= text.len);
        return .{ .rest = text, .delimiter = delimiter, .scratch = scratch };
    }

    pub fn next(self: *Parser) DecodeError!?Event {
        if (self.state == .start) try self.skipBounds();
        while (true) {
            self.skipSpace();
            if (self.rest.len == 0) return if (self.state == .done) null else error.InvalidValue;
            const byte = self.rest[0];
            switch (self.state) {
                .done => return error.InvalidValue,
                .start => return if (byte == '{') try self.open() else error.InvalidValue,
                .after => {
                    if (byte == '}') return self.close();
                    if (byte != self.delimiter) return error.InvalidValue;
                    self.rest = self.rest[1..];
                    self.state = .element;
                },
                .first, .element => {
                    if (byte == '{') return try self.open();
                    if (byte == '}' and self.state == .first) return self.close();
                    return try self.leaf();
                },
            }
        }
    }

    fn open(self: *Parser) DecodeError!Event {
        if (self.depth == dimensions_max) return error.InvalidValue;
        if (self.leaf_depth != 0 and self.depth == self.leaf_depth) return error.InvalidValue;
        self.rest = self.rest[1..];
        self.depth += 1;
        self.state = .first;
        return .open;
    }

    fn close(self: *Parser) Event {
        self.rest = self.rest[1..];
        self.depth -= 1;
        self.state = if (self.depth == 0) .done else .after;
        return .close;
    }

    fn leaf(self: *Parser) DecodeError!Event {
        if (self.leaf_depth == 0) self.leaf_depth = self.depth;
        if (self.leaf_depth != self.depth) return error.InvalidValue;
        self.state = .after;
        return if (self.rest[0] == '"') .{ .value = try self.quoted() } else self.bare();
    }

    fn quoted(self: *Parser) DecodeError![]const u8 {
        self.rest = self.rest[1..];
        const end = std.mem.findAny(u8, self.rest, "\"\\") orelse return error.InvalidValue;
        if (self.rest[end] == '"') {
            defer self.rest = self.rest[end + 1 ..];
            return self.rest[0..end];
        }
        var length: usize = 0;
        while (self.rest.len > 0) {
            var byte = self.rest[0];
            self.rest = self.rest[1..];
            if (byte == '"') return self.keep(length);
            if (byte == '\\') {
                if (self.rest.len == 0) break;
                byte = self.rest[0];
                self.rest = self.rest[1..];
            }
            self.scratch[length] = byte;
            length += 1;
        }
        return error.InvalidValue;
    }

    /// An element without quotes: ends at a delimiter or brace, loses the white space behind it,
    /// and is NULL if it reads so.
    fn bare(self: *Parser) DecodeError!Event {
        var length: usize = 0;
        var length_trimmed: usize = 0;
        var escaped = false;
        while (self.rest.len > 0) {
            var byte = self.rest[0];
            if (byte == self.delimiter or byte == '}') break;
            if (byte == '{' or byte == '"') return error.InvalidValue;
            self.rest = self.rest[1..];
            const literal = byte == '\\';
            if (literal) {
                if (self.rest.len == 0) return error.InvalidValue;
                byte = self.rest[0];
                self.rest = self.rest[1..];
                escaped = true;
            }
            self.scratch[length] = byte;
            length += 1;
            if (literal or !std.ascii.isWhitespace(byte)) length_trimmed = length;
        }
        if (length_trimmed == 0) return error.InvalidValue;
        const value = self.keep(length_trimmed);
        if (!escaped and std.ascii.eqlIgnoreCase(value, "null")) return .null;
        return .{ .value = value };
    }

    fn keep(self: *Parser, length: usize) []const u8 {
        defer self.scratch = self.scratch[length..];
        return self.scratch[0..length];
    }

    /// `[l:u][l:u]=`, which the server puts before arrays whose subscripts do not begin at 1.
    fn skipBounds(self: *Parser) DecodeError!void {
        self.skipSpace();
        if (self.rest.len == 0 or self.rest[0] != '[') return;
        const end = std.mem.findScalar(u8, self.rest, '=') orelse return error.InvalidValue;
        for (self.rest[0..end]) |byte| {
            if (std.mem.findScalar(u8, "[]:+-0123456789", byte) == null) return error.InvalidValue;
        }
        self.rest = self.rest[end + 1 ..];
    }

    fn skipSpace(self: *Parser) void {
        self.rest = std.mem.trimStart(u8, self.rest, &std.ascii.whitespace);
    }
};

/// Write an element in quotes, which every element may stand in and NULL the word may not. The
/// braces, delimiters and `NULL`s around it are the caller's `writeBytes`. InvalidValue for a NUL.
pub fn quote(writer: *protocol.WriteBuffer, value: []const u8) EncodeError!void {
    try writer.writeByte('"');
    for (value) |byte| {
        if (byte == 0) return error.InvalidValue;
        if (byte == '"' or byte == '\\') try writer.writeByte('\\');
        try writer.writeByte(byte);
    }
    try writer.writeByte('"');
}

const testing = @import("testing.zig");

/// The events as one line: braces, `N` for NULL, `<…>` around each value.
fn trace(text: []const u8, delimiter: u8, out: []u8) ![]u8 {
    const scratch = try std.testing.allocator.alloc(u8, text.len);
    defer std.testing.allocator.free(scratch);
    var parser: Parser = .init(text, delimiter, scratch);
    var writer: std.Io.Writer = .fixed(out);
    while (try parser.next()) |event| switch (event) {
        .open => try writer.writeByte('{'),
        .close => try writer.writeByte('}'),
        .null => try writer.writeByte('N'),
        .value => |value| try writer.print("<{s}>", .{value}),
    };
    return writer.buffered();
}

test "arrays in the server's text form" {
    var out: [256]u8 = undefined;
    inline for (.{
        .{ "{}", "{}" },
        .{ "{a,b}", "{<a><b>}" },
        .{ "{a,\"b\\\"c\",NULL,\"\",\"NULL\",\"x,y\",\"{}\"}", "{<a><b\"c>N<><NULL><x,y><{}>}" },
        .{ "{{a,NULL},{\"\\\\\",c}}", "{{<a>N}{<\\><c>}}" },
        .{ "[0:1]={1,2}", "{<1><2>}" },
        .{ "[-1:0][2:2]={{1},{2}}", "{{<1>}{<2>}}" },
        .{ " { a b , c } ", "{<a b><c>}" },
        .{ "{\\N\\ULL,null,a\\ }", "{<NULL>N<a >}" },
        .{ "{{{{{{1}}}}}}", "{{{{{{<1>}}}}}}" },
        .{ "{{},{}}", "{{}{}}" },
    }) |row| try std.testing.expectEqualStrings(row[1], try trace(row[0], ',', &out));
    try std.testing.expectEqualStrings("{<(3,4),(1,2)><(1,1),(0,0)>}", try trace("{(3,4),(1,2);(1,1),(0,0)}", ';', &out));
}

test "text that is no array is an error, wherever it ends" {
    var out: [256]u8 = undefined;
    inline for (.{
        "",       "a",       "{",       "}",               "{a",      "{a,",     "{a,}",   "{,a}",          "{\"a", "{\"a\\", "{a\\", "{a}}", "{a}b", "{\"a\"b}", "{a\"b\"}",
        "{a{b}}", "{{a},b}", "{a,{b}}", "{{{{{{{1}}}}}}}", "[1:2{a}", "[x]={a}", "{a}{b}", "{\"a\" \"b\"}",
    }) |bad| try std.testing.expectError(error.InvalidValue, trace(bad, ',', &out));
    const whole = "[1:1][1:2]={{\"a\\\"b\",NULL}}";
    for (0..whole.len) |length| try std.testing.expectError(error.InvalidValue, trace(whole[0..length], ',', &out));
}

test "values stay valid until the parser's scratch goes" {
    var scratch: [32]u8 = undefined;
    var parser: Parser = .init("{\"a\\\"\",\"b\\\"\",c}", ',', &scratch);
    try std.testing.expectEqual(Event.open, (try parser.next()).?);
    const first = (try parser.next()).?.value;
    const second = (try parser.next()).?.value;
    _ = try parser.next();
    try std.testing.expectEqualStrings("a\"", first);
    try std.testing.expectEqualStrings("b\"", second);
}

test "a quoted element reads as itself" {
    inline for (.{ "", "NULL", "a\"b\\c", "{x,y}", " " }) |value| {
        var writer: protocol.WriteBuffer = .init(std.testing.allocator);
        defer writer.deinit();
        try writer.writeByte('{');
        try quote(&writer, value);
        try writer.writeByte('}');
        var scratch: [32]u8 = undefined;
        var parser: Parser = .init(writer.bytes.items, ',', &scratch);
        _ = try parser.next();
        try std.testing.expectEqualStrings(value, (try parser.next()).?.value);
    }
    try testing.expectEncodeError(error.InvalidValue, quote, @as([]const u8, "a\x00b"));
}

fn fuzzTextArray(_: void, smith: *std.testing.Smith) anyerror!void {
    const alphabet = "{},\"\\aN ;[]:=1";
    var buffer: [128]u8 = undefined;
    const text = buffer[0..smith.slice(&buffer)];
    // Half of the inputs are made of the characters that mean something.
    if (smith.value(bool)) for (text) |*byte| {
        byte.* = alphabet[byte.* % alphabet.len];
    };
    var scratch: [buffer.len]u8 = undefined;
    var parser: Parser = .init(text, ',', &scratch);
    var depth: usize = 0;
    while (parser.next() catch return) |event| switch (event) {
        .open => depth += 1,
        .close => depth -= 1,
        else => try std.testing.expect(depth > 0),
    };
    try std.testing.expectEqual(0, depth);
}

test "fuzz: every list that opens closes" {
    try std.testing.fuzz({}, fuzzTextArray, .{});
}
