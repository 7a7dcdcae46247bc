//! CopyInResponse 'G', CopyOutResponse 'H', CopyBothResponse 'W', backend to frontend. A COPY
//! starts; which way, the type byte says. They can answer any statement, expected or not.
//! PostgreSQL docs: protocol-flow, "COPY Operations".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const CopyResponse = struct {
    /// 0 text (csv too), 1 binary.
    format: u16,
    /// How many columns.
    count: u16,
    /// Two bytes for each column: 0 text, 1 binary.
    formats: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!CopyResponse {
        var reader: Reader = .init(body);
        const format = try reader.takeByte();
        if (format > 1) return error.InvalidValue;
        const count = try reader.takeInt(u16);
        const formats = try reader.takeBytes(@as(usize, count) * 2);
        try reader.end();
        for (0..count) |index| {
            if (std.mem.readInt(u16, formats[index * 2 ..][0..2], .big) > 1) return error.InvalidValue;
        }
        return .{ .format = format, .count = count, .formats = formats };
    }

    /// For scripted backends. `message_type`: 'G', 'H' or 'W'.
    pub fn encode(writer: *WriteBuffer, message_type: u8, format: u8, count: u16) WriteBuffer.Error!void {
        const mark = try writer.beginMessage(message_type);
        try writer.writeByte(format);
        try writer.writeInt(u16, count);
        for (0..count) |_| try writer.writeInt(u16, format);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try CopyResponse.decode(body);
}

test "CopyInResponse, CopyOutResponse, CopyBothResponse: a format, and one per column" {
    const table = [_]struct { []const u8, u8, u8, u16 }{
        .{ "G\x00\x00\x00\x07\x00\x00\x00", 'G', 0, 0 },
        .{ "H\x00\x00\x00\x0b\x01\x00\x02\x00\x01\x00\x01", 'H', 1, 2 },
        .{ "W\x00\x00\x00\x09\x00\x00\x01\x00\x00", 'W', 0, 1 },
    };
    for (table) |case| {
        const bytes, const message_type, const format, const count = case;
        try kit.expectWritten(bytes, CopyResponse.encode, .{ message_type, format, count });
        const body = try kit.body(message_type, bytes);
        const response: CopyResponse = try .decode(body);
        try std.testing.expectEqual(format, response.format);
        try std.testing.expectEqual(count, response.count);
        try kit.expectPrefixesRefused(body, readAll);
    }
    try std.testing.expectError(error.InvalidValue, readAll("\x02\x00\x00"));
    try std.testing.expectError(error.InvalidValue, readAll("\x01\x00\x01\x00\x02"));
    try std.testing.expectError(error.MessageTooShort, readAll("\x01\xff\xff\x00\x01"));
}
