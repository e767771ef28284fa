/* The bytes of a record (engine/clicks/record_layout.py), written in place. Pure: no allocation, no Python. */
#ifndef WAYPOST_RECORD_H
#define WAYPOST_RECORD_H

#include "head.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little-endian: build without the compiled core on this machine"
#endif

enum { RECORD_IDS = 24, RECORD_FIXED = 39, RECORD_VISITOR = 8 };

typedef struct {
    uint8_t kind, classification;
    int64_t at_us;
    const uint8_t *ids;     /* of tenant, profile and link */
    const uint8_t *visitor; /* a pseudonym, or zeros */
    span user_agent, referrer, language, items;
} record;

static inline uint8_t *record_put(uint8_t *out, const void *bytes, size_t size) {
    memcpy(out, bytes, size);
    return out + size;
}

static inline size_t record_size(const record *r) {
    return RECORD_FIXED + r->user_agent.size + r->referrer.size + r->language.size + RECORD_VISITOR + r->items.size;
}

/* Write the record, of record_size() bytes. Returns where it ends. */
static uint8_t *record_write(uint8_t *out, const record *r) {
    uint16_t size = (uint16_t)record_size(r);
    uint8_t lengths[3] = {(uint8_t)r->user_agent.size, (uint8_t)r->referrer.size, (uint8_t)r->language.size};
    out = record_put(out, &size, 2);
    *out++ = r->kind;
    *out++ = r->classification;
    out = record_put(out, &r->at_us, 8);
    out = record_put(out, r->ids, RECORD_IDS);
    out = record_put(out, lengths, 3);
    if (r->user_agent.size) out = record_put(out, r->user_agent.at, r->user_agent.size);
    if (r->referrer.size) out = record_put(out, r->referrer.at, r->referrer.size);
    if (r->language.size) out = record_put(out, r->language.at, r->language.size);
    out = record_put(out, r->visitor, RECORD_VISITOR);
    if (r->items.size) out = record_put(out, r->items.at, r->items.size);
    return out;
}

#endif
