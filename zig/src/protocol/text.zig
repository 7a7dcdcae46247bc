//! What may stand in a message, checked before one byte of it is written. Called by every encoder.
//!
//! A NUL ends a String on the wire: one inside SQL or a name would cut it short and let what
//! follows be read as the next field. A message has a signed 32-bit length.
//! PostgreSQL docs: protocol-message-types, "Message Data Types".
const std = @import("std");
const testing = std.testing;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const EncodeError = WriteBuffer.Error || error{NulInString};

/// Room for the fixed parts of any message beside its texts.
const overhead_max = 1024 * 1024;

/// The longest text or run of bytes that one message can carry.
pub const size_max: usize = std.math.maxInt(i32) - overhead_max;

/// `text` can be written as a String. The length is looked at first: a text too long is not scanned.
pub fn check(text: []const u8) error{ NulInString, MessageTooLong }!void {
    try checkSize(text);
    if (std.mem.findScalar(u8, text, 0) != null) return error.NulInString;
}

/// `bytes` fit into one message.
pub fn checkSize(bytes: []const u8) error{MessageTooLong}!void {
    if (bytes.len > size_max) return error.MessageTooLong;
}

test "a NUL anywhere is refused" {
    try check("");
    try check("select 1");
    try testing.expectError(error.NulInString, check("\x00"));
    try testing.expectError(error.NulInString, check("a\x00"));
    try testing.expectError(error.NulInString, check("a\x00b"));
}

test "a text too long is refused by its length alone" {
    const bytes: [*]const u8 = "x"; // the one byte there is: nothing may be read
    try testing.expectError(error.MessageTooLong, check(bytes[0 .. size_max + 1]));
    try testing.expectError(error.MessageTooLong, checkSize(bytes[0..std.math.maxInt(u32)]));
}
