//! Whether text is UTF-8, which Arrow asks for and a SQL_ASCII database does not promise.
const std = @import("std");

pub inline fn isUtf8(bytes: []const u8) bool {
    return isAscii(bytes) or std.unicode.utf8ValidateSlice(bytes);
}

/// Eight bytes at a time: most texts are short and plain.
inline fn isAscii(bytes: []const u8) bool {
    const high: u64 = 0x8080808080808080;
    if (bytes.len < 8) {
        var all: u8 = 0;
        for (bytes) |byte| all |= byte;
        return all < 0x80;
    }
    var all: u64 = 0;
    var at: usize = 0;
    while (at + 8 <= bytes.len) : (at += 8) all |= std.mem.readInt(u64, bytes[at..][0..8], .little);
    // The last ones again, with those behind them.
    all |= std.mem.readInt(u64, bytes[bytes.len - 8 ..][0..8], .little);
    return all & high == 0;
}

test "text is looked at to its end" {
    inline for (.{ "", "a", "abcdefg", "abcdefgh", "abcdefghi", "žlutý", "0123456789ž", "ž0123456789" }) |text| try std.testing.expect(isUtf8(text));
    inline for (.{ "\xff", "abcdefg\xff", "abcdefgh\xff", "\xffabcdefghi", "0123456789\xc5", "\xed\xa0\x80" }) |text| try std.testing.expect(!isUtf8(text));
}
