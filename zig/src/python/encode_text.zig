//! Parameters in text format, for what only the server can parse.
const py = @import("py.zig");
const encode = @import("encode.zig");
const scalars = @import("encode_scalars.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;

pub fn element(context: *encode.Context, info: *const TypeInfo, object: *py.Object, writer: *encode.Writer) encode.Inner!void {
    _ = info;
    const mark = try writer.beginValue();
    try scalars.text(context, object, writer);
    try writer.endValue(mark);
}
