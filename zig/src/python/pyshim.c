/* The only C in the tree: what CPython offers as macros or static inline functions, and the module
   definition. Compiled by Zig's own clang against the target interpreter's headers, so every layout
   (3.11 to 3.14, with and without GIL) is right by construction; with LTO it is inlined into Zig.
   Keep it free of logic. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <datetime.h>
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_READONLY READONLY
#endif
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030E0000
/* _Py_TryIncref, which is public from 3.14 on. */
#define Py_BUILD_CORE
#include <internal/pycore_object.h>
#undef Py_BUILD_CORE
#endif

#define HD __attribute__((visibility("hidden")))

#ifdef Py_GIL_DISABLED
HD const int hd_free_threaded = 1;
#else
HD const int hd_free_threaded = 0;
#endif
HD const int hd_py_hex = PY_VERSION_HEX;

HD void hd_incref(PyObject *o) { Py_INCREF(o); }
HD void hd_decref(PyObject *o) { Py_DECREF(o); }
HD int hd_is_shared(PyObject *o) { return Py_REFCNT(o) != 1; }
HD PyTypeObject *hd_type(PyObject *o) { return Py_TYPE(o); }
HD PyObject *hd_none(void) { return Py_None; }
HD PyObject *hd_true(void) { return Py_True; }
HD PyObject *hd_false(void) { return Py_False; }
HD void hd_tuple_set(PyObject *t, Py_ssize_t i, PyObject *v) { PyTuple_SET_ITEM(t, i, v); }
HD PyObject *hd_tuple_get(PyObject *t, Py_ssize_t i) { return PyTuple_GET_ITEM(t, i); }
HD Py_ssize_t hd_tuple_size(PyObject *t) { return PyTuple_GET_SIZE(t); }
HD int hd_tuple_check(PyObject *o) { return PyTuple_Check(o); }
HD int hd_unicode_check(PyObject *o) { return PyUnicode_Check(o); }
HD int hd_exception_check(PyObject *o) { return PyExceptionInstance_Check(o); }
HD int hd_exception_class_check(PyObject *o) { return PyExceptionClass_Check(o); }
/* Set StopIteration with a value. */
#if PY_VERSION_HEX >= 0x030C0000
/* As calling the class makes one, but without the call: each `await` of what is done comes by here. */
HD void hd_stop(PyObject *value) {
    PyTypeObject *type = (PyTypeObject *)PyExc_StopIteration;
    PyObject *arguments = PyTuple_New(1);
    if (arguments == NULL) return;
    PyTuple_SET_ITEM(arguments, 0, Py_NewRef(value));
    PyStopIterationObject *stop = (PyStopIterationObject *)type->tp_alloc(type, 0);
    if (stop == NULL) {
        Py_DECREF(arguments);
        return;
    }
    stop->args = arguments;
    stop->value = Py_NewRef(value);
    PyErr_SetRaisedException((PyObject *)stop);
}
#else
/* A tuple or an exception would be taken for the arguments of one. */
HD void hd_stop(PyObject *value) {
    if (!PyTuple_Check(value) && !PyExceptionInstance_Check(value)) {
        PyErr_SetObject(PyExc_StopIteration, value);
        return;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop == NULL) return;
    PyErr_SetObject(PyExc_StopIteration, stop);
    Py_DECREF(stop);
}
#endif
HD int hd_tuple_class_check(PyObject *o) { return PyType_Check(o) && PyType_IsSubtype((PyTypeObject *)o, &PyTuple_Type); }
HD int hd_dict_check(PyObject *o) { return PyDict_Check(o); }

/* Every native type's instance is a head and one pointer to a struct that Zig allocates. */
typedef struct { PyObject_HEAD void *state; } hd_box;
HD const int hd_head_size = (int)sizeof(PyObject);
HD const int hd_box_size = (int)sizeof(hd_box);
HD void *hd_box_get(PyObject *o) { return ((hd_box *)o)->state; }
HD void hd_box_set(PyObject *o, void *state) { ((hd_box *)o)->state = state; }

/* A field that several threads may read and write at once. Without a GIL the object it belongs to is locked for
   these few instructions; nothing in between runs Python code. */
#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(owner) {
#define Py_END_CRITICAL_SECTION() }
#endif
/* A new reference, or NULL. */
HD PyObject *hd_field_get(PyObject *owner, PyObject **field) {
    PyObject *held;
    Py_BEGIN_CRITICAL_SECTION(owner);
    held = Py_XNewRef(*field);
    Py_END_CRITICAL_SECTION();
    return held;
}
/* Puts `value` in, whose reference it takes, and hands over the reference to what was there. */
HD PyObject *hd_field_swap(PyObject *owner, PyObject **field, PyObject *value) {
    PyObject *held;
    Py_BEGIN_CRITICAL_SECTION(owner);
    held = *field;
#ifdef Py_GIL_DISABLED
    _Py_atomic_store_ptr_release(field, value); /* the interpreter reads slots without the lock */
#else
    *field = value;
#endif
    Py_END_CRITICAL_SECTION();
    return held;
}
/* A new reference to what is there; `value` is put in where nothing is. */
HD PyObject *hd_field_default(PyObject *owner, PyObject **field, PyObject *value) {
    PyObject *held;
    Py_BEGIN_CRITICAL_SECTION(owner);
    if (*field == NULL) *field = Py_NewRef(value);
    held = Py_NewRef(*field);
    Py_END_CRITICAL_SECTION();
    return held;
}
/* Runs `work` while no other thread is in one of these for `owner`. */
HD void hd_locked(PyObject *owner, void (*work)(void *), void *argument) {
    Py_BEGIN_CRITICAL_SECTION(owner);
    work(argument);
    Py_END_CRITICAL_SECTION();
}
/* Have the collector look at an object from now on. */
HD void hd_track(PyObject *o) {
    Py_BEGIN_CRITICAL_SECTION(o);
    if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
    Py_END_CRITICAL_SECTION();
}
HD int hd_is_gc(PyObject *o) { return PyObject_IS_GC(o); }

/* A reference to an object that is known by its address alone, by whoever can keep its memory from being freed
   meanwhile. 0: it is being deallocated. The first of these is called once, by who has a reference. */
#if PY_VERSION_HEX >= 0x030E0000
HD void hd_enable_try_incref(PyObject *o) { PyUnstable_EnableTryIncRef(o); }
HD int hd_try_incref(PyObject *o) { return PyUnstable_TryIncRef(o); }
#elif defined(Py_GIL_DISABLED)
HD void hd_enable_try_incref(PyObject *o) { _PyObject_SetMaybeWeakref(o); }
HD int hd_try_incref(PyObject *o) { return _Py_TryIncref(o); }
#else
HD void hd_enable_try_incref(PyObject *o) { (void)o; }
HD int hd_try_incref(PyObject *o) {
    if (Py_REFCNT(o) == 0) return 0;
    Py_INCREF(o);
    return 1;
}
#endif

/* An instance of a model: the fields that Zig keeps (Fields in instance.zig), then the slots of its classes. */
typedef struct {
    PyObject_HEAD
    struct { void *origin, *changed, *extra; size_t peer; } fields;
} hd_instance;
HD const int hd_instance_size = (int)sizeof(hd_instance);
HD void *hd_instance_fields(PyObject *o) { return &((hd_instance *)o)->fields; }

/* GC-tracked heap types. */
HD PyObject *hd_alloc(PyTypeObject *type) { return type->tp_alloc(type, 0); }
HD PyObject *hd_tuple_alloc(PyTypeObject *type, Py_ssize_t n); /* below */
HD PyObject *hd_alloc_items(PyTypeObject *type, Py_ssize_t n) { return hd_tuple_alloc(type, n); }
HD void hd_free(PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    type->tp_free(o);
    Py_DECREF(type);
}

/* Values: what the decoders and encoders read and build. */
HD unsigned long hd_flags(PyObject *o) { return Py_TYPE(o)->tp_flags; }
HD int hd_is(PyObject *o, PyTypeObject *type) { return PyObject_TypeCheck(o, type); }
HD const char *hd_type_name(PyObject *o) { return Py_TYPE(o)->tp_name; }
HD int hd_is_iterable(PyObject *o) { return Py_TYPE(o)->tp_iter != NULL || PySequence_Check(o); }
HD double hd_float_value(PyObject *o) { return PyFloat_AS_DOUBLE(o); }
HD void hd_list_set(PyObject *l, Py_ssize_t i, PyObject *v) { PyList_SET_ITEM(l, i, v); }
/* A new reference, or NULL with IndexError: another thread may have shortened the list. */
#if PY_VERSION_HEX >= 0x030D0000
HD PyObject *hd_list_item(PyObject *l, Py_ssize_t i) { return PyList_GetItemRef(l, i); }
#else
HD PyObject *hd_list_item(PyObject *l, Py_ssize_t i) { return Py_XNewRef(PyList_GetItem(l, i)); }
#endif
/* An instance of a subclass of tuple, its items still to be set. */
HD PyObject *hd_tuple_alloc(PyTypeObject *type, Py_ssize_t n) {
    PyObject *t = type->tp_alloc(type, n);
#if PY_VERSION_HEX >= 0x030E0000
    if (t != NULL) ((PyTupleObject *)t)->ob_hash = -1;
#endif
    return t;
}
/* Where a member descriptor (a name in __slots__) keeps its object, -1 for any other descriptor. */
HD Py_ssize_t hd_slot_offset(PyObject *descriptor) {
    return Py_IS_TYPE(descriptor, &PyMemberDescr_Type) ? ((PyMemberDescrObject *)descriptor)->d_member->offset : -1;
}
/* A name in __slots__, and no other member: holds an object or nothing, and may be written. */
HD int hd_slot_check(PyObject *descriptor) {
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return 0;
    PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
    return member->type == Py_T_OBJECT_EX && (member->flags & Py_READONLY) == 0;
}
HD PyTypeObject *hd_slot_owner(PyObject *descriptor) { return PyDescr_TYPE(descriptor); }
HD PyObject *hd_slot_name(PyObject *descriptor) { return PyDescr_NAME(descriptor); }
HD Py_ssize_t hd_type_size(PyTypeObject *type) { return type->tp_basicsize; }
HD const char *hd_type_title(PyTypeObject *type) { return type->tp_name; }
HD int hd_type_has_dict(PyTypeObject *type) { return type->tp_dictoffset != 0; }
HD int hd_type_check(PyObject *o) { return PyType_Check(o); }
/* Read the attributes of a class's instances through `read`. Subclasses do so only if they are told, too. */
HD void hd_type_read_by(PyTypeObject *type, getattrofunc read) {
    type->tp_getattro = read;
    PyType_Modified(type);
}
#if PY_VERSION_HEX < 0x030C0000
/* What is in the slot `name`, or NULL where there is no such slot or nothing in it. No exception is set. */
HD PyObject *hd_read_slot(PyObject *o, PyObject *name) {
    PyObject *descriptor = _PyType_Lookup(Py_TYPE(o), name); /* borrowed */
    if (descriptor == NULL || !Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return NULL;
    PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
    if (member->type != Py_T_OBJECT_EX) return NULL;
    return Py_XNewRef(*(PyObject **)((char *)o + member->offset));
}
#else
HD PyObject *hd_read_slot(PyObject *o, PyObject *name) { return (void)o, (void)name, NULL; }
#endif
HD int hd_set_check(PyObject *o) { return PySet_Check(o); }
HD int hd_list_check(PyObject *o) { return PyList_Check(o); }
/* An identifier that begins with an underscore. */
HD int hd_is_private(PyObject *name) { return PyUnicode_GET_LENGTH(name) > 0 && PyUnicode_READ_CHAR(name, 0) == '_'; }
HD void hd_slot_set(PyObject *o, Py_ssize_t offset, PyObject *v) { *(PyObject **)((char *)o + offset) = v; }
HD PyObject *hd_slot_get(PyObject *o, Py_ssize_t offset) { return *(PyObject **)((char *)o + offset); }
/* Unsigned, big-endian; the second returns -1 with OverflowError where the value does not fit. */
HD PyObject *hd_long_from_bytes(const unsigned char *bytes, size_t n) { return _PyLong_FromByteArray(bytes, n, 0, 0); }
#if PY_VERSION_HEX >= 0x030D0000
HD int hd_long_as_bytes(PyObject *o, unsigned char *bytes, size_t n) {
    return _PyLong_AsByteArray((PyLongObject *)o, bytes, n, 0, 0, 1);
}
#else
HD int hd_long_as_bytes(PyObject *o, unsigned char *bytes, size_t n) {
    return _PyLong_AsByteArray((PyLongObject *)o, bytes, n, 0, 0);
}
#endif
HD void hd_date_fields(PyObject *o, int *f) {
    f[0] = PyDateTime_GET_YEAR(o), f[1] = PyDateTime_GET_MONTH(o), f[2] = PyDateTime_GET_DAY(o);
}
HD void hd_datetime_fields(PyObject *o, int *f) {
    hd_date_fields(o, f);
    f[3] = PyDateTime_DATE_GET_HOUR(o), f[4] = PyDateTime_DATE_GET_MINUTE(o), f[5] = PyDateTime_DATE_GET_SECOND(o);
    f[6] = PyDateTime_DATE_GET_MICROSECOND(o);
}
HD void hd_time_fields(PyObject *o, int *f) {
    f[0] = PyDateTime_TIME_GET_HOUR(o), f[1] = PyDateTime_TIME_GET_MINUTE(o), f[2] = PyDateTime_TIME_GET_SECOND(o);
    f[3] = PyDateTime_TIME_GET_MICROSECOND(o);
}
HD void hd_delta_fields(PyObject *o, int *f) {
    f[0] = PyDateTime_DELTA_GET_DAYS(o), f[1] = PyDateTime_DELTA_GET_SECONDS(o);
    f[2] = PyDateTime_DELTA_GET_MICROSECONDS(o);
}
/* Borrowed; None when naive. */
HD PyObject *hd_datetime_tzinfo(PyObject *o) { return PyDateTime_DATE_GET_TZINFO(o); }
HD PyObject *hd_time_tzinfo(PyObject *o) { return PyDateTime_TIME_GET_TZINFO(o); }
/* datetime.h keeps its capsule in a static of each file; ours lives in the TypeMap, this one stays unused. */
HD const void *hd_datetime_unused(void) { return PyDateTimeAPI; }

/* The exception that is set, as one instance with its traceback; the three-part form ends with 3.12. */
HD PyObject *hd_take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value != NULL && traceback != NULL) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* A dict of values that hold nothing is no work for the collector. Up to 3.13 it is tracked again when
   something that can be part of a cycle is put in; since 3.14 nothing would do that. */
HD void hd_untrack_dict(PyObject *o) {
#if PY_VERSION_HEX < 0x030E0000
    PyObject_GC_UnTrack(o);
#endif
}

HD const char *hd_strerror(int code) { return strerror(code); }

extern int hd_exec(PyObject *module);
extern int hd_traverse(PyObject *module, visitproc visit, void *arg);
extern int hd_clear(PyObject *module);
enum { HD_MODULE_STATE_SIZE = 32 * sizeof(void *) }; /* ModuleState in module.zig fits, checked there */

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, hd_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_hyperdjango_native",
    .m_doc = "The native half of hyper-pgzig; see _hyperdjango_native.pyi.",
    .m_size = HD_MODULE_STATE_SIZE,
    .m_slots = slots,
    .m_traverse = hd_traverse,
    .m_clear = hd_clear,
};

/* The state of our module for a class made in Python from one of its types; NULL with TypeError for any other. */
HD void *hd_state_of_class(PyTypeObject *type) {
    PyObject *module = PyType_GetModuleByDef(type, &def);
    return module == NULL ? NULL : PyModule_GetState(module);
}

PyMODINIT_FUNC PyInit__hyperdjango_native(void) { return PyModuleDef_Init(&def); }
