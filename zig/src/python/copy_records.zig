//! Python rows as the data of a COPY, in binary or in text format, by the types of the table's own columns.
//! Called by copy.zig. An error names the record, counted from 0, and the column.
//! PostgreSQL docs: sql-copy, "Binary Format" and "Text Format".
const std = @import("std");
const net = @import("net");
const protocol = @import("protocol");
const py = @import("py.zig");
const copy = @import("copy.zig");
const encode = @import("encode.zig");
const encode_text = @import("encode_text.zig");
const raise = @import("raise.zig");
const submit = @import("submit.zig");
const type_info = @import("type_info.zig");
const Context = @import("context.zig").Context;
const Link = @import("link.zig").Link;
const Request = @import("request.zig").Request;
const Sequence = @import("sequence.zig").Sequence;
const Statement = @import("statement.zig").Statement;
const Object = py.Object;
const TypeInfo = type_info.TypeInfo;
const Writer = encode.Writer;

/// The clock is asked once in this many records.
const records_per_look = 16;

/// Whether values of every column have a binary form that is ours to write.
pub fn hasBinary(statement: *const Statement) bool {
    for (statement.columns) |column| if (!isWritable(column.info, 0)) return false;
    return true;
}

fn isWritable(info: *const TypeInfo, depth: u8) bool {
    if (depth > @import("context.zig").depth_max) return false;
    if (info.codec != null) return info.binary;
    if (!info.binary) return false;
    switch (info.kind) {
        .inet, .cidr, .macaddr, .macaddr8, .bit, .varbit, .pg_lsn, .tsvector, .tsquery, .money, .text_only, .char, .record, .void => return false,
        else => {},
    }
    if (info.element) |element| if (!isWritable(element, depth + 1)) return false;
    for (info.fields) |field| if (!isWritable(field.type, depth + 1)) return false;
    return true;
}

/// Write records until a message is full, the slice is over, or there are no more: then true.
pub fn write(link: *Link, request: *Request, statement: *const Statement, iterator: *Object, slice_end: u64) py.Error!bool {
    const output = &link.session.output;
    const at = copy.openMessage(link, request) catch |err| return submit.encodeFailed(err);
    defer output.endMessage(at) catch unreachable; // a record is longer than a message can be only with an error of its own
    if (request.copy_binary and !request.copy_header) {
        output.writeBytes(copy.header) catch |err| return submit.encodeFailed(err);
        request.copy_header = true;
    }
    var context: Context = .init(link.map);
    while (output.len() - at < copy.message_size_max) {
        const item = py.PyIter_Next(iterator) orelse {
            if (py.PyErr_Occurred() != null) return error.PythonError;
            return true;
        };
        defer py.decref(item);
        const mark = output.len();
        errdefer output.truncate(mark);
        try one(&context, request, statement, item, output);
        if (output.len() - at > protocol_size_max) return raise.raise("DataError", "record {d} is longer than the protocol allows", .{request.records});
        request.records += 1;
        if (request.records % records_per_look == 0 and net.now() > slice_end) return false;
    }
    return false;
}

const protocol_size_max = std.math.maxInt(i32) - 8;

fn one(context: *Context, request: *const Request, statement: *const Statement, item: *Object, output: *Writer) py.Error!void {
    const values = Sequence.of(context, item) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        else => null,
    } orelse return raise.raise("DataError", "record {d} is no sequence of values, but {s}", .{ request.records, py.hd_type_name(item) });
    defer values.deinit();
    const columns = statement.columns;
    if (values.count < columns.len) {
        return raise.raise("DataError", "record {d} has {d} value{s}, the table's columns are {d}: there is none for column \"{s}\"", .{
            request.records, values.count, if (values.count == 1) "" else "s", columns.len, try nameOf(columns[@intCast(values.count)]),
        });
    }
    if (values.count != columns.len) {
        return raise.raise("DataError", "record {d} has {d} value{s}, the table's columns are {d}", .{
            request.records, values.count, if (values.count == 1) "" else "s", columns.len,
        });
    }
    if (request.copy_binary) output.writeInt(i16, @intCast(columns.len)) catch |err| return submit.encodeFailed(err);
    for (columns, 0..) |column, i| {
        const value = values.at(context, i) catch |err| switch (err) {
            error.PythonError => return error.PythonError,
            else => return raise.raise("DataError", "record {d}: the list became shorter while it was read", .{request.records}),
        };
        defer py.decref(value);
        context.message = "";
        const outcome = if (request.copy_binary)
            encode.binary(context, column.info, value, output)
        else
            text(context, column.info, value, output, i + 1 == columns.len);
        outcome catch |err| switch (err) {
            error.PythonError => return error.PythonError,
            error.Mismatch => {
                context.depth = 0;
                return misfit(context, request, column, value);
            },
        };
    }
}

fn nameOf(column: anytype) py.Error![]const u8 {
    var size: isize = 0;
    const name = py.PyUnicode_AsUTF8AndSize(column.name, &size) orelse return error.PythonError;
    return name[0..@intCast(size)];
}

fn misfit(context: *const Context, request: *const Request, column: anytype, value: *Object) py.Error {
    return raise.raise("DataError", "record {d}, column \"{s}\": Python {s} does not fit {f}{s}{s}", .{
        request.records,                           try nameOf(column),
        py.hd_type_name(value),                    column.info,
        if (context.message.len > 0) ": " else "", context.message,
    });
}

/// A value, and the tab or newline behind it.
fn text(context: *Context, info: *const TypeInfo, value: *Object, output: *Writer, is_last: bool) encode.Failure!void {
    writeText(context, info, value, output) catch |err| return encode.failure(context, info, err);
    output.writeByte(if (is_last) '\n' else '\t') catch |err| return encode.failure(context, info, err);
}

fn writeText(context: *Context, info: *const TypeInfo, value: *Object, output: *Writer) encode.Inner!void {
    if (value == py.hd_none()) return output.writeBytes("\\N");
    var scratch: Writer = .init(output.gpa);
    defer scratch.deinit();
    try encode_text.element(context, info, value, &scratch);
    // Its length stands in front of it.
    for (scratch.bytes.items[4..]) |byte| switch (byte) {
        '\\' => try output.writeBytes("\\\\"),
        '\n' => try output.writeBytes("\\n"),
        '\r' => try output.writeBytes("\\r"),
        '\t' => try output.writeBytes("\\t"),
        else => try output.writeByte(byte),
    };
}
