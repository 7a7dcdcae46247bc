//! From a call to bytes: which messages a statement needs, in which order, and what becomes of the
//! descriptions that come back. Nothing is noted as sent before all of it is encoded, so a value
//! that does not fit leaves no trace on the wire.
//! PostgreSQL docs: protocol-flow, "Extended Query".
const std = @import("std");
const net = @import("net");
const protocol = @import("protocol");
const py = @import("py.zig");
const raise = @import("raise.zig");
const arrow_sink = @import("arrow_sink.zig");
const binding = @import("binding.zig");
const keyword = @import("session").keyword;
const owed = @import("owed.zig");
const prepared = @import("prepared.zig");
const service = @import("service.zig");
const session_state = @import("session_state.zig");
const statement_file = @import("statement.zig");
const depth_max = @import("context.zig").depth_max;
const oid_user_min = @import("type_map.zig").oid_user_min;
const TypeInfo = @import("type_info.zig").TypeInfo;
const Request = @import("request.zig").Request;
const Link = @import("link.zig").Link;
const gpa = @import("link.zig").gpa;
const Object = py.Object;
const Statement = statement_file.Statement;

/// The UTF-8 bytes of a str, which live as long as it does.
pub fn textOf(object: *Object) py.Error![]const u8 {
    var size: isize = 0;
    const bytes = py.PyUnicode_AsUTF8AndSize(object, &size) orelse return error.PythonError;
    return bytes[0..@intCast(size)];
}

/// Write the first batch of `request`: everything where the statement is known, else Parse and Describe.
/// What the session owes goes in front.
pub fn begin(link: *Link, request: *Request) py.Error!void {
    const sql = try textOf(request.sql);
    if (request.arguments == null) return simple(link, request, sql);
    link.heedPooler();
    const mark = link.session.output.len();
    errdefer link.session.output.truncate(mark);
    owed.write(link) catch |err| return encodeFailed(err);
    request.output_start = link.session.position();
    if (valueCount(request) > values_max) return raise.raise("DataError", "more than {d} parameters", .{values_max});
    if (link.cache.find(sql)) |found| {
        if (!isOfToday(link, found.statement)) try forget(link, request.sql);
    }
    if (!request.describe_only and try executeKnown(link, request, sql)) return;
    const output = &link.session.output;
    if (link.cache.capacity > 0) request.parse_number = link.cache.nextNumber();
    var buffer: [prepared.Prepared.name_size_max]u8 = undefined;
    const name = nameFor(link, request, &buffer);
    protocol.parse.encode(output, name, sql, &.{}) catch |err| return encodeFailed(err);
    protocol.describe.encode(output, .statement, name) catch |err| return encodeFailed(err);
    request.fresh = true;
    if (isOneTrip(request)) return executeUnknown(link, request, sql, name);
    protocol.sync.encode(output) catch |err| return encodeFailed(err);
    try noted(link, owed.note(link, request));
    try sent(link, request, &.{ .parse, .describe_statement, .sync });
    request.output_end = link.session.position();
    request.stage = .preparing;
}

/// Without values there is no type to wait for, and rows that nobody reads may come in any format.
fn isOneTrip(request: *const Request) bool {
    return request.sink.shape == .discard and !request.batch and !request.describe_only and
        py.hd_tuple_size(request.arguments.?) == 0;
}

/// Bind and Execute right behind the Parse and Describe of a text that nobody knows.
fn executeUnknown(link: *Link, request: *Request, sql: []const u8, name: []const u8) py.Error!void {
    const output = &link.session.output;
    const message = protocol.bind.begin(output, "", name, 0) catch |err| return encodeFailed(err);
    message.finish(output, &.{}) catch |err| return encodeFailed(err);
    protocol.execute.encode(output, "", 0) catch |err| return encodeFailed(err);
    protocol.sync.encode(output) catch |err| return encodeFailed(err);
    try noted(link, owed.note(link, request));
    try sent(link, request, &.{ .parse, .describe_statement, .bind, .execute, .sync });
    if (session_state.textChanges(sql)) link.session_changed = true;
    request.changes_path = session_state.textChangesPath(sql);
    request.output_end = link.session.position();
    request.one_trip = true;
    request.stage = .executing;
}

/// The description of such a text has come, in front of its result: keep what it says.
pub fn learnOnTheWay(link: *Link, request: *Request) py.Error!void {
    const number = request.parse_number;
    const known = number != 0 and request.parameter_oids.items.len == 0 and try resolve(link, request);
    // The statement is for other calls; this one's rows are in a format that it does not have.
    if (!known) {
        if (number != 0) link.closing.append(gpa, number) catch return raise.outOfMemory();
        return;
    }
    try keepPrepared(link, request.statement.?, number);
}

/// The backend has prepared `statement` as `number`: it is used by this name from now on. What another call
/// has prepared of the same text meanwhile gives way, as does the least recently used.
pub fn keepPrepared(link: *Link, statement: *Statement, number: u64) py.Error!void {
    if (link.cache.capacity == 0) return;
    if (link.cache.forget(statement.sql)) |old| link.closing.append(gpa, old) catch return raise.outOfMemory();
    while (link.cache.evict(1)) |old| link.closing.append(gpa, old) catch return raise.outOfMemory();
    _ = link.cache.put(statement, number) catch return raise.outOfMemory();
}

/// Whether nothing has given types or tables another meaning since this was learned; else `begin` learns it anew.
pub fn isOfToday(link: *const Link, statement: *const Statement) bool {
    return statement.generation == link.map.catalog.generation.load(.acquire);
}

/// Whether a text was described, here or on another connection of the pool.
pub fn isKnown(link: *Link, sql: []const u8) bool {
    if (link.cache.find(sql) != null) return true;
    const known = (if (link.other_path) null else link.map.catalog.find(sql)) orelse return false;
    known.release();
    return true;
}

/// For a caller that has the connection to itself: whether a text can go out behind the others, in order.
pub fn mayFollowInOrder(link: *Link, sql: []const u8) py.Error!bool {
    if (link.barriers > 0 or link.owed.items.len > 0 or link.bytes_in_flight >= service.bytes_max) return false;
    if (link.cache.find(sql)) |found| return isOfToday(link, found.statement);
    if (!isKnown(link, sql)) return false;
    if (link.cache.capacity == 0) return true; // each brings its Parse along
    // A name is used a second time when the backend has confirmed it.
    var requests = link.queue.iterator();
    while (requests.next()) |object| {
        const request = Request.of(object);
        if (request.with_parse and std.mem.eql(u8, request.statement.?.sql, sql)) return false;
    }
    return true;
}

/// Write `request` behind others that are under way. False: it is not known what it would need.
pub fn follow(link: *Link, request: *Request, sql: []const u8) py.Error!bool {
    link.heedPooler();
    const mark = link.session.output.len();
    errdefer link.session.output.truncate(mark);
    request.output_start = link.session.position();
    return executeKnown(link, request, sql);
}

/// Only what is owed, and a Sync.
pub fn runOwed(link: *Link, request: *Request) py.Error!void {
    const output = &link.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    owed.write(link) catch |err| return encodeFailed(err);
    protocol.sync.encode(output) catch |err| return encodeFailed(err);
    request.output_start = link.session.output_base + mark;
    try noted(link, owed.note(link, request));
    try sent(link, request, &.{.sync});
    request.output_end = link.session.position();
    request.owed_only = true;
    var socket: net.Socket = .{ .fd = link.fd };
    request.was_forestalled = link.session.hasInput() or !socket.isQuiet();
    request.stage = .executing;
}

pub fn noted(link: *Link, outcome: error{OutOfMemory}!void) py.Error!void {
    outcome catch {
        // What is owed by the backend is not known any more.
        link.closed = true;
        return raise.outOfMemory();
    };
}

/// The count in ParameterDescription and Bind is an Int16; the backend lets a longer one wrap around.
const values_max = std.math.maxInt(u16);

fn valueCount(request: *const Request) usize {
    const arguments = request.arguments.?;
    if (!request.batch) return @intCast(py.hd_tuple_size(arguments));
    if (py.hd_tuple_size(arguments) == 0) return 0;
    return @intCast(py.hd_tuple_size(py.hd_tuple_get(arguments, 0)));
}

/// False: nothing is known of the text, or what is known is out of date; it must be described.
pub fn executeKnown(link: *Link, request: *Request, sql: []const u8) py.Error!bool {
    const known = if (link.cache.find(sql)) |found|
        found.statement.retain()
    else if (link.other_path) null else link.map.catalog.find(sql);
    const statement = known orelse return false;
    request.statement = statement;
    if (statement.isCurrent(link.map)) {
        execute(link, request) catch |err| {
            if (!request.misfit) return err;
            // Perhaps the type was altered: what it is now decides.
            py.PyErr_Clear();
            forgetTypes(link, statement);
        };
        if (!request.misfit) return true;
    }
    request.misfit = false;
    request.statement = null;
    defer statement.release();
    try forget(link, request.sql);
    return false;
}

/// Ask the catalogs again about the database's own types among the parameters.
pub fn forgetTypes(link: *Link, statement: *const Statement) void {
    for (statement.parameters) |info| if (info.oid >= oid_user_min) forgetType(link, info, 0);
}

fn forgetType(link: *Link, info: *const TypeInfo, depth: u8) void {
    // What is forgotten already is not gone into again: a type may be part of another in many ways.
    if (depth > depth_max or link.map.lookup(info.oid) == null) return;
    link.map.forget(info.oid);
    if (info.element) |element| if (element.oid >= oid_user_min) forgetType(link, element, depth + 1);
    for (info.fields) |field| if (field.type.oid >= oid_user_min) forgetType(link, field.type, depth + 1);
}

fn simple(link: *Link, request: *Request, sql: []const u8) py.Error!void {
    if (link.owed.items.len > 0) return raise.raise("InterfaceError", "commands are owed that cannot go in front of the simple protocol", .{});
    request.output_start = link.session.position();
    const output = &link.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    protocol.query.encode(output, sql) catch |err| return encodeFailed(err);
    try sent(link, request, &.{.query});
    request.output_end = link.session.position();
    if (session_state.textChanges(sql)) link.session_changed = true;
    request.changes_path = session_state.textChangesPath(sql);
    request.stage = .executing;
}

/// Write Bind and Execute for every set of values, with Parse and Describe in front where this
/// connection has not prepared the statement, and one Sync behind.
pub fn execute(link: *Link, request: *Request) py.Error!void {
    const output = &link.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    if (request.stage == .preparing) request.output_start = link.session.position();
    const statement = request.statement.?;
    const sql = try textOf(request.sql);
    var buffer: [prepared.Prepared.name_size_max]u8 = undefined;
    const ready = if (link.cache.find(sql)) |found| found.statement == statement else false;
    var with_parse = false;
    if (ready) {
        request.parse_number = link.cache.find(sql).?.number;
    } else if (request.stage == .preparing and request.parsed and request.parse_number != 0 and link.cache.capacity > 0) {
        try keepPrepared(link, statement, request.parse_number);
    } else {
        with_parse = true;
        request.parse_number = if (link.cache.capacity > 0) link.cache.nextNumber() else 0;
    }
    const name = nameFor(link, request, &buffer);
    if (!ready) {
        // A statement that is parsed now comes in later.
        while (link.cache.evict(@intFromBool(with_parse))) |number| link.closing.append(gpa, number) catch return raise.outOfMemory();
    }
    for (link.closing.items) |number| {
        var old: [prepared.Prepared.name_size_max]u8 = undefined;
        protocol.close.encode(output, .statement, link.cache.nameOf(number, &old)) catch |err| return encodeFailed(err);
    }
    var portal_buffer: [portal_name_size_max]u8 = undefined;
    for (link.spent.items) |number| {
        protocol.close.encode(output, .portal, portalName(number, &portal_buffer)) catch |err| return encodeFailed(err);
    }
    if (with_parse) try writeParse(output, name, sql, statement);
    const portal = portalName(request.portal, &portal_buffer);
    var sets: usize = 1;
    if (request.batch) {
        sets = @intCast(py.hd_tuple_size(request.arguments.?));
        for (0..sets) |i| {
            try binding.write(link, request, "", name, py.hd_tuple_get(request.arguments.?, @intCast(i)), request.first_set + i);
            if (with_parse and i == 0) protocol.describe.encode(output, .portal, "") catch |err| return encodeFailed(err);
            protocol.execute.encode(output, "", 0) catch |err| return encodeFailed(err);
        }
    } else {
        try binding.write(link, request, portal, name, request.arguments.?, null);
        if (with_parse) protocol.describe.encode(output, .portal, portal) catch |err| return encodeFailed(err);
        protocol.execute.encode(output, portal, request.row_limit) catch |err| return encodeFailed(err);
    }
    if (!request.is_open) protocol.sync.encode(output) catch |err| return encodeFailed(err);

    try noted(link, owed.note(link, request));
    for (link.closing.items) |_| try sent(link, request, &.{.close});
    link.closing.clearRetainingCapacity();
    for (link.spent.items) |_| try sent(link, request, &.{.close});
    link.spent.clearRetainingCapacity();
    if (with_parse) try sent(link, request, &.{.parse});
    for (0..sets) |i| {
        try sent(link, request, &.{.bind});
        if (with_parse and i == 0) try sent(link, request, &.{.describe_portal});
        if (request.row_limit == 0) try sent(link, request, &.{.execute}) else try sent(link, request, &.{.execute_limited});
    }
    if (!request.is_open) try sent(link, request, &.{.sync});
    request.sets_sent = sets;
    request.output_end = link.session.position();
    request.with_parse = with_parse;
    if (statement.changes_session) link.session_changed = true;
    request.changes_path = statement.changes_path;
    request.parsed = false;
    request.stage = .executing;
}

const portal_name_size_max = 24;

/// A portal of a request's own lives as long as its transaction; the unnamed one until the next Bind.
fn portalName(number: u64, buffer: *[portal_name_size_max]u8) []const u8 {
    return if (number == 0) "" else std.fmt.bufPrint(buffer, "p{d}", .{number}) catch unreachable;
}

/// Write an Execute for more rows of the portal that `request` shares with the one before it.
pub fn fetch(link: *Link, request: *Request) py.Error!void {
    return portalCommand(link, request, .execute_limited);
}

/// Write a Close of the portal.
pub fn closePortal(link: *Link, request: *Request) py.Error!void {
    return portalCommand(link, request, .close);
}

fn portalCommand(link: *Link, request: *Request, comptime what: @EnumLiteral()) py.Error!void {
    const output = &link.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    owed.write(link) catch |err| return encodeFailed(err);
    request.output_start = link.session.position();
    var buffer: [portal_name_size_max]u8 = undefined;
    const name = portalName(request.portal, &buffer);
    const written = if (what == .close) protocol.close.encode(output, .portal, name) else protocol.execute.encode(output, name, request.row_limit);
    written catch |err| return encodeFailed(err);
    protocol.sync.encode(output) catch |err| return encodeFailed(err);
    try noted(link, owed.note(link, request));
    try sent(link, request, &.{ what, .sync });
    request.output_end = link.session.position();
    request.bound = true;
    request.stage = .executing;
}

pub fn nameFor(link: *const Link, request: *const Request, buffer: *[prepared.Prepared.name_size_max]u8) []const u8 {
    return if (request.parse_number == 0) "" else link.cache.nameOf(request.parse_number, buffer);
}

/// The parameter types are given, so that the backend reads the values as what they were encoded as.
fn writeParse(output: *protocol.WriteBuffer, name: []const u8, sql: []const u8, statement: *const Statement) py.Error!void {
    const oids = gpa.alloc(u32, statement.parameters.len) catch return raise.outOfMemory();
    defer gpa.free(oids);
    for (oids, statement.parameters) |*oid, info| oid.* = info.oid;
    protocol.parse.encode(output, name, sql, oids) catch |err| return encodeFailed(err);
}

pub fn encodeFailed(err: anyerror) py.Error {
    return switch (err) {
        error.NulInString => raise.raise("DataError", "the SQL text contains a NUL character", .{}),
        error.MessageTooLong => raise.raise("DataError", "the message is longer than the protocol allows", .{}),
        error.TooManyParameters => raise.raise("DataError", "more than 65535 parameters", .{}),
        else => raise.outOfMemory(),
    };
}

pub fn sent(link: *Link, request: *Request, comptime what: anytype) py.Error!void {
    inline for (what) |each| {
        try noted(link, link.session.connection.sent(each));
        if (each == .sync or each == .query) request.syncs += 1;
    }
}

/// Make the statement of the descriptions that have come. False: some types must be introspected
/// first, `request.unknown` names them.
pub fn resolve(link: *Link, request: *Request) py.Error!bool {
    request.unknown.clearRetainingCapacity();
    // Taken before the types are looked up: a change in between makes the statement old, not wrong.
    const generation = link.map.catalog.generation.load(.acquire);
    const types_generation = link.map.generation.load(.monotonic);
    const parameters = gpa.alloc(*const TypeInfo, request.parameter_oids.items.len) catch return raise.outOfMemory();
    defer gpa.free(parameters);
    for (parameters, request.parameter_oids.items) |*info, oid| {
        info.* = link.map.lookup(oid) orelse {
            request.noteUnknown(oid) catch return raise.outOfMemory();
            continue;
        };
    }
    var described: Described = .{};
    defer described.deinit();
    try described.read(link, request);
    if (request.unknown.items.len > 0) return false;
    const sql = try textOf(request.sql);
    const statement = Statement.create(gpa, sql, parameters, described.fields.items, null) catch |err| return createFailed(err);
    statement.generation = generation;
    statement.has_rows = request.has_rows;
    statement.types_generation.store(types_generation, .monotonic);
    try learn(link, request, statement);
    return true;
}

/// A RowDescription came for a portal whose rows follow: they are as it says, whatever was known.
pub fn adopt(link: *Link, request: *Request) py.Error!void {
    request.unknown.clearRetainingCapacity();
    const generation = link.map.catalog.generation.load(.acquire);
    var described: Described = .{};
    defer described.deinit();
    try described.read(link, request);
    const old = request.statement orelse return; // the simple protocol: its rows are dropped
    if (request.unknown.items.len > 0) {
        // The rows are held until the types are known; `resume` makes the statement, for these rows alone.
        try forget(link, request.sql);
        request.statement = null;
        old.release();
        return;
    }
    // The formats of a result as Arrow are its own, and no statement's.
    const formats = if (request.sink.shape == .arrow) null else described.formats.items;
    if (old.has_rows == request.has_rows and old.matches(described.fields.items, formats)) return;
    const statement = Statement.create(gpa, old.sql, old.parameters, described.fields.items, formats) catch |err| return createFailed(err);
    statement.generation = generation;
    statement.has_rows = request.has_rows;
    if (link.cache.forget(old.sql)) |number| {
        _ = link.cache.put(statement, number) catch {
            statement.release();
            return raise.outOfMemory();
        };
    }
    try learn(link, request, statement);
    if (formats == null and !try arrow_sink.check(gpa, statement, described.formats.items)) request.takeException();
}

/// Takes over the caller's reference.
fn learn(link: *Link, request: *Request, statement: *Statement) py.Error!void {
    const old = request.statement;
    request.statement = statement;
    if (old) |gone| gone.release();
    if (link.other_path) return;
    link.map.catalog.put(statement) catch return raise.outOfMemory();
}

/// The fields of the last RowDescription. Those whose type is unknown are noted in the request.
const Described = struct {
    fields: std.ArrayList(Statement.Field) = .empty,
    formats: std.ArrayList(u16) = .empty,

    fn deinit(self: *Described) void {
        self.fields.deinit(gpa);
        self.formats.deinit(gpa);
    }

    fn read(self: *Described, link: *Link, request: *Request) py.Error!void {
        const description: protocol.RowDescription = .{
            .count = request.description_count,
            .reader = .init(request.description.items),
        };
        var fields = description.iterator();
        while (fields.next() catch return malformed()) |field| {
            const info = link.map.lookup(field.type_oid) orelse {
                request.noteUnknown(field.type_oid) catch return raise.outOfMemory();
                continue;
            };
            self.fields.append(gpa, .{ .name = field.name, .info = info, .type_modifier = field.type_modifier }) catch return raise.outOfMemory();
            self.formats.append(gpa, field.format) catch return raise.outOfMemory();
        }
    }

    fn malformed() py.Error {
        return raise.raise("ProtocolError", "a malformed RowDescription", .{});
    }
};

fn createFailed(err: Statement.Error) py.Error {
    return switch (err) {
        error.OutOfMemory => raise.outOfMemory(),
        error.PythonError => error.PythonError,
    };
}

/// The types that were unknown have been added: go on where the request stopped.
pub fn resume_(link: *Link, request: *Request) py.Error!void {
    switch (request.stage) {
        .needs_types => {
            if (!try resolve(link, request)) return;
            request.stage = .preparing;
            // It was to be learned, not to be run.
            if (!request.describe_only) try execute(link, request);
        },
        .held => {
            if (request.statement == null) {
                request.unknown.clearRetainingCapacity();
                var described: Described = .{};
                defer described.deinit();
                try described.read(link, request);
                if (request.unknown.items.len > 0) return;
                const sql = try textOf(request.sql);
                const is_arrow = request.sink.shape == .arrow;
                request.statement = Statement.create(gpa, sql, &.{}, described.fields.items, if (is_arrow) null else described.formats.items) catch |err| return createFailed(err);
                if (is_arrow and !try arrow_sink.check(gpa, request.statement.?, described.formats.items)) request.takeException();
            }
            request.unknown.clearRetainingCapacity();
            request.rounds +|= 1;
        },
        .preparing, .executing, .done => return raise.raise("InterfaceError", "the request does not wait for types", .{}),
    }
}

/// Forget what `request` went by, unless something newer has taken its place already.
pub fn forgetOf(link: *Link, request: *const Request) py.Error!void {
    const sql = try textOf(request.sql);
    if (link.cache.find(sql)) |found| if (found.number != request.parse_number) return;
    try forget(link, request.sql);
}

/// Forget what is known of a text, here and in the pool. The next batch closes it on the backend.
pub fn forget(link: *Link, sql_object: *Object) py.Error!void {
    const sql = try textOf(sql_object);
    if (link.cache.forget(sql)) |number| link.closing.append(gpa, number) catch return raise.outOfMemory();
    link.map.catalog.forget(sql);
}

pub fn refuseCopyIn(link: *Link, request: *const Request) protocol.EncodeError!void {
    const output = &link.session.output;
    try protocol.copy_fail.encode(output, "no data was given");
    try link.session.connection.sent(.copy_fail);
    if (request.arguments == null) return; // simple protocol: no Sync is owed
    try protocol.sync.encode(output);
    try link.session.connection.sent(.sync);
}

/// Whether the text of a request ends a transaction.
pub fn commits(request: *const Request) bool {
    const sql = textOf(request.sql) catch {
        py.PyErr_Clear();
        return true;
    };
    return keyword.commits(sql);
}

/// The connection died with this request unanswered: could the backend have committed it? Not while
/// something of it, and so the end of it, is still here.
pub fn mayHaveCommitted(link: *const Link, request: *const Request) bool {
    if (request.copy == .in and !request.copy_ended) return false;
    if (request.stage != .executing or request.is_open or link.session.positionSent() < request.output_end) return false;
    const sql = textOf(request.sql) catch {
        py.PyErr_Clear();
        return true;
    };
    if (request.opens_transaction) return keyword.commits(sql);
    return switch (link.session.connection.transaction_status) {
        .idle => keyword.mayWrite(sql),
        .in_transaction, .failed => keyword.commits(sql),
    };
}
