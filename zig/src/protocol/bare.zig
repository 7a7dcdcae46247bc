//! Messages without a body. Frontend: Sync 'S', Flush 'H', Terminate 'X'. Both ways: CopyDone 'c'.
//! Backend: ParseComplete '1', BindComplete '2', CloseComplete '3', NoData 'n', PortalSuspended 's',
//! EmptyQueryResponse 'I'.
//! PostgreSQL docs: protocol-message-formats, "Sync (F)" and so on.
const std = @import("std");
const kit = @import("testing.zig");
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// A message of type `message_type` and nothing more.
pub fn Bare(comptime message_type: u8) type {
    return struct {
        pub const bytes = [5]u8{ message_type, 0, 0, 0, 4 };

        pub fn encode(writer: *WriteBuffer) WriteBuffer.Error!void {
            try writer.writeBytes(&bytes);
        }

        /// `body`: must be empty.
        pub fn decode(body: []const u8) DecodeError!void {
            if (body.len != 0) return error.MessageTooLong;
        }
    };
}

test "a bare message is its type and a length of 4, and has no body" {
    inline for ("SHXc123nsI") |message_type| {
        const Message = Bare(message_type);
        try kit.expectWritten([_]u8{message_type} ++ "\x00\x00\x00\x04", Message.encode, .{});
        try Message.decode(try kit.body(message_type, &Message.bytes));
        try std.testing.expectError(error.MessageTooLong, Message.decode("x"));
    }
    try kit.expectAllocationFailures(Bare('S').encode, .{});
}
