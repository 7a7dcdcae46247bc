//! NegotiateProtocolVersion, 'v', backend to frontend, before authentication. The server speaks an
//! older minor version than StartupMessage asked for, or does not know some `_pq_.` options of it.
//! PostgreSQL docs: protocol-message-formats, "NegotiateProtocolVersion (B)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const NegotiateProtocolVersion = struct {
    /// Major in the upper half, minor in the lower, as in StartupMessage. The manual speaks of the
    /// minor version, servers send both; a value without a major one is taken for 3.
    version: u32,
    option_count: u32,
    reader: Reader,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!NegotiateProtocolVersion {
        var reader: Reader = .init(body);
        const sent = try reader.takeInt(u32);
        const version = if (sent >> 16 == 0) 3 << 16 | sent else sent;
        if (version >> 16 != 3) return error.InvalidValue;
        const option_count = try reader.takeInt(u32);
        const message: NegotiateProtocolVersion = .{
            .version = version,
            .option_count = option_count,
            .reader = reader,
        };
        // However many it claims, the walk ends with the body.
        var copy = message;
        while (try copy.next()) |_| {}
        return message;
    }

    /// The name of an option that the server does not know. `decode` has walked them all.
    pub fn next(self: *NegotiateProtocolVersion) DecodeError!?[]const u8 {
        if (self.option_count == 0) {
            try self.reader.end();
            return null;
        }
        self.option_count -= 1;
        return try self.reader.takeCString();
    }

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, version: u32, options: []const []const u8) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('v');
        try writer.writeInt(u32, version);
        try writer.writeInt(u32, @intCast(options.len));
        for (options) |option| try writer.writeCString(option);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try NegotiateProtocolVersion.decode(body);
}

test "NegotiateProtocolVersion: a version and the options not known" {
    const table = [_]struct { []const u8, u32, []const []const u8 }{
        .{ "v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x00", 3 << 16, &.{} },
        .{ "v\x00\x00\x00\x14\x00\x03\x00\x02\x00\x00\x00\x02_p.a\x00_b\x00", 3 << 16 | 2, &.{ "_p.a", "_b" } },
    };
    for (table) |case| {
        const bytes, const version, const options = case;
        try kit.expectWritten(bytes, NegotiateProtocolVersion.encode, .{ version, options });
        const body = try kit.body('v', bytes);
        var message: NegotiateProtocolVersion = try .decode(body);
        try std.testing.expectEqual(version, message.version);
        for (options) |option| try std.testing.expectEqualStrings(option, (try message.next()).?);
        try std.testing.expectEqual(null, try message.next());
        try kit.expectPrefixesRefused(body, readAll);
    }
}

test "NegotiateProtocolVersion: a bare minor version counts, another major one does not" {
    const message: NegotiateProtocolVersion = try .decode("\x00\x00\x00\x01\x00\x00\x00\x00");
    try std.testing.expectEqual(3 << 16 | 1, message.version);
    try std.testing.expectError(error.InvalidValue, readAll("\x00\x02\x00\x00\x00\x00\x00\x00"));
    try std.testing.expectError(error.MessageTooShort, readAll("\x00\x03\x00\x00\xff\xff\xff\xff\x00"));
}
