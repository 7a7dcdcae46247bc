//! One column on its way from Arrow into a COPY: its values in binary, or as text where the server is to read
//! one of the columns as text. Called by arrow_rows.zig.
//! PostgreSQL docs: sql-copy, "Binary Format" and "Text Format".
const std = @import("std");
const arrow = @import("arrow");
const protocol = @import("protocol");
const types = @import("types");
const body_text = @import("body_text.zig");
const depth_max = @import("context.zig").depth_max;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Field = arrow.foreign.Field;
const Node = arrow.node.Node;
const Target = arrow.Target;
const Value = arrow.node.Value;
const Writer = protocol.WriteBuffer;

pub const Cell = struct {
    /// Which of the stream's columns.
    index: usize,
    field: *const Field,
    target: *const Target,
    info: *const TypeInfo,

    pub fn writeBinary(self: *const Cell, output: *Writer, node: *const Node, row: usize, problem: *[]const u8) arrow.target.Error!void {
        const value = try self.valueOf(node, row, problem);
        return arrow.target.write(output, self.target, value, problem);
    }

    /// The value and the tab or newline behind it.
    pub fn writeText(self: *const Cell, output: *Writer, scratch: *Writer, node: *const Node, row: usize, is_last: bool, problem: *[]const u8) arrow.target.Error!void {
        const value = try self.valueOf(node, row, problem);
        if (value == .nothing) {
            try output.writeBytes("\\N");
        } else {
            scratch.truncate(0);
            if (self.target.kind == .array) {
                try self.arrayText(scratch, value, problem);
            } else try plainText(scratch, self.target, value, problem);
            try escaped(output, scratch.bytes.items);
        }
        try output.writeByte(if (is_last) '\n' else '\t');
    }

    /// The row counts from the batch's offset, which the children do not know of.
    fn valueOf(self: *const Cell, node: *const Node, row: usize, problem: *[]const u8) arrow.target.Error!Value {
        return node.children[self.index].value(node.offset + row, problem);
    }

    fn arrayText(self: *const Cell, scratch: *Writer, value: Value, problem: *[]const u8) arrow.target.Error!void {
        if (value == .text) return arrow.target.text(scratch, value.text, problem); // the server reads it
        const list = value.list;
        var element: Writer = .init(scratch.gpa);
        defer element.deinit();
        try scratch.writeByte('{');
        for (list.start..list.end) |index| {
            if (index > list.start) try scratch.writeByte(self.info.delimiter);
            const item = try list.child.value(index, problem);
            if (item == .nothing) {
                try scratch.writeBytes("NULL");
                continue;
            }
            element.truncate(0);
            try plainText(&element, self.target.element.?, item, problem);
            types.text_array.quote(scratch, element.bytes.items) catch |err| return narrow(err, problem);
        }
        try scratch.writeByte('}');
    }
};

/// A value that is no array, as the server's input functions read it.
fn plainText(scratch: *Writer, target: *const Target, value: Value, problem: *[]const u8) arrow.target.Error!void {
    if (value == .text) return arrow.target.text(scratch, value.text, problem);
    var body: Writer = .init(scratch.gpa);
    defer body.deinit();
    try arrow.target.write(&body, target, value, problem);
    // Its length stands in front of it.
    body_text.write(scratch, target.kind, body.bytes.items[4..]) catch |err| return narrow(err, problem);
}

fn narrow(err: types.EncodeError, problem: *[]const u8) arrow.target.Error {
    return switch (err) {
        error.OutOfMemory => error.OutOfMemory,
        error.MessageTooLong => error.MessageTooLong,
        error.InvalidValue, error.OutOfRange => {
            problem.* = "it has no text form that the server reads";
            return error.Refused;
        },
    };
}

fn escaped(output: *Writer, text: []const u8) Writer.Error!void {
    for (text) |byte| switch (byte) {
        '\\' => try output.writeBytes("\\\\"),
        '\n' => try output.writeBytes("\\n"),
        '\r' => try output.writeBytes("\\r"),
        '\t' => try output.writeBytes("\\t"),
        else => try output.writeByte(byte),
    };
}

pub fn targetOf(arena: std.mem.Allocator, info: *const TypeInfo, depth: u8) error{OutOfMemory}!*const Target {
    const made = try arena.create(Target);
    made.* = .{ .oid = info.oid, .kind = info.kind, .binary = info.binary, .lower_bound = info.lower_bound };
    if (info.kind == .array and depth < depth_max) made.element = try targetOf(arena, info.element.?, depth + 1);
    return made;
}

/// What the type is called, for messages.
pub fn nameOf(field: *const Field) []const u8 {
    return switch (field.valueKind()) {
        .nothing => "null",
        .boolean => "bool",
        .integer => |integer| switch (integer.size) {
            1 => if (integer.signed) "int8" else "uint8",
            2 => if (integer.signed) "int16" else "uint16",
            4 => if (integer.signed) "int32" else "uint32",
            else => if (integer.signed) "int64" else "uint64",
        },
        .float => |size| switch (size) {
            2 => "float16",
            4 => "float32",
            else => "float64",
        },
        .text, .text_view => "utf8",
        .binary, .binary_view => "binary",
        .fixed => "fixed-size binary",
        .date => "date",
        .time => "time",
        .timestamp => |timestamp| if (timestamp.has_zone) "timestamp with a time zone" else "timestamp without a time zone",
        .duration => "duration",
        .months, .day_time, .month_day_nano => "interval",
        .decimal => "decimal",
        .list, .fixed_list => "list",
        .structure => "struct",
        .other => field.valueField().format,
    };
}

/// What helps, where it is a common case.
pub fn advice(field: *const Field, target: *const Target) []const u8 {
    switch (field.valueKind()) {
        .timestamp => |timestamp| {
            if (target.kind == .timestamptz and !timestamp.has_zone) return ": give it a time zone first";
            if (target.kind == .timestamp and timestamp.has_zone) return ": take its time zone away first";
        },
        .structure => return ": load its fields into columns of their own, or its text",
        .list, .fixed_list => if (target.kind == .array) return ": lists of one dimension go into arrays, element by element",
        else => {},
    }
    return "";
}
