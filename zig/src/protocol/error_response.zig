//! ErrorResponse, 'E', and NoticeResponse, 'N', backend to frontend: fields, each with a code that
//! says what it is. A notice can come between any two messages.
//! PostgreSQL docs: protocol-error-fields, "Error and Notice Message Fields".
const std = @import("std");
const kit = @import("testing.zig");
const Reader = @import("reader.zig").Reader;
const DecodeError = @import("reader.zig").DecodeError;
const WriteBuffer = @import("write_buffer.zig").WriteBuffer;

/// All fields of the manual by name; null where the server did not send one.
pub const ErrorResponse = struct {
    /// Translated by the server; for comparisons there is `severity_code`.
    severity: ?[]const u8 = null,
    /// ERROR, FATAL, PANIC, WARNING, NOTICE, DEBUG, INFO or LOG, never translated.
    severity_code: ?[]const u8 = null,
    sqlstate: ?[]const u8 = null,
    message: ?[]const u8 = null,
    detail: ?[]const u8 = null,
    hint: ?[]const u8 = null,
    /// In characters, from 1.
    position: ?[]const u8 = null,
    internal_position: ?[]const u8 = null,
    internal_query: ?[]const u8 = null,
    where: ?[]const u8 = null,
    schema: ?[]const u8 = null,
    table: ?[]const u8 = null,
    column: ?[]const u8 = null,
    data_type: ?[]const u8 = null,
    constraint: ?[]const u8 = null,
    file: ?[]const u8 = null,
    line: ?[]const u8 = null,
    routine: ?[]const u8 = null,

    /// `body`: the bytes after the length word. Borrowed. Fields with codes not known are skipped, as
    /// the manual asks; of a field sent twice the last one counts.
    pub fn decode(body: []const u8) DecodeError!ErrorResponse {
        var response: ErrorResponse = .{};
        var fields = iterate(body);
        while (try fields.next()) |field| {
            if (response.place(field.code)) |value| value.* = field.value;
        }
        return response;
    }

    /// Every field in the server's order, those with codes not known too.
    pub fn iterate(body: []const u8) Iterator {
        return .{ .reader = .init(body) };
    }

    pub const Field = struct { code: u8, value: []const u8 };

    pub const Iterator = struct {
        reader: Reader,

        pub fn next(self: *Iterator) DecodeError!?Field {
            const code = try self.reader.takeByte();
            if (code == 0) {
                try self.reader.end();
                return null;
            }
            return .{ .code = code, .value = try self.reader.takeCString() };
        }
    };

    /// The session ends with this error: the backend closes after it.
    pub fn isFatal(self: ErrorResponse) bool {
        const severity = self.severity_code orelse self.severity orelse return false;
        return std.mem.eql(u8, severity, "FATAL") or std.mem.eql(u8, severity, "PANIC");
    }

    fn place(self: *ErrorResponse, code: u8) ?*?[]const u8 {
        return switch (code) {
            'S' => &self.severity,
            'V' => &self.severity_code,
            'C' => &self.sqlstate,
            'M' => &self.message,
            'D' => &self.detail,
            'H' => &self.hint,
            'P' => &self.position,
            'p' => &self.internal_position,
            'q' => &self.internal_query,
            'W' => &self.where,
            's' => &self.schema,
            't' => &self.table,
            'c' => &self.column,
            'd' => &self.data_type,
            'n' => &self.constraint,
            'F' => &self.file,
            'L' => &self.line,
            'R' => &self.routine,
            else => null,
        };
    }

    /// For scripted backends. `message_type`: 'E' or 'N'.
    pub fn encode(writer: *WriteBuffer, message_type: u8, fields: []const Field) WriteBuffer.Error!void {
        const mark = try writer.beginMessage(message_type);
        for (fields) |field| {
            try writer.writeByte(field.code);
            try writer.writeCString(field.value);
        }
        try writer.writeByte(0);
        try writer.endMessage(mark);
    }
};

fn readAll(body: []const u8) DecodeError!void {
    _ = try ErrorResponse.decode(body);
}

test "ErrorResponse: fields by code, in any order, unknown ones skipped" {
    const bytes = "E\x00\x00\x00\x2cSFEHLER\x00VERROR\x00C23505\x00Mdoppelt\x00?x\x00nu_k\x00\x00";
    const fields: []const ErrorResponse.Field = &.{
        .{ .code = 'S', .value = "FEHLER" },
        .{ .code = 'V', .value = "ERROR" },
        .{ .code = 'C', .value = "23505" },
        .{ .code = 'M', .value = "doppelt" },
        .{ .code = '?', .value = "x" },
        .{ .code = 'n', .value = "u_k" },
    };
    try kit.expectWritten(bytes, ErrorResponse.encode, .{ 'E', fields });
    const body = try kit.body('E', bytes);
    try std.testing.expectEqualDeep(ErrorResponse{
        .severity = "FEHLER",
        .severity_code = "ERROR",
        .sqlstate = "23505",
        .message = "doppelt",
        .constraint = "u_k",
    }, try ErrorResponse.decode(body));
    var iterator = ErrorResponse.iterate(body);
    for (fields) |field| try std.testing.expectEqualDeep(field, (try iterator.next()).?);
    try std.testing.expectEqual(null, try iterator.next());
    try kit.expectPrefixesRefused(body, readAll);
}

test "ErrorResponse: every code of the manual has its place" {
    const codes = "SVCMDHPpqWstcdnFLR";
    var body: [codes.len * 3 + 1]u8 = undefined;
    for (codes, 0..) |code, index| body[index * 3 ..][0..3].* = .{ code, code, 0 };
    body[body.len - 1] = 0;
    const response: ErrorResponse = try .decode(&body);
    var index: usize = 0;
    inline for (@typeInfo(ErrorResponse).@"struct".field_names) |name| {
        try std.testing.expectEqualStrings(codes[index..][0..1], @field(response, name).?);
        index += 1;
    }
    try std.testing.expectEqual(codes.len, index);
}

test "a fatal error is known by the severity that is never translated" {
    const table = [_]struct { bool, []const u8 }{
        .{ true, "SFATAL\x00VFATAL\x00\x00" },
        .{ true, "SSCHWERWIEGEND\x00VFATAL\x00\x00" },
        .{ true, "VPANIC\x00\x00" },
        .{ true, "SFATAL\x00\x00" },
        .{ false, "SFATAL\x00VERROR\x00\x00" },
        .{ false, "SERROR\x00\x00" },
        .{ false, "\x00" },
    };
    for (table) |case| try std.testing.expectEqual(case[0], (try ErrorResponse.decode(case[1])).isFatal());
}
