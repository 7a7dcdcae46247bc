//! SSLRequest, frontend to backend, without a type byte: may we start TLS? The answer is one byte
//! and no message, so it does not pass through framing.
//! PostgreSQL docs: protocol-flow, "SSL Session Encryption".
const std = @import("std");
const kit = @import("testing.zig");
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// Stands where StartupMessage has its version.
pub const code: u32 = 80877103;

pub fn encode(writer: *WriteBuffer) WriteBuffer.Error!void {
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginStartup();
    try writer.writeInt(u32, code);
    try writer.endMessage(mark);
}

/// `error_response`: a server too old for SSLRequest, or one that cannot start a backend. What
/// follows is not encrypted and not trusted.
pub const Answer = enum { willing, unwilling, error_response };

/// `byte`: the one byte that may be read after SSLRequest. More that came with it was not said
/// under TLS and must end the connection.
pub fn decodeAnswer(byte: u8) error{InvalidValue}!Answer {
    return switch (byte) {
        'S' => .willing,
        'N' => .unwilling,
        'E' => .error_response,
        else => error.InvalidValue,
    };
}

test "SSLRequest: a length and the code, answered by one byte" {
    try kit.expectWritten("\x00\x00\x00\x08\x04\xd2\x16\x2f", encode, .{});
    try kit.expectAllocationFailures(encode, .{});
    try std.testing.expectEqual(.willing, try decodeAnswer('S'));
    try std.testing.expectEqual(.unwilling, try decodeAnswer('N'));
    try std.testing.expectEqual(.error_response, try decodeAnswer('E'));
    for (0..256) |byte| {
        if (std.mem.findScalar(u8, "SNE", @intCast(byte)) != null) continue;
        try std.testing.expectError(error.InvalidValue, decodeAnswer(@intCast(byte)));
    }
}
