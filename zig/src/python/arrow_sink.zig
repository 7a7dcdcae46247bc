//! Rows as Arrow: which Arrow type and which wire format each column of a statement gets, and the collector
//! that keeps the rows of one request. Called by the sink, and where results are asked for, by submit.zig.
const std = @import("std");
const arrow = @import("arrow");
const protocol = @import("protocol");
const py = @import("py.zig");
const decode = @import("decode.zig");
const raise = @import("raise.zig");
const Statement = @import("statement.zig").Statement;
const TypeInfo = @import("type_info.zig").TypeInfo;

const Typed = struct { type: arrow.Type, format: decode.Format };

const as_text: Typed = .{ .type = .{ .tag = .text }, .format = .text };

/// Types with a form of their own in Arrow come in binary; all others come as the text that the server prints.
fn typeOf(arena: std.mem.Allocator, info: *const TypeInfo, type_modifier: i32) error{OutOfMemory}!Typed {
    if (info.codec != null) return as_text; // what a codec makes of a value is a Python object
    if (info.kind == .array) return listOf(arena, info, type_modifier);
    if (!info.binary) return as_text;
    const own = arrow.types.ofKind(info.kind, type_modifier) orelse return as_text;
    return .{ .type = own, .format = .binary };
}

fn listOf(arena: std.mem.Allocator, info: *const TypeInfo, type_modifier: i32) error{OutOfMemory}!Typed {
    const of = info.element.?;
    const element = try arena.create(arrow.Type);
    if (info.binary and of.codec == null and of.kind != .void) {
        if (arrow.types.ofKind(of.kind, type_modifier)) |own| {
            element.* = own;
            return .{ .type = .{ .tag = .list, .element = element, .element_oid = of.oid }, .format = .binary };
        }
    }
    element.* = as_text.type;
    return .{ .type = .{ .tag = .text_list, .element = element, .delimiter = info.delimiter }, .format = .text };
}

/// The format in which each column is asked for; of a statement without columns there is one for all.
/// The caller frees it.
pub fn formats(gpa: std.mem.Allocator, statement: *const Statement) error{OutOfMemory}![]u16 {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const codes = try gpa.alloc(u16, @max(statement.columns.len, 1));
    errdefer gpa.free(codes);
    codes[0] = protocol.format_binary;
    for (codes[0..statement.columns.len], statement.columns) |*code, column| {
        const typed = try typeOf(arena.allocator(), column.info, column.type_modifier);
        code.* = if (typed.format == .binary) protocol.format_binary else 0;
    }
    return codes;
}

/// Whether rows that come in `actual` can be read: those of a statement whose columns were altered after it
/// was asked for in the formats of what they were before cannot. Then an exception is set.
pub fn check(gpa: std.mem.Allocator, statement: *const Statement, actual: []const u16) py.Error!bool {
    const wanted = formats(gpa, statement) catch return raise.outOfMemory();
    defer gpa.free(wanted);
    for (wanted[0..statement.columns.len], actual, statement.columns) |code, other, column| {
        if (code == other) continue;
        var size: isize = 0;
        const name = py.PyUnicode_AsUTF8AndSize(column.name, &size) orelse return error.PythonError;
        raise.set("DataError", "column \"{s}\" ({f}): its type was altered since the statement was prepared; run the statement again", .{ name[0..@intCast(size)], column.info });
        return false;
    }
    return true;
}

/// Begin to collect the rows of `statement`; of null there are no columns.
pub fn begin(gpa: std.mem.Allocator, statement: ?*const Statement) (error{OutOfMemory} || py.Error)!*arrow.Rows {
    var arena: std.heap.ArenaAllocator = .init(gpa);
    defer arena.deinit();
    const columns = if (statement) |known| known.columns else &.{};
    const named = try arena.allocator().alloc(arrow.Schema.Named, columns.len);
    for (named, columns) |*each, column| {
        var size: isize = 0;
        const name = py.PyUnicode_AsUTF8AndSize(column.name, &size) orelse return error.PythonError;
        const typed = try typeOf(arena.allocator(), column.info, column.type_modifier);
        each.* = .{ .name = name[0..@intCast(size)], .type = typed.type };
    }
    const schema: *arrow.Schema = try .create(gpa, named);
    const rows = gpa.create(arrow.Rows) catch |err| {
        schema.release();
        return err;
    };
    errdefer gpa.destroy(rows);
    rows.* = try .init(gpa, schema);
    return rows;
}

pub fn end(gpa: std.mem.Allocator, rows: *arrow.Rows) void {
    rows.deinit();
    gpa.destroy(rows);
}
