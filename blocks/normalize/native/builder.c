/* Builders: rows, as dicts or JSON, into the buffers of Arrow arrays.
 *
 * What `builder.py` would do in Python for each value, done for many rows in one call. A builder
 * is made of four flat lists that refer to each other by number (-1: none):
 *
 *   tables   the entry for the rows of each; the first is the root
 *   entries  where a value goes: a scalar to a column, an object to a node, a list to a table; and
 *            whether a null is nothing new there
 *   nodes    the entry for each key of an object
 *   columns  the table each belongs to and the type of its values
 *
 * `append` and `read` take all rows or none: a value that fits nowhere (another type, a key not
 * known, an integer beyond 64 bits) puts everything back as it was, and the caller takes the rows
 * its own way. No code of Python's runs inside of them: only exact types of Python are looked at.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bodies.h"
#include "buffers.h"
#include "heirs.h"
#include "rows.h"
#include "turn.h"

static PyMethodDef functions[] = {
    {"turn", turn, METH_O, "For each key of dicts the rows that have it, and their values."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"append", builder_append, METH_O, "Take all `rows` and return True, or none."},
    {"read", builder_read, METH_VARARGS,
     "Take all records of a `body` of JSON below the keys of `path` and return True, or none."},
    {"inherit", builder_inherit, METH_VARARGS,
     "Take over what another builder has: for each column and table its number there, or -1."},
    {"finish", builder_finish, METH_O,
     "The buffers of all columns, and of all tables their rows and counts; begins anew."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"rows", builder_rows, NULL, "Root rows taken.", NULL},
    {"refused", builder_refused, NULL, "The first row for which a body or rows were refused: its bytes or its number, as a slice.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, builder_new},
    {Py_tp_dealloc, builder_free},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_doc, "Builder(columns, entries, nodes, tables): rows into the buffers of Arrow arrays."},
    {0, NULL},
};

static PyType_Spec builder_spec = {
    "blocks.normalize._builder.Builder", sizeof(Builder), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots,
};

static int fill_module(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &builder_spec, NULL);
    int done = type ? PyModule_AddObjectRef(module, "Builder", type) : -1;
    Py_XDECREF(type);
    return done;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_builder", "Rows into the buffers of Arrow arrays, in C.", 0, functions,
    module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__builder(void)
{
    return PyModuleDef_Init(&module);
}
