//! A stream of batches that comes from elsewhere: taken over, read batch by batch, and released. Called by the
//! python layer's `arrow_rows.zig`.
//! Arrow docs: "The Arrow C stream interface".
const std = @import("std");
const c_data = @import("c_data.zig");
const foreign = @import("foreign.zig");
const node_file = @import("node.zig");
const Field = foreign.Field;
const Node = node_file.Node;

pub const Error = error{
    OutOfMemory,
    /// The producer failed; `message` is what it says.
    Failed,
    /// What it gives is not what the interface allows; `message` says why.
    Refused,
};

pub const Incoming = struct {
    gpa: std.mem.Allocator,
    stream: c_data.Stream = .{},
    /// Of the schema.
    arena: std.heap.ArenaAllocator,
    root: Field = .{ .name = "", .format = "", .kind = .other },
    batch: c_data.Array = .{},
    /// Of the batch's nodes.
    batch_arena: std.heap.ArenaAllocator,
    node: ?Node = null,
    message_buffer: [512]u8 = undefined,
    message: []const u8 = "",

    pub fn init(gpa: std.mem.Allocator) Incoming {
        return .{ .gpa = gpa, .arena = .init(gpa), .batch_arena = .init(gpa) };
    }

    pub fn deinit(self: *Incoming) void {
        self.endBatch();
        if (self.stream.release) |release| release(&self.stream);
        self.stream = .{};
        self.batch_arena.deinit();
        self.arena.deinit();
    }

    /// Take over `stream`, which is marked as released where it was, and read its schema.
    pub fn open(self: *Incoming, stream: *c_data.Stream) Error!void {
        if (stream.release == null) return self.refuse("the stream was read already");
        self.stream = stream.*;
        stream.* = .{};
        const get_schema = self.stream.get_schema orelse return self.refuse("a stream without its functions");
        if (self.stream.get_next == null) return self.refuse("a stream without its functions");
        var schema: c_data.Schema = .{};
        const code = get_schema(&self.stream, &schema);
        if (code != 0) return self.failed(code);
        defer if (schema.release) |release| release(&schema);
        self.root = try foreign.parse(self.arena.allocator(), &schema, &self.message);
        if (self.root.kind != .structure or self.root.dictionary != null) return self.refuse("its schema is no struct of columns");
    }

    /// Go to the next batch that has rows. False: there is none.
    pub fn read(self: *Incoming) Error!bool {
        while (true) {
            self.endBatch();
            const get_next = self.stream.get_next orelse return false;
            const code = get_next(&self.stream, &self.batch);
            if (code != 0) {
                self.batch = .{}; // whatever it is, it was not given
                return self.failed(code);
            }
            if (self.batch.release == null) return false;
            const node = try Node.init(self.batch_arena.allocator(), &self.root, &self.batch, &self.message);
            if (node.validity != null and self.batch.null_count != 0) {
                for (0..node.length) |index| if (node.isNull(index)) return self.refuse("a row that is NULL as a whole");
            }
            if (node.length == 0) continue;
            self.node = node;
            return true;
        }
    }

    pub fn endBatch(self: *Incoming) void {
        self.node = null;
        if (self.batch.release) |release| release(&self.batch);
        self.batch = .{};
        _ = self.batch_arena.reset(.retain_capacity);
    }

    fn refuse(self: *Incoming, why: []const u8) Error {
        self.message = why;
        return error.Refused;
    }

    fn failed(self: *Incoming, code: c_int) Error {
        self.message = "";
        if (self.stream.get_last_error) |get_last_error| {
            if (get_last_error(&self.stream)) |text| {
                var size: usize = 0;
                while (size < self.message_buffer.len and text[size] != 0) : (size += 1) self.message_buffer[size] = text[size];
                self.message = self.message_buffer[0..size];
            }
        }
        if (self.message.len == 0) self.message = std.fmt.bufPrint(&self.message_buffer, "error {d}", .{code}) catch unreachable;
        return error.Failed;
    }
};

test {
    _ = @import("incoming_test.zig");
}
