//! Whether a text is one JSON value, so that it may stand inside another text as it is. The server has
//! looked before, but what a backend sends is never taken on trust: `1], "x": [2` must not get through.
//! RFC 8259, "JSON Grammar". One pass and no recursion.
const std = @import("std");

/// More levels than the server's stack lets it parse, and than most readers take.
pub const depth_max = 1 << 16;

pub const Error = error{
    NotJson,
    /// Lists and objects inside one another beyond `depth_max`.
    TooDeep,
};

pub fn check(text: []const u8) Error!void {
    var checker: Checker = .{ .rest = text };
    try checker.whole();
    if (!std.unicode.utf8ValidateSlice(text)) return error.NotJson;
}

const Checker = struct {
    rest: []const u8,
    depth: u32 = 0,
    /// A bit for each level that is open: whether it is an object.
    objects: [depth_max / 8]u8 = undefined,

    fn whole(self: *Checker) Error!void {
        while (true) {
            try self.value();
            // What follows a value closes levels until one goes on.
            while (true) {
                self.skipSpace();
                if (self.depth == 0) return if (self.rest.len == 0) {} else error.NotJson;
                const is_object = self.inObject();
                const byte = try self.take();
                if (byte == ',') {
                    if (is_object) try self.key();
                    break;
                }
                if (byte != @as(u8, if (is_object) '}' else ']')) return error.NotJson;
                self.depth -= 1;
            }
        }
    }

    /// A value that stands alone, an empty container, or everything before a container's first such value.
    fn value(self: *Checker) Error!void {
        while (true) {
            self.skipSpace();
            switch (try self.take()) {
                '{' => {
                    if (self.closes('}')) return;
                    try self.open(true);
                    try self.key();
                },
                '[' => {
                    if (self.closes(']')) return;
                    try self.open(false);
                },
                '"' => return self.string(),
                't' => return self.word("rue"),
                'f' => return self.word("alse"),
                'n' => return self.word("ull"),
                '-' => return self.number(try self.take()),
                else => |byte| return self.number(byte),
            }
        }
    }

    fn closes(self: *Checker, byte: u8) bool {
        self.skipSpace();
        if (self.rest.len == 0 or self.rest[0] != byte) return false;
        self.rest = self.rest[1..];
        return true;
    }

    fn open(self: *Checker, is_object: bool) Error!void {
        if (self.depth == depth_max) return error.TooDeep;
        const bit = @as(u8, 1) << @intCast(self.depth % 8);
        const byte = &self.objects[self.depth / 8];
        byte.* = if (is_object) byte.* | bit else byte.* & ~bit;
        self.depth += 1;
    }

    fn inObject(self: *const Checker) bool {
        const level = self.depth - 1;
        return self.objects[level / 8] >> @intCast(level % 8) & 1 == 1;
    }

    fn key(self: *Checker) Error!void {
        self.skipSpace();
        if (try self.take() != '"') return error.NotJson;
        try self.string();
        self.skipSpace();
        if (try self.take() != ':') return error.NotJson;
    }

    /// Behind the first quote, up to the last.
    fn string(self: *Checker) Error!void {
        const Chunk = @Vector(16, u8);
        while (true) {
            while (self.rest.len >= @sizeOf(Chunk)) {
                const chunk: Chunk = self.rest[0..@sizeOf(Chunk)].*;
                const control: u16 = @bitCast(chunk < @as(Chunk, @splat(0x20)));
                const quote: u16 = @bitCast(chunk == @as(Chunk, @splat('"')));
                const backslash: u16 = @bitCast(chunk == @as(Chunk, @splat('\\')));
                const special = control | quote | backslash;
                self.rest = self.rest[if (special == 0) @sizeOf(Chunk) else @ctz(special)..];
                if (special != 0) break;
            }
            switch (try self.take()) {
                '"' => return,
                '\\' => try self.escaped(),
                0...0x1f => return error.NotJson,
                else => {},
            }
        }
    }

    fn escaped(self: *Checker) Error!void {
        switch (try self.take()) {
            '"', '\\', '/', 'b', 'f', 'n', 'r', 't' => {},
            'u' => for (0..4) |_| if (!std.ascii.isHex(try self.take())) return error.NotJson,
            else => return error.NotJson,
        }
    }

    fn word(self: *Checker, expected: []const u8) Error!void {
        if (!std.mem.startsWith(u8, self.rest, expected)) return error.NotJson;
        self.rest = self.rest[expected.len..];
    }

    fn number(self: *Checker, first: u8) Error!void {
        if (!std.ascii.isDigit(first)) return error.NotJson;
        if (first != '0') self.skipDigits();
        if (self.rest.len > 0 and self.rest[0] == '.') {
            self.rest = self.rest[1..];
            try self.someDigits();
        }
        if (self.rest.len > 0 and (self.rest[0] == 'e' or self.rest[0] == 'E')) {
            self.rest = self.rest[1..];
            if (self.rest.len > 0 and (self.rest[0] == '+' or self.rest[0] == '-')) self.rest = self.rest[1..];
            try self.someDigits();
        }
    }

    fn someDigits(self: *Checker) Error!void {
        if (!std.ascii.isDigit(try self.take())) return error.NotJson;
        self.skipDigits();
    }

    fn skipDigits(self: *Checker) void {
        while (self.rest.len > 0 and std.ascii.isDigit(self.rest[0])) self.rest = self.rest[1..];
    }

    inline fn skipSpace(self: *Checker) void {
        while (self.rest.len > 0) switch (self.rest[0]) {
            ' ', '\t', '\n', '\r' => self.rest = self.rest[1..],
            else => return,
        };
    }

    inline fn take(self: *Checker) Error!u8 {
        if (self.rest.len == 0) return error.NotJson;
        defer self.rest = self.rest[1..];
        return self.rest[0];
    }
};

test "what is JSON" {
    inline for (.{
        "0",                              "-0",                                     "10.50e+3", "1E5", "null",             "true", " false\n",
        "\"\"",
        "\"é\\u00e9\"",
        "\"\\\\\\\"\\/\\b\\f\\n\\r\\t\"", "\"longer than the sixteen of a chunk\"", "[]",       "[ ]", "[[],{}, [1 , 2]]", "{}",   "{\"a\":1,\"a\":[{\"b\": {}}]}",
        "{ \"a\" : 1 }",                  "\t[\r\n1]",
    }) |text| try check(text);
}

test "what is not" {
    inline for (.{
        "",              " ",        "01",         "-",          "+1",                "1.",  ".5",   "1e",      "1e+",         "NaN",     "Infinity", "nul",      "truefalse",
        "1 2",           "1,2",      "[",          "]",          "[1",                "[1,", "[1,]", "[,1]",    "[1}",         "{",       "{\"a\"",   "{\"a\":",  "{\"a\"}",
        "{a:1}",         "{\"a\":1", "{1:2}",      "{\"a\":1,}", "{]",                "[}",  "\"",   "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"a\nb\"", "\"\x00\"", "'a'",
        "1], \"x\": [2", "\"\xff\"", "{\"a\":1}}", "[1]]",       "{\"a\":1 \"b\":2}",
    }) |text| try std.testing.expectError(error.NotJson, check(text));
}

test "depth is bounded and takes no stack" {
    const text = try std.testing.allocator.alloc(u8, depth_max * 2 + 2);
    defer std.testing.allocator.free(text);
    @memset(text[0 .. depth_max + 1], '[');
    @memset(text[depth_max + 1 ..], ']');
    // The innermost pair is an empty list, which opens no level.
    try check(text);
    try std.testing.expectError(error.NotJson, check(text[0 .. text.len - 1]));
    @memset(text, '[');
    try std.testing.expectError(error.TooDeep, check(text));
}

fn fuzzCheck(_: void, smith: *std.testing.Smith) anyerror!void {
    const alphabet = "[]{},:\"\\ua0-.eE1tfrn \xc3\xa9";
    var buffer: [64]u8 = undefined;
    const text = buffer[0..smith.slice(&buffer)];
    for (text) |*byte| byte.* = alphabet[byte.* % alphabet.len];
    const is_json = if (check(text)) |_| true else |_| false;
    try std.testing.expectEqual(try std.json.validate(std.testing.allocator, text), is_json);
}

test "fuzz: it agrees with the standard library's scanner" {
    try std.testing.fuzz({}, fuzzCheck, .{});
}
