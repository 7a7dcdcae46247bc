//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the frontend's side (RFC 5802, RFC 7677).
//!
//! Four messages: client-first, server-first, client-final, server-final. The nonce comes in from the
//! caller and nothing here waits or draws random numbers, so a conversation can be replayed. The costly
//! part, `Keys.derive`, stands apart: it may run on another thread, and its result may be kept.
//! PostgreSQL docs: sasl-authentication, "SCRAM-SHA-256 Authentication".
const std = @import("std");
const saslprep = @import("saslprep.zig");

const Allocator = std.mem.Allocator;
const HmacSha256 = std.crypto.auth.hmac.sha2.HmacSha256;
const Sha256 = std.crypto.hash.sha2.Sha256;
const base64 = std.base64.standard;

pub const key_size = Sha256.digest_length;
pub const Key = [key_size]u8;

/// A server-first message is about 100 bytes; nothing honest comes near this.
const message_size_max = 16 * 1024;

/// The GS2 header: whether and how the TLS connection underneath is tied in.
pub const Binding = enum {
    /// Channel binding is not supported here, or switched off.
    unsupported,
    /// Supported here, and the backend did not offer it: a man in the middle who hid the offer is found out.
    not_offered,
    /// Bound to the hash of the backend's certificate (RFC 5929).
    tls_server_end_point,

    pub fn header(self: Binding) []const u8 {
        return switch (self) {
            .unsupported => "n,,",
            .not_offered => "y,,",
            .tls_server_end_point => "p=tls-server-end-point,,",
        };
    }
};

pub const Options = struct {
    /// Fresh random text without commas.
    nonce: []const u8,
    binding: Binding = .unsupported,
    /// The certificate's hash, with `tls_server_end_point`.
    binding_data: []const u8 = "",
    /// The most rounds of PBKDF2 that a backend may ask for.
    iterations_max: u32 = 100_000,
};

/// What PBKDF2 makes of a password for one salt and iteration count. As secret as the password.
pub const Keys = struct {
    client_key: Key,
    server_key: Key,

    pub fn derive(
        gpa: Allocator,
        password: []const u8,
        salt: []const u8,
        iterations: u32,
    ) error{OutOfMemory}!Keys {
        const prepared = try saslprep.prepareOrRaw(gpa, password);
        defer {
            std.crypto.secureZero(u8, prepared);
            gpa.free(prepared);
        }
        var salted = saltPassword(prepared, salt, iterations);
        defer std.crypto.secureZero(u8, &salted);
        var keys: Keys = undefined;
        HmacSha256.create(&keys.client_key, "Client Key", &salted);
        HmacSha256.create(&keys.server_key, "Server Key", &salted);
        return keys;
    }

    pub fn wipe(self: *Keys) void {
        std.crypto.secureZero(u8, &self.client_key);
        std.crypto.secureZero(u8, &self.server_key);
    }
};

/// PBKDF2 with HMAC-SHA-256, one block. The keyed hash states are made once: half the work of
/// keying every round anew.
fn saltPassword(password: []const u8, salt: []const u8, iterations: u32) Key {
    std.debug.assert(iterations > 0);
    var keyed = HmacSha256.init(password);
    var outer = Sha256.init(.{});
    outer.update(&keyed.o_key_pad);
    defer std.crypto.secureZero(u8, std.mem.asBytes(&keyed));
    defer std.crypto.secureZero(u8, std.mem.asBytes(&outer));

    var round: Key = undefined;
    defer std.crypto.secureZero(u8, &round);
    var first = keyed;
    first.update(salt);
    first.update("\x00\x00\x00\x01");
    first.final(&round);

    var result = round;
    for (1..iterations) |_| {
        var inside = keyed.hash;
        inside.update(&round);
        inside.final(&round);
        var outside = outer;
        outside.update(&round);
        outside.final(&round);
        for (&result, round) |*byte, other| byte.* ^= other;
    }
    return result;
}

pub const InitError = error{ OutOfMemory, BadNonce, BadBinding };

pub const ServerFirstError = error{
    OutOfMemory,
    OutOfOrder,
    Malformed,
    /// The backend's nonce does not begin with ours, or adds nothing to it.
    ForeignNonce,
    TooManyIterations,
};

pub const ServerFinalError = error{
    OutOfOrder,
    Malformed,
    /// The backend answered `e=…`; see `serverError`.
    Rejected,
    /// The backend does not know the password: it is not who it claims to be.
    WrongSignature,
};

pub const ClientError = error{ OutOfMemory, OutOfOrder };

/// One conversation.
pub const Client = struct {
    gpa: Allocator,
    binding: Binding,
    binding_data: []u8,
    nonce: []u8,
    iterations_max: u32,
    state: State = .start,
    /// The message last made for the backend.
    output: std.ArrayList(u8) = .empty,
    server_first: []u8 = &.{},
    /// The whole nonce, inside `server_first`.
    server_nonce: []const u8 = &.{},
    salt: []u8 = &.{},
    iterations: u32 = 0,
    keys: Keys = undefined,
    server_signature: Key = undefined,
    /// The value of `e=`, cut and cleaned for a message.
    server_error_buffer: [64]u8 = undefined,
    server_error_size: usize = 0,

    const State = enum { start, first_sent, challenged, keyed, final_sent, finished, failed };

    pub fn init(gpa: Allocator, options: Options) InitError!Client {
        if (options.nonce.len == 0 or !isNonce(options.nonce)) return error.BadNonce;
        const bound = options.binding == .tls_server_end_point;
        if (bound != (options.binding_data.len > 0)) return error.BadBinding;
        const nonce = try gpa.dupe(u8, options.nonce);
        errdefer gpa.free(nonce);
        return .{
            .gpa = gpa,
            .binding = options.binding,
            .binding_data = try gpa.dupe(u8, options.binding_data),
            .nonce = nonce,
            .iterations_max = options.iterations_max,
        };
    }

    pub fn deinit(self: *Client) void {
        self.keys.wipe();
        std.crypto.secureZero(u8, &self.server_signature);
        self.output.deinit(self.gpa);
        self.gpa.free(self.server_first);
        self.gpa.free(self.salt);
        self.gpa.free(self.nonce);
        self.gpa.free(self.binding_data);
        self.* = undefined;
    }

    /// The client-first message, valid until the next call. The user name is empty: the backend takes
    /// the one of the startup message.
    pub fn clientFirst(self: *Client) ClientError![]const u8 {
        if (self.state != .start) return error.OutOfOrder;
        self.output.clearRetainingCapacity();
        try self.append(&.{ self.binding.header(), "n=,r=", self.nonce });
        self.state = .first_sent;
        return self.output.items;
    }

    /// Take the server-first message: `r=<nonce>,s=<salt>,i=<iterations>`.
    pub fn serverFirst(self: *Client, message: []const u8) ServerFirstError!void {
        if (self.state != .first_sent) return error.OutOfOrder;
        errdefer self.state = .failed;
        if (message.len > message_size_max) return error.Malformed;
        self.server_first = try self.gpa.dupe(u8, message);
        var rest: []const u8 = self.server_first;
        const nonce = try takeAttribute(&rest, 'r');
        const salt = try takeAttribute(&rest, 's');
        const iterations = try takeAttribute(&rest, 'i');
        // An extension could change what the rest means; PostgreSQL sends none.
        if (rest.len != 0) return error.Malformed;

        if (!isNonce(nonce)) return error.Malformed;
        if (nonce.len <= self.nonce.len or !std.mem.startsWith(u8, nonce, self.nonce)) return error.ForeignNonce;
        self.server_nonce = nonce;
        self.salt = try decodeSalt(self.gpa, salt);
        self.iterations = try parseIterations(iterations);
        if (self.iterations > self.iterations_max) return error.TooManyIterations;
        self.state = .challenged;
    }

    /// Give the keys for `salt` and `iterations`, derived or remembered.
    pub fn useKeys(self: *Client, keys: Keys) error{OutOfOrder}!void {
        if (self.state != .challenged) return error.OutOfOrder;
        self.keys = keys;
        self.state = .keyed;
    }

    pub fn isChallenged(self: *const Client) bool {
        return self.state == .challenged;
    }

    /// The client-final message, valid until the next call.
    pub fn clientFinal(self: *Client) ClientError![]const u8 {
        if (self.state != .keyed) return error.OutOfOrder;
        errdefer self.state = .failed;
        const header = self.binding.header();
        const bound = try std.mem.concat(self.gpa, u8, &.{ header, self.binding_data });
        defer self.gpa.free(bound);

        self.output.clearRetainingCapacity();
        try self.append(&.{ "n=,r=", self.nonce, ",", self.server_first, "," });
        const bare = self.output.items.len;
        try self.append(&.{"c="});
        try self.appendBase64(bound);
        try self.append(&.{ ",r=", self.server_nonce });
        // What is in `output` now is the AuthMessage of RFC 5802, section 3.
        const proof = self.prove(self.output.items);
        self.output.replaceRangeAssumeCapacity(0, bare, "");
        try self.append(&.{",p="});
        try self.appendBase64(&proof);
        self.state = .final_sent;
        return self.output.items;
    }

    /// Take the server-final message, `v=<signature>` or `e=<error>`. Only after this has succeeded has
    /// the backend shown that it knows the password too.
    pub fn serverFinal(self: *Client, message: []const u8) ServerFinalError!void {
        if (self.state != .final_sent) return error.OutOfOrder;
        errdefer self.state = .failed;
        if (std.mem.startsWith(u8, message, "e=")) {
            self.keepServerError(message[2..]);
            return error.Rejected;
        }
        if (!std.mem.startsWith(u8, message, "v=")) return error.Malformed;
        const encoded = message[2..];
        const size = base64.Decoder.calcSizeForSlice(encoded) catch return error.Malformed;
        if (size != key_size) return error.Malformed;
        var signature: Key = undefined;
        base64.Decoder.decode(&signature, encoded) catch return error.Malformed;
        if (!std.crypto.timing_safe.eql(Key, signature, self.server_signature)) return error.WrongSignature;
        self.state = .finished;
    }

    pub fn isFinished(self: *const Client) bool {
        return self.state == .finished;
    }

    /// After `error.Rejected`: the backend's reason, printable ASCII.
    pub fn serverError(self: *const Client) []const u8 {
        return self.server_error_buffer[0..self.server_error_size];
    }

    fn keepServerError(self: *Client, text: []const u8) void {
        self.server_error_size = @min(text.len, self.server_error_buffer.len);
        for (self.server_error_buffer[0..self.server_error_size], text[0..self.server_error_size]) |*kept, byte| {
            kept.* = if (std.ascii.isPrint(byte)) byte else '?';
        }
    }

    /// The proof for the backend; notes the signature that it must answer with.
    fn prove(self: *Client, auth_message: []const u8) Key {
        var stored_key: Key = undefined;
        defer std.crypto.secureZero(u8, &stored_key);
        Sha256.hash(&self.keys.client_key, &stored_key, .{});
        var proof: Key = undefined;
        HmacSha256.create(&proof, auth_message, &stored_key);
        for (&proof, self.keys.client_key) |*byte, other| byte.* ^= other;
        HmacSha256.create(&self.server_signature, auth_message, &self.keys.server_key);
        return proof;
    }

    fn append(self: *Client, parts: []const []const u8) error{OutOfMemory}!void {
        for (parts) |part| try self.output.appendSlice(self.gpa, part);
    }

    fn appendBase64(self: *Client, bytes: []const u8) error{OutOfMemory}!void {
        const room = try self.output.addManyAsSlice(self.gpa, base64.Encoder.calcSize(bytes.len));
        _ = base64.Encoder.encode(room, bytes);
    }
};

/// RFC 5802, section 7, `printable`: visible ASCII without the comma.
fn isNonce(text: []const u8) bool {
    for (text) |byte| if (byte < 0x21 or byte > 0x7e or byte == ',') return false;
    return true;
}

/// Take `<name>=<value>` and the comma behind it from the front of `rest`.
fn takeAttribute(rest: *[]const u8, name: u8) error{Malformed}![]const u8 {
    const text = rest.*;
    if (text.len < 2 or text[0] != name or text[1] != '=') return error.Malformed;
    const end = std.mem.indexOfScalar(u8, text, ',') orelse text.len;
    // A comma promises another attribute.
    if (end + 1 == text.len) return error.Malformed;
    rest.* = if (end == text.len) "" else text[end + 1 ..];
    return text[2..end];
}

fn decodeSalt(gpa: Allocator, encoded: []const u8) error{ OutOfMemory, Malformed }![]u8 {
    const size = base64.Decoder.calcSizeForSlice(encoded) catch return error.Malformed;
    if (size == 0) return error.Malformed;
    const salt = try gpa.alloc(u8, size);
    errdefer gpa.free(salt);
    base64.Decoder.decode(salt, encoded) catch return error.Malformed;
    return salt;
}

/// RFC 5802, section 7, `posit-number`. A number too large for 32 bits is too many, not malformed.
fn parseIterations(text: []const u8) error{ Malformed, TooManyIterations }!u32 {
    if (text.len == 0 or text[0] == '0') return error.Malformed;
    var value: u32 = 0;
    for (text) |byte| if (!std.ascii.isDigit(byte)) return error.Malformed;
    for (text) |byte| {
        value = std.math.mul(u32, value, 10) catch return error.TooManyIterations;
        value = std.math.add(u32, value, byte - '0') catch return error.TooManyIterations;
    }
    return value;
}

const testing = std.testing;

/// RFC 7677, section 3, with the user name left to the startup message, as PostgreSQL has it. The RFC's
/// own user name changes the AuthMessage, so its vectors are checked on `Keys` in the next test.
const rfc = struct {
    const password = "pencil";
    const nonce = "rOprNGfwEbeRWgbNEkqO";
    const server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO," ++ server_first ++
        ",c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
};

fn testClient(options: Options) !Client {
    return .init(testing.allocator, options);
}

test "RFC 7677, section 3: proof and signature" {
    var client = try testClient(.{ .nonce = rfc.nonce });
    defer client.deinit();
    try testing.expectEqualStrings("n,,n=,r=" ++ rfc.nonce, try client.clientFirst());
    try client.serverFirst(rfc.server_first);
    try testing.expectEqual(@as(u32, 4096), client.iterations);
    try client.useKeys(try .derive(testing.allocator, rfc.password, client.salt, client.iterations));
    var encoded: [44]u8 = undefined;
    try testing.expectEqualStrings(rfc.proof, base64.Encoder.encode(&encoded, &client.prove(rfc.auth_message)));
    try testing.expectEqualStrings(rfc.signature, base64.Encoder.encode(&encoded, &client.server_signature));
}

test "a conversation as a PostgreSQL backend leads it, for every binding" {
    const table = [_]struct { binding: Binding, data: []const u8, channel: []const u8 }{
        .{ .binding = .unsupported, .data = "", .channel = "c=biws" },
        .{ .binding = .not_offered, .data = "", .channel = "c=eSws" },
        .{
            .binding = .tls_server_end_point,
            .data = "hash",
            .channel = "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsaGFzaA==",
        },
    };
    for (table) |row| {
        var client = try testClient(.{ .nonce = "abc", .binding = row.binding, .binding_data = row.data });
        defer client.deinit();
        _ = try client.clientFirst();
        try client.serverFirst("r=abcdef,s=c2FsdA==,i=1");
        try testing.expectEqualStrings("salt", client.salt);
        try client.useKeys(try .derive(testing.allocator, "secret", client.salt, client.iterations));
        const final = try client.clientFinal();
        try testing.expect(std.mem.startsWith(u8, final, row.channel));
        try testing.expect(std.mem.indexOf(u8, final, ",r=abcdef,p=") != null);
        var answer: [46]u8 = "v=".* ++ @as([44]u8, undefined);
        _ = base64.Encoder.encode(answer[2..], &client.server_signature);
        try testing.expect(!client.isFinished());
        try client.serverFinal(&answer);
        try testing.expect(client.isFinished());
    }
}

test "server-first messages that are refused" {
    const table = [_]struct { ServerFirstError, []const u8 }{
        .{ error.Malformed, "" },
        .{ error.Malformed, "r=abcd" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==," },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=0" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=01" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=-1" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=1 " },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=1," },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=1,x=y" },
        .{ error.Malformed, "m=ext,r=abcd,s=c2FsdA==,i=1" },
        .{ error.Malformed, "s=c2FsdA==,r=abcd,i=1" },
        .{ error.Malformed, "r=abcd,s=,i=1" },
        .{ error.Malformed, "r=abcd,s=c2FsdA,i=1" },
        .{ error.Malformed, "r=abcd,s=c2FsdA=,i=1" },
        .{ error.Malformed, "r=abcd,s=c2F dA==,i=1" },
        .{ error.Malformed, "r=abcd,s=c2FsdB==,i=1" }, // bits behind the end
        .{ error.Malformed, "r=abc\x01,s=c2FsdA==,i=1" },
        .{ error.ForeignNonce, "r=abc,s=c2FsdA==,i=1" },
        .{ error.ForeignNonce, "r=ab,s=c2FsdA==,i=1" },
        .{ error.ForeignNonce, "r=xabcd,s=c2FsdA==,i=1" },
        .{ error.TooManyIterations, "r=abcd,s=c2FsdA==,i=100001" },
        .{ error.TooManyIterations, "r=abcd,s=c2FsdA==,i=99999999999999999999" },
        .{ error.Malformed, "r=abcd,s=c2FsdA==,i=1" ++ &@as([message_size_max]u8, @splat('0')) },
    };
    for (table) |row| {
        var client = try testClient(.{ .nonce = "abc" });
        defer client.deinit();
        _ = try client.clientFirst();
        try testing.expectError(row[0], client.serverFirst(row[1]));
        // A refused conversation is over.
        try testing.expectError(error.OutOfOrder, client.serverFirst("r=abcd,s=c2FsdA==,i=1"));
        try testing.expectError(error.OutOfOrder, client.clientFinal());
    }
}

test "server-final messages that are refused" {
    const table = [_]struct { ServerFinalError, []const u8 }{
        .{ error.Malformed, "" },
        .{ error.Malformed, "v=" },
        .{ error.Malformed, "v=c2FsdA==" },
        .{ error.Malformed, "x=" ++ rfc.signature },
        .{ error.Malformed, "v=" ++ rfc.signature ++ "," },
        .{ error.Malformed, "v=" ++ rfc.signature ++ ",x=y" },
        .{ error.WrongSignature, "v=" ++ rfc.signature },
        .{ error.Rejected, "e=invalid-proof" },
    };
    for (table) |row| {
        var client = try testClient(.{ .nonce = rfc.nonce });
        defer client.deinit();
        _ = try client.clientFirst();
        try client.serverFirst(rfc.server_first);
        try client.useKeys(.{ .client_key = @splat(1), .server_key = @splat(2) });
        _ = try client.clientFinal();
        try testing.expectError(row[0], client.serverFinal(row[1]));
        try testing.expect(!client.isFinished());
        if (row[0] == error.Rejected) try testing.expectEqualStrings("invalid-proof", client.serverError());
    }
}

test "calls out of order and unusable options are errors" {
    var client = try testClient(.{ .nonce = "abc" });
    defer client.deinit();
    try testing.expectError(error.OutOfOrder, client.serverFirst("r=abcd,s=c2FsdA==,i=1"));
    try testing.expectError(error.OutOfOrder, client.clientFinal());
    try testing.expectError(error.OutOfOrder, client.serverFinal("v="));
    try testing.expectError(error.OutOfOrder, client.useKeys(undefined));
    _ = try client.clientFirst();
    try testing.expectError(error.OutOfOrder, client.clientFirst());
    try testing.expectError(error.BadNonce, testClient(.{ .nonce = "" }));
    try testing.expectError(error.BadNonce, testClient(.{ .nonce = "a,b" }));
    try testing.expectError(error.BadBinding, testClient(.{ .nonce = "a", .binding = .tls_server_end_point }));
    try testing.expectError(error.BadBinding, testClient(.{ .nonce = "a", .binding_data = "hash" }));
}

test "PBKDF2 agrees with the standard library's" {
    const passwords = [_][]const u8{ "", "p", &@as([64]u8, @splat('x')), &@as([160]u8, @splat('y')) };
    for (passwords) |password| {
        for ([_]u32{ 1, 2, 4096 }) |iterations| {
            var expected: Key = undefined;
            try std.crypto.pwhash.pbkdf2(&expected, password, "salt and more", iterations, HmacSha256);
            try testing.expectEqual(expected, saltPassword(password, "salt and more", iterations));
        }
    }
}
