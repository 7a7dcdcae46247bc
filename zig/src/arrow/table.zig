//! What a result is when it is complete: a schema, and batches of columns. Never changes, belongs to whoever
//! holds it, and holds no Python object, so that it can be let go of on any thread.
const std = @import("std");
const column = @import("column.zig");
const Type = @import("type.zig").Type;

/// Names and types of the columns.
pub const Schema = struct {
    references: std.atomic.Value(usize) = .init(1),
    gpa: std.mem.Allocator,
    arena: std.heap.ArenaAllocator,
    fields: []const Field,

    pub const Field = struct {
        name: [:0]const u8,
        type: Type,
        format: [:0]const u8,
        /// Of a list.
        element: ?*const Field = null,
    };

    pub const Named = struct { name: []const u8, type: Type };

    /// Copies what it keeps. A name ends at its first NUL, as C has it.
    pub fn create(gpa: std.mem.Allocator, columns: []const Named) error{OutOfMemory}!*Schema {
        const self = try gpa.create(Schema);
        errdefer gpa.destroy(self);
        self.* = .{ .gpa = gpa, .arena = .init(gpa), .fields = &.{} };
        errdefer self.arena.deinit();
        const arena = self.arena.allocator();
        const fields = try arena.alloc(Field, columns.len);
        for (fields, columns) |*field, named| {
            const end = std.mem.findScalar(u8, named.name, 0) orelse named.name.len;
            field.* = try fieldOf(arena, try arena.dupeSentinel(u8, named.name[0..end], 0), named.type);
        }
        self.fields = fields;
        return self;
    }

    fn fieldOf(arena: std.mem.Allocator, name: [:0]const u8, type_: Type) error{OutOfMemory}!Field {
        var field: Field = .{ .name = name, .type = type_, .format = try type_.format(arena) };
        if (type_.element) |element| {
            const kept = try arena.create(Field);
            kept.* = try fieldOf(arena, "item", element.*);
            field.element = kept;
            field.type.element = &kept.type;
        }
        return field;
    }

    pub fn retain(self: *Schema) *Schema {
        _ = self.references.fetchAdd(1, .monotonic);
        return self;
    }

    pub fn release(self: *Schema) void {
        if (self.references.fetchSub(1, .acq_rel) != 1) return;
        const gpa = self.gpa;
        self.arena.deinit();
        gpa.destroy(self);
    }
};

/// Some rows, as columns.
pub const Batch = struct {
    references: std.atomic.Value(usize) = .init(1),
    gpa: std.mem.Allocator,
    length: usize,
    columns: []column.Finished,

    pub fn retain(self: *Batch) *Batch {
        _ = self.references.fetchAdd(1, .monotonic);
        return self;
    }

    pub fn release(self: *Batch) void {
        if (self.references.fetchSub(1, .acq_rel) != 1) return;
        const gpa = self.gpa;
        for (self.columns) |*each| each.deinit(gpa);
        gpa.free(self.columns);
        gpa.destroy(self);
    }
};

pub const Table = struct {
    references: std.atomic.Value(usize) = .init(1),
    gpa: std.mem.Allocator,
    schema: *Schema,
    batches: []*Batch,
    row_count: usize,

    pub fn retain(self: *Table) *Table {
        _ = self.references.fetchAdd(1, .monotonic);
        return self;
    }

    pub fn release(self: *Table) void {
        if (self.references.fetchSub(1, .acq_rel) != 1) return;
        const gpa = self.gpa;
        for (self.batches) |batch| batch.release();
        gpa.free(self.batches);
        self.schema.release();
        gpa.destroy(self);
    }
};
