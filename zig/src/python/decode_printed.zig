//! Types whose binary form is printed here as the server would print it: numeric, whose text the
//! Decimal constructor takes, and those that become str.
//! PostgreSQL docs: datatype, "Data Types"; each type's own section shows its text.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = decode.Context;
const Decoder = decode.Decoder;
const Failure = decode.Failure;
const wire = decode.wire;

/// Room for text: on the stack where it is short, as nearly all is.
const Room = struct {
    stack: [256]u8 = undefined,
    heap: ?[]u8 = null,

    fn take(self: *Room, size: usize) Failure![]u8 {
        if (size <= self.stack.len) return &self.stack;
        self.heap = std.heap.c_allocator.alloc(u8, size) catch return outOfMemory();
        return self.heap.?;
    }

    fn give(self: *Room) void {
        if (self.heap) |bytes| std.heap.c_allocator.free(bytes);
    }
};

fn outOfMemory() Failure {
    _ = py.PyErr_NoMemory();
    return error.PythonError;
}

/// All these texts are ASCII by construction, except the lexemes of text search.
inline fn ascii(text: []const u8) Failure!*Object {
    return py.checked(py.PyUnicode_DecodeUTF8(text.ptr, @intCast(text.len), null));
}

pub fn numeric(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var room: Room = .{};
    defer room.give();
    const out = try room.take(try wire(types.numeric.textLength(body)));
    const text = try ascii(try wire(types.numeric.toText(body, out)));
    defer py.decref(text);
    return py.checked(py.PyObject_CallOneArg(context.classes.decimal, text));
}

pub fn char(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var out: [types.char.text_max]u8 = undefined;
    return ascii(try wire(types.char.toText(body, &out)));
}

pub fn inet(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var out: [types.inet.text_max]u8 = undefined;
    return ascii(try wire(types.inet.toText(body, &out)));
}

pub fn macaddr(comptime size: usize) Decoder {
    return struct {
        fn decode(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
            var out: [size * 3 - 1]u8 = undefined;
            return ascii(try wire(types.macaddr.toText(size, body, &out)));
        }
    }.decode;
}

pub fn lsn(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var out: [types.pg_lsn.text_max]u8 = undefined;
    return ascii(try wire(types.pg_lsn.toText(body, &out)));
}

pub fn bits(_: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var room: Room = .{};
    defer room.give();
    const out = try room.take(try wire(types.bits.textLength(body)));
    return ascii(try wire(types.bits.toText(body, out)));
}

pub fn tsvector(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var room: Room = .{};
    defer room.give();
    const out = try room.take(types.tsvector.textLength(body));
    return decode.string(context, try wire(types.tsvector.toText(body, out)));
}

pub fn tsquery(context: *Context, _: *const TypeInfo, body: []const u8) Failure!*Object {
    var room: Room = .{};
    defer room.give();
    const out = try room.take(types.tsquery.textLength(body));
    const text = types.tsquery.toText(std.heap.c_allocator, body, out) catch |err| return switch (err) {
        error.OutOfMemory => outOfMemory(),
        error.InvalidValue, error.OutOfRange => error.Malformed,
    };
    return decode.string(context, text);
}
