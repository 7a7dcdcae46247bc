//! The protocol layer: messages to bytes and bytes to messages, one file each. Imports std alone.
//!
//! Frontend messages are namespaces with `encode` (`protocol.query.encode(writer, sql)`); an encode
//! that fails leaves the writer as it was. Backend messages are types with `decode`, which borrows
//! from the body. Where the other direction exists too, it serves scripted backends in tests.
pub const WriteBuffer = @import("write_buffer.zig").WriteBuffer;
pub const Reader = @import("reader.zig").Reader;
pub const DecodeError = @import("reader.zig").DecodeError;
pub const EncodeError = @import("text.zig").EncodeError;

pub const frame = @import("frame.zig");
pub const Frame = frame.Frame;
pub const FrameError = frame.FrameError;

// Frontend.
pub const startup_message = @import("startup_message.zig");
pub const ssl_request = @import("ssl_request.zig");
pub const cancel_request = @import("cancel_request.zig");
pub const password_message = @import("password_message.zig");
pub const sasl_initial_response = @import("sasl_initial_response.zig");
pub const sasl_response = @import("sasl_response.zig");
pub const query = @import("query.zig");
pub const parse = @import("parse.zig");
pub const bind = @import("bind.zig");
pub const Bind = bind.Bind;
pub const describe = @import("portal_or_statement.zig").describe;
pub const close = @import("portal_or_statement.zig").close;
pub const execute = @import("execute.zig");
pub const sync = Bare('S');
pub const flush = Bare('H');
pub const terminate = Bare('X');
pub const copy_fail = @import("copy_fail.zig");

// Both ways.
pub const copy_data = @import("copy_data.zig");
pub const copy_done = Bare('c');
pub const format_text = bind.format_text;
pub const format_binary = bind.format_binary;

// Backend.
pub const Authentication = @import("authentication.zig").Authentication;
pub const BackendKeyData = @import("backend_key_data.zig").BackendKeyData;
pub const NegotiateProtocolVersion = @import("negotiate_protocol_version.zig").NegotiateProtocolVersion;
pub const ParameterStatus = @import("parameter_status.zig").ParameterStatus;
pub const ReadyForQuery = @import("ready_for_query.zig").ReadyForQuery;
pub const TransactionStatus = @import("ready_for_query.zig").TransactionStatus;
pub const RowDescription = @import("row_description.zig").RowDescription;
pub const Field = RowDescription.Field;
pub const ParameterDescription = @import("parameter_description.zig").ParameterDescription;
pub const DataRow = @import("data_row.zig").DataRow;
pub const CommandComplete = @import("command_complete.zig").CommandComplete;
pub const rowCount = @import("command_complete.zig").rowCount;
pub const ErrorResponse = @import("error_response.zig").ErrorResponse;
pub const NoticeResponse = ErrorResponse;
pub const NotificationResponse = @import("notification_response.zig").NotificationResponse;
pub const CopyResponse = @import("copy_response.zig").CopyResponse;
pub const CopyInResponse = CopyResponse;
pub const CopyOutResponse = CopyResponse;
pub const CopyBothResponse = CopyResponse;
pub const parse_complete = Bare('1');
pub const bind_complete = Bare('2');
pub const close_complete = Bare('3');
pub const no_data = Bare('n');
pub const portal_suspended = Bare('s');
pub const empty_query_response = Bare('I');
pub const BackendMessage = @import("backend_message.zig").BackendMessage;

/// For tests of this layer and those above it.
pub const testing = @import("testing.zig");

const Bare = @import("bare.zig").Bare;

test {
    const std = @import("std");
    std.testing.refAllDecls(@This());
    _ = @import("bare.zig");
    _ = @import("text.zig");
    _ = @import("reader.zig");
    _ = @import("portal_or_statement.zig");
}
