//! uuid: sixteen bytes in the order they are printed.
//! PostgreSQL docs: datatype-uuid, "UUID Type".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub inline fn decode(body: []const u8) DecodeError![16]u8 {
    if (body.len != 16) return error.InvalidValue;
    return body[0..16].*;
}

pub fn encode(writer: *protocol.WriteBuffer, value: [16]u8) EncodeError!void {
    try writer.writeBytes(&value);
}

const testing = @import("testing.zig");

test "a uuid is sixteen bytes, no more and no fewer" {
    const body = testing.hex("a0eebc999c0b4ef8bb6d6bb9bd380a11");
    try std.testing.expectEqual(body.*, try decode(body));
    try testing.expectEncoded(encode, body.*, body);
    try testing.checkBytes(decode, body);
}
