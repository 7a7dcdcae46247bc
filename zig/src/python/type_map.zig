//! `TypeMap`, one per pool: every type by its OID. The built-in types are there from the start; Python
//! asks the catalogs about the others when a statement first meets them, and adds them here.
//!
//! A type that contains one which is not known yet is itself not known; it becomes so when the last
//! of its parts is added. What `lookup` has returned stays valid and unchanged as long as the map
//! lives, also when the type is added again in another form: statements hold on to it.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const type_info = @import("type_info.zig");
const classes = @import("classes.zig");
const Classes = classes.Classes;
const compare_eq = classes.compare_eq;
const methods = @import("type_map_methods.zig");
const Catalog = @import("statement.zig").Catalog;
const Object = py.Object;

pub const TypeInfo = type_info.TypeInfo;
pub const Field = type_info.Field;
pub const Codec = type_info.Codec;

/// Below it OIDs are the server's own, fixed by hand.
pub const oid_user_min = 10_000;

/// A type as it was described, its parts by OID.
pub const Definition = struct {
    name: []const u8,
    kind: types.Kind,
    binary: bool = true,
    delimiter: u8 = ',',
    lower_bound: i32 = 1,
    /// Of an array, a range, a multirange; of a domain the type it is like.
    part: u32 = 0,
    alias: bool = false,
    field_names: []const *Object = &.{},
    field_oids: []const u32 = &.{},
    factory: ?*Object = null,
    codec: ?Codec = null,

    /// Whether `other`, made of the catalogs a second time, says the same. Classes and codecs come from
    /// elsewhere: a class is made anew each time, a codec is always taken over.
    fn describes(self: *const Definition, other: *const Definition) bool {
        if (self.codec != null or other.codec != null) return false;
        if (self.field_names.len != other.field_names.len) return false;
        for (self.field_names, other.field_names) |name, other_name| {
            if (py.PyObject_RichCompareBool(name, other_name, compare_eq) != 1) return false; // both are str
        }
        return std.mem.eql(u8, self.name, other.name) and self.kind == other.kind and self.binary == other.binary and
            self.delimiter == other.delimiter and self.part == other.part and self.alias == other.alias and
            std.mem.eql(u32, self.field_oids, other.field_oids);
    }

    fn mentions(self: *const Definition, oid: u32) bool {
        if (self.part == oid and oid != 0) return true;
        return std.mem.findScalar(u32, self.field_oids, oid) != null;
    }
};

pub const TypeMap = struct {
    /// The Python object this is the inside of; borrowed.
    object: *Object,
    classes: Classes,
    /// Intervals become `Interval`, not `timedelta`.
    exact_intervals: bool,
    mutex: std.c.pthread_mutex_t = std.c.PTHREAD_MUTEX_INITIALIZER,
    gpa: std.mem.Allocator,
    /// Of every definition and every TypeInfo made here.
    arena: std.heap.ArenaAllocator,
    entries: std.AutoHashMapUnmanaged(u32, Entry) = .empty,
    /// Python objects that the definitions hold.
    references: std.ArrayList(*Object) = .empty,
    /// Someone gave a built-in type a codec of their own.
    overrides: std.atomic.Value(bool) = .init(false),
    /// Counts what was replaced or forgotten, so that statements notice.
    generation: std.atomic.Value(u32) = .init(0),
    /// A pooler stands between: a name means nothing on the next backend, so none is given any more.
    has_pooler: std.atomic.Value(bool) = .init(false),
    /// What is known of each SQL text.
    catalog: Catalog,

    /// Room for the fields of a type that is being built.
    fields: std.ArrayList(Field) = .empty,

    const Entry = struct {
        definition: *const Definition,
        info: ?*const TypeInfo,
        /// What `info` was last.
        former: ?*const TypeInfo = null,
    };

    /// The struct inside a TypeMap object.
    pub fn of(object: *Object) *TypeMap {
        return py.state(TypeMap, object);
    }

    /// What is known of `oid`; null where the catalogs must be asked.
    pub fn lookup(self: *TypeMap, oid: u32) ?*const TypeInfo {
        if (oid < oid_user_min and !self.overrides.load(.acquire)) return type_info.builtin(oid);
        self.lock();
        defer self.unlock();
        return self.find(oid);
    }

    /// Add or replace a type. Allocates copies of all it is given and takes references of its own.
    pub fn add(self: *TypeMap, oid: u32, definition: Definition) error{OutOfMemory}!void {
        self.lock();
        defer self.unlock();
        if (self.entries.get(oid)) |entry| {
            // What was forgotten is as it was: then so are the statements that know it.
            if (entry.definition.describes(&definition)) return self.resolve(oid);
        }
        const arena = self.arena.allocator();
        const kept = try arena.create(Definition);
        kept.* = definition;
        kept.name = try arena.dupe(u8, definition.name);
        kept.field_names = try arena.dupe(*Object, definition.field_names);
        kept.field_oids = try arena.dupe(u32, definition.field_oids);
        try self.entries.ensureUnusedCapacity(self.gpa, 1);
        try self.references.ensureUnusedCapacity(self.gpa, definition.field_names.len + 3);
        for (kept.field_names) |name| self.references.appendAssumeCapacity(py.incref(name));
        if (kept.factory) |factory| self.references.appendAssumeCapacity(py.incref(factory));
        if (kept.codec) |codec| {
            self.references.appendAssumeCapacity(py.incref(codec.encode));
            self.references.appendAssumeCapacity(py.incref(codec.decode));
        }
        const former = if (self.entries.get(oid)) |entry| entry.former else null;
        self.entries.putAssumeCapacity(oid, .{ .definition = kept, .info = null, .former = former });
        if (oid < oid_user_min) {
            self.overrides.store(true, .release);
            try self.describeContainers(oid);
        }
        try self.resolve(oid);
    }

    /// What was described may be out of date: `lookup` gives null until it is added again, for this type
    /// and for those that contain it.
    pub fn forget(self: *TypeMap, oid: u32) void {
        self.lock();
        defer self.unlock();
        _ = self.generation.fetchAdd(1, .monotonic);
        self.forgetWith(oid);
    }

    /// A type was altered, or a table, whose rows are a type: any composite may be another now.
    pub fn forgetComposites(self: *TypeMap) void {
        self.lock();
        defer self.unlock();
        _ = self.generation.fetchAdd(1, .monotonic);
        var all = self.entries.iterator();
        while (all.next()) |entry| {
            if (entry.value_ptr.definition.kind == .composite) self.forgetWith(entry.key_ptr.*);
        }
    }

    /// Recursion ends: what is forgotten already is not gone into again.
    fn forgetWith(self: *TypeMap, oid: u32) void {
        const entry = self.entries.getPtr(oid) orelse return;
        if (entry.info == null or oid < oid_user_min) return;
        entry.info = null;
        var all = self.entries.iterator();
        while (all.next()) |other| {
            if (other.value_ptr.definition.mentions(oid)) self.forgetWith(other.key_ptr.*);
        }
    }

    /// Make the TypeInfo of `oid` and of everything that contains it, each as soon as all its parts are
    /// there. Types that contain one another, which no honest server has, are never ready.
    fn resolve(self: *TypeMap, oid: u32) error{OutOfMemory}!void {
        var affected: std.ArrayList(u32) = .empty;
        defer affected.deinit(self.gpa);
        try affected.append(self.gpa, oid);
        var next: usize = 0;
        while (next < affected.items.len) : (next += 1) {
            const part = affected.items[next];
            var all = self.entries.iterator();
            while (all.next()) |entry| {
                if (!entry.value_ptr.definition.mentions(part)) continue;
                if (std.mem.findScalar(u32, affected.items, entry.key_ptr.*) == null) try affected.append(self.gpa, entry.key_ptr.*);
            }
        }
        _ = self.generation.fetchAdd(1, .monotonic);
        for (affected.items) |each| self.entries.getPtr(each).?.info = null;
        var progress = true;
        while (progress) {
            progress = false;
            for (affected.items) |each| {
                const entry = self.entries.getPtr(each).?;
                if (entry.info != null) continue;
                const built = try self.build(each, entry.definition) orelse continue;
                entry.info = try self.keep(built, entry.former);
                entry.former = entry.info;
                progress = true;
            }
        }
    }

    /// Describe the built-in containers of a built-in type as if they had been added, so that they follow it.
    fn describeContainers(self: *TypeMap, oid: u32) error{OutOfMemory}!void {
        for (types.oids.all()) |*entry| {
            const part = @max(entry.element, entry.subtype, entry.range);
            if (part != oid or self.entries.contains(entry.oid)) continue;
            const definition = try self.arena.allocator().create(Definition);
            definition.* = .{
                .name = entry.name,
                .kind = entry.kind,
                .part = part,
                .delimiter = type_info.builtin(entry.oid).?.delimiter,
                .lower_bound = types.oids.arrayLowerBound(entry.oid),
            };
            try self.entries.put(self.gpa, entry.oid, .{ .definition = definition, .info = type_info.builtin(entry.oid) });
            try self.describeContainers(entry.oid); // an array of ranges; the table has no deeper ones
        }
    }

    /// `built` for good, or what was there before where that is the same: statements that hold on to it
    /// are right then, and repeats take no room.
    fn keep(self: *TypeMap, built: TypeInfo, former: ?*const TypeInfo) error{OutOfMemory}!*const TypeInfo {
        if (former) |old| if (old.same(&built)) return old;
        const info = try self.arena.allocator().create(TypeInfo);
        info.* = built;
        info.fields = try self.arena.allocator().dupe(Field, built.fields);
        return info;
    }

    /// `fields` of what is returned are in `self.fields`, for the time being.
    fn build(self: *TypeMap, oid: u32, definition: *const Definition) error{OutOfMemory}!?TypeInfo {
        var made: TypeInfo = .{ .oid = oid, .name = definition.name, .kind = definition.kind };
        if (definition.alias) {
            made = (self.find(definition.part) orelse return null).*;
            made.oid = oid;
            made.name = definition.name;
        } else {
            made.binary = definition.binary;
            made.delimiter = definition.delimiter;
            made.lower_bound = definition.lower_bound;
            made.factory = definition.factory;
            made.codec = definition.codec;
            if (definition.part != 0) {
                const part = self.find(definition.part) orelse return null;
                made.element = part;
                made.binary = made.binary and part.binary;
            }
            try self.fields.resize(self.gpa, definition.field_oids.len);
            const fields = self.fields.items;
            for (fields, definition.field_names, definition.field_oids) |*field, name, field_oid| {
                field.* = .{ .name = name, .type = self.find(field_oid) orelse return null };
                made.binary = made.binary and field.type.binary;
            }
            made.fields = fields;
        }
        return made;
    }

    fn find(self: *TypeMap, oid: u32) ?*const TypeInfo {
        if (self.entries.get(oid)) |entry| return entry.info;
        return type_info.builtin(oid);
    }

    /// With a GIL nothing here lets go of it, so there is nothing to lock.
    fn lock(self: *TypeMap) void {
        if (py.hd_free_threaded == 0) return;
        const status = std.c.pthread_mutex_lock(&self.mutex);
        std.debug.assert(status == .SUCCESS);
    }

    fn unlock(self: *TypeMap) void {
        if (py.hd_free_threaded == 0) return;
        const status = std.c.pthread_mutex_unlock(&self.mutex);
        std.debug.assert(status == .SUCCESS);
    }
};

const doc =
    "TypeMap(*, json_loads=None, json_dumps=None, exact_intervals=False)\n--\n\n" ++
    "Types by OID, shared by every connection of a pool.";

/// The heap type for the module; a new reference.
pub fn makeType(module: *Object) py.Error!*Object {
    const slots = [_]py.TypeSlot{
        .{ .slot = py.slot.tp_new, .function = &new },
        .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
        .{ .slot = py.slot.tp_traverse, .function = &traverse },
        .{ .slot = py.slot.tp_methods, .function = &methods.table },
        .{ .slot = py.slot.tp_doc, .function = doc },
        .{ .slot = 0, .function = null },
    };
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.TypeMap",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    return py.checked(py.PyType_FromModuleAndSpec(module, &spec, null));
}

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    return create(class, arguments, keywords) catch |err| switch (err) {
        error.PythonError => null,
        error.OutOfMemory => py.PyErr_NoMemory(),
    };
}

fn create(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) (py.Error || error{OutOfMemory})!*Object {
    const names = [_]?[*:0]const u8{ "json_loads", "json_dumps", "exact_intervals", null };
    var json_loads: ?*Object = null;
    var json_dumps: ?*Object = null;
    var exact_intervals: c_int = 0;
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OOp:TypeMap", &names, &json_loads, &json_dumps, &exact_intervals) == 0)
        return error.PythonError;
    if (json_loads == py.hd_none()) json_loads = null;
    if (json_dumps == py.hd_none()) json_dumps = null;
    const gpa = std.heap.c_allocator;
    const object = try py.checked(py.hd_alloc(class));
    errdefer py.decref(object); // dealloc copes with a box that is still empty
    const map = try gpa.create(TypeMap);
    errdefer gpa.destroy(map);
    map.* = .{
        .object = object,
        .classes = try .load(json_loads, json_dumps),
        .exact_intervals = exact_intervals != 0,
        .gpa = gpa,
        .arena = .init(gpa),
        .catalog = .{ .gpa = gpa },
    };
    py.hd_box_set(object, map);
    return object;
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    if (py.hd_box_get(object)) |state| {
        const map: *TypeMap = @ptrCast(@alignCast(state));
        const gpa = map.gpa;
        map.catalog.deinit();
        map.classes.deinit();
        for (map.references.items) |reference| py.decref(reference);
        map.references.deinit(gpa);
        map.entries.deinit(gpa);
        map.fields.deinit(gpa);
        map.arena.deinit();
        gpa.destroy(map);
    }
    py.hd_free(object);
}

/// There is no tp_clear: the objects held here are classes, functions and names, and a cycle through
/// them is broken at the others. So whatever still uses the map while it is collected finds it whole.
fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const own_type = visit(@ptrCast(py.hd_type(object)), arg);
    if (own_type != 0) return own_type;
    const state = py.hd_box_get(object) orelse return 0;
    const map: *TypeMap = @ptrCast(@alignCast(state));
    for (map.references.items) |reference| {
        const status = visit(reference, arg);
        if (status != 0) return status;
    }
    return map.classes.traverse(visit, arg);
}
