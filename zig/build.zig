//! One build for the native extension and for the tests of every layer.
//!
//! Steps: `install` (the extension, needs -Dpython-include), `test`, `fmt`, `fuzz`.
//! Each layer is a module of its own and sees only the modules named here, so an import that
//! points upwards does not compile.
const std = @import("std");

const Layer = struct { name: []const u8, imports: []const []const u8 };

/// Lowest first. `python` is not listed: it is the extension itself and imports all of them.
const layers = [_]Layer{
    .{ .name = "protocol", .imports = &.{} },
    .{ .name = "types", .imports = &.{"protocol"} },
    .{ .name = "arrow", .imports = &.{ "protocol", "types" } },
    .{ .name = "auth", .imports = &.{"protocol"} },
    .{ .name = "connection", .imports = &.{ "protocol", "types", "auth" } },
    .{ .name = "net", .imports = &.{} },
    .{ .name = "session", .imports = &.{ "protocol", "connection", "net" } },
};

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const strip = b.option(bool, "strip", "Omit debug symbols");
    const lto = b.option(std.zig.LtoMode, "lto", "Link time optimization: inlines pyshim.c into Zig (ELF only)");
    const tsan = b.option(bool, "tsan", "Instrument with ThreadSanitizer");
    const use_llvm = b.option(bool, "llvm", "Use LLVM in Debug too, for gdb and valgrind");
    const only = b.option([]const u8, "layer", "Test this layer alone");
    const py_include = b.option([]const u8, "python-include", "Directory that has Python.h");
    const py_lib_dir = b.option([]const u8, "python-libdir", "Windows: directory of pythonXY.lib");
    const py_lib = b.option([]const u8, "python-lib", "Windows: pythonXY");

    const test_step = b.step("test", "Run the unit tests of the layers below Python");
    const fuzz_step = b.step("fuzz", "Run the fuzz tests (add --fuzz=LIMIT)");
    const fmt = b.addFmt(.{ .paths = &.{ b.path("build.zig"), b.path("src") }, .check = true });
    b.step("fmt", "Check the formatting").dependOn(&fmt.step);

    var modules: [layers.len]*std.Build.Module = undefined;
    for (layers, 0..) |layer, i| {
        const module = b.addModule(layer.name, .{
            .root_source_file = b.path(b.fmt("src/{s}/{s}.zig", .{ layer.name, layer.name })),
            .target = target,
            .optimize = optimize,
            .sanitize_thread = tsan,
            .link_libc = if (std.mem.eql(u8, layer.name, "net") or std.mem.eql(u8, layer.name, "session")) true else null,
        });
        for (layer.imports) |name| module.addImport(name, moduleNamed(&modules, name));
        modules[i] = module;
        if (only == null or std.mem.eql(u8, only.?, layer.name)) {
            const tests = b.addTest(.{ .name = layer.name, .root_module = module, .use_llvm = use_llvm });
            const run = b.addRunArtifact(tests);
            test_step.dependOn(&run.step);
            fuzz_step.dependOn(&run.step);
        }
    }

    const include = py_include orelse return; // the tests need no Python

    const root = b.createModule(.{
        .root_source_file = b.path("src/python/python.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = true,
        .strip = strip,
        .sanitize_thread = tsan,
    });
    for (layers, modules) |layer, module| root.addImport(layer.name, module);
    root.addIncludePath(.{ .cwd_relative = include });
    // The assertions in Python's headers name their file: the machine's path would be in the extension.
    const no_paths = b.fmt("-fmacro-prefix-map={s}=python", .{include});
    root.addCSourceFile(.{
        .file = b.path("src/python/pyshim.c"),
        .flags = &.{ "-std=c11", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter", no_paths },
    });
    const extension = b.addLibrary(.{
        .name = "_hyperdjango_native",
        .linkage = .dynamic,
        .root_module = root,
        .use_llvm = use_llvm,
    });
    extension.linker_allow_shlib_undefined = true;
    extension.lto = lto;
    if (py_lib_dir) |path| root.addLibraryPath(.{ .cwd_relative = path });
    if (py_lib) |name| root.linkSystemLibrary(name, .{});
    b.installArtifact(extension);
}

fn moduleNamed(modules: *[layers.len]*std.Build.Module, name: []const u8) *std.Build.Module {
    for (layers, 0..) |layer, i| {
        if (std.mem.eql(u8, layer.name, name)) return modules[i];
    }
    unreachable;
}
