/* Instants: the texts that are times, as microseconds. */
#pragma once

#include <Python.h>
#include <stdint.h>

#include "../../native/days.h"

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
    int64_t year, month, day, date, hour, minute, second, micros = 0, offset = 0;
    if (size < 19 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':'
        || text[16] != ':' || !digits(text, 4, &year) || !digits(text + 5, 2, &month)
        || !digits(text + 8, 2, &day) || !digits(text + 11, 2, &hour)
        || !digits(text + 14, 2, &minute) || !digits(text + 17, 2, &second)) {
        return 0;
    }
    if (hour > 23 || minute > 59 || second > 59 || !days(year, month, day, &date)) {
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
    int64_t seconds = date * 86400 + hour * 3600 + minute * 60 + second - offset;
    if (seconds < INT64_C(-62135596800) || seconds > INT64_C(253402300799)) {
        return 0; /* the years 1 to 9999 */
    }
    *value = seconds * 1000000 + micros;
    return 1;
}
