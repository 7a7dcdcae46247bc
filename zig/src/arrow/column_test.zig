//! Columns: values as the wire has them, and the buffers that Arrow reads.
const std = @import("std");
const column = @import("column.zig");
const buffer = @import("buffer.zig");
const Column = column.Column;
const Type = @import("type.zig").Type;

const gpa = std.testing.allocator;

fn columnOf(type_: *const Type, bodies: []const ?[]const u8) !column.Finished {
    var made: Column = try .init(gpa, type_);
    defer made.deinit();
    for (bodies, 0..) |body, row| {
        if (body) |bytes| try made.append(&made, row, bytes) else try made.appendNull(row);
    }
    return made.finish(bodies.len);
}

fn int(comptime T: type, value: T) []const u8 {
    const Holder = struct {
        var bytes: [16][@sizeOf(T)]u8 = undefined;
        var at: usize = 0;
    };
    Holder.at = (Holder.at + 1) % 16;
    std.mem.writeInt(T, &Holder.bytes[Holder.at], value, .big);
    return &Holder.bytes[Holder.at];
}

test "fixed-width values stand side by side, and a NULL is a bit" {
    var made = try columnOf(&.{ .tag = .int32 }, &.{ int(i32, 7), null, int(i32, -1) });
    defer made.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 7, 0, -1 }, made.values.items(i32)[0..3]);
    try std.testing.expectEqual(1, made.null_count);
    try std.testing.expectEqual(0b101, made.validity.bytes[0] & 0b111);
}

test "a column without NULLs has no bitmap" {
    var made = try columnOf(&.{ .tag = .boolean }, &.{ "\x01", "\x00", "\x01" });
    defer made.deinit(gpa);
    try std.testing.expectEqual(0, made.null_count);
    try std.testing.expectEqual(0, made.validity.bytes.len);
    try std.testing.expectEqual(0b101, made.values.bytes[0] & 0b111);
}

test "text stands end to end, its borders in the offsets" {
    var made = try columnOf(&.{ .tag = .text }, &.{ "ab", "", null, "žc" });
    defer made.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 0, 2, 2, 2, 5 }, made.values.items(i32)[0..5]);
    try std.testing.expectEqualStrings("abžc", made.data.bytes[0..5]);
}

test "a value that was refused leaves nothing behind" {
    var made: Column = try .init(gpa, &.{ .tag = .text });
    defer made.deinit();
    try made.append(&made, 0, "one");
    try std.testing.expectError(error.NotRepresentable, made.append(&made, 1, "\xff"));
    try std.testing.expectEqualStrings("the text is not UTF-8", made.problem);
    try made.append(&made, 1, "two");
    // A row whose later column has failed is written over.
    try made.append(&made, 2, "forgotten");
    try made.append(&made, 2, "three");
    var finished = try made.finish(3);
    defer finished.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 0, 3, 6, 11 }, finished.values.items(i32)[0..4]);
    try std.testing.expectEqualStrings("onetwothree", finished.data.bytes[0..11]);
}

test "a column begins anew when a batch was taken" {
    var made: Column = try .init(gpa, &.{ .tag = .text });
    defer made.deinit();
    for (0..300) |row| try if (row % 7 == 0) made.appendNull(row) else made.append(&made, row, "abc");
    var first = try made.finish(300);
    defer first.deinit(gpa);
    try std.testing.expectEqual(43, first.null_count);
    try made.append(&made, 0, "x");
    var second = try made.finish(1);
    defer second.deinit(gpa);
    try std.testing.expectEqual(0, second.null_count);
    try std.testing.expectEqualSlices(i32, &.{ 0, 1 }, second.values.items(i32)[0..2]);
    try std.testing.expect(second.data.bytes.len <= 64);
}

test "a list's elements are a column of their own" {
    const of_int: Type = .{ .tag = .list, .element = &.{ .tag = .int16 }, .element_oid = 21 };
    const head = "\x00\x00\x00\x01" ++ "\x00\x00\x00\x01" ++ "\x00\x00\x00\x15" ++ "\x00\x00\x00\x02" ++ "\x00\x00\x00\x01";
    const pair = head ++ "\x00\x00\x00\x02\x00\x05" ++ "\xff\xff\xff\xff";
    const empty = "\x00\x00\x00\x00" ++ "\x00\x00\x00\x00" ++ "\x00\x00\x00\x15";
    var made = try columnOf(&of_int, &.{ pair, null, empty, pair });
    defer made.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 0, 2, 2, 2, 4 }, made.values.items(i32)[0..5]);
    const child = made.child.?;
    try std.testing.expectEqual(4, child.length);
    try std.testing.expectEqual(2, child.null_count);
    try std.testing.expectEqualSlices(i16, &.{ 5, 0, 5, 0 }, child.values.items(i16)[0..4]);
    for (0..pair.len) |size| {
        var broken: Column = try .init(gpa, &of_int);
        defer broken.deinit();
        try std.testing.expectError(error.Malformed, broken.append(&broken, 0, pair[0..size]));
    }
    try std.testing.expectError(error.NotRepresentable, columnOf(&.{ .tag = .list, .element = &.{ .tag = .int16 }, .element_oid = 23 }, &.{pair}));
}

test "a vector is a list of floats, of halves too" {
    const single = "\x00\x02\x00\x00\x3f\x80\x00\x00\xc0\x20\x00\x00";
    var made = try columnOf(&.{ .tag = .vector, .element = &.{ .tag = .float32 } }, &.{ single, null, single });
    defer made.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 0, 2, 2, 4 }, made.values.items(i32)[0..4]);
    try std.testing.expectEqualSlices(f32, &.{ 1, -2.5, 1, -2.5 }, made.child.?.values.items(f32)[0..4]);
    var halves = try columnOf(&.{ .tag = .halfvec, .element = &.{ .tag = .float32 } }, &.{"\x00\x02\x00\x00\x3c\x00\xc1\x00"});
    defer halves.deinit(gpa);
    try std.testing.expectEqualSlices(f32, &.{ 1, -2.5 }, halves.child.?.values.items(f32)[0..2]);
}

test "an array that comes as text is a list of texts" {
    const type_: Type = .{ .tag = .text_list, .element = &.{ .tag = .text } };
    var made = try columnOf(&type_, &.{ "{}", "{1.2.3.4/8,NULL,\"a b\"}", "[0:0]={x}" });
    defer made.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 0, 0, 3, 4 }, made.values.items(i32)[0..4]);
    try std.testing.expectEqualStrings("1.2.3.4/8a bx", made.child.?.data.bytes[0..13]);
    try std.testing.expectError(error.NotRepresentable, columnOf(&type_, &.{"{{1},{2}}"}));
    try std.testing.expectError(error.Malformed, columnOf(&type_, &.{"{1"}));
}

test "days and microseconds count from 1970" {
    var dates = try columnOf(&.{ .tag = .date }, &.{ int(i32, 0), int(i32, -10_957) });
    defer dates.deinit(gpa);
    try std.testing.expectEqualSlices(i32, &.{ 10_957, 0 }, dates.values.items(i32)[0..2]);
    var stamps = try columnOf(&.{ .tag = .timestamp }, &.{int(i64, -946_684_800_000_000)});
    defer stamps.deinit(gpa);
    try std.testing.expectEqual(0, stamps.values.items(i64)[0]);
}

test "values that Arrow has not got are refused, and what is no value at all" {
    const rows = .{
        .{ Type{ .tag = .date }, int(i32, std.math.maxInt(i32)), error.NotRepresentable },
        .{ Type{ .tag = .date }, int(i32, std.math.maxInt(i32) - 1), error.Malformed },
        .{ Type{ .tag = .time }, int(i64, 86_400_000_000), error.NotRepresentable },
        .{ Type{ .tag = .time }, int(i64, 86_400_000_001), error.Malformed },
        .{ Type{ .tag = .timestamp }, int(i64, std.math.maxInt(i64)), error.NotRepresentable },
        .{ Type{ .tag = .timestamptz }, int(i64, std.math.minInt(i64)), error.NotRepresentable },
        .{ Type{ .tag = .timestamp }, int(i64, 9_223_371_331_199_999_999), error.NotRepresentable },
        .{ Type{ .tag = .interval }, "\x7f\xff\xff\xff\xff\xff\xff\xff" ++ "\x7f\xff\xff\xff" ++ "\x7f\xff\xff\xff", error.NotRepresentable },
        .{ Type{ .tag = .boolean }, "\x02", error.Malformed },
        .{ Type{ .tag = .int16 }, "\x02", error.Malformed },
        .{ Type{ .tag = .jsonb }, "\x02{}", error.Malformed },
        .{ Type{ .tag = .uuid }, "short", error.Malformed },
        .{ Type{ .tag = .numeric }, "short", error.Malformed },
        .{ Type{ .tag = .vector, .element = &.{ .tag = .float32 } }, "\x00\x01\x00\x00", error.Malformed },
        .{ Type{ .tag = .nothing }, "x", error.Malformed },
    };
    inline for (rows) |row| {
        const type_: Type = row[0];
        try std.testing.expectError(row[2], columnOf(&type_, &.{row[1]}));
    }
}

test "a batch has no more text than its offsets can count" {
    var made: Column = try .init(gpa, &.{ .tag = .text });
    defer made.deinit();
    made.data_limit = 5;
    try made.append(&made, 0, "abc");
    try std.testing.expectError(error.Full, made.append(&made, 1, "def"));
    try made.append(&made, 1, "de");
}

fn fuzzColumn(_: void, smith: *std.testing.Smith) anyerror!void {
    const kinds = [_]Type{
        .{ .tag = .boolean },                                                 .{ .tag = .text },    .{ .tag = .jsonb },
        .{ .tag = .timestamp },                                               .{ .tag = .numeric }, .{ .tag = .decimal128, .precision = 12, .scale = 2 },
        .{ .tag = .list, .element = &.{ .tag = .int16 }, .element_oid = 21 }, .{ .tag = .uuid },    .{ .tag = .vector, .element = &.{ .tag = .float32 } },
        .{ .tag = .text_list, .element = &.{ .tag = .text } },                .{ .tag = .nothing },
    };
    const type_ = &kinds[smith.valueRangeAtMost(u8, 0, kinds.len - 1)];
    var made: Column = try .init(gpa, type_);
    defer made.deinit();
    var length: usize = 0;
    for (0..smith.valueRangeAtMost(u8, 0, 20)) |_| {
        var bytes: [64]u8 = undefined;
        if (smith.value(bool)) {
            try made.appendNull(length);
        } else made.append(&made, length, bytes[0..smith.slice(&bytes)]) catch continue;
        length += 1;
    }
    var finished = try made.finish(length);
    defer finished.deinit(gpa);
    try expectSound(&finished);
}

fn expectSound(finished: *const column.Finished) !void {
    const length = finished.length;
    try std.testing.expect(finished.null_count <= length);
    switch (finished.layout) {
        .offsets, .list => if (length > 0) {
            const offsets = finished.values.items(i32)[0 .. length + 1];
            try std.testing.expectEqual(0, offsets[0]);
            for (offsets[0..length], offsets[1..]) |start, end| try std.testing.expect(start <= end);
            const end: usize = @intCast(offsets[length]);
            if (finished.child) |child| {
                try std.testing.expectEqual(end, child.length);
                try expectSound(child);
            } else try std.testing.expect(end <= finished.data.bytes.len);
        },
        .fixed => |width| try std.testing.expect(finished.values.bytes.len >= length * width),
        .bits => try std.testing.expect(finished.values.bytes.len * 8 >= length),
        .nothing => {},
    }
}

test "fuzz: whatever comes, the columns are sound" {
    try std.testing.fuzz({}, fuzzColumn, .{});
}
