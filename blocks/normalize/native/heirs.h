/* Heirs: a builder of a program that knows more takes over what another one has. */
#pragma once

#include <Python.h>
#include <limits.h>

#include "program.h"

/* The number at this place of a list, -1 or of one of `count`; -2 with an error set if it is none. */
static int number_in(PyObject *list, int place, int count)
{
    long number = PyLong_AsLong(PyList_GET_ITEM(list, place));
    if (PyErr_Occurred() || !within(number < INT_MAX ? (int)number : INT_MAX, -1, count)) {
        return -2;
    }
    return (int)number;
}

static int is_heir(const Builder *self, const Builder *old, PyObject *columns, PyObject *tables)
{
    for (int each = 0; each < self->table_count; each++) {
        if (number_in(tables, each, old->table_count) == -2) {
            return 0;
        }
    }
    for (int each = 0; each < self->column_count; each++) {
        const Column *column = &self->columns[each];
        int from = number_in(columns, each, old->column_count);
        if (from == -2) {
            return 0;
        }
        if (from >= 0 && (old->columns[from].type != column->type
                          || old->columns[from].table
                                 != number_in(tables, column->table, old->table_count))) {
            PyErr_SetString(PyExc_ValueError, "expected columns of the same type and table");
            return 0;
        }
    }
    return 1;
}

/* inherit(old, columns, tables): for each column and table its number in `old`, or -1. What goes
 * to two, as a wrong list would have it, goes to the first. `old` is left empty, for nobody to use. */
static PyObject *builder_inherit(PyObject *object, PyObject *args)
{
    Builder *self = (Builder *)object, *old;
    PyObject *columns, *tables;
    if (!PyArg_ParseTuple(args, "O!O!O!", Py_TYPE(object), &old, &PyList_Type, &columns,
                          &PyList_Type, &tables)
        || !is_free(self) || !is_free(old)) {
        return NULL;
    }
    if (old == self || self->tables[0].rows || PyList_GET_SIZE(columns) != self->column_count
        || PyList_GET_SIZE(tables) != self->table_count) {
        PyErr_SetString(PyExc_ValueError, "expected another builder, and a number for each");
        return NULL;
    }
    if (!is_heir(self, old, columns, tables)) {
        return NULL;
    }
    old->busy = 1;
    for (int each = 0; each < self->column_count; each++) {
        int from = number_in(columns, each, old->column_count);
        if (from >= 0) {
            Column taken = old->columns[from];
            taken.table = self->columns[each].table;
            old->columns[from] = self->columns[each];
            self->columns[each] = taken;
        }
    }
    for (int each = 0; each < self->table_count; each++) {
        int from = number_in(tables, each, old->table_count);
        if (from >= 0) {
            Table taken = old->tables[from];
            taken.entry = self->tables[each].entry;
            old->tables[from] = self->tables[each];
            self->tables[each] = taken;
        }
    }
    Py_RETURN_NONE;
}
