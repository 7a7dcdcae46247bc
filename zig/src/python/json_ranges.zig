//! Ranges and multiranges as JSON strings: the text that the server prints for them. Their bounds may be
//! of any type, arrays and rows included, so the texts of these are here as well.
//! PostgreSQL docs: rangetypes, "Range Input/Output"; arrays, "Array Input and Output Syntax"; rowtypes,
//! "Composite Type Input and Output Syntax".
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const decode = @import("decode.zig");
const decode_containers = @import("decode_containers.zig");
const json_write = @import("json_write.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;
const Context = json_write.Context;
const Failure = json_write.Failure;
const Target = json_write.Target;
const Buffer = protocol.WriteBuffer;
const server_text = types.server_text;
const wire = json_write.wire;

const range_special = "\"\\()[],";
const row_special = "\"\\(),";

/// A range or a multirange.
pub fn write(context: *Context, info: *const TypeInfo, target: *Target, body: []const u8) Failure!void {
    target.scratch.truncate(0);
    try plain(context, info, &target.scratch, body);
    try json_write.string(context, target, target.scratch.bytes.items);
}

/// The server's text of any value. Recursion is bounded by the depth of the context.
fn plain(context: *Context, info: *const TypeInfo, out: *Buffer, body: []const u8) Failure!void {
    switch (info.kind) {
        .range, .multirange, .array, .record, .composite => {},
        .money, .text_only => return decode.sayTextOnly(context, info),
        else => |kind| return wire(server_text.write(out, kind, body)),
    }
    try decode_containers.enter(context);
    defer context.leave();
    try switch (info.kind) {
        .range => range(context, info, out, body),
        .multirange => multirange(context, info, out, body),
        .array => array(context, info, out, body),
        else => composite(context, info, out, body),
    };
}

fn range(context: *Context, info: *const TypeInfo, out: *Buffer, body: []const u8) Failure!void {
    const value = try wire(types.range.decode(body));
    if (value.empty) return put(out, "empty");
    try put(out, if (value.lower_inclusive and value.lower != null) "[" else "(");
    if (value.lower) |bytes| try part(context, info.element.?, out, bytes, range_special);
    try put(out, ",");
    if (value.upper) |bytes| try part(context, info.element.?, out, bytes, range_special);
    try put(out, if (value.upper_inclusive and value.upper != null) "]" else ")");
}

fn multirange(context: *Context, info: *const TypeInfo, out: *Buffer, body: []const u8) Failure!void {
    const value = try wire(types.multirange.decode(body));
    var each = value.iterator();
    try put(out, "{");
    for (0..value.count) |i| {
        if (i > 0) try put(out, ",");
        try range(context, info.element.?, out, try wire(each.next()));
    }
    try wire(each.finish());
    try put(out, "}");
}

fn composite(context: *Context, described: *const TypeInfo, out: *Buffer, body: []const u8) Failure!void {
    const value = try wire(types.composite.decode(body));
    const info = try decode_containers.asItIs(context, described, value);
    var fields = value.iterator();
    try put(out, "(");
    for (0..value.count) |i| {
        if (i > 0) try put(out, ",");
        const field = try wire(fields.next());
        const bytes = field.value orelse continue;
        const expected = if (i < info.fields.len) info.fields[i].type else null;
        try part(context, try decode_containers.lookup(context, field.oid, expected), out, bytes, row_special);
    }
    try wire(fields.finish());
    try put(out, ")");
}

/// A bound or a field, in quotes where a reader would take it for something else.
fn part(context: *Context, info: *const TypeInfo, out: *Buffer, body: []const u8, special: []const u8) Failure!void {
    const mark = out.len();
    try plain(context, info, out, body);
    const text = out.bytes.items[mark..];
    if (text.len == 0 or needsQuotes(text, special)) try server_text.quoteFrom(out, mark, .doubled);
}

fn needsQuotes(text: []const u8, special: []const u8) bool {
    return std.mem.findAny(u8, text, special) != null or std.mem.findAny(u8, text, &std.ascii.whitespace) != null;
}

fn array(context: *Context, info: *const TypeInfo, out: *Buffer, body: []const u8) Failure!void {
    const value = try wire(types.array.decode(body));
    if (value.element_count == 0) return put(out, "{}");
    var level: Level = .{
        .context = context,
        .out = out,
        .element = try decode_containers.lookup(context, value.element_oid, info.element),
        .delimiter = info.delimiter,
        .elements = value.iterator(),
    };
    try level.bounds(value.dims());
    try level.list(value.dims());
    try wire(level.elements.finish());
}

const Level = struct {
    context: *Context,
    out: *Buffer,
    element: *const TypeInfo,
    delimiter: u8,
    elements: types.array.Iterator,

    /// `[0:1]=`, where a list does not begin at 1.
    fn bounds(self: *Level, dimensions: []const types.array.Dimension) Failure!void {
        for (dimensions) |dimension| {
            if (dimension.lower_bound != 1) break;
        } else return;
        for (dimensions) |dimension| {
            var room: [32]u8 = undefined;
            const last = @as(i64, dimension.lower_bound) + dimension.length - 1;
            const text = std.fmt.bufPrint(&room, "[{d}:{d}]", .{ dimension.lower_bound, last }) catch unreachable; // two 32-bit numbers
            try put(self.out, text);
        }
        try put(self.out, "=");
    }

    /// Recursion is bounded: `dimensions` has at most six entries.
    fn list(self: *Level, dimensions: []const types.array.Dimension) Failure!void {
        try put(self.out, "{");
        for (0..dimensions[0].length) |i| {
            if (i > 0) try put(self.out, &.{self.delimiter});
            if (dimensions.len > 1) try self.list(dimensions[1..]) else try self.one();
        }
        try put(self.out, "}");
    }

    fn one(self: *Level) Failure!void {
        const body = try wire(self.elements.next()) orelse return put(self.out, "NULL");
        const mark = self.out.len();
        try plain(self.context, self.element, self.out, body);
        const text = self.out.bytes.items[mark..];
        const special = [_]u8{ '"', '\\', '{', '}', self.delimiter };
        if (text.len == 0 or std.ascii.eqlIgnoreCase(text, "NULL") or needsQuotes(text, &special)) {
            try server_text.quoteFrom(self.out, mark, .backslash);
        }
    }
};

fn put(out: *Buffer, bytes: []const u8) error{OutOfMemory}!void {
    try out.bytes.appendSlice(out.gpa, bytes);
}
