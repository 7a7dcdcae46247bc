//! Memory of an Arrow buffer: 64 bytes aligned, its size a multiple of that, as the format asks for.
//! Arrow docs: "Buffer Alignment and Padding".
const std = @import("std");

pub const alignment: std.mem.Alignment = .@"64";
const unit = alignment.toByteUnits();

/// What stands for a buffer of nothing: consumers want a pointer even so, and one offset to read.
pub const nothing: [unit]u8 align(unit) = @splat(0);

pub const Buffer = struct {
    bytes: []align(unit) u8 = &.{},

    pub fn deinit(self: *Buffer, gpa: std.mem.Allocator) void {
        gpa.free(self.bytes);
        self.bytes = &.{};
    }

    /// Make room for `size` bytes, of which the first `used` stay.
    pub fn grow(self: *Buffer, gpa: std.mem.Allocator, used: usize, size: usize) error{OutOfMemory}!void {
        const rounded = std.mem.alignForward(usize, @max(size, 1), unit);
        if (rounded <= self.bytes.len) return;
        const larger = try gpa.alignedAlloc(u8, alignment, rounded);
        @memcpy(larger[0..used], self.bytes[0..used]);
        self.deinit(gpa);
        self.bytes = larger;
    }

    /// Give back what is not used, where it is worth a copy.
    pub fn trim(self: *Buffer, gpa: std.mem.Allocator, used: usize) void {
        const rounded = std.mem.alignForward(usize, used, unit);
        if (rounded >= self.bytes.len / 2) return;
        if (rounded == 0) return self.deinit(gpa);
        const smaller = gpa.alignedAlloc(u8, alignment, rounded) catch return; // then it stays large
        @memcpy(smaller[0..used], self.bytes[0..used]);
        self.deinit(gpa);
        self.bytes = smaller;
    }

    pub inline fn items(self: *const Buffer, comptime T: type) [*]T {
        return @ptrCast(@alignCast(self.bytes.ptr));
    }

    pub fn address(self: *const Buffer) *const anyopaque {
        return if (self.bytes.len == 0) &nothing else self.bytes.ptr;
    }
};

/// Write one bit. The byte of the first bit needs no value before.
pub inline fn putBit(bits: [*]u8, index: usize, value: bool) void {
    const shift: u3 = @truncate(index);
    const bit = @as(u8, @intFromBool(value)) << shift;
    const byte = &bits[index / 8];
    byte.* = if (shift == 0) bit else (byte.* & ~(@as(u8, 1) << shift)) | bit;
}

pub inline fn getBit(bits: [*]const u8, index: usize) bool {
    const shift: u3 = @truncate(index);
    return (bits[index / 8] >> shift) & 1 == 1;
}

/// How many of the first `count` bits are not set.
pub fn countZeros(bits: [*]const u8, count: usize) usize {
    var ones: usize = 0;
    for (bits[0 .. count / 8]) |byte| ones += @popCount(byte);
    const left: u3 = @truncate(count);
    if (left != 0) ones += @popCount(bits[count / 8] & ((@as(u8, 1) << left) - 1));
    return count - ones;
}

test "a buffer keeps what is in use, in memory that is aligned and filled up to whole units" {
    const gpa = std.testing.allocator;
    var buffer: Buffer = .{};
    defer buffer.deinit(gpa);
    try std.testing.expectEqual(@as(*const anyopaque, &nothing), buffer.address());
    try buffer.grow(gpa, 0, 3);
    @memcpy(buffer.bytes[0..3], "abc");
    try buffer.grow(gpa, 3, 1000);
    try std.testing.expectEqual(0, @intFromPtr(buffer.bytes.ptr) % unit);
    try std.testing.expectEqual(1024, buffer.bytes.len);
    buffer.trim(gpa, 3);
    try std.testing.expectEqual(64, buffer.bytes.len);
    try std.testing.expectEqualStrings("abc", buffer.bytes[0..3]);
    buffer.trim(gpa, 0);
    try std.testing.expectEqual(0, buffer.bytes.len);
}

test "bits are written over whatever was there, and counted" {
    var bits: [2]u8 = @splat(0xaa);
    for (0..11) |i| putBit(&bits, i, i % 3 == 0);
    for (0..11) |i| try std.testing.expectEqual(i % 3 == 0, getBit(&bits, i));
    try std.testing.expectEqual(7, countZeros(&bits, 11));
    putBit(&bits, 3, false);
    try std.testing.expectEqual(8, countZeros(&bits, 11));
    try std.testing.expectEqual(5, countZeros(&bits, 7));
}
