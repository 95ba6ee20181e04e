/* Rows: taken by a builder one by one, or all put back. */
#pragma once

#include <Python.h>

#include "program.h"

static int take(Builder *self, int number, Py_ssize_t row, PyObject *value);

static int take_dict(Builder *self, const Node *node, Py_ssize_t row, PyObject *value)
{
    Py_ssize_t at = 0;
    PyObject *key, *found;
    while (PyDict_Next(value, &at, &key, &found)) {
        if (!PyUnicode_CheckExact(key)) {
            return 0;
        }
        PyObject *number = PyDict_GetItemWithError(node->keys, key);
        if (number == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        int entry = (int)PyLong_AsLong(number);
        int done = found != Py_None ? take(self, entry, row, found) : self->entries[entry].null;
        if (done != 1) {
            return done;
        }
    }
    return 1;
}

static int take_list(Builder *self, Table *table, Py_ssize_t row, PyObject *value)
{
    Py_ssize_t count = PyList_GET_SIZE(value);
    if (count == 0) {
        return 1;
    }
    Py_ssize_t missing = row - table->counts.size / 8;
    if (missing < 0) {
        return 0; /* two lists of one row for one table */
    }
    if (!add_zeros(&table->counts, 8 * missing) || !add_int(&table->counts, count)) {
        return -1;
    }
    for (Py_ssize_t each = 0; each < count; each++) {
        PyObject *found = PyList_GET_ITEM(value, each);
        int done = found != Py_None ? take(self, table->entry, table->rows, found)
                                    : self->entries[table->entry].null;
        if (done != 1) {
            return done;
        }
        table->rows++;
    }
    return 1;
}

static int take(Builder *self, int number, Py_ssize_t row, PyObject *value)
{
    const Entry *entry = &self->entries[number];
    if (value == Py_None) {
        return 1;
    }
    PyTypeObject *type = Py_TYPE(value);
    if (entry->node >= 0 && type == &PyDict_Type) {
        return take_dict(self, &self->nodes[entry->node], row, value);
    }
    if (entry->table >= 0 && type == &PyList_Type) {
        return take_list(self, &self->tables[entry->table], row, value);
    }
    return entry->column >= 0 ? put(&self->columns[entry->column], row, value) : 0;
}

/* Before and after. */

static void keep(Builder *self)
{
    for (int each = 0; each < self->column_count; each++) {
        Column *column = &self->columns[each];
        column->rows_before = column->rows;
        column->nulls_before = column->nulls;
        column->size_before = column->data.size;
    }
    for (int each = 0; each < self->table_count; each++) {
        self->tables[each].rows_before = self->tables[each].rows;
        self->tables[each].counts_before = self->tables[each].counts.size;
    }
}

static void put_back(Builder *self)
{
    for (int each = 0; each < self->column_count; each++) {
        Column *column = &self->columns[each];
        Py_ssize_t rows = column->rows = column->rows_before;
        drop_objects(column, rows);
        column->nulls = column->nulls_before;
        column->data.size = column->size_before;
        if (column->type == 't') {
            column->ends.size = 4 * rows + 4;
        }
        column->bits.size = (rows + 7) / 8;
        if (rows % 8) {
            column->bits.data[rows / 8] &= (char)((1 << (rows % 8)) - 1);
        }
    }
    for (int each = 0; each < self->table_count; each++) {
        self->tables[each].rows = self->tables[each].rows_before;
        self->tables[each].counts.size = self->tables[each].counts_before;
    }
}

/* Whether all was taken, and otherwise all as it was before `keep`. */
static PyObject *ended(Builder *self, int done)
{
    if (done == 1) {
        Py_RETURN_TRUE;
    }
    put_back(self);
    if (done < 0) {
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    Py_RETURN_FALSE;
}

static PyObject *builder_append(PyObject *object, PyObject *rows)
{
    Builder *self = (Builder *)object;
    if (!PyList_CheckExact(rows)) {
        PyErr_SetString(PyExc_TypeError, "expected a list of rows");
        return NULL;
    }
    if (!is_free(self)) {
        return NULL;
    }
    keep(self);
    self->from = self->to = 0;
    int done = 1;
    Table *root = &self->tables[0];
    for (Py_ssize_t each = 0; done == 1 && each < PyList_GET_SIZE(rows); each++) {
        PyObject *row = PyList_GET_ITEM(rows, each);
        /* A row that is no object, null among them, is not for us. */
        done = row == Py_None ? 0 : take(self, root->entry, root->rows, row);
        root->rows += done == 1;
        self->from = each;
        self->to = each + 1;
    }
    return ended(self, done);
}
