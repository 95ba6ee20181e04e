/* Columns: the growing buffers of one Arrow array each. */
#pragma once

#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "instants.h"

typedef struct {
    char *data;
    Py_ssize_t size, room;
} Bytes;

typedef struct {
    char type; /* t text, i int64, d double, b bool, s microseconds of UTC, o any object as it is */
    int table;
    Py_ssize_t rows, nulls;
    Bytes bits, data, ends;
    PyObject *objects;
    Py_ssize_t rows_before, nulls_before, size_before;
} Column;

/* Growing. All return 0 when memory is short, with the error set. */

static int reserve(Bytes *bytes, Py_ssize_t more)
{
    if (bytes->data != NULL && bytes->size + more <= bytes->room) {
        return 1;
    }
    Py_ssize_t room = bytes->room * 2 > bytes->size + more ? bytes->room * 2 : bytes->size + more;
    room = room < 1024 ? 1024 : room;
    char *data = PyMem_RawRealloc(bytes->data, (size_t)room);
    if (data == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    bytes->data = data;
    bytes->room = room;
    return 1;
}

static int add_zeros(Bytes *bytes, Py_ssize_t count)
{
    if (!reserve(bytes, count)) {
        return 0;
    }
    memset(bytes->data + bytes->size, 0, (size_t)count);
    bytes->size += count;
    return 1;
}

static int add_int(Bytes *bytes, int64_t value)
{
    if (!reserve(bytes, 8)) {
        return 0;
    }
    memcpy(bytes->data + bytes->size, &value, 8);
    bytes->size += 8;
    return 1;
}

/* Columns. Bits beyond the rows of a column are 0, so that a null needs no bit written. */

static Py_ssize_t width(const Column *column)
{
    return column->type == 'b' ? 1 : 8;
}

static int add_nulls(Column *column, Py_ssize_t rows)
{
    Py_ssize_t count = rows - column->rows;
    if (count <= 0) {
        return 1;
    }
    if (column->type == 'o') {
        for (Py_ssize_t each = 0; each < count; each++) {
            if (PyList_Append(column->objects, Py_None) < 0) {
                return 0;
            }
        }
    } else if (column->type == 't') {
        int32_t end = (int32_t)column->data.size;
        if (!reserve(&column->ends, 4 * count)) {
            return 0;
        }
        for (Py_ssize_t each = 0; each < count; each++, column->ends.size += 4) {
            memcpy(column->ends.data + column->ends.size, &end, 4);
        }
    } else if (!add_zeros(&column->data, count * width(column))) {
        return 0;
    }
    Py_ssize_t bits = (rows + 7) / 8;
    if (bits > column->bits.size && !add_zeros(&column->bits, bits - column->bits.size)) {
        return 0;
    }
    column->rows = rows;
    column->nulls += count;
    return 1;
}

/* Whatever takes a value returns 1: done, 0: it does not fit, -1: an error is set. */

static int put(Column *column, Py_ssize_t row, PyObject *value)
{
    int64_t number = 0;
    double real;
    char flag;
    const char *text = NULL;
    Py_ssize_t size = 0;
    switch (column->type) {
    case 't':
    case 's':
        if (!PyUnicode_CheckExact(value)) {
            return 0;
        }
        if (PyUnicode_IS_COMPACT_ASCII(value)) {
            text = PyUnicode_DATA(value);
            size = PyUnicode_GET_LENGTH(value);
        } else if ((text = PyUnicode_AsUTF8AndSize(value, &size)) == NULL) { /* half a character */
            if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                return -1;
            }
            PyErr_Clear();
            return 0;
        }
        if (column->type == 's' ? !instant(text, size, &number)
                                : size > INT32_MAX / 2 - column->data.size) {
            return 0;
        }
        break;
    case 'i':
    case 'd':
        if (PyLong_CheckExact(value)) {
            int overflow;
            number = PyLong_AsLongLongAndOverflow(value, &overflow);
            if (overflow) {
                return 0;
            }
            if (column->type == 'd') {
                /* Beyond this a float may stand for another integer. */
                if (number > INT64_C(9007199254740992) || number < -INT64_C(9007199254740992)) {
                    return 0;
                }
                real = (double)number;
                memcpy(&number, &real, 8);
            }
        } else if (column->type == 'd' && PyFloat_CheckExact(value)) {
            real = PyFloat_AS_DOUBLE(value);
            if (!isfinite(real)) {
                return 0;
            }
            memcpy(&number, &real, 8);
        } else {
            return 0;
        }
        break;
    case 'b':
        if (!PyBool_Check(value)) {
            return 0;
        }
        break;
    default: /* objects */
        if (!PyDict_CheckExact(value) && !PyList_CheckExact(value)) {
            return 0;
        }
    }
    if (column->rows > row) {
        return 0; /* two keys of one row for one column */
    }
    if (!add_nulls(column, row)) {
        return -1;
    }
    if (row % 8 == 0 && row / 8 >= column->bits.size && !add_zeros(&column->bits, 1)) {
        return -1;
    }
    if (column->type == 't') {
        if (!reserve(&column->data, size) || !reserve(&column->ends, 4)) {
            return -1;
        }
        memcpy(column->data.data + column->data.size, text, (size_t)size);
        column->data.size += size;
        int32_t end = (int32_t)column->data.size;
        memcpy(column->ends.data + column->ends.size, &end, 4);
        column->ends.size += 4;
    } else if (column->type == 'b') {
        flag = value == Py_True;
        if (!reserve(&column->data, 1)) {
            return -1;
        }
        column->data.data[column->data.size++] = flag;
    } else if (column->type == 'o') {
        if (PyList_Append(column->objects, value) < 0) {
            return -1;
        }
    } else if (!add_int(&column->data, number)) {
        return -1;
    }
    column->bits.data[row / 8] |= (char)(1 << (row % 8));
    column->rows = row + 1;
    return 1;
}
