//! ReadyForQuery, 'Z', backend to frontend. Closes every query cycle: one per Query, per Sync, and
//! one at the end of start-up.
//! PostgreSQL docs: protocol-message-formats, "ReadyForQuery (B)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const TransactionStatus = enum(u8) {
    idle = 'I',
    in_transaction = 'T',
    /// Statements are refused until the transaction is rolled back.
    failed = 'E',
};

pub const ReadyForQuery = struct {
    transaction_status: TransactionStatus,

    /// `body`: the 1 byte after the length word. Borrowed, not kept.
    pub fn decode(body: []const u8) DecodeError!ReadyForQuery {
        var reader: Reader = .init(body);
        const status = std.enums.fromInt(TransactionStatus, try reader.takeByte()) orelse return error.InvalidValue;
        try reader.end();
        return .{ .transaction_status = status };
    }

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, status: TransactionStatus) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('Z');
        try writer.writeByte(@backingInt(status));
        try writer.endMessage(mark);
    }
};

test "ReadyForQuery: one status byte, nothing before or after it" {
    const table = [_]struct { []const u8, TransactionStatus }{
        .{ "Z\x00\x00\x00\x05I", .idle },
        .{ "Z\x00\x00\x00\x05T", .in_transaction },
        .{ "Z\x00\x00\x00\x05E", .failed },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], ReadyForQuery.encode, .{case[1]});
        const ready: ReadyForQuery = try .decode(try kit.body('Z', case[0]));
        try std.testing.expectEqual(case[1], ready.transaction_status);
    }
    try std.testing.expectError(error.MessageTooShort, ReadyForQuery.decode(""));
    try std.testing.expectError(error.MessageTooLong, ReadyForQuery.decode("II"));
    for (0..256) |byte| {
        if (std.mem.findScalar(u8, "ITE", @intCast(byte)) != null) continue;
        try std.testing.expectError(error.InvalidValue, ReadyForQuery.decode(&.{@intCast(byte)}));
    }
}
