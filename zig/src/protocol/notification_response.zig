//! NotificationResponse, 'A', backend to frontend, between any two messages. Somebody has notified
//! a channel that this session listens on.
//! PostgreSQL docs: protocol-message-formats, "NotificationResponse (B)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const NotificationResponse = struct {
    /// Of the backend that sent it.
    process_id: i32,
    channel: []const u8,
    payload: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!NotificationResponse {
        var reader: Reader = .init(body);
        const process_id = try reader.takeInt(i32);
        const channel = try reader.takeCString();
        const payload = try reader.takeCString();
        try reader.end();
        return .{ .process_id = process_id, .channel = channel, .payload = payload };
    }

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, notification: NotificationResponse) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('A');
        try writer.writeInt(i32, notification.process_id);
        try writer.writeCString(notification.channel);
        try writer.writeCString(notification.payload);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try NotificationResponse.decode(body);
}

test "NotificationResponse: process, channel, payload" {
    const table = [_]struct { []const u8, NotificationResponse }{
        .{ "A\x00\x00\x00\x10\x00\x00\x00\x07jobs\x00\x34\x32\x00", .{ .process_id = 7, .channel = "jobs", .payload = "42" } },
        .{ "A\x00\x00\x00\x0b\x7f\xff\xff\xffa\x00\x00", .{ .process_id = 0x7fffffff, .channel = "a", .payload = "" } },
    };
    for (table) |case| {
        const bytes, const notification = case;
        try kit.expectWritten(bytes, NotificationResponse.encode, .{notification});
        const body = try kit.body('A', bytes);
        try std.testing.expectEqualDeep(notification, try NotificationResponse.decode(body));
        try kit.expectPrefixesRefused(body, readAll);
    }
}
