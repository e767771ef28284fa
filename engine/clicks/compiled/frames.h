/* Frames and records of a journal (engine/clicks/journal_format.py, record_layout.py), read in place.

   Pure: no allocation, no Python. A function that returns 0 has met bytes that are not valid; Python says why. */
#ifndef WAYPOST_FRAMES_H
#define WAYPOST_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little-endian: build without the compiled fold on this machine"
#endif

enum {
    FRAME_HEAD = 20, FRAME_CRC_FROM = 8,
    RECORD_FIXED = 39, RECORD_VISITOR = 8, RECORD_IDS = 24, GROUP_KEY = 26, FIRST_COLUMNS = 76
};

typedef struct {
    size_t end; /* where the frame ends */
    uint32_t crc;
    uint8_t type, version;
    uint16_t count;
    uint64_t first;
} frame_head;

typedef struct {
    const uint8_t *at;
    size_t size;
} bytes_at;

typedef struct {
    uint8_t key[GROUP_KEY]; /* kind, classification and ids: all that is fixed but the time */
    int64_t at_us;
    bytes_at user_agent, referrer, language, items;
    const uint8_t *visitor; /* NULL: not known, and there are no items */
} record_read;

static inline uint16_t read_u16(const uint8_t *at) { uint16_t v; memcpy(&v, at, 2); return v; }
static inline uint32_t read_u32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return v; }
static inline uint64_t read_u64(const uint8_t *at) { uint64_t v; memcpy(&v, at, 8); return v; }

/* Read the head of the frame at `start`; its checksum is left to the caller. */
static int frame_at(const uint8_t *data, size_t size, size_t start, size_t max_bytes, frame_head *frame) {
    if (size - start < FRAME_HEAD) return 0;
    const uint8_t *at = data + start;
    size_t length = read_u32(at);
    if (length < FRAME_HEAD || length > max_bytes || length > size - start) return 0;
    frame->end = start + length;
    frame->crc = read_u32(at + 4);
    frame->type = at[8];
    frame->version = at[9];
    frame->count = read_u16(at + 10);
    frame->first = read_u64(at + 12);
    return frame->count != 0;
}

/* Skip `count` records at `position`. Returns 0 if they are cut off. */
static int records_skip(const uint8_t *data, size_t size, size_t *position, uint64_t count) {
    for (; count; count--) {
        if (*position > size || size - *position < 2) return 0;
        size_t length = read_u16(data + *position);
        *position += length < RECORD_FIXED ? RECORD_FIXED : length;
    }
    return 1;
}

/* Read the record at `position`, within a frame that ends at `end`, and move on behind it. */
static int record_at(const uint8_t *data, size_t size, size_t *position, size_t end, record_read *record) {
    if (*position > size || size - *position < RECORD_FIXED) return 0;
    const uint8_t *at = data + *position;
    size_t next = *position + read_u16(at);
    memcpy(record->key, at + 2, 2);
    record->at_us = (int64_t)read_u64(at + 4);
    memcpy(record->key + 2, at + 12, RECORD_IDS);
    size_t agent = *position + RECORD_FIXED, referrer = agent + at[36];
    size_t language = referrer + at[37], visitor = language + at[38], items = visitor + RECORD_VISITOR;
    *position = next;
    if (next > end) return 0;
    if (items <= next) {
        record->visitor = data + visitor;
        record->items = (bytes_at){data + items, next - items};
    } else if (next == visitor) {
        record->visitor = NULL;
        record->items = (bytes_at){data, 0};
    } else {
        return 0;
    }
    record->user_agent = (bytes_at){data + agent, referrer - agent};
    record->referrer = (bytes_at){data + referrer, language - referrer};
    record->language = (bytes_at){data + language, visitor - language};
    return 1;
}

/* A hash of bytes for a table that forgets: equal places cost time, never an answer. */
static inline uint64_t bytes_hash(bytes_at text) {
    uint64_t hash = text.size * UINT64_C(0x9E3779B97F4A7C15), word = 0;
    size_t i = 0;
    for (; i + 8 <= text.size; i += 8)
        hash = (hash ^ read_u64(text.at + i)) * UINT64_C(0x9E3779B97F4A7C15), hash ^= hash >> 29;
    if (i < text.size) {
        memcpy(&word, text.at + i, text.size - i);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    }
    return hash ^ hash >> 32;
}

/* ---- rows of a binary COPY: big-endian ---- */

static inline uint8_t *put_i16(uint8_t *out, int16_t value) {
    uint16_t v = __builtin_bswap16((uint16_t)value);
    memcpy(out, &v, 2);
    return out + 2;
}

static inline uint8_t *put_i32(uint8_t *out, int32_t value) {
    uint32_t v = __builtin_bswap32((uint32_t)value);
    memcpy(out, &v, 4);
    return out + 4;
}

static inline uint8_t *put_i64(uint8_t *out, int64_t value) {
    uint64_t v = __builtin_bswap64((uint64_t)value);
    memcpy(out, &v, 8);
    return out + 8;
}

static inline uint8_t *put_bytes(uint8_t *out, const void *bytes, size_t size) {
    memcpy(out, bytes, size);
    return out + size;
}

#endif
