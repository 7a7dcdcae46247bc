//! The type of a column that comes from elsewhere: a schema struct's format string, checked and taken apart.
//! What a producer says is not trusted further than can be looked at.
//! Arrow docs: "The Arrow C data interface", "Data type description -- format strings".
const std = @import("std");
const c_data = @import("c_data.zig");

pub const Unit = enum {
    second,
    millisecond,
    microsecond,
    nanosecond,

    fn of(letter: u8) ?Unit {
        return switch (letter) {
            's' => .second,
            'm' => .millisecond,
            'u' => .microsecond,
            'n' => .nanosecond,
            else => null,
        };
    }
};

pub const Kind = union(enum) {
    nothing,
    boolean,
    /// Size in bytes.
    integer: struct { size: u8, signed: bool },
    float: u8,
    /// Offsets of so many bytes.
    text: u8,
    text_view,
    binary: u8,
    binary_view,
    /// So many bytes each.
    fixed: usize,
    /// Days in 32 bits, or milliseconds in 64.
    date: u8,
    time: struct { size: u8, unit: Unit },
    timestamp: struct { unit: Unit, has_zone: bool },
    duration: Unit,
    months,
    day_time,
    month_day_nano,
    decimal: struct { size: u8, scale: i32 },
    list: u8,
    /// So many elements each.
    fixed_list: usize,
    structure,
    /// A map, a union, runs: nothing that a column here can be loaded from.
    other,

    /// Buffers of its arrays; those of a view are more, as it likes.
    pub fn bufferCount(self: Kind) usize {
        return switch (self) {
            .nothing => 0,
            .structure, .fixed_list => 1,
            .text, .binary => 3,
            .text_view, .binary_view => 3,
            .other => 0,
            else => 2,
        };
    }

    fn childCount(self: Kind) ?usize {
        return switch (self) {
            .list, .fixed_list => 1,
            .structure, .other => null,
            else => 0,
        };
    }
};

pub const Field = struct {
    name: []const u8,
    /// As it came, for messages.
    format: []const u8,
    kind: Kind,
    children: []Field = &.{},
    /// The values' type; `kind` is then the index's.
    dictionary: ?*Field = null,

    /// What values of the column are, whether they stand in a dictionary or not.
    pub fn valueKind(self: *const Field) Kind {
        var field = self;
        while (field.dictionary) |values| field = values;
        return field.kind;
    }

    pub fn valueField(self: *const Field) *const Field {
        var field = self;
        while (field.dictionary) |values| field = values;
        return field;
    }
};

pub const Error = error{ OutOfMemory, Refused };

const depth_max = 32;
const children_max = 100_000;
const format_size_max = 4096;

/// Copies what it keeps into `arena`. Refused: `problem` says what no schema has.
pub fn parse(arena: std.mem.Allocator, schema: *const c_data.Schema, problem: *[]const u8) Error!Field {
    return parseField(arena, schema, problem, 0);
}

fn parseField(arena: std.mem.Allocator, schema: *const c_data.Schema, problem: *[]const u8, depth: u8) Error!Field {
    if (depth > depth_max) return refuse(problem, "its schema is nested too deeply");
    if (schema.release == null) return refuse(problem, "its schema was released already");
    const given = schema.format orelse return refuse(problem, "its schema has no format string");
    const format = try copyText(arena, given) orelse return refuse(problem, "its schema has a format string without end");
    const name = if (schema.name) |text| try copyText(arena, text) orelse return refuse(problem, "its schema has a name without end") else "";
    const kind = kindOf(format) orelse return refuse(problem, "its schema has a format string that Arrow does not know");
    var field: Field = .{ .name = name, .format = format, .kind = kind };
    if (kind != .other) {
        if (kind.childCount()) |count| {
            if (schema.n_children != count) return refuse(problem, "its schema has another number of children than its type");
        }
        field.children = try parseChildren(arena, schema, problem, depth);
    }
    if (schema.dictionary) |dictionary| {
        if (kind != .integer) return refuse(problem, "its schema has a dictionary whose indices are no integers");
        const values = try arena.create(Field);
        values.* = try parseField(arena, dictionary, problem, depth + 1);
        field.dictionary = values;
    }
    return field;
}

fn parseChildren(arena: std.mem.Allocator, schema: *const c_data.Schema, problem: *[]const u8, depth: u8) Error![]Field {
    if (schema.n_children < 0 or schema.n_children > children_max) return refuse(problem, "its schema has an impossible number of children");
    const count: usize = @intCast(schema.n_children);
    if (count == 0) return &.{};
    const pointers = schema.children orelse return refuse(problem, "its schema's children are missing");
    const children = try arena.alloc(Field, count);
    for (children, pointers[0..count]) |*child, pointer| {
        const described = pointer orelse return refuse(problem, "its schema's children are missing");
        child.* = try parseField(arena, described, problem, depth + 1);
    }
    return children;
}

fn refuse(problem: *[]const u8, why: []const u8) Error {
    problem.* = why;
    return error.Refused;
}

/// Null: it does not end where any reasonable one does.
fn copyText(arena: std.mem.Allocator, text: [*:0]const u8) error{OutOfMemory}!?[]const u8 {
    var size: usize = 0;
    while (text[size] != 0) : (size += 1) if (size == format_size_max) return null;
    return try arena.dupe(u8, text[0..size]);
}

fn kindOf(format: []const u8) ?Kind {
    if (format.len == 0) return null;
    const rest = format[1..];
    if (rest.len == 0) return switch (format[0]) {
        'n' => .nothing,
        'b' => .boolean,
        'c' => .{ .integer = .{ .size = 1, .signed = true } },
        'C' => .{ .integer = .{ .size = 1, .signed = false } },
        's' => .{ .integer = .{ .size = 2, .signed = true } },
        'S' => .{ .integer = .{ .size = 2, .signed = false } },
        'i' => .{ .integer = .{ .size = 4, .signed = true } },
        'I' => .{ .integer = .{ .size = 4, .signed = false } },
        'l' => .{ .integer = .{ .size = 8, .signed = true } },
        'L' => .{ .integer = .{ .size = 8, .signed = false } },
        'e' => .{ .float = 2 },
        'f' => .{ .float = 4 },
        'g' => .{ .float = 8 },
        'u' => .{ .text = 4 },
        'U' => .{ .text = 8 },
        'z' => .{ .binary = 4 },
        'Z' => .{ .binary = 8 },
        else => null,
    };
    return switch (format[0]) {
        'v' => if (std.mem.eql(u8, rest, "u")) .text_view else if (std.mem.eql(u8, rest, "z")) .binary_view else null,
        'w' => if (rest[0] == ':') .{ .fixed = std.fmt.parseInt(u31, rest[1..], 10) catch return null } else null,
        'd' => decimalOf(rest),
        't' => temporalOf(rest),
        '+' => nestedOf(rest),
        else => null,
    };
}

fn decimalOf(rest: []const u8) ?Kind {
    if (rest[0] != ':') return null;
    var parts = std.mem.splitScalar(u8, rest[1..], ',');
    _ = std.fmt.parseInt(u16, parts.next() orelse return null, 10) catch return null;
    const scale = std.fmt.parseInt(i16, parts.next() orelse return null, 10) catch return null;
    const bits = std.fmt.parseInt(u16, parts.next() orelse "128", 10) catch return null;
    if (parts.next() != null) return null;
    if (@abs(scale) > 1000) return null;
    return switch (bits) {
        32, 64, 128, 256 => .{ .decimal = .{ .size = @intCast(bits / 8), .scale = scale } },
        else => null,
    };
}

fn temporalOf(rest: []const u8) ?Kind {
    if (rest.len < 2) return null;
    switch (rest[0]) {
        'd' => if (rest.len == 2) switch (rest[1]) {
            'D' => return .{ .date = 4 },
            'm' => return .{ .date = 8 },
            else => {},
        },
        't' => if (rest.len == 2) {
            const unit = Unit.of(rest[1]) orelse return null;
            return .{ .time = .{ .size = if (unit == .second or unit == .millisecond) 4 else 8, .unit = unit } };
        },
        's' => if (rest.len >= 3 and rest[2] == ':') {
            return .{ .timestamp = .{ .unit = Unit.of(rest[1]) orelse return null, .has_zone = rest.len > 3 } };
        },
        'D' => if (rest.len == 2) return .{ .duration = Unit.of(rest[1]) orelse return null },
        'i' => if (rest.len == 2) switch (rest[1]) {
            'M' => return .months,
            'D' => return .day_time,
            'n' => return .month_day_nano,
            else => {},
        },
        else => {},
    }
    return null;
}

fn nestedOf(rest: []const u8) ?Kind {
    if (rest[0] == 'w') {
        if (rest.len < 3 or rest[1] != ':') return null;
        return .{ .fixed_list = std.fmt.parseInt(u31, rest[2..], 10) catch return null };
    }
    if (std.mem.startsWith(u8, rest, "ud:") or std.mem.startsWith(u8, rest, "us:")) return .other;
    if (std.mem.eql(u8, rest, "vl") or std.mem.eql(u8, rest, "vL")) return .other;
    if (rest.len != 1) return null;
    return switch (rest[0]) {
        'l' => .{ .list = 4 },
        'L' => .{ .list = 8 },
        's' => .structure,
        'm', 'r' => .other,
        else => null,
    };
}

test "format strings are what the interface says, and nothing else" {
    const expectEqual = std.testing.expectEqual;
    try expectEqual(Kind{ .integer = .{ .size = 4, .signed = false } }, kindOf("I").?);
    try expectEqual(Kind{ .decimal = .{ .size = 16, .scale = 2 } }, kindOf("d:12,2").?);
    try expectEqual(Kind{ .decimal = .{ .size = 32, .scale = -2 } }, kindOf("d:50,-2,256").?);
    try expectEqual(Kind{ .timestamp = .{ .unit = .nanosecond, .has_zone = true } }, kindOf("tsn:Europe/Prague").?);
    try expectEqual(Kind{ .timestamp = .{ .unit = .second, .has_zone = false } }, kindOf("tss:").?);
    try expectEqual(Kind{ .time = .{ .size = 4, .unit = .millisecond } }, kindOf("ttm").?);
    try expectEqual(Kind{ .fixed_list = 3 }, kindOf("+w:3").?);
    try expectEqual(Kind.other, kindOf("+ud:0,1").?);
    inline for (.{ "", "x", "uu", "d", "d:", "d:1", "d:1,2,3", "d:1,2,128,4", "w", "w:", "w:-1", "ts", "tsu", "tsx:", "+", "+w", "+w:x", "td", "tdx", "ti", "v", "vx" }) |bad| {
        try expectEqual(null, kindOf(bad));
    }
}

fn fuzzFormat(_: void, smith: *std.testing.Smith) anyerror!void {
    var bytes: [24]u8 = undefined;
    _ = kindOf(bytes[0..smith.slice(&bytes)]);
}

test "fuzz: any format string is a type or none" {
    try std.testing.fuzz({}, fuzzFormat, .{});
}
