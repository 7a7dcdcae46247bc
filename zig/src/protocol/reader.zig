//! A cursor over one message body. Every decoder reads through it, so that a body cut short, or
//! with bytes left over, is an error in one place and never a read past the end.
//! PostgreSQL docs: protocol-message-types, "Message Data Types".
const std = @import("std");
const testing = std.testing;

/// TooShort: the body ends inside a value. TooLong: bytes are left behind the last value.
/// InvalidValue: a value the protocol does not allow there.
pub const DecodeError = error{ MessageTooShort, MessageTooLong, InvalidValue };

pub const Reader = struct {
    rest: []const u8,

    pub fn init(body: []const u8) Reader {
        return .{ .rest = body };
    }

    pub fn takeByte(self: *Reader) DecodeError!u8 {
        if (self.rest.len == 0) return error.MessageTooShort;
        defer self.rest = self.rest[1..];
        return self.rest[0];
    }

    /// Big-endian, as everything in the protocol is.
    pub fn takeInt(self: *Reader, comptime T: type) DecodeError!T {
        const size = @divExact(@typeInfo(T).int.bits, 8);
        if (self.rest.len < size) return error.MessageTooShort;
        defer self.rest = self.rest[size..];
        return std.mem.readInt(T, self.rest[0..size], .big);
    }

    pub fn takeBytes(self: *Reader, count: usize) DecodeError![]const u8 {
        if (self.rest.len < count) return error.MessageTooShort;
        defer self.rest = self.rest[count..];
        return self.rest[0..count];
    }

    /// The text before the next NUL, without it.
    pub fn takeCString(self: *Reader) DecodeError![]const u8 {
        const size = std.mem.findScalar(u8, self.rest, 0) orelse return error.MessageTooShort;
        defer self.rest = self.rest[size + 1 ..];
        return self.rest[0..size];
    }

    /// A Bind or DataRow value: a length and so many bytes; null for the length -1.
    pub fn takeValue(self: *Reader) DecodeError!?[]const u8 {
        const length = try self.takeInt(i32);
        if (length == -1) return null;
        return try self.takeBytes(std.math.cast(usize, length) orelse return error.InvalidValue);
    }

    /// Everything that is left.
    pub fn takeRest(self: *Reader) []const u8 {
        defer self.rest = self.rest[self.rest.len..];
        return self.rest;
    }

    pub fn end(self: Reader) DecodeError!void {
        if (self.rest.len != 0) return error.MessageTooLong;
    }
};

test "values come in order and end with the body" {
    var reader: Reader = .init("\x01\xff\xfe\x00\x00\x00\x02abtext\x00\x00\x00\x00\x01z\xff\xff\xff\xffrest");
    try testing.expectEqual(1, try reader.takeByte());
    try testing.expectEqual(-2, try reader.takeInt(i16));
    try testing.expectEqual(2, try reader.takeInt(u32));
    try testing.expectEqualStrings("ab", try reader.takeBytes(2));
    try testing.expectEqualStrings("text", try reader.takeCString());
    try testing.expectEqualStrings("z", (try reader.takeValue()).?);
    try testing.expectEqual(null, try reader.takeValue());
    try testing.expectError(error.MessageTooLong, reader.end());
    try testing.expectEqualStrings("rest", reader.takeRest());
    try reader.end();
}

test "nothing is read past the end" {
    var reader: Reader = .init("abc");
    try testing.expectError(error.MessageTooShort, reader.takeInt(u32));
    try testing.expectError(error.MessageTooShort, reader.takeBytes(4));
    try testing.expectError(error.MessageTooShort, reader.takeBytes(std.math.maxInt(usize)));
    try testing.expectError(error.MessageTooShort, reader.takeCString());
    try testing.expectEqualStrings("abc", reader.rest);
    reader = .init("");
    try testing.expectError(error.MessageTooShort, reader.takeByte());
    try testing.expectError(error.MessageTooShort, reader.takeCString());
}

test "a value's length is bounded by the bytes that remain" {
    var reader: Reader = .init("\x7f\xff\xff\xffabc");
    try testing.expectError(error.MessageTooShort, reader.takeValue());
    reader = .init("\xff\xff\xff\xfeabc");
    try testing.expectError(error.InvalidValue, reader.takeValue());
}
