//! A column under construction: values from the wire into Arrow's buffers, one after the other.
//! Called for each value by `Rows`, and by a list's column for its elements.
//!
//! What stands in row `row` is written over, and nothing counts the rows but the caller: a row that fails
//! half way is undone by being forgotten. So are a text's bytes and a list's elements, which only the
//! offsets count.
const std = @import("std");
const types = @import("types");
const buffer = @import("buffer.zig");
const decimal = @import("decimal.zig");
const Type = @import("type.zig").Type;
const text_file = @import("text.zig");
const Buffer = buffer.Buffer;

pub const Error = error{
    OutOfMemory,
    /// The bytes are not this type's form.
    Malformed,
    /// Arrow has no such value; `Column.problem` says why.
    NotRepresentable,
    /// Behind this row there is no room in the batch: it is to be ended before the row.
    Full,
};

/// Offsets are 32 bits wide.
pub const data_size_max = std.math.maxInt(i32);

/// A column that is complete. Its buffers belong to it.
pub const Finished = struct {
    layout: Layout,
    length: usize,
    null_count: usize = 0,
    validity: Buffer = .{},
    values: Buffer = .{},
    data: Buffer = .{},
    child: ?*Finished = null,

    pub fn deinit(self: *Finished, gpa: std.mem.Allocator) void {
        self.validity.deinit(gpa);
        self.values.deinit(gpa);
        self.data.deinit(gpa);
        if (self.child) |child| {
            child.deinit(gpa);
            gpa.destroy(child);
        }
    }
};

pub const Column = struct {
    gpa: std.mem.Allocator,
    type: *const Type,
    append: *const fn (*Column, row: usize, body: []const u8) Error!void,
    /// Rows that there is room for.
    capacity: usize = 0,
    /// What the batches before have needed.
    capacity_hint: usize = 64,
    data_hint: usize = 0,
    /// Bytes of text from which a batch is better ended.
    data_limit: usize = data_size_max,
    has_nulls: bool = false,
    validity: Buffer = .{},
    /// Fixed-width values, bits, or offsets.
    values: Buffer = .{},
    data: Buffer = .{},
    child: ?*Column = null,
    /// Why a value is not representable; a sentence without subject and full stop.
    problem: []const u8 = "",

    /// `type_` is borrowed.
    pub fn init(gpa: std.mem.Allocator, type_: *const Type) error{OutOfMemory}!Column {
        var self: Column = .{ .gpa = gpa, .type = type_, .append = appenderOf(type_) };
        if (type_.element) |element| {
            const child = try gpa.create(Column);
            errdefer gpa.destroy(child);
            child.* = try init(gpa, element);
            self.child = child;
        }
        return self;
    }

    pub fn deinit(self: *Column) void {
        self.validity.deinit(self.gpa);
        self.values.deinit(self.gpa);
        self.data.deinit(self.gpa);
        if (self.child) |child| {
            child.deinit();
            self.gpa.destroy(child);
        }
    }

    fn layout(self: *const Column) Layout {
        return layoutOf(self.type);
    }

    /// Room for row `row`, and for the offset behind it.
    inline fn reserve(self: *Column, row: usize) Error!void {
        if (row >= self.capacity) try self.growTo(row);
    }

    fn growTo(self: *Column, row: usize) Error!void {
        const capacity = @max(row + 1, self.capacity * 2, self.capacity_hint);
        const used = row;
        switch (self.layout()) {
            .nothing => {},
            .bits => try self.values.grow(self.gpa, (used + 7) / 8, (capacity + 7) / 8),
            .fixed => |width| try self.values.grow(self.gpa, used * width, capacity * width),
            .offsets, .list => {
                try self.values.grow(self.gpa, if (self.capacity == 0) 0 else (used + 1) * 4, (capacity + 1) * 4);
                if (self.capacity == 0) self.values.items(i32)[0] = 0;
            },
        }
        if (self.has_nulls) try self.validity.grow(self.gpa, (used + 7) / 8, (capacity + 7) / 8);
        self.capacity = capacity;
    }

    /// Say that row `row` has a value.
    inline fn valid(self: *Column, row: usize) void {
        if (self.has_nulls) buffer.putBit(self.validity.items(u8), row, true);
    }

    pub fn appendNull(self: *Column, row: usize) Error!void {
        try self.reserve(row);
        if (!self.has_nulls) {
            try self.validity.grow(self.gpa, 0, (self.capacity + 7) / 8);
            @memset(self.validity.bytes[0 .. (row + 7) / 8], 0xff);
            self.has_nulls = true;
        }
        buffer.putBit(self.validity.items(u8), row, false);
        switch (self.layout()) {
            .nothing => {},
            .bits => buffer.putBit(self.values.items(u8), row, false),
            .fixed => |width| @memset(self.values.bytes[row * width ..][0..width], 0),
            .offsets, .list => {
                const offsets = self.values.items(i32);
                offsets[row + 1] = offsets[row];
            },
        }
    }

    inline fn put(self: *Column, comptime T: type, row: usize, value: T) Error!void {
        try self.reserve(row);
        self.values.items(T)[row] = value;
        self.valid(row);
    }

    fn refuse(self: *Column, problem: []const u8) Error {
        self.problem = problem;
        return error.NotRepresentable;
    }

    /// Room for `size` bytes of row `row`.
    fn room(self: *Column, row: usize, size: usize) Error![]u8 {
        try self.reserve(row);
        const start: usize = @intCast(self.values.items(i32)[row]);
        const end = start + size;
        if (end > self.data_limit) return error.Full;
        if (end > self.data.bytes.len) {
            const wanted = @max(end, @min(self.data.bytes.len * 2, self.data_limit), self.data_hint);
            try self.data.grow(self.gpa, start, wanted);
        }
        return self.data.bytes[start..end];
    }

    /// Count the bytes that were written into `room` as row `row`'s value.
    inline fn putText(self: *Column, row: usize, size: usize) void {
        const offsets = self.values.items(i32);
        offsets[row + 1] = offsets[row] + @as(i32, @intCast(size));
        self.valid(row);
    }

    fn appendBytes(self: *Column, row: usize, bytes: []const u8) Error!void {
        @memcpy(try self.room(row, bytes.len), bytes);
        self.putText(row, bytes.len);
    }

    fn appendText(self: *Column, row: usize, bytes: []const u8) Error!void {
        if (!text_file.isUtf8(bytes)) return self.refuse("the text is not UTF-8");
        try self.appendBytes(row, bytes);
    }

    /// Take what is there, as `length` rows, and begin anew.
    pub fn finish(self: *Column, length: usize) error{OutOfMemory}!Finished {
        var finished: Finished = .{ .layout = self.layout(), .length = length };
        var data_size: usize = 0;
        if (length > 0 and self.isCounted()) data_size = @intCast(self.values.items(i32)[length]);
        if (self.child) |child| {
            const made = try self.gpa.create(Finished);
            errdefer self.gpa.destroy(made);
            made.* = try child.finish(data_size);
            finished.child = made;
        }
        if (self.has_nulls and length > 0) finished.null_count = buffer.countZeros(self.validity.items(u8), length);
        if (self.layout() == .nothing) finished.null_count = length;
        const value_size = switch (self.layout()) {
            .nothing => 0,
            .bits => (length + 7) / 8,
            .fixed => |width| length * width,
            .offsets, .list => if (length == 0) 0 else (length + 1) * 4,
        };
        self.values.trim(self.gpa, value_size);
        if (finished.null_count == 0) self.validity.deinit(self.gpa) else self.validity.trim(self.gpa, (length + 7) / 8);
        if (self.layout() == .offsets) self.data.trim(self.gpa, data_size);
        finished.validity = self.validity;
        finished.values = self.values;
        finished.data = self.data;
        self.validity = .{};
        self.values = .{};
        self.data = .{};
        self.has_nulls = false;
        self.capacity = 0;
        self.capacity_hint = @max(length, 64);
        if (self.layout() == .offsets) self.data_hint = data_size;
        return finished;
    }

    fn isCounted(self: *const Column) bool {
        return switch (self.layout()) {
            .offsets, .list => true,
            else => false,
        };
    }
};

pub const Layout = union(enum) { nothing, bits, fixed: u8, offsets, list };

pub fn layoutOf(type_: *const Type) Layout {
    return switch (type_.tag) {
        .nothing => .nothing,
        .boolean => .bits,
        .int16 => .{ .fixed = 2 },
        .int32, .uint32, .float32, .date => .{ .fixed = 4 },
        .int64, .uint64, .float64, .time, .timestamp, .timestamptz => .{ .fixed = 8 },
        .interval, .uuid, .decimal128 => .{ .fixed = 16 },
        .decimal256 => .{ .fixed = 32 },
        .text, .json, .jsonb, .binary, .numeric => .offsets,
        .list, .text_list, .vector, .halfvec => .list,
    };
}

fn appenderOf(type_: *const Type) *const fn (*Column, usize, []const u8) Error!void {
    return switch (type_.tag) {
        .nothing => nothing,
        .boolean => boolean,
        .int16 => swapped(u16),
        .int32, .uint32, .float32 => swapped(u32),
        .int64, .uint64, .float64 => swapped(u64),
        .text, .json => Column.appendText,
        .jsonb => jsonb,
        .binary => Column.appendBytes,
        .date => date,
        .time => time,
        .timestamp, .timestamptz => timestamp,
        .interval => interval,
        .uuid => uuid,
        .decimal128 => decimalOf(i128),
        .decimal256 => decimalOf(i256),
        .numeric => numeric,
        .list => list,
        .text_list => textList,
        .vector => vector(f32),
        .halfvec => vector(f16),
    };
}

inline fn wire(value: anytype) error{Malformed}!@typeInfo(@TypeOf(value)).error_union.payload {
    return value catch error.Malformed;
}

fn nothing(self: *Column, row: usize, body: []const u8) Error!void {
    if (body.len != 0) return error.Malformed;
    // A null column has no buffers.
    try self.reserve(row);
}

fn boolean(self: *Column, row: usize, body: []const u8) Error!void {
    const value = try wire(types.scalar.decodeBool(body));
    try self.reserve(row);
    buffer.putBit(self.values.items(u8), row, value);
    self.valid(row);
}

/// Integers and floats: the same bits in the other order.
fn swapped(comptime U: type) *const fn (*Column, usize, []const u8) Error!void {
    return struct {
        fn append(self: *Column, row: usize, body: []const u8) Error!void {
            try self.put(U, row, try wire(types.scalar.decodeInt(U, body)));
        }
    }.append;
}

fn jsonb(self: *Column, row: usize, body: []const u8) Error!void {
    try self.appendText(row, try wire(types.versioned.decode(body)));
}

/// From 1970-01-01, where Arrow counts from, to 2000-01-01.
pub const epoch_days = 10_957;
pub const epoch_microseconds = epoch_days * types.datetime.microseconds_per_day;

fn date(self: *Column, row: usize, body: []const u8) Error!void {
    const days = try wire(types.scalar.decodeInt(i32, body));
    if (days == types.datetime.date_infinity or days == types.datetime.date_negative_infinity) {
        return self.refuse("an infinite date has no Arrow value; cast it to text");
    }
    const value = std.math.add(i32, days, epoch_days) catch return error.Malformed;
    try self.put(i32, row, value);
}

fn time(self: *Column, row: usize, body: []const u8) Error!void {
    const value = try wire(types.datetime.decodeTime(body));
    if (value == types.datetime.microseconds_per_day) return self.refuse("24:00:00 has no Arrow value; cast it to text");
    try self.put(i64, row, value);
}

fn timestamp(self: *Column, row: usize, body: []const u8) Error!void {
    const microseconds = try wire(types.scalar.decodeInt(i64, body));
    if (microseconds == types.datetime.timestamp_infinity or microseconds == types.datetime.timestamp_negative_infinity) {
        return self.refuse("an infinite timestamp has no Arrow value; cast it to text");
    }
    const value = std.math.add(i64, microseconds, epoch_microseconds) catch
        return self.refuse("the timestamp is later than Arrow can count; cast it to text");
    try self.put(i64, row, value);
}

const MonthDayNano = extern struct { months: i32, days: i32, nanoseconds: i64 };

fn interval(self: *Column, row: usize, body: []const u8) Error!void {
    const value = try wire(types.interval.decode(body));
    if (value.isInfinite()) return self.refuse("an infinite interval has no Arrow value; cast it to text");
    const nanoseconds = std.math.mul(i64, value.microseconds, 1000) catch
        return self.refuse("the interval has more nanoseconds than Arrow can count; cast it to text");
    try self.put(MonthDayNano, row, .{ .months = value.months, .days = value.days, .nanoseconds = nanoseconds });
}

fn uuid(self: *Column, row: usize, body: []const u8) Error!void {
    try self.put([16]u8, row, try wire(types.uuid.decode(body)));
}

fn decimalOf(comptime T: type) *const fn (*Column, usize, []const u8) Error!void {
    return struct {
        fn append(self: *Column, row: usize, body: []const u8) Error!void {
            const value = decimal.scaled(T, body, self.type.precision, self.type.scale) catch |err| return switch (err) {
                error.InvalidValue, error.OutOfRange => error.Malformed,
                error.NotFinite => self.refuse("NaN and infinities have no decimal value; cast it to float8 or text"),
                error.DoesNotFit => self.refuse("the value has more digits than the column's type; cast it to text"),
            };
            try self.reserve(row);
            // Two i128 stand in 32 bytes, but an i256 may want more of an alignment than there is.
            self.values.bytes[row * @sizeOf(T) ..][0..@sizeOf(T)].* = @bitCast(value);
            self.valid(row);
        }
    }.append;
}

fn numeric(self: *Column, row: usize, body: []const u8) Error!void {
    const out = try self.room(row, try wire(types.numeric.textLength(body)));
    const text = try wire(types.numeric.toText(body, out));
    self.putText(row, text.len);
}

/// Where the elements of row `row` begin in the child.
inline fn elementsStart(self: *Column, row: usize) Error!usize {
    try self.reserve(row);
    return @intCast(self.values.items(i32)[row]);
}

fn putElements(self: *Column, row: usize, end: usize) Error!void {
    self.values.items(i32)[row + 1] = std.math.cast(i32, end) orelse return error.Full;
    self.valid(row);
}

fn fromChild(self: *Column, err: Error) Error {
    self.problem = self.child.?.problem;
    return err;
}

fn list(self: *Column, row: usize, body: []const u8) Error!void {
    const value = try wire(types.array.decode(body));
    var at = try elementsStart(self, row);
    if (value.element_count > 0) {
        if (value.dimension_count > 1) return self.refuse(several_dimensions);
        if (value.element_oid != self.type.element_oid) return self.refuse("the array's elements are of another type than the column's");
    }
    const child = self.child.?;
    var elements = value.iterator();
    for (0..value.element_count) |_| {
        if (try wire(elements.next())) |bytes| {
            child.append(child, at, bytes) catch |err| return fromChild(self, err);
        } else try child.appendNull(at);
        at += 1;
    }
    try wire(elements.finish());
    try putElements(self, row, at);
}

const several_dimensions = "an array of several dimensions has no Arrow value; unnest it or cast it to text";

fn textList(self: *Column, row: usize, body: []const u8) Error!void {
    const scratch = try self.gpa.alloc(u8, body.len);
    defer self.gpa.free(scratch);
    var parser: types.text_array.Parser = .init(body, self.type.delimiter, scratch);
    var at = try elementsStart(self, row);
    const child = self.child.?;
    var depth: usize = 0;
    while (try wire(parser.next())) |event| switch (event) {
        .open => {
            depth += 1;
            if (depth > 1) return self.refuse(several_dimensions);
        },
        .close => depth -= 1,
        .null => {
            try child.appendNull(at);
            at += 1;
        },
        .value => |text| {
            child.append(child, at, text) catch |err| return fromChild(self, err);
            at += 1;
        },
    };
    try putElements(self, row, at);
}

fn vector(comptime T: type) *const fn (*Column, usize, []const u8) Error!void {
    return struct {
        fn append(self: *Column, row: usize, body: []const u8) Error!void {
            const value = try wire(types.vector.decode(T, body));
            const start = try elementsStart(self, row);
            const child = self.child.?;
            for (0..value.len()) |i| try child.put(f32, start + i, @floatCast(value.at(i)));
            try putElements(self, row, start + value.len());
        }
    }.append;
}

test {
    _ = @import("column_test.zig");
}
