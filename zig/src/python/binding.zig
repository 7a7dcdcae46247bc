//! Bind for one set of values: each parameter as the server's own type wants it. Called by submit.zig and, for
//! sets that follow others, by many.zig.
//! PostgreSQL docs: protocol-message-formats, "Bind (F)".
const std = @import("std");
const protocol = @import("protocol");
const py = @import("py.zig");
const raise = @import("raise.zig");
const arrow_sink = @import("arrow_sink.zig");
const encode = @import("encode.zig");
const submit = @import("submit.zig");
const Context = @import("context.zig").Context;
const TypeInfo = @import("type_info.zig").TypeInfo;
const oid_user_min = @import("type_map.zig").oid_user_min;
const Request = @import("request.zig").Request;
const Link = @import("link.zig").Link;
const gpa = @import("link.zig").gpa;
const Object = py.Object;

/// Write Bind. `arguments` is a tuple; `set` is its number where it is one of many. After an error the caller
/// truncates the output.
pub fn write(link: *Link, request: *Request, portal: []const u8, name: []const u8, arguments: *Object, set: ?u64) py.Error!void {
    const statement = request.statement.?;
    const output = &link.session.output;
    const given: usize = @intCast(py.hd_tuple_size(arguments));
    if (given != statement.parameters.len) {
        setValueCount(set, statement.parameters.len, given);
        return error.PythonError;
    }
    // Sets are many and mostly alike: as long as none has had a value in text format, one code does for all.
    if (request.batch and !request.has_text) {
        const mark = output.len();
        const message = protocol.bind.beginBinary(output, portal, name, @intCast(given)) catch |err| return submit.encodeFailed(err);
        for (statement.parameters, 0..) |info, i| {
            const format = try value(link, request, info, arguments, i, set);
            if (format == .text and !isSameInBoth(info)) {
                request.has_text = true;
                break;
            }
        }
        if (!request.has_text) return message.finish(output, statement.result_formats) catch |err| submit.encodeFailed(err);
        output.truncate(mark);
    }
    const message = protocol.bind.begin(output, portal, name, @intCast(given)) catch |err| return submit.encodeFailed(err);
    for (statement.parameters, 0..) |info, i| {
        const format = try value(link, request, info, arguments, i, set);
        if (format == .binary) message.setFormat(output, i, protocol.format_binary);
    }
    if (request.sink.shape != .arrow) return message.finish(output, statement.result_formats) catch |err| submit.encodeFailed(err);
    const formats = arrow_sink.formats(gpa, statement) catch return raise.outOfMemory();
    defer gpa.free(formats);
    message.finish(output, formats) catch |err| return submit.encodeFailed(err);
}

fn value(link: *Link, request: *Request, info: *const TypeInfo, arguments: *Object, index: usize, set: ?u64) py.Error!encode.Format {
    var context: Context = .init(link.map);
    const object = py.hd_tuple_get(arguments, @intCast(index));
    return encode.parameter(&context, info, object, &link.session.output) catch |err| switch (err) {
        error.PythonError => return error.PythonError,
        error.Mismatch => {
            request.misfit = info.oid >= oid_user_min and !request.fresh;
            var where: [48]u8 = undefined;
            return raise.raise("DataError", "{s}parameter ${d}: Python {s} does not fit {f}{s}{s}", .{
                setPrefix(&where, set),                    index + 1,
                py.hd_type_name(object),                   info,
                if (context.message.len > 0) ": " else "", context.message,
            });
        },
    };
}

/// text, varchar and char(n): the bytes of a str are the same in both formats, and mean the same.
fn isSameInBoth(info: *const TypeInfo) bool {
    return info.codec == null and switch (info.oid) {
        25, 1042, 1043 => true,
        else => false,
    };
}

fn setValueCount(set: ?u64, wanted: usize, given: usize) void {
    var where: [48]u8 = undefined;
    raise.set("DataError", "{s}the statement has {d} parameter{s}, {d} value{s} given", .{
        setPrefix(&where, set),          wanted,
        plural(wanted, "", "s"),         given,
        plural(given, " was", "s were"),
    });
}

/// The backend has refused a text with parameters that came without values.
pub fn raiseValueCount(request: *const Request) void {
    setValueCount(null, request.parameter_oids.items.len, 0);
}

fn setPrefix(buffer: []u8, set: ?u64) []const u8 {
    const index = set orelse return "";
    return std.fmt.bufPrint(buffer, "set {d}, ", .{index}) catch "";
}

fn plural(count: usize, one: []const u8, more: []const u8) []const u8 {
    return if (count == 1) one else more;
}
