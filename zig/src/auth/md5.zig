//! The answer to AuthenticationMD5Password: "md5", then md5(md5(password, user), salt) in hexadecimal.
//! PostgreSQL docs: protocol-flow, "Start-up", AuthenticationMD5Password.
const std = @import("std");
const Md5 = std.crypto.hash.Md5;

pub const answer_size = 3 + 2 * Md5.digest_length;

/// The text of the PasswordMessage, without the NUL that ends it.
pub fn answer(password: []const u8, user: []const u8, salt: [4]u8) [answer_size]u8 {
    var inner: [2 * Md5.digest_length]u8 = hash(password, user);
    defer std.crypto.secureZero(u8, &inner); // what the backend stores: as good as the password
    return "md5".* ++ hash(&inner, &salt);
}

fn hash(first: []const u8, second: []const u8) [2 * Md5.digest_length]u8 {
    var state = Md5.init(.{});
    defer std.crypto.secureZero(u8, std.mem.asBytes(&state));
    state.update(first);
    state.update(second);
    return std.fmt.bytesToHex(state.finalResult(), .lower);
}

test "answers that other implementations gave" {
    const table = [_]struct { []const u8, []const u8, [4]u8, []const u8 }{
        .{ "secret", "alice", .{ 1, 2, 3, 4 }, "md598a0412b9c31436fc53776e863350083" },
        .{ "", "", .{ 0, 0, 0, 0 }, "md591b86670dcd47857d222fa05653500aa" },
        .{ "p\u{e4}ss", "u\u{f6}", .{ 255, 254, 0, 10 }, "md55bdb55c1fda2ad845298bb0f813182f5" },
    };
    for (table) |row| try std.testing.expectEqualStrings(row[3], &answer(row[0], row[1], row[2]));
}
