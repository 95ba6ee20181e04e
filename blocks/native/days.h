/* Days: dates of the Gregorian calendar, counted. */
#pragma once

#include <stdint.h>

/* The days since 1970 of a date from the year 1 on; 0 if there is no such day. */
static int days(int64_t year, int64_t month, int64_t day, int64_t *value)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1 || month < 1 || month > 12 || day < 1
        || day > lengths[month - 1] + (month == 2 && leap)) {
        return 0;
    }
    /* In years that begin in March. */
    int64_t years = month > 2 ? year : year - 1;
    *value = 365 * years + years / 4 - years / 100 + years / 400
             + (153 * ((month + 9) % 12) + 2) / 5 + day - 719469;
    return 1;
}
