//! What is known of one SQL text: its parameter types, its columns and how each is decoded. Learned
//! once from ParameterDescription and RowDescription, shared by every connection of a pool.
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const type_map = @import("type_map.zig");
const decode = @import("decode.zig");
const raise = @import("raise.zig");
const session_state = @import("session_state.zig");
const keyword = @import("session").keyword;
const Service = @import("service.zig").Service;
const Object = py.Object;
const TypeInfo = type_map.TypeInfo;

pub const Column = struct {
    name: *Object,
    info: *const TypeInfo,
    decoder: decode.Decoder,
    format: decode.Format,
    /// As RowDescription has it: a numeric's precision and scale, a varchar's length; -1 for none.
    type_modifier: i32,
    /// Its values are immutable and hold nothing that is not.
    is_leaf: bool,
};

pub const Statement = struct {
    references: std.atomic.Value(u32) = .init(1),
    /// The catalog's when this was learned; another one means that types have another meaning now.
    generation: u32 = 0,
    gpa: std.mem.Allocator,
    sql: []const u8,
    parameters: []const *const TypeInfo,
    columns: []const Column,
    /// One code for all columns where they agree, else one each; what Bind asks for.
    result_formats: []const u16,
    /// `{name: None, …}`: a row starts as a copy of it, sized and hashed already.
    template: *Object,
    /// The column names in order, with duplicates.
    names: *Object,
    /// No two columns have the same name.
    names_unique: bool,
    /// The TypeMap's generation when all types in here were last found to be as it has them.
    types_generation: std.atomic.Value(u32) = .init(0),
    /// No value of a row can ever refer back to the row: the collector need not look at it.
    leaves_only: bool,
    /// It may leave something behind in its session.
    changes_session: bool,
    /// Afterwards names may lead to other tables.
    changes_path: bool,
    kind: keyword.Kind,
    /// It was described by RowDescription, of no columns perhaps, and not by NoData.
    has_rows: bool = true,
    /// How long it keeps a backend busy.
    service: Service = .{},

    pub const Error = error{OutOfMemory} || py.Error;

    pub const Field = struct { name: []const u8, info: *const TypeInfo, type_modifier: i32 };

    /// Copies what it keeps. `formats` are the actual ones of a RowDescription that answered a
    /// portal; null asks for each type's preferred one.
    pub fn create(
        gpa: std.mem.Allocator,
        sql: []const u8,
        parameters: []const *const TypeInfo,
        fields: []const Field,
        formats: ?[]const u16,
    ) Error!*Statement {
        const self = try gpa.create(Statement);
        errdefer gpa.destroy(self);
        const text = try gpa.dupe(u8, sql);
        errdefer gpa.free(text);
        const infos = try gpa.dupe(*const TypeInfo, parameters);
        errdefer gpa.free(infos);
        const columns = try gpa.alloc(Column, fields.len);
        errdefer gpa.free(columns);
        var codes = try gpa.alloc(u16, fields.len);
        errdefer gpa.free(codes);

        const template = try py.checked(py.PyDict_New());
        errdefer py.decref(template);
        const names = try py.checked(py.PyTuple_New(@intCast(fields.len)));
        errdefer py.decref(names);
        var same_format = true;
        var leaves_only = true;
        for (fields, columns, 0..) |field, *column, i| {
            const format: decode.Format = if (formats) |actual|
                (if (actual[i] == 0) .text else .binary)
            else if (field.info.binary) .binary else .text;
            var name: ?*Object = try py.checked(py.PyUnicode_DecodeUTF8(field.name.ptr, @intCast(field.name.len), "replace"));
            py.PyUnicode_InternInPlace(&name);
            py.hd_tuple_set(names, @intCast(i), name.?); // takes the reference
            try py.ok(py.PyDict_SetItem(template, name.?, py.hd_none()));
            column.* = .{
                .name = name.?,
                .info = field.info,
                .decoder = decode.decoderFor(field.info, format),
                .format = format,
                .type_modifier = field.type_modifier,
                .is_leaf = isLeaf(field.info),
            };
            codes[i] = if (format == .binary) 1 else 0;
            same_format = same_format and codes[i] == codes[0];
            leaves_only = leaves_only and column.is_leaf;
        }
        if (same_format and codes.len > 1) codes = try gpa.realloc(codes, 1);
        self.* = .{
            .gpa = gpa,
            .sql = text,
            .parameters = infos,
            .columns = columns,
            .result_formats = codes,
            .template = template,
            .names = names,
            .leaves_only = leaves_only,
            .changes_session = session_state.textChanges(sql),
            .changes_path = session_state.textChangesPath(sql),
            .kind = keyword.kindOf(sql),
            .names_unique = py.PyDict_Size(template) == @as(isize, @intCast(fields.len)),
        };
        return self;
    }

    /// The same columns as a COPY in binary format has them: in binary, all of them.
    pub fn inBinary(gpa: std.mem.Allocator, source: *const Statement) py.Error!*Statement {
        const count = source.columns.len;
        const fields = gpa.alloc(Field, count) catch return raise.outOfMemory();
        defer gpa.free(fields);
        const formats = gpa.alloc(u16, count) catch return raise.outOfMemory();
        defer gpa.free(formats);
        for (source.columns, fields, formats) |column, *field, *format| {
            var size: isize = 0;
            const name = py.PyUnicode_AsUTF8AndSize(column.name, &size) orelse return error.PythonError;
            field.* = .{ .name = name[0..@intCast(size)], .info = column.info, .type_modifier = column.type_modifier };
            format.* = 1;
        }
        return create(gpa, source.sql, &.{}, fields, formats) catch |err| switch (err) {
            error.OutOfMemory => raise.outOfMemory(),
            error.PythonError => error.PythonError,
        };
    }

    /// Whether the types in here are still those that the TypeMap has.
    pub fn isCurrent(self: *Statement, map: *type_map.TypeMap) bool {
        const generation = map.generation.load(.monotonic);
        if (self.types_generation.load(.monotonic) == generation) return true;
        for (self.parameters) |info| if (map.lookup(info.oid) != info) return false;
        for (self.columns) |column| if (map.lookup(column.info.oid) != column.info) return false;
        self.types_generation.store(generation, .monotonic);
        return true;
    }

    /// Whether the database's own types are among the parameters: these can change under a statement.
    pub fn hasUserParameters(self: *const Statement) bool {
        for (self.parameters) |info| if (info.oid >= type_map.oid_user_min) return true;
        return false;
    }

    /// The names of the columns that may hold text, a tuple: a new reference.
    pub fn textColumns(self: *const Statement) py.Error!*Object {
        const names = try py.checked(py.PyList_New(0));
        defer py.decref(names);
        for (self.columns) |column| switch (column.info.kind) {
            .bool, .int2, .int4, .int8, .oid, .xid8, .float4, .float8, .numeric, .bytea, .uuid => {},
            .date, .time, .timetz, .timestamp, .timestamptz, .interval, .vector, .halfvec => {},
            else => try py.ok(py.PyList_Append(names, column.name)),
        };
        return py.checked(py.PySequence_Tuple(names));
    }

    pub fn retain(self: *Statement) *Statement {
        _ = self.references.fetchAdd(1, .monotonic);
        return self;
    }

    pub fn release(self: *Statement) void {
        if (self.references.fetchSub(1, .acq_rel) != 1) return;
        py.decref(self.template);
        py.decref(self.names);
        const gpa = self.gpa;
        gpa.free(self.sql);
        gpa.free(self.parameters);
        gpa.free(self.columns);
        gpa.free(self.result_formats);
        gpa.destroy(self);
    }

    /// True where `fields` and `formats`, as a RowDescription just said, are what this was made from.
    /// Without `formats` they are not compared: those of a result that is asked for in formats of its own.
    pub fn matches(self: *const Statement, fields: []const Field, formats: ?[]const u16) bool {
        if (fields.len != self.columns.len) return false;
        for (fields, self.columns, 0..) |field, column, i| {
            if (field.info != column.info or field.type_modifier != column.type_modifier) return false;
            if (formats) |actual| if ((actual[i] == 1) != (column.format == .binary)) return false;
            var length: isize = 0;
            const name = py.PyUnicode_AsUTF8AndSize(column.name, &length) orelse return false;
            if (!std.mem.eql(u8, field.name, name[0..@intCast(length)])) return false;
        }
        return true;
    }
};

/// The values of this type are immutable and hold nothing that is not.
fn isLeaf(info: *const TypeInfo) bool {
    if (info.codec != null) return false;
    return switch (info.kind) {
        .json, .jsonb, .array, .range, .multirange, .record, .composite, .hstore, .vector, .halfvec => false,
        else => true,
    };
}

/// The statements a pool has learned, by SQL text. Bounded: the least recently used leave.
pub const Catalog = struct {
    gpa: std.mem.Allocator,
    mutex: std.c.pthread_mutex_t = std.c.PTHREAD_MUTEX_INITIALIZER,
    entries: std.StringHashMapUnmanaged(Entry) = .empty,
    tick: u64 = 0,
    count_max: u32 = 4096,
    generation: std.atomic.Value(u32) = .init(0),

    const Entry = struct { statement: *Statement, tick: u64 };

    pub fn deinit(self: *Catalog) void {
        var all = self.entries.valueIterator();
        while (all.next()) |entry| entry.statement.release();
        self.entries.deinit(self.gpa);
        self.* = undefined;
    }

    /// A new reference to what is known of `sql`, or null.
    pub fn find(self: *Catalog, sql: []const u8) ?*Statement {
        self.lock();
        defer self.unlock();
        const entry = self.entries.getPtr(sql) orelse return null;
        self.tick += 1;
        entry.tick = self.tick;
        return entry.statement.retain();
    }

    /// Remember `statement` in place of what was known of its text.
    pub fn put(self: *Catalog, statement: *Statement) error{OutOfMemory}!void {
        const gone = gone: {
            self.lock();
            defer self.unlock();
            try self.entries.ensureUnusedCapacity(self.gpa, 1);
            self.tick += 1;
            const old = self.take(statement.sql);
            const oldest = if (self.entries.count() >= self.count_max) self.takeOldest() else null;
            self.entries.putAssumeCapacity(statement.sql, .{ .statement = statement.retain(), .tick = self.tick });
            break :gone [2]?*Statement{ old, oldest };
        };
        // Outside the lock: the last reference frees Python objects.
        for (gone) |each| if (each) |s| s.release();
    }

    /// Forget everything: the user has given a type another meaning. Statements that connections
    /// still hold are told by their generation.
    pub fn renew(self: *Catalog) void {
        self.lock();
        var gone = self.entries;
        self.entries = .empty;
        _ = self.generation.fetchAdd(1, .release);
        self.unlock();
        var all = gone.valueIterator();
        while (all.next()) |entry| entry.statement.release();
        gone.deinit(self.gpa);
    }

    /// Forget one text: its plan, its columns or its types are not what they were.
    pub fn forget(self: *Catalog, sql: []const u8) void {
        const old = old: {
            self.lock();
            defer self.unlock();
            break :old self.take(sql);
        };
        if (old) |o| o.release();
    }

    fn take(self: *Catalog, sql: []const u8) ?*Statement {
        const removed = self.entries.fetchRemove(sql) orelse return null;
        return removed.value.statement;
    }

    fn takeOldest(self: *Catalog) ?*Statement {
        var oldest: ?Entry = null;
        var all = self.entries.valueIterator();
        while (all.next()) |entry| {
            if (oldest == null or entry.tick < oldest.?.tick) oldest = entry.*;
        }
        return self.take((oldest orelse return null).statement.sql);
    }

    fn lock(self: *Catalog) void {
        const status = std.c.pthread_mutex_lock(&self.mutex);
        std.debug.assert(status == .SUCCESS);
    }

    fn unlock(self: *Catalog) void {
        const status = std.c.pthread_mutex_unlock(&self.mutex);
        std.debug.assert(status == .SUCCESS);
    }
};
