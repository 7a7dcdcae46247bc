//! StartupMessage, frontend to backend, without a type byte. Opens a session: the protocol version
//! and the run-time parameters, `user` first among them.
//! PostgreSQL docs: protocol-message-formats, "StartupMessage (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const Parameter = struct { name: []const u8, value: []const u8 };

/// Major in the upper half, minor in the lower.
pub const version_3_0: u32 = 3 << 16;
/// Secret keys of any length; understood from PostgreSQL 18 on, older servers negotiate 3.0.
pub const version_3_2: u32 = 3 << 16 | 2;

/// The backend refuses a longer one ("invalid length of startup packet").
pub const size_max = 10_000;

/// `parameters`: written in order. An empty name would end the list early and is refused with
/// `InvalidParameter`.
pub fn encode(
    writer: *WriteBuffer,
    version: u32,
    parameters: []const Parameter,
) (text.EncodeError || error{InvalidParameter})!void {
    for (parameters) |parameter| {
        if (parameter.name.len == 0) return error.InvalidParameter;
        try text.check(parameter.name);
        try text.check(parameter.value);
    }
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginStartup();
    try writer.writeInt(u32, version);
    for (parameters) |parameter| {
        try writer.writeCString(parameter.name);
        try writer.writeCString(parameter.value);
    }
    try writer.writeByte(0);
    if (writer.len() - start > size_max) return error.MessageTooLong;
    try writer.endMessage(mark);
}

/// What a scripted backend reads: the version, and the parameters one by one.
pub const StartupMessage = struct {
    version: u32,
    reader: Reader,

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!StartupMessage {
        var reader: Reader = .init(body);
        return .{ .version = try reader.takeInt(u32), .reader = reader };
    }

    pub fn next(self: *StartupMessage) DecodeError!?Parameter {
        const name = try self.reader.takeCString();
        if (name.len == 0) {
            try self.reader.end();
            return null;
        }
        return .{ .name = name, .value = try self.reader.takeCString() };
    }
};

fn readAll(body: []const u8) DecodeError!void {
    var message: StartupMessage = try .decode(body);
    while (try message.next()) |_| {}
}

test "StartupMessage: version, parameters, a NUL behind the last" {
    const bytes = "\x00\x00\x00\x20\x00\x03\x00\x02user\x00me\x00options\x00-c x=1\x00\x00";
    const parameters: []const Parameter = &.{
        .{ .name = "user", .value = "me" },
        .{ .name = "options", .value = "-c x=1" },
    };
    try std.testing.expectEqual(0x20, bytes.len);
    try kit.expectWritten(bytes, encode, .{ version_3_2, parameters });
    try kit.expectAllocationFailures(encode, .{ version_3_2, parameters });

    var message: StartupMessage = try .decode(bytes[4..]);
    try std.testing.expectEqual(version_3_2, message.version);
    for (parameters) |expected| {
        const parameter = (try message.next()).?;
        try std.testing.expectEqualStrings(expected.name, parameter.name);
        try std.testing.expectEqualStrings(expected.value, parameter.value);
    }
    try std.testing.expectEqual(null, try message.next());
    try kit.expectPrefixesRefused(bytes[4..], readAll);
}

test "StartupMessage: a NUL, an empty name and more than the backend takes are refused" {
    const long = kit.repeat('x', size_max);
    const refused = [_]struct { anyerror, Parameter }{
        .{ error.NulInString, .{ .name = "us\x00er", .value = "me" } },
        .{ error.NulInString, .{ .name = "user", .value = "me\x00database\x00other" } },
        .{ error.InvalidParameter, .{ .name = "", .value = "me" } },
        .{ error.MessageTooLong, .{ .name = "user", .value = long } },
    };
    for (refused) |case| {
        const parameters: []const Parameter = &.{case[1]};
        try kit.expectRefused(case[0], encode, .{ version_3_0, parameters });
    }
}
