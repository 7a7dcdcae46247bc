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
