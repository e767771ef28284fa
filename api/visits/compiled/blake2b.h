/* BLAKE2b (RFC 7693) with a key and a digest of 8 bytes, as engine/visits/pseudonym.py has it.

   A key's block is compressed once, and its state copied for each input. Pure: no allocation, no Python. */
#ifndef WAYPOST_BLAKE2B_H
#define WAYPOST_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BLAKE2B_BLOCK = 128, BLAKE2B_KEY = 32, BLAKE2B_DIGEST = 8, BLAKE2B_ROUNDS = 12 };

typedef struct {
    uint64_t state[8]; /* behind the key's block */
} blake2b_key;

static const uint64_t BLAKE2B_IV[8] = {
    0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
    0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL,
};

/* RFC 7693 2.7; the last two rounds use the first two rows again. */
static const uint8_t BLAKE2B_SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t blake2b_rotated(uint64_t word, int bits) {
    return word >> bits | word << (64 - bits);
}

#define BLAKE2B_MIX(a, b, c, d, x, y)          \
    do {                                       \
        a += b + (x);                          \
        d = blake2b_rotated(d ^ a, 32);        \
        c += d;                                \
        b = blake2b_rotated(b ^ c, 24);        \
        a += b + (y);                          \
        d = blake2b_rotated(d ^ a, 16);        \
        c += d;                                \
        b = blake2b_rotated(b ^ c, 63);        \
    } while (0)

/* Compress one block; `counted` bytes of input end with it. */
static void blake2b_compress(uint64_t state[8], const uint8_t *block, uint64_t counted, int is_last) {
    uint64_t m[16], v[16];
    memcpy(m, block, BLAKE2B_BLOCK);
    memcpy(v, state, 64);
    memcpy(v + 8, BLAKE2B_IV, 64);
    v[12] ^= counted;
    if (is_last) v[14] = ~v[14];
#pragma GCC unroll 12 /* so that the words of each round are known when it is compiled */
    for (int round = 0; round < BLAKE2B_ROUNDS; round++) {
        const uint8_t *s = BLAKE2B_SIGMA[round % 10];
        BLAKE2B_MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
        BLAKE2B_MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
        BLAKE2B_MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
        BLAKE2B_MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
        BLAKE2B_MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
        BLAKE2B_MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
        BLAKE2B_MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
        BLAKE2B_MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
    }
    for (int word = 0; word < 8; word++) state[word] ^= v[word] ^ v[word + 8];
}

static void blake2b_set_key(blake2b_key *keyed, const uint8_t key[BLAKE2B_KEY]) {
    uint8_t block[BLAKE2B_BLOCK] = {0};
    memcpy(block, key, BLAKE2B_KEY);
    memcpy(keyed->state, BLAKE2B_IV, 64);
    keyed->state[0] ^= 0x01010000u ^ (uint64_t)BLAKE2B_KEY << 8 ^ BLAKE2B_DIGEST;
    blake2b_compress(keyed->state, block, BLAKE2B_BLOCK, 0);
}

/* Write the digest of `size` bytes, at least one. */
static void blake2b_digest(const blake2b_key *keyed, const uint8_t *data, size_t size, uint8_t digest[BLAKE2B_DIGEST]) {
    uint64_t state[8], counted = BLAKE2B_BLOCK;
    uint8_t block[BLAKE2B_BLOCK];
    memcpy(state, keyed->state, 64);
    for (; size > BLAKE2B_BLOCK; data += BLAKE2B_BLOCK, size -= BLAKE2B_BLOCK) {
        counted += BLAKE2B_BLOCK;
        blake2b_compress(state, data, counted, 0);
    }
    memset(block, 0, BLAKE2B_BLOCK);
    memcpy(block, data, size);
    blake2b_compress(state, block, counted + size, 1);
    memcpy(digest, state, BLAKE2B_DIGEST);
}

#endif
