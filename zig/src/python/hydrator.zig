//! `Hydrator`: the plan by which a row becomes instances, one for each node of a tree of joins. The ORM makes one per
//! compiled query and keeps it; `begin` gives the `Hydration`, the target of one request, with an Origin for each node.
//!
//! All that could be wrong with a plan is found here, so that `model_sink.zig` writes into memory without asking.
const std = @import("std");
const py = @import("py.zig");
const module = @import("module.zig");
const raise = @import("raise.zig");
const signature = @import("signature.zig");
const slots_file = @import("slots.zig");
const Object = py.Object;

const gpa = std.heap.c_allocator;

/// PostgreSQL gives no more columns than these.
const columns_max = 1664;

pub const Column = struct {
    target: Target,
    converter: Converter,

    pub const Target = union(enum) {
        /// Read over.
        none,
        /// Where the instance keeps it.
        slot: isize,
        /// Its name in `_extra`.
        extra: *Object,
    };

    pub const Converter = union(enum) {
        none,
        /// A dict of our own, which nobody can change, and whether what it gives can lead back to an instance.
        table: struct { dict: *Object, is_leaf: bool },
        callable: *Object,
    };
};

pub const Node = struct {
    class: *py.TypeObject,
    /// The node that has this one in a slot; of the first node nothing.
    parent: usize,
    relation: isize,
    columns: []const Column,
    /// By column: a NULL means that the join has found nothing. Empty where no column does.
    is_key: []const bool,
    /// `{name: None, …}` of the values that go into `_extra`, null for none.
    extra: ?*Object,
    /// There is nowhere to put anything but the slots.
    has_slots_alone: bool,
};

pub const Plan = struct {
    arena: std.heap.ArenaAllocator,
    nodes: []Node = &.{},
    column_count: usize = 0,
    /// References.
    held: std.ArrayList(*Object) = .empty,

    fn create() error{OutOfMemory}!*Plan {
        const self = try gpa.create(Plan);
        self.* = .{ .arena = .init(gpa) };
        return self;
    }

    fn destroy(self: *Plan) void {
        for (self.held.items) |object| py.decref(object);
        self.arena.deinit();
        gpa.destroy(self);
    }

    /// Takes over the reference.
    fn keep(self: *Plan, object: *Object) error{OutOfMemory}!*Object {
        self.held.append(self.arena.allocator(), object) catch |err| {
            py.decref(object);
            return err;
        };
        return object;
    }
};

const Error = py.Error || error{OutOfMemory};

/// Makes a Plan of what Python gives.
const Reader = struct {
    plan: *Plan,
    instance_type: *py.TypeObject,
    /// enum.Enum: its members live as long as their class.
    enum_class: *Object,

    fn read(self: Reader, nodes: *Object) Error!void {
        const count = try sizeOfTuple(nodes, "the nodes");
        if (count == 0) return raise.valueError("a hydrator has at least one node");
        self.plan.nodes = try self.plan.arena.allocator().alloc(Node, count);
        for (self.plan.nodes, 0..) |*node, i| {
            node.* = try self.readNode(py.hd_tuple_get(nodes, @intCast(i)), i);
            self.plan.column_count += node.columns.len;
        }
        if (self.plan.column_count > columns_max) return raise.valueError("a hydrator has at most 1664 columns");
    }

    fn readNode(self: Reader, given: *Object, index: usize) Error!Node {
        if (try sizeOfTuple(given, "a node") != 5) return raise.typeError("a node is (class, parent, relation, columns, key)");
        const class = py.hd_tuple_get(given, 0);
        if (py.hd_type_check(class) == 0 or py.PyType_IsSubtype(@ptrCast(class), self.instance_type) == 0) {
            return raise.typeError("a node's class is a subclass of Instance");
        }
        _ = try self.plan.keep(py.incref(class));
        var node: Node = .{
            .class = @ptrCast(class),
            .parent = 0,
            .relation = 0,
            .columns = &.{},
            .is_key = &.{},
            .extra = null,
            .has_slots_alone = py.hd_type_has_dict(@ptrCast(class)) == 0,
        };
        try self.readParent(&node, py.hd_tuple_get(given, 1), py.hd_tuple_get(given, 2), index);
        try self.readColumns(&node, py.hd_tuple_get(given, 3));
        try self.readKey(&node, py.hd_tuple_get(given, 4), index);
        return node;
    }

    fn readParent(self: Reader, node: *Node, parent: *Object, relation: *Object, index: usize) Error!void {
        const number = py.PyLong_AsLongLong(parent);
        if (number == -1 and py.PyErr_Occurred() != null) return error.PythonError;
        if (index == 0) {
            if (number != -1 or relation != py.hd_none()) return raise.valueError("the first node has no parent: -1 and None");
            return;
        }
        if (number < 0 or number >= index) return raise.valueError("a node's parent is the index of a node before it");
        node.parent = @intCast(number);
        const before = self.plan.nodes[0..index];
        const owner = &before[node.parent];
        node.relation = try slots_file.offsetIn(owner.class, relation);
        for (owner.columns) |column| if (isSlot(column, node.relation)) return slotTwice(relation);
        for (before[1..]) |sibling| {
            if (sibling.parent == node.parent and sibling.relation == node.relation) return slotTwice(relation);
        }
    }

    fn readColumns(self: Reader, node: *Node, given: *Object) Error!void {
        const count = try sizeOfTuple(given, "a node's columns");
        const columns = try self.plan.arena.allocator().alloc(Column, count);
        for (columns, 0..) |*column, i| {
            const pair = py.hd_tuple_get(given, @intCast(i));
            if (try sizeOfTuple(pair, "a column") != 2) return raise.typeError("a column is (target, converter)");
            const target = py.hd_tuple_get(pair, 0);
            column.* = .{
                .target = try self.readTarget(node, target),
                .converter = try self.readConverter(py.hd_tuple_get(pair, 1)),
            };
            if (column.target != .slot) continue;
            for (columns[0..i]) |earlier| if (isSlot(earlier, column.target.slot)) return slotTwice(target);
        }
        node.columns = columns;
    }

    fn readTarget(self: Reader, node: *Node, given: *Object) Error!Column.Target {
        if (given == py.hd_none()) return .none;
        if (py.hd_unicode_check(given) == 0) return .{ .slot = try slots_file.offsetIn(node.class, given) };
        var name: ?*Object = py.incref(given);
        py.PyUnicode_InternInPlace(&name);
        const kept = try self.plan.keep(name.?);
        if (node.extra == null) node.extra = try self.plan.keep(try py.checked(py.PyDict_New()));
        const before = py.PyDict_Size(node.extra.?);
        try py.ok(py.PyDict_SetItem(node.extra.?, kept, py.hd_none()));
        if (py.PyDict_Size(node.extra.?) != before) return .{ .extra = kept };
        _ = py.PyErr_Format(py.PyExc_ValueError, "two columns have the name %R", kept);
        return error.PythonError;
    }

    fn readConverter(self: Reader, given: *Object) Error!Column.Converter {
        if (given == py.hd_none()) return .none;
        if (py.hd_dict_check(given) != 0) {
            const dict = try self.plan.keep(try py.checked(py.PyDict_Copy(given)));
            return .{ .table = .{ .dict = dict, .is_leaf = try self.hasLeavesAlone(dict) } };
        }
        if (py.PyCallable_Check(given) == 0) return raise.typeError("a converter is a dict, a callable or None");
        return .{ .callable = try self.plan.keep(py.incref(given)) };
    }

    fn hasLeavesAlone(self: Reader, dict: *Object) py.Error!bool {
        var position: isize = 0;
        var key: ?*Object = null;
        var value: ?*Object = null;
        while (py.PyDict_Next(dict, &position, &key, &value) != 0) {
            if (py.hd_is_gc(value.?) == 0) continue;
            const is_member = py.PyObject_IsInstance(value.?, self.enum_class);
            try py.ok(is_member);
            if (is_member == 0) return false;
        }
        return true;
    }

    fn readKey(self: Reader, node: *Node, given: *Object, index: usize) Error!void {
        const count = try sizeOfTuple(given, "a node's key");
        if (count == 0 or index == 0) return checkPositions(given, count, node.columns.len, null);
        const is_key = try self.plan.arena.allocator().alloc(bool, node.columns.len);
        @memset(is_key, false);
        try checkPositions(given, count, node.columns.len, is_key);
        node.is_key = is_key;
    }
};

fn checkPositions(given: *Object, count: usize, column_count: usize, is_key: ?[]bool) py.Error!void {
    for (0..count) |i| {
        const position = py.PyLong_AsLongLong(py.hd_tuple_get(given, @intCast(i)));
        if (position == -1 and py.PyErr_Occurred() != null) return error.PythonError;
        if (position < 0 or position >= column_count) return raise.valueError("a key has positions of its node's columns");
        if (is_key) |marks| marks[@intCast(position)] = true;
    }
}

fn isSlot(column: Column, offset: isize) bool {
    return column.target == .slot and column.target.slot == offset;
}

fn slotTwice(descriptor: *Object) py.Error {
    _ = py.PyErr_Format(py.PyExc_ValueError, "the slot %U is written twice", py.hd_slot_name(descriptor));
    return error.PythonError;
}

fn sizeOfTuple(given: *Object, comptime what: [*:0]const u8) py.Error!usize {
    if (py.hd_tuple_check(given) != 0) return @intCast(py.hd_tuple_size(given));
    _ = py.PyErr_Format(py.PyExc_TypeError, "%s must be a tuple, not %.200s", what, py.hd_type_name(given));
    return error.PythonError;
}

fn new(class: *py.TypeObject, arguments: *Object, keywords: ?*Object) callconv(.c) ?*Object {
    var nodes: ?*Object = null;
    const names = [_]?[*:0]const u8{ "", null };
    if (py.PyArg_ParseTupleAndKeywords(arguments, keywords, "O:Hydrator", &names, &nodes) == 0) return null;
    return make(class, nodes.?) catch |err| if (err == error.OutOfMemory) raise.asNull(raise.outOfMemory()) else null;
}

fn make(class: *py.TypeObject, nodes: *Object) Error!*Object {
    const state: *module.ModuleState = @ptrCast(@alignCast(py.PyType_GetModuleState(class).?));
    const enums = try py.checked(py.PyImport_ImportModule("enum"));
    defer py.decref(enums);
    const enum_class = try py.checked(py.PyObject_GetAttrString(enums, "Enum"));
    defer py.decref(enum_class);
    const object = try py.checked(py.hd_alloc(class));
    errdefer py.decref(object);
    const plan = try Plan.create();
    errdefer plan.destroy();
    const reader: Reader = .{ .plan = plan, .instance_type = @ptrCast(state.instance_type.?), .enum_class = enum_class };
    try reader.read(nodes);
    py.hd_box_set(object, plan);
    return object;
}

fn dealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    if (py.hd_box_get(object) != null) py.state(Plan, object).destroy();
    py.hd_free(object);
}

/// Nothing is cleared: a plan never changes, so a cycle goes through something else that does.
fn traverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const stop = visit(@ptrCast(py.hd_type(object)), arg);
    if (stop != 0 or py.hd_box_get(object) == null) return stop;
    for (py.state(Plan, object).held.items) |held| {
        const status = visit(held, arg);
        if (status != 0) return status;
    }
    return 0;
}

/// What a request has as its target.
pub const Hydration = struct {
    hydrator: *Object,
    plan: *const Plan,
    /// A tuple of as many as there are nodes.
    origins: *Object,

    pub fn of(object: *Object) *const Hydration {
        return py.state(Hydration, object);
    }
};

fn begin(object: *Object, origins: *Object) callconv(.c) ?*Object {
    return beginChecked(object, origins) catch null;
}

fn beginChecked(object: *Object, origins: *Object) py.Error!*Object {
    const state = module.ModuleState.ofInstance(object);
    const plan = py.state(Plan, object);
    const count = try sizeOfTuple(origins, "the origins");
    if (count != plan.nodes.len) return raise.valueError("there must be one Origin for each node");
    for (0..count) |i| {
        if (py.hd_is(py.hd_tuple_get(origins, @intCast(i)), @ptrCast(state.origin_type.?)) == 0) {
            return raise.typeError("the origins must be Origin objects");
        }
    }
    const made = try py.checked(py.hd_alloc(@ptrCast(state.hydration_type.?)));
    errdefer py.decref(made);
    const self = gpa.create(Hydration) catch return raise.outOfMemory();
    self.* = .{ .hydrator = py.incref(object), .plan = plan, .origins = py.incref(origins) };
    py.hd_box_set(made, self);
    return made;
}

fn hydrationDealloc(object: *Object) callconv(.c) void {
    py.PyObject_GC_UnTrack(object);
    if (py.hd_box_get(object) != null) {
        const self = py.state(Hydration, object);
        py.decref(self.hydrator);
        py.decref(self.origins);
        gpa.destroy(self);
    }
    py.hd_free(object);
}

fn hydrationTraverse(object: *Object, visit: py.VisitProc, arg: ?*anyopaque) callconv(.c) c_int {
    const stop = visit(@ptrCast(py.hd_type(object)), arg);
    if (stop != 0 or py.hd_box_get(object) == null) return stop;
    const self: *const Hydration = .of(object);
    const status = visit(self.hydrator, arg);
    return if (status != 0) status else visit(self.origins, arg);
}

fn getOrigins(object: *Object, _: ?*anyopaque) callconv(.c) ?*Object {
    return py.incref(Hydration.of(object).origins);
}

const methods = [_]py.MethodDef{
    .{
        .name = "begin",
        .function = &begin,
        .flags = py.METH_O,
        .doc = signature.ofMethod("begin", &.{"origins"}, "The target of one request, with an Origin for each node."),
    },
    .{},
};

const getters = [_]py.GetSetDef{
    .{ .name = "origins", .get = &getOrigins, .doc = "An Origin for each node." },
    .{},
};

const hydrator_slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_new, .function = &new },
    .{ .slot = py.slot.tp_dealloc, .function = &dealloc },
    .{ .slot = py.slot.tp_traverse, .function = &traverse },
    .{ .slot = py.slot.tp_doc, .function = "Hydrator(nodes, /)\n--\n\nHow a row becomes instances: a plan that never changes." },
    .{ .slot = py.slot.tp_methods, .function = &methods },
    .{ .slot = 0, .function = null },
};

const hydration_slots = [_]py.TypeSlot{
    .{ .slot = py.slot.tp_dealloc, .function = &hydrationDealloc },
    .{ .slot = py.slot.tp_traverse, .function = &hydrationTraverse },
    .{ .slot = py.slot.tp_doc, .function = "What the rows of one request become: the target of `Shape.model`." },
    .{ .slot = py.slot.tp_getset, .function = &getters },
    .{ .slot = 0, .function = null },
};

pub fn addToModule(object: *Object) py.Error!void {
    const state = module.ModuleState.ofModule(object);
    const flags = py.TPFLAGS_DEFAULT | py.TPFLAGS_HAVE_GC | py.TPFLAGS_IMMUTABLETYPE;
    state.hydrator_type = try module.addType(object, "Hydrator", &.{
        .name = "hyperdjango._hyperdjango_native.Hydrator",
        .basicsize = py.hd_box_size,
        .flags = flags,
        .slots = &hydrator_slots,
    });
    state.hydration_type = try module.addType(object, "Hydration", &.{
        .name = "hyperdjango._hyperdjango_native.Hydration",
        .basicsize = py.hd_box_size,
        .flags = flags | py.TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = &hydration_slots,
    });
}
