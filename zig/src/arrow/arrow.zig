//! PostgreSQL's wire values to Arrow columns and back; knows nothing of Python, and gives nothing a Python
//! object. Called by the python layer's `arrow_*.zig`.
//! Arrow docs: "Arrow Columnar Format", "The Arrow C data interface".
const std = @import("std");

pub const buffer = @import("buffer.zig");
pub const c_data = @import("c_data.zig");
pub const column = @import("column.zig");
pub const decimal = @import("decimal.zig");
pub const exporting = @import("exporting.zig");
pub const foreign = @import("foreign.zig");
pub const incoming = @import("incoming.zig");
pub const node = @import("node.zig");
pub const rows = @import("rows.zig");
pub const table = @import("table.zig");
pub const target = @import("target.zig");
pub const text = @import("text.zig");
pub const types = @import("type.zig");

pub const Incoming = incoming.Incoming;
pub const Rows = rows.Rows;
pub const Schema = table.Schema;
pub const Table = table.Table;
pub const Target = target.Target;
pub const Type = types.Type;
pub const Tag = types.Tag;

test {
    std.testing.refAllDecls(@This());
    inline for (.{ buffer, c_data, column, decimal, exporting, foreign, incoming, node, rows, table, target, text, types }) |file| std.testing.refAllDecls(file);
}
