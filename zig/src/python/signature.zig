//! Docstrings that begin with a signature, as CPython's own C functions have them, so that `help()`,
//! `inspect.signature()` and stubtest know the parameters. For every method and function table here.
//! Python docs: howto/clinic, "The goals of Argument Clinic".
const std = @import("std");

/// The docstring of a method whose parameters are all positional.
pub fn ofMethod(comptime name: []const u8, comptime parameters: []const []const u8, comptime sentence: []const u8) [:0]const u8 {
    return comptime text(name, &[_][]const u8{"$self"} ++ parameters, sentence);
}

/// The docstring of a module's function whose parameters are all positional.
pub fn ofFunction(comptime name: []const u8, comptime parameters: []const []const u8, comptime sentence: []const u8) [:0]const u8 {
    return comptime text(name, &[_][]const u8{"$module"} ++ parameters, sentence);
}

fn text(comptime name: []const u8, comptime parameters: []const []const u8, comptime sentence: []const u8) [:0]const u8 {
    comptime var list: []const u8 = "";
    inline for (parameters) |parameter| list = list ++ parameter ++ ", ";
    return name ++ "(" ++ list ++ "/)\n--\n\n" ++ sentence;
}
