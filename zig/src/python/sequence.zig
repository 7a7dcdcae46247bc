//! A user's sequence, read item by item while other code may change it: conversions can run Python
//! code, and without a GIL other threads run anyway. So each item is a reference of our own, and a
//! list that has become shorter is noticed.
const py = @import("py.zig");
const encode = @import("encode.zig");
const Object = py.Object;
const Context = encode.Context;

pub const Sequence = struct {
    /// A list or a tuple; a reference of our own.
    object: *Object,
    is_tuple: bool,
    count: usize,

    /// Lists and tuples as they are, any other iterable as a copy. Null for what is none, and for str,
    /// bytes and dicts, which iterate over something else than their values.
    pub fn of(context: *Context, object: *Object) encode.Inner!?Sequence {
        const flags = py.hd_flags(object);
        if (flags & (py.flag.list | py.flag.tuple) != 0) return fromExact(py.incref(object));
        if (flags & (py.flag.unicode | py.flag.bytes | py.flag.dict) != 0) return null;
        if (py.hd_is_iterable(object) == 0 or isBytesLike(object)) return null;
        return fromExact(py.PySequence_Tuple(object) orelse return encode.complaint(context));
    }

    fn fromExact(object: *Object) Sequence {
        const is_tuple = py.hd_flags(object) & py.flag.tuple != 0;
        const count = if (is_tuple) py.hd_tuple_size(object) else py.PyList_Size(object);
        return .{ .object = object, .is_tuple = is_tuple, .count = @intCast(count) };
    }

    pub fn deinit(self: Sequence) void {
        py.decref(self.object);
    }

    /// A new reference.
    pub fn at(self: Sequence, context: *Context, index: usize) encode.Inner!*Object {
        if (self.is_tuple) return py.incref(py.hd_tuple_get(self.object, @intCast(index)));
        return py.hd_list_item(self.object, @intCast(index)) orelse {
            if (py.PyErr_ExceptionMatches(py.PyExc_IndexError) == 0) return error.PythonError;
            py.PyErr_Clear();
            context.say("the list became shorter while it was read", .{});
            return error.Mismatch;
        };
    }
};

fn isBytesLike(object: *Object) bool {
    return py.hd_is(object, py.typeObject("PyByteArray_Type")) != 0 or py.hd_is(object, py.typeObject("PyMemoryView_Type")) != 0;
}
