//! RowDescription, 'T', backend to frontend. The fields of the rows that a statement gives.
//! PostgreSQL docs: protocol-message-formats, "RowDescription (B)".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// An empty name and the six numbers behind it.
const field_size_min = 1 + 4 + 2 + 4 + 2 + 4 + 2;

pub const RowDescription = struct {
    /// How many fields; no more than the body can hold.
    count: u16,
    reader: Reader,

    pub const Field = struct {
        name: []const u8,
        /// 0 where the field is no table's column.
        table_oid: u32,
        column_number: i16,
        type_oid: u32,
        /// In bytes; negative for a type of varying size.
        type_size: i16,
        type_modifier: i32,
        /// 0 text, 1 binary. In the answer to Describe of a statement it is always 0, not yet known.
        format: u16,
    };

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!RowDescription {
        var reader: Reader = .init(body);
        const count = try reader.takeInt(u16);
        if (reader.rest.len < @as(usize, count) * field_size_min) return error.MessageTooShort;
        return .{ .count = count, .reader = reader };
    }

    /// `count` fields, then null.
    pub fn iterator(self: RowDescription) Iterator {
        return .{ .left = self.count, .reader = self.reader };
    }

    pub const Iterator = struct {
        left: u16,
        reader: Reader,

        pub fn next(self: *Iterator) DecodeError!?Field {
            if (self.left == 0) {
                try self.reader.end();
                return null;
            }
            self.left -= 1;
            const field: Field = .{
                .name = try self.reader.takeCString(),
                .table_oid = try self.reader.takeInt(u32),
                .column_number = try self.reader.takeInt(i16),
                .type_oid = try self.reader.takeInt(u32),
                .type_size = try self.reader.takeInt(i16),
                .type_modifier = try self.reader.takeInt(i32),
                .format = try self.reader.takeInt(u16),
            };
            if (field.format > 1) return error.InvalidValue;
            return field;
        }
    };

    /// For scripted backends.
    pub fn encode(writer: *WriteBuffer, fields: []const Field) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('T');
        try writer.writeInt(u16, @intCast(fields.len));
        for (fields) |field| {
            try writer.writeCString(field.name);
            try writer.writeInt(u32, field.table_oid);
            try writer.writeInt(i16, field.column_number);
            try writer.writeInt(u32, field.type_oid);
            try writer.writeInt(i16, field.type_size);
            try writer.writeInt(i32, field.type_modifier);
            try writer.writeInt(u16, field.format);
        }
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    const description: RowDescription = try .decode(body);
    var fields = description.iterator();
    while (try fields.next()) |_| {}
}

test "RowDescription: a count and so many fields" {
    const table = [_]struct { []const u8, []const RowDescription.Field }{
        .{ "T\x00\x00\x00\x06\x00\x00", &.{} },
        .{
            "T\x00\x00\x00\x2e\x00\x02" ++
                "id\x00\x00\x00\x40\x00\x00\x01\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x01" ++
                "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\x00\x00\x00\x0e\x00\x00",
            &.{
                .{ .name = "id", .table_oid = 16384, .column_number = 1, .type_oid = 23, .type_size = 4, .type_modifier = -1, .format = 1 },
                .{ .name = "", .table_oid = 0, .column_number = 0, .type_oid = 25, .type_size = -1, .type_modifier = 14, .format = 0 },
            },
        },
    };
    for (table) |case| {
        const bytes, const fields = case;
        try kit.expectWritten(bytes, RowDescription.encode, .{fields});
        const body = try kit.body('T', bytes);
        const description: RowDescription = try .decode(body);
        try std.testing.expectEqual(fields.len, description.count);
        var iterator = description.iterator();
        for (fields) |field| try std.testing.expectEqualDeep(field, (try iterator.next()).?);
        try std.testing.expectEqual(null, try iterator.next());
        try kit.expectPrefixesRefused(body, readAll);
    }
}

test "RowDescription: the count is bounded by the bytes, the format is 0 or 1" {
    try std.testing.expectError(error.MessageTooShort, RowDescription.decode("\xff\xff" ++ kit.repeat('\x00', 19)));
    try std.testing.expectError(error.InvalidValue, readAll("\x00\x01" ++ kit.repeat('\x00', 18) ++ "\x02"));
}
