//! A table, read through the structs of the C interface, and let go of in every order.
const std = @import("std");
const protocol = @import("protocol");
const c_data = @import("c_data.zig");
const exporting = @import("exporting.zig");
const rows_file = @import("rows.zig");
const table_file = @import("table.zig");
const Type = @import("type.zig").Type;
const Rows = rows_file.Rows;
const Schema = table_file.Schema;
const Table = table_file.Table;

const gpa = std.testing.allocator;
const columns = [_]Schema.Named{
    .{ .name = "id", .type = .{ .tag = .int32 } },
    .{ .name = "id", .type = .{ .tag = .text } },
    .{ .name = "tags", .type = .{ .tag = .list, .element = &.{ .tag = .text }, .element_oid = 25 } },
    .{ .name = "price", .type = .{ .tag = .decimal128, .precision = 12, .scale = 2 } },
};
const tags = "\x00\x00\x00\x01" ++ "\x00\x00\x00\x00" ++ "\x00\x00\x00\x19" ++ "\x00\x00\x00\x01" ++ "\x00\x00\x00\x01" ++ "\x00\x00\x00\x01x";

fn append(rows: *Rows, values: []const ?[]const u8) !void {
    var writer: protocol.WriteBuffer = .init(gpa);
    defer writer.deinit();
    try protocol.DataRow.encode(&writer, values);
    const row = try protocol.DataRow.decode(writer.bytes.items[5..]);
    try rows.append(row.iterator());
}

fn tableOf(count: usize) !*Table {
    var rows: Rows = try .init(gpa, try .create(gpa, &columns));
    defer rows.deinit();
    for (0..count) |i| {
        const number = std.mem.toBytes(std.mem.nativeToBig(u32, @intCast(i)));
        try append(&rows, &.{ &number, if (i % 2 == 0) null else "text", tags, "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01" });
    }
    return rows.finish();
}

test "a stream gives its schema and every batch, as often as it is opened" {
    const table = try tableOf(rows_file.batch_rows + 10);
    defer table.release();
    try std.testing.expectEqual(2, table.batches.len);
    for (0..2) |_| {
        var stream: c_data.Stream = .{};
        try exporting.streamStruct(table, &stream);
        defer stream.release.?(&stream);
        var schema: c_data.Schema = .{};
        try std.testing.expectEqual(0, stream.get_schema.?(&stream, &schema));
        defer schema.release.?(&schema);
        try std.testing.expectEqualStrings("+s", std.mem.span(schema.format.?));
        try std.testing.expectEqual(4, schema.n_children);
        try std.testing.expectEqualStrings("id", std.mem.span(schema.children.?[1].?.name.?));
        try std.testing.expectEqualStrings("u", std.mem.span(schema.children.?[2].?.children.?[0].?.format.?));
        try std.testing.expectEqualStrings("d:12,2", std.mem.span(schema.children.?[3].?.format.?));
        var seen: i64 = 0;
        while (true) {
            var array: c_data.Array = .{};
            try std.testing.expectEqual(0, stream.get_next.?(&stream, &array));
            const release = array.release orelse break;
            defer release(&array);
            const ids: [*]const i32 = @ptrCast(@alignCast(array.children.?[0].?.buffers.?[1].?));
            for (0..@intCast(array.length)) |i| try std.testing.expectEqual(seen + @as(i64, @intCast(i)), ids[i]);
            const texts = array.children.?[1].?;
            try std.testing.expectEqual(3, texts.n_buffers);
            try std.testing.expectEqual(@divExact(array.length, 2), texts.null_count);
            seen += array.length;
        }
        try std.testing.expectEqual(rows_file.batch_rows + 10, seen);
        try std.testing.expectEqual(null, stream.get_last_error.?(&stream));
    }
}

test "a child that was moved away outlives its array, the stream and the table" {
    const table = try tableOf(3);
    var stream: c_data.Stream = .{};
    try exporting.streamStruct(table, &stream);
    var array: c_data.Array = .{};
    _ = stream.get_next.?(&stream, &array);
    var schema: c_data.Schema = .{};
    _ = stream.get_schema.?(&stream, &schema);
    var list = array.children.?[2].?.*;
    array.children.?[2].?.release = null;
    var list_schema = schema.children.?[2].?.*;
    schema.children.?[2].?.release = null;
    stream.release.?(&stream);
    array.release.?(&array);
    schema.release.?(&schema);
    table.release();
    const offsets: [*]const i32 = @ptrCast(@alignCast(list.buffers.?[1].?));
    try std.testing.expectEqual(3, offsets[3]);
    try std.testing.expectEqualStrings("tags", std.mem.span(list_schema.name.?));
    list.release.?(&list);
    list_schema.release.?(&list_schema);
    try std.testing.expectEqual(null, list.release);
}

test "no rows are no batches, and no columns are rows all the same" {
    const table = try tableOf(0);
    defer table.release();
    try std.testing.expectEqual(0, table.batches.len);
    var rows: Rows = try .init(gpa, try .create(gpa, &.{}));
    defer rows.deinit();
    for (0..3) |_| try append(&rows, &.{});
    const bare = try rows.finish();
    defer bare.release();
    var array: c_data.Array = .{};
    try exporting.batchStruct(bare.batches[0], &array);
    defer array.release.?(&array);
    try std.testing.expectEqual(3, array.length);
    try std.testing.expectEqual(0, array.n_children);
}

test "a row that fails half way leaves the columns as they were" {
    var rows: Rows = try .init(gpa, try .create(gpa, &columns));
    defer rows.deinit();
    const one = "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01";
    try append(&rows, &.{ "\x00\x00\x00\x01", "a", tags, one });
    try std.testing.expectError(error.Malformed, append(&rows, &.{ "\x00\x00\x00\x02", null, tags, "bad" }));
    try std.testing.expectEqual(3, rows.column);
    try std.testing.expectError(error.NotRepresentable, append(&rows, &.{ "\x00\x00\x00\x02", "\xff", tags, one }));
    try std.testing.expectEqual(1, rows.column);
    try append(&rows, &.{ "\x00\x00\x00\x02", "b", null, one });
    const table = try rows.finish();
    defer table.release();
    try std.testing.expectEqual(2, table.row_count);
    const made = table.batches[0].columns;
    try std.testing.expectEqualSlices(i32, &.{ 1, 2 }, made[0].values.items(i32)[0..2]);
    try std.testing.expectEqual(0, made[1].null_count);
    try std.testing.expectEqualSlices(i32, &.{ 0, 1, 2 }, made[1].values.items(i32)[0..3]);
    try std.testing.expectEqualSlices(i32, &.{ 0, 1, 1 }, made[2].values.items(i32)[0..3]);
    try std.testing.expectEqual(1, made[2].null_count);
}

test "memory that runs out anywhere is an error and no leak" {
    try std.testing.checkAllAllocationFailures(gpa, runOut, .{});
}

fn runOut(failing: std.mem.Allocator) !void {
    var rows: Rows = try .init(failing, try .create(failing, &columns));
    defer rows.deinit();
    try append(&rows, &.{ "\x00\x00\x00\x01", null, tags, null });
    const table = try rows.finish();
    defer table.release();
    var stream: c_data.Stream = .{};
    try exporting.streamStruct(table, &stream);
    defer stream.release.?(&stream);
    var schema: c_data.Schema = .{};
    if (stream.get_schema.?(&stream, &schema) != 0) {
        try std.testing.expectEqualStrings("out of memory", std.mem.span(stream.get_last_error.?(&stream).?));
        return error.OutOfMemory;
    }
    defer schema.release.?(&schema);
    var array: c_data.Array = .{};
    if (stream.get_next.?(&stream, &array) != 0) return error.OutOfMemory;
    array.release.?(&array);
}
