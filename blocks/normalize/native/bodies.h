/* Bodies: whole documents of JSON, taken by a builder while other threads run, or put back. */
#pragma once

#include <Python.h>

#include "values.h"

/* A record. Where it is refused is noted: bytes before the end of the body. */
static int take_record(Builder *self, Reading *body, Table *root, int depth)
{
    const char *start = body->at;
    int done = take_any(self, body, root->entry, root->rows, depth);
    root->rows += done == 1;
    if (done == 0) {
        self->from = body->end - start;
    }
    return done;
}

/* All records here: an array of objects, or one. */
static int take_root(Builder *self, Reading *body, int depth)
{
    Table *root = &self->tables[0];
    int done, next = *body->at == '[';
    if (!next) {
        return *body->at == '{' ? take_record(self, body, root, depth) : 0;
    }
    if (is_empty(body, ']')) {
        return 1;
    }
    for (; next == 1; next = more(body, ']')) {
        if (body->at >= body->end || *body->at != '{') {
            return 0; /* a row that is no object is not for us */
        }
        done = take_record(self, body, root, depth + 1);
        if (done != 1) {
            return done;
        }
    }
    return next == 0;
}

/* All records of a body that has them below so many keys of `path`. After a refusal it goes on: where
 * another of these keys follows, the record that was refused is none of those that count. */
static int take_records(Builder *self, Reading *body, const Text *path, int keys, int depth)
{
    int next, found = 0, good = 1;
    body->at = blank(body->at, body->end);
    if (body->at == body->end) {
        return 0;
    }
    if (keys == 0) {
        return take_root(self, body, depth);
    }
    if (*body->at != '{' || is_empty(body, '}')) {
        return 0;
    }
    do {
        Text key;
        if (body->at == body->end || *body->at != '"'
            || (body->at = text_at(body->at + 1, body->end, &key)) == NULL || key.escaped) {
            self->from = 0; /* whatever it is */
            return 0;
        }
        body->at = blank(body->at, body->end);
        if (body->at == body->end || *body->at != ':') {
            return 0;
        }
        body->at = blank(body->at + 1, body->end);
        if (key.size != path->size || memcmp(key.start, path->start, (size_t)key.size) != 0) {
            body->at = any_at(body->at, body->end, depth);
            if (body->at == NULL) {
                return 0;
            }
        } else {
            const char *start = body->at;
            if (found) {
                self->from = 0;
                return 0;
            }
            found = 1;
            good = take_records(self, body, path + 1, keys - 1, depth + 1);
            if (good < 0) {
                return good;
            }
            body->at = good ? body->at : any_at(start, body->end, depth);
            if (body->at == NULL) {
                return 0;
            }
        }
        next = more(body, '}');
    } while (next == 1);
    return found && good && next == 0;
}

/* The bytes of the record that was refused, if there is one, and all is JSON. */
static void find_refused(Builder *self, const char *start, const char *end)
{
    const char *at = end - self->from, *to = NULL;
    if (self->from > 0) {
        const char *last = any_at(blank(start, end), end, 0);
        to = last && blank(last, end) == end ? any_at(at, end, 0) : NULL;
    }
    self->from = to ? at - start : 0;
    self->to = to ? to - start : 0;
}

/* What waited for Python. */
static int take_later(Builder *self)
{
    for (Py_ssize_t at = 0; at < self->later.size; at += sizeof(Later)) {
        Later later;
        memcpy(&later, self->later.data + at, sizeof later);
        Column *column = &self->columns[later.column];
        char *place = column->data.data + 8 * later.row;
        if (column->type == 'o') {
            int64_t word = (int64_t)(intptr_t)PyBytes_FromStringAndSize(later.start, later.size);
            memcpy(place, &word, 8);
            if (word == 0) {
                return -1;
            }
            continue;
        }
        /* What follows a number in a body is none of it, and after the body is a zero. */
        double real = PyOS_string_to_double(later.start, (char **)&later.start, NULL);
        if (PyErr_Occurred()) {
            return -1;
        }
        if (!isfinite(real)) {
            return 0;
        }
        memcpy(place, &real, 8);
    }
    return 1;
}

static PyObject *builder_read(PyObject *object, PyObject *args)
{
    Builder *self = (Builder *)object;
    Text path[DEEPEST];
    PyObject *source, *keys;
    if (!PyArg_ParseTuple(args, "SO!", &source, &PyTuple_Type, &keys) || !is_free(self)) {
        return NULL;
    }
    self->from = self->to = 0;
    int count = (int)PyTuple_GET_SIZE(keys);
    if (count > DEEPEST) {
        Py_RETURN_FALSE;
    }
    for (int each = 0; each < count; each++) {
        Py_ssize_t size;
        path[each].start = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(keys, each), &size);
        if (path[each].start == NULL) { /* half a character is in no body */
            if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                return NULL;
            }
            PyErr_Clear();
            Py_RETURN_FALSE;
        }
        path[each].size = size;
    }
    Reading body = {PyBytes_AS_STRING(source), NULL};
    body.end = body.at + PyBytes_GET_SIZE(source);
    keep(self);
    self->later.size = 0;
    self->busy = 1;
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = take_records(self, &body, path, count, 0);
    done = done == 1 ? blank(body.at, body.end) == body.end : done;
    if (done == 0) {
        find_refused(self, PyBytes_AS_STRING(source), body.end);
    }
    Py_END_ALLOW_THREADS
    self->busy = 0;
    return ended(self, done == 1 ? take_later(self) : done);
}
