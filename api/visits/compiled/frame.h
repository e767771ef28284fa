/* A journal's frame (engine/clicks/journal_format.py), its head written in place. Pure: no allocation, no Python. */
#ifndef WAYPOST_FRAME_H
#define WAYPOST_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { FRAME_HEAD = 20, FRAME_CRC_FROM = 8 };

static uint32_t crc_table[256];

static void frame_setup(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
        crc_table[i] = crc;
    }
}

/* CRC32C (RFC 3720) of bytes, by a table. */
static uint32_t crc32c_by_table(const uint8_t *at, size_t size) {
    uint32_t crc = UINT32_MAX;
    while (size--) crc = crc >> 8 ^ crc_table[(crc ^ *at++) & 255];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_sse42(const uint8_t *at, size_t size) {
    uint64_t crc = UINT32_MAX, word;
    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (size--) crc = __builtin_ia32_crc32qi((uint32_t)crc, *at++);
    return ~(uint32_t)crc;
}
#endif

/* CRC32C by the processor's instruction where it has one. */
static uint32_t crc32c(const uint8_t *at, size_t size) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_by_sse42(at, size);
#endif
    return crc32c_by_table(at, size);
}

/* Write the head of a frame of `size` bytes, whose records stand behind it already. */
static void frame_finish(uint8_t *frame, size_t size, uint8_t type, uint8_t version, uint16_t count, uint64_t first) {
    uint32_t length = (uint32_t)size, crc;
    memcpy(frame, &length, 4);
    frame[8] = type;
    frame[9] = version;
    memcpy(frame + 10, &count, 2);
    memcpy(frame + 12, &first, 8);
    crc = crc32c(frame + FRAME_CRC_FROM, size - FRAME_CRC_FROM);
    memcpy(frame + 4, &crc, 4);
}

#endif
