/*
 * What the C implementation of a character device does with a line, and no more: the yardstick of bench/line.py.
 *
 * Writing: every message takes a token and a buffer of the pool, joins the write queue, and is written with a
 * system call of its own; what was written goes back to the pool and its token to the client, announced by the interval.
 * Reading: two system calls a message, its header and its body, as the guest agent's device does; then a reference for
 * every client, a token, and the message on the client's own queue.
 *
 *     line write FD PEER MESSAGES SIZE ROUND     ROUND messages are written, then PEER is emptied, and so on
 *     line gather FD PEER MESSAGES SIZE ROUND    the same with one writev() a round: what the kernel allows
 *     line read FD PEER MESSAGES SIZE ROUND [CLIENTS]    PEER is filled, then ROUND messages are read
 *
 * Both descriptors are inherited and do not block.
 * Prints nanoseconds of processor time and of real time, both without the emptying and filling of PEER, and without
 * the first round, which warms up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 10, INTERVAL = 5, HEADER = 8, PIECES = 1024 };

struct buffer {
    struct buffer *next;
    uint8_t *data;
    size_t used;
    struct client *client;
};

struct queue {
    struct buffer *first, **last;
};

struct message {
    int references;
    size_t size;
    uint8_t data[];
};

struct link {
    struct link *next;
    struct message *message;
};

struct client {
    struct client *next;
    unsigned tokens, freed, send_tokens;
    struct link *first, **last;
};

struct device {
    int fd;
    struct queue pending;
    struct buffer *pool;
    size_t written; /* of the first pending buffer */
    struct client *clients;
    void (*send_tokens_to_client)(struct client *client, unsigned tokens);
    void (*send_message_to_client)(struct message *message, struct client *client);
};

static void die(const char *what)
{
    perror(what);
    exit(3);
}

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int64_t processor, real;

static void start(void)
{
    real -= now(CLOCK_MONOTONIC);
    processor -= now(CLOCK_THREAD_CPUTIME_ID);
}

static void stop(void)
{
    processor += now(CLOCK_THREAD_CPUTIME_ID);
    real += now(CLOCK_MONOTONIC);
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) die("malloc");
    return memory;
}

/* Writing. */

static struct buffer *buffer_get(struct device *device, struct client *client, size_t size)
{
    struct buffer *buffer = device->pool;
    if (client->tokens == 0) return NULL;
    client->tokens--;
    if (buffer != NULL) {
        device->pool = buffer->next;
    } else {
        buffer = allocate(sizeof *buffer);
        buffer->data = allocate(size);
    }
    buffer->client = client;
    return buffer;
}

static void buffer_release(struct device *device, struct buffer *buffer)
{
    struct client *client = buffer->client;
    buffer->next = device->pool;
    device->pool = buffer;
    if (++client->freed >= INTERVAL) {
        unsigned tokens = client->freed;
        client->freed = 0;
        client->tokens += tokens;
        device->send_tokens_to_client(client, tokens);
    }
}

static void write_pass(struct device *device)
{
    struct buffer *buffer;
    while ((buffer = device->pending.first) != NULL) {
        ssize_t taken = write(device->fd, buffer->data + device->written, buffer->used - device->written);
        if (taken < 0) {
            if (errno == EAGAIN) return;
            die("write");
        }
        device->written += (size_t)taken;
        if (device->written < buffer->used) continue;
        device->written = 0;
        if ((device->pending.first = buffer->next) == NULL) device->pending.last = &device->pending.first;
        buffer_release(device, buffer);
    }
}

static void buffer_add(struct device *device, struct buffer *buffer, size_t used)
{
    buffer->used = used;
    buffer->next = NULL;
    *device->pending.last = buffer;
    device->pending.last = &buffer->next;
    write_pass(device);
}

/* Reading. */

static int read_whole(int fd, void *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = read(fd, (char *)data + done, size - done);
        if (count > 0) {
            done += (size_t)count;
        } else if (count < 0 && errno == EAGAIN && done > 0) {
            struct pollfd wait = {fd, POLLIN, 0};
            poll(&wait, 1, -1);
        } else if (count < 0 && errno == EAGAIN) {
            return 0;
        } else {
            die("read");
        }
    }
    return 1;
}

static struct message *read_message(struct device *device)
{
    uint32_t header[2];
    struct message *message;
    if (!read_whole(device->fd, header, HEADER)) return NULL;
    message = allocate(sizeof *message + header[1]);
    message->references = 1;
    message->size = header[1];
    read_whole(device->fd, message->data, header[1]);
    return message;
}

static void message_unref(struct message *message)
{
    if (--message->references == 0) free(message);
}

static unsigned read_pass(struct device *device)
{
    unsigned count = 0;
    struct message *message;
    while (device->clients->send_tokens > 0 && (message = read_message(device)) != NULL) {
        for (struct client *client = device->clients; client != NULL; client = client->next) {
            message->references++;
            client->send_tokens--;
            device->send_message_to_client(message, client);
            message_unref(message);
        }
        message_unref(message);
        count++;
    }
    return count;
}

/* The owner. */

static unsigned announced;

static void tokens_callback(struct client *client, unsigned tokens)
{
    (void)client;
    announced += tokens;
}

static void message_callback(struct message *message, struct client *client)
{
    struct link *link = allocate(sizeof *link);
    link->message = message;
    link->next = NULL;
    message->references++;
    *client->last = link;
    client->last = &link->next;
}

static void clients_drop(struct device *device)
{
    for (struct client *client = device->clients; client != NULL; client = client->next) {
        struct link *link = client->first, *next;
        for (; link != NULL; link = next) {
            next = link->next;
            message_unref(link->message);
            free(link);
        }
        client->first = NULL;
        client->last = &client->first;
    }
}

/* The other end, outside the clock. */

static size_t empty(int peer, size_t bytes)
{
    static char waste[65536];
    size_t done = 0;
    while (done < bytes) {
        ssize_t count = read(peer, waste, sizeof waste);
        if (count > 0) {
            done += (size_t)count;
        } else if (count < 0 && errno == EAGAIN) {
            struct pollfd wait = {peer, POLLIN, 0};
            if (poll(&wait, 1, 20) == 0) break;
        } else {
            die("read of the peer");
        }
    }
    return done;
}

static void fill(int peer, int fd, size_t round, size_t size)
{
    size_t total = round * size, done = 0;
    uint8_t *data = allocate(total);
    struct pollfd wait = {fd, POLLIN, 0};
    memset(data, 'x', total);
    for (size_t i = 0; i < round; i++) {
        uint32_t header[2] = {1, (uint32_t)(size - HEADER)};
        memcpy(data + i * size, header, HEADER);
    }
    while (done < total) {
        ssize_t count = write(peer, data + done, total - done);
        if (count < 0) die("write of the peer: give a smaller round");
        done += (size_t)count;
    }
    free(data);
    poll(&wait, 1, 1000);
}

static void bench_write(struct device *device, int peer, size_t messages, size_t size, size_t round)
{
    struct client client = {.tokens = WINDOW};
    uint8_t *data = allocate(size);
    memset(data, 'x', size);
    for (size_t sent = 0; sent < messages;) {
        if (sent == round) processor = real = 0; /* the first round warms up */
        size_t end = sent + round, bytes = round * size, gone = 0;
        start();
        while (sent < end) {
            struct buffer *buffer = buffer_get(device, &client, size);
            if (buffer == NULL) {
                stop();
                gone += empty(peer, 1);
                start();
                write_pass(device);
                continue;
            }
            memcpy(buffer->data, data, size);
            buffer_add(device, buffer, size);
            sent++;
        }
        stop();
        while (device->pending.first != NULL) {
            gone += empty(peer, 1);
            start();
            write_pass(device);
            stop();
        }
        empty(peer, bytes - gone);
    }
}

static void bench_gather(struct device *device, int peer, size_t messages, size_t size, size_t round)
{
    struct iovec pieces[PIECES];
    uint8_t *data = allocate(size);
    memset(data, 'x', size);
    if (round > PIECES) round = PIECES;
    for (size_t sent = 0; sent < messages; sent += round) {
        if (sent == round) processor = real = 0;
        size_t left = round * size, gone = 0;
        start();
        for (size_t i = 0; i < round; i++) pieces[i] = (struct iovec){data, size};
        while (left > 0) {
            size_t done = round * size - left, first = done / size;
            pieces[first].iov_len = size - done % size;
            ssize_t taken = writev(device->fd, pieces + first, (int)(round - first));
            pieces[first].iov_len = size;
            if (taken > 0) {
                left -= (size_t)taken;
            } else if (errno == EAGAIN) {
                stop();
                gone += empty(peer, 1);
                start();
            } else {
                die("writev");
            }
        }
        stop();
        empty(peer, round * size - gone);
    }
}

static void bench_read(struct device *device, int peer, size_t messages, size_t size, size_t round)
{
    for (size_t got = 0; got < messages; got += round) {
        if (got == round) processor = real = 0;
        size_t left = round;
        fill(peer, device->fd, round, size);
        for (struct client *client = device->clients; client != NULL; client = client->next)
            client->send_tokens = (unsigned)round;
        while (left > 0) {
            struct pollfd wait = {device->fd, POLLIN, 0};
            poll(&wait, 1, 1000);
            start();
            left -= read_pass(device);
            stop();
        }
        clients_drop(device);
    }
}

int main(int argc, char **argv)
{
    struct device device = {.send_tokens_to_client = tokens_callback, .send_message_to_client = message_callback};
    if (argc < 7) {
        fputs("usage: line write|gather|read FD PEER MESSAGES SIZE ROUND [CLIENTS]\n", stderr);
        return 2;
    }
    int peer = atoi(argv[3]);
    size_t messages = strtoul(argv[4], NULL, 10), size = strtoul(argv[5], NULL, 10), round = strtoul(argv[6], NULL, 10);
    device.fd = atoi(argv[2]);
    device.pending.last = &device.pending.first;
    for (int i = argc > 7 ? atoi(argv[7]) : 1; i > 0; i--) {
        struct client *client = calloc(1, sizeof *client);
        if (client == NULL) die("calloc");
        client->last = &client->first;
        client->next = device.clients;
        device.clients = client;
    }
    if (strcmp(argv[1], "write") == 0)
        bench_write(&device, peer, messages, size, round);
    else if (strcmp(argv[1], "gather") == 0)
        bench_gather(&device, peer, messages, size, round);
    else
        bench_read(&device, peer, messages, size, round);
    printf("%lld %lld\n", (long long)processor, (long long)real);
    return 0;
}
