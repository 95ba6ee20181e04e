/* Numbers: those of JSON, as integers of 64 bits or the nearest floats. Nothing of Python is needed. */
#pragma once

#include <math.h>
#include <stdint.h>

typedef struct {
    const char *start;
    int64_t size;
    int whole; /* an integer, otherwise a float */
    int exact; /* `value` is that integer, or `real` that float, correctly rounded */
    int64_t value;
    double real;
} Number;

/* `value` * 10 ** `power` as the nearest float, the even one of two; 0 where this can't tell. */
static int real_of(uint64_t value, int power, double *real)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (value <= UINT64_C(1) << 53 && power >= -22 && power <= 22) {
        /* Both are exact (Clinger, "How to Read Floating Point Numbers Accurately", 1990). */
        *real = power < 0 ? (double)value / tens[-power] : (double)value * tens[power];
        return 1;
    }
#ifdef __SIZEOF_INT128__
    if (value == 0 || power < -27 || power > 27) {
        return 0;
    }
    /* value * 5 ** power in integers, what is left over told by `rest`; 5 ** 27 has 63 bits. */
    uint64_t five = 1;
    for (int each = power < 0 ? -power : power; each > 0; each--) {
        five *= 5;
    }
    __extension__ typedef unsigned __int128 Wide;
    Wide product = (Wide)value * five;
    int rest = 0, shift = 0;
    if (power < 0) {
        shift = __builtin_clzll(value) + 63;
        Wide shifted = (Wide)value << shift;
        product = shifted / five;
        rest = product * five != shifted;
    }
    uint64_t upper = (uint64_t)(product >> 64);
    int bits = upper ? 128 - __builtin_clzll(upper) : 64 - __builtin_clzll((uint64_t)product);
    int beyond = bits - 54; /* 53 bits, and the one that rounds */
    if (beyond > 0) {
        rest |= (product & (((Wide)1 << beyond) - 1)) != 0;
        product >>= beyond;
    } else {
        product <<= -beyond;
    }
    uint64_t kept = (uint64_t)product;
    kept = (kept >> 1) + ((kept & 1) && (rest || (kept & 2)));
    *real = ldexp((double)kept, power - shift + beyond + 1);
    return 1;
#else
    return 0;
#endif
}

/* A number of any size: the place after it, or NULL. */
static const char *number_at(const char *at, const char *end, Number *number)
{
    uint64_t value = 0;
    int count = 0, places = 0, power = 0;
    number->start = at;
    number->exact = 0;
    number->real = 0;
    int minus = at < end && *at == '-';
    at += minus;
    const char *first = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++, count++) {
        value = count < 19 ? value * 10 + (uint64_t)(*at - '0') : value;
    }
    if (count == 0 || (count > 1 && *first == '0')) {
        return NULL;
    }
    number->whole = at == end || (*at != '.' && *at != 'e' && *at != 'E');
    if (number->whole) {
        /* 19 digits are below 2 ** 64; minus zero is an integer to some, to others a float. */
        number->exact = count <= 19 && value <= INT64_MAX && !(minus && value == 0);
        number->value = minus ? -(int64_t)value : (int64_t)value;
        number->size = at - number->start;
        return at;
    }
    if (*at == '.') {
        for (at++; at < end && *at >= '0' && *at <= '9'; at++, count++, places++) {
            value = count < 19 ? value * 10 + (uint64_t)(*at - '0') : value;
        }
        if (places == 0) {
            return NULL;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        int below = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        const char *digits = at;
        for (; at < end && *at >= '0' && *at <= '9'; at++) {
            power = power < 1000 ? power * 10 + (*at - '0') : power;
        }
        if (at == digits) {
            return NULL;
        }
        power = below ? -power : power;
    }
    number->size = at - number->start;
    power -= places;
    number->exact = count <= 19 && real_of(value, power, &number->real);
    number->real = minus ? -number->real : number->real;
    return at;
}
