//! Results in text format. The driver asks for it where a type has no binary form, or where a
//! container holds such a type; the simple query protocol knows no other.
const std = @import("std");
const types = @import("types");
const py = @import("py.zig");
const decode = @import("decode.zig");
const TypeInfo = @import("type_info.zig").TypeInfo;

pub fn decoderFor(info: *const TypeInfo) decode.Decoder {
    _ = info;
    return decode.text;
}
