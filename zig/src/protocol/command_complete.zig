//! CommandComplete, 'C', backend to frontend. One statement is done; its command tag says what it
//! was and, for some, how many rows it touched.
//! PostgreSQL docs: protocol-message-formats, "CommandComplete (B)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const CommandComplete = struct {
    tag: []const u8,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!CommandComplete {
        var reader: Reader = .init(body);
        const tag = try reader.takeCString();
        try reader.end();
        return .{ .tag = tag };
    }

    pub fn rowCount(self: CommandComplete) u64 {
        return countRows(self.tag);
    }

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, tag: []const u8) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('C');
        try writer.writeCString(tag);
        try writer.endMessage(mark);
    }
};

/// The rows that the command with this tag inserted, changed, deleted, fetched or copied: the number
/// at its end. 0 where it has none, or one that no server could mean.
pub const rowCount = countRows;

fn countRows(tag: []const u8) u64 {
    const space = std.mem.findScalarLast(u8, tag, ' ') orelse return 0;
    var rows: u64 = 0;
    for (tag[space + 1 ..]) |byte| {
        if (byte < '0' or byte > '9') return 0;
        rows = std.math.mul(u64, rows, 10) catch return 0;
        rows = std.math.add(u64, rows, byte - '0') catch return 0;
    }
    return rows;
}

fn readAll(body: []const u8) DecodeError!void {
    _ = try CommandComplete.decode(body);
}

test "CommandComplete: one String" {
    const table = [_]struct { []const u8, []const u8, u64 }{
        .{ "C\x00\x00\x00\x0dSELECT 1\x00", "SELECT 1", 1 },
        .{ "C\x00\x00\x00\x0aBEGIN\x00", "BEGIN", 0 },
        .{ "C\x00\x00\x00\x05\x00", "", 0 },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], CommandComplete.encode, .{case[1]});
        const body = try kit.body('C', case[0]);
        const complete: CommandComplete = try .decode(body);
        try std.testing.expectEqualStrings(case[1], complete.tag);
        try std.testing.expectEqual(case[2], complete.rowCount());
        try kit.expectPrefixesRefused(body, readAll);
    }
}

test "the row count is the tag's last word, where that is a number" {
    const table = [_]struct { []const u8, u64 }{
        .{ "INSERT 0 5", 5 },
        .{ "UPDATE 12", 12 },
        .{ "DELETE 0", 0 },
        .{ "MERGE 3", 3 },
        .{ "COPY 100000", 100000 },
        .{ "FETCH 7", 7 },
        .{ "MOVE 2", 2 },
        .{ "SELECT 18446744073709551615", std.math.maxInt(u64) },
        .{ "SELECT 18446744073709551616", 0 },
        .{ "SELECT 99999999999999999999999", 0 },
        .{ "CREATE TABLE", 0 },
        .{ "ALTER TABLE x1", 0 },
        .{ "SELECT -1", 0 },
        .{ "SELECT ", 0 },
        .{ "7", 0 },
    };
    for (table) |case| try std.testing.expectEqual(case[1], rowCount(case[0]));
}
