/* Texts: those of JSON, checked, and written without their escapes.
 *
 * Stricter than some: half of a surrogate pair is no text. Nothing of Python is needed.
 */
#pragma once

#include <stdint.h>
#include <string.h>

typedef struct {
    const char *start;
    int64_t size;
    int escaped;
} Text;

/* The first byte that is not simply part of a text: a quote, a backslash, a control, beyond ASCII.
 * Eight at a time; a byte may be found in vain only behind one that is right, by a borrow. */
static const char *simple(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        uint64_t quote = word ^ (ones * '"'), back = word ^ (ones * '\\');
        uint64_t odd = ((quote - ones) & ~quote) | ((back - ones) & ~back) | (word - ones * 0x20);
        odd = (odd | word) & (ones << 7);
        if (odd) {
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return at + __builtin_ctzll(odd) / 8;
#else
            break;
#endif
        }
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"'
           && *at != '\\') {
        at++;
    }
    return at;
}

/* How many bytes the character here has in UTF-8, 2 to 4, or 0 if that is none. */
static int wide(const char *at, const char *end)
{
    const unsigned char *bytes = (const unsigned char *)at;
    unsigned char first = bytes[0];
    int size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || end - at < size) {
        return 0;
    }
    for (int each = 1; each < size; each++) {
        if ((bytes[each] & 0xC0) != 0x80) {
            return 0;
        }
    }
    /* No longer than needed, no surrogates, none beyond U+10FFFF. */
    if ((first == 0xE0 && bytes[1] < 0xA0) || (first == 0xED && bytes[1] > 0x9F)
        || (first == 0xF0 && bytes[1] < 0x90) || (first == 0xF4 && bytes[1] > 0x8F)) {
        return 0;
    }
    return size;
}

static int hex(const char *at, const char *end, uint32_t *value)
{
    if (end - at < 4) {
        return 0;
    }
    *value = 0;
    for (int each = 0; each < 4; each++) {
        char digit = at[each];
        int part = digit >= '0' && digit <= '9'   ? digit - '0'
                   : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                   : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                  : -1;
        if (part < 0) {
            return 0;
        }
        *value = *value << 4 | (uint32_t)part;
    }
    return 1;
}

/* What is escaped here, after a backslash, as a character; moves beyond it. 0: nothing that is. */
static int escape(const char **place, const char *end, uint32_t *value)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *at = *place;
    if (at == end) {
        return 0;
    }
    if (*at != 'u') {
        const char *found = *at ? strchr(names, *at) : NULL;
        if (found == NULL) {
            return 0;
        }
        *value = (uint32_t)(unsigned char)meant[found - names];
        *place = at + 1;
        return 1;
    }
    uint32_t low;
    if (!hex(at + 1, end, value)) {
        return 0;
    }
    at += 5;
    if (*value >= 0xD800 && *value <= 0xDFFF) {
        if (*value > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u'
            || !hex(at + 2, end, &low) || low < 0xDC00 || low > 0xDFFF) {
            return 0;
        }
        *value = 0x10000 + ((*value - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
    }
    *place = at;
    return 1;
}

/* A text from after its first quote: the place after its last one, or NULL. */
static const char *text_at(const char *at, const char *end, Text *text)
{
    text->start = at;
    text->escaped = 0;
    for (;;) {
        at = simple(at, end);
        if (at == end || (unsigned char)*at < 0x20) {
            return NULL;
        }
        if (*at == '"') {
            text->size = at - text->start;
            return at + 1;
        }
        uint32_t value;
        if (*at == '\\') {
            text->escaped = 1;
            at++;
            if (!escape(&at, end, &value)) {
                return NULL;
            }
        } else {
            int size = wide(at, end);
            if (size == 0) {
                return NULL;
            }
            at += size;
        }
    }
}

/* Writes an escaped text, in no more bytes than it has; how many. */
static int64_t written(const Text *text, char *into)
{
    const char *at = text->start, *end = at + text->size;
    char *start = into;
    while (at < end) {
        const char *next = memchr(at, '\\', (size_t)(end - at));
        next = next ? next : end;
        memcpy(into, at, (size_t)(next - at));
        into += next - at;
        at = next;
        uint32_t value;
        if (at < end && (at++, escape(&at, end, &value))) {
            if (value < 0x80) {
                *into++ = (char)value;
            } else if (value < 0x800) {
                *into++ = (char)(0xC0 | value >> 6);
                *into++ = (char)(0x80 | (value & 0x3F));
            } else if (value < 0x10000) {
                *into++ = (char)(0xE0 | value >> 12);
                *into++ = (char)(0x80 | (value >> 6 & 0x3F));
                *into++ = (char)(0x80 | (value & 0x3F));
            } else {
                *into++ = (char)(0xF0 | value >> 18);
                *into++ = (char)(0x80 | (value >> 12 & 0x3F));
                *into++ = (char)(0x80 | (value >> 6 & 0x3F));
                *into++ = (char)(0x80 | (value & 0x3F));
            }
        }
    }
    return into - start;
}
