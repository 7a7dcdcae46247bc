//! Authentication*, 'R', backend to frontend. Says how the frontend must prove who it is, carries
//! the steps of a SASL exchange, and says when it is done.
//! PostgreSQL docs: protocol-message-formats, "AuthenticationOk (B)" and those after it.
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

pub const Authentication = union(enum) {
    ok,
    cleartext_password,
    /// The salt.
    md5_password: [4]u8,
    sasl: Mechanisms,
    /// The server's challenge.
    sasl_continue: []const u8,
    /// The server's proof that it knows the password.
    sasl_final: []const u8,
    /// A method we do not speak, by its code.
    unsupported: u32,

    /// The names of the mechanisms, in the server's order of preference.
    pub const Mechanisms = struct {
        reader: Reader,

        pub fn next(self: *Mechanisms) DecodeError!?[]const u8 {
            const name = try self.reader.takeCString();
            if (name.len != 0) return name;
            try self.reader.end();
            return null;
        }

        pub fn contains(self: Mechanisms, wanted: []const u8) DecodeError!bool {
            var copy = self;
            while (try copy.next()) |name| {
                if (std.mem.eql(u8, name, wanted)) return true;
            }
            return false;
        }
    };

    /// `body`: the bytes after the length word. Borrowed.
    pub fn decode(body: []const u8) DecodeError!Authentication {
        var reader: Reader = .init(body);
        const authentication: Authentication = switch (try reader.takeInt(u32)) {
            0 => .ok,
            3 => .cleartext_password,
            5 => .{ .md5_password = (try reader.takeBytes(4))[0..4].* },
            10 => return .{ .sasl = try mechanisms(reader) },
            11 => .{ .sasl_continue = reader.takeRest() },
            12 => .{ .sasl_final = reader.takeRest() },
            else => |code| {
                return .{ .unsupported = code };
            },
        };
        try reader.end();
        return authentication;
    }

    /// Walked once here, so that what is handed out is known to be whole and to name at least one.
    fn mechanisms(reader: Reader) DecodeError!Mechanisms {
        const list: Mechanisms = .{ .reader = reader };
        var copy = list;
        if (try copy.next() == null) return error.InvalidValue;
        while (try copy.next()) |_| {}
        return list;
    }

    /// What the manual calls the method with this code, for the error message.
    pub fn unsupportedName(code: u32) []const u8 {
        return switch (code) {
            2 => "KerberosV5",
            4 => "crypt",
            6 => "SCM credentials",
            7, 8 => "GSSAPI",
            9 => "SSPI",
            else => "unknown",
        };
    }

    /// For scripted backends. `data`: all of the body after `code`.
    pub fn encode(writer: *WriteBuffer, code: u32, data: []const u8) WriteBuffer.Error!void {
        const mark = try writer.beginMessage('R');
        try writer.writeInt(u32, code);
        try writer.writeBytes(data);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try Authentication.decode(body);
}

test "Authentication: ok, cleartext, md5, SASL steps, and methods we do not speak" {
    const table = [_]struct { []const u8, u32, []const u8, Authentication }{
        .{ "R\x00\x00\x00\x08\x00\x00\x00\x00", 0, "", .ok },
        .{ "R\x00\x00\x00\x08\x00\x00\x00\x03", 3, "", .cleartext_password },
        .{ "R\x00\x00\x00\x0c\x00\x00\x00\x05salt", 5, "salt", .{ .md5_password = "salt".* } },
        .{ "R\x00\x00\x00\x0d\x00\x00\x00\x0br=abc", 11, "r=abc", .{ .sasl_continue = "r=abc" } },
        .{ "R\x00\x00\x00\x0b\x00\x00\x00\x0cv=x", 12, "v=x", .{ .sasl_final = "v=x" } },
        .{ "R\x00\x00\x00\x08\x00\x00\x00\x07", 7, "", .{ .unsupported = 7 } },
        .{ "R\x00\x00\x00\x0a\x00\x00\x00\x08xy", 8, "xy", .{ .unsupported = 8 } },
    };
    for (table) |case| {
        const bytes, const code, const data, const expected = case;
        try kit.expectWritten(bytes, Authentication.encode, .{ code, data });
        const body = try kit.body('R', bytes);
        try std.testing.expectEqualDeep(expected, try Authentication.decode(body));
        for (0..4) |size| try std.testing.expectError(error.MessageTooShort, readAll(body[0..size]));
    }
    for (table[0..3]) |case| try kit.expectPrefixesRefused(case[0][5..], readAll);
    try std.testing.expectEqualStrings("GSSAPI", Authentication.unsupportedName(7));
    try std.testing.expectEqualStrings("unknown", Authentication.unsupportedName(4711));
}

test "AuthenticationSASL: at least one mechanism, an empty name at the end" {
    const data = "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00";
    const bytes = "R\x00\x00\x00\x2a\x00\x00\x00\x0a" ++ data;
    try kit.expectWritten(bytes, Authentication.encode, .{ @as(u32, 10), data });
    const body = try kit.body('R', bytes);
    var list = (try Authentication.decode(body)).sasl;
    try std.testing.expect(try list.contains("SCRAM-SHA-256"));
    try std.testing.expect(!try list.contains("SCRAM-SHA-1"));
    try std.testing.expectEqualStrings("SCRAM-SHA-256-PLUS", (try list.next()).?);
    try std.testing.expectEqualStrings("SCRAM-SHA-256", (try list.next()).?);
    try std.testing.expectEqual(null, try list.next());
    try kit.expectPrefixesRefused(body, readAll);
    try std.testing.expectError(error.InvalidValue, readAll("\x00\x00\x00\x0a\x00"));
}
