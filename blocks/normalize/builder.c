/* Builders: rows, as structs or dicts, into the buffers of Arrow arrays.
 *
 * What `builder.py` would do in Python for each value, done for many rows in one call. A builder
 * is made of four flat lists that refer to each other by number (-1: none):
 *
 *   tables   the entry for the rows of each; the first is the root
 *   entries  where a value goes: a scalar to a column, an object to a node, a list to a table
 *   nodes    the entry for each field of a struct, or for each key of a dict
 *   columns  the table each belongs to and the type of its values
 *
 * `append` takes all rows or none: a value that fits nowhere (another type, a key not known, an
 * integer beyond 64 bits) puts everything back as it was, and the caller takes the rows its own
 * way. No code of Python's runs inside of it: only exact types of Python are looked at.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if PY_VERSION_HEX < 0x030c0000
#include <structmember.h>
#define Py_READONLY READONLY
#endif

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

typedef struct {
    int column, node, table;
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

static int digits(const char *text, int count, int64_t *value)
{
    *value = 0;
    for (int place = 0; place < count; place++) {
        if (text[place] < '0' || text[place] > '9') {
            return 0;
        }
        *value = *value * 10 + (text[place] - '0');
    }
    return 1;
}

/* The time of a text like 2024-01-31T09:30:00.123456+02:00 in microseconds since 1970, UTC. The
 * fraction has at most six digits; without an offset it is UTC. Returns 0 for any other text. */
static int instant(const char *text, Py_ssize_t size, int64_t *value)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, hour, minute, second, micros = 0, offset = 0;
    if (size < 19 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':'
        || text[16] != ':' || !digits(text, 4, &year) || !digits(text + 5, 2, &month)
        || !digits(text + 8, 2, &day) || !digits(text + 11, 2, &hour)
        || !digits(text + 14, 2, &minute) || !digits(text + 17, 2, &second)) {
        return 0;
    }
    if (year < 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) {
        return 0;
    }
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + (month == 2 && leap)) {
        return 0;
    }
    Py_ssize_t at = 19;
    if (at < size && text[at] == '.') {
        int64_t unit = 100000, digit;
        for (at++; at < size && digits(text + at, 1, &digit); at++, unit /= 10) {
            if (unit == 0) {
                return 0;
            }
            micros += digit * unit;
        }
        if (at == 20) {
            return 0;
        }
    }
    if (at + 6 == size && (text[at] == '+' || text[at] == '-') && text[at + 3] == ':') {
        int64_t hours, minutes;
        if (!digits(text + at + 1, 2, &hours) || !digits(text + at + 4, 2, &minutes) || hours > 23
            || minutes > 59) {
            return 0;
        }
        offset = (hours * 60 + minutes) * (text[at] == '-' ? -60 : 60);
    } else if (!(at == size || (at + 1 == size && text[at] == 'Z'))) {
        return 0;
    }
    /* Days since 1970 in the Gregorian calendar, counted in years that begin in March. */
    int64_t years = month > 2 ? year : year - 1;
    int64_t days = 365 * years + years / 4 - years / 100 + years / 400
                   + (153 * ((month + 9) % 12) + 2) / 5 + day - 719469;
    int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset;
    if (seconds < INT64_C(-62135596800) || seconds > INT64_C(253402300799)) {
        return 0; /* the years 1 to 9999 */
    }
    *value = seconds * 1000000 + micros;
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

static int take(Builder *self, int number, Py_ssize_t row, PyObject *value);

static int take_struct(Builder *self, const Node *node, Py_ssize_t row, PyObject *value)
{
    if (value == node->empty) {
        return 1;
    }
    for (int each = 0; each < node->field_count; each++) {
        const Field *field = &node->fields[each];
        PyObject *found = *(PyObject **)((char *)value + field->offset);
        if (found == NULL) {
            return 0;
        }
        if (found == Py_None) {
            continue;
        }
        int done = take(self, field->entry, row, found);
        if (done != 1) {
            return done;
        }
    }
    return 1;
}

static int take_dict(Builder *self, const Node *node, Py_ssize_t row, PyObject *value)
{
    Py_ssize_t at = 0;
    PyObject *key, *found;
    while (PyDict_Next(value, &at, &key, &found)) {
        if (!PyUnicode_CheckExact(key)) {
            return 0;
        }
        PyObject *entry = PyDict_GetItemWithError(node->keys, key);
        if (entry == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        if (found == Py_None) {
            continue;
        }
        int done = take(self, (int)PyLong_AsLong(entry), row, found);
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
        int done = take(self, table->entry, table->rows, PyList_GET_ITEM(value, each));
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
    if (entry->node >= 0) {
        const Node *node = &self->nodes[entry->node];
        if (type == node->type) {
            return take_struct(self, node, row, value);
        }
        if (type == &PyDict_Type && node->keys != NULL) {
            return take_dict(self, node, row, value);
        }
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

static int put_back(Builder *self)
{
    int done = 0;
    for (int each = 0; each < self->column_count; each++) {
        Column *column = &self->columns[each];
        Py_ssize_t rows = column->rows = column->rows_before;
        column->nulls = column->nulls_before;
        column->data.size = column->size_before;
        if (column->type == 't') {
            column->ends.size = 4 * rows + 4;
        }
        if (column->type == 'o') {
            Py_ssize_t size = PyList_GET_SIZE(column->objects);
            done |= PyList_SetSlice(column->objects, rows, size, NULL);
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
    return done;
}

static PyObject *builder_append(PyObject *object, PyObject *rows)
{
    Builder *self = (Builder *)object;
    if (!PyList_CheckExact(rows)) {
        PyErr_SetString(PyExc_TypeError, "expected a list of rows");
        return NULL;
    }
    keep(self);
    int done = 1;
    Table *root = &self->tables[0];
    for (Py_ssize_t each = 0; done == 1 && each < PyList_GET_SIZE(rows); each++) {
        PyObject *row = PyList_GET_ITEM(rows, each);
        /* A row that is no object, null among them, is not for us. */
        done = row == Py_None ? 0 : take(self, root->entry, root->rows, row);
        root->rows += done == 1;
    }
    if (done == 1) {
        Py_RETURN_TRUE;
    }
    if (put_back(self) < 0 || done < 0) {
        return NULL;
    }
    Py_RETURN_FALSE;
}

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

static PyObject *column_buffers(Column *column, PyObject *allocate)
{
    PyObject *bits = NULL, *ends = NULL, *data = NULL, *made = NULL;
    if (column->type == 'o') {
        return Py_NewRef(column->objects);
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

static int begin_anew(Builder *self)
{
    for (int each = 0; each < self->column_count; each++) {
        Column *column = &self->columns[each];
        column->rows = column->nulls = 0;
        column->bits.size = column->data.size = 0;
        column->ends.size = column->type == 't' ? 4 : 0;
        if (column->type == 'o') {
            Py_XSETREF(column->objects, PyList_New(0));
            if (column->objects == NULL) {
                return 0;
            }
        }
    }
    for (int each = 0; each < self->table_count; each++) {
        self->tables[each].rows = self->tables[each].counts.size = 0;
    }
    return 1;
}

static PyObject *builder_finish(PyObject *object, PyObject *allocate)
{
    Builder *self = (Builder *)object;
    PyObject *columns = PyList_New(self->column_count);
    PyObject *tables = PyList_New(self->table_count);
    int good = columns != NULL && tables != NULL;
    for (int each = 0; good && each < self->column_count; each++) {
        Column *column = &self->columns[each];
        PyObject *made = NULL;
        if (add_nulls(column, self->tables[column->table].rows)) {
            made = column_buffers(column, allocate);
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
    good = begin_anew(self) && good;
    PyObject *both = good ? PyTuple_Pack(2, columns, tables) : NULL;
    Py_XDECREF(columns);
    Py_XDECREF(tables);
    return both;
}

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
        if (!PyArg_ParseTuple(PyList_GET_ITEM(entries, each), "iii", &entry->column, &entry->node,
                              &entry->table)
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

static PyMethodDef functions[] = {
    {"turn", turn, METH_O, "For each key of dicts the rows that have it, and their values."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"append", builder_append, METH_O, "Take all `rows` and return True, or none."},
    {"finish", builder_finish, METH_O,
     "The buffers of all columns, and of all tables their rows and counts; begins anew."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"rows", builder_rows, NULL, "Root rows taken.", NULL},
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
