//! What the connection tells its user: one event per backend message, with the fields read. Slices
//! point into the receive buffer and live as long as it is left alone.
const std = @import("std");
const protocol = @import("protocol");
const Incoming = @import("state.zig").Incoming;

pub const Event = union(enum) {
    authentication: protocol.Authentication,
    backend_key_data: protocol.BackendKeyData,
    parameter_status: protocol.ParameterStatus,
    negotiate_protocol_version: protocol.NegotiateProtocolVersion,
    /// The body, which `protocol.NoticeResponse.decode` is known to accept.
    notice: []const u8,
    notification: protocol.NotificationResponse,
    parse_complete,
    bind_complete,
    close_complete,
    parameter_description: protocol.ParameterDescription,
    /// Its fields are known to be whole.
    row_description: protocol.RowDescription,
    no_data,
    /// The body, at least its count; the values are for `protocol.DataRow` to check.
    data_row: []const u8,
    portal_suspended,
    /// The command tag.
    command_complete: []const u8,
    empty_query,
    /// The backend reads CopyData until CopyDone or CopyFail is sent, and ignores every Sync before
    /// that one: in the extended protocol a new Sync is owed behind it.
    copy_in: protocol.CopyResponse,
    copy_out: protocol.CopyResponse,
    copy_data: []const u8,
    copy_done,
    /// The body, which `protocol.ErrorResponse.decode` is known to accept.
    error_response: []const u8,
    ready_for_query: protocol.TransactionStatus,

    /// One line, for traces: the message's name and what tells it from its like.
    pub fn format(self: Event, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        switch (self) {
            .authentication => |method| switch (method) {
                .unsupported => |code| try writer.print("Authentication {d}", .{code}),
                else => try writer.print("Authentication {t}", .{method}),
            },
            .backend_key_data => |key| try writer.print("BackendKeyData {d}", .{key.process_id}),
            .parameter_status => |status| try writer.print("ParameterStatus {s}={s}", .{ status.name, status.value }),
            .negotiate_protocol_version => |version| try writer.print("NegotiateProtocolVersion {d}.{d}", .{
                version.version >> 16, version.version & 0xffff,
            }),
            .notice => |body| try formatResponse("NoticeResponse", body, writer),
            .notification => |one| try writer.print("NotificationResponse {s}={s}", .{ one.channel, one.payload }),
            .parameter_description => |parameters| try writer.print("ParameterDescription {d}", .{parameters.count}),
            .row_description => |fields| try writer.print("RowDescription {d}", .{fields.count}),
            .data_row => |body| try writer.print("DataRow {d} bytes", .{body.len}),
            .command_complete => |tag| try writer.print("CommandComplete {s}", .{tag}),
            .copy_in => |copy| try writer.print("CopyInResponse {d}", .{copy.format}),
            .copy_out => |copy| try writer.print("CopyOutResponse {d}", .{copy.format}),
            .copy_data => |data| try writer.print("CopyData {d} bytes", .{data.len}),
            .error_response => |body| try formatResponse("ErrorResponse", body, writer),
            .ready_for_query => |status| try writer.print("ReadyForQuery {t}", .{status}),
            .parse_complete => try writer.writeAll("ParseComplete"),
            .bind_complete => try writer.writeAll("BindComplete"),
            .close_complete => try writer.writeAll("CloseComplete"),
            .no_data => try writer.writeAll("NoData"),
            .portal_suspended => try writer.writeAll("PortalSuspended"),
            .empty_query => try writer.writeAll("EmptyQueryResponse"),
            .copy_done => try writer.writeAll("CopyDone"),
        }
    }
};

fn formatResponse(name: []const u8, body: []const u8, writer: *std.Io.Writer) std.Io.Writer.Error!void {
    const response: protocol.ErrorResponse = protocol.ErrorResponse.decode(body) catch .{};
    try writer.print("{s} {s} {s}", .{ name, response.severity_code orelse "?", response.sqlstate orelse "?" });
}

/// What the state machine needs and what its user gets.
pub const Decoded = struct { Incoming, Event };

/// Read `body`, all of it but the values of DataRow. Messages that no state accepts are not read.
pub fn decode(message: protocol.BackendMessage, body: []const u8) protocol.DecodeError!Decoded {
    switch (message) {
        .data_row => {
            if (body.len < 2) return error.MessageTooShort;
            return .{ .data_row, .{ .data_row = body } };
        },
        .authentication => {
            const method: protocol.Authentication = try .decode(body);
            return .{ authentication(method), .{ .authentication = method } };
        },
        .error_response => {
            const response: protocol.ErrorResponse = try .decode(body);
            return .{ if (response.isFatal()) .fatal_error else .error_response, .{ .error_response = body } };
        },
        .notice_response => {
            _ = try protocol.NoticeResponse.decode(body);
            return .{ .notice_response, .{ .notice = body } };
        },
        .row_description => {
            const description: protocol.RowDescription = try .decode(body);
            var fields = description.iterator();
            while (try fields.next()) |_| {}
            return .{ .row_description, .{ .row_description = description } };
        },
        .command_complete => {
            const complete: protocol.CommandComplete = try .decode(body);
            return .{ .command_complete, .{ .command_complete = complete.tag } };
        },
        .ready_for_query => {
            const ready: protocol.ReadyForQuery = try .decode(body);
            return .{ .ready_for_query, .{ .ready_for_query = ready.transaction_status } };
        },
        .backend_key_data => return .{ .backend_key_data, .{ .backend_key_data = try .decode(body) } },
        .parameter_status => return .{ .parameter_status, .{ .parameter_status = try .decode(body) } },
        .negotiate_protocol_version => return .{
            .negotiate_protocol_version, .{ .negotiate_protocol_version = try .decode(body) },
        },
        .notification_response => return .{ .notification_response, .{ .notification = try .decode(body) } },
        .parameter_description => return .{ .parameter_description, .{ .parameter_description = try .decode(body) } },
        .copy_in_response => return .{ .copy_in_response, .{ .copy_in = try .decode(body) } },
        .copy_out_response => return .{ .copy_out_response, .{ .copy_out = try .decode(body) } },
        .copy_data => return .{ .copy_data, .{ .copy_data = protocol.copy_data.decode(body) } },
        .parse_complete => return empty(body, .{ .parse_complete, .parse_complete }),
        .bind_complete => return empty(body, .{ .bind_complete, .bind_complete }),
        .close_complete => return empty(body, .{ .close_complete, .close_complete }),
        .no_data => return empty(body, .{ .no_data, .no_data }),
        .portal_suspended => return empty(body, .{ .portal_suspended, .portal_suspended }),
        .empty_query_response => return empty(body, .{ .empty_query_response, .empty_query }),
        .copy_done => return empty(body, .{ .copy_done, .copy_done }),
        .function_call_response, .copy_both_response => return error.InvalidValue,
    }
}

fn empty(body: []const u8, decoded: Decoded) protocol.DecodeError!Decoded {
    if (body.len != 0) return error.MessageTooLong;
    return decoded;
}

fn authentication(method: protocol.Authentication) Incoming {
    return switch (method) {
        .ok => .authentication_ok,
        .cleartext_password, .md5_password => .authentication_password,
        .sasl => .authentication_sasl,
        .sasl_continue => .authentication_sasl_continue,
        .sasl_final => .authentication_sasl_final,
        .unsupported => .authentication_unsupported,
    };
}

/// The largest length word a message may have: what its form allows, where that is less than
/// `message_size_max`. A stranger's messages are small, whatever they are.
pub fn sizeMax(message: protocol.BackendMessage, is_start_up: bool, message_size_max: u32) u32 {
    const bound: u32 = switch (message) {
        .parse_complete,
        .bind_complete,
        .close_complete,
        .no_data,
        .portal_suspended,
        .empty_query_response,
        .copy_done,
        => 4,
        .ready_for_query => 5,
        .backend_key_data => 4 + 4 + protocol.cancel_request.key_size_max,
        .parameter_description => 4 + 2 + 65535 * 4,
        .copy_in_response, .copy_out_response, .copy_both_response => 4 + 1 + 2 + 65535 * 2,
        .authentication, .parameter_status, .negotiate_protocol_version, .command_complete => small_size_max,
        .error_response,
        .notice_response,
        => if (is_start_up) small_size_max else message_size_max,
        .data_row,
        .row_description,
        .copy_data,
        .notification_response,
        .function_call_response,
        => message_size_max,
    };
    return @min(bound, message_size_max);
}

/// Far above anything the backend has to say in these messages.
const small_size_max = 30_000;

test "no message may claim more than its form allows, nor more than the caller's maximum" {
    const gib = 1 << 30;
    const table = [_]struct { protocol.BackendMessage, u32, u32 }{
        // In a session, during start-up.
        .{ .parse_complete, 4, 4 },
        .{ .copy_done, 4, 4 },
        .{ .ready_for_query, 5, 5 },
        .{ .backend_key_data, 264, 264 },
        .{ .parameter_description, 262_146, 262_146 },
        .{ .copy_in_response, 131_077, 131_077 },
        .{ .authentication, 30_000, 30_000 },
        .{ .parameter_status, 30_000, 30_000 },
        .{ .command_complete, 30_000, 30_000 },
        .{ .error_response, gib, 30_000 },
        .{ .notice_response, gib, 30_000 },
        .{ .data_row, gib, gib },
        .{ .copy_data, gib, gib },
    };
    for (table) |case| {
        try std.testing.expectEqual(case[1], sizeMax(case[0], false, gib));
        try std.testing.expectEqual(case[2], sizeMax(case[0], true, gib));
        try std.testing.expectEqual(@min(case[1], 100), sizeMax(case[0], false, 100));
    }
}

test "an event is one line" {
    const table = [_]struct { []const u8, Event }{
        .{ "DataRow 2 bytes", .{ .data_row = "\x00\x00" } },
        .{ "CommandComplete INSERT 0 1", .{ .command_complete = "INSERT 0 1" } },
        .{ "ErrorResponse ? ?", .{ .error_response = "\x00" } },
        .{ "NoticeResponse WARNING 01000", .{ .notice = "VWARNING\x00C01000\x00\x00" } },
        .{ "Authentication 7", .{ .authentication = .{ .unsupported = 7 } } },
        .{ "ReadyForQuery in_transaction", .{ .ready_for_query = .in_transaction } },
    };
    for (table) |case| try std.testing.expectFmt(case[0], "{f}", .{case[1]});
}
