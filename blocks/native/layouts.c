/* Layouts: texts that are times in one format, as microseconds.
 *
 * A format is two texts as long as its own, `model` and `marks`. A mark tells what a byte is: the
 * letter of a directive of strptime (Y y m d H I M S) for a digit of that number; a quote for the
 * very byte in the model; b, a or p for a letter of one of the names given (of months, of days of
 * the week, of halves of the day), all of a kind of one length; T for "T", "t" or a space. What may
 * follow is said by `tail`: f, 1 to 6 digits; a point, nothing or a point and digits, of which
 * those after the sixth are cut off; then z, an offset, or Z, where that may also be a lower z.
 *
 * What strptime would read in another way, or not at all, is not read: then there is no result, and
 * the caller takes the column its own way.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "days.h"

enum { WORDS = 8, WIDEST = 8 * WORDS, ZERO = WIDEST, ONE = WIDEST + 2, VALUES = WIDEST + 4 };

typedef struct {
    uint64_t model[WORDS], fixed[WORDS], digits[WORDS];
    int words, width;
    int place[128]; /* of each mark: the first byte that has it */
    PyObject *names;
    const char *tail;
    int date; /* of the last text, and its days */
    int64_t days;
} Layout;

static int read_layout(Layout *layout, const char *model, const char *marks, Py_ssize_t width)
{
    if (width < 1 || width > WIDEST) {
        return 0;
    }
    unsigned char texts[3][WIDEST] = {{0}};
    for (int mark = 0; mark < 128; mark++) {
        layout->place[mark] = -1;
    }
    for (int at = (int)width - 1; at >= 0; at--) {
        unsigned char mark = (unsigned char)marks[at];
        if (mark > 127) {
            return 0;
        }
        layout->place[mark] = at;
        texts[0][at] = (unsigned char)model[at];
        texts[1][at] = mark == '\'' ? 255 : 0;
        texts[2][at] = strchr("YymdHIMS", mark) ? 255 : 0;
    }
    memcpy(layout->model, texts[0], WIDEST);
    memcpy(layout->fixed, texts[1], WIDEST);
    memcpy(layout->digits, texts[2], WIDEST);
    layout->date = 0;
    layout->width = (int)width;
    layout->words = (int)(width + 7) / 8;
    return 1;
}

/* Which of the names is at `text`; -1 if none is. */
static Py_ssize_t name(const char *text, PyObject *names)
{
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(names); place++) {
        PyObject *each = PyTuple_GET_ITEM(names, place);
        const char *letters = PyBytes_AS_STRING(each);
        if (*text == *letters && !memcmp(text, letters, PyBytes_GET_SIZE(each))) {
            return place;
        }
    }
    return -1;
}

static int two(const char *text)
{
    unsigned tens = (unsigned)(text[0] - '0'), ones = (unsigned)(text[1] - '0');
    return tens > 9 || ones > 9 ? -1 : (int)(tens * 10 + ones);
}

/* The fraction and the offset that a text ends with, in microseconds; 0 if that is not all. */
static int ending(const char *at, const char *end, const char *tail, int64_t *micros)
{
    int64_t unit = 100000;
    if (*tail == 'f' || (*tail == '.' && at < end && *at == '.' && at++)) {
        const char *first = at;
        for (; at < end && (unsigned)(*at - '0') <= 9; at++, unit /= 10) {
            *micros += (*at - '0') * unit;
        }
        if (at == first || (*tail == 'f' && at - first > 6)) {
            return 0;
        }
    }
    tail += *tail == 'f' || *tail == '.';
    if (!*tail) {
        return at == end;
    }
    if (end - at == 1) {
        return *at == 'Z' || (*tail == 'Z' && *at == 'z');
    }
    int colon = end - at == 6 && at[3] == ':';
    if ((end - at != 5 && !colon) || (*at != '+' && *at != '-')) {
        return 0;
    }
    int hours = two(at + 1), minutes = two(at + 3 + colon);
    *micros -= (int64_t)(hours * 60 + minutes) * 60000000 * (*at == '-' ? -1 : 1);
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

/* The microseconds since 1970 of one text, which has no fewer than the layout's bytes, with those
 * of whole words behind it readable; 0 if it is not in the format. */
static int moment(const char *text, const char *end, Layout *layout, int64_t *value)
{
    const int *place = layout->place;
    unsigned char values[VALUES] = {0};
    uint64_t wrong = 0;
    for (int word = 0; word < layout->words; word++) {
        uint64_t bytes;
        memcpy(&bytes, text + 8 * word, 8);
        bytes ^= layout->model[word];
        wrong |= bytes & layout->fixed[word];
        bytes &= layout->digits[word];
        /* A byte above 9 has its highest bit now, or gets it by adding 118. */
        wrong |= (bytes | (bytes + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
        memcpy(values + 8 * word, &bytes, 8);
    }
    if (wrong) {
        return 0;
    }
    values[ONE + 1] = 1;
#define NUMBER(at) (values[at] * 10 + values[(at) + 1])
#define PART(mark, otherwise) NUMBER(place[mark] < 0 ? otherwise : place[mark])
    int year, month, day = PART('d', ONE), hour = PART('H', ZERO);
    int minute = PART('M', ZERO), second = PART('S', ZERO);
    if (place['Y'] >= 0) {
        year = NUMBER(place['Y']) * 100 + NUMBER(place['Y'] + 2);
    } else {
        year = PART('y', ZERO);
        year += year < 69 ? 2000 : 1900; /* POSIX, as Python has it */
    }
    month = PART('m', ONE);
    if (place['b'] >= 0) {
        month = (int)name(text + place['b'], PyTuple_GET_ITEM(layout->names, 0)) + 1;
    }
    if (place['a'] >= 0 && name(text + place['a'], PyTuple_GET_ITEM(layout->names, 1)) < 0) {
        return 0;
    }
    if (place['I'] >= 0) {
        hour = NUMBER(place['I']);
        Py_ssize_t half = -1;
        if (place['p'] >= 0) {
            half = name(text + place['p'], PyTuple_GET_ITEM(layout->names, 2));
        }
        if (half < 0 || hour < 1 || hour > 12) {
            return 0;
        }
        hour = hour % 12 + (half ? 12 : 0);
    }
    if (place['T'] >= 0 && !memchr("Tt ", text[place['T']], 3)) {
        return 0;
    }
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59) {
        return 0;
    }
    /* Rows come by time: mostly the day is that of the row before. */
    int date = year * 512 + month * 32 + day;
    if (date != layout->date) {
        if (!days(year, month, day, &layout->days)) {
            return 0;
        }
        layout->date = date;
    }
    *value = layout->days * 86400 + hour * 3600 + minute * 60 + second;
    *value *= 1000000;
    if (*layout->tail) {
        return ending(text + layout->width, end, layout->tail, value)
               && *value >= INT64_C(-62135596800000000)
               && *value < INT64_C(253402300800000000); /* the years 1 to 9999 */
    }
    return 1;
}

/* Whether the names are three tuples of bytes that end within the layout. */
static int are_names(const Layout *layout)
{
    int good = PyTuple_GET_SIZE(layout->names) == 3;
    for (Py_ssize_t place = 0; good && place < 3; place++) {
        PyObject *some = PyTuple_GET_ITEM(layout->names, place);
        int room = layout->width - layout->place[(int)"bap"[place]];
        good = PyTuple_CheckExact(some);
        for (Py_ssize_t each = 0; good && each < PyTuple_GET_SIZE(some); each++) {
            PyObject *letters = PyTuple_GET_ITEM(some, each);
            good = PyBytes_CheckExact(letters) && PyBytes_GET_SIZE(letters) <= room;
        }
    }
    return good;
}

/* Arrow's offsets of texts, of 32 or 64 bits. */
static int64_t border(const Py_buffer *offsets, int wide, Py_ssize_t place)
{
    return wide ? ((const int64_t *)offsets->buf)[place] : ((const int32_t *)offsets->buf)[place];
}

static int fill(int64_t *values, const Py_buffer *offsets, const Py_buffer *texts,
                Py_ssize_t first, Py_ssize_t count, int wide, Layout *layout)
{
    char last[WIDEST + 1];
    for (Py_ssize_t place = 0; place < count; place++) {
        int64_t low = border(offsets, wide, first + place);
        int64_t high = border(offsets, wide, first + place + 1);
        if (low < 0 || high > texts->len || high - low < layout->width
            || (!*layout->tail && high - low != layout->width)) {
            return 0;
        }
        const char *text = (const char *)texts->buf + low, *end = text + (high - low);
        if (texts->len - low < 8 * layout->words) {
            /* Whole words would end behind the buffer. */
            memcpy(last, text, (size_t)(high - low));
            memset(last + (high - low), 0, (size_t)(WIDEST - (high - low)));
            text = last;
            end = last + (high - low);
        }
        if (!moment(text, end, layout, values + place)) {
            return 0;
        }
    }
    return 1;
}

static PyObject *clocks(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_buffer offsets, texts;
    Py_ssize_t first, count, width, size;
    int wide;
    const char *model, *marks;
    Layout layout;
    if (!PyArg_ParseTuple(arguments, "y*y*nnpy#y#sO!", &offsets, &texts, &first, &count, &wide,
                          &model, &width, &marks, &size, &layout.tail, &PyTuple_Type,
                          &layout.names)) {
        return NULL;
    }
    PyObject *found = NULL;
    if (first < 0 || count < 0 || offsets.len / (wide ? 8 : 4) - first - 1 < count) {
        PyErr_SetString(PyExc_ValueError, "expected an offset for each text, and one more");
    } else if (width != size || !read_layout(&layout, model, marks, width)) {
        PyErr_SetString(PyExc_ValueError, "expected a mark for each byte of a model of 1 to 64");
    } else if (!are_names(&layout)) {
        PyErr_SetString(PyExc_TypeError, "expected three tuples of bytes, with marks for them");
    } else {
        found = PyBytes_FromStringAndSize(NULL, count * 8);
    }
    if (found
        && !fill((int64_t *)PyBytes_AS_STRING(found), &offsets, &texts, first, count, wide,
                 &layout)) {
        Py_SETREF(found, Py_NewRef(Py_None));
    }
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&texts);
    return found;
}

static PyMethodDef functions[] = {
    {"clocks", clocks, METH_VARARGS,
     "clocks(offsets, texts, first, count, wide, model, marks, tail, names): the microseconds of\n"
     "each text, as the bytes of integers of 64 bits; None if one is not in the format."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_layouts", "Texts that are times in one format, in C.", 0, functions,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__layouts(void)
{
    return PyModuleDef_Init(&module);
}
