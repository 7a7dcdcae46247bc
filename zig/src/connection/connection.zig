//! The connection layer: the frontend's state machine, without I/O, clock or random numbers.
//! Bytes and notes of what was sent go in, events come out. Imports protocol, types and auth.
pub const Connection = @import("machine.zig").Connection;
pub const Sent = @import("machine.zig").Sent;
pub const Step = @import("machine.zig").Step;
pub const Event = @import("event.zig").Event;
pub const State = @import("state.zig").State;
pub const ProtocolViolation = @import("violation.zig").ProtocolViolation;
pub const Violation = @import("violation.zig").Violation;

test {
    _ = Connection;
    _ = Event;
    _ = State;
    _ = Violation;
    _ = @import("startup_test.zig");
    _ = @import("conversation_test.zig");
    _ = @import("copy_test.zig");
    _ = @import("violation_test.zig");
    _ = @import("machine_test.zig");
    _ = @import("machine_fuzz.zig");
}
