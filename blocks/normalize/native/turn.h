/* Turning: dicts on their side. */
#pragma once

#include <Python.h>

/* Dicts on their side: for each key the rows that have it and their values, as two lists. None for
 * keys that are no texts: comparing them could run any code. */
static PyObject *turn(PyObject *Py_UNUSED(module), PyObject *rows)
{
    PyObject *fast = PySequence_Fast(rows, "expected a sequence of dicts");
    PyObject *found = fast ? PyDict_New() : NULL;
    int good = found != NULL;
    for (Py_ssize_t each = 0; good && each < PySequence_Fast_GET_SIZE(fast); each++) {
        PyObject *row = PySequence_Fast_GET_ITEM(fast, each), *key, *value;
        PyObject *number = PyLong_FromSsize_t(each);
        Py_ssize_t at = 0;
        if (number == NULL || !PyDict_CheckExact(row)) {
            if (number != NULL) {
                PyErr_SetString(PyExc_TypeError, "expected a sequence of dicts");
            }
            good = 0;
        }
        while (good && PyDict_Next(row, &at, &key, &value)) {
            if (!PyUnicode_CheckExact(key)) {
                Py_DECREF(number);
                Py_DECREF(found);
                Py_DECREF(fast);
                Py_RETURN_NONE;
            }
            PyObject *both = PyDict_GetItemWithError(found, key);
            if (both == NULL && !PyErr_Occurred()) {
                both = Py_BuildValue("[][]");
                if (both != NULL && PyDict_SetItem(found, key, both) < 0) {
                    Py_CLEAR(both);
                }
                Py_XDECREF(both); /* the dict has it */
            }
            good = both != NULL && PyList_Append(PyTuple_GET_ITEM(both, 0), number) == 0
                   && PyList_Append(PyTuple_GET_ITEM(both, 1), value) == 0;
        }
        Py_XDECREF(number);
    }
    Py_XDECREF(fast);
    if (!good) {
        Py_CLEAR(found);
    }
    return found;
}
