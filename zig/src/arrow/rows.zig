//! A result under construction: DataRows become batches of columns. Called by the python layer's sink.
const std = @import("std");
const protocol = @import("protocol");
const column_file = @import("column.zig");
const table_file = @import("table.zig");
const Column = column_file.Column;
const Schema = table_file.Schema;
const Batch = table_file.Batch;
const Table = table_file.Table;

pub const Error = error{ OutOfMemory, Malformed, NotRepresentable };

/// Rows of a batch.
pub const batch_rows = 65_536;
/// A column's text from which the batch is ended before that.
const batch_data_size = 64 << 20;

pub const Rows = struct {
    gpa: std.mem.Allocator,
    schema: *Schema,
    columns: []Column,
    /// Rows of the batch that is under way.
    length: usize = 0,
    batches: std.ArrayList(*Batch) = .empty,
    row_count: usize = 0,
    /// The column whose value was refused, and why.
    column: usize = 0,
    problem: []const u8 = "",

    /// Takes over the reference to `schema`, also where it fails.
    pub fn init(gpa: std.mem.Allocator, schema: *Schema) error{OutOfMemory}!Rows {
        errdefer schema.release();
        const columns = try gpa.alloc(Column, schema.fields.len);
        var made: usize = 0;
        errdefer {
            for (columns[0..made]) |*each| each.deinit();
            gpa.free(columns);
        }
        for (columns, schema.fields) |*each, *field| {
            each.* = try .init(gpa, &field.type);
            each.data_limit = batch_data_size;
            made += 1;
        }
        return .{ .gpa = gpa, .schema = schema, .columns = columns };
    }

    pub fn deinit(self: *Rows) void {
        for (self.columns) |*each| each.deinit();
        self.gpa.free(self.columns);
        for (self.batches.items) |batch| batch.release();
        self.batches.deinit(self.gpa);
        self.schema.release();
    }

    /// `values`: as many as there are columns.
    pub fn append(self: *Rows, values: protocol.DataRow.Iterator) Error!void {
        if (self.length == batch_rows) try self.endBatch();
        self.tryAppend(values) catch |err| switch (err) {
            error.Full => try self.appendLarge(values),
            else => |other| return other,
        };
        self.length += 1;
    }

    /// A row for which the batch has no room begins the next one; there a value may be as long as it likes.
    fn appendLarge(self: *Rows, values: protocol.DataRow.Iterator) Error!void {
        if (self.length > 0) try self.endBatch();
        for (self.columns) |*each| each.data_limit = column_file.data_size_max;
        defer for (self.columns) |*each| {
            each.data_limit = batch_data_size;
        };
        self.tryAppend(values) catch |err| switch (err) {
            error.Full => {
                self.problem = "the value is too long for a column of Arrow";
                return error.NotRepresentable;
            },
            else => |other| return other,
        };
    }

    fn tryAppend(self: *Rows, given: protocol.DataRow.Iterator) column_file.Error!void {
        var values = given;
        for (self.columns, 0..) |*each, i| {
            const value = values.take() catch return error.Malformed;
            const bytes = value orelse {
                try each.appendNull(self.length);
                continue;
            };
            each.append(each, self.length, bytes) catch |err| {
                self.column = i;
                self.problem = if (err == error.NotRepresentable) each.problem else "";
                return err;
            };
        }
        values.end() catch return error.Malformed;
    }

    fn endBatch(self: *Rows) error{OutOfMemory}!void {
        try self.batches.ensureUnusedCapacity(self.gpa, 1);
        const batch = try self.gpa.create(Batch);
        errdefer self.gpa.destroy(batch);
        const finished = try self.gpa.alloc(column_file.Finished, self.columns.len);
        var made: usize = 0;
        errdefer {
            for (finished[0..made]) |*each| each.deinit(self.gpa);
            self.gpa.free(finished);
        }
        for (finished, self.columns) |*each, *column| {
            each.* = try column.finish(self.length);
            made += 1;
        }
        batch.* = .{ .gpa = self.gpa, .length = self.length, .columns = finished };
        self.batches.appendAssumeCapacity(batch);
        self.row_count += self.length;
        self.length = 0;
    }

    /// All rows. Afterwards there is nothing but to `deinit`.
    pub fn finish(self: *Rows) error{OutOfMemory}!*Table {
        if (self.length > 0) try self.endBatch();
        const table = try self.gpa.create(Table);
        errdefer self.gpa.destroy(table);
        const batches = try self.batches.toOwnedSlice(self.gpa);
        table.* = .{ .gpa = self.gpa, .schema = self.schema.retain(), .batches = batches, .row_count = self.row_count };
        return table;
    }
};
