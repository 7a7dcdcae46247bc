//! The Python classes and functions that values are made of and recognised by. Loaded once per
//! TypeMap and kept there, because an extension may run in several interpreters and has no statics.
const std = @import("std");
const py = @import("py.zig");
const Object = py.Object;
const TypeObject = py.TypeObject;

/// Anonymous records up to this many fields find their class without a call.
const record_types_max = 64;

pub const Classes = struct {
    /// The datetime module's capsule; lives as long as the interpreter.
    datetime: *const py.DateTimeApi,
    decimal: *Object,
    uuid: Uuid,
    @"enum": *Object,
    json_loads: *Object,
    /// The standard library's scanner, which `loads` calls after looking at its arguments; null beside
    /// a `loads` of the user's own.
    json_scan: ?*Object,
    json_dumps: *Object,
    interval: *Object,
    range: Range,
    multirange: *Object,
    composite: *Object,
    point: *Object,
    line: *Object,
    line_segment: *Object,
    box: *Object,
    path: *Object,
    polygon: *Object,
    circle: *Object,
    record_type: *Object,
    /// A tuple for isinstance: addresses (interfaces are addresses too) and networks.
    ip_types: *Object,
    names: Names,
    /// Index: the number of fields. Filled as they are met; each entry is set once.
    record_types: [record_types_max + 1]std.atomic.Value(?*Object) = @splat(.init(null)),

    /// `json_loads` and `json_dumps` may be null for the standard library's. Takes no references.
    pub fn load(json_loads: ?*Object, json_dumps: ?*Object) py.Error!Classes {
        const capsule = py.PyCapsule_Import("datetime.datetime_CAPI", 0) orelse return error.PythonError;
        var loader: Loader = .{};
        errdefer loader.deinit();
        const values = try loader.import("hyperdjango.database.types");
        const json = try loader.import("json");
        const interval = try loader.attribute(values, "Interval");
        return .{
            .datetime = @ptrCast(@alignCast(capsule)),
            .decimal = try loader.attribute(try loader.import("decimal"), "Decimal"),
            .uuid = try .load(&loader),
            .@"enum" = try loader.attribute(try loader.import("enum"), "Enum"),
            .json_loads = if (json_loads) |given| loader.keep(py.incref(given)) else try loader.attribute(json, "loads"),
            .json_scan = if (json_loads == null) try jsonScanner(&loader, json) else null,
            .json_dumps = if (json_dumps) |given| loader.keep(py.incref(given)) else try loader.attribute(json, "dumps"),
            .interval = interval,
            .range = try .load(&loader, values),
            .multirange = try loader.attribute(values, "Multirange"),
            .composite = try loader.attribute(values, "Composite"),
            .point = try loader.attribute(values, "Point"),
            .line = try loader.attribute(values, "Line"),
            .line_segment = try loader.attribute(values, "LineSegment"),
            .box = try loader.attribute(values, "Box"),
            .path = try loader.attribute(values, "Path"),
            .polygon = try loader.attribute(values, "Polygon"),
            .circle = try loader.attribute(values, "Circle"),
            .record_type = try loader.attribute(values, "record_type"),
            .ip_types = try ipTypes(&loader),
            .names = try .load(&loader),
        };
    }

    /// The class of anonymous records with `count` fields; a new reference.
    pub fn recordType(self: *Classes, count: usize) py.Error!*Object {
        if (count <= record_types_max) {
            if (self.record_types[count].load(.acquire)) |known| return py.incref(known);
        }
        const number = try py.checked(py.PyLong_FromSize_t(count));
        defer py.decref(number);
        const made = try py.checked(py.PyObject_CallOneArg(self.record_type, number));
        if (count <= record_types_max) {
            // Another thread may have been first; its class serves as well.
            if (self.record_types[count].cmpxchgStrong(null, made, .acq_rel, .acquire) == null) _ = py.incref(made);
        }
        return made;
    }

    pub fn deinit(self: *Classes) void {
        forEach(self, {}, release) catch unreachable; // release has no error
    }

    pub fn traverse(self: *Classes, visit: py.VisitProc, arg: ?*anyopaque) c_int {
        const Visitor = struct { visit: py.VisitProc, arg: ?*anyopaque, status: c_int = 0 };
        var visitor: Visitor = .{ .visit = visit, .arg = arg };
        forEach(self, &visitor, struct {
            fn one(v: *Visitor, object: *Object) error{Stop}!void {
                v.status = v.visit(object, v.arg);
                if (v.status != 0) return error.Stop;
            }
        }.one) catch return visitor.status;
        return 0;
    }

    fn release(_: void, object: *Object) error{Stop}!void {
        py.decref(object);
    }

    fn forEach(self: *Classes, argument: anytype, comptime function: anytype) error{Stop}!void {
        inline for (@typeInfo(Classes).@"struct".field_names) |name| {
            const field = &@field(self, name);
            switch (@TypeOf(field.*)) {
                *Object => try function(argument, field.*),
                ?*Object => if (field.*) |object| try function(argument, object),
                Uuid, Range, Names => inline for (@typeInfo(@TypeOf(field.*)).@"struct".field_names) |inner| {
                    if (@TypeOf(@field(field, inner)) == *Object) try function(argument, @field(field, inner));
                },
                else => {},
            }
        }
        for (&self.record_types) |*entry| {
            if (entry.load(.acquire)) |object| try function(argument, object);
        }
    }
};

/// UUID has two slots and no other state: an instance is its allocation and two stores.
pub const Uuid = struct {
    class: *Object,
    safe_unknown: *Object,
    /// -1 where the class is not what we know; then it is called.
    int_offset: isize,
    is_safe_offset: isize,
    int_keyword: *Object,

    fn load(loader: *Loader) py.Error!Uuid {
        const module = try loader.import("uuid");
        const class = try loader.attribute(module, "UUID");
        const safe = try loader.attribute(module, "SafeUUID");
        const name = loader.keep(try py.checked(py.PyUnicode_InternFromString("int")));
        const keywords = loader.keep(try py.checked(py.PyTuple_New(1)));
        py.hd_tuple_set(keywords, 0, py.incref(name));
        var self: Uuid = .{
            .class = class,
            .safe_unknown = try loader.attribute(safe, "unknown"),
            .int_offset = slotOffset(class, "int"),
            .is_safe_offset = slotOffset(class, "is_safe"),
            .int_keyword = keywords,
        };
        try self.verify();
        return self;
    }

    /// Make one UUID both ways; where they differ, the slots are not used.
    fn verify(self: *Uuid) py.Error!void {
        if (self.int_offset < 0 or self.is_safe_offset < 0) {
            self.int_offset = -1;
            return;
        }
        const bytes: [16]u8 = .{ 0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
        const quick = try self.make(&bytes);
        defer py.decref(quick);
        const called = try self.call(&bytes);
        defer py.decref(called);
        const first = try py.checked(py.PyObject_Str(quick));
        defer py.decref(first);
        const second = try py.checked(py.PyObject_Str(called));
        defer py.decref(second);
        const same = py.PyObject_RichCompareBool(quick, called, compare_eq);
        try py.ok(same);
        const same_text = py.PyObject_RichCompareBool(first, second, compare_eq);
        try py.ok(same_text);
        if (same == 0 or same_text == 0) self.int_offset = -1;
    }

    pub fn make(self: *const Uuid, bytes: *const [16]u8) py.Error!*Object {
        if (self.int_offset < 0) return self.call(bytes);
        const number = try py.checked(py.hd_long_from_bytes(bytes, 16));
        const object = py.hd_alloc(@ptrCast(self.class)) orelse {
            py.decref(number);
            return error.PythonError;
        };
        py.hd_slot_set(object, self.int_offset, number);
        py.hd_slot_set(object, self.is_safe_offset, py.incref(self.safe_unknown));
        // It holds a number and an enum member for ever: no work for the collector.
        py.PyObject_GC_UnTrack(object);
        return object;
    }

    fn call(self: *const Uuid, bytes: *const [16]u8) py.Error!*Object {
        const number = try py.checked(py.hd_long_from_bytes(bytes, 16));
        defer py.decref(number);
        const arguments: [1]?*Object = .{number};
        return py.checked(py.PyObject_Vectorcall(self.class, &arguments, 0, self.int_keyword));
    }
};

/// Range has three slots: lower, upper, and the brackets, None when it is empty.
pub const Range = struct {
    class: *Object,
    lower: isize,
    upper: isize,
    bounds: isize,
    closed_open: *Object,
    closed: *Object,
    open_closed: *Object,
    open: *Object,

    fn load(loader: *Loader, values: *Object) py.Error!Range {
        const class = try loader.attribute(values, "Range");
        const self: Range = .{
            .class = class,
            .lower = slotOffset(class, "_lower"),
            .upper = slotOffset(class, "_upper"),
            .bounds = slotOffset(class, "_bounds"),
            .closed_open = try loader.text("[)"),
            .closed = try loader.text("[]"),
            .open_closed = try loader.text("(]"),
            .open = try loader.text("()"),
        };
        if (self.lower < 0 or self.upper < 0 or self.bounds < 0) {
            py.PyErr_SetString(py.PyExc_TypeError, "hyperdjango.database.types.Range has lost its slots");
            return error.PythonError;
        }
        return self;
    }

    /// Takes the references of both bounds when it succeeds.
    pub fn make(self: *const Range, lower: *Object, upper: *Object, bounds: *Object) py.Error!*Object {
        const object = try py.checked(py.hd_alloc(@ptrCast(self.class)));
        py.hd_slot_set(object, self.lower, lower);
        py.hd_slot_set(object, self.upper, upper);
        py.hd_slot_set(object, self.bounds, py.incref(bounds));
        return object;
    }

    pub fn brackets(self: *const Range, lower_inclusive: bool, upper_inclusive: bool) *Object {
        if (lower_inclusive) return if (upper_inclusive) self.closed else self.closed_open;
        return if (upper_inclusive) self.open_closed else self.open;
    }
};

/// Attribute names, interned.
pub const Names = struct {
    value: *Object,
    utcoffset: *Object,
    isoformat: *Object,
    int: *Object,

    fn load(loader: *Loader) py.Error!Names {
        var names: Names = undefined;
        inline for (@typeInfo(Names).@"struct".field_names) |name| @field(names, name) = try loader.text(name);
        return names;
    }
};

/// Null where the standard library has none that can be called by itself.
fn jsonScanner(loader: *Loader, json: *Object) py.Error!?*Object {
    const class = try py.checked(py.PyObject_GetAttrString(json, "JSONDecoder"));
    defer py.decref(class);
    const decoder = try py.checked(py.PyObject_CallNoArgs(class));
    defer py.decref(decoder);
    return loader.keep(py.PyObject_GetAttrString(decoder, "scan_once") orelse {
        if (py.PyErr_ExceptionMatches(py.PyExc_AttributeError) == 0) return error.PythonError;
        py.PyErr_Clear();
        return null;
    });
}

fn ipTypes(loader: *Loader) py.Error!*Object {
    const module = try loader.import("ipaddress");
    const names = [_][*:0]const u8{ "IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network" };
    const classes = loader.keep(try py.checked(py.PyTuple_New(names.len)));
    for (names, 0..) |name, i| {
        py.hd_tuple_set(classes, @intCast(i), try py.checked(py.PyObject_GetAttrString(module, name)));
    }
    return classes;
}

pub const compare_eq = 2; // object.h, Py_EQ

/// Where instances of `class` keep the slot `name`; -1 where it is no slot.
fn slotOffset(class: *Object, name: [*:0]const u8) isize {
    const descriptor = py.PyObject_GetAttrString(class, name) orelse {
        py.PyErr_Clear();
        return -1;
    };
    defer py.decref(descriptor);
    return py.hd_slot_offset(descriptor);
}

/// Owns what `load` has fetched so far, to give it back when a later step fails. Modules are kept
/// alive by sys.modules, so their references are given back at once.
const Loader = struct {
    kept: [64]*Object = undefined,
    count: usize = 0,

    fn keep(self: *Loader, object: *Object) *Object {
        self.kept[self.count] = object;
        self.count += 1;
        return object;
    }

    fn import(_: *Loader, name: [*:0]const u8) py.Error!*Object {
        const module = try py.checked(py.PyImport_ImportModule(name));
        py.decref(module);
        return module;
    }

    fn attribute(self: *Loader, object: *Object, name: [*:0]const u8) py.Error!*Object {
        return self.keep(try py.checked(py.PyObject_GetAttrString(object, name)));
    }

    fn text(self: *Loader, value: [*:0]const u8) py.Error!*Object {
        return self.keep(try py.checked(py.PyUnicode_InternFromString(value)));
    }

    fn deinit(self: *Loader) void {
        for (self.kept[0..self.count]) |object| py.decref(object);
    }
};
