/* JSON: values to step over, as RFC 8259 has them. Nothing of Python is needed. */
#pragma once

#include "numbers.h"
#include "texts.h"

#define DEEPEST 100

static const char *blank(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* Each function from here on returns the place after what it read, or NULL. */

static const char *word_at(const char *at, const char *end, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(end - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

/* Any value, stepped over. */
static const char *any_at(const char *at, const char *end, int depth)
{
    Text text;
    Number number;
    if (at == end || depth > DEEPEST) {
        return NULL;
    }
    switch (*at) {
    case '"':
        return text_at(at + 1, end, &text);
    case 't':
        return word_at(at, end, "true");
    case 'f':
        return word_at(at, end, "false");
    case 'n':
        return word_at(at, end, "null");
    case '{':
    case '[':
        break;
    default:
        return number_at(at, end, &number);
    }
    char close = *at == '{' ? '}' : ']';
    at = blank(at + 1, end);
    if (at < end && *at == close) {
        return at + 1;
    }
    for (;;) {
        if (close == '}') {
            if (at == end || *at != '"' || (at = text_at(at + 1, end, &text)) == NULL) {
                return NULL;
            }
            at = blank(at, end);
            if (at == end || *at != ':') {
                return NULL;
            }
            at = blank(at + 1, end);
        }
        at = any_at(at, end, depth + 1);
        if (at == NULL) {
            return NULL;
        }
        at = blank(at, end);
        if (at == end || (*at != ',' && *at != close)) {
            return NULL;
        }
        if (*at == close) {
            return at + 1;
        }
        at = blank(at + 1, end);
    }
}
