//! BackendKeyData, 'K', backend to frontend. What a later CancelRequest for this session must hold.
//! PostgreSQL docs: protocol-message-formats, "BackendKeyData (B)".
const std = @import("std");
const kit = @import("testing.zig");
const cancel_request = @import("cancel_request.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const BackendKeyData = struct {
    process_id: i32,
    /// 4 bytes in protocol 3.0, up to 256 since 3.2.
    secret_key: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!BackendKeyData {
        var reader: Reader = .init(body);
        const process_id = try reader.takeInt(i32);
        const secret_key = reader.takeRest();
        if (secret_key.len < cancel_request.key_size_min) return error.MessageTooShort;
        if (secret_key.len > cancel_request.key_size_max) return error.MessageTooLong;
        return .{ .process_id = process_id, .secret_key = secret_key };
    }

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, process_id: i32, secret_key: []const u8) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('K');
        try writer.writeInt(i32, process_id);
        try writer.writeBytes(secret_key);
        try writer.endMessage(mark);
    }
};

test "BackendKeyData: a process and 4 to 256 bytes of key" {
    const table = [_]struct { []const u8, i32, []const u8 }{
        .{ "K\x00\x00\x00\x0c\x00\x00\x30\x39key!", 12345, "key!" },
        .{ "K\x00\x00\x01\x08\xff\xff\xff\xff" ++ kit.repeat('k', 256), -1, kit.repeat('k', 256) },
    };
    for (table) |case| {
        const bytes, const process_id, const secret_key = case;
        try kit.expectWritten(bytes, BackendKeyData.encode, .{ process_id, secret_key });
        const data: BackendKeyData = try .decode(try kit.body('K', bytes));
        try std.testing.expectEqual(process_id, data.process_id);
        try std.testing.expectEqualStrings(secret_key, data.secret_key);
        for (0..8) |size| {
            try std.testing.expectError(error.MessageTooShort, BackendKeyData.decode(bytes[5..][0..size]));
        }
    }
    try std.testing.expectError(error.MessageTooLong, BackendKeyData.decode("\x00\x00\x00\x01" ++ kit.repeat('k', 257)));
}
