/* Buffers: what a builder has taken, as memory for Arrow. */
#pragma once

#include <Python.h>
#include <string.h>

#include "program.h"

/* A copy of the bytes in what `allocate(size)` returns. */
static PyObject *copied(PyObject *allocate, const Bytes *bytes)
{
    PyObject *made = PyObject_CallFunction(allocate, "n", bytes->size);
    if (made == NULL || bytes->size == 0) {
        return made;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(made, &view, PyBUF_WRITABLE) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    if (view.len < bytes->size) {
        PyErr_SetString(PyExc_ValueError, "expected a buffer of the size asked for");
        Py_CLEAR(made);
    } else {
        memcpy(view.buf, bytes->data, (size_t)bytes->size);
    }
    PyBuffer_Release(&view);
    return made;
}

/* The objects of a column, `None` for null, as a list that has them now. */
static PyObject *taken(Column *column)
{
    PyObject *made = PyList_New(column->rows);
    for (Py_ssize_t row = 0; made != NULL && row < column->rows; row++) {
        int64_t word;
        memcpy(&word, column->data.data + 8 * row, 8);
        PyObject *value = (PyObject *)(intptr_t)word;
        PyList_SET_ITEM(made, row, value ? value : Py_NewRef(Py_None));
    }
    if (made != NULL) {
        column->data.size = 0;
    }
    return made;
}

static PyObject *column_buffers(Column *column, PyObject *allocate)
{
    PyObject *bits = NULL, *ends = NULL, *data = NULL, *made = NULL;
    if (column->type == 'o') {
        return taken(column);
    }
    if (column->type == 'b') { /* a byte each until here, a bit each from here */
        Py_ssize_t rows = column->rows;
        char *flags = column->data.data;
        for (Py_ssize_t row = 0; row < rows; row += 8) {
            int packed = 0;
            for (Py_ssize_t each = row; each < rows && each < row + 8; each++) {
                packed |= flags[each] << (each - row);
            }
            flags[row / 8] = (char)packed;
        }
        column->data.size = (rows + 7) / 8;
    }
    bits = column->nulls ? copied(allocate, &column->bits) : Py_NewRef(Py_None);
    if (bits != NULL) {
        ends = column->type == 't' ? copied(allocate, &column->ends) : Py_NewRef(Py_None);
    }
    if (ends != NULL) {
        data = copied(allocate, &column->data);
    }
    if (data != NULL) {
        made = Py_BuildValue("nOOO", column->nulls, bits, ends, data);
    }
    Py_XDECREF(bits);
    Py_XDECREF(ends);
    Py_XDECREF(data);
    return made;
}

static void begin_anew(Builder *self)
{
    for (int each = 0; each < self->column_count; each++) {
        Column *column = &self->columns[each];
        drop_objects(column, 0);
        column->rows = column->nulls = 0;
        column->bits.size = column->data.size = 0;
        column->ends.size = column->type == 't' ? 4 : 0;
    }
    for (int each = 0; each < self->table_count; each++) {
        self->tables[each].rows = self->tables[each].counts.size = 0;
    }
}

static PyObject *builder_finish(PyObject *object, PyObject *allocate)
{
    Builder *self = (Builder *)object;
    if (!is_free(self)) {
        return NULL;
    }
    PyObject *columns = PyList_New(self->column_count);
    PyObject *tables = PyList_New(self->table_count);
    int good = columns != NULL && tables != NULL;
    for (int each = 0; good && each < self->column_count; each++) {
        Column *column = &self->columns[each];
        PyObject *made = NULL;
        if (add_nulls(column, self->tables[column->table].rows)) {
            made = column_buffers(column, allocate);
        } else {
            PyErr_NoMemory();
        }
        good = made != NULL;
        if (good) {
            PyList_SET_ITEM(columns, each, made);
        }
    }
    for (int each = 0; good && each < self->table_count; each++) {
        Table *table = &self->tables[each];
        PyObject *counts = copied(allocate, &table->counts);
        PyObject *made = counts ? Py_BuildValue("nN", table->rows, counts) : NULL;
        good = made != NULL;
        if (good) {
            PyList_SET_ITEM(tables, each, made);
        }
    }
    /* Also after an error: half of the columns would be worse than none. */
    begin_anew(self);
    PyObject *both = good ? PyTuple_Pack(2, columns, tables) : NULL;
    Py_XDECREF(columns);
    Py_XDECREF(tables);
    return both;
}
