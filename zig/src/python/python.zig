//! The root of the extension: everything that knows CPython.
comptime {
    _ = @import("module.zig");
}
