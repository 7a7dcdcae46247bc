//! Results in text format. The driver asks for it where a type has no binary form, or where a
//! container holds such a type; the simple query protocol knows no other.
//!
//! Text of a simple type is turned into its binary body and given to the binary decoder, so that a
//! value is the same whichever way it came.
//! PostgreSQL docs: arrays, "Array Input and Output Syntax"; rowtypes, "Composite Type Input and
//! Output Syntax"; rangetypes, "Range Input/Output".
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const containers = @import("decode_containers.zig");
const text_body = @import("text_body.zig");
const Parts = @import("text_parts.zig").Parts;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = decode.Context;
const Failure = decode.Failure;
const wire = decode.wire;

const gpa = std.heap.c_allocator;

pub fn decoderFor(info: *const TypeInfo) decode.Decoder {
    return switch (info.kind) {
        .text, .char, .jsonpath, .ltree, .inet, .cidr, .macaddr, .macaddr8, .money => decode.text,
        .bit, .varbit, .pg_lsn, .tsvector, .tsquery, .text_only => decode.text,
        .json, .jsonb => decode.json,
        .void => decode.nothing,
        .array => array,
        .composite, .record => composite,
        .range => range,
        .multirange => multirange,
        else => simple,
    };
}

fn outOfMemory() Failure {
    _ = py.PyErr_NoMemory();
    return error.PythonError;
}

fn scratchFor(text: []const u8) Failure![]u8 {
    return gpa.alloc(u8, text.len) catch outOfMemory();
}

fn enter(context: *Context) Failure!void {
    if (!context.enter()) return error.NotRepresentable;
}

fn simple(context: *Context, info: *const TypeInfo, text: []const u8) Failure!*Object {
    var body: protocol.WriteBuffer = .init(gpa);
    defer body.deinit();
    text_body.write(&body, info.kind, text) catch |err| switch (err) {
        error.OutOfMemory => return outOfMemory(),
        error.InvalidValue, error.OutOfRange, error.MessageTooLong => return unreadable(context, info),
    };
    return decode.decoderFor(info, .binary)(context, info, body.bytes.items);
}

/// A session can change how the server prints these; all other texts are always the same.
pub fn unreadable(context: *Context, info: *const TypeInfo) Failure {
    switch (info.kind) {
        .date, .timestamp, .timestamptz, .interval => {},
        else => return error.Malformed,
    }
    context.say("this text form of {f} cannot be read; the usual DateStyle is ISO, the usual IntervalStyle postgres", .{info});
    return error.NotRepresentable;
}

fn array(context: *Context, info: *const TypeInfo, text: []const u8) Failure!*Object {
    try enter(context);
    defer context.leave();
    if (info.lower_bound == 0) return vector(context, info.element.?, text);
    const scratch = try scratchFor(text);
    defer gpa.free(scratch);
    var parser: types.text_array.Parser = .init(text, info.delimiter, scratch);
    const element = info.element.?;
    const decoder = decode.decoderFor(element, .text);
    // The lists that are open; the parser allows no more.
    var open: [types.array.dimensions_max]*Object = undefined;
    var depth: usize = 0;
    errdefer if (depth > 0) py.decref(open[0]);
    while (try wire(parser.next())) |event| {
        const item = switch (event) {
            .open => {
                const list = try py.checked(py.PyList_New(0));
                if (depth > 0) {
                    defer py.decref(list); // the outer list holds it
                    try py.ok(py.PyList_Append(open[depth - 1], list));
                }
                open[depth] = list;
                depth += 1;
                continue;
            },
            .close => {
                depth -= 1;
                if (depth > 0) continue;
                errdefer py.decref(open[0]);
                if (try wire(parser.next()) != null) return error.Malformed;
                return open[0];
            },
            .null => py.none(),
            .value => |bytes| try decoder(context, element, bytes),
        };
        defer py.decref(item);
        try py.ok(py.PyList_Append(open[depth - 1], item));
    }
    return error.Malformed;
}

/// int2vector and oidvector: numbers and spaces.
fn vector(context: *Context, element: *const TypeInfo, text: []const u8) Failure!*Object {
    const result = try py.checked(py.PyList_New(0));
    errdefer py.decref(result);
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    while (words.next()) |word| {
        const item = try simple(context, element, word);
        defer py.decref(item);
        try py.ok(py.PyList_Append(result, item));
    }
    return result;
}

/// Without the types that only the binary form brings along, a record's fields are str.
fn composite(context: *Context, described: *const TypeInfo, text: []const u8) Failure!*Object {
    try enter(context);
    defer context.leave();
    const scratch = try scratchFor(text);
    defer gpa.free(scratch);
    const row = try rowOf(context, described, text, scratch);
    const info = row.info;
    const count = row.count;
    const class = if (info.factory) |factory| py.incref(factory) else try context.classes.recordType(count);
    defer py.decref(class);
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(class), @intCast(count)));
    errdefer py.decref(result);
    var parts: Parts = .init(text, scratch);
    _ = try wire(parts.take("("));
    for (0..count) |i| {
        const part = try wire(parts.next(",)"));
        const item = if (part.value) |bytes| item: {
            if (info.kind == .record) break :item try decode.string(context, bytes);
            const field = info.fields[i].type;
            break :item try decode.decoderFor(field, .text)(context, field, bytes);
        } else py.none();
        py.hd_tuple_set(result, @intCast(i), item);
    }
    return result;
}

/// What a row's text is read as, and how many fields it has. The whole text is looked at.
pub fn rowOf(context: *Context, described: *const TypeInfo, text: []const u8, scratch: []u8) Failure!struct { info: *const TypeInfo, count: usize } {
    // The row of one NULL field and the row without fields print the same.
    const count = if (std.mem.eql(u8, text, "()")) @min(described.fields.len, 1) else try countFields(text, scratch);
    return .{ .info = try current(context, described, count) orelse &containers.anonymous, .count = count };
}

/// As for the binary form; text shows no more than how many fields there are.
fn current(context: *Context, info: *const TypeInfo, count: usize) Failure!?*const TypeInfo {
    if (info.kind == .record or info.fields.len == count) return info;
    if (context.map.lookup(info.oid)) |known| {
        if (known.kind == .composite and known.fields.len == count) return known;
    }
    return containers.giveUp(context, info);
}

/// Also checks the whole text, so that the pass after it finds nothing wrong.
fn countFields(text: []const u8, scratch: []u8) Failure!usize {
    var parts: Parts = .init(text, scratch);
    _ = try wire(parts.take("("));
    var count: usize = 0;
    while (true) {
        count += 1;
        if ((try wire(parts.next(",)"))).end == ')') break;
    }
    try wire(parts.finish());
    return count;
}

fn range(context: *Context, info: *const TypeInfo, text: []const u8) Failure!*Object {
    const scratch = try scratchFor(text);
    defer gpa.free(scratch);
    if (std.mem.eql(u8, text, "empty")) {
        const lower = py.none();
        errdefer py.decref(lower);
        const upper = py.none();
        errdefer py.decref(upper);
        return context.classes.range.make(lower, upper, py.hd_none());
    }
    var parts: Parts = .init(text, scratch);
    const result = try bounded(context, info, &parts);
    errdefer py.decref(result);
    try wire(parts.finish());
    return result;
}

fn bounded(context: *Context, info: *const TypeInfo, parts: *Parts) Failure!*Object {
    try enter(context);
    defer context.leave();
    const subtype = info.element.?;
    const decoder = decode.decoderFor(subtype, .text);
    const left = try wire(parts.take("[("));
    const first = try wire(parts.next(","));
    const second = try wire(parts.next(")]"));
    const lower = if (first.value) |bytes| try decoder(context, subtype, bytes) else py.none();
    errdefer py.decref(lower);
    const upper = if (second.value) |bytes| try decoder(context, subtype, bytes) else py.none();
    errdefer py.decref(upper);
    const class = &context.classes.range;
    return class.make(lower, upper, class.brackets(
        left == '[' and first.value != null,
        second.end == ']' and second.value != null,
    ));
}

fn multirange(context: *Context, info: *const TypeInfo, text: []const u8) Failure!*Object {
    const scratch = try scratchFor(text);
    defer gpa.free(scratch);
    const list = try py.checked(py.PyList_New(0));
    defer py.decref(list);
    var parts: Parts = .init(text, scratch);
    _ = try wire(parts.take("{"));
    if (std.mem.eql(u8, parts.rest, "}")) parts.rest = "" else while (true) {
        const item = try bounded(context, info.element.?, &parts);
        defer py.decref(item);
        try py.ok(py.PyList_Append(list, item));
        if (try wire(parts.take(",}")) == '}') break;
    }
    try wire(parts.finish());
    const count: usize = @intCast(py.PyList_Size(list));
    const result = try py.checked(py.hd_tuple_alloc(@ptrCast(context.classes.multirange), @intCast(count)));
    errdefer py.decref(result);
    for (0..count) |i| py.hd_tuple_set(result, @intCast(i), try py.checked(py.hd_list_item(list, @intCast(i))));
    return result;
}
