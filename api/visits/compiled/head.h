/* Plain heads: the requests of which api/visits/head.py and llhttp have the same reading beyond doubt.

   A head is plain if it is one whole `GET /… HTTP/1.1` with one Host, printable ASCII in every value, no body, no
   upgrade and no sign of a prefetch. Everything else is left to Python. Pure: no allocation, no Python. */
#ifndef WAYPOST_HEAD_H
#define WAYPOST_HEAD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* As engine/clicks/click.py and api/visits/head.py have them; the tests compare. */
enum { MAX_USER_AGENT = 255, MAX_REFERRER = 255, MAX_LANGUAGE = 63, MAX_TARGET_END = 8192 - 8 };

typedef struct {
    const uint8_t *at;
    size_t size;
} span;

typedef struct {
    span path, query, user_agent, referrer, language, host, forwarded_for;
    span brands, mobile, platform; /* client hints */
    span codings, known_tags;      /* of Accept-Encoding and If-None-Match */
    int is_repeated;               /* one of these two came twice */
    int is_ranged;
    int keep_alive;
    int has_cookie; /* of experiments */
} plain_head;

enum { IN_NAME = 1, IN_TARGET = 2 };
static uint8_t head_characters[256];

static void head_setup(void) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (int c = 0x21; c < 0x7f; c++) {
        int is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', is_digit = c >= '0' && c <= '9';
        head_characters[c] = 0;
        if (is_letter || is_digit || strchr(marks, c)) head_characters[c] |= IN_NAME;
        if (c != '#' && c != '?') head_characters[c] |= IN_TARGET;
    }
}

/* Whether the text is `name`, which is in lower case, in any case. For texts of token characters only. */
static inline int head_is(const uint8_t *text, const char *name, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((text[i] | 0x20) != (uint8_t)name[i]) return 0;
    return 1;
}

static inline int head_is_printable(const uint8_t *text, size_t size) {
    uint8_t bad = 0;
    for (size_t i = 0; i < size; i++) bad |= (uint8_t)(text[i] - 0x20) > 0x5e;
    return !bad;
}

static inline int span_has(span text, const char *word, size_t size) {
    return text.size >= size && memmem(text.at, text.size, word, size) != NULL;
}

static inline span span_cut(span text, size_t size) {
    if (text.size > size) text.size = size;
    return text;
}

/* Take over the value of a field that is negotiated by. */
static inline void head_negotiate(plain_head *head, span *field, span value) {
    head->is_repeated |= field->at != NULL;
    *field = value;
}

/* Take one field over. Returns 0 for a field of which a head is not plain. */
static int head_take_field(plain_head *head, span name, span value, int behind_proxies, int *hosts, int *connections) {
#define IS(text) head_is(name.at, text, sizeof text - 1)
    switch (name.size) {
    case 4:
        if (IS("host")) {
            (*hosts)++;
            head->host = value;
        }
        break;
    case 5:
        head->is_ranged |= IS("range");
        return !IS("x-moz");
    case 6:
        if (IS("cookie")) head->has_cookie |= span_has(value, "wp_v=", 5);
        return !IS("expect");
    case 7:
        if (IS("referer")) head->referrer = span_cut(value, MAX_REFERRER);
        return !IS("upgrade") && !IS("purpose");
    case 8:
        head->is_ranged |= IS("if-range");
        break;
    case 9:
        if (IS("sec-ch-ua")) head->brands = value;
        return !IS("x-purpose");
    case 10:
        if (IS("user-agent")) {
            head->user_agent = span_cut(value, MAX_USER_AGENT);
        } else if (IS("connection")) {
            if ((*connections)++) return 0;
            if (value.size == 5 && head_is(value.at, "close", 5)) head->keep_alive = 0;
            else return value.size == 10 && head_is(value.at, "keep-alive", 10);
        }
        break;
    case 11:
        return !IS("sec-purpose");
    case 13:
        if (IS("if-none-match")) head_negotiate(head, &head->known_tags, value);
        break;
    case 14:
        return !IS("content-length");
    case 15:
        if (IS("accept-language")) {
            head->language = span_cut(value, MAX_LANGUAGE);
        } else if (IS("accept-encoding")) {
            head_negotiate(head, &head->codings, value);
        } else if (behind_proxies && IS("x-forwarded-for")) {
            if (head->forwarded_for.at) return 0;
            head->forwarded_for = value;
        }
        break;
    case 16:
        if (IS("sec-ch-ua-mobile")) head->mobile = value;
        return !IS("proxy-connection");
    case 17:
        return !IS("transfer-encoding");
    case 18:
        if (IS("sec-ch-ua-platform")) head->platform = value;
        break;
    }
    return 1;
#undef IS
}

/* Read the bytes as one plain head. Returns 0 if they are not exactly that. */
static int read_plain_head(const uint8_t *data, size_t size, int behind_proxies, plain_head *head) {
    const uint8_t *end = data + size, *p = data + 4;
    int hosts = 0, connections = 0;
    memset(head, 0, sizeof *head);
    head->keep_alive = 1;
    if (size < 5 || memcmp(data, "GET /", 5)) return 0;
    head->path.at = p;
    while (p < end && head_characters[*p] & IN_TARGET) p++;
    head->path.size = (size_t)(p - head->path.at);
    if (p < end && *p == '?') {
        head->query.at = ++p;
        while (p < end && (head_characters[*p] & IN_TARGET || *p == '?')) p++;
        head->query.size = (size_t)(p - head->query.at);
    }
    if (p - data >= MAX_TARGET_END || end - p < 11 || memcmp(p, " HTTP/1.1\r\n", 11)) return 0;
    p += 11;
    for (;;) {
        span name = {p, 0}, value;
        if (end - p < 2) return 0;
        if (p[0] == '\r') return p[1] == '\n' && p + 2 == end && hosts == 1;
        while (p < end && head_characters[*p] & IN_NAME) p++;
        name.size = (size_t)(p - name.at);
        if (!name.size || p == end || *p != ':') return 0;
        value.at = p + 1;
        p = memchr(value.at, '\r', (size_t)(end - value.at));
        if (!p || end - p < 2 || p[1] != '\n') return 0;
        value.size = (size_t)(p - value.at);
        p += 2;
        if (!head_is_printable(value.at, value.size)) return 0;
        while (value.size && value.at[0] == ' ') value.at++, value.size--;
        while (value.size && value.at[value.size - 1] == ' ') value.size--;
        if (!head_take_field(head, name, value, behind_proxies, &hosts, &connections)) return 0;
    }
}

#endif
