//! Results in text format as JSON. The driver asks for it where a type has no binary form, or where a
//! container holds such a type. The counterpart of `decode_text.zig`, and like it: text of a simple type
//! is turned into its binary body first, so that a value is the same whichever way it came.
//! PostgreSQL docs: arrays, "Array Input and Output Syntax"; rowtypes, "Composite Type Input and Output Syntax".
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const decode_containers = @import("decode_containers.zig");
const decode_text = @import("decode_text.zig");
const json_write = @import("json_write.zig");
const json_containers = @import("json_containers.zig");
const text_body = @import("text_body.zig");
const Parts = @import("text_parts.zig").Parts;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Context = json_write.Context;
const Failure = json_write.Failure;
const Target = json_write.Target;
const put = json_write.put;
const wire = json_write.wire;

const gpa = std.heap.c_allocator;

pub fn writerFor(info: *const TypeInfo) json_write.Writer {
    return switch (info.kind) {
        .text, .char, .jsonpath, .ltree, .inet, .cidr, .macaddr, .macaddr8, .money => json_write.text,
        .bit, .varbit, .pg_lsn, .tsvector, .tsquery, .text_only => json_write.text,
        // The very text that a string of ours would hold.
        .range, .multirange => json_write.text,
        .json, .jsonb => json_write.json,
        .void => json_write.nothing,
        .array => array,
        .composite, .record => composite,
        else => simple,
    };
}

fn simple(context: *Context, info: *const TypeInfo, target: *Target, text: []const u8) Failure!void {
    var body: protocol.WriteBuffer = .init(gpa);
    defer body.deinit();
    text_body.write(&body, info.kind, text) catch |err| switch (err) {
        error.OutOfMemory => return error.OutOfMemory,
        error.InvalidValue, error.OutOfRange, error.MessageTooLong => return decode_text.unreadable(context, info),
    };
    try json_write.writerFor(info, .binary)(context, info, target, body.bytes.items);
}

fn array(context: *Context, info: *const TypeInfo, target: *Target, text: []const u8) Failure!void {
    try decode_containers.enter(context);
    defer context.leave();
    const element = info.element.?;
    if (info.lower_bound == 0) return vector(context, element, target, text);
    const scratch = try gpa.alloc(u8, text.len);
    defer gpa.free(scratch);
    var parser: types.text_array.Parser = .init(text, info.delimiter, scratch);
    const writer = json_write.writerFor(element, .text);
    var is_first = true;
    while (try wire(parser.next())) |event| {
        if (event == .close) {
            try put(target, "]");
            is_first = false;
            continue;
        }
        if (!is_first) try put(target, ",");
        is_first = event == .open;
        switch (event) {
            .open => try put(target, "["),
            .null => try put(target, "null"),
            .value => |bytes| try writer(context, element, target, bytes),
            .close => unreachable,
        }
    }
}

/// int2vector and oidvector: numbers and spaces.
fn vector(context: *Context, element: *const TypeInfo, target: *Target, text: []const u8) Failure!void {
    try put(target, "[");
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    var is_first = true;
    while (words.next()) |word| {
        if (!is_first) try put(target, ",");
        is_first = false;
        try simple(context, element, target, word);
    }
    try put(target, "]");
}

/// Without the types that only the binary form brings along, a record's fields are strings.
fn composite(context: *Context, described: *const TypeInfo, target: *Target, text: []const u8) Failure!void {
    try decode_containers.enter(context);
    defer context.leave();
    const scratch = try gpa.alloc(u8, text.len);
    defer gpa.free(scratch);
    const row = try decode_text.rowOf(context, described, text, scratch);
    var parts: Parts = .init(text, scratch);
    _ = try wire(parts.take("("));
    try put(target, "{");
    for (0..row.count) |i| {
        const part = try wire(parts.next(",)"));
        try json_containers.key(context, row.info, target, i);
        const bytes = part.value orelse {
            try put(target, "null");
            continue;
        };
        if (row.info.kind == .record) {
            try json_write.string(context, target, bytes);
        } else {
            const field = row.info.fields[i].type;
            try json_write.writerFor(field, .text)(context, field, target, bytes);
        }
    }
    try put(target, "}");
}
