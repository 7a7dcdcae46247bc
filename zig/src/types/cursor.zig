//! A position in a value's bytes. Every decoder that reads more than one field reads through
//! this, so that the check against the bytes that remain stands in one place.
const std = @import("std");
const DecodeError = @import("errors.zig").DecodeError;

pub const Cursor = struct {
    rest: []const u8,

    pub fn init(body: []const u8) Cursor {
        return .{ .rest = body };
    }

    pub fn take(self: *Cursor, size: usize) DecodeError![]const u8 {
        if (size > self.rest.len) return error.InvalidValue;
        defer self.rest = self.rest[size..];
        return self.rest[0..size];
    }

    /// Big-endian, as everything on the wire is.
    pub fn int(self: *Cursor, comptime T: type) DecodeError!T {
        const size = @divExact(@typeInfo(T).int.bits, 8);
        if (self.rest.len < size) return error.InvalidValue;
        defer self.rest = self.rest[size..];
        return std.mem.readInt(T, self.rest[0..size], .big);
    }

    pub fn float(self: *Cursor, comptime T: type) DecodeError!T {
        return @bitCast(try self.int(@Int(.unsigned, @bitSizeOf(T))));
    }

    /// A count from the wire, each counted thing taking at least `size_min` of the bytes that remain.
    pub fn count(self: *Cursor, size_min: usize) DecodeError!usize {
        const n = std.math.cast(usize, try self.int(i32)) orelse return error.InvalidValue;
        if (n > self.rest.len / size_min) return error.InvalidValue;
        return n;
    }

    /// An Int32 length and that many bytes; -1 is NULL, every other negative length an error.
    pub fn value(self: *Cursor) DecodeError!?[]const u8 {
        const length = try self.int(i32);
        if (length == -1) return null;
        return try self.take(std.math.cast(usize, length) orelse return error.InvalidValue);
    }

    /// Bytes up to a NUL, which is taken and not returned.
    pub fn cString(self: *Cursor) DecodeError![]const u8 {
        const end = std.mem.findScalar(u8, self.rest, 0) orelse return error.InvalidValue;
        defer self.rest = self.rest[end + 1 ..];
        return self.rest[0..end];
    }

    /// Nothing may follow the last field.
    pub fn finish(self: *const Cursor) DecodeError!void {
        if (self.rest.len != 0) return error.InvalidValue;
    }
};

test "a cursor never reads past its bytes" {
    var cursor: Cursor = .init("\x00\x01\xff\xff\xff\xff\x00\x00\x00\x02abx\x00");
    try std.testing.expectEqual(1, try cursor.int(u16));
    try std.testing.expectEqual(null, try cursor.value());
    try std.testing.expectEqualStrings("ab", (try cursor.value()).?);
    try std.testing.expectError(error.InvalidValue, cursor.int(i32));
    try std.testing.expectEqualStrings("x", try cursor.cString());
    try cursor.finish();
    try std.testing.expectError(error.InvalidValue, cursor.take(1));
    try std.testing.expectError(error.InvalidValue, cursor.cString());
}

test "a value's length is checked against the bytes that remain, and so is a count" {
    inline for (.{ "\x00\x00\x00\x03ab", "\xff\xff\xff\xfe", "\x7f\xff\xff\xff", "\x00\x00\x00" }) |bytes| {
        var cursor: Cursor = .init(bytes);
        try std.testing.expectError(error.InvalidValue, cursor.value());
    }
    var cursor: Cursor = .init("\x00\x00\x00\x02abcdefg");
    try std.testing.expectError(error.InvalidValue, cursor.count(4));
    cursor = .init("\xff\xff\xff\xff");
    try std.testing.expectError(error.InvalidValue, cursor.count(1));
}
