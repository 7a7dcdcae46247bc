/* The only C in the tree: what CPython offers as macros or static inline functions, and the module
   definition. Compiled by Zig's own clang against the target interpreter's headers, so every layout
   (3.11 to 3.14, with and without GIL) is right by construction; with LTO it is inlined into Zig.
   Keep it free of logic. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define HD __attribute__((visibility("hidden")))

#ifdef Py_GIL_DISABLED
HD const int hd_free_threaded = 1;
#else
HD const int hd_free_threaded = 0;
#endif
HD const int hd_py_hex = PY_VERSION_HEX;

HD void hd_incref(PyObject *o) { Py_INCREF(o); }
HD void hd_decref(PyObject *o) { Py_DECREF(o); }
HD PyTypeObject *hd_type(PyObject *o) { return Py_TYPE(o); }
HD PyObject *hd_none(void) { return Py_None; }
HD PyObject *hd_true(void) { return Py_True; }
HD PyObject *hd_false(void) { return Py_False; }
HD void hd_tuple_set(PyObject *t, Py_ssize_t i, PyObject *v) { PyTuple_SET_ITEM(t, i, v); }
HD PyObject *hd_tuple_get(PyObject *t, Py_ssize_t i) { return PyTuple_GET_ITEM(t, i); }
HD Py_ssize_t hd_tuple_size(PyObject *t) { return PyTuple_GET_SIZE(t); }
HD int hd_tuple_check(PyObject *o) { return PyTuple_Check(o); }
HD int hd_unicode_check(PyObject *o) { return PyUnicode_Check(o); }
HD int hd_dict_check(PyObject *o) { return PyDict_Check(o); }

/* Every native type's instance is a head and one pointer to a struct that Zig allocates. */
typedef struct { PyObject_HEAD void *state; } hd_box;
HD const int hd_box_size = (int)sizeof(hd_box);
HD void *hd_box_get(PyObject *o) { return ((hd_box *)o)->state; }
HD void hd_box_set(PyObject *o, void *state) { ((hd_box *)o)->state = state; }

/* GC-tracked heap types. */
HD PyObject *hd_alloc(PyTypeObject *type) { return type->tp_alloc(type, 0); }
HD PyObject *hd_alloc_items(PyTypeObject *type, Py_ssize_t n) { return type->tp_alloc(type, n); }
HD void hd_free(PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    type->tp_free(o);
    Py_DECREF(type);
}

extern int hd_exec(PyObject *module);
extern int hd_traverse(PyObject *module, visitproc visit, void *arg);
extern int hd_clear(PyObject *module);
enum { HD_MODULE_STATE_SIZE = 16 * sizeof(void *) }; /* ModuleState in module.zig fits, checked there */

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

PyMODINIT_FUNC PyInit__hyperdjango_native(void) { return PyModuleDef_Init(&def); }
