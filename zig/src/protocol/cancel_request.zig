//! CancelRequest, frontend to backend, without a type byte, on a connection of its own: stop what
//! that process is doing. The backend answers by closing.
//! PostgreSQL docs: protocol-message-formats, "CancelRequest (F)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// Stands where StartupMessage has its version.
pub const code: u32 = 80877102;

/// 4 bytes in protocol 3.0, up to 256 since 3.2.
pub const key_size_min = 4;
pub const key_size_max = 256;

/// `process_id`, `secret_key`: from this session's BackendKeyData.
pub fn encode(writer: *WriteBuffer, process_id: i32, secret_key: []const u8) WriteBuffer.Error!void {
    std.debug.assert(secret_key.len >= key_size_min and secret_key.len <= key_size_max);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginStartup();
    try writer.writeInt(u32, code);
    try writer.writeInt(i32, process_id);
    try writer.writeBytes(secret_key);
    try writer.endMessage(mark);
}

/// What a scripted backend reads.
pub const CancelRequest = struct {
    process_id: i32,
    secret_key: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!CancelRequest {
        var reader: Reader = .init(body);
        if (try reader.takeInt(u32) != code) return error.InvalidValue;
        const process_id = try reader.takeInt(i32);
        const secret_key = reader.takeRest();
        if (secret_key.len < key_size_min) return error.MessageTooShort;
        if (secret_key.len > key_size_max) return error.MessageTooLong;
        return .{ .process_id = process_id, .secret_key = secret_key };
    }
};

test "CancelRequest: the process and its key, short or long" {
    const short = "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x30\x39key!";
    const long = "\x00\x00\x01\x0c\x04\xd2\x16\x2e\xff\xff\xff\xff" ++ kit.repeat('k', 256);
    const table = [_]struct { []const u8, i32, []const u8 }{
        .{ short, 12345, "key!" },
        .{ long, -1, kit.repeat('k', 256) },
    };
    for (table) |case| {
        const bytes, const process_id, const secret_key = case;
        try kit.expectWritten(bytes, encode, .{ process_id, secret_key });
        const message: CancelRequest = try .decode(bytes[4..]);
        try std.testing.expectEqual(process_id, message.process_id);
        try std.testing.expectEqualStrings(secret_key, message.secret_key);
    }
    for (0..short.len - 4) |size| {
        try std.testing.expectError(error.MessageTooShort, CancelRequest.decode(short[4..][0..size]));
    }
    try std.testing.expectError(error.MessageTooLong, CancelRequest.decode(long[4..] ++ "k"));
    try std.testing.expectError(error.InvalidValue, CancelRequest.decode("\x04\xd2\x16\x2f\x00\x00\x30\x39key!"));
}
