//! The backend's message types by their type byte, with the names the manual gives them.
//! PostgreSQL docs: protocol-message-formats.
const std = @import("std");

pub const BackendMessage = enum(u8) {
    parse_complete = '1',
    bind_complete = '2',
    close_complete = '3',
    notification_response = 'A',
    command_complete = 'C',
    data_row = 'D',
    error_response = 'E',
    copy_in_response = 'G',
    copy_out_response = 'H',
    empty_query_response = 'I',
    backend_key_data = 'K',
    notice_response = 'N',
    authentication = 'R',
    parameter_status = 'S',
    row_description = 'T',
    function_call_response = 'V',
    copy_both_response = 'W',
    ready_for_query = 'Z',
    copy_done = 'c',
    copy_data = 'd',
    no_data = 'n',
    portal_suspended = 's',
    parameter_description = 't',
    negotiate_protocol_version = 'v',

    /// Null: no message of any protocol 3 backend starts with this byte.
    pub fn fromByte(byte: u8) ?BackendMessage {
        return by_byte[byte];
    }

    /// As the manual writes it.
    pub fn name(self: BackendMessage) []const u8 {
        return switch (self) {
            .parse_complete => "ParseComplete",
            .bind_complete => "BindComplete",
            .close_complete => "CloseComplete",
            .notification_response => "NotificationResponse",
            .command_complete => "CommandComplete",
            .data_row => "DataRow",
            .error_response => "ErrorResponse",
            .copy_in_response => "CopyInResponse",
            .copy_out_response => "CopyOutResponse",
            .empty_query_response => "EmptyQueryResponse",
            .backend_key_data => "BackendKeyData",
            .notice_response => "NoticeResponse",
            .authentication => "Authentication",
            .parameter_status => "ParameterStatus",
            .row_description => "RowDescription",
            .function_call_response => "FunctionCallResponse",
            .copy_both_response => "CopyBothResponse",
            .ready_for_query => "ReadyForQuery",
            .copy_done => "CopyDone",
            .copy_data => "CopyData",
            .no_data => "NoData",
            .portal_suspended => "PortalSuspended",
            .parameter_description => "ParameterDescription",
            .negotiate_protocol_version => "NegotiateProtocolVersion",
        };
    }

    const by_byte: [256]?BackendMessage = table: {
        var table: [256]?BackendMessage = @splat(null);
        for (std.enums.values(BackendMessage)) |message| table[@backingInt(message)] = message;
        break :table table;
    };
};

test "type bytes map to messages and back, all others to none" {
    var count: usize = 0;
    for (0..256) |byte| {
        const message = BackendMessage.fromByte(@intCast(byte)) orelse continue;
        try std.testing.expectEqual(byte, @backingInt(message));
        count += 1;
    }
    try std.testing.expectEqual(std.enums.values(BackendMessage).len, count);
    try std.testing.expectEqual(null, BackendMessage.fromByte(0));
    try std.testing.expectEqual(null, BackendMessage.fromByte('Q'));
    try std.testing.expectEqualStrings("ReadyForQuery", BackendMessage.fromByte('Z').?.name());
}
