#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef def = {PyModuleDef_HEAD_INIT, .m_name = "_hyperdjango_native", .m_slots = slots};
PyMODINIT_FUNC PyInit__hyperdjango_native(void) { return PyModuleDef_Init(&def); }
