//! Fuzzes scram.zig with what a hostile backend may send.
const std = @import("std");
const scram = @import("scram.zig");

test "fuzz: a backend's messages give errors, and only the right signature finishes" {
    try std.testing.fuzz({}, converse, .{ .corpus = &.{
        "r=abcdef,s=c2FsdA==,i=1",
        "r=abcd,s=c2FsdA==,i=4294967296",
        "r=abcd,s=====,i=1",
        "e=other-error",
    } });
}

fn converse(_: void, smith: *std.testing.Smith) !void {
    const gpa = std.testing.allocator;
    var client: scram.Client = try .init(gpa, .{ .nonce = "abc", .iterations_max = 8 });
    defer client.deinit();
    _ = try client.clientFirst();

    var buffer: [160]u8 = undefined;
    const message = serverFirst(&buffer, smith);
    client.serverFirst(message) catch |err| switch (err) {
        error.OutOfMemory => return err,
        else => return std.testing.expectError(error.OutOfOrder, client.clientFinal()),
    };
    try std.testing.expect(std.mem.startsWith(u8, client.server_nonce, "abc"));
    try std.testing.expect(client.iterations >= 1 and client.iterations <= 8 and client.salt.len > 0);
    try client.useKeys(try .derive(gpa, "password", client.salt, client.iterations));
    _ = try client.clientFinal();

    const final = buffer[0..smith.slice(&buffer)];
    client.serverFinal(final) catch return std.testing.expect(!client.isFinished());
    var expected: [44]u8 = undefined;
    _ = std.base64.standard.Encoder.encode(&expected, &client.server_signature);
    try std.testing.expectEqualStrings(&expected, final[2..]);
}

/// Raw bytes, or something that has the right shape in most places: a fuzzer seldom finds the keywords.
fn serverFirst(buffer: *[160]u8, smith: *std.testing.Smith) []const u8 {
    if (smith.value(bool)) return buffer[0..smith.slice(buffer)];
    var nonce: [16]u8 = undefined;
    var salt: [16]u8 = undefined;
    const nonce_size = smith.slice(&nonce);
    const salt_size = smith.slice(&salt);
    return std.fmt.bufPrint(buffer, "r=abc{s},s={s},i={d}", .{
        nonce[0..nonce_size],
        salt[0..salt_size],
        smith.value(u8),
    }) catch unreachable; // 16 + 16 + 3 and the keywords fit
}
