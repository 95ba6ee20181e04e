/* Programs: the flat lists that a builder is made of, checked and kept. */
#pragma once

#include <Python.h>
#include <string.h>

#include "columns.h"

#if PY_VERSION_HEX < 0x030c0000
#include <structmember.h>
#endif

typedef struct {
    int column, node, table;
    int null; /* whether a null is nothing new here */
} Entry;

typedef struct {
    Py_ssize_t offset;
    int entry;
} Field;

typedef struct {
    PyTypeObject *type; /* of its structs, or NULL */
    PyObject *empty;    /* the struct that stands for an absent object */
    Field *fields;
    int field_count;
    PyObject *keys; /* a dict: the entry of each key */
} Node;

typedef struct {
    int entry;
    Py_ssize_t rows, rows_before;
    Bytes counts; /* how many elements each row above has, as int64 */
    Py_ssize_t counts_before;
} Table;

typedef struct {
    PyObject_HEAD
    Column *columns;
    Entry *entries;
    Node *nodes;
    Table *tables;
    int column_count, entry_count, node_count, table_count;
} Builder;

/* Making and unmaking. */

static void builder_free(PyObject *object)
{
    Builder *self = (Builder *)object;
    for (int each = 0; self->columns && each < self->column_count; each++) {
        Column *column = &self->columns[each];
        PyMem_RawFree(column->bits.data);
        PyMem_RawFree(column->data.data);
        PyMem_RawFree(column->ends.data);
        Py_XDECREF(column->objects);
    }
    for (int each = 0; self->nodes && each < self->node_count; each++) {
        Node *node = &self->nodes[each];
        Py_XDECREF(node->type);
        Py_XDECREF(node->empty);
        Py_XDECREF(node->keys);
        PyMem_Free(node->fields);
    }
    for (int each = 0; self->tables && each < self->table_count; each++) {
        PyMem_RawFree(self->tables[each].counts.data);
    }
    PyMem_Free(self->columns);
    PyMem_Free(self->entries);
    PyMem_Free(self->nodes);
    PyMem_Free(self->tables);
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(object);
    Py_DECREF(type);
}

static void *many(Py_ssize_t count, size_t size)
{
    void *made = PyMem_Calloc((size_t)(count ? count : 1), size);
    if (made == NULL) {
        PyErr_NoMemory();
    }
    return made;
}

static int within(int number, int least, int count)
{
    if (number < least || number >= count) {
        PyErr_Format(PyExc_ValueError, "expected a number below %d, got %d", count, number);
        return 0;
    }
    return 1;
}

/* Where a struct keeps the field of this descriptor. */
static Py_ssize_t offset_of(PyObject *descriptor, PyTypeObject *type)
{
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)
        || PyDescr_TYPE(descriptor) != type) {
        PyErr_SetString(PyExc_TypeError, "expected a member of the struct");
        return -1;
    }
    PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
    if (member->offset < (Py_ssize_t)sizeof(PyObject)
        || member->offset + (Py_ssize_t)sizeof(PyObject *) > type->tp_basicsize) {
        PyErr_SetString(PyExc_ValueError, "expected a member inside of the struct");
        return -1;
    }
    return member->offset;
}

static int fill_node(Builder *self, Node *node, PyObject *spec)
{
    PyObject *type, *empty, *fields, *keys;
    if (!PyArg_ParseTuple(spec, "OOO!O", &type, &empty, &PyList_Type, &fields, &keys)) {
        return 0;
    }
    if (type != Py_None) {
        if (!PyType_Check(type) || !Py_IS_TYPE(empty, (PyTypeObject *)type)) {
            PyErr_SetString(PyExc_TypeError, "expected a type and one of its instances");
            return 0;
        }
        node->type = (PyTypeObject *)Py_NewRef(type);
        node->empty = Py_NewRef(empty);
        Py_ssize_t count = PyList_GET_SIZE(fields);
        if ((node->fields = many(count, sizeof(Field))) == NULL) {
            return 0;
        }
        for (Py_ssize_t each = 0; each < count; each++) {
            PyObject *descriptor;
            int entry;
            if (!PyArg_ParseTuple(PyList_GET_ITEM(fields, each), "Oi", &descriptor, &entry)
                || !within(entry, 0, self->entry_count)) {
                return 0;
            }
            Py_ssize_t offset = offset_of(descriptor, node->type);
            if (offset < 0) {
                return 0;
            }
            node->fields[node->field_count++] = (Field){offset, entry};
        }
    }
    if (keys != Py_None) {
        PyObject *key, *value;
        Py_ssize_t at = 0;
        if (!PyDict_CheckExact(keys) || (node->keys = PyDict_Copy(keys)) == NULL) {
            PyErr_SetString(PyExc_TypeError, "expected a dict of keys");
            return 0;
        }
        while (PyDict_Next(node->keys, &at, &key, &value)) {
            long entry = PyLong_AsLong(value);
            if (!PyUnicode_CheckExact(key) || PyErr_Occurred()
                || !within((int)entry, 0, self->entry_count)) {
                if (!PyErr_Occurred()) {
                    PyErr_SetString(PyExc_TypeError, "expected texts as keys");
                }
                return 0;
            }
        }
    }
    return 1;
}

static int fill(Builder *self, PyObject *columns, PyObject *entries, PyObject *nodes,
                PyObject *tables)
{
    for (int each = 0; each < self->column_count; each++) {
        Column *column = &self->columns[each];
        int type;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(columns, each), "Ci", &type, &column->table)
            || !within(column->table, 0, self->table_count)) {
            return 0;
        }
        if (strchr("tidbso", type) == NULL || type == 0) {
            PyErr_SetString(PyExc_ValueError, "expected a type among t, i, d, b, s, o");
            return 0;
        }
        column->type = (char)type;
        if (type == 't' && !add_zeros(&column->ends, 4)) {
            return 0;
        }
        if (type == 'o' && (column->objects = PyList_New(0)) == NULL) {
            return 0;
        }
    }
    for (int each = 0; each < self->entry_count; each++) {
        Entry *entry = &self->entries[each];
        if (!PyArg_ParseTuple(PyList_GET_ITEM(entries, each), "iiip", &entry->column, &entry->node,
                              &entry->table, &entry->null)
            || !within(entry->column, -1, self->column_count)
            || !within(entry->node, -1, self->node_count)
            || !within(entry->table, -1, self->table_count)) {
            return 0;
        }
    }
    for (int each = 0; each < self->node_count; each++) {
        if (!fill_node(self, &self->nodes[each], PyList_GET_ITEM(nodes, each))) {
            return 0;
        }
    }
    for (int each = 0; each < self->table_count; each++) {
        long entry = PyLong_AsLong(PyList_GET_ITEM(tables, each));
        if (PyErr_Occurred() || !within((int)entry, 0, self->entry_count)) {
            return 0;
        }
        self->tables[each].entry = (int)entry;
    }
    return 1;
}

static PyObject *builder_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *columns, *entries, *nodes, *tables;
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyList_Type, &columns, &PyList_Type, &entries,
                          &PyList_Type, &nodes, &PyList_Type, &tables)) {
        return NULL;
    }
    if (PyList_GET_SIZE(tables) == 0 || PyList_GET_SIZE(columns) > 1 << 20
        || PyList_GET_SIZE(entries) > 1 << 20 || PyList_GET_SIZE(nodes) > 1 << 20) {
        PyErr_SetString(PyExc_ValueError, "expected a table, and at most a million of each");
        return NULL;
    }
    Builder *self = (Builder *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->column_count = (int)PyList_GET_SIZE(columns);
    self->entry_count = (int)PyList_GET_SIZE(entries);
    self->node_count = (int)PyList_GET_SIZE(nodes);
    self->table_count = (int)PyList_GET_SIZE(tables);
    self->columns = many(self->column_count, sizeof(Column));
    self->entries = many(self->entry_count, sizeof(Entry));
    self->nodes = many(self->node_count, sizeof(Node));
    self->tables = many(self->table_count, sizeof(Table));
    if (!self->columns || !self->entries || !self->nodes || !self->tables
        || !fill(self, columns, entries, nodes, tables)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *builder_rows(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((Builder *)self)->tables[0].rows);
}
