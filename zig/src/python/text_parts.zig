//! The parts of row values and ranges in text format: what stands between brackets and commas, with
//! quotes and backslashes taken away.
//! PostgreSQL docs: rowtypes, "Composite Type Input and Output Syntax"; rangetypes, "Range Input/Output".
const std = @import("std");

pub const Error = error{InvalidValue};

pub const Part = struct {
    /// Null where there is nothing at all, not even a pair of quotes: a NULL field, a missing bound.
    value: ?[]const u8,
    /// The character behind it, one of those asked for; it is taken.
    end: u8,
};

pub const Parts = struct {
    rest: []const u8,
    /// At least as long as the text; unescaped parts are put one behind the other.
    scratch: []u8,

    pub fn init(text: []const u8, scratch: []u8) Parts {
        std.debug.assert(scratch.len >= text.len);
        return .{ .rest = text, .scratch = scratch };
    }

    /// Take one character that must be one of `allowed`.
    pub fn take(self: *Parts, allowed: []const u8) Error!u8 {
        if (self.rest.len == 0 or std.mem.findScalar(u8, allowed, self.rest[0]) == null) return error.InvalidValue;
        defer self.rest = self.rest[1..];
        return self.rest[0];
    }

    /// The next part, up to the first of `ends` outside quotes.
    pub fn next(self: *Parts, ends: []const u8) Error!Part {
        var length: usize = 0;
        var something = false;
        var in_quotes = false;
        while (self.rest.len > 0) {
            const byte = self.rest[0];
            if (!in_quotes and std.mem.findScalar(u8, ends, byte) != null) {
                self.rest = self.rest[1..];
                defer self.scratch = self.scratch[length..];
                return .{ .value = if (something) self.scratch[0..length] else null, .end = byte };
            }
            something = true;
            self.rest = self.rest[1..];
            var literal = byte;
            if (byte == '\\') {
                if (self.rest.len == 0) break;
                literal = self.rest[0];
                self.rest = self.rest[1..];
            } else if (byte == '"') {
                const doubled = in_quotes and self.rest.len > 0 and self.rest[0] == '"';
                if (!doubled) {
                    in_quotes = !in_quotes;
                    continue;
                }
                self.rest = self.rest[1..];
            }
            self.scratch[length] = literal;
            length += 1;
        }
        return error.InvalidValue;
    }

    pub fn finish(self: *const Parts) Error!void {
        if (self.rest.len != 0) return error.InvalidValue;
    }
};
