//! Helpers for the tests of this layer: a codec test is a table of value and bytes, read and
//! written, then every shorter prefix of the bytes.
const std = @import("std");
const frame = @import("frame.zig");
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

const testing = std.testing;

/// What `encode` writes when called with `arguments`, compared with `expected`, all of it.
pub fn expectWritten(expected: []const u8, comptime encode: anytype, arguments: anytype) !void {
    var writer: WriteBuffer = .init(testing.allocator);
    defer writer.deinit();
    try @call(.auto, encode, .{&writer} ++ arguments);
    try testing.expectEqualSlices(u8, expected, writer.bytes.items);
}

/// `encode` refuses `arguments` and leaves the writer as it was.
pub fn expectRefused(expected: anyerror, comptime encode: anytype, arguments: anytype) !void {
    var writer: WriteBuffer = .init(testing.allocator);
    defer writer.deinit();
    try writer.writeBytes("before");
    try testing.expectError(expected, @call(.auto, encode, .{&writer} ++ arguments));
    try testing.expectEqualStrings("before", writer.bytes.items);
}

/// `encode` fails cleanly wherever memory runs out: before each byte that it writes.
pub fn expectAllocationFailures(comptime encode: anytype, arguments: anytype) !void {
    var whole: WriteBuffer = .init(testing.allocator);
    defer whole.deinit();
    try @call(.auto, encode, .{&whole} ++ arguments);
    for (0..whole.len()) |capacity| {
        var failing: testing.FailingAllocator = .init(testing.allocator, .{});
        var writer: WriteBuffer = .init(failing.allocator());
        defer writer.deinit();
        try writer.bytes.ensureTotalCapacityPrecise(failing.allocator(), capacity);
        failing.fail_index = failing.alloc_index;
        failing.resize_fail_index = failing.resize_index;
        try testing.expectError(error.OutOfMemory, @call(.auto, encode, .{&writer} ++ arguments));
        try testing.expectEqual(0, writer.len());
    }
}

/// The body of the one message of type `message_type` in `bytes`.
pub fn body(message_type: u8, bytes: []const u8) ![]const u8 {
    const one = (try frame.next(bytes, 1 << 30)) orelse return error.TestIncompleteMessage;
    try testing.expectEqual(message_type, one.type);
    try testing.expectEqual(bytes.len, one.size());
    return one.body;
}

/// Every shorter prefix of `whole`, and `whole` with a byte behind it, is an error. `read` takes
/// a body and reads all of it, iterators too.
pub fn expectPrefixesRefused(whole: []const u8, comptime read: anytype) !void {
    try read(whole);
    for (0..whole.len) |size| {
        if (read(whole[0..size])) |_| {
            std.debug.print("prefix of {d} bytes was accepted\n", .{size});
            return error.TestPrefixAccepted;
        } else |_| {}
    }
    var longer: [512]u8 = undefined;
    @memcpy(longer[0..whole.len], whole);
    longer[whole.len] = 'x';
    try testing.expectError(error.MessageTooLong, read(longer[0 .. whole.len + 1]));
}

/// `count` times the same byte.
pub fn repeat(comptime byte: u8, comptime count: usize) *const [count]u8 {
    return &@as([count]u8, @splat(byte));
}

/// Run a fuzz test's body with `count` seeds, as part of every test run. The input is made of small
/// integers, which is what `Smith` takes them from, so the body must draw nothing but integers.
pub fn runSeeds(count: u64, comptime testOne: fn (void, *testing.Smith) anyerror!void) !void {
    for (0..count) |seed| {
        var random_source: std.Random.DefaultPrng = .init(seed);
        const random = random_source.random();
        var input: [512]u64 = undefined;
        for (&input) |*word| {
            const limits = [_]u64{ 2, 4, 8, 16, 64 };
            word.* = std.mem.nativeToLittle(u64, random.uintLessThan(u64, limits[random.uintLessThan(usize, limits.len)]));
        }
        var smith: testing.Smith = .{ .in = std.mem.sliceAsBytes(&input) };
        testOne({}, &smith) catch |err| {
            std.debug.print("failed with seed {d}\n", .{seed});
            return err;
        };
    }
}
