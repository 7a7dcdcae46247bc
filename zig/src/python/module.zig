//! The module `_hyperdjango_native`: its constants, types and functions, and its per-module state.
const std = @import("std");
const builtin = @import("builtin");
const py = @import("py.zig");
const arrow_object = @import("arrow_object.zig");
const arrow_rows = @import("arrow_rows.zig");
const auth_objects = @import("auth_objects.zig");
const by_key = @import("by_key.zig");
const connection_object = @import("connection_object.zig");
const gate = @import("gate.zig");
const hydrator = @import("hydrator.zig");
const instance = @import("instance.zig");
const load_future = @import("load_future.zig");
const loading = @import("loading.zig");
const origin = @import("origin.zig");
const quick_load = @import("quick_load.zig");
const quicken = @import("quicken.zig");
const request = @import("request.zig");
const slots = @import("slots.zig");
const type_map = @import("type_map.zig");
const value_functions = @import("value_functions.zig");
const Object = py.Object;

/// Raised with every change that the Python half must know of; `_native.py` names the one it needs.
pub const api_version = 1;

/// What the interpreter keeps for this module, one per interpreter (PyModule_GetState).
pub const ModuleState = extern struct {
    type_map_type: ?*Object = null,
    connection_type: ?*Object = null,
    request_type: ?*Object = null,
    secret_type: ?*Object = null,
    scram_type: ?*Object = null,
    arrow_stream_type: ?*Object = null,
    instance_type: ?*Object = null,
    origin_type: ?*Object = null,
    hydrator_type: ?*Object = null,
    hydration_type: ?*Object = null,
    // Names of attributes, interned, and more of asyncio: `loading.zig`, `load_future.zig`, `gate.zig`.
    done_name: ?*Object = null,
    cancelled_name: ?*Object = null,
    set_result_name: ?*Object = null,
    thread_id_name: ?*Object = null,
    call_soon_name: ?*Object = null,
    context_keyword: ?*Object = null,
    cancelled_error: ?*Object = null,
    invalid_state_error: ?*Object = null,
    load_future_type: ?*Object = null,
    load_iterator_type: ?*Object = null,
    gate_type: ?*Object = null,
    spare_iterator: ?*Object = null,

    comptime {
        std.debug.assert(@sizeOf(ModuleState) <= 32 * @sizeOf(*anyopaque));
    }

    pub fn ofModule(module: *Object) *ModuleState {
        return @ptrCast(@alignCast(py.PyModule_GetState(module).?));
    }

    /// For a method: `self`'s type is one of ours and remembers its module.
    pub fn ofInstance(self: *Object) *ModuleState {
        return @ptrCast(@alignCast(py.PyType_GetModuleState(py.hd_type(self)).?));
    }
};

/// Make a heap type from `spec`, add it to the module, and return a new reference to it.
pub fn addType(module: *Object, name: [*:0]const u8, spec: *const py.TypeSpec) py.Error!*Object {
    const made = try py.checked(py.PyType_FromModuleAndSpec(module, spec, null));
    errdefer py.decref(made);
    try py.ok(py.PyModule_AddObjectRef(module, name, made));
    return made;
}

export fn hd_exec(module: *Object) c_int {
    exec(module) catch return -1;
    return 0;
}

fn exec(module: *Object) py.Error!void {
    ModuleState.ofModule(module).* = .{};
    try py.ok(py.PyModule_AddIntConstant(module, "API_VERSION", api_version));
    const free_threaded = py.boolean(py.hd_free_threaded != 0);
    defer py.decref(free_threaded);
    try py.ok(py.PyModule_AddObjectRef(module, "FREE_THREADED", free_threaded));
    const state = ModuleState.ofModule(module);
    state.type_map_type = try type_map.makeType(module);
    try py.ok(py.PyModule_AddObjectRef(module, "TypeMap", state.type_map_type.?));
    try request.addToModule(module);
    try connection_object.addToModule(module);
    try arrow_object.addToModule(module);
    try arrow_rows.addToModule(module);
    try instance.addToModule(module);
    try origin.addToModule(module);
    try hydrator.addToModule(module);
    try py.ok(auth_objects.addToModule(module));
    try py.ok(py.PyModule_AddFunctions(module, &value_functions.table));
    try py.ok(py.PyModule_AddFunctions(module, &slots.table));
    try py.ok(py.PyModule_AddFunctions(module, &quicken.table));
    try py.ok(py.PyModule_AddFunctions(module, &by_key.table));
    try loading.addToModule(module);
    try load_future.addToModule(module);
    try gate.addToModule(module);
    try quick_load.addToModule(module);
    var text: [96]u8 = undefined;
    const version: u32 = @bitCast(py.hd_py_hex);
    const info = std.fmt.bufPrint(&text, "zig {s}, {t}, python {d}.{d}{s}", .{
        builtin.zig_version_string,                builtin.mode, version >> 24, (version >> 16) & 255,
        if (py.hd_free_threaded != 0) "t" else "",
    }) catch unreachable; // 96 bytes hold the longest of these
    const build_info = try py.checked(py.PyUnicode_FromStringAndSize(info.ptr, @intCast(info.len)));
    defer py.decref(build_info);
    try py.ok(py.PyModule_AddObjectRef(module, "BUILD_INFO", build_info));
}

export fn hd_traverse(module: *Object, visit: py.VisitProc, arg: ?*anyopaque) c_int {
    const state = ModuleState.ofModule(module);
    inline for (comptime std.meta.fieldNames(ModuleState)) |name| {
        if (@field(state, name)) |object| {
            const stop = visit(object, arg);
            if (stop != 0) return stop;
        }
    }
    return 0;
}

export fn hd_clear(module: *Object) c_int {
    const state = ModuleState.ofModule(module);
    inline for (comptime std.meta.fieldNames(ModuleState)) |name| {
        const object = @field(state, name);
        @field(state, name) = null;
        py.xdecref(object);
    }
    return 0;
}
