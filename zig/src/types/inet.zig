//! inet and cidr: family, prefix length, whether it is a cidr, address length, address; and their
//! text as the server prints it.
//! PostgreSQL docs: datatype-net-types, "Network Address Types".
const std = @import("std");
const protocol = @import("protocol");
const errors = @import("errors.zig");
const Cursor = @import("cursor.zig").Cursor;
const DecodeError = errors.DecodeError;
const EncodeError = errors.EncodeError;

pub const Family = enum(u8) {
    // The server's own numbers: its AF_INET and the one after it, whatever the platform's are.
    ipv4 = 2,
    ipv6 = 3,

    pub fn size(self: Family) u8 {
        return if (self == .ipv4) 4 else 16;
    }
};

pub const Address = struct {
    family: Family,
    /// Bits of the network part, up to 32 or 128.
    prefix: u8,
    /// True for cidr, false for inet.
    is_cidr: bool,
    /// The first `family.size()` bytes count.
    bytes: [16]u8,
};

/// The longest text: eight groups of four, or six and a dotted quad, and `/128`.
pub const text_max = 64;

pub fn decode(body: []const u8) DecodeError!Address {
    var cursor: Cursor = .init(body);
    const family: Family = switch (try cursor.int(u8)) {
        @backingInt(Family.ipv4) => .ipv4,
        @backingInt(Family.ipv6) => .ipv6,
        else => return error.InvalidValue,
    };
    const prefix = try cursor.int(u8);
    const is_cidr = try cursor.int(u8);
    if (prefix > @as(u16, family.size()) * 8 or is_cidr > 1) return error.InvalidValue;
    if (try cursor.int(u8) != family.size()) return error.InvalidValue;
    var address: Address = .{ .family = family, .prefix = prefix, .is_cidr = is_cidr == 1, .bytes = @splat(0) };
    const bytes = try cursor.take(family.size());
    @memcpy(address.bytes[0..bytes.len], bytes);
    try cursor.finish();
    return address;
}

/// OutOfRange for a prefix longer than the address; InvalidValue for a cidr with host bits set.
pub fn encode(writer: *protocol.WriteBuffer, value: Address) EncodeError!void {
    const size = value.family.size();
    if (value.prefix > @as(u16, size) * 8) return error.OutOfRange;
    if (value.is_cidr and hasHostBits(value)) return error.InvalidValue;
    try writer.writeBytes(&.{ @backingInt(value.family), value.prefix, @intFromBool(value.is_cidr), size });
    try writer.writeBytes(value.bytes[0..size]);
}

fn hasHostBits(value: Address) bool {
    for (value.bytes[0..value.family.size()], 0..) |byte, i| {
        const network_bits = std.math.clamp(@as(i16, value.prefix) - @as(i16, @intCast(i * 8)), 0, 8);
        const host_mask = @as(u16, 0xff) >> @intCast(network_bits);
        if (byte & host_mask != 0) return true;
    }
    return false;
}

/// The address, then `/` and the prefix: always for cidr, for inet where it is not the whole address.
pub fn toText(body: []const u8, out: *[text_max]u8) DecodeError![]u8 {
    const address = try decode(body);
    var writer: std.Io.Writer = .fixed(out);
    writeAddress(&writer, &address) catch unreachable; // text_max holds the longest
    return writer.buffered();
}

fn writeAddress(writer: *std.Io.Writer, address: *const Address) std.Io.Writer.Error!void {
    switch (address.family) {
        .ipv4 => try writeQuad(writer, address.bytes[0..4]),
        .ipv6 => try writeGroups(writer, &address.bytes),
    }
    if (address.is_cidr or address.prefix != address.family.size() * 8) try writer.print("/{d}", .{address.prefix});
}

fn writeQuad(writer: *std.Io.Writer, bytes: *const [4]u8) std.Io.Writer.Error!void {
    try writer.print("{d}.{d}.{d}.{d}", .{ bytes[0], bytes[1], bytes[2], bytes[3] });
}

/// The first longest run of two or more zero groups becomes `::`. An address of six zero groups,
/// or five and ffff, and then something, ends in a dotted quad.
fn writeGroups(writer: *std.Io.Writer, bytes: *const [16]u8) std.Io.Writer.Error!void {
    var groups: [8]u16 = undefined;
    for (&groups, 0..) |*group, i| group.* = std.mem.readInt(u16, bytes[i * 2 ..][0..2], .big);
    const run = zeroRun(&groups);
    const quad = run.start == 0 and (run.length == 6 or (run.length == 5 and groups[5] == 0xffff));
    const group_count: usize = if (quad) 6 else 8;
    var i: usize = 0;
    while (i < group_count) {
        if (run.length > 0 and i == run.start) {
            try writer.writeAll("::");
            i += run.length;
            continue;
        }
        const after_run = run.length > 0 and i == run.start + run.length;
        if (i != 0 and !after_run) try writer.writeByte(':');
        try writer.print("{x}", .{groups[i]});
        i += 1;
    }
    if (!quad) return;
    if (run.length == 5) try writer.writeByte(':');
    try writeQuad(writer, bytes[12..16]);
}

const Run = struct { start: usize, length: usize };

fn zeroRun(groups: *const [8]u16) Run {
    var best: Run = .{ .start = 8, .length = 0 };
    var i: usize = 0;
    while (i < groups.len) : (i += 1) {
        const start = i;
        while (i < groups.len and groups[i] == 0) i += 1;
        if (i - start >= 2 and i - start > best.length) best = .{ .start = start, .length = i - start };
    }
    return best;
}

const testing = @import("testing.zig");
const hex = testing.hex;

/// Text and bytes from the server's inet_out and inet_send, cidr_out and cidr_send.
const rows = .{
    .{ "127.0.0.1", "022000047f000001" },
    .{ "192.168.1.5/24", "02180004c0a80105" },
    .{ "0.0.0.0/0", "0200000400000000" },
    .{ "255.255.255.255", "02200004ffffffff" },
    .{ "::", "0380001000000000000000000000000000000000" },
    .{ "::1", "0380001000000000000000000000000000000001" },
    .{ "::2", "0380001000000000000000000000000000000002" },
    .{ "1::", "0380001000010000000000000000000000000000" },
    .{ "2001:db8::1/64", "0340001020010db8000000000000000000000001" },
    .{ "1:2:3:4:5:6:7:8", "0380001000010002000300040005000600070008" },
    .{ "::ffff:1.2.3.4", "0380001000000000000000000000ffff01020304" },
    .{ "::1.2.3.4", "0380001000000000000000000000000001020304" },
    .{ "1:0:0:2::3", "0380001000010000000000020000000000000003" },
    .{ "1:0:2:0:3:0:4:0", "0380001000010000000200000003000000040000" },
    .{ "::1:1:1:1:1:1", "0380001000000000000100010001000100010001" },
    .{ "1:1:1:1:1:1::", "0380001000010001000100010001000100000000" },
    .{ "::ffff:0.0.0.0/96", "0360001000000000000000000000ffff00000000" },
    .{ "fe80::1", "03800010fe800000000000000000000000000001" },
    .{ "::ffff:0:102:304", "038000100000000000000000ffff000001020304" },
    .{ "::ffff:0.1.0.2", "0380001000000000000000000000ffff00010002" },
    .{ "::1:2:3", "0380001000000000000000000000000100020003" },
    .{ "::0.5.0.0", "0380001000000000000000000000000000050000" },
    .{ "0:1::", "0380001000000001000000000000000000000000" },
    .{ "1::2:0:0:0", "0380001000010000000000000002000000000000" },
    .{ "1::2:0:0:3:4", "0380001000010000000000020000000000030004" },
    .{ "10.0.0.0/8", "020801040a000000" },
    .{ "192.168.1.5/32", "02200104c0a80105" },
    .{ "::/0", "0300011000000000000000000000000000000000" },
    .{ "2001:db8::/32", "0320011020010db8000000000000000000000000" },
    .{ "::1/128", "0380011000000000000000000000000000000001" },
};

fn fixedText(body: []const u8) DecodeError![text_max]u8 {
    var out: [text_max]u8 = @splat(0);
    _ = try toText(body, &out);
    return out;
}

test "addresses print as the server prints them, and encode to the same bytes" {
    inline for (rows) |row| {
        const body = hex(row[1]);
        var out: [text_max]u8 = undefined;
        try std.testing.expectEqualStrings(row[0], try toText(body, &out));
        try testing.expectEncoded(encode, try decode(body), body);
        try testing.checkBytes(fixedText, body);
    }
}

test "a family, prefix or size that does not fit the others is an error" {
    inline for (.{
        "012000047f000001",                         "022100047f000001", "022000057f00000100", "022002047f000001", "032000047f000001",
        "0381001000000000000000000000000000000000",
    }) |bad| try std.testing.expectError(error.InvalidValue, decode(hex(bad)));
}

test "a cidr with host bits, or a prefix too long, cannot be sent" {
    var address = try decode(hex("02180004c0a80105"));
    address.is_cidr = true;
    try testing.expectEncodeError(error.InvalidValue, encode, address);
    address.prefix = 31;
    try testing.expectEncodeError(error.InvalidValue, encode, address);
    address.prefix = 32;
    try testing.expectEncoded(encode, address, hex("02200104c0a80105"));
    address.prefix = 33;
    try testing.expectEncodeError(error.OutOfRange, encode, address);
}

fn fuzzInet(_: void, smith: *std.testing.Smith) anyerror!void {
    var body: [20]u8 = undefined;
    body[0..4].* = .{ 3, 128, 0, 16 };
    smith.bytes(body[4..]);
    var out: [text_max]u8 = undefined;
    const printed = try toText(&body, &out);
    const parsed = try std.Io.net.Ip6Address.parse(printed, 0);
    try std.testing.expectEqualSlices(u8, body[4..], &parsed.bytes);
}

test "fuzz: the text of an IPv6 address denotes the same address" {
    try std.testing.fuzz({}, fuzzInet, .{});
}
