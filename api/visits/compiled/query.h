/* What a query says to an edge: campaign and parameters of ours (engine/visits/query_parameters.py).

   Pure: no allocation, no Python. */
#ifndef WAYPOST_QUERY_H
#define WAYPOST_QUERY_H

#include "head.h"

enum { MAX_CAMPAIGN_NAMES = 16, MAX_CAMPAIGN_NAME = 31 };

/* The names behind `utm_`, as engine/clicks/utm.py has them. */
static char campaign_names[MAX_CAMPAIGN_NAMES][MAX_CAMPAIGN_NAME + 1];
static int campaign_count;

/* Take a name over. Returns 0 if it has no room. */
static int campaign_add_name(const char *name, size_t size) {
    if (campaign_count == MAX_CAMPAIGN_NAMES || !size || size > MAX_CAMPAIGN_NAME) return 0;
    memcpy(campaign_names[campaign_count++], name, size);
    return 1;
}

/* Whether the query may name a campaign: `utm_` in any case. */
static inline int query_names_campaign(span query) {
    for (size_t i = 3; i < query.size; i++)
        if (query.at[i] == '_' && head_is(query.at + i - 3, "utm", 3)) return 1;
    return 0;
}

/* Whether the query may name a trigger or a preview: `wp_`. */
static inline int query_has_ours(span query) {
    return span_has(query, "wp_", 3);
}

/* Whether the text may be a URL at the host, which is in lower case: it is not where this is 0. */
static inline int span_may_have_host(span text, span host) {
    for (size_t start = 0; start + host.size <= text.size; start++) {
        size_t i = 0;
        while (i < host.size && (text.at[start + i] | 0x20) == (host.at[i] | 0x20)) i++;
        if (i == host.size) return 1;
    }
    return 0;
}

static int campaign_is_parameter(const uint8_t *at, size_t size) {
    if (size < 4 || !head_is(at, "utm", 3) || at[3] != '_') return 0;
    for (int i = 0; i < campaign_count; i++) {
        size_t length = strlen(campaign_names[i]);
        if (size > 4 + length && at[4 + length] == '=' && head_is(at + 4, campaign_names[i], length)) return 1;
    }
    return 0;
}

/* Write the `utm_…` parameters as they came, joined by `&`, cut to `max` bytes but in no escape. Returns their size. */
static size_t campaign_write(span query, size_t max, uint8_t *out) {
    size_t size = 0, whole = 0, start = 0;
    while (start <= query.size) {
        const uint8_t *rest = query.at + start;
        const uint8_t *stop = start < query.size ? memchr(rest, '&', query.size - start) : NULL;
        size_t length = stop ? (size_t)(stop - rest) : query.size - start;
        if (campaign_is_parameter(rest, length)) {
            if (whole++ && size < max) out[size++] = '&';
            size_t room = max - size < length ? max - size : length;
            memcpy(out + size, rest, room);
            size += room;
            whole += length;
        }
        start += length + 1;
    }
    if (whole && whole - 1 > max) {
        if (size >= 1 && out[size - 1] == '%') size -= 1;
        else if (size >= 2 && out[size - 2] == '%') size -= 2;
    }
    return size;
}

#endif
