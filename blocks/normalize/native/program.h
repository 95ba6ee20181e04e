/* Programs: the flat lists that a builder is made of, checked and kept. */
#pragma once

#include <Python.h>
#include <string.h>

#include "columns.h"

typedef struct {
    int column, node, table;
    int null; /* whether a null is nothing new here */
} Entry;

typedef struct {
    const char *text; /* of a key in the node's dict */
    Py_ssize_t size;
    int entry, is_plain; /* plain: no body needs escapes for it */
    int next;            /* the key that came after it last */
    uint64_t seen;       /* the last object that had it */
} Key;

typedef struct {
    PyObject *keys; /* a dict: the entry of each key */
    Key *known;     /* those keys, but for what no text of JSON can be */
    int known_count, first;
    int *places; /* where in `known` a key of some hash is, or -1; a power of two of them */
    uint32_t mask;
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
    Py_ssize_t from, to; /* the row that was refused last: its bytes in the body, or its number */
    uint64_t objects; /* how many a body brought, to tell one from another */
    uint32_t seed;
    Bytes later; /* what waits for Python */
    int busy;
} Builder;

/* Bodies are taken while other threads run: those have no business here then. */
static int is_free(const Builder *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "expected calls from one thread at a time");
    }
    return !self->busy;
}

/* Making and unmaking. */

static void builder_free(PyObject *object)
{
    Builder *self = (Builder *)object;
    for (int each = 0; self->columns && each < self->column_count; each++) {
        Column *column = &self->columns[each];
        drop_objects(column, 0);
        PyMem_RawFree(column->bits.data);
        PyMem_RawFree(column->data.data);
        PyMem_RawFree(column->ends.data);
    }
    for (int each = 0; self->nodes && each < self->node_count; each++) {
        Node *node = &self->nodes[each];
        Py_XDECREF(node->keys);
        PyMem_Free(node->known);
        PyMem_Free(node->places);
    }
    for (int each = 0; self->tables && each < self->table_count; each++) {
        PyMem_RawFree(self->tables[each].counts.data);
    }
    PyMem_RawFree(self->later.data);
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

/* Quick, and other in each process: nobody can know which keys would share a place. */
static uint32_t hash_of(uint32_t seed, const char *text, Py_ssize_t size)
{
    uint64_t hash = seed ^ ((uint64_t)size << 32), word;
    for (; size > 0; text += 8, size -= 8) {
        word = 0;
        memcpy(&word, text, size < 8 ? (size_t)size : 8);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

/* The place for a key: where it is in `known`, or the free place in `places` (-1) for it. */
static int find_key(const Builder *self, const Node *node, const char *text, Py_ssize_t size,
                    uint32_t *place)
{
    for (*place = hash_of(self->seed, text, size) & node->mask;; *place = (*place + 1) & node->mask) {
        int found = node->places[*place];
        if (found < 0 || (node->known[found].size == size
                          && memcmp(node->known[found].text, text, (size_t)size) == 0)) {
            return found;
        }
    }
}

static int index_keys(Builder *self, Node *node)
{
    PyObject *key, *value;
    Py_ssize_t at = 0, count = PyDict_GET_SIZE(node->keys);
    uint32_t room = 4, place;
    while (room < 2 * count) {
        room *= 2;
    }
    node->mask = room - 1;
    if ((node->known = many(count, sizeof(Key))) == NULL
        || (node->places = many(room, sizeof(int))) == NULL) {
        return 0;
    }
    memset(node->places, -1, room * sizeof(int));
    while (PyDict_Next(node->keys, &at, &key, &value)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(key, &size);
        if (text == NULL) { /* half a character */
            PyErr_Clear();
            continue;
        }
        int plain = 1;
        for (Py_ssize_t each = 0; each < size; each++) {
            plain &= (unsigned char)text[each] >= 0x20 && text[each] != '"' && text[each] != '\\';
        }
        find_key(self, node, text, size, &place);
        node->places[place] = node->known_count;
        node->known[node->known_count++]
            = (Key){text, size, (int)PyLong_AsLong(value), plain, 0, 0};
    }
    for (int each = 0; each < node->known_count; each++) {
        node->known[each].next = (each + 1) % node->known_count;
    }
    return 1;
}

static int fill_node(Builder *self, Node *node, PyObject *keys)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (!PyDict_CheckExact(keys)) {
        PyErr_SetString(PyExc_TypeError, "expected a dict of keys");
        return 0;
    }
    if ((node->keys = PyDict_Copy(keys)) == NULL) {
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
    return index_keys(self, node);
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
            PyErr_NoMemory();
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
    PyObject *secret = PyUnicode_FromString("keys");
    self->seed = secret ? (uint32_t)PyObject_Hash(secret) : 0;
    Py_XDECREF(secret);
    if (!secret || !self->columns || !self->entries || !self->nodes || !self->tables
        || !fill(self, columns, entries, nodes, tables)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *builder_refused(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_BuildValue("nn", ((Builder *)self)->from, ((Builder *)self)->to);
}

static PyObject *builder_rows(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((Builder *)self)->tables[0].rows);
}
