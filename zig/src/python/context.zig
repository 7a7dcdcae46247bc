//! What a decoder or an encoder carries along: the types, the Python classes, and where it says why
//! it failed. One per request, on the stack of whoever decodes or encodes.
const std = @import("std");
const py = @import("py.zig");
const type_map = @import("type_map.zig");
const Classes = @import("classes.zig").Classes;

/// How deep containers may lie in one another, in values of the server and of the user.
pub const depth_max = 64;

pub const Context = struct {
    map: *type_map.TypeMap,
    classes: *Classes,
    /// Why the last failure happened, a sentence without subject and full stop; empty where there is no more to say.
    message: []const u8 = "",
    /// With error.UnknownType: the type to introspect.
    unknown_oid: u32 = 0,
    depth: u8 = 0,
    /// The catalogs were asked, and more than once, so what is on the wire is taken as it is.
    insist: bool = false,
    buffer: [256]u8 = undefined,

    pub fn init(map: *type_map.TypeMap) Context {
        return .{ .map = map, .classes = &map.classes };
    }

    /// Keep a message. One that is too long ends where the room ends, at a character's border.
    pub fn say(self: *Context, comptime format: []const u8, arguments: anytype) void {
        var writer: std.Io.Writer = .fixed(&self.buffer);
        writer.print(format, arguments) catch {
            // Full: what fits is kept.
        };
        var text = writer.buffered();
        while (text.len > 0 and !std.unicode.utf8ValidateSlice(text)) text = text[0 .. text.len - 1];
        self.message = text;
    }

    /// Enter a container. Each success is answered by `leave`.
    pub fn enter(self: *Context) bool {
        if (self.depth >= depth_max) {
            self.say("more than {d} containers inside one another", .{depth_max});
            return false;
        }
        self.depth += 1;
        return true;
    }

    pub fn leave(self: *Context) void {
        self.depth -= 1;
    }
};
