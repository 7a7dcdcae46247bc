//! Rows as one JSON array of objects, for `query_json`: a `Collector` of `sink.zig`. The text grows inside
//! the very bytes object that `Request.result` gives, so nothing of it is copied at the end.
const std = @import("std");
const protocol = @import("protocol");
const types = @import("types");
const py = @import("py.zig");
const json_write = @import("json_write.zig");
const nameOf = @import("json_containers.zig").nameOf;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Statement = @import("statement.zig").Statement;
const Object = py.Object;

const gpa = std.heap.c_allocator;

pub const Error = json_write.Failure;

/// What a small result fits into.
const size_first = 1000;
const key_chunk = 16;

pub const JsonRows = struct {
    bytes: BytesAllocator = .{},
    target: json_write.Target,
    /// The statement that `columns` are made of; kept alive.
    statement: ?*Statement = null,
    columns: []Column = &.{},
    /// All columns' keys, one behind the other.
    keys: protocol.WriteBuffer,

    /// It must not be moved: `target` points into it.
    pub fn create() error{OutOfMemory}!*JsonRows {
        const self = try gpa.create(JsonRows);
        errdefer gpa.destroy(self);
        self.* = .{
            .target = .{ .out = undefined, .scratch = .init(gpa) },
            .keys = .init(gpa),
        };
        self.target.out = .init(self.bytes.allocator());
        _ = try self.target.out.reserve(size_first);
        self.target.out.bytes.appendAssumeCapacity('[');
        return self;
    }

    pub fn destroy(self: *JsonRows) void {
        if (self.bytes.lost) self.target.out.bytes = .empty;
        self.target.out.deinit();
        self.target.scratch.deinit();
        self.dropColumns();
        self.keys.deinit();
        gpa.destroy(self);
    }

    /// Add a row, or leave everything as it was. `column` becomes the index of the one that failed.
    pub fn row(
        self: *JsonRows,
        context: *json_write.Context,
        statement: *const Statement,
        values: *protocol.DataRow.Iterator,
        column: *usize,
    ) Error!void {
        if (self.statement != statement) try self.learn(statement);
        const target = &self.target;
        const mark = target.out.len();
        errdefer if (!self.bytes.lost) target.out.truncate(mark);
        for (self.columns, 0..) |*each, i| {
            // The sink has compared the counts, so there is a value for each column.
            const value = values.take() catch return error.Malformed;
            const writer = each.writer orelse continue;
            try self.putKey(each);
            const body = value orelse {
                try json_write.put(target, "null");
                continue;
            };
            writer(context, each.info, target, body) catch |err| {
                column.* = i;
                return err;
            };
        }
        values.end() catch return error.Malformed;
        try json_write.put(target, if (self.columns.len == 0) "{}," else "},");
    }

    /// In chunks of a fixed size, which is quicker than any copy of so few bytes of a size that is not known.
    inline fn putKey(self: *JsonRows, column: *const Column) error{OutOfMemory}!void {
        const out = try self.target.out.reserve(column.key_end - column.key_start + key_chunk);
        var read = column.key_start;
        while (read < column.key_end) : (read += key_chunk) {
            out[read - column.key_start ..][0..key_chunk].* = self.keys.bytes.items[read..][0..key_chunk].*;
        }
        self.target.out.advance(column.key_end - column.key_start);
    }

    /// The whole array; nothing is left behind.
    pub fn finish(self: *JsonRows) py.Error!*Object {
        const out = &self.target.out;
        // In place of the comma behind the last row.
        if (out.len() == 1) out.bytes.appendAssumeCapacity(']') else out.bytes.items[out.len() - 1] = ']';
        const size = out.len();
        out.bytes = .empty;
        return self.bytes.take(size);
    }

    fn learn(self: *JsonRows, statement: *const Statement) Error!void {
        self.dropColumns();
        self.keys.truncate(0);
        const columns = try gpa.alloc(Column, statement.columns.len);
        errdefer gpa.free(columns);
        for (columns, statement.columns, 0..) |*column, described, i| {
            column.* = .{ .info = described.info, .writer = null, .key_start = 0, .key_end = 0 };
            if (!statement.names_unique and appearsAgain(statement, i)) continue;
            column.writer = json_write.writerFor(described.info, described.format);
            column.key_start = self.keys.len();
            try self.keys.bytes.append(gpa, if (column.key_start == 0) '{' else ',');
            types.json_text.string(&self.keys, try nameOf(described.name)) catch |err| switch (err) {
                error.OutOfMemory => return error.OutOfMemory,
                error.NotUtf8 => unreachable, // it comes from a str
            };
            try self.keys.bytes.append(gpa, ':');
            column.key_end = self.keys.len();
        }
        // So that the last key's last chunk can be read.
        try self.keys.bytes.appendNTimes(gpa, 0, key_chunk);
        self.columns = columns;
        self.statement = @constCast(statement).retain();
    }

    fn dropColumns(self: *JsonRows) void {
        gpa.free(self.columns);
        self.columns = &.{};
        if (self.statement) |statement| statement.release();
        self.statement = null;
    }
};

const Column = struct {
    info: *const TypeInfo,
    /// Null: a later column has the same name, and that one is written.
    writer: ?json_write.Writer,
    /// Of the name in `keys`, with a brace or a comma in front and a colon behind.
    key_start: usize,
    key_end: usize,
};

fn appearsAgain(statement: *const Statement, index: usize) bool {
    // Names are interned, so the same name is the same object.
    for (statement.columns[index + 1 ..]) |later| if (later.name == statement.columns[index].name) return true;
    return false;
}

/// One growing block of memory that is the inside of a bytes object.
const BytesAllocator = struct {
    object: ?*Object = null,
    /// Growing has failed, and CPython has freed the object: what the buffer points to is not there any more.
    lost: bool = false,

    fn allocator(self: *BytesAllocator) std.mem.Allocator {
        return .{ .ptr = self, .vtable = &.{ .alloc = alloc, .resize = resize, .remap = remap, .free = free } };
    }

    /// The object, cut to `size`.
    fn take(self: *BytesAllocator, size: usize) py.Error!*Object {
        std.debug.assert(self.object != null);
        try py.ok(py._PyBytes_Resize(&self.object, @intCast(size)));
        defer self.object = null;
        return self.object.?;
    }

    fn of(context: *anyopaque) *BytesAllocator {
        return @ptrCast(@alignCast(context));
    }

    fn alloc(context: *anyopaque, size: usize, _: std.mem.Alignment, _: usize) ?[*]u8 {
        const self = of(context);
        // Asked for while there is one: that one could not grow.
        if (self.object != null or self.lost) return null;
        self.object = py.PyBytes_FromStringAndSize(null, std.math.cast(isize, size) orelse return null);
        return self.start();
    }

    fn resize(_: *anyopaque, memory: []u8, _: std.mem.Alignment, size: usize, _: usize) bool {
        return size == memory.len;
    }

    fn remap(context: *anyopaque, _: []u8, _: std.mem.Alignment, size: usize, _: usize) ?[*]u8 {
        const self = of(context);
        const length = std.math.cast(isize, size) orelse return null;
        if (py._PyBytes_Resize(&self.object, length) != 0) self.lost = true;
        return self.start();
    }

    fn free(context: *anyopaque, _: []u8, _: std.mem.Alignment, _: usize) void {
        const self = of(context);
        py.xdecref(self.object);
        self.object = null;
    }

    fn start(self: *BytesAllocator) ?[*]u8 {
        const object = self.object orelse {
            py.PyErr_Clear(); // who called says it in its own way
            return null;
        };
        return py.PyBytes_AsString(object);
    }
};
