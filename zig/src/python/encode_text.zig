//! Parameters in text format: containers in which something is only text to us, because its type has
//! no binary form we know or because the user gave a str for the server to parse.
//! PostgreSQL docs: arrays, "Array Input and Output Syntax"; rowtypes, "Composite Type Input and
//! Output Syntax"; rangetypes, "Range Input/Output".
//!
//! A part that is not text itself is encoded in binary first, with all the checks of that encoder, and
//! its bytes are printed; so there is one place that knows which Python object fits which type.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const body_text = @import("body_text.zig");
const containers = @import("encode_containers.zig");
const encode = @import("encode.zig");
const scalars = @import("encode_scalars.zig");
const Nesting = @import("nesting.zig").Nesting;
const Sequence = @import("sequence.zig").Sequence;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Object = py.Object;
const Context = encode.Context;
const Writer = encode.Writer;
const Inner = encode.Inner;

/// A parameter: its length and its text, or NULL.
pub fn element(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    if (object == py.hd_none()) return writer.writeNull();
    const mark = try writer.beginValue();
    try text(context, info, object, writer);
    try writer.endValue(mark);
}

/// `object` is not None.
fn text(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    if (encode.isEnumMember(context, object)) {
        const value = try encode.enterEnum(context, object);
        defer encode.leaveEnum(context, value);
        if (value == py.hd_none()) return scalars.notThis(context, "an Enum member with a value", value);
        return text(context, info, value, writer);
    }
    if (info.codec) |codec| {
        if (!info.binary) return scalars.codec(context, codec.encode, false, object, writer);
        context.say("{f} has a binary codec, which does not go together with a str in the same value", .{info});
        return error.Mismatch;
    }
    if (encode.isStr(context, object)) return scalars.text(context, object, writer);
    switch (info.kind) {
        .array => try array(context, info, object, writer),
        .composite => try composite(context, info, object, writer),
        .range => try range(context, info, object, writer),
        .multirange => try multirange(context, info, object, writer),
        .inet, .cidr => try address(context, object, writer),
        .money, .text_only => try number(context, object, writer),
        .macaddr, .macaddr8, .bit, .varbit, .pg_lsn, .tsvector, .tsquery => return scalars.notThis(context, "str", object),
        .json, .jsonb => try scalars.json(context, false, object, writer),
        else => {
            var scratch: Writer = .init(writer.gpa);
            defer scratch.deinit();
            try encode.body(context, info, object, &scratch);
            try body_text.write(writer, info.kind, scratch.bytes.items);
        },
    }
}

/// A part inside a container: in quotes, which every input function takes, with its text escaped.
fn quoted(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    var scratch: Writer = .init(writer.gpa);
    defer scratch.deinit();
    try text(context, info, object, &scratch);
    try types.text_array.quote(writer, scratch.bytes.items);
}

fn enter(context: *Context) Inner!void {
    if (!context.enter()) return error.Mismatch;
}

fn array(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const nesting: Nesting = .of(info.element.?);
    const items = try Sequence.of(context, object) orelse return containers.notArray(context, object);
    defer items.deinit();
    if (info.lower_bound == 0) return vector(context, info.element.?, items, writer);
    const shape: containers.Shape = try .measure(context, nesting, items);
    const mark = writer.len();
    var level: Level = .{ .context = context, .info = info, .nesting = nesting, .writer = writer };
    try level.write(items, shape.lengths[0..shape.count]);
    if (!shape.isEmpty()) return;
    writer.truncate(mark);
    try writer.writeBytes("{}");
}

/// int2vector and oidvector: numbers and spaces.
fn vector(context: *Context, number_info: *const TypeInfo, items: Sequence, writer: *Writer) Inner!void {
    for (0..items.count) |i| {
        if (i != 0) try writer.writeByte(' ');
        const item = try items.at(context, i);
        defer py.decref(item);
        try text(context, number_info, item, writer);
    }
}

const Level = struct {
    context: *Context,
    /// The array's.
    info: *const TypeInfo,
    nesting: Nesting,
    writer: *Writer,

    /// Recursion is bounded: `lengths` has at most six entries.
    fn write(self: *Level, items: Sequence, lengths: []const u32) Inner!void {
        if (items.count != lengths[0]) return containers.ragged(self.context);
        try self.writer.writeByte('{');
        for (0..items.count) |i| {
            if (i != 0) try self.writer.writeByte(self.info.delimiter);
            const item = try items.at(self.context, i);
            defer py.decref(item);
            if (try self.nesting.isDimension(self.context, item) != (lengths.len > 1)) return containers.ragged(self.context);
            if (lengths.len > 1) {
                const inner = (try Sequence.of(self.context, item)).?;
                defer inner.deinit();
                try self.write(inner, lengths[1..]);
            } else if (item == py.hd_none()) {
                try self.writer.writeBytes("NULL");
            } else {
                try quoted(self.context, self.info.element.?, item, self.writer);
            }
        }
        try self.writer.writeByte('}');
    }
};

/// A field that is NULL is nothing at all between its commas.
fn composite(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const items = try containers.fieldValues(context, info, object);
    defer items.deinit();
    try writer.writeByte('(');
    for (info.fields, 0..) |field, i| {
        if (i != 0) try writer.writeByte(',');
        const item = try items.at(context, i);
        defer py.decref(item);
        if (item != py.hd_none()) try quoted(context, field.type, item, writer);
    }
    try writer.writeByte(')');
}

fn range(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    if (encode.isStr(context, object)) return scalars.text(context, object, writer);
    try enter(context);
    defer context.leave();
    const bounds: containers.Bounds = try .of(context, object);
    if (bounds.shape.empty) return writer.writeBytes("empty");
    try writer.writeByte(if (bounds.shape.lower_inclusive) '[' else '(');
    if (bounds.shape.has_lower) try quoted(context, info.element.?, bounds.lower, writer);
    try writer.writeByte(',');
    if (bounds.shape.has_upper) try quoted(context, info.element.?, bounds.upper, writer);
    try writer.writeByte(if (bounds.shape.upper_inclusive) ']' else ')');
}

fn multirange(context: *Context, info: *const TypeInfo, object: *Object, writer: *Writer) Inner!void {
    try enter(context);
    defer context.leave();
    const items = try Sequence.of(context, object) orelse return scalars.notThis(context, "Multirange", object);
    defer items.deinit();
    try writer.writeByte('{');
    for (0..items.count) |i| {
        if (i != 0) try writer.writeByte(',');
        const item = try items.at(context, i);
        defer py.decref(item);
        try range(context, info.element.?, item, writer);
    }
    try writer.writeByte('}');
}

/// An address, interface or network of the standard library prints itself as the server reads it.
fn address(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const fits = py.PyObject_IsInstance(object, context.classes.ip_types);
    try py.ok(fits);
    if (fits == 0) return scalars.notThis(context, "str or an object of ipaddress", object);
    try printed(context, object, writer);
}

/// money and types nobody knows take numbers as they are printed, and nothing else but str.
fn number(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const fits = py.hd_flags(object) & py.flag.long != 0 or
        py.hd_is(object, @ptrCast(context.classes.decimal)) != 0 or
        py.hd_is(object, py.typeObject("PyFloat_Type")) != 0;
    if (!fits or py.hd_is(object, py.typeObject("PyBool_Type")) != 0) return scalars.notThis(context, "str or a number", object);
    try printed(context, object, writer);
}

fn printed(context: *Context, object: *Object, writer: *Writer) Inner!void {
    const string = py.PyObject_Str(object) orelse return encode.complaint(context);
    defer py.decref(string);
    try writer.writeBytes(try scalars.plainText(context, string));
}
