//! `Secret`, `Scram` and `md5_password`: passwords and what is computed from them, kept out of reach.
//!
//! A password enters here as a Secret and leaves only inside a message to the backend. Its memory is wiped when
//! the object goes. The Secret also remembers the SCRAM keys last derived from it, so that the connections
//! of a pool, which share it, pay for PBKDF2 once.
const std = @import("std");
const auth = @import("auth");
const py = @import("py.zig");
const module_zig = @import("module.zig");
const signature = @import("signature.zig");
const Object = py.Object;
const ModuleState = module_zig.ModuleState;

const gpa = std.heap.c_allocator;

/// What stands for a Secret. `lock` guards `remembered` alone; `bytes` never changes.
const SecretState = struct {
    bytes: []u8,
    lock: std.atomic.Value(bool) = .init(false),
    remembered: ?Remembered = null,

    const Remembered = struct { salt: [64]u8, salt_size: usize, iterations: u32, keys: auth.scram.Keys };

    fn acquire(self: *SecretState) void {
        // Held for a copy of 200 bytes: never long, and never across a call that could wait.
        while (self.lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    }

    fn release(self: *SecretState) void {
        self.lock.store(false, .release);
    }

    fn recall(self: *SecretState, salt: []const u8, iterations: u32) ?auth.scram.Keys {
        self.acquire();
        defer self.release();
        const kept = &(self.remembered orelse return null);
        if (kept.iterations != iterations or !std.mem.eql(u8, kept.salt[0..kept.salt_size], salt)) return null;
        return kept.keys;
    }

    fn remember(self: *SecretState, salt: []const u8, iterations: u32, keys: auth.scram.Keys) void {
        var fresh: Remembered = .{ .salt = @splat(0), .salt_size = salt.len, .iterations = iterations, .keys = keys };
        defer fresh.keys.wipe();
        if (salt.len > fresh.salt.len) return;
        @memcpy(fresh.salt[0..salt.len], salt);
        self.acquire();
        defer self.release();
        self.remembered = fresh;
    }

    fn destroy(self: *SecretState) void {
        std.crypto.secureZero(u8, self.bytes);
        gpa.free(self.bytes);
        if (self.remembered) |*kept| kept.keys.wipe();
        gpa.destroy(self);
    }
};

/// What stands for a Scram. One thread at a time: `busy` turns a second one away.
const ScramState = struct {
    client: auth.scram.Client,
    secret: *Object,
    busy: std.atomic.Value(bool) = .init(false),

    fn of(self: *Object) py.Error!*ScramState {
        const state = py.state(ScramState, self);
        if (!state.busy.swap(true, .acquire)) return state;
        py.PyErr_SetString(py.PyExc_RuntimeError, "this Scram is in use by another thread");
        return error.PythonError;
    }

    fn leave(self: *ScramState) void {
        self.busy.store(false, .release);
    }
};

/// The password of a Secret, borrowed for as long as the caller holds the object; null for anything else.
pub fn secretBytes(object: *Object) ?[]const u8 {
    return (secretState(object) orelse return null).bytes;
}

fn secretState(object: *Object) ?*SecretState {
    // The type is final, so its own dealloc tells it apart in every interpreter without a look at the module.
    const dealloc = py.PyType_GetSlot(py.hd_type(object), py.slot.tp_dealloc) orelse return null;
    if (dealloc != @as(*const anyopaque, @ptrCast(&secretDealloc))) return null;
    return @ptrCast(@alignCast(py.hd_box_get(object) orelse return null));
}

fn raiseValue(comptime format: [:0]const u8, arguments: anytype) py.Error {
    var buffer: [256:0]u8 = undefined;
    const text = std.fmt.bufPrintSentinel(&buffer, format, arguments, 0) catch "authentication failed";
    py.PyErr_SetString(py.PyExc_ValueError, text.ptr);
    return error.PythonError;
}

fn raiseMemory() py.Error {
    _ = py.PyErr_NoMemory();
    return error.PythonError;
}

fn raiseOrder() py.Error {
    py.PyErr_SetString(py.PyExc_RuntimeError, "SCRAM steps are out of order");
    return error.PythonError;
}

fn raiseType(text: [*:0]const u8) py.Error {
    py.PyErr_SetString(py.PyExc_TypeError, text);
    return error.PythonError;
}

/// The bytes of a bytes object, borrowed.
fn bytesOf(object: *Object, comptime what: []const u8) py.Error![]const u8 {
    var pointer: [*]u8 = undefined;
    var size: isize = 0;
    if (py.PyBytes_AsStringAndSize(object, &pointer, &size) < 0) {
        py.PyErr_Clear();
        return raiseType(what ++ " must be bytes");
    }
    return pointer[0..@intCast(size)];
}

fn newBytes(bytes: []const u8) py.Error!*Object {
    return py.checked(py.PyBytes_FromStringAndSize(bytes.ptr, @intCast(bytes.len)));
}

/// A method of no parameter or one; it and the sentence are what `help()` shows.
fn method(
    comptime name: [:0]const u8,
    function: *const anyopaque,
    comptime parameters: []const []const u8,
    comptime sentence: []const u8,
) py.MethodDef {
    const flags = switch (parameters.len) {
        0 => py.METH_NOARGS,
        1 => py.METH_O,
        else => comptime unreachable,
    };
    return .{ .name = name, .function = function, .flags = flags, .doc = signature.ofMethod(name, parameters, sentence) };
}

// Secret ------------------------------------------------------------------------------------------

fn secretNew(type_object: *py.TypeObject, args: *Object, kwargs: ?*Object) callconv(.c) ?*Object {
    return makeSecret(type_object, args, kwargs) catch null;
}

fn makeSecret(type_object: *py.TypeObject, args: *Object, kwargs: ?*Object) py.Error!*Object {
    if (kwargs) |given| if (py.PyDict_Size(given) != 0) return raiseType("Secret() takes no keyword arguments");
    const count = py.hd_tuple_size(args);
    if (count > 1) return raiseType("Secret() takes at most one argument");
    const value: []const u8 = if (count == 0) "" else try passwordBytes(py.hd_tuple_get(args, 0));
    if (std.mem.indexOfScalar(u8, value, 0) != null) return raiseValue("a password cannot contain a NUL byte", .{});

    const state = gpa.create(SecretState) catch return raiseMemory();
    errdefer gpa.destroy(state);
    state.* = .{ .bytes = gpa.dupe(u8, value) catch return raiseMemory() };
    errdefer gpa.free(state.bytes);
    const self = try py.checked(py.hd_alloc(type_object));
    py.hd_box_set(self, state);
    return self;
}

fn passwordBytes(value: *Object) py.Error![]const u8 {
    if (py.hd_unicode_check(value) == 0) return bytesOf(value, "a password that is not str");
    var size: isize = 0;
    const text = py.PyUnicode_AsUTF8AndSize(value, &size) orelse {
        // UnicodeEncodeError carries the whole string with it.
        py.PyErr_Clear();
        return raiseValue("the password has characters that UTF-8 cannot encode", .{});
    };
    return text[0..@intCast(size)];
}

fn secretDealloc(self: *Object) callconv(.c) void {
    if (py.hd_box_get(self)) |state| @as(*SecretState, @ptrCast(@alignCast(state))).destroy();
    py.hd_free(self);
}

fn secretRepr(_: *Object) callconv(.c) ?*Object {
    return py.PyUnicode_FromString("***");
}

fn secretBool(self: *Object) callconv(.c) c_int {
    return @intFromBool(py.state(SecretState, self).bytes.len != 0);
}

fn secretReduce(_: *Object, _: ?*Object) callconv(.c) ?*Object {
    py.PyErr_SetString(py.PyExc_TypeError, "a Secret cannot be pickled or copied");
    return null;
}

const secret_methods = [_]py.MethodDef{
    method("__reduce_ex__", &secretReduce, &.{"protocol"}, "TypeError: a Secret cannot be pickled or copied."),
    method("__reduce__", &secretReduce, &.{}, "TypeError: a Secret cannot be pickled or copied."),
    .{},
};

const secret_slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = @ptrCast(&secretNew) },
    .{ .slot = py.slot.tp_dealloc, .function = @ptrCast(&secretDealloc) },
    .{ .slot = py.slot.tp_repr, .function = @ptrCast(&secretRepr) },
    .{ .slot = py.slot.tp_str, .function = @ptrCast(&secretRepr) },
    .{ .slot = py.slot.nb_bool, .function = @ptrCast(&secretBool) },
    .{ .slot = py.slot.tp_methods, .function = @ptrCast(&secret_methods) },
    .{ .slot = py.slot.tp_doc, .function = "Secret(value=b'', /)\n--\n\nA password. Nothing reads it back: repr and str are ***." },
    .{ .slot = 0, .function = null },
};

// Scram -------------------------------------------------------------------------------------------

const scram_keywords = [_]?[*:0]const u8{ "secret", "nonce", "gs2", "channel_binding", "iterations_max", null };

fn scramNew(type_object: *py.TypeObject, args: *Object, kwargs: ?*Object) callconv(.c) ?*Object {
    return makeScram(type_object, args, kwargs) catch null;
}

fn makeScram(type_object: *py.TypeObject, args: *Object, kwargs: ?*Object) py.Error!*Object {
    var secret: ?*Object = null;
    var nonce: ?*Object = null;
    var gs2: [*:0]const u8 = "n";
    var binding: ?*Object = null;
    var iterations_max: c_long = 100_000;
    const format = "OO|$sOl:Scram";
    if (py.PyArg_ParseTupleAndKeywords(
        args,
        kwargs,
        format,
        &scram_keywords,
        &secret,
        &nonce,
        &gs2,
        &binding,
        &iterations_max,
    ) == 0) return error.PythonError;
    if (secretState(secret.?) == null) return raiseType("secret must be a Secret");
    const iterations = std.math.cast(u32, iterations_max) orelse 0;
    if (iterations == 0) return raiseValue("iterations_max must be between 1 and 4294967295", .{});

    const state = gpa.create(ScramState) catch return raiseMemory();
    errdefer gpa.destroy(state);
    const client = auth.scram.Client.init(gpa, .{
        .nonce = try bytesOf(nonce.?, "nonce"),
        .binding = try bindingNamed(std.mem.span(gs2)),
        .binding_data = if (binding) |given| try bytesOf(given, "channel_binding") else "",
        .iterations_max = iterations,
    }) catch |err| return switch (err) {
        error.OutOfMemory => raiseMemory(),
        error.BadNonce => raiseValue("nonce must be visible ASCII without commas", .{}),
        error.BadBinding => raiseValue("channel_binding goes with gs2 'p=tls-server-end-point', and only there", .{}),
    };
    state.* = .{ .client = client, .secret = secret.? };
    errdefer state.client.deinit();
    const self = try py.checked(py.hd_alloc(type_object));
    _ = py.incref(secret.?);
    py.hd_box_set(self, state);
    return self;
}

fn bindingNamed(name: []const u8) py.Error!auth.scram.Binding {
    if (std.mem.eql(u8, name, "n")) return .unsupported;
    if (std.mem.eql(u8, name, "y")) return .not_offered;
    if (std.mem.eql(u8, name, "p=tls-server-end-point")) return .tls_server_end_point;
    return raiseValue("gs2 must be 'n', 'y' or 'p=tls-server-end-point'", .{});
}

fn scramDealloc(self: *Object) callconv(.c) void {
    if (py.hd_box_get(self)) |boxed| {
        const state: *ScramState = @ptrCast(@alignCast(boxed));
        state.client.deinit();
        py.decref(state.secret);
        gpa.destroy(state);
    }
    py.hd_free(self);
}

fn scramClientFirst(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    const state = ScramState.of(self) catch return null;
    defer state.leave();
    return newBytes(state.client.clientFirst() catch |err| return nullFor(clientError(err))) catch null;
}

fn scramClientFinal(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    const state = ScramState.of(self) catch return null;
    defer state.leave();
    return newBytes(state.client.clientFinal() catch |err| return nullFor(clientError(err))) catch null;
}

fn clientError(err: auth.scram.ClientError) py.Error {
    return switch (err) {
        error.OutOfMemory => raiseMemory(),
        error.OutOfOrder => raiseOrder(),
    };
}

/// The exception is set; a method says so with null.
fn nullFor(_: py.Error) ?*Object {
    return null;
}

fn scramServerFirst(self: *Object, message: *Object) callconv(.c) ?*Object {
    const state = ScramState.of(self) catch return null;
    defer state.leave();
    const client = &state.client;
    const bytes = bytesOf(message, "message") catch return null;
    client.serverFirst(bytes) catch |err| return nullFor(switch (err) {
        error.OutOfMemory => raiseMemory(),
        error.OutOfOrder => raiseOrder(),
        error.Malformed => raiseValue("malformed SCRAM server-first message", .{}),
        error.ForeignNonce => raiseValue("the nonce of the SCRAM server-first message does not extend ours", .{}),
        error.TooManyIterations => raiseValue(
            "the server asks for more than {d} SCRAM iterations, the most that is allowed here",
            .{client.iterations_max},
        ),
    });
    return py.none();
}

fn scramRecall(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    const state = ScramState.of(self) catch return null;
    defer state.leave();
    const client = &state.client;
    if (!client.isChallenged()) return nullFor(raiseOrder());
    var keys = secretState(state.secret).?.recall(client.salt, client.iterations) orelse return py.boolean(false);
    defer keys.wipe();
    client.useKeys(keys) catch return nullFor(raiseOrder());
    return py.boolean(true);
}

fn scramDerive(self: *Object, _: ?*Object) callconv(.c) ?*Object {
    const state = ScramState.of(self) catch return null;
    defer state.leave();
    const client = &state.client;
    if (!client.isChallenged()) return nullFor(raiseOrder());
    const secret = secretState(state.secret).?;
    const thread = py.PyEval_SaveThread();
    // `self` holds the Secret and `busy` holds `self`: both stay while the GIL is away.
    const derived = auth.scram.Keys.derive(gpa, secret.bytes, client.salt, client.iterations);
    py.PyEval_RestoreThread(thread);
    var keys = derived catch return nullFor(raiseMemory());
    defer keys.wipe();
    secret.remember(client.salt, client.iterations, keys);
    client.useKeys(keys) catch return nullFor(raiseOrder());
    return py.none();
}

fn scramServerFinal(self: *Object, message: *Object) callconv(.c) ?*Object {
    const state = ScramState.of(self) catch return null;
    defer state.leave();
    const bytes = bytesOf(message, "message") catch return null;
    state.client.serverFinal(bytes) catch |err| return nullFor(switch (err) {
        error.OutOfOrder => raiseOrder(),
        error.Malformed => raiseValue("malformed SCRAM server-final message", .{}),
        error.Rejected => raiseValue("the server ended SCRAM with the error {s}", .{state.client.serverError()}),
        error.WrongSignature => raiseValue("wrong SCRAM signature: the server does not know the password", .{}),
    });
    return py.none();
}

const scram_methods = [_]py.MethodDef{
    method("client_first", &scramClientFirst, &.{}, "The client-first message."),
    method("server_first", &scramServerFirst, &.{"message"}, "Take the server-first message; ValueError: malformed, a foreign nonce, or too many iterations."),
    method("recall", &scramRecall, &.{}, "Use the keys that the Secret's last derive() left, where they fit; whether they did."),
    method("derive", &scramDerive, &.{}, "Derive the keys by PBKDF2, the GIL released."),
    method("client_final", &scramClientFinal, &.{}, "The client-final message, with the proof."),
    method("server_final", &scramServerFinal, &.{"message"}, "Take the server-final message; ValueError: its signature is wrong, or it carries an error."),
    method("__reduce_ex__", &secretReduce, &.{"protocol"}, "TypeError: a Scram cannot be pickled or copied."),
    .{},
};

const scram_doc =
    "Scram(secret, nonce, *, gs2='n', channel_binding=b'', iterations_max=100000)\n--\n\n" ++
    "The client's side of SCRAM-SHA-256(-PLUS).";

const scram_slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = @ptrCast(&scramNew) },
    .{ .slot = py.slot.tp_dealloc, .function = @ptrCast(&scramDealloc) },
    .{ .slot = py.slot.tp_methods, .function = @ptrCast(&scram_methods) },
    .{ .slot = py.slot.tp_doc, .function = scram_doc },
    .{ .slot = 0, .function = null },
};

// md5 ---------------------------------------------------------------------------------------------

fn md5Password(_: *Object, args: [*]const *Object, count: isize) callconv(.c) ?*Object {
    return makeMd5(args[0..@intCast(count)]) catch null;
}

fn makeMd5(args: []const *Object) py.Error!*Object {
    if (args.len != 3) return raiseType("md5_password() takes secret, user and salt");
    const password = secretBytes(args[0]) orelse return raiseType("secret must be a Secret");
    var size: isize = 0;
    const user = try (py.PyUnicode_AsUTF8AndSize(args[1], &size) orelse error.PythonError);
    const salt = try bytesOf(args[2], "salt");
    if (salt.len != 4) return raiseValue("an md5 salt has 4 bytes, not {d}", .{salt.len});
    return newBytes(&auth.md5.answer(password, user[0..@intCast(size)], salt[0..4].*));
}

const functions = [_]py.MethodDef{
    .{
        .name = "md5_password",
        .function = @ptrCast(&md5Password),
        .flags = py.METH_FASTCALL,
        .doc = signature.ofFunction("md5_password", &.{ "secret", "user", "salt" }, "The md5 answer to the salt's four bytes."),
    },
    .{},
};

/// Add Secret, Scram and md5_password. -1 with an exception set where that fails.
pub fn addToModule(module: *Object) c_int {
    add(module) catch return -1;
    return 0;
}

fn add(module: *Object) py.Error!void {
    const state = ModuleState.ofModule(module);
    const flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_IMMUTABLETYPE;
    state.secret_type = try module_zig.addType(module, "Secret", &.{
        .name = "hyperdjango._hyperdjango_native.Secret",
        .basicsize = py.hd_box_size,
        .flags = flags,
        .slots = &secret_slots,
    });
    state.scram_type = try module_zig.addType(module, "Scram", &.{
        .name = "hyperdjango._hyperdjango_native.Scram",
        .basicsize = py.hd_box_size,
        .flags = flags,
        .slots = &scram_slots,
    });
    try py.ok(py.PyModule_AddFunctions(module, &functions));
}
