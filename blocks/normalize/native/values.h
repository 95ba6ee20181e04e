/* Values: what a body of JSON has, taken by a builder without a Python value made of it.
 *
 * Other threads run meanwhile. What only Python can do, a float of many digits, an object kept
 * whole, is noted for later.
 */
#pragma once

#include <Python.h>

#include "json.h"
#include "rows.h"

#define LONGEST 512 /* of a key or a time with escapes, in bytes */

typedef struct {
    const char *at, *end;
} Reading;

typedef struct {
    int column;
    Py_ssize_t row;
    const char *start;
    Py_ssize_t size;
} Later;

/* As with rows, all that takes a value returns 1: done, 0: it does not fit, -1: memory is short. */
static int take_any(Builder *self, Reading *body, int number, Py_ssize_t row, int depth);

static int add_later(Builder *self, int column, Py_ssize_t row, const char *start, Py_ssize_t size)
{
    Later later = {column, row, start, size};
    int done = reserve(&self->later, sizeof later) ? put_word(&self->columns[column], row, 0) : -1;
    if (done == 1) {
        memcpy(self->later.data + self->later.size, &later, sizeof later);
        self->later.size += sizeof later;
    }
    return done;
}

static int take_text(Column *column, Reading *body, Py_ssize_t row)
{
    Text text;
    body->at = text_at(body->at + 1, body->end, &text);
    if (body->at == NULL) {
        return 0;
    }
    if (!text.escaped) {
        return put_text(column, row, text.start, (Py_ssize_t)text.size);
    }
    if (column->type == 's' && text.size <= LONGEST) {
        char plain[LONGEST];
        return put_text(column, row, plain, (Py_ssize_t)written(&text, plain));
    }
    int done = column->type == 't' ? begin_text(column, row, (Py_ssize_t)text.size) : 0;
    if (done == 1) {
        end_text(column, (Py_ssize_t)written(&text, column->data.data + column->data.size));
    }
    return done;
}

static int take_number(Builder *self, Reading *body, int column, Py_ssize_t row)
{
    Number number;
    body->at = number_at(body->at, body->end, &number);
    if (body->at == NULL) {
        return 0;
    }
    if (number.whole) {
        return number.exact ? put_integer(&self->columns[column], row, number.value) : 0;
    }
    if (number.exact) {
        return put_real(&self->columns[column], row, number.real);
    }
    return self->columns[column].type == 'd'
               ? add_later(self, column, row, number.start, (Py_ssize_t)number.size)
               : 0;
}

/* The key here, with the place after its colon; NULL if it is not known. Keys mostly follow each
 * other as they did in the object before. */
static Key *take_key(const Builder *self, const Node *node, Reading *body, int guess)
{
    const char *at = body->at + 1;
    if (at > body->end || at[-1] != '"' || node->known_count == 0) {
        return NULL;
    }
    Key *key = &node->known[guess];
    if (key->is_plain && body->end - at > key->size && at[key->size] == '"'
        && memcmp(at, key->text, (size_t)key->size) == 0) {
        at += key->size + 1;
    } else {
        Text text;
        char plain[LONGEST];
        uint32_t place;
        at = text_at(at, body->end, &text);
        if (at == NULL || (text.escaped && text.size > LONGEST)) {
            return NULL;
        }
        if (text.escaped) {
            text.size = written(&text, plain);
            text.start = plain;
        }
        int found = find_key(self, node, text.start, (Py_ssize_t)text.size, &place);
        if (found < 0) {
            return NULL;
        }
        key = &node->known[found];
    }
    at = blank(at, body->end);
    if (at == body->end || *at != ':') {
        return NULL;
    }
    body->at = blank(at + 1, body->end);
    return key;
}

/* To the next element or the end after one: 1 if there is a next, 0 at the end, -1 if neither. */
static int more(Reading *body, char close)
{
    body->at = blank(body->at, body->end);
    if (body->at == body->end || (*body->at != ',' && *body->at != close)) {
        return -1;
    }
    int found = *body->at++ == ',';
    if (found) {
        body->at = blank(body->at, body->end);
    }
    return found;
}

/* Whether what was opened here is closed at once; to what comes first in it otherwise. */
static int is_empty(Reading *body, char close)
{
    body->at = blank(body->at + 1, body->end);
    if (body->at < body->end && *body->at == close) {
        body->at++;
        return 1;
    }
    return 0;
}

static int take_object(Builder *self, Reading *body, Node *node, Py_ssize_t row, int depth)
{
    if (is_empty(body, '}')) {
        return 1;
    }
    uint64_t object = ++self->objects;
    int *guess = &node->first, next;
    do {
        if (body->at >= body->end) {
            return 0;
        }
        Key *key = take_key(self, node, body, *guess);
        if (key == NULL || key->seen == object) {
            return 0;
        }
        key->seen = object;
        *guess = (int)(key - node->known);
        guess = &key->next;
        int done = take_any(self, body, key->entry, row, depth + 1);
        if (done != 1) {
            return done;
        }
        next = more(body, '}');
    } while (next == 1);
    return next == 0;
}

static int take_array(Builder *self, Reading *body, Table *table, Py_ssize_t row, int depth)
{
    if (is_empty(body, ']')) {
        return 1;
    }
    Py_ssize_t missing = row - table->counts.size / 8;
    if (missing < 0) {
        return 0; /* two lists of one row for one table */
    }
    if (!add_zeros(&table->counts, 8 * (missing + 1))) {
        return -1;
    }
    Py_ssize_t place = table->counts.size - 8;
    int64_t count = 0;
    int next;
    do {
        int done = take_any(self, body, table->entry, table->rows, depth + 1);
        if (done != 1) {
            return done;
        }
        table->rows++;
        count++;
        next = more(body, ']');
    } while (next == 1);
    memcpy(table->counts.data + place, &count, 8);
    return next == 0;
}

static int take_any(Builder *self, Reading *body, int number, Py_ssize_t row, int depth)
{
    const Entry *entry = &self->entries[number];
    if (body->at >= body->end || depth > DEEPEST) {
        return 0;
    }
    char first = *body->at;
    if (first == 'n') {
        body->at = word_at(body->at, body->end, "null");
        return body->at != NULL && entry->null;
    }
    if (first == '{' && entry->node >= 0) {
        return take_object(self, body, &self->nodes[entry->node], row, depth);
    }
    if (first == '[' && entry->table >= 0) {
        return take_array(self, body, &self->tables[entry->table], row, depth);
    }
    if (entry->column < 0) {
        return 0;
    }
    Column *column = &self->columns[entry->column];
    switch (first) {
    case '"':
        return take_text(column, body, row);
    case 't':
    case 'f':
        body->at = word_at(body->at, body->end, first == 't' ? "true" : "false");
        return body->at != NULL && column->type == 'b' ? put_flag(column, row, first == 't') : 0;
    case '{':
    case '[': {
        const char *start = body->at;
        body->at = column->type == 'o' ? any_at(start, body->end, depth) : NULL;
        return body->at ? add_later(self, entry->column, row, start, body->at - start) : 0;
    }
    default:
        return take_number(self, body, entry->column, row);
    }
}
