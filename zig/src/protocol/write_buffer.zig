//! The bytes on their way to the backend. Every message and every value is written here, once.
//!
//! Lengths are patched in afterwards and checked: a message longer than the protocol's signed
//! 32-bit length is refused before one byte of it can be sent, because the caller takes it back
//! with `truncate`.
const std = @import("std");

pub const WriteBuffer = struct {
    gpa: std.mem.Allocator,
    bytes: std.ArrayList(u8) = .empty,

    pub const Error = error{ OutOfMemory, MessageTooLong };

    pub fn init(gpa: std.mem.Allocator) WriteBuffer {
        return .{ .gpa = gpa };
    }

    pub fn deinit(self: *WriteBuffer) void {
        self.bytes.deinit(self.gpa);
        self.* = undefined;
    }

    /// The number of bytes written so far; also a mark to come back to with `truncate`.
    pub fn len(self: *const WriteBuffer) usize {
        return self.bytes.items.len;
    }

    /// Take back everything written since `mark`, a former `len()`.
    pub fn truncate(self: *WriteBuffer, mark: usize) void {
        std.debug.assert(mark <= self.bytes.items.len);
        self.bytes.shrinkRetainingCapacity(mark);
    }

    pub fn writeByte(self: *WriteBuffer, byte: u8) Error!void {
        try self.bytes.append(self.gpa, byte);
    }

    pub fn writeBytes(self: *WriteBuffer, slice: []const u8) Error!void {
        try self.bytes.appendSlice(self.gpa, slice);
    }

    /// Big-endian, as everything in the protocol is.
    pub fn writeInt(self: *WriteBuffer, comptime T: type, value: T) Error!void {
        const size = @divExact(@typeInfo(T).int.bits, 8);
        const room = try self.bytes.addManyAsArray(self.gpa, size);
        std.mem.writeInt(T, room, value, .big);
    }

    /// Write `slice` and the NUL that ends it. The caller has checked that no NUL is inside.
    pub fn writeCString(self: *WriteBuffer, slice: []const u8) Error!void {
        std.debug.assert(std.mem.indexOfScalar(u8, slice, 0) == null);
        try self.bytes.ensureUnusedCapacity(self.gpa, slice.len + 1);
        self.bytes.appendSliceAssumeCapacity(slice);
        self.bytes.appendAssumeCapacity(0);
    }

    /// Grow by `count` bytes and return them for the caller to fill.
    pub fn addManyAsSlice(self: *WriteBuffer, count: usize) Error![]u8 {
        return self.bytes.addManyAsSlice(self.gpa, count);
    }

    /// Room for at least `count` bytes behind the end, for the caller to fill; `advance` takes up what was filled.
    pub inline fn reserve(self: *WriteBuffer, count: usize) error{OutOfMemory}![]u8 {
        if (self.bytes.capacity - self.bytes.items.len < count) try self.grow(count);
        return self.bytes.unusedCapacitySlice();
    }

    noinline fn grow(self: *WriteBuffer, count: usize) error{OutOfMemory}!void {
        @branchHint(.cold);
        try self.bytes.ensureUnusedCapacity(self.gpa, count);
    }

    pub inline fn advance(self: *WriteBuffer, count: usize) void {
        std.debug.assert(count <= self.bytes.capacity - self.bytes.items.len);
        self.bytes.items.len += count;
    }

    /// Start a message: its type byte and room for its length. Ends with `endMessage`.
    pub fn beginMessage(self: *WriteBuffer, message_type: u8) Error!usize {
        try self.writeByte(message_type);
        return self.beginStartup();
    }

    /// Start a message without a type byte (StartupMessage, SSLRequest, CancelRequest).
    pub fn beginStartup(self: *WriteBuffer) Error!usize {
        const mark = self.bytes.items.len;
        try self.writeInt(u32, 0);
        return mark;
    }

    /// Patch the length of the message begun at `mark`; it counts itself, not the type byte.
    pub fn endMessage(self: *WriteBuffer, mark: usize) Error!void {
        try self.patchLength(mark, self.bytes.items.len - mark);
    }

    /// Start a value with an Int32 length before it (Bind parameters, array elements, …).
    pub fn beginValue(self: *WriteBuffer) Error!usize {
        return self.beginStartup();
    }

    /// Patch the length of the value begun at `mark`; it does not count itself.
    pub fn endValue(self: *WriteBuffer, mark: usize) Error!void {
        try self.patchLength(mark, self.bytes.items.len - mark - 4);
    }

    /// A NULL value: the length -1 and nothing behind it.
    pub fn writeNull(self: *WriteBuffer) Error!void {
        try self.writeInt(i32, -1);
    }

    fn patchLength(self: *WriteBuffer, mark: usize, length: usize) Error!void {
        const checked = std.math.cast(i32, length) orelse return error.MessageTooLong;
        std.mem.writeInt(i32, self.bytes.items[mark..][0..4], checked, .big);
    }

    /// Overwrite the two bytes at `mark`, written before as a placeholder.
    pub fn patchInt16(self: *WriteBuffer, mark: usize, value: u16) void {
        std.mem.writeInt(u16, self.bytes.items[mark..][0..2], value, .big);
    }
};

test "a message's length counts itself, a value's does not" {
    var buffer: WriteBuffer = .init(std.testing.allocator);
    defer buffer.deinit();
    const message = try buffer.beginMessage('Q');
    try buffer.writeCString("x");
    const value = try buffer.beginValue();
    try buffer.writeBytes("abc");
    try buffer.endValue(value);
    try buffer.writeNull();
    try buffer.endMessage(message);
    try std.testing.expectEqualSlices(u8, "Q\x00\x00\x00\x11x\x00\x00\x00\x00\x03abc\xff\xff\xff\xff", buffer.bytes.items);
}

test "truncate takes a half-written message back" {
    var buffer: WriteBuffer = .init(std.testing.allocator);
    defer buffer.deinit();
    try buffer.writeBytes("kept");
    const mark = buffer.len();
    _ = try buffer.beginMessage('B');
    buffer.truncate(mark);
    try std.testing.expectEqualStrings("kept", buffer.bytes.items);
}
