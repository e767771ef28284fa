/* A hash of short texts, for the tables of the core. Pure: no allocation, no Python.

   Not for tables that grow: a text that somebody chose may only push another out of a table. */
#ifndef WAYPOST_KNOWN_H
#define WAYPOST_KNOWN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t known_mixed(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t known_word(const uint8_t *at, size_t size) {
    uint64_t word = 0;
    if (size) memcpy(&word, at, size); /* a text that is missing has no place either */
    return word;
}

static inline uint64_t known_hash(const uint8_t *at, size_t size, uint64_t seed) {
    uint64_t hash = seed ^ size;
    while (size > 16) {
        hash = known_mixed(known_word(at, 8) ^ hash, known_word(at + 8, 8) ^ 0x9e3779b97f4a7c15ULL);
        at += 16, size -= 16;
    }
    uint64_t first = size > 8 ? known_word(at, 8) : known_word(at, size);
    uint64_t second = size > 8 ? known_word(at + 8, size - 8) : 0;
    return known_mixed(first ^ hash, second ^ 0xd6e8feb86659fd93ULL);
}

#endif
