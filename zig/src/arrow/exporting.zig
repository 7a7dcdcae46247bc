//! Our tables as the structs of the C data interface. Each struct holds a reference of its own to what it
//! points at, so that a consumer may keep a child and let go of the rest, whenever and on whatever thread.
//! Arrow docs: "The Arrow C data interface", "Release callback semantics"; "Moving child arrays".
const std = @import("std");
const c_data = @import("c_data.zig");
const column = @import("column.zig");
const table_file = @import("table.zig");
const Batch = table_file.Batch;
const Schema = table_file.Schema;
const Table = table_file.Table;

/// What a schema struct keeps alive, and where its children stand.
const SchemaBox = struct {
    schema: *Schema,
    children: []c_data.Schema,
    pointers: []?*c_data.Schema,

    fn release(out: *c_data.Schema) callconv(.c) void {
        const self: *SchemaBox = @ptrCast(@alignCast(out.private_data.?));
        releaseChildren(self.pointers);
        const schema = self.schema;
        const gpa = schema.gpa;
        gpa.free(self.children);
        gpa.free(self.pointers);
        gpa.destroy(self);
        out.release = null;
        schema.release();
    }
};

/// Those that were moved away have no release here any more.
fn releaseChildren(pointers: anytype) void {
    for (pointers) |pointer| {
        const child = pointer.?;
        if (child.release) |release| release(child);
    }
}

/// The whole of `schema`: a struct type of its columns, which is what a stream of batches has.
pub fn schemaStruct(schema: *Schema, out: *c_data.Schema) error{OutOfMemory}!void {
    try schemaInto(schema, out, "+s", "", null, 0, schema.fields.len);
    errdefer out.release.?(out);
    for (schema.fields, 0..) |*field, i| try fieldInto(schema, field, out.children.?[i].?);
}

fn fieldInto(schema: *Schema, field: *const Schema.Field, out: *c_data.Schema) error{OutOfMemory}!void {
    try schemaInto(schema, out, field.format, field.name, field.type.metadata(), c_data.flag_nullable, @intFromBool(field.element != null));
    errdefer out.release.?(out);
    if (field.element) |element| try fieldInto(schema, element, out.children.?[0].?);
}

fn schemaInto(
    schema: *Schema,
    out: *c_data.Schema,
    format: [:0]const u8,
    name: [:0]const u8,
    metadata: ?[*]const u8,
    flags: i64,
    child_count: usize,
) error{OutOfMemory}!void {
    out.* = .{};
    const gpa = schema.gpa;
    const box = try gpa.create(SchemaBox);
    errdefer gpa.destroy(box);
    const children = try gpa.alloc(c_data.Schema, child_count);
    errdefer gpa.free(children);
    const pointers = try gpa.alloc(?*c_data.Schema, child_count);
    for (children, pointers) |*child, *pointer| {
        child.* = .{};
        pointer.* = child;
    }
    box.* = .{ .schema = schema.retain(), .children = children, .pointers = pointers };
    out.* = .{
        .format = format,
        .name = name,
        .metadata = metadata,
        .flags = flags,
        .n_children = @intCast(child_count),
        .children = if (child_count == 0) null else pointers.ptr,
        .release = &SchemaBox.release,
        .private_data = box,
    };
}

const ArrayBox = struct {
    batch: *Batch,
    buffers: [3]?*const anyopaque,
    children: []c_data.Array,
    pointers: []?*c_data.Array,

    fn release(out: *c_data.Array) callconv(.c) void {
        const self: *ArrayBox = @ptrCast(@alignCast(out.private_data.?));
        releaseChildren(self.pointers);
        const batch = self.batch;
        const gpa = batch.gpa;
        gpa.free(self.children);
        gpa.free(self.pointers);
        gpa.destroy(self);
        out.release = null;
        batch.release();
    }
};

/// One batch: a struct array of its columns.
pub fn batchStruct(batch: *Batch, out: *c_data.Array) error{OutOfMemory}!void {
    try arrayInto(batch, out, batch.columns.len);
    errdefer out.release.?(out);
    out.length = @intCast(batch.length);
    out.n_buffers = 1; // no validity: a row is never NULL as a whole
    for (batch.columns, 0..) |*each, i| try columnInto(batch, each, out.children.?[i].?);
}

fn columnInto(batch: *Batch, source: *const column.Finished, out: *c_data.Array) error{OutOfMemory}!void {
    try arrayInto(batch, out, @intFromBool(source.child != null));
    errdefer out.release.?(out);
    const box: *ArrayBox = @ptrCast(@alignCast(out.private_data.?));
    out.length = @intCast(source.length);
    out.null_count = @intCast(source.null_count);
    switch (source.layout) {
        .nothing => out.n_buffers = 0,
        .bits, .fixed, .list => out.n_buffers = 2,
        .offsets => out.n_buffers = 3,
    }
    if (source.validity.bytes.len > 0) box.buffers[0] = source.validity.address();
    box.buffers[1] = source.values.address();
    box.buffers[2] = source.data.address();
    if (source.child) |child| try columnInto(batch, child, out.children.?[0].?);
}

fn arrayInto(batch: *Batch, out: *c_data.Array, child_count: usize) error{OutOfMemory}!void {
    out.* = .{};
    const gpa = batch.gpa;
    const box = try gpa.create(ArrayBox);
    errdefer gpa.destroy(box);
    const children = try gpa.alloc(c_data.Array, child_count);
    errdefer gpa.free(children);
    const pointers = try gpa.alloc(?*c_data.Array, child_count);
    for (children, pointers) |*child, *pointer| {
        child.* = .{};
        pointer.* = child;
    }
    box.* = .{ .batch = batch.retain(), .buffers = @splat(null), .children = children, .pointers = pointers };
    out.* = .{
        .n_children = @intCast(child_count),
        .buffers = &box.buffers,
        .children = if (child_count == 0) null else pointers.ptr,
        .release = &ArrayBox.release,
        .private_data = box,
    };
}

const StreamBox = struct {
    table: *Table,
    next: usize = 0,
    message: ?[*:0]const u8 = null,

    fn of(stream: *c_data.Stream) *StreamBox {
        return @ptrCast(@alignCast(stream.private_data.?));
    }

    fn getSchema(stream: *c_data.Stream, out: *c_data.Schema) callconv(.c) c_int {
        const self = of(stream);
        schemaStruct(self.table.schema, out) catch return self.outOfMemory();
        return self.success();
    }

    fn getNext(stream: *c_data.Stream, out: *c_data.Array) callconv(.c) c_int {
        const self = of(stream);
        out.* = .{};
        if (self.next < self.table.batches.len) {
            batchStruct(self.table.batches[self.next], out) catch return self.outOfMemory();
            self.next += 1;
        }
        return self.success();
    }

    fn success(self: *StreamBox) c_int {
        self.message = null;
        return 0;
    }

    fn outOfMemory(self: *StreamBox) c_int {
        self.message = "out of memory";
        return @intCast(@backingInt(std.posix.E.NOMEM));
    }

    fn lastError(stream: *c_data.Stream) callconv(.c) ?[*:0]const u8 {
        return of(stream).message;
    }

    fn release(stream: *c_data.Stream) callconv(.c) void {
        const self = of(stream);
        const table = self.table;
        table.gpa.destroy(self);
        stream.release = null;
        table.release();
    }
};

/// All batches from the first one on. Any number of streams may read one table.
pub fn streamStruct(table: *Table, out: *c_data.Stream) error{OutOfMemory}!void {
    const box = try table.gpa.create(StreamBox);
    box.* = .{ .table = table.retain() };
    out.* = .{
        .get_schema = &StreamBox.getSchema,
        .get_next = &StreamBox.getNext,
        .get_last_error = &StreamBox.lastError,
        .release = &StreamBox.release,
        .private_data = box,
    };
}

test {
    _ = @import("exporting_test.zig");
}
