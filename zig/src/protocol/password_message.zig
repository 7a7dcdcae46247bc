//! PasswordMessage, 'p', frontend to backend. Answers AuthenticationCleartextPassword with the
//! password and AuthenticationMD5Password with "md5" and 32 hexadecimal digits.
//! PostgreSQL docs: protocol-message-formats, "PasswordMessage (F)".
const std = @import("std");
const kit = @import("testing.zig");
const text = @import("text.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// `password`: encrypted where the backend asked for that.
pub fn encode(writer: *WriteBuffer, password: []const u8) text.EncodeError!void {
    try text.check(password);
    const start = writer.len();
    errdefer writer.truncate(start);
    const mark = try writer.beginMessage('p');
    try writer.writeCString(password);
    try writer.endMessage(mark);
}

/// What a scripted backend reads: the password.
pub fn decode(body: []const u8) DecodeError![]const u8 {
    var reader: Reader = .init(body);
    const password = try reader.takeCString();
    try reader.end();
    return password;
}

fn readAll(body: []const u8) DecodeError!void {
    _ = try decode(body);
}

test "PasswordMessage: one String" {
    const table = [_]struct { []const u8, []const u8 }{
        .{ "p\x00\x00\x00\x05\x00", "" },
        .{ "p\x00\x00\x00\x0bsecret\x00", "secret" },
    };
    for (table) |case| {
        try kit.expectWritten(case[0], encode, .{case[1]});
        const body = try kit.body('p', case[0]);
        try std.testing.expectEqualStrings(case[1], try decode(body));
        try kit.expectPrefixesRefused(body, readAll);
    }
    const password: []const u8 = "secret";
    try kit.expectAllocationFailures(encode, .{password});
    try kit.expectRefused(error.NulInString, encode, .{"sec\x00ret"});
}
