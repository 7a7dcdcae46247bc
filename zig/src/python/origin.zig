//! `Origin`: what all instances of one class in one result have in common: the database they are from, and each other.
//! The ORM asks it for the others where it loads something for all of them at once.
//!
//! It knows them by address alone, in the order of their rows, so that one instance does not keep the others alive;
//! each remembers its place and empties it when it is deallocated. An instance holds a reference to its Origin.
//!
//! The collector does not look at instances of plain values (`model_sink.zig`), so it cannot see that reference: a cycle
//! from the database to its instances and back, by a function of the user's say, lasts until somebody opens it. From
//! the context, which is of one result, such cycles are likely; one that can lead anywhere has all instances looked at.
const std = @import("std");
const py = @import("py.zig");
const instance = @import("instance.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const Object = py.Object;

const gpa = std.heap.c_allocator;

/// Fewer places than these are not worth the work of closing the gaps between them.
const gaps_min = 64;

pub const Origin = struct {
    database: *Object,
    fetch_mode: *Object,
    context: ?*Object = null,
    /// Without a GIL: guards what follows, and the place that each instance here remembers. Nothing that could wait
    /// or run Python code happens while it is held.
    mutex: std.c.pthread_mutex_t = std.c.PTHREAD_MUTEX_INITIALIZER,
    places: std.ArrayList(?*Object) = .empty,
    living: usize = 0,
    /// A context may lead back to the instances: the collector must look at them.
    is_tracked: bool = false,

    pub fn of(object: *Object) *Origin {
        return py.state(Origin, object);
    }

    /// Give an instance the last place. Returns whether the collector must look at it.
    pub fn add(self: *Origin, object: *Object) error{OutOfMemory}!bool {
        py.hd_enable_try_incref(object);
        self.lock();
        defer self.unlock();
        if (self.places.items.len == self.places.capacity) {
            if (self.living < self.places.items.len / 2) self.closeGaps();
            try self.places.ensureUnusedCapacity(gpa, 1);
        }
        instance.fieldsOf(object).peer = self.places.items.len;
        self.places.appendAssumeCapacity(object);
        self.living += 1;
        return self.is_tracked;
    }

    /// Empty the place of an instance.
    pub fn remove(self: *Origin, object: *Object) void {
        self.lock();
        defer self.unlock();
        const place = &self.places.items[instance.fieldsOf(object).peer];
        std.debug.assert(place.* == object);
        place.* = null;
        self.living -= 1;
        if (self.places.items.len < gaps_min or self.living > self.places.items.len / 4) return;
        self.closeGaps();
        self.places.shrinkAndFree(gpa, self.living);
    }

    fn closeGaps(self: *Origin) void {
        var count: usize = 0;
        for (self.places.items) |place| {
            const object = place orelse continue;
            self.places.items[count] = object;
            instance.fieldsOf(object).peer = count;
            count += 1;
        }
        std.debug.assert(count == self.living);
        self.places.items.len = count;
    }

    /// References to all that are not being deallocated. The caller frees the slice.
    fn collect(self: *Origin) error{OutOfMemory}![]*Object {
        self.lock();
        defer self.unlock();
        var found: std.ArrayList(*Object) = try .initCapacity(gpa, self.living);
        for (self.places.items) |place| {
            const object = place orelse continue;
            if (py.hd_try_incref(object) != 0) found.appendAssumeCapacity(object);
        }
        return found.toOwnedSlice(gpa) catch {
            // Smaller memory could not be had: what is too much stays.
            return found.items;
        };
    }

    fn lock(self: *Origin) void {
        if (py.hd_free_threaded == 0) return;
        const status = std.c.pthread_mutex_lock(&self.mutex);
        std.debug.assert(status == .SUCCESS);
    }

    fn unlock(self: *Origin) void {
        if (py.hd_free_threaded == 0) return;
        const status = std.c.pthread_mutex_unlock(&self.mutex);
        std.debug.assert(status == .SUCCESS);
    }
};

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    var database: ?*Object = null;
    var fetch_mode: ?*Object = null;
    const names = [_]?[*:0]const u8{ "database", "fetch_mode", null };
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "OO:Origin", &names, &database, &fetch_mode) == 0) return null;
    return make(class, database.?, fetch_mode.?) catch null;
}

fn make(class: *py.TypeObject, database: *Object, fetch_mode: *Object) py.Error!*Object {
    const object = try py.checked(py.hd_alloc(class));
    errdefer py.decref(object);
    const self = gpa.create(Origin) catch return raise.outOfMemory();
    self.* = .{ .database = py.incref(database), .fetch_mode = py.incref(fetch_mode) };
    py.hd_box_set(object, self);
    return object;
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    if (py.hd_box_get(object) != null) {
        const self: *Origin = .of(object);
        std.debug.assert(self.living == 0); // each of them holds a reference
        py.hd_box_set(object, null);
        py.decref(self.database);
        py.decref(self.fetch_mode);
        py.xdecref(self.context);
        self.places.deinit(gpa);
        gpa.destroy(self);
    }
    py.hd_free(object);
}

fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const stop = visit(@ptrCast(py.hd_type(object)), arg);
    if (stop != 0 or py.hd_box_get(object) == null) return stop;
    const self: *Origin = .of(object);
    for ([_]?*Object{ self.database, self.fetch_mode, self.context }) |held| {
        const status = visit(held orelse continue, arg);
        if (status != 0) return status;
    }
    return 0;
}

/// The other two never change, so a cycle goes through something else that does.
fn clear(object: *Object) callconv(.c) c_int {
    if (py.hd_box_get(object) == null) return 0;
    py.xdecref(py.hd_field_swap(object, &Origin.of(object).context, null));
    return 0;
}

fn peers(object: *Object, _: ?*Object) callconv(.c) ?*Object {
    const self: *Origin = .of(object);
    // The list is made afterwards: to make it can set off a collection, and that can empty places.
    const found = self.collect() catch return raise.asNull(raise.outOfMemory());
    defer gpa.free(found);
    const list = py.PyList_New(@intCast(found.len)) orelse {
        for (found) |each| py.decref(each);
        return null;
    };
    for (found, 0..) |each, i| py.hd_list_set(list, @intCast(i), each);
    return list;
}

fn getDatabase(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(Origin.of(object).database);
}

fn getFetchMode(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(Origin.of(object).fetch_mode);
}

fn getContext(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.hd_field_get(object, &Origin.of(object).context) orelse py.none();
}

fn setContext(object: *Object, value: ?*Object, _: ?*anyopaque) callconv(.c) c_int {
    const self: *Origin = .of(object);
    const given = if (value == py.hd_none()) null else value;
    if (given) |held| if (py.hd_is_gc(held) != 0) trackPeers(self) catch return -1;
    py.xdecref(py.hd_field_swap(object, &self.context, if (given) |held| py.incref(held) else null));
    return 0;
}

fn trackPeers(self: *Origin) py.Error!void {
    self.lock();
    self.is_tracked = true; // those that come later, too
    self.unlock();
    const found = self.collect() catch return raise.outOfMemory();
    defer gpa.free(found);
    for (found) |each| py.hd_track(each);
    for (found) |each| py.decref(each);
}

const methods = [_]py.MethodDef{
    .{
        .name = "peers",
        .function = &peers,
        .flags = py.METH_NOARGS,
        .doc = signature.ofMethod("peers", &.{}, "The instances that are still alive, in the order of their rows."),
    },
    .{},
};

const getters = [_]py.GetSetDef{
    .{ .name = "database", .get = &getDatabase, .doc = "Where the instances are from." },
    .{ .name = "fetch_mode", .get = &getFetchMode, .doc = "What happens when something is asked for that was not loaded." },
    .{ .name = "context", .get = &getContext, .set = &setContext, .doc = "Whatever its owner keeps here; None at first." },
    .{},
};

const slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_clear, .function = &clear },
    .{ .slot = py.slot.tp_doc, .function = "Origin(database, fetch_mode)\n--\n\nWhat the instances of one class in one result have in common." },
    .{ .slot = py.slot.tp_methods, .function = &methods },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const spec: py.TypeSpec = .{
        .name = "hyperdjango._hyperdjango_native.Origin",
        .basicsize = py.hd_box_size,
        .flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE,
        .slots = &slots,
    };
    module.ModuleState.ofModule(object).origin_type = try module.addType(object, "Origin", &spec);
}
