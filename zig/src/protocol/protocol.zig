//! The protocol layer: messages to bytes and bytes to messages, one file each. Imports std alone.
pub const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

test {
    @import("std").testing.refAllDecls(@This());
}
