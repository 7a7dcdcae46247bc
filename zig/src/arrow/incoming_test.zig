//! Our own tables read back as somebody else's, and producers that do not keep to the interface.
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const c_data = @import("c_data.zig");
const exporting = @import("exporting.zig");
const foreign = @import("foreign.zig");
const Incoming = @import("incoming.zig").Incoming;
const node_file = @import("node.zig");
const rows_file = @import("rows.zig");
const table_file = @import("table.zig");
const target_file = @import("target.zig");
const Target = target_file.Target;

const gpa = std.testing.allocator;

fn tableOf(named: []const table_file.Schema.Named, values: []const []const ?[]const u8) !*table_file.Table {
    var rows: rows_file.Rows = try .init(gpa, try .create(gpa, named));
    defer rows.deinit();
    for (values) |each| {
        var writer: protocol.WriteBuffer = .init(gpa);
        defer writer.deinit();
        try protocol.DataRow.encode(&writer, each);
        const decoded = try protocol.DataRow.decode(writer.bytes.items[5..]);
        try rows.append(decoded.iterator());
    }
    return rows.finish();
}

const tags = "\x00\x00\x00\x01" ++ "\x00\x00\x00\x00" ++ "\x00\x00\x00\x19" ++ "\x00\x00\x00\x02" ++ "\x00\x00\x00\x01" ++ "\x00\x00\x00\x01x" ++ "\x00\x00\x00\x00";
const columns = [_]table_file.Schema.Named{
    .{ .name = "n", .type = .{ .tag = .int64 } },
    .{ .name = "t", .type = .{ .tag = .text } },
    .{ .name = "l", .type = .{ .tag = .list, .element = &.{ .tag = .text }, .element_oid = 25 } },
    .{ .name = "d", .type = .{ .tag = .decimal256, .precision = 50, .scale = 3 } },
    .{ .name = "at", .type = .{ .tag = .timestamptz } },
    .{ .name = "i", .type = .{ .tag = .interval } },
};
const of_text: Target = .{ .oid = 25, .kind = .text };
const targets = [_]Target{
    .{ .oid = 20, .kind = .int8 },
    of_text,
    .{ .oid = 1009, .kind = .array, .element = &of_text },
    .{ .oid = 1700, .kind = .numeric },
    .{ .oid = 1184, .kind = .timestamptz },
    .{ .oid = 1186, .kind = .interval },
};
const one = "\x00\x02\x00\x00\x40\x00\x00\x03\x00\x07\x04\xce"; // -7.123 as numeric_send gives it
const row = [_]?[]const u8{
    "\x80\x00\x00\x00\x00\x00\x00\x05",
    "žlutý",
    "" ++ tags,
    one,
    "\x00\x00\x00\x00\x00\x00\x00\x09",
    "\x00\x00\x00\x00\x00\x00\x00\x07\xff\xff\xff\xff\x00\x00\x00\x02",
};

test "what was made of the wire's bytes goes back as the same bytes" {
    const table = try tableOf(&columns, &.{ &row, &@as([columns.len]?[]const u8, @splat(null)), &row });
    defer table.release();
    var stream: c_data.Stream = .{};
    try exporting.streamStruct(table, &stream);
    var incoming: Incoming = .init(gpa);
    defer incoming.deinit();
    try incoming.open(&stream);
    try std.testing.expectEqual(null, stream.release);
    for (incoming.root.children, &targets) |*field, *target| try std.testing.expectEqual(.binary, target_file.wayOf(field, target));
    try std.testing.expect(try incoming.read());
    const node = incoming.node.?;
    try std.testing.expectEqual(3, node.length);
    for (0..3) |index| {
        for (node.children, &targets, &row, 0..) |*child, *target, bytes, i| {
            var writer: protocol.WriteBuffer = .init(gpa);
            defer writer.deinit();
            var problem: []const u8 = "";
            try target_file.write(&writer, target, try child.value(index, &problem), &problem);
            if (index == 1) {
                try std.testing.expectEqualStrings("\xff\xff\xff\xff", writer.bytes.items);
            } else if (i == 3) {
                var out: [64]u8 = undefined;
                try std.testing.expectEqualStrings("-7.123", try types.numeric.toText(writer.bytes.items[4..], &out));
            } else if (i == 2) {
                var expected = bytes.?[0..tags.len].*;
                expected[19] = 1; // subscripts begin at 1
                try std.testing.expectEqualSlices(u8, &expected, writer.bytes.items[4..]);
            } else try std.testing.expectEqualSlices(u8, bytes.?, writer.bytes.items[4..]);
        }
    }
    try std.testing.expect(!try incoming.read());
}

test "decimals of every size and scale are the numerics they say" {
    const rows = [_]struct { i256, i32, []const u8 }{
        .{ 0, 2, "0.00" },               .{ 125, 2, "1.25" },                                                        .{ -125, 2, "-1.25" },
        .{ 5, -2, "500" },               .{ 5, -4, "50000" },                                                        .{ 1, 4, "0.0001" },
        .{ 10_000, 0, "10000" },         .{ 12, 5, "0.00012" },                                                      .{ 123_456_789, 0, "123456789" },
        .{ 99_990_000, 4, "9999.0000" }, .{ std.math.maxInt(u128), 10, "34028236692093846346337460743.1768211455" }, .{ 1234567890123456789012345678901234567890, 20, "12345678901234567890.12345678901234567890" },
    };
    for (rows) |each| {
        var writer: protocol.WriteBuffer = .init(gpa);
        defer writer.deinit();
        var problem: []const u8 = "";
        try target_file.write(&writer, &.{ .oid = 1700, .kind = .numeric }, .{ .decimal = .{ .value = each[0], .scale = each[1] } }, &problem);
        var out: [256]u8 = undefined;
        try std.testing.expectEqualStrings(each[2], try types.numeric.toText(writer.bytes.items[4..], &out));
        var plain: protocol.WriteBuffer = .init(gpa);
        defer plain.deinit();
        try types.numeric.fromText(&plain, each[2]);
        try std.testing.expectEqualSlices(u8, plain.bytes.items, writer.bytes.items[4..]);
    }
}

test "a value that does not fit is refused, with a reason" {
    const cases = .{
        .{ types.Kind.int2, node_file.Value{ .integer = 40_000 }, "the value is out of range" },
        .{ types.Kind.int4, node_file.Value{ .float = 1.5 }, "it is no whole number" },
        .{ types.Kind.int8, node_file.Value{ .float = 1e19 }, "the value is out of range" },
        .{ types.Kind.oid, node_file.Value{ .integer = -1 }, "the value is out of range" },
        .{ types.Kind.float8, node_file.Value{ .integer = (1 << 53) + 1 }, "the integer has more digits than a float holds" },
        .{ types.Kind.float4, node_file.Value{ .float = 1e300 }, "the value is out of range" },
        .{ types.Kind.text, node_file.Value{ .text = "a\x00b" }, "it contains a NUL character" },
        .{ types.Kind.jsonb, node_file.Value{ .text = "\xff" }, "it is not UTF-8" },
        .{ types.Kind.uuid, node_file.Value{ .text = "00" }, "it is no value of this type" },
        .{ types.Kind.uuid, node_file.Value{ .bytes = "00" }, "it is no value of this type" },
        .{ types.Kind.numeric, node_file.Value{ .text = "x" }, "it is no value of this type" },
        .{ types.Kind.date, node_file.Value{ .days = 1 << 40 }, "the value is out of range" },
        .{ types.Kind.time, node_file.Value{ .moment = .{ .count = -1, .unit = .second } }, "the value is out of range" },
        .{ types.Kind.timestamp, node_file.Value{ .moment = .{ .count = std.math.maxInt(i64), .unit = .second } }, "the value is out of range" },
        .{ types.Kind.timestamptz, node_file.Value{ .moment = .{ .count = std.math.minInt(i64), .unit = .microsecond } }, "the value is out of range" },
        .{ types.Kind.timestamp, node_file.Value{ .moment = .{ .count = 1, .unit = .nanosecond } }, "it has nanoseconds, and PostgreSQL counts microseconds: round it first" },
    };
    inline for (cases) |case| {
        var writer: protocol.WriteBuffer = .init(gpa);
        defer writer.deinit();
        var problem: []const u8 = "";
        try std.testing.expectError(error.Refused, target_file.write(&writer, &.{ .oid = 1, .kind = case[0] }, case[1], &problem));
        try std.testing.expectEqualStrings(case[2], problem);
    }
}

fn never(_: *c_data.Schema) callconv(.c) void {}
fn neverArray(_: *c_data.Array) callconv(.c) void {}

fn fieldOf(schema: c_data.Schema, problem: *[]const u8) !void {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    _ = try foreign.parse(arena.allocator(), &schema, problem);
}

test "a schema that no producer should give is refused" {
    var missing = [_]?*c_data.Schema{null};
    const cases = .{
        .{ c_data.Schema{ .format = "u" }, "was released" },
        .{ c_data.Schema{ .release = &never }, "no format string" },
        .{ c_data.Schema{ .format = "?", .release = &never }, "Arrow does not know" },
        .{ c_data.Schema{ .format = "+s", .n_children = -1, .release = &never }, "impossible number" },
        .{ c_data.Schema{ .format = "+s", .n_children = 1 << 40, .release = &never }, "impossible number" },
        .{ c_data.Schema{ .format = "+s", .n_children = 1, .release = &never }, "children are missing" },
        .{ c_data.Schema{ .format = "+l", .n_children = 0, .release = &never }, "another number of children" },
        .{ c_data.Schema{ .format = "i", .n_children = 1, .release = &never }, "another number of children" },
        .{ c_data.Schema{ .format = "+l", .n_children = 1, .children = &missing, .release = &never }, "children are missing" },
    };
    inline for (cases) |case| {
        var problem: []const u8 = "";
        try std.testing.expectError(error.Refused, fieldOf(case[0], &problem));
        try std.testing.expect(std.mem.find(u8, problem, case[1]) != null);
    }
    var around: c_data.Schema = .{ .format = "+l", .n_children = 1, .release = &never };
    var itself = [_]?*c_data.Schema{&around};
    around.children = &itself;
    var problem: []const u8 = "";
    try std.testing.expectError(error.Refused, fieldOf(around, &problem));
}

test "an array that does not go with its schema is refused" {
    var item: foreign.Field = .{ .name = "", .format = "i", .kind = .{ .integer = .{ .size = 4, .signed = true } } };
    const list: foreign.Field = .{ .name = "", .format = "+l", .kind = .{ .list = 4 }, .children = (&item)[0..1] };
    const offsets = [_]i32{ 0, 2, 1, 9, -5, -1 };
    const numbers = [_]i32{ 1, 2 };
    var item_buffers = [_]?*const anyopaque{ null, &numbers };
    var list_buffers = [_]?*const anyopaque{ null, &offsets };
    var no_values = [_]?*const anyopaque{ null, null };
    var child: c_data.Array = .{ .length = 2, .n_buffers = 2, .buffers = &item_buffers, .release = &neverArray };
    var children = [_]?*c_data.Array{&child};
    var no_children = [_]?*c_data.Array{null};
    const sound: c_data.Array = .{ .length = 5, .n_buffers = 2, .buffers = &list_buffers, .n_children = 1, .children = &children, .release = &neverArray };
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    var problem: []const u8 = "";
    const node: node_file.Node = try .init(arena.allocator(), &list, &sound, &problem);
    try std.testing.expectEqual(2, (try node.value(0, &problem)).list.end);
    for (1..5) |index| try std.testing.expectError(error.Corrupt, node.value(index, &problem));
    var bad = [_]c_data.Array{sound} ++ [_]c_data.Array{sound} ++ [_]c_data.Array{sound} ++ [_]c_data.Array{sound} ++
        [_]c_data.Array{sound} ++ [_]c_data.Array{sound} ++ [_]c_data.Array{sound} ++ [_]c_data.Array{sound};
    bad[0].length = -1;
    bad[1].offset = -1;
    bad[2].n_buffers = 3;
    bad[3].buffers = null;
    bad[4].buffers = &no_values;
    bad[5].n_children = 2;
    bad[6].children = &no_children;
    bad[7].null_count = 1;
    for (&bad) |*each| try std.testing.expectError(error.Refused, node_file.Node.init(arena.allocator(), &list, each, &problem));
}
