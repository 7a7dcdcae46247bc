//! Framing: the type byte and length word before every backend message, and the body behind them.
//! Called by the connection for each message in the receive buffer; nothing is copied.
//! PostgreSQL docs: protocol-overview, "Messaging Overview".
const std = @import("std");
const testing = std.testing;

/// Bytes before the body: the type and the length word.
pub const header_size = 5;

/// One message. `body` points into the buffer it was cut from.
pub const Frame = struct {
    type: u8,
    body: []const u8,

    /// How many bytes of the buffer the message takes.
    pub fn size(self: Frame) usize {
        return header_size + self.body.len;
    }
};

/// TooShort: a length word below 4, which counts itself. TooLong: above the caller's maximum.
pub const FrameError = error{ MessageTooShort, MessageTooLong };

/// The message at the start of `buffer`, or null when its last byte has not arrived.
/// `message_size_max` bounds the length word, and is looked at before the body is waited for,
/// so a hostile length costs no memory.
pub fn next(buffer: []const u8, message_size_max: u32) FrameError!?Frame {
    if (buffer.len < header_size) return null;
    const length = std.mem.readInt(u32, buffer[1..5], .big);
    if (length < 4) return error.MessageTooShort;
    if (length > message_size_max) return error.MessageTooLong;
    const body_size: usize = length - 4;
    const rest = buffer[header_size..];
    if (rest.len < body_size) return null;
    return .{ .type = buffer[0], .body = rest[0..body_size] };
}

/// How many bytes the message at the start of `buffer` will have in all, once its header is here.
pub fn sizeNeeded(buffer: []const u8, message_size_max: u32) FrameError!?usize {
    if (buffer.len < header_size) return null;
    const length = std.mem.readInt(u32, buffer[1..5], .big);
    if (length < 4) return error.MessageTooShort;
    if (length > message_size_max) return error.MessageTooLong;
    return @as(usize, length) + 1;
}

test "a frame is there when its last byte is, and not before" {
    const bytes = "Z\x00\x00\x00\x05IT";
    for (0..6) |size| try testing.expectEqual(null, try next(bytes[0..size], 100));
    const frame = (try next(bytes, 100)).?;
    try testing.expectEqual('Z', frame.type);
    try testing.expectEqualStrings("I", frame.body);
    try testing.expectEqual(6, frame.size());
}

test "the length word is checked as soon as it is there" {
    try testing.expectError(error.MessageTooShort, next("D\x00\x00\x00\x03", 100));
    try testing.expectError(error.MessageTooShort, next("D\x00\x00\x00\x00rest", 100));
    try testing.expectError(error.MessageTooLong, next("D\x00\x00\x00\x65", 100));
    try testing.expectError(error.MessageTooLong, next("D\xff\xff\xff\xff", std.math.maxInt(i32)));
    try testing.expectEqual(null, try next("D\x00\x00\x00\x64", 100));
    try testing.expectEqualStrings("", (try next("1\x00\x00\x00\x04", 4)).?.body);
}

test "the size a message needs is known from its header" {
    try testing.expectEqual(null, try sizeNeeded("D\x00\x00\x00", 100));
    try testing.expectEqual(101, try sizeNeeded("D\x00\x00\x00\x64", 100));
    try testing.expectError(error.MessageTooLong, sizeNeeded("D\x00\x00\x00\x65", 100));
    try testing.expectError(error.MessageTooShort, sizeNeeded("D\x00\x00\x00\x03", 100));
}

test "fuzz: every frame lies inside its buffer" {
    try testing.fuzz({}, fuzzOne, .{ .corpus = &.{ "\x06\x00\x00\x00Z\x00\x00\x00\x05I", "\x05\x00\x00\x00D\xff\xff\xff\xff" } });
}

fn fuzzOne(_: void, smith: *testing.Smith) anyerror!void {
    var storage: [64]u8 = undefined;
    const buffer = storage[0..smith.slice(&storage)];
    const frame = (next(buffer, 1 << 30) catch return) orelse return;
    try testing.expect(frame.size() <= buffer.len);
    try testing.expectEqual(buffer.ptr + header_size, frame.body.ptr);
    try testing.expectEqual(frame.size(), (try sizeNeeded(buffer, 1 << 30)).?);
}
