//! Bind, 'B', frontend to backend. Makes a portal from a prepared statement and its parameter
//! values.
//!
//! The values are written by another layer, straight into the buffer, between `begin` and `finish`:
//! one `beginValue` … `endValue` or `writeNull` for each. Each value's format is known once it has
//! been looked at, so `begin` leaves room for the format codes and `setFormat` fills them in.
//! PostgreSQL docs: protocol-message-formats, "Bind (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const format_text: u16 = 0;
pub const format_binary: u16 = 1;

pub const begin = Bind.begin;
pub const beginBinary = Bind.beginBinary;

/// A Bind being written. On any error the caller truncates the writer to `start`.
pub const Bind = struct {
    /// Where the message starts, its type byte included.
    start: usize,
    mark: usize,
    formats: usize,
    parameter_count: u16,

    /// Write up to the first value. Every format is text until `setFormat` says otherwise.
    /// `portal`, `statement`: empty for the unnamed one.
    pub fn begin(
        writer: *WriteBuffer,
        portal: []const u8,
        statement: []const u8,
        parameter_count: u16,
    ) text.EncodeError!Bind {
        try text.check(portal);
        try text.check(statement);
        const start = writer.len();
        errdefer writer.truncate(start);
        const mark = try writer.beginMessage('B');
        try writer.writeCString(portal);
        try writer.writeCString(statement);
        const formats_size = @as(usize, parameter_count) * 2;
        const room = try writer.addManyAsSlice(2 + formats_size + 2);
        @memset(room, 0);
        std.mem.writeInt(u16, room[0..2], parameter_count, .big);
        std.mem.writeInt(u16, room[2 + formats_size ..][0..2], parameter_count, .big);
        return .{
            .start = start,
            .mark = mark,
            .formats = writer.len() - 2 - formats_size,
            .parameter_count = parameter_count,
        };
    }

    /// As `begin`, where every value is in binary: one code says so for all.
    pub fn beginBinary(
        writer: *WriteBuffer,
        portal: []const u8,
        statement: []const u8,
        parameter_count: u16,
    ) text.EncodeError!Bind {
        try text.check(portal);
        try text.check(statement);
        const start = writer.len();
        errdefer writer.truncate(start);
        const mark = try writer.beginMessage('B');
        try writer.writeCString(portal);
        try writer.writeCString(statement);
        const formats = writer.len() + 2;
        try writer.writeInt(u16, 1);
        try writer.writeInt(u16, format_binary);
        try writer.writeInt(u16, parameter_count);
        return .{ .start = start, .mark = mark, .formats = formats, .parameter_count = 0 };
    }

    /// The format of the value at `index`, counted from 0.
    pub fn setFormat(self: Bind, writer: *WriteBuffer, index: usize, format: u16) void {
        std.debug.assert(index < self.parameter_count);
        std.debug.assert(format <= format_binary);
        writer.patchInt16(self.formats + index * 2, format);
    }

    /// All values are written. `result_formats`: one per result column, or one for all of them, or
    /// none for text.
    pub fn finish(self: Bind, writer: *WriteBuffer, result_formats: []const u16) WriteBuffer.Error!void {
        const count = std.math.cast(u16, result_formats.len) orelse return error.MessageTooLong;
        try writer.writeInt(u16, count);
        for (result_formats) |format| try writer.writeInt(u16, format);
        try writer.endMessage(self.mark);
    }
};

/// What a scripted backend reads: three lists, one after the other.
pub const Message = struct {
    portal: []const u8,
    statement: []const u8,
    formats: Formats,
    value_count: u16,
    values: []const u8,
    result_formats: Formats,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!Message {
        var reader: Reader = .init(body);
        const portal = try reader.takeCString();
        const statement = try reader.takeCString();
        const formats = try Formats.take(&reader);
        const value_count = try reader.takeInt(u16);
        const values = reader.rest;
        for (0..value_count) |_| _ = try reader.takeValue();
        const values_size = values.len - reader.rest.len;
        const result_formats = try Formats.take(&reader);
        try reader.end();
        return .{
            .portal = portal,
            .statement = statement,
            .formats = formats,
            .value_count = value_count,
            .values = values[0..values_size],
            .result_formats = result_formats,
        };
    }

    /// Format codes, two bytes each.
    pub const Formats = struct {
        bytes: []const u8,

        fn take(reader: *Reader) DecodeError!Formats {
            const total = try reader.takeInt(u16);
            return .{ .bytes = try reader.takeBytes(@as(usize, total) * 2) };
        }

        pub fn count(self: Formats) usize {
            return self.bytes.len / 2;
        }

        pub fn at(self: Formats, index: usize) u16 {
            return std.mem.readInt(u16, self.bytes[index * 2 ..][0..2], .big);
        }
    };
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try Message.decode(body);
}

/// All of a Bind in one call; a null is NULL.
fn encodeAll(
    writer: *WriteBuffer,
    portal: []const u8,
    statement: []const u8,
    formats: []const u16,
    values: []const ?[]const u8,
    result_formats: []const u16,
) text.EncodeError!void {
    const bind = try begin(writer, portal, statement, @intCast(values.len));
    errdefer writer.truncate(bind.start);
    for (values, formats, 0..) |value, format, index| {
        bind.setFormat(writer, index, format);
        if (value) |bytes| {
            const mark = try writer.beginValue();
            try writer.writeBytes(bytes);
            try writer.endValue(mark);
        } else try writer.writeNull();
    }
    try bind.finish(writer, result_formats);
}

const Case = struct { []const u8, []const u8, []const u8, []const u16, []const ?[]const u8, []const u16 };

test "Bind: names, format codes, values, result formats" {
    const table = [_]Case{
        .{ "B\x00\x00\x00\x10\x00s1\x00\x00\x00\x00\x00\x00\x01\x00\x01", "", "s1", &.{}, &.{}, &.{1} },
        .{
            "B\x00\x00\x00\x22p\x00s\x00\x00\x03\x00\x01\x00\x00\x00\x01\x00\x03" ++
                "\x00\x00\x00\x02ab\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00",
            "p",
            "s",
            &.{ 1, 0, 1 },
            &.{ "ab", null, "" },
            &.{},
        },
        .{ "B\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x00\x00", "", "", &.{}, &.{}, &.{ 1, 0 } },
    };
    for (table) |case| {
        const bytes, const portal, const statement, const formats, const values, const result_formats = case;
        try kit.expectWritten(bytes, encodeAll, .{ portal, statement, formats, values, result_formats });
        try kit.expectAllocationFailures(encodeAll, .{ portal, statement, formats, values, result_formats });
        const body = try kit.body('B', bytes);
        const message: Message = try .decode(body);
        try std.testing.expectEqualStrings(portal, message.portal);
        try std.testing.expectEqualStrings(statement, message.statement);
        try std.testing.expectEqual(values.len, message.value_count);
        var reader: Reader = .init(message.values);
        for (values) |value| try std.testing.expectEqualDeep(value, try reader.takeValue());
        for (formats, 0..) |format, index| try std.testing.expectEqual(format, message.formats.at(index));
        try std.testing.expectEqual(result_formats.len, message.result_formats.count());
        for (result_formats, 0..) |format, index| {
            try std.testing.expectEqual(format, message.result_formats.at(index));
        }
        try kit.expectPrefixesRefused(body, readAll);
    }
}

test "Bind: one format code for all values where they are binary" {
    var writer: WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    const bind = try beginBinary(&writer, "", "s1", 2);
    for ([_][]const u8{ "ab", "" }) |bytes| {
        const mark = try writer.beginValue();
        try writer.writeBytes(bytes);
        try writer.endValue(mark);
    }
    try bind.finish(&writer, &.{});
    const message: Message = try .decode(try kit.body('B', writer.bytes.items));
    try std.testing.expectEqual(2, message.value_count);
    try std.testing.expectEqual(1, message.formats.count());
    try std.testing.expectEqual(format_binary, message.formats.at(0));
    try std.testing.expectError(error.NulInString, beginBinary(&writer, "", "s\x00", 1));
}

test "Bind: NUL in a name is refused; the most parameters fit" {
    const no_formats: []const u16 = &.{};
    const no_values: []const ?[]const u8 = &.{};
    try kit.expectRefused(error.NulInString, encodeAll, .{ "p\x00", "", no_formats, no_values, no_formats });
    try kit.expectRefused(error.NulInString, encodeAll, .{ "", "s\x00", no_formats, no_values, no_formats });

    var writer: WriteBuffer = .init(std.testing.allocator);
    defer writer.deinit();
    const bind = try begin(&writer, "", "", 65535);
    for (0..65535) |index| {
        bind.setFormat(&writer, index, format_binary);
        try writer.writeNull();
    }
    try bind.finish(&writer, &.{format_binary});
    const message: Message = try .decode(try kit.body('B', writer.bytes.items));
    try std.testing.expectEqual(65535, message.formats.count());
    try std.testing.expectEqual(format_binary, message.formats.at(65534));
}
