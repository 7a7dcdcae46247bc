//! Helpers that the tests of this layer share. Nothing outside tests calls them.
const std = @import("std");
const protocol = @import("protocol");

/// The bytes of a hex string, as `encode(numeric_send(…), 'hex')` gives them.
pub fn hex(comptime text: []const u8) *const [text.len / 2]u8 {
    return &struct {
        const decoded = bytes: {
            @setEvalBranchQuota(text.len * 64 + 1000);
            var bytes: [text.len / 2]u8 = undefined;
            _ = std.fmt.hexToBytes(&bytes, text) catch @compileError("not hex: " ++ text);
            break :bytes bytes;
        };
    }.decoded;
}

/// `decode` must take `body`, refuse every shorter prefix and one byte more, and answer every body
/// with one byte changed, whatever the answer.
pub fn checkBytes(comptime decode: anytype, body: []const u8) !void {
    for (0..body.len) |length| {
        if (decode(body[0..length])) |_| return error.PrefixAccepted else |_| {}
    }
    _ = try decode(body);
    const changed = try std.testing.allocator.alloc(u8, body.len + 1);
    defer std.testing.allocator.free(changed);
    @memcpy(changed[0..body.len], body);
    changed[body.len] = 0;
    if (decode(changed)) |_| return error.TrailingByteAccepted else |_| {}
    for (changed[0..body.len], body) |*byte, original| {
        inline for (.{ 0x00, 0x01, 0x7f, 0x80, 0xff }) |value| {
            byte.* = value;
            if (decode(changed[0..body.len])) |_| {} else |_| {}
        }
        byte.* = original;
    }
}

/// `encode(writer, value)` must write exactly `expected`.
pub fn expectEncoded(comptime encode: anytype, value: anytype, expected: []const u8) !void {
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try encode(&writer, value);
    try std.testing.expectEqualSlices(u8, expected, writer.bytes.items);
}

pub fn expectEncodeError(expected: anyerror, comptime encode: anytype, value: anytype) !void {
    var writer: protocol.WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    try std.testing.expectError(expected, encode(&writer, value));
}
