//! ParameterStatus, 'S', backend to frontend, at any time after authentication. The value of a
//! run-time parameter that the server reports, at the start and whenever it changes.
//! PostgreSQL docs: protocol-flow, "Asynchronous Operations".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const ParameterStatus = struct {
    name: []const u8,
    value: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!ParameterStatus {
        var reader: Reader = .init(body);
        const name = try reader.takeCString();
        const value = try reader.takeCString();
        try reader.end();
        return .{ .name = name, .value = value };
    }

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, name: []const u8, value: []const u8) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('S');
        try writer.writeCString(name);
        try writer.writeCString(value);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try ParameterStatus.decode(body);
}

test "ParameterStatus: a name and a value" {
    const table = [_]struct { []const u8, []const u8, []const u8 }{
        .{ "S\x00\x00\x00\x11TimeZone\x00UTC\x00", "TimeZone", "UTC" },
        .{ "S\x00\x00\x00\x07a\x00\x00", "a", "" },
    };
    for (table) |case| {
        const bytes, const name, const value = case;
        try kit.expectWritten(bytes, ParameterStatus.encode, .{ name, value });
        const body = try kit.body('S', bytes);
        try std.testing.expectEqualDeep(ParameterStatus{ .name = name, .value = value }, try ParameterStatus.decode(body));
        try kit.expectPrefixesRefused(body, readAll);
    }
}
