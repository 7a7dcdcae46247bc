//! Composite values and anonymous records: a field count, then for each field its type and its value.
//! PostgreSQL docs: rowtypes, "Composite Types"; the binary form is record_send's.
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Field = struct {
    oid: u32,
    /// Null for SQL NULL.
    value: ?[]const u8,
};

pub const Composite = struct {
    count: usize,
    fields: []const u8,

    pub fn iterator(self: Composite) Iterator {
        return .{ .cursor = .init(self.fields) };
    }
};

/// Call `next` `count` times, then `finish`.
pub const Iterator = struct {
    cursor: Cursor,

    pub fn next(self: *Iterator) DecodeError!Field {
        const oid = try self.cursor.int(u32);
        return .{ .oid = oid, .value = try self.cursor.value() };
    }

    pub fn finish(self: *const Iterator) DecodeError!void {
        try self.cursor.finish();
    }
};

pub fn decode(body: []const u8) DecodeError!Composite {
    var cursor: Cursor = .init(body);
    // A type and a length word are the least a field takes.
    const count = try cursor.count(8);
    if (count == 0) try cursor.finish();
    return .{ .count = count, .fields = cursor.rest };
}

/// Write the field count. For each field follows `field`, then `beginValue` … `endValue` or `writeNull`.
pub fn begin(writer: *protocol.WriteBuffer, count: usize) EncodeError!void {
    try writer.writeInt(i32, std.math.cast(i32, count) orelse return error.OutOfRange);
}

pub fn field(writer: *protocol.WriteBuffer, oid: u32) EncodeError!void {
    try writer.writeInt(u32, oid);
}

const testing = @import("testing.zig");
const hex = testing.hex;

fn decodeAll(body: []const u8) DecodeError!Composite {
    const composite = try decode(body);
    var iterator = composite.iterator();
    for (0..composite.count) |_| _ = try iterator.next();
    try iterator.finish();
    return composite;
}

const row = hex("0000000300000017000000040000000100000019ffffffff000000190000000178");

test "a record's fields come with their types, as record_send gives them" {
    const composite = try decodeAll(row);
    try std.testing.expectEqual(3, composite.count);
    var iterator = composite.iterator();
    try std.testing.expectEqualDeep(Field{ .oid = 23, .value = "\x00\x00\x00\x01" }, try iterator.next());
    try std.testing.expectEqualDeep(Field{ .oid = 25, .value = null }, try iterator.next());
    try std.testing.expectEqualDeep(Field{ .oid = 25, .value = "x" }, try iterator.next());
    try testing.checkBytes(decodeAll, row);
    try std.testing.expectEqual(0, (try decodeAll(hex("00000000"))).count);
    try testing.checkBytes(decodeAll, hex("00000000"));
}

test "a field count beyond the bytes is an error" {
    inline for (.{ "7fffffff", "ffffffff", "0000000100000017000000" }) |bad| {
        try std.testing.expectError(error.InvalidValue, decode(hex(bad)));
    }
}

fn encodeRow(writer: *protocol.WriteBuffer, _: void) EncodeError!void {
    try begin(writer, 3);
    try field(writer, 23);
    const number = try writer.beginValue();
    try writer.writeInt(i32, 1);
    try writer.endValue(number);
    try field(writer, 25);
    try writer.writeNull();
    try field(writer, 25);
    const text = try writer.beginValue();
    try writer.writeBytes("x");
    try writer.endValue(text);
}

test "an encoded record is what the server would have sent" {
    try testing.expectEncoded(encodeRow, {}, row);
}

fn fuzzComposite(_: void, smith: *std.testing.Smith) anyerror!void {
    var buffer: [128]u8 = undefined;
    const body = buffer[0..smith.slice(&buffer)];
    const composite = decodeAll(body) catch return;
    try std.testing.expect(composite.count * 8 <= body.len);
}

test "fuzz: a record never has more fields than its bytes can hold" {
    try std.testing.fuzz({}, fuzzComposite, .{});
}
