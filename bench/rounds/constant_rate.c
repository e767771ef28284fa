/* Load at a constant rate: constant_rate PORT HEADS CONNECTIONS RATE SECONDS.

   Sends the heads of the file HEADS, repeatedly, over CONNECTIONS kept-alive connections to 127.0.0.1:PORT.
   Request n is due n / RATE seconds after the start, whatever happened to those before it. Its latency counts
   from then, so a stall of the server delays every request that was due meanwhile (no coordinated omission). A
   request that finds all connections busy waits for one, and its latency grows. Requests that are not sent when
   twice SECONDS have passed are `unsent`: the server does not reach the rate.

   Prints one line of JSON. `late_p99_us` is by how much requests were sent later than they were due, which has
   the time in which this process did not run and the wait for a connection: part of the latency. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, ANSWER_BYTES = 8192 };
static const int64_t SECOND = 1000000000, LAST_WAIT = 10 * (int64_t)1000000000;

typedef struct {
    const char *start;
    size_t size;
} Head;

typedef struct {
    int fd;
    int busy;
    int64_t due;
    size_t size;
    char answer[ANSWER_BYTES + 1];
} Connection;

static int port, set, timer;
static Head *heads;
static size_t head_count;
static Connection *connections, **idle;
static size_t idle_count;
static uint32_t *latencies, *lateness; /* µs, of answered and of sent requests */
static long planned, sent, answered;
static long read_errors, status_errors, write_errors;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void read_heads(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) || status.st_size == 0) fail(path);
    char *text = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (text == MAP_FAILED) fail(path);
    size_t room = 0;
    const char *end = text + status.st_size, *at = text, *blank;
    while ((blank = memmem(at, end - at, "\r\n\r\n", 4)) != NULL) {
        if (head_count == room) {
            room = room ? 2 * room : 1024;
            heads = realloc(heads, room * sizeof *heads);
            if (!heads) fail("realloc");
        }
        heads[head_count++] = (Head){at, blank + 4 - at};
        at = blank + 4;
    }
    if (head_count == 0) {
        fprintf(stderr, "%s has no head of a request\n", path);
        exit(1);
    }
}

/* Connect anew. A server that refuses ends this process: it has failed. */
static void connect_to_server(Connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(set, EPOLL_CTL_ADD, connection->fd, &event)) fail("epoll_ctl");
    connection->busy = 0;
    connection->size = 0;
}

static void make_idle(Connection *connection) {
    connection->busy = 0;
    connection->size = 0;
    idle[idle_count++] = connection;
}

static uint32_t microseconds(int64_t ns) { return ns < 0 ? 0 : (uint32_t)(ns / 1000); }

static void send_request(Connection *connection, int64_t due) {
    const Head *head = &heads[sent % head_count];
    connection->due = due;
    connection->busy = 1;
    lateness[sent++] = microseconds(now() - due);
    if (send(connection->fd, head->start, head->size, MSG_NOSIGNAL) != (ssize_t)head->size) {
        write_errors++;
        close(connection->fd);
        connect_to_server(connection);
        make_idle(connection);
    }
}

/* Return whether the answer is whole; then `closes` says whether the server closes the connection. */
static int is_whole(Connection *connection, int *closes) {
    connection->answer[connection->size] = 0;
    char *end = strstr(connection->answer, "\r\n\r\n");
    if (!end) return 0;
    size_t head_size = end + 4 - connection->answer;
    char *length = strcasestr(connection->answer, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    char *close_field = strcasestr(connection->answer, "\r\nconnection: close");
    *closes = close_field && close_field <= end;
    return connection->size >= head_size + body;
}

static void read_answer(Connection *connection) {
    size_t room = ANSWER_BYTES - connection->size;
    ssize_t size = recv(connection->fd, connection->answer + connection->size, room, 0);
    if (size < 0 && errno == EAGAIN) return;
    int closes = 0;
    if (size <= 0) {
        if (connection->busy) read_errors++;
        closes = 1;
    } else {
        connection->size += size;
        if (!is_whole(connection, &closes)) {
            if (connection->size < ANSWER_BYTES) return;
            read_errors++;
            closes = 1;
        } else if (memcmp(connection->answer, "HTTP/1.1 302 ", 13)) {
            status_errors++;
        } else {
            latencies[answered++] = microseconds(now() - connection->due);
        }
    }
    int was_busy = connection->busy;
    if (closes) {
        close(connection->fd);
        connect_to_server(connection);
    }
    if (was_busy) make_idle(connection);
}

static void set_timer(int64_t at) {
    struct itimerspec when = {.it_value = {at / SECOND, at % SECOND}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL)) fail("timerfd_settime");
}

static void clear_timer(void) {
    uint64_t expirations;
    if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("read");
}

/* Send all that is due, wait for answers or the next due time, until everything is answered or given up. */
static void run(size_t connection_count, double rate, double seconds) {
    struct epoll_event events[EVENTS];
    int64_t start = now() + SECOND / 1000;
    int64_t send_end = start + (int64_t)(2 * seconds * SECOND), end = 0;
    for (;;) {
        int64_t time = now();
        while (sent < planned && idle_count && time < send_end) {
            int64_t due = start + (int64_t)(sent * (SECOND / rate));
            if (due > time) break;
            send_request(idle[--idle_count], due);
            time = now();
        }
        int sending = sent < planned && time < send_end;
        if (!sending && end == 0) end = time + LAST_WAIT;
        if (!sending && (idle_count == connection_count || time > end)) break;
        set_timer(sending && idle_count ? start + (int64_t)(sent * (SECOND / rate))
                                        : sending ? send_end : end);
        int ready = epoll_wait(set, events, EVENTS, 1000);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL) clear_timer();
            else read_answer(events[i].data.ptr);
        }
    }
    long timeouts = connection_count - idle_count;
    printf("{\"requests\":%ld,\"duration_us\":%" PRId64 ",\"unsent\":%ld,\"read\":%ld,"
           "\"write\":%ld,\"status\":%ld,\"timeout\":%ld,",
           answered, (now() - start) / 1000, planned - sent, read_errors,
           write_errors, status_errors, timeouts);
}

static int ascending(const void *first, const void *second) {
    uint32_t a = *(const uint32_t *)first, b = *(const uint32_t *)second;
    return a < b ? -1 : a > b;
}

static uint32_t percentile(const uint32_t *sorted, long count, double part) {
    return count ? sorted[(long)((count - 1) * part + .5)] : 0;
}

int main(int count, char **arguments) {
    if (count != 6) {
        fprintf(stderr, "usage: constant_rate PORT HEADS CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    port = atoi(arguments[1]);
    read_heads(arguments[2]);
    size_t connection_count = strtoul(arguments[3], NULL, 10);
    double rate = atof(arguments[4]), seconds = atof(arguments[5]);
    planned = (long)(rate * seconds);
    latencies = calloc(planned + 1, sizeof *latencies);
    lateness = calloc(planned + 1, sizeof *lateness);
    connections = calloc(connection_count, sizeof *connections);
    idle = calloc(connection_count, sizeof *idle);
    if (!latencies || !lateness || !connections || !idle) fail("calloc");
    prctl(PR_SET_TIMERSLACK, 1); /* waking 50 µs late, the default, would be in every latency */
    set = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (set < 0 || timer < 0 || epoll_ctl(set, EPOLL_CTL_ADD, timer, &event)) fail("timerfd");
    for (size_t i = 0; i < connection_count; i++) {
        connect_to_server(&connections[i]);
        make_idle(&connections[i]);
    }
    run(connection_count, rate, seconds);
    qsort(latencies, answered, sizeof *latencies, ascending);
    qsort(lateness, sent, sizeof *lateness, ascending);
    printf("\"p50_us\":%u,\"p90_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_us\":%u,\"late_p99_us\":%u}\n",
           percentile(latencies, answered, .5), percentile(latencies, answered, .9),
           percentile(latencies, answered, .99), percentile(latencies, answered, .999),
           percentile(latencies, answered, 1), percentile(lateness, sent, .99));
    return 0;
}
