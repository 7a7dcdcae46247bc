//! What decoders and encoders know of one type: its kind, what it contains, and the Python objects
//! that stand for it. The built-in types' are constants of the program, shared by every TypeMap;
//! those of a database's own types belong to the TypeMap that was told of them.
//! PostgreSQL docs: catalog-pg-type, "pg_type".
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const Object = py.Object;

/// Never changes once a TypeMap has shown it, and keeps its address as long as the TypeMap lives.
pub const TypeInfo = struct {
    oid: u32,
    name: []const u8,
    kind: types.Kind,
    /// The format to ask for in results and to send parameters in. A container of a type that has no
    /// binary form has none either.
    binary: bool = true,
    /// Of an array the element's, of a range the bound's, of a multirange the range's type.
    element: ?*const TypeInfo = null,
    /// Of an array: what stands between its elements in text format.
    delimiter: u8 = ',',
    /// The first subscript of an array: 0 for int2vector and oidvector.
    lower_bound: i32 = 1,
    /// Of a composite.
    fields: []const Field = &.{},
    /// Of a composite: the subclass of Composite. Owned by the TypeMap, as all objects here.
    factory: ?*Object = null,
    /// The user's own codec; where there is one it alone decides.
    codec: ?Codec = null,

    /// As SQL writes it: an array as its element with brackets, whose own name in the catalog is an underscore more.
    pub fn format(self: *const TypeInfo, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        const element = self.element orelse return writer.writeAll(self.name);
        if (self.kind != .array or !std.mem.startsWith(u8, self.name, "_")) return writer.writeAll(self.name);
        return writer.print("{s}[]", .{element.name});
    }

    /// Whether both stand for the same type and contain the very same ones.
    pub fn same(self: *const TypeInfo, other: *const TypeInfo) bool {
        if (self.fields.len != other.fields.len) return false;
        for (self.fields, other.fields) |field, other_field| if (!std.meta.eql(field, other_field)) return false;
        return self.oid == other.oid and self.kind == other.kind and self.binary == other.binary and
            self.element == other.element and self.delimiter == other.delimiter and
            self.lower_bound == other.lower_bound and self.factory == other.factory and
            std.meta.eql(self.codec, other.codec) and std.mem.eql(u8, self.name, other.name);
    }
};

pub const Field = struct {
    /// An interned str.
    name: *Object,
    type: *const TypeInfo,
};

pub const Codec = struct { encode: *Object, decode: *Object };

/// The built-in type with this OID, or null.
pub fn builtin(oid: u32) ?*const TypeInfo {
    const entry = types.oids.builtin(oid) orelse return null;
    const offset = @intFromPtr(entry) - @intFromPtr(types.oids.all().ptr);
    return builtins[offset / @sizeOf(types.oids.Entry)];
}

/// In the order of `types.oids.all()`.
const builtins: [types.oids.all().len]*const TypeInfo = table: {
    @setEvalBranchQuota(1_000_000);
    var table: [types.oids.all().len]*const TypeInfo = undefined;
    for (&table, types.oids.all()) |*info, entry| info.* = constant(entry.oid);
    break :table table;
};

/// One constant per OID: the function is generic, so each instance has its own.
fn constant(comptime oid: u32) *const TypeInfo {
    const Holder = struct {
        const entry = types.oids.builtin(oid).?;
        const contained = switch (entry.kind) {
            .array => entry.element,
            .range => entry.subtype,
            .multirange => entry.range,
            else => 0,
        };
        const info: TypeInfo = .{
            .oid = oid,
            .name = entry.name,
            .kind = entry.kind,
            .binary = !types.oids.textFormat(entry),
            .element = if (contained == 0) null else constant(contained),
            .delimiter = if (entry.kind == .array) types.oids.builtin(contained).?.delimiter else ',',
            .lower_bound = types.oids.arrayLowerBound(oid),
        };
    };
    return &Holder.info;
}
