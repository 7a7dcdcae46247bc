//! Statements that take more sets of values while they run: `execute_many`. The first sets go out without the
//! Sync; others follow, encoded while the backend works on those before them; the Sync ends it.
//! What is on its way is bounded: nothing is encoded while the socket does not take what was.
//! PostgreSQL docs: protocol-flow, "Extended Query" and "Pipelining".
const std = @import("std");
const net = @import("net");
const protocol = @import("protocol");
const py = @import("py.zig");
const raise = @import("raise.zig");
const binding = @import("binding.zig");
const owed = @import("owed.zig");
const prepared = @import("prepared.zig");
const submit = @import("submit.zig");
const Request = @import("request.zig").Request;
const Link = @import("link.zig").Link;
const Object = py.Object;

/// Sets are encoded as long as less than this waits for the socket.
const output_max = 32 * 1024;
/// Encoding stops after this time, so that the loop has its turn.
const slice_ns = 2 * std.time.ns_per_ms;
/// The clock is asked once in this many sets.
const sets_per_look = 16;

/// Write what is owed and the first sets. False: the text is to be described first.
pub fn begin(link: *Link, request: *Request) py.Error!bool {
    const sql = try submit.textOf(request.sql);
    link.heedPooler();
    if (link.cache.find(sql)) |found| {
        if (!submit.isOfToday(link, found.statement)) {
            try submit.forget(link, request.sql);
            return false;
        }
    }
    const output = &link.session.output;
    const mark = output.len();
    errdefer output.truncate(mark);
    // A reset makes the backend forget what is prepared: it is asked about that afterwards.
    if (!owed.startsWithReset(link)) if (!submit.isKnown(link, sql)) return false;
    owed.write(link) catch |err| return submit.encodeFailed(err);
    request.output_start = link.session.output_base + mark;
    request.is_open = true;
    if (try submit.executeKnown(link, request, sql)) return true;
    request.is_open = false;
    output.truncate(mark);
    return false;
}

/// The request that takes more sets, or null.
pub fn openOne(link: *const Link) ?*Request {
    if (link.closed or link.queue.len != 1) return null;
    const request = Request.of(link.queue.front().?);
    return if (request.is_open and request.fault == null) request else null;
}

/// Whether the socket has taken most of what was written.
pub fn hasRoom(link: *const Link) bool {
    return !link.session.filter_pending and link.session.output.len() - link.session.output_sent < output_max;
}

/// Write the sets from `start` on, as long as there is room and time. Returns how many were.
/// After an error nothing is left of the set that it is about; those before it are on their way.
pub fn extend(link: *Link, sets: *Object, start: usize) py.Error!usize {
    const request = openOne(link) orelse return 0;
    const output = &link.session.output;
    var buffer: [prepared.Prepared.name_size_max]u8 = undefined;
    const name = submit.nameFor(link, request, &buffer);
    const slice_end = net.now() + slice_ns;
    const count: usize = @intCast(py.hd_tuple_size(sets));
    var index = start;
    while (index < count and hasRoom(link)) : (index += 1) {
        if ((index - start) % sets_per_look == sets_per_look - 1 and net.now() > slice_end) break;
        const values = py.hd_tuple_get(sets, @intCast(index));
        if (py.hd_tuple_check(values) == 0) return raise.typeError("a batch is a tuple of tuples");
        const mark = output.len();
        errdefer output.truncate(mark);
        try binding.write(link, request, "", name, values, request.first_set + request.sets_sent);
        protocol.execute.encode(output, "", 0) catch |err| return submit.encodeFailed(err);
        try submit.sent(link, request, &.{ .bind, .execute });
        request.sets_sent += 1;
        // A codec of the user's has run in there, and may have ended everything.
        if (link.closed) break;
    }
    request.output_end = link.session.position();
    return index - start;
}

/// Write the Sync that ends it. Nothing where none is owed.
pub fn end(link: *Link) py.Error!void {
    if (link.closed or link.queue.len != 1) return;
    const request = Request.of(link.queue.front().?);
    if (!request.is_open) return;
    protocol.sync.encode(&link.session.output) catch |err| return submit.encodeFailed(err);
    try submit.sent(link, request, &.{.sync});
    request.is_open = false;
    request.output_end = link.session.position();
}
