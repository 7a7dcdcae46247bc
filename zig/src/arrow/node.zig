//! An array that comes from elsewhere, checked as far as it can be, and its values one by one. Called by
//! `Incoming` for each batch. The sizes of most buffers are not told, so offsets into text are taken on trust;
//! everything that points into another array is not.
//! Arrow docs: "The Arrow C data interface"; "Arrow Columnar Format".
const std = @import("std");
const c_data = @import("c_data.zig");
const foreign = @import("foreign.zig");
const getBit = @import("buffer.zig").getBit;
const Field = foreign.Field;

pub const Error = error{ OutOfMemory, Refused };

pub const ValueError = error{
    /// The array points to where nothing is.
    Corrupt,
    /// No value of its own type.
    Refused,
};

/// One value, in the widest form of its sort.
pub const Value = union(enum) {
    nothing,
    boolean: bool,
    integer: i128,
    float: f64,
    text: []const u8,
    bytes: []const u8,
    /// Since 1970-01-01.
    days: i64,
    /// Of a day, since 1970-01-01, or between two moments.
    moment: struct { count: i64, unit: foreign.Unit },
    span: struct { months: i32, days: i32, nanoseconds: i64 },
    decimal: struct { value: i256, scale: i32 },
    list: struct { child: *const Node, start: usize, end: usize },
    structure: struct { node: *const Node, index: usize },
};

pub const Node = struct {
    field: *const Field,
    length: usize,
    offset: usize,
    validity: ?[*]const u8,
    buffers: []const ?*const anyopaque,
    children: []Node = &.{},
    dictionary: ?*Node = null,

    /// `array` and what it points to must outlive the node.
    pub fn init(arena: std.mem.Allocator, field: *const Field, array: *const c_data.Array, problem: *[]const u8) Error!Node {
        const length = std.math.cast(usize, array.length) orelse return refuse(problem, "an array of negative length");
        const offset = std.math.cast(usize, array.offset) orelse return refuse(problem, "an array of negative offset");
        if (length > std.math.maxInt(i64) - offset) return refuse(problem, "an array that ends beyond all memory");
        var node: Node = .{ .field = field, .length = length, .offset = offset, .validity = null, .buffers = &.{} };
        if (field.kind == .other) return node;
        try node.takeBuffers(array, problem);
        if (array.n_children != field.children.len) return refuse(problem, "an array with another number of children than its schema");
        if (field.children.len > 0) {
            const pointers = array.children orelse return refuse(problem, "an array whose children are missing");
            node.children = try arena.alloc(Node, field.children.len);
            for (node.children, field.children, pointers[0..field.children.len]) |*child, *child_field, pointer| {
                const given = pointer orelse return refuse(problem, "an array whose children are missing");
                child.* = try .init(arena, child_field, given, problem);
            }
        }
        const needed: usize = switch (field.kind) {
            .structure => offset + length,
            .fixed_list => |size| std.math.mul(usize, offset + length, size) catch return refuse(problem, "an array that ends beyond all memory"),
            else => 0,
        };
        for (node.children) |child| if (child.length < needed) return refuse(problem, "an array with a child that is too short");
        if (field.dictionary) |values| {
            const given = array.dictionary orelse return refuse(problem, "an array whose dictionary is missing");
            const made = try arena.create(Node);
            made.* = try .init(arena, values, given, problem);
            node.dictionary = made;
        }
        return node;
    }

    fn takeBuffers(self: *Node, array: *const c_data.Array, problem: *[]const u8) Error!void {
        const wanted = self.field.kind.bufferCount();
        const given = std.math.cast(usize, array.n_buffers) orelse return refuse(problem, "an array with a negative number of buffers");
        const is_view = self.field.kind == .text_view or self.field.kind == .binary_view;
        if (if (is_view) given < wanted or given > std.math.maxInt(i32) else given != wanted) return refuse(problem, "an array with another number of buffers than its type");
        if (wanted == 0) return;
        self.buffers = (array.buffers orelse return refuse(problem, "an array whose buffers are missing"))[0..given];
        self.validity = @ptrCast(self.buffers[0]);
        if (self.length == 0) return;
        // The text itself may be missing where there is none.
        if (wanted > 1 and self.buffers[1] == null) return refuse(problem, "an array whose values are missing");
        if (is_view and given > 3 and self.buffers[given - 1] == null) return refuse(problem, "an array whose sizes are missing");
        if (self.validity == null and array.null_count > 0) return refuse(problem, "an array with NULLs that does not say which");
    }

    inline fn items(self: *const Node, comptime T: type) [*]align(1) const T {
        return @ptrCast(self.buffers[1].?);
    }

    pub fn isNull(self: *const Node, index: usize) bool {
        if (self.field.kind == .nothing) return true;
        const bits = self.validity orelse return false;
        return !getBit(bits, self.offset + index);
    }

    /// `index` counts from the array's offset. `problem` says what is wrong with it.
    pub fn value(self: *const Node, index: usize, problem: *[]const u8) ValueError!Value {
        std.debug.assert(index < self.length);
        if (self.isNull(index)) return .nothing;
        const at = self.offset + index;
        if (self.dictionary) |values| {
            const position = std.math.cast(usize, self.integer(at)) orelse return corrupt(problem, "an index that its dictionary has not got");
            if (position >= values.length) return corrupt(problem, "an index that its dictionary has not got");
            return values.value(position, problem);
        }
        return switch (self.field.kind) {
            .nothing => .nothing,
            .boolean => .{ .boolean = getBit(self.items(u8), at) },
            .integer => .{ .integer = self.integer(at) },
            .float => |size| .{ .float = switch (size) {
                2 => self.items(f16)[at],
                4 => self.items(f32)[at],
                else => self.items(f64)[at],
            } },
            .text => |size| .{ .text = try self.bytes(size, at, problem) },
            .binary => |size| .{ .bytes = try self.bytes(size, at, problem) },
            .text_view => .{ .text = try self.view(at, problem) },
            .binary_view => .{ .bytes = try self.view(at, problem) },
            .fixed => |size| .{ .bytes = self.items(u8)[at * size ..][0..size] },
            .date => |size| .{ .days = if (size == 4) self.items(i32)[at] else days: {
                const milliseconds = self.items(i64)[at];
                if (@mod(milliseconds, std.time.ms_per_day) != 0) return refuse(problem, "a date with a time of day");
                break :days @divExact(milliseconds, std.time.ms_per_day);
            } },
            .time => |time| .{ .moment = .{ .count = if (time.size == 4) self.items(i32)[at] else self.items(i64)[at], .unit = time.unit } },
            .timestamp => |timestamp| .{ .moment = .{ .count = self.items(i64)[at], .unit = timestamp.unit } },
            .duration => |unit| .{ .moment = .{ .count = self.items(i64)[at], .unit = unit } },
            .months => .{ .span = .{ .months = self.items(i32)[at], .days = 0, .nanoseconds = 0 } },
            .day_time => .{ .span = .{ .months = 0, .days = self.items(i32)[at * 2], .nanoseconds = @as(i64, self.items(i32)[at * 2 + 1]) * std.time.ns_per_ms } },
            .month_day_nano => .{ .span = .{
                .months = self.items(i32)[at * 4],
                .days = self.items(i32)[at * 4 + 1],
                .nanoseconds = self.items(i64)[at * 2 + 1],
            } },
            .decimal => |decimal| .{ .decimal = .{ .scale = decimal.scale, .value = switch (decimal.size) {
                4 => self.items(i32)[at],
                8 => self.items(i64)[at],
                16 => @as(i128, @bitCast(self.items([16]u8)[at])),
                else => @bitCast(self.items([32]u8)[at]),
            } } },
            .list => |size| list: {
                const start, const end = try self.range(size, at, problem);
                if (end > self.children[0].length) return corrupt(problem, "a list that ends beyond its elements");
                break :list .{ .list = .{ .child = &self.children[0], .start = start, .end = end } };
            },
            .fixed_list => |size| .{ .list = .{ .child = &self.children[0], .start = at * size, .end = (at + 1) * size } },
            .structure => .{ .structure = .{ .node = self, .index = at } },
            .other => corrupt(problem, "a type that cannot be read"),
        };
    }

    fn integer(self: *const Node, at: usize) i128 {
        const kind = self.field.kind.integer;
        return switch (kind.size) {
            1 => if (kind.signed) self.items(i8)[at] else self.items(u8)[at],
            2 => if (kind.signed) self.items(i16)[at] else self.items(u16)[at],
            4 => if (kind.signed) self.items(i32)[at] else self.items(u32)[at],
            else => if (kind.signed) self.items(i64)[at] else self.items(u64)[at],
        };
    }

    fn range(self: *const Node, size: u8, at: usize, problem: *[]const u8) ValueError!struct { usize, usize } {
        const start: i64, const end: i64 = if (size == 4)
            .{ self.items(i32)[at], self.items(i32)[at + 1] }
        else
            .{ self.items(i64)[at], self.items(i64)[at + 1] };
        if (start < 0 or end < start) return corrupt(problem, "offsets that run backwards");
        return .{ @intCast(start), @intCast(end) };
    }

    fn bytes(self: *const Node, size: u8, at: usize, problem: *[]const u8) ValueError![]const u8 {
        const start, const end = try self.range(size, at, problem);
        if (start == end) return "";
        const data: [*]const u8 = @ptrCast(self.buffers[2] orelse return corrupt(problem, "text that is missing"));
        return data[start..end];
    }

    fn view(self: *const Node, at: usize, problem: *[]const u8) ValueError![]const u8 {
        const head: [*]const u8 = self.items([16]u8)[at][0..];
        const size = std.math.cast(usize, std.mem.bytesToValue(i32, head[0..4])) orelse return corrupt(problem, "text of negative size");
        if (size <= 12) return head[4..][0..size];
        const number = std.math.cast(usize, std.mem.bytesToValue(i32, head[8..12])) orelse return corrupt(problem, "text in no buffer");
        const start = std.math.cast(usize, std.mem.bytesToValue(i32, head[12..16])) orelse return corrupt(problem, "offsets that run backwards");
        if (number + 3 >= self.buffers.len) return corrupt(problem, "text in no buffer");
        const sizes: [*]align(1) const i64 = @ptrCast(self.buffers[self.buffers.len - 1].?);
        const data: [*]const u8 = @ptrCast(self.buffers[number + 2] orelse return corrupt(problem, "text that is missing"));
        if (start + size > (std.math.cast(usize, sizes[number]) orelse 0)) return corrupt(problem, "text that ends beyond its buffer");
        return data[start..][0..size];
    }
};

fn refuse(problem: *[]const u8, why: []const u8) error{Refused} {
    problem.* = why;
    return error.Refused;
}

fn corrupt(problem: *[]const u8, why: []const u8) error{Corrupt} {
    problem.* = why;
    return error.Corrupt;
}
