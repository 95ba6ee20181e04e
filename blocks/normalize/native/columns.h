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
    Bytes bits, data, ends; /* the data of objects are references, NULL for null */
    Py_ssize_t rows_before, nulls_before, size_before;
} Column;

/* Growing. All return 0 when memory is short; the error is not set, for Python may not be at hand. */

static int reserve(Bytes *bytes, Py_ssize_t more)
{
    if (bytes->data != NULL && bytes->size + more <= bytes->room) {
        return 1;
    }
    Py_ssize_t room = bytes->room * 2 > bytes->size + more ? bytes->room * 2 : bytes->size + more;
    room = room < 1024 ? 1024 : room;
    char *data = PyMem_RawRealloc(bytes->data, (size_t)room);
    if (data == NULL) {
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
    if (column->type == 't') {
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

/* Whatever takes a value returns 1: done, 0: it does not fit, -1: memory is short. */

/* Room for a value in this row, and that it is none of null. */
static int settle(Column *column, Py_ssize_t row)
{
    if (column->rows > row) {
        return 0; /* two keys of one row for one column */
    }
    if (!add_nulls(column, row)) {
        return -1;
    }
    if (row % 8 == 0 && row / 8 >= column->bits.size && !add_zeros(&column->bits, 1)) {
        return -1;
    }
    column->bits.data[row / 8] |= (char)(1 << (row % 8));
    column->rows = row + 1;
    return 1;
}

/* A value of eight bytes: an integer, the bits of a float, a time, a reference. */
static int put_word(Column *column, Py_ssize_t row, int64_t value)
{
    int done = settle(column, row);
    return done == 1 && !add_int(&column->data, value) ? -1 : done;
}

static int put_flag(Column *column, Py_ssize_t row, int flag)
{
    int done = settle(column, row);
    if (done == 1) {
        if (!reserve(&column->data, 1)) {
            return -1;
        }
        column->data.data[column->data.size++] = (char)flag;
    }
    return done;
}

/* Room for so many bytes of text in this row, for `end_text` to say how many they are. */
static int begin_text(Column *column, Py_ssize_t row, Py_ssize_t size)
{
    if (size > INT32_MAX / 2 - column->data.size) {
        return 0;
    }
    int done = settle(column, row);
    return done == 1 && (!reserve(&column->data, size) || !reserve(&column->ends, 4)) ? -1 : done;
}

static void end_text(Column *column, Py_ssize_t size)
{
    column->data.size += size;
    int32_t end = (int32_t)column->data.size;
    memcpy(column->ends.data + column->ends.size, &end, 4);
    column->ends.size += 4;
}

/* An integer; in a column of floats only as far as a float stands for no other one. */
static int put_integer(Column *column, Py_ssize_t row, int64_t value)
{
    if (column->type == 'd') {
        if (value > INT64_C(9007199254740992) || value < -INT64_C(9007199254740992)) {
            return 0;
        }
        double real = (double)value;
        memcpy(&value, &real, 8);
    } else if (column->type != 'i') {
        return 0;
    }
    return put_word(column, row, value);
}

static int put_real(Column *column, Py_ssize_t row, double real)
{
    int64_t bits;
    if (column->type != 'd' || !isfinite(real)) {
        return 0;
    }
    memcpy(&bits, &real, 8);
    return put_word(column, row, bits);
}

/* A text without escapes, or a time that one says. */
static int put_text(Column *column, Py_ssize_t row, const char *text, Py_ssize_t size)
{
    int64_t micros;
    if (column->type == 's') {
        return instant(text, size, &micros) ? put_word(column, row, micros) : 0;
    }
    int done = column->type == 't' ? begin_text(column, row, size) : 0;
    if (done == 1) {
        memcpy(column->data.data + column->data.size, text, (size_t)size);
        end_text(column, size);
    }
    return done;
}

/* A value of Python. */
static int put(Column *column, Py_ssize_t row, PyObject *value)
{
    if (PyUnicode_CheckExact(value)) {
        Py_ssize_t size;
        if (PyUnicode_IS_COMPACT_ASCII(value)) {
            return put_text(column, row, PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value));
        }
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        if (text == NULL) { /* half a character */
            int odd = PyErr_ExceptionMatches(PyExc_UnicodeEncodeError);
            PyErr_Clear();
            return odd ? 0 : -1;
        }
        return put_text(column, row, text, size);
    }
    if (PyLong_CheckExact(value)) {
        int overflow;
        int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
        return overflow ? 0 : put_integer(column, row, number);
    }
    if (PyFloat_CheckExact(value)) {
        return put_real(column, row, PyFloat_AS_DOUBLE(value));
    }
    if (PyBool_Check(value)) {
        return column->type == 'b' ? put_flag(column, row, value == Py_True) : 0;
    }
    if (column->type != 'o' || (!PyDict_CheckExact(value) && !PyList_CheckExact(value))) {
        return 0;
    }
    int done = put_word(column, row, (int64_t)(intptr_t)value);
    if (done == 1) {
        Py_INCREF(value);
    }
    return done;
}

/* Let go of the objects from this row on. */
static void drop_objects(Column *column, Py_ssize_t first)
{
    for (Py_ssize_t row = first; column->type == 'o' && row < column->data.size / 8; row++) {
        int64_t word;
        memcpy(&word, column->data.data + 8 * row, 8);
        Py_XDECREF((PyObject *)(intptr_t)word);
    }
}
