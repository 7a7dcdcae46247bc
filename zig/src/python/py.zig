//! The CPython API as Zig sees it: functions the interpreter exports, and ours from pyshim.c (hd_*).
//! Declared by hand, because translating Python.h would turn its static inline functions into
//! externs that do not exist.

pub const Object = opaque {};
pub const TypeObject = opaque {};

pub const Buffer = extern struct {
    buf: ?[*]const u8,
    obj: ?*Object,
    len: isize,
    itemsize: isize,
    readonly: c_int,
    ndim: c_int,
    format: ?[*:0]u8,
    shape: ?[*]isize,
    strides: ?[*]isize,
    suboffsets: ?[*]isize,
    internal: ?*anyopaque,
};

pub const MethodDef = extern struct {
    name: ?[*:0]const u8 = null,
    function: ?*const anyopaque = null,
    flags: c_int = 0,
    doc: ?[*:0]const u8 = null,
};
pub const METH_VARARGS = 0x0001;
pub const METH_KEYWORDS = 0x0002;
pub const METH_NOARGS = 0x0004;
pub const METH_O = 0x0008;
pub const METH_FASTCALL = 0x0080;

pub const GetSetDef = extern struct {
    name: ?[*:0]const u8 = null,
    get: ?*const fn (*Object, ?*anyopaque) callconv(.c) ?*Object = null,
    set: ?*const fn (*Object, ?*Object, ?*anyopaque) callconv(.c) c_int = null,
    doc: ?[*:0]const u8 = null,
    closure: ?*anyopaque = null,
};

pub const MemberDef = extern struct {
    name: ?[*:0]const u8 = null,
    type: c_int = 0,
    offset: isize = 0,
    flags: c_int = 0,
    doc: ?[*:0]const u8 = null,
};
/// structmember.h: a Py_ssize_t, and that Python cannot write it.
pub const T_PYSSIZET = 19;
pub const READONLY = 1;

pub const TypeSlot = extern struct { slot: c_int, function: ?*const anyopaque };
pub const TypeSpec = extern struct {
    name: [*:0]const u8,
    basicsize: c_int,
    itemsize: c_int = 0,
    flags: c_uint,
    slots: [*]const TypeSlot,
};
pub const TPFLAGS_DEFAULT = 1 << 18;
pub const TPFLAGS_HAVE_GC = 1 << 14;
pub const TPFLAGS_METHOD_DESCRIPTOR = 1 << 17;
pub const TPFLAGS_HAVE_VECTORCALL = 1 << 11;
pub const TPFLAGS_BASETYPE = 1 << 10;
pub const TPFLAGS_IMMUTABLETYPE = 1 << 8;
pub const TPFLAGS_DISALLOW_INSTANTIATION = 1 << 7;

/// typeslots.h: stable numbers.
pub const slot = struct {
    pub const tp_call = 50;
    pub const tp_clear = 51;
    pub const tp_dealloc = 52;
    pub const tp_descr_get = 54;
    pub const tp_doc = 56;
    pub const tp_getattro = 58;
    pub const tp_init = 60;
    pub const tp_iter = 62;
    pub const tp_iternext = 63;
    pub const tp_methods = 64;
    pub const tp_new = 65;
    pub const tp_repr = 66;
    pub const tp_setattro = 69;
    pub const tp_str = 70;
    pub const tp_traverse = 71;
    pub const tp_members = 72;
    pub const tp_getset = 73;
    pub const am_await = 77;
    pub const tp_finalize = 80;
    pub const am_send = 81;
    pub const nb_bool = 9;
};

pub const VisitProc = *const fn (*Object, ?*anyopaque) callconv(.c) c_int;

pub extern fn PyErr_SetString(*Object, [*:0]const u8) void;
pub extern fn PyErr_SetObject(*Object, *Object) void;
pub extern fn PyErr_Format(*Object, [*:0]const u8, ...) ?*Object;
pub extern fn PyErr_Occurred() ?*Object;
pub extern fn PyErr_Clear() void;
pub extern fn PyErr_NoMemory() ?*Object;
pub extern fn PyErr_CheckSignals() c_int;
pub extern fn PyErr_SetFromErrno(*Object) ?*Object;
pub extern fn PyErr_Fetch(*?*Object, *?*Object, *?*Object) void;
pub extern fn PyErr_NormalizeException(*?*Object, *?*Object, *?*Object) void;
pub extern fn PyErr_Restore(?*Object, ?*Object, ?*Object) void;
pub extern var PyExc_Exception: *Object;
pub extern var PyExc_RecursionError: *Object;
pub extern var PyExc_ValueError: *Object;
pub extern var PyExc_TypeError: *Object;
pub extern var PyExc_RuntimeError: *Object;
pub extern var PyExc_OSError: *Object;
pub extern var PyExc_OverflowError: *Object;
pub extern var PyExc_MemoryError: *Object;
pub extern var PyExc_AttributeError: *Object;

/// Null where it has no value and no default; without an exception.
pub extern fn PyErr_WriteUnraisable(*Object) void;
/// Null without one.
pub extern fn PyException_GetTraceback(*Object) ?*Object;
pub extern fn PyException_SetTraceback(*Object, *Object) c_int;
/// Take the reference to the other exception.
pub extern fn PyException_SetCause(*Object, *Object) void;
pub extern fn PyException_SetContext(*Object, *Object) void;

pub extern fn PyContext_CopyCurrent() ?*Object;
pub extern fn PyContextVar_Get(variable: *Object, default: ?*Object, value: *?*Object) c_int;
pub extern fn PyThread_get_thread_ident() c_ulong;

pub extern fn PyIter_Next(*Object) ?*Object;
pub extern fn PyIter_Check(*Object) c_int;
pub extern fn PyObject_GetBuffer(*Object, *Buffer, flags: c_int) c_int;
pub extern fn PyBuffer_Release(*Buffer) void;
pub extern fn PyObject_Vectorcall(*Object, [*]const ?*Object, nargsf: usize, kwnames: ?*Object) ?*Object;
pub extern fn PyObject_CallNoArgs(*Object) ?*Object;
pub extern fn PyObject_CallOneArg(*Object, *Object) ?*Object;
pub extern fn PyObject_GetAttrString(*Object, [*:0]const u8) ?*Object;
pub extern fn PyObject_SetAttrString(*Object, [*:0]const u8, *Object) c_int;
pub extern fn PyObject_Str(*Object) ?*Object;
pub extern fn PyObject_IsTrue(*Object) c_int;
pub extern fn PyObject_IsInstance(*Object, *Object) c_int;
pub extern fn PyImport_ImportModule([*:0]const u8) ?*Object;

pub extern fn PyLong_FromLong(c_long) ?*Object;
pub extern fn PyLong_FromLongLong(c_longlong) ?*Object;
pub extern fn PyLong_FromUnsignedLongLong(c_ulonglong) ?*Object;
pub extern fn PyLong_FromSize_t(usize) ?*Object;
pub extern fn PyLong_AsLong(*Object) c_long;
pub extern fn PyLong_AsLongLong(*Object) c_longlong;
pub extern fn PyLong_AsUnsignedLong(*Object) c_ulong;
pub extern fn PyLong_AsLongLongAndOverflow(*Object, *c_int) c_longlong;
pub extern fn PyFloat_FromDouble(f64) ?*Object;
pub extern fn PyFloat_AsDouble(*Object) f64;
pub extern fn PyUnicode_FromString([*:0]const u8) ?*Object;
pub extern fn PyUnicode_FromStringAndSize(?[*]const u8, isize) ?*Object;
pub extern fn PyUnicode_DecodeUTF8([*]const u8, isize, ?[*:0]const u8) ?*Object;
pub extern fn PyUnicode_AsUTF8AndSize(*Object, *isize) ?[*]const u8;
pub extern fn PyUnicode_InternInPlace(*?*Object) void;
pub extern fn PyBytes_FromStringAndSize(?[*]const u8, isize) ?*Object;
pub extern fn PyBytes_AsString(*Object) ?[*]u8;
/// On failure the object is freed and the pointer null.
pub extern fn _PyBytes_Resize(*?*Object, isize) c_int;
pub extern fn PyBytes_AsStringAndSize(*Object, *[*]u8, *isize) c_int;
pub extern fn PyTuple_New(isize) ?*Object;
pub extern fn PyList_New(isize) ?*Object;
pub extern fn PyList_Append(*Object, *Object) c_int;
/// Takes the reference to the value.
pub extern fn PyList_SetItem(*Object, isize, *Object) c_int;
pub extern fn PyList_AsTuple(*Object) ?*Object;
pub extern fn PyList_Size(*Object) isize;
pub extern fn PySequence_Tuple(*Object) ?*Object;
pub extern fn PyDict_New() ?*Object;
pub extern fn PyDict_Copy(*Object) ?*Object;
pub extern fn PyDict_SetItem(*Object, *Object, *Object) c_int;
pub extern fn PyDict_SetItemString(*Object, [*:0]const u8, *Object) c_int;
pub extern fn PyDict_GetItemWithError(*Object, *Object) ?*Object;
pub extern fn PyDict_DelItem(*Object, *Object) c_int;
pub extern fn PyDict_Next(*Object, *isize, *?*Object, *?*Object) c_int;
pub extern fn PyDict_Size(*Object) isize;

pub extern fn PySequence_Index(*Object, *Object) isize;
pub extern fn PyObject_GenericGetDict(*Object, ?*anyopaque) ?*Object;
pub extern fn PyObject_CallFunctionObjArgs(*Object, ...) ?*Object;
/// Take the exception that is set, as a normalized instance with its traceback.
pub extern fn hd_take_exception() ?*Object;
pub extern fn hd_untrack_dict(*Object) void;
pub extern fn hd_strerror(c_int) [*:0]const u8;
pub extern fn PyModule_AddIntConstant(*Object, [*:0]const u8, c_long) c_int;
pub extern fn PyModule_AddObjectRef(*Object, [*:0]const u8, *Object) c_int;
pub extern fn PyModule_AddFunctions(*Object, [*]const MethodDef) c_int;
pub extern fn PyModule_GetState(*Object) ?*anyopaque;
pub extern fn PyType_FromModuleAndSpec(*Object, *const TypeSpec, ?*Object) ?*Object;
pub extern fn PyType_GetModuleState(*TypeObject) ?*anyopaque;
pub extern fn PyType_GetModule(*TypeObject) ?*Object;
pub extern fn PyType_GetFlags(*TypeObject) c_ulong;
pub extern fn PyMethod_New(function: *Object, self: *Object) ?*Object;
/// What stands in tp_call of a type with a vectorcall.
pub extern fn PyVectorcall_Call(*Object, *Object, ?*Object) ?*Object;
/// Negative: it is being resurrected.
pub extern fn PyObject_CallFinalizerFromDealloc(*Object) c_int;
pub extern fn PyObject_ClearWeakRefs(*Object) void;
pub extern fn PyUnicode_CompareWithASCIIString(*Object, [*:0]const u8) c_int;
pub extern fn PyType_GetSlot(*TypeObject, c_int) ?*const anyopaque;
pub extern fn PyArg_ParseTupleAndKeywords(*Object, ?*Object, [*:0]const u8, [*]const ?[*:0]const u8, ...) c_int;
pub extern fn PyObject_GC_Track(*Object) void;
pub extern fn PyObject_GC_UnTrack(*Object) void;
pub extern fn PyEval_SaveThread() *anyopaque;
pub extern fn PyEval_RestoreThread(*anyopaque) void;

pub extern fn hd_incref(*Object) void;
pub extern fn hd_decref(*Object) void;
/// Somebody has a reference beside the caller's. With a GIL alone.
pub extern fn hd_is_shared(*Object) c_int;
pub extern fn hd_type(*Object) *TypeObject;
pub extern fn hd_none() *Object;
pub extern fn hd_true() *Object;
pub extern fn hd_false() *Object;
pub extern fn hd_tuple_set(*Object, isize, *Object) void;
pub extern fn hd_tuple_get(*Object, isize) *Object;
pub extern fn hd_tuple_size(*Object) isize;
pub extern fn hd_tuple_check(*Object) c_int;
pub extern fn hd_unicode_check(*Object) c_int;
pub extern fn hd_dict_check(*Object) c_int;
pub extern fn hd_exception_check(*Object) c_int;
pub extern fn hd_exception_class_check(*Object) c_int;
/// Set StopIteration with a value.
pub extern fn hd_stop(value: *Object) void;
/// A tuple's subclass, or tuple itself.
pub extern fn hd_tuple_class_check(*Object) c_int;
pub extern fn PyCallable_Check(*Object) c_int;
pub extern const hd_head_size: c_int;
pub extern const hd_box_size: c_int;
pub extern fn hd_box_get(*Object) ?*anyopaque;
pub extern fn hd_box_set(*Object, ?*anyopaque) void;
/// A new reference to what `field` of `owner` holds, also where other threads write to it.
pub extern fn hd_field_get(owner: *Object, field: *?*Object) ?*Object;
/// Put `value` in, whose reference it takes; the caller gets the reference to what was there.
pub extern fn hd_field_swap(owner: *Object, field: *?*Object, value: ?*Object) ?*Object;
/// A new reference to what `field` holds; `value` is put in where it holds nothing.
pub extern fn hd_field_default(owner: *Object, field: *?*Object, value: *Object) ?*Object;
/// Calls `work` while no other thread is in one of these for `owner`.
pub extern fn hd_locked(owner: *Object, work: *const fn (?*anyopaque) callconv(.c) void, argument: ?*anyopaque) void;
pub extern fn hd_alloc(*TypeObject) ?*Object;
pub extern fn hd_alloc_items(*TypeObject, isize) ?*Object;
pub extern fn hd_free(*Object) void;
pub extern const hd_free_threaded: c_int;
pub extern const hd_py_hex: c_int;

// Values: what the decoders and encoders read and build.

/// `object.h`: bits of tp_flags that say which built-in type a class derives from.
pub const flag = struct {
    pub const heap_type: c_ulong = 1 << 9;
    pub const long: c_ulong = 1 << 24;
    pub const list: c_ulong = 1 << 25;
    pub const tuple: c_ulong = 1 << 26;
    pub const bytes: c_ulong = 1 << 27;
    pub const unicode: c_ulong = 1 << 28;
    pub const dict: c_ulong = 1 << 29;
    pub const base_exception: c_ulong = 1 << 30;
};

/// datetime.h, the struct behind the capsule `datetime.datetime_CAPI`.
pub const DateTimeApi = extern struct {
    date_type: *TypeObject,
    datetime_type: *TypeObject,
    time_type: *TypeObject,
    delta_type: *TypeObject,
    tzinfo_type: *TypeObject,
    utc: *Object,
    dateFromDate: *const fn (c_int, c_int, c_int, *TypeObject) callconv(.c) ?*Object,
    dateTimeFromDateAndTime: *const fn (c_int, c_int, c_int, c_int, c_int, c_int, c_int, *Object, *TypeObject) callconv(.c) ?*Object,
    timeFromTime: *const fn (c_int, c_int, c_int, c_int, *Object, *TypeObject) callconv(.c) ?*Object,
    deltaFromDelta: *const fn (c_int, c_int, c_int, normalize: c_int, *TypeObject) callconv(.c) ?*Object,
    timeZoneFromTimeZone: *const fn (offset: *Object, name: ?*Object) callconv(.c) ?*Object,
    // Constructors from timestamps and with a fold follow; not used.
};

pub extern fn PyLong_AsUnsignedLongLong(*Object) c_ulonglong;
pub extern fn PyCapsule_New(pointer: *anyopaque, name: [*:0]const u8, destructor: ?*const fn (*Object) callconv(.c) void) ?*Object;
pub extern fn PyCapsule_GetPointer(*Object, name: [*:0]const u8) ?*anyopaque;
pub extern fn PyCapsule_Import([*:0]const u8, no_block: c_int) ?*anyopaque;
pub extern fn PyErr_ExceptionMatches(*Object) c_int;
pub extern fn PyErr_GivenExceptionMatches(*Object, *Object) c_int;
pub extern var PyExc_UnicodeError: *Object;
pub extern var PyExc_IndexError: *Object;
pub extern var PyExc_KeyError: *Object;
pub extern var PyExc_LookupError: *Object;
pub extern var PyExc_StopIteration: *Object;
pub extern fn PyObject_VectorcallMethod(name: *Object, [*]const ?*Object, nargsf: usize, kwnames: ?*Object) ?*Object;
pub extern fn PyObject_GetAttr(*Object, *Object) ?*Object;
pub extern fn PyObject_GetItem(*Object, *Object) ?*Object;
pub extern fn PyObject_Size(*Object) isize;
/// object.h, Py_EQ.
pub const EQ = 2;
pub extern fn PyObject_RichCompareBool(*Object, *Object, op: c_int) c_int;
pub extern fn PyMapping_Check(*Object) c_int;
pub extern fn PyMapping_Items(*Object) ?*Object;
pub extern fn PyNumber_Index(*Object) ?*Object;
pub extern fn PyIndex_Check(*Object) c_int;
pub extern fn PyMem_Free(?*anyopaque) void;
pub extern fn PyUnicode_InternFromString([*:0]const u8) ?*Object;
pub extern fn PyDict_SetDefault(*Object, *Object, *Object) ?*Object;
pub extern fn PyType_IsSubtype(*TypeObject, *TypeObject) c_int;

pub extern fn hd_flags(*Object) c_ulong;
pub extern fn hd_is(*Object, *TypeObject) c_int;
pub extern fn hd_type_name(*Object) [*:0]const u8;
pub extern fn hd_is_iterable(*Object) c_int;
pub extern fn hd_float_value(*Object) f64;
pub extern fn hd_list_set(*Object, isize, *Object) void;
pub extern fn hd_list_item(*Object, isize) ?*Object;
pub extern fn hd_tuple_alloc(*TypeObject, isize) ?*Object;
pub extern fn hd_slot_offset(*Object) isize;
pub extern fn hd_slot_set(*Object, isize, *Object) void;
pub extern fn hd_slot_get(*Object, isize) ?*Object;
pub extern fn hd_long_from_bytes([*]const u8, usize) ?*Object;
pub extern fn hd_long_as_bytes(*Object, [*]u8, usize) c_int;
pub extern fn hd_date_fields(*Object, *[3]c_int) void;
pub extern fn hd_datetime_fields(*Object, *[7]c_int) void;
pub extern fn hd_time_fields(*Object, *[4]c_int) void;
pub extern fn hd_delta_fields(*Object, *[3]c_int) void;
pub extern fn hd_datetime_tzinfo(*Object) *Object;
pub extern fn hd_time_tzinfo(*Object) *Object;

// Models: instances and where they keep what.

pub extern const hd_instance_size: c_int;
pub extern fn hd_instance_fields(*Object) *anyopaque;
/// Null with TypeError for a class that is not made from one of our types.
pub extern fn hd_state_of_class(*TypeObject) ?*anyopaque;
/// Have the collector look at an object from now on; it may do so already.
pub extern fn hd_track(*Object) void;
/// Its type takes part in the collection of cycles.
pub extern fn hd_is_gc(*Object) c_int;
pub extern fn hd_enable_try_incref(*Object) void;
/// For an object whose memory cannot be freed meanwhile. 0: it is being deallocated.
pub extern fn hd_try_incref(*Object) c_int;
/// A name in __slots__, which holds an object or nothing and may be written.
pub extern fn hd_slot_check(descriptor: *Object) c_int;
/// Of a descriptor that has passed the check: the class that has the slot. Borrowed.
pub extern fn hd_slot_owner(descriptor: *Object) *TypeObject;
pub extern fn hd_slot_name(descriptor: *Object) *Object;
pub extern fn hd_type_size(*TypeObject) isize;
pub extern fn hd_type_title(*TypeObject) [*:0]const u8;
pub extern fn hd_type_has_dict(*TypeObject) c_int;
pub extern fn hd_type_check(*Object) c_int;
/// Have the attributes of a class's instances read through `read`; not those of its subclasses.
pub extern fn hd_type_read_by(*TypeObject, read: *const fn (*Object, *Object) callconv(.c) ?*Object) void;
/// What is in the slot `name`; null, without an exception, where there is none or nothing in it. Before 3.12.
pub extern fn hd_read_slot(*Object, name: *Object) ?*Object;
pub extern fn hd_set_check(*Object) c_int;
pub extern fn hd_list_check(*Object) c_int;
/// Of a str: its first character is an underscore.
pub extern fn hd_is_private(name: *Object) c_int;
pub extern fn PyObject_GenericGetAttr(*Object, name: *Object) ?*Object;
pub extern fn PyObject_GenericSetAttr(*Object, name: *Object, value: ?*Object) c_int;
pub extern fn PyObject_Repr(*Object) ?*Object;
pub extern fn PyUnicode_Substring(*Object, start: isize, end: isize) ?*Object;
pub extern fn PySet_New(?*Object) ?*Object;
pub extern fn PySet_Add(*Object, *Object) c_int;
pub extern fn PySet_Discard(*Object, *Object) c_int;

/// A type object the interpreter exports, by its C name.
pub inline fn typeObject(comptime name: []const u8) *TypeObject {
    return @extern(*TypeObject, .{ .name = name });
}

/// A Python exception is set and on its way to the caller.
pub const Error = error{PythonError};

pub inline fn incref(object: *Object) *Object {
    hd_incref(object);
    return object;
}

pub inline fn decref(object: *Object) void {
    hd_decref(object);
}

pub inline fn xdecref(object: ?*Object) void {
    if (object) |o| hd_decref(o);
}

/// A new reference to None, True or False.
pub inline fn none() *Object {
    return incref(hd_none());
}

pub inline fn boolean(value: bool) *Object {
    return incref(if (value) hd_true() else hd_false());
}

/// Take the result of an API call: null means that an exception is set.
pub inline fn checked(object: ?*Object) Error!*Object {
    return object orelse error.PythonError;
}

/// Take the status of an API call: negative means that an exception is set.
pub inline fn ok(status: c_int) Error!void {
    if (status < 0) return error.PythonError;
}

/// The struct behind an instance of a native type; see hd_box in pyshim.c.
pub inline fn state(comptime T: type, object: *Object) *T {
    return @ptrCast(@alignCast(hd_box_get(object).?));
}
