//! The auth layer: what a frontend computes to show that it knows a password. Bytes in, bytes out: random
//! numbers come in as arguments and nothing waits.
//! PostgreSQL docs: protocol-flow, "Start-up"; sasl-authentication.
pub const scram = @import("scram.zig");
pub const saslprep = @import("saslprep.zig");
pub const md5 = @import("md5.zig");

test {
    _ = scram;
    _ = saslprep;
    _ = md5;
    _ = @import("scram_fuzz.zig");
}
