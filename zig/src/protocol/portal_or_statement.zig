//! Describe, 'D', and Close, 'C', frontend to backend. Both name a prepared statement or a portal.
//! PostgreSQL docs: protocol-message-formats, "Describe (F)" and "Close (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const Target = enum(u8) { statement = 'S', portal = 'P' };

pub const describe = Named('D');
pub const close = Named('C');

fn Named(comptime message_type: u8) type {
    return struct {
        target: Target,
        name: []const u8,

        const Self = @This();

        /// `name`: empty for the unnamed one.
        pub fn encode(writer: *WriteBuffer, target: Target, name: []const u8) text.EncodeError!void {
            try text.check(name);
            const start = writer.len();
            errdefer writer.truncate(start);
            const mark = try writer.beginMessage(message_type);
            try writer.writeByte(@backingInt(target));
            try writer.writeCString(name);
            try writer.endMessage(mark);
        }

        /// What a scripted backend reads. `body`: the bytes after the length word. Borrowed.
        pub fn decode(body: []const u8) DecodeError!Self {
            var reader: Reader = .init(body);
            const target = std.enums.fromInt(Target, try reader.takeByte()) orelse return error.InvalidValue;
            const name = try reader.takeCString();
            try reader.end();
            return .{ .target = target, .name = name };
        }

        fn readAll(body: []const u8) DecodeError!void {
            _ = try decode(body);
        }
    };
}

test "Describe and Close: a statement or a portal by name" {
    inline for (.{ .{ 'D', describe }, .{ 'C', close } }) |pair| {
        const message_type, const message = pair;
        const table = [_]struct { []const u8, Target, []const u8 }{
            .{ [_]u8{message_type} ++ "\x00\x00\x00\x06S\x00", .statement, "" },
            .{ [_]u8{message_type} ++ "\x00\x00\x00\x08Pp1\x00", .portal, "p1" },
        };
        for (table) |case| {
            const bytes, const target, const name = case;
            try kit.expectWritten(bytes, message.encode, .{ target, name });
            try kit.expectAllocationFailures(message.encode, .{ target, name });
            const body = try kit.body(message_type, bytes);
            try std.testing.expectEqualDeep(message{ .target = target, .name = name }, try message.decode(body));
            try kit.expectPrefixesRefused(body, message.readAll);
        }
        try kit.expectRefused(error.NulInString, message.encode, .{ .statement, "s\x00" });
        try std.testing.expectError(error.InvalidValue, message.decode("Xs\x00"));
    }
}
