//! ParameterDescription, 't', backend to frontend. The types of a prepared statement's parameters.
//! PostgreSQL docs: protocol-message-formats, "ParameterDescription (B)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const ParameterDescription = struct {
    count: u16,
    /// Four bytes for each.
    oids: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!ParameterDescription {
        var reader: Reader = .init(body);
        const count = try reader.takeInt(u16);
        const oids = try reader.takeBytes(@as(usize, count) * 4);
        try reader.end();
        return .{ .count = count, .oids = oids };
    }

    /// `count` OIDs, then null. It cannot fail: `decode` has seen that all are there.
    pub fn iterator(self: ParameterDescription) Iterator {
        return .{ .oids = self.oids };
    }

    pub const Iterator = struct {
        oids: []const u8,

        pub fn next(self: *Iterator) ?u32 {
            if (self.oids.len < 4) return null;
            defer self.oids = self.oids[4..];
            return std.mem.readInt(u32, self.oids[0..4], .big);
        }
    };

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, oids: []const u32) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('t');
        try writer.writeInt(u16, @intCast(oids.len));
        for (oids) |oid| try writer.writeInt(u32, oid);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try ParameterDescription.decode(body);
}

test "ParameterDescription: a count and so many OIDs" {
    const table = [_]struct { []const u8, []const u32 }{
        .{ "t\x00\x00\x00\x06\x00\x00", &.{} },
        .{ "t\x00\x00\x00\x0e\x00\x02\x00\x00\x00\x17\xff\xff\xff\xff", &.{ 23, 0xffffffff } },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], ParameterDescription.encode, .{case[1]});
        const body = try kit.body('t', case[0]);
        const description: ParameterDescription = try .decode(body);
        try std.testing.expectEqual(case[1].len, description.count);
        var oids = description.iterator();
        for (case[1]) |oid| try std.testing.expectEqual(oid, oids.next());
        try std.testing.expectEqual(null, oids.next());
        try kit.expectPrefixesRefused(body, readAll);
    }
}
