//! jsonb, jsonpath and ltree: a version byte, then the type's own text.
//! PostgreSQL docs: datatype-json, "JSON Types"; ltree, "ltree — hierarchical tree-like data type".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

/// The only version there has been, for each of these types.
const version = 1;

/// The text behind the version byte.
pub inline fn decode(body: []const u8) DecodeError![]const u8 {
    if (body.len == 0 or body[0] != version) return error.InvalidValue;
    return body[1..];
}

/// Write the version byte; the text follows.
pub fn begin(writer: *protocol.WriteBuffer) EncodeError!void {
    try writer.writeByte(version);
}

pub fn encode(writer: *protocol.WriteBuffer, text: []const u8) EncodeError!void {
    try begin(writer);
    try writer.writeBytes(text);
}

const testing = @import("testing.zig");
const hex = testing.hex;

test "the version byte is taken off and put on" {
    inline for (.{
        .{ "{\"a\": 1}", "017b2261223a20317d" }, // jsonb_send
        .{ "$.\"a\"", "01242e226122" }, // jsonpath_send
        .{ "a.b", "01612e62" }, // ltree_send
        .{ "", "01" },
    }) |row| {
        try std.testing.expectEqualStrings(row[0], try decode(hex(row[1])));
        try testing.expectEncoded(encode, @as([]const u8, row[0]), hex(row[1]));
    }
}

test "an unknown version, or none, is an error" {
    inline for (.{ "", "00", "027b7d", "7b7d" }) |bad| try std.testing.expectError(error.InvalidValue, decode(hex(bad)));
}
