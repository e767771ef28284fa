/* Floor of a redirect's cost: the least that a server on epoll does which writes every request down.

   floor PORT JOURNAL: one thread answers every head with one constant 302. Each wake-up takes up to 64 sockets,
   writes the first 300 bytes of each head to JOURNAL by one pwrite, then sends the answers. It parses nothing
   but "Connection: close", takes one read for one head, and looks nothing up: a server that decides, counts
   and keeps promises costs more. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAKE_UP = 64, RECORD_BYTES = 300, HEAD_BYTES = 16384, JOURNAL_BYTES = 64 << 20 };

#define FIELDS                                                                        \
    "Location: https://shop.example.com/item/000000?utm_source=bio&utm_medium=link\r\n" \
    "Cache-Control: private, no-store\r\nX-Content-Type-Options: nosniff\r\n"           \
    "Referrer-Policy: strict-origin-when-cross-origin\r\nContent-Length: 0\r\n\r\n"
#define START "HTTP/1.1 302 Found\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"

static const char KEPT[] = START FIELDS;
static const char LAST[] = START "Connection: close\r\n" FIELDS;

typedef struct {
    int fd;
    int close;
} Answer;

static Answer answers[WAKE_UP];
static int answer_count;
static char records[WAKE_UP * RECORD_BYTES];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int listening_socket(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) fail("listen");
    return fd;
}

static void watch(int set, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

/* Read a head, and note its record and its answer. Returns 0 if the socket was closed. */
static int take(int fd) {
    static char head[HEAD_BYTES];
    ssize_t size = recv(fd, head, sizeof head, 0);
    if (size < 0 && errno == EAGAIN) return 1;
    if (size <= 0) {
        close(fd);
        return 0;
    }
    int closes = memmem(head, size, "Connection: close", 17) != NULL;
    memcpy(records + answer_count * RECORD_BYTES, head, size < RECORD_BYTES ? size : RECORD_BYTES);
    answers[answer_count++] = (Answer){fd, closes};
    return 1;
}

static void accept_all(int set, int listener, int room) {
    for (; room > 0; room--) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        int noted = answer_count;
        if (take(fd) && (noted == answer_count || !answers[noted].close)) watch(set, fd);
    }
}

static void answer_all(void) {
    for (int i = 0; i < answer_count; i++) {
        const Answer *answer = &answers[i];
        const char *text = answer->close ? LAST : KEPT;
        size_t size = answer->close ? sizeof LAST - 1 : sizeof KEPT - 1;
        if (send(answer->fd, text, size, MSG_NOSIGNAL) != (ssize_t)size || answer->close)
            close(answer->fd);
    }
    answer_count = 0;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: floor PORT JOURNAL\n");
        return 2;
    }
    int listener = listening_socket(atoi(arguments[1]));
    int journal = open(arguments[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (journal < 0 || posix_fallocate(journal, 0, JOURNAL_BYTES)) fail(arguments[2]);
    int set = epoll_create1(0);
    watch(set, listener);
    struct epoll_event events[WAKE_UP];
    off_t position = 0;
    for (;;) {
        int ready = epoll_wait(set, events, WAKE_UP, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(set, listener, WAKE_UP - answer_count - (ready - i - 1));
            else
                take(events[i].data.fd);
        }
        size_t size = answer_count * RECORD_BYTES;
        if (position + (off_t)size > JOURNAL_BYTES) position = 0;
        if (size && pwrite(journal, records, size, position) != (ssize_t)size) fail("pwrite");
        position += size;
        answer_all();
    }
}
