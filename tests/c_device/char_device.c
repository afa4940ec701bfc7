/*
 * A small character device in C, written from the contract's rules; the checker's test object.
 *
 * Who owns what
 * -------------
 * A device lives until it is destroyed and neither a frame nor a buffer refers to it; a client (one attachment) until it
 * is removed and no frame refers to it; a buffer until its place, an outstanding port write and marshallers are done
 * with it. A frame that comes back from a callback looks at `destroyed`, `attached` and the queues again before it
 * touches anything.
 */
#include "char_device.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* How many buffers and messages one call moves at most (WR-5). */
#ifndef MOVES_PER_CALL
#define MOVES_PER_CALL 256
#endif

/* Buffer memory kept for reuse, in bytes (BUF-5). */
#define POOL_LIMIT (640 * 1024)
#define RETRY_DELAY_MS 100
#define WAIT_DELAY_MS 30000
#define MIGRATION_VERSION 1
#define HEADER_SIZE 8
#define MESSAGE_SIZE (HEADER_SIZE + sizeof(SpiceMigrateDataCharDevice))

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            spice_log("chardev", 3, __FILE__, __func__, "contract error: %s", #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { ORIGIN_CLIENT, ORIGIN_SERVER, ORIGIN_SERVER_NO_TOKEN, ORIGIN_NOBODY };
enum { PLACE_HELD, PLACE_QUEUED, PLACE_CURRENT, PLACE_WRITTEN, PLACE_FREE };
typedef enum { MOVED, NOTHING, ASKED, LIMIT } Outcome;

typedef struct Client Client;
typedef struct Buffer Buffer;

typedef struct Message {
    struct Message *next;
    void *content;
} Message;

typedef struct MessageList {
    Message *first;
    Message *last;
} MessageList;

/* One attachment. */
struct Client {
    Client *next; /* newest first */
    int refs;
    SpiceCharDeviceState *dev;
    RedClient *peer;
    bool attached;
    bool leaving;
    bool flow_control;
    bool pushing;
    bool wait_armed;
    uint64_t window;
    uint64_t tokens;
    uint64_t freed;
    uint64_t send_tokens;
    uint32_t max_send_queue_size;
    uint32_t queue_length;
    MessageList queue;
    SpiceTimer *wait_timer;
};

struct Buffer {
    SpiceCharDeviceWriteBuffer shown; /* first: the owner's view */
    Buffer *prev;
    Buffer *next;
    struct BufferList *list;
    SpiceCharDeviceState *dev;
    Client *client; /* only while it is attached */
    size_t memory;
    size_t written;
    int place;
    bool offered;
    bool marshalled;
};

typedef struct BufferList {
    Buffer *first;
    Buffer *last;
} BufferList;

struct SpiceCharDeviceState {
    int refs;
    int frames;
    SpiceCharDeviceCallbacks cbs;
    void *opaque;
    bool destroyed;
    bool running;
    bool active;
    bool sealed;
    SpiceCharDeviceInstance *sin;
    uint64_t generation;
    bool port_owes_wakeup;
    uint64_t interval;
    uint64_t self_tokens;
    Client *clients;
    Client *awaiting;
    BufferList held;
    BufferList pending;
    BufferList written;
    BufferList pool;
    size_t pool_bytes;
    bool writing;
    bool write_asked;
    bool write_limited;
    bool answer_ignored;
    bool reading;
    bool read_wanted;
    bool read_asked;
    SpiceTimer *retry_timer;
    bool retry_armed;
};

/* What one call has done so far. */
typedef struct Frame {
    uint64_t moved;
    bool progressed;
    bool limited;
} Frame;

static void write_pass(SpiceCharDeviceState *dev, Frame *frame);
static void read_pass(SpiceCharDeviceState *dev, Frame *frame);

/* Memory */

static void *allocate(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory) {
        abort();
    }
    return memory;
}

static void device_unref(SpiceCharDeviceState *dev)
{
    if (--dev->refs == 0) {
        free(dev);
    }
}

static void enter(SpiceCharDeviceState *dev)
{
    require(!dev->destroyed);
    dev->refs++;
    dev->frames++;
}

static void leave(SpiceCharDeviceState *dev)
{
    dev->frames--;
    device_unref(dev);
}

static void client_unref(Client *client)
{
    if (--client->refs == 0) {
        free(client);
    }
}

static void list_append(BufferList *list, Buffer *buffer)
{
    buffer->list = list;
    buffer->prev = list->last;
    buffer->next = NULL;
    if (list->last) {
        list->last->next = buffer;
    } else {
        list->first = buffer;
    }
    list->last = buffer;
}

static void list_prepend(BufferList *list, Buffer *buffer)
{
    buffer->list = list;
    buffer->prev = NULL;
    buffer->next = list->first;
    if (list->first) {
        list->first->prev = buffer;
    } else {
        list->last = buffer;
    }
    list->first = buffer;
}

static void list_remove(Buffer *buffer)
{
    BufferList *list = buffer->list;

    if (!list) {
        return;
    }
    if (buffer->prev) {
        buffer->prev->next = buffer->next;
    } else {
        list->first = buffer->next;
    }
    if (buffer->next) {
        buffer->next->prev = buffer->prev;
    } else {
        list->last = buffer->prev;
    }
    buffer->list = NULL;
}

static void buffer_destroy(Buffer *buffer)
{
    SpiceCharDeviceState *dev = buffer->dev;

    free(buffer->shown.buf);
    free(buffer);
    device_unref(dev);
}

static void pool_free(SpiceCharDeviceState *dev)
{
    Buffer *buffer;

    while ((buffer = dev->pool.first)) {
        list_remove(buffer);
        buffer_destroy(buffer);
    }
    dev->pool_bytes = 0;
}

/* BUF-2, BUF-5: with the last reference the memory is kept for reuse, within limits, or freed. */
static void buffer_unref(Buffer *buffer)
{
    SpiceCharDeviceState *dev = buffer->dev;

    if (--buffer->shown.refs > 0) {
        return;
    }
    if (!dev->destroyed && dev->clients && dev->pool_bytes + buffer->memory <= POOL_LIMIT) {
        dev->pool_bytes += buffer->memory;
        list_append(&dev->pool, buffer);
    } else {
        buffer_destroy(buffer);
    }
}

/* BUF-1: the buffer is free; it leaves its place, which held a reference. */
static void buffer_free(Buffer *buffer)
{
    list_remove(buffer);
    buffer->place = PLACE_FREE;
    buffer->client = NULL;
    buffer_unref(buffer);
}

static Buffer *buffer_new(SpiceCharDeviceState *dev, int origin, Client *client, size_t size)
{
    Buffer *buffer;

    for (buffer = dev->pool.first; buffer && buffer->memory < size; buffer = buffer->next) {
    }
    if (buffer) {
        list_remove(buffer);
        dev->pool_bytes -= buffer->memory;
    } else {
        buffer = allocate(sizeof(*buffer));
        buffer->shown.buf = allocate(size);
        buffer->memory = size;
        buffer->dev = dev;
        dev->refs++;
    }
    buffer->shown.origin = origin;
    buffer->shown.client = client ? client->peer : NULL;
    buffer->shown.buf_size = (uint32_t)size;
    buffer->shown.buf_used = 0;
    buffer->shown.token_price = 1;
    buffer->shown.refs = 1;
    buffer->client = client;
    buffer->written = 0;
    buffer->offered = false;
    buffer->marshalled = false;
    buffer->place = PLACE_HELD;
    return buffer;
}

static void disown(Buffer *buffer)
{
    buffer->shown.origin = ORIGIN_NOBODY;
    buffer->shown.client = NULL;
    buffer->client = NULL;
}

/* Conditions */

static bool may_move(SpiceCharDeviceState *dev)
{
    return !dev->destroyed && dev->running && dev->sin && !dev->awaiting && !dev->sealed;
}

static bool may_write(SpiceCharDeviceState *dev)
{
    return may_move(dev) && dev->pending.first;
}

static bool has_credit(Client *client)
{
    return !client->leaving && (!client->flow_control || client->send_tokens > 0);
}

/* RD-1 */
static bool may_read(SpiceCharDeviceState *dev)
{
    Client *client;

    if (!may_move(dev)) {
        return false;
    }
    for (client = dev->clients; client; client = client->next) {
        if (has_credit(client)) {
            return true;
        }
    }
    return !dev->clients;
}

static bool write_owed(SpiceCharDeviceState *dev)
{
    return !dev->writing && (dev->write_limited || !dev->port_owes_wakeup) && may_write(dev);
}

static bool read_owed(SpiceCharDeviceState *dev)
{
    return !dev->reading && dev->read_wanted && may_read(dev);
}

static void retry_disarm(SpiceCharDeviceState *dev)
{
    if (dev->retry_armed) {
        dev->retry_armed = false;
        core->timer_cancel(dev->retry_timer);
    }
}

/* WR-4, RD-8 */
static void settle_retry_timer(SpiceCharDeviceState *dev)
{
    if (read_owed(dev)) {
        dev->retry_armed = true;
        core->timer_start(dev->retry_timer, 0);
    } else if (write_owed(dev)) {
        dev->retry_armed = true;
        core->timer_start(dev->retry_timer, dev->write_limited ? 0 : RETRY_DELAY_MS);
    } else {
        retry_disarm(dev);
    }
}

static void wait_disarm(Client *client)
{
    if (client->wait_armed) {
        client->wait_armed = false;
        core->timer_cancel(client->wait_timer);
    }
}

static void wait_arm(Client *client)
{
    client->wait_armed = true;
    core->timer_start(client->wait_timer, WAIT_DELAY_MS);
}

static Client *find_client(SpiceCharDeviceState *dev, RedClient *peer)
{
    Client *client;

    for (client = dev->clients; client && client->peer != peer; client = client->next) {
    }
    return client;
}

/* Tokens */

/* RD-4: leaving is set before anybody is told. */
static void mark_leaving(Client *client)
{
    SpiceCharDeviceState *dev = client->dev;

    client->leaving = true;
    wait_disarm(client);
    if (!read_owed(dev) && !write_owed(dev)) {
        retry_disarm(dev);
    }
}

static void ask_to_remove(SpiceCharDeviceState *dev, Client *client)
{
    mark_leaving(client);
    dev->cbs.remove_client(client->peer, dev->opaque);
}

/* TOK-3 */
static void announce(SpiceCharDeviceState *dev, Client *client)
{
    uint64_t tokens = client->freed;

    client->tokens += tokens;
    client->freed = 0;
    dev->cbs.send_tokens_to_client(client->peer, (uint32_t)tokens, dev->opaque);
}

static bool announcement_due(SpiceCharDeviceState *dev, Client *client)
{
    return !client->leaving && client->freed > 0 && client->freed >= dev->interval;
}

/* TOK-3, SELF-3: the buffer is free, then its price returns. */
static void give_back(SpiceCharDeviceState *dev, Buffer *buffer)
{
    int origin = buffer->shown.origin;
    Client *client = buffer->client;
    uint64_t price = buffer->shown.token_price;

    buffer_free(buffer);
    if (origin == ORIGIN_SERVER) {
        dev->self_tokens++;
        if (dev->cbs.on_free_self_token) {
            dev->cbs.on_free_self_token(dev->opaque);
        }
    } else if (origin == ORIGIN_CLIENT && client && client->flow_control) {
        client->freed += price;
        if (announcement_due(dev, client)) {
            announce(dev, client);
        }
    }
}

/* Messages */

static void message_append(MessageList *list, void *content)
{
    Message *message = allocate(sizeof(*message));

    message->content = content;
    if (list->last) {
        list->last->next = message;
    } else {
        list->first = message;
    }
    list->last = message;
}

static void *message_pop(MessageList *list)
{
    Message *message = list->first;
    void *content = message->content;

    list->first = message->next;
    if (!list->first) {
        list->last = NULL;
    }
    free(message);
    return content;
}

/* Put one client's queue at the end of `all`. */
static void take_queue(MessageList *all, Client *client)
{
    if (client->queue.first) {
        if (all->last) {
            all->last->next = client->queue.first;
        } else {
            all->first = client->queue.first;
        }
        all->last = client->queue.last;
    }
    client->queue.first = client->queue.last = NULL;
    client->queue_length = 0;
}

static void unref_all(SpiceCharDeviceState *dev, MessageList *messages)
{
    while (messages->first) {
        dev->cbs.unref_msg_to_client(message_pop(messages), dev->opaque);
    }
}

/* Writing */

/* The port took so many bytes off the queue; how many buffers that completed (WR-3, WR-7, BUF-6). */
static uint64_t take(SpiceCharDeviceState *dev, size_t size)
{
    uint64_t completed = 0;
    Buffer *buffer;

    while ((buffer = dev->pending.first)) {
        size_t rest = buffer->shown.buf_used - buffer->written;

        if (rest > size) {
            if (size > 0) {
                buffer->written += size;
                buffer->place = PLACE_CURRENT;
            }
            break;
        }
        size -= rest;
        buffer->written += rest;
        list_remove(buffer);
        buffer->place = PLACE_WRITTEN;
        list_append(&dev->written, buffer);
        completed++;
    }
    return completed;
}

static void complete(SpiceCharDeviceState *dev, Frame *frame, uint64_t completed)
{
    frame->moved += completed;
    frame->progressed = true;
    while (!dev->destroyed && dev->written.first) {
        give_back(dev, dev->written.first);
    }
}

static void detach(SpiceCharDeviceState *dev)
{
    dev->sin = NULL;
    dev->generation++;
    dev->port_owes_wakeup = false;
    retry_disarm(dev);
}

static const SpiceCharDeviceInterface *port_interface(SpiceCharDeviceInstance *sin)
{
    return (const SpiceCharDeviceInterface *)sin->base.sif;
}

static Outcome write_to_port(SpiceCharDeviceState *dev, Frame *frame)
{
    Buffer *buffer = dev->pending.first;
    SpiceCharDeviceInstance *sin = dev->sin;
    uint64_t generation = dev->generation;
    uint64_t completed = 0;
    size_t rest = buffer->shown.buf_used - buffer->written;
    int offered = rest > INT_MAX ? INT_MAX : (int)rest;
    bool failed;
    int taken;

    buffer->offered = true;
    buffer->shown.refs++;
    dev->write_asked = false;
    dev->answer_ignored = false;
    taken = port_interface(sin)->write(sin, buffer->shown.buf + buffer->written, offered);
    buffer->offered = false;
    buffer_unref(buffer);
    if (dev->destroyed) {
        return NOTHING;
    }
    failed = taken < 0 || taken > offered;
    if (failed || dev->answer_ignored) {
        taken = 0;
    }
    if (taken > 0) {
        completed = take(dev, (size_t)taken);
        if (dev->running) {
            dev->active = true;
        }
    }
    /* WR-7: what nobody owns and the port did not touch is dropped. */
    if ((buffer = dev->pending.first) && buffer->shown.origin == ORIGIN_NOBODY && buffer->place == PLACE_QUEUED) {
        buffer_free(buffer);
    }
    if (dev->generation == generation) {
        if (failed) {
            detach(dev);
        } else {
            dev->port_owes_wakeup =
                (port_interface(sin)->flags & SPICE_CHAR_DEVICE_NOTIFY_WRITABLE) && taken < offered;
        }
    }
    if (taken > 0) {
        complete(dev, frame, completed);
        return MOVED;
    }
    return dev->write_asked ? ASKED : NOTHING;
}

static Outcome write_once(SpiceCharDeviceState *dev, Frame *frame)
{
    uint64_t completed;

    if (frame->moved >= MOVES_PER_CALL) {
        return LIMIT;
    }
    completed = take(dev, 0);
    if (completed > 0) {
        complete(dev, frame, completed);
        return MOVED;
    }
    return write_to_port(dev, frame);
}

/* WR-5: a try that moved nothing is repeated once. */
static Outcome limit_repeats(Outcome outcome, bool *repeated)
{
    if (outcome != ASKED) {
        *repeated = false;
        return outcome;
    }
    if (*repeated) {
        return LIMIT;
    }
    *repeated = true;
    return ASKED;
}

static void write_pass(SpiceCharDeviceState *dev, Frame *frame)
{
    Outcome outcome = MOVED;
    bool repeated = false;

    dev->write_asked = true;
    if (dev->writing) {
        return;
    }
    dev->writing = true;
    dev->write_limited = false;
    while ((outcome == MOVED || outcome == ASKED) && may_write(dev)) {
        outcome = limit_repeats(write_once(dev, frame), &repeated);
    }
    if (dev->destroyed) {
        return;
    }
    frame->limited |= outcome == LIMIT;
    dev->writing = false;
    dev->write_limited = outcome != NOTHING && may_write(dev);
    settle_retry_timer(dev);
}

/* Reading */

static void send_message(SpiceCharDeviceState *dev, Client *client, void *message)
{
    if (client->flow_control) {
        client->send_tokens--;
    }
    dev->cbs.send_msg_to_client(message, client->peer, dev->opaque);
    dev->cbs.unref_msg_to_client(message, dev->opaque);
}

/* RD-2, RD-3, RD-4 */
static void deliver(SpiceCharDeviceState *dev, Client *client, void *message)
{
    message = dev->cbs.ref_msg_to_client(message, dev->opaque);
    if (!client->attached || client->leaving) {
        dev->cbs.unref_msg_to_client(message, dev->opaque);
    } else if (!client->flow_control || (client->queue_length == 0 && client->send_tokens > 0)) {
        send_message(dev, client, message);
    } else if (client->queue_length >= client->max_send_queue_size) {
        mark_leaving(client);
        dev->cbs.unref_msg_to_client(message, dev->opaque);
        if (client->attached) {
            dev->cbs.remove_client(client->peer, dev->opaque);
        }
    } else {
        message_append(&client->queue, message);
        client->queue_length++;
        if (!client->wait_armed) {
            wait_arm(client);
        }
    }
}

/* The clients that are attached now, newest first, each with a reference. */
static Client **snapshot(SpiceCharDeviceState *dev, size_t *count)
{
    Client **clients;
    Client *client;
    size_t i = 0;

    *count = 0;
    for (client = dev->clients; client; client = client->next) {
        ++*count;
    }
    clients = allocate(*count * sizeof(*clients));
    for (client = dev->clients; client; client = client->next) {
        client->refs++;
        clients[i++] = client;
    }
    return clients;
}

static void fan_out(SpiceCharDeviceState *dev, void *message)
{
    size_t count, i;
    Client **recipients = snapshot(dev, &count);

    for (i = 0; i < count; i++) {
        if (recipients[i]->attached && !recipients[i]->leaving) {
            deliver(dev, recipients[i], message);
        }
        client_unref(recipients[i]);
    }
    free(recipients);
    dev->cbs.unref_msg_to_client(message, dev->opaque);
}

static Outcome read_once(SpiceCharDeviceState *dev, Frame *frame)
{
    void *message;

    if (frame->moved >= MOVES_PER_CALL) {
        return LIMIT;
    }
    dev->read_asked = false;
    message = dev->cbs.read_one_msg_from_device(dev->sin, dev->opaque);
    if (dev->destroyed) {
        if (message) {
            dev->cbs.unref_msg_to_client(message, dev->opaque);
        }
        return NOTHING;
    }
    if (!message) {
        dev->read_wanted = dev->read_asked;
        return dev->read_asked ? ASKED : NOTHING;
    }
    frame->moved++;
    frame->progressed = true;
    if (dev->running) {
        dev->active = true;
    }
    fan_out(dev, message);
    return MOVED;
}

static void read_pass(SpiceCharDeviceState *dev, Frame *frame)
{
    Outcome outcome = MOVED;
    bool repeated = false;

    dev->read_wanted = true;
    dev->read_asked = true;
    if (dev->reading) {
        return;
    }
    dev->reading = true;
    while ((outcome == MOVED || outcome == ASKED) && dev->read_wanted && may_read(dev)) {
        outcome = limit_repeats(read_once(dev, frame), &repeated);
    }
    if (dev->destroyed) {
        return;
    }
    frame->limited |= outcome == LIMIT;
    dev->reading = false;
    settle_retry_timer(dev);
}

static void take_turns(SpiceCharDeviceState *dev, Frame *frame)
{
    write_pass(dev, frame);
    if (!dev->destroyed) {
        read_pass(dev, frame);
    }
}

static void write_and_read(SpiceCharDeviceState *dev, Frame *frame)
{
    if (dev->running) {
        take_turns(dev, frame);
    }
}

/* RD-7 */
static void use_credit(SpiceCharDeviceState *dev, Client *client)
{
    Frame frame = {0};

    if (client->leaving) {
        return;
    }
    if (client->pushing) {
        dev->read_wanted = true;
        dev->read_asked = true;
        return;
    }
    client->refs++;
    client->pushing = true;
    while (client->attached && !client->leaving && client->queue_length > 0 && client->send_tokens > 0) {
        void *message = message_pop(&client->queue);

        client->queue_length--;
        if (client->queue_length == 0) {
            wait_disarm(client);
        } else {
            wait_arm(client);
        }
        send_message(dev, client, message);
    }
    client->pushing = false;
    client_unref(client);
    if (!dev->destroyed) {
        read_pass(dev, &frame);
    }
}

void spice_char_device_send_to_client_tokens_add(SpiceCharDeviceState *dev, RedClient *peer, uint32_t tokens)
{
    Client *client;

    enter(dev);
    client = find_client(dev, peer);
    require(client);
    if (client->flow_control && tokens > 0) {
        client->send_tokens += tokens;
        use_credit(dev, client);
    }
    leave(dev);
}

void spice_char_device_send_to_client_tokens_set(SpiceCharDeviceState *dev, RedClient *peer, uint32_t tokens)
{
    Client *client;

    enter(dev);
    client = find_client(dev, peer);
    require(client);
    if (client->flow_control) {
        client->send_tokens = tokens;
        use_credit(dev, client);
    }
    leave(dev);
}

static void wait_timer_fired(void *opaque)
{
    Client *client = opaque;
    SpiceCharDeviceState *dev = client->dev;

    if (client->wait_armed) {
        enter(dev);
        client->wait_armed = false;
        ask_to_remove(dev, client);
        leave(dev);
    }
}

/* Life cycle */

static void retry_timer_fired(void *opaque)
{
    SpiceCharDeviceState *dev = opaque;

    if (dev->retry_armed) {
        dev->retry_armed = false;
        spice_char_device_wakeup(dev);
    }
}

SpiceCharDeviceState *spice_char_device_state_create(SpiceCharDeviceInstance *sin, uint32_t client_tokens_interval,
                                                     uint32_t self_tokens, SpiceCharDeviceCallbacks *cbs,
                                                     void *opaque)
{
    SpiceCharDeviceState *dev = allocate(sizeof(*dev));

    dev->refs = 1;
    dev->cbs = *cbs;
    dev->opaque = opaque;
    dev->sin = sin;
    dev->interval = client_tokens_interval;
    dev->self_tokens = self_tokens;
    dev->retry_timer = core->timer_add(retry_timer_fired, dev);
    return dev;
}

void *spice_char_device_state_opaque_get(SpiceCharDeviceState *dev)
{
    return dev->opaque;
}

void spice_char_device_state_reset_dev_instance(SpiceCharDeviceState *dev, SpiceCharDeviceInstance *sin)
{
    Frame frame = {0};

    enter(dev);
    if (!sin) {
        detach(dev);
    } else {
        dev->sin = sin;
        dev->generation++;
        dev->port_owes_wakeup = false;
        write_and_read(dev, &frame);
    }
    leave(dev);
}

void spice_char_device_start(SpiceCharDeviceState *dev)
{
    Frame frame = {0};

    enter(dev);
    dev->running = true;
    do {
        frame.progressed = false;
        take_turns(dev, &frame);
    } while (!dev->destroyed && dev->running && frame.progressed && !frame.limited);
    leave(dev);
}

static void halt(SpiceCharDeviceState *dev)
{
    dev->running = false;
    dev->active = false;
    retry_disarm(dev);
}

void spice_char_device_stop(SpiceCharDeviceState *dev)
{
    enter(dev);
    halt(dev);
    leave(dev);
}

void spice_char_device_wakeup(SpiceCharDeviceState *dev)
{
    Frame frame = {0};

    enter(dev);
    dev->port_owes_wakeup = false;
    write_and_read(dev, &frame);
    leave(dev);
}

int spice_char_device_client_exists(SpiceCharDeviceState *dev, RedClient *client)
{
    return find_client(dev, client) != NULL;
}

static bool refuses_client(SpiceCharDeviceState *dev, bool waits)
{
    bool partly = dev->pending.first && dev->pending.first->place == PLACE_CURRENT;

    if (dev->sealed || dev->awaiting) {
        return true;
    }
    return waits && (dev->clients || dev->active || partly || dev->writing || dev->reading);
}

int spice_char_device_client_add(SpiceCharDeviceState *dev, RedClient *peer, int do_flow_control,
                                 uint32_t max_send_queue_size, uint32_t num_client_tokens, uint32_t num_send_tokens,
                                 int wait_for_migrate_data)
{
    Frame frame = {0};
    Client *client;

    enter(dev);
    require(!find_client(dev, peer));
    require(!do_flow_control || num_client_tokens == 0 || num_client_tokens >= dev->interval);
    if (refuses_client(dev, wait_for_migrate_data)) {
        leave(dev);
        return 0;
    }
    client = allocate(sizeof(*client));
    client->refs = 1;
    client->dev = dev;
    client->peer = peer;
    client->attached = true;
    client->flow_control = do_flow_control;
    client->window = num_client_tokens;
    client->tokens = num_client_tokens;
    client->send_tokens = wait_for_migrate_data ? 0 : num_send_tokens;
    client->max_send_queue_size = max_send_queue_size;
    client->wait_timer = core->timer_add(wait_timer_fired, client);
    client->next = dev->clients;
    dev->clients = client;
    if (wait_for_migrate_data) {
        dev->awaiting = client;
    }
    write_and_read(dev, &frame);
    leave(dev);
    return 1;
}

/* The client is attached no more; its timer is gone. */
static void delist(SpiceCharDeviceState *dev, Client *client)
{
    Client **link = &dev->clients;

    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
    client->attached = false;
    client->wait_armed = false;
    core->timer_remove(client->wait_timer);
    client->wait_timer = NULL;
    if (dev->awaiting == client) {
        dev->awaiting = NULL;
    }
}

/* BUF-4, WR-3, WR-7 */
static void disown_buffers(SpiceCharDeviceState *dev, Client *client)
{
    Buffer *buffer, *next;

    for (buffer = dev->held.first; buffer; buffer = buffer->next) {
        if (buffer->client == client) {
            disown(buffer);
        }
    }
    for (buffer = dev->written.first; buffer; buffer = next) {
        next = buffer->next;
        if (buffer->client == client) {
            buffer_free(buffer);
        }
    }
    for (buffer = dev->pending.first; buffer; buffer = next) {
        next = buffer->next;
        if (buffer->client != client) {
            continue;
        }
        if (buffer->place == PLACE_QUEUED && !buffer->offered) {
            buffer_free(buffer);
        } else {
            disown(buffer);
        }
    }
}

/* MIG-2: what was marshalled is dropped; how many self tokens that returned. */
static uint64_t end_seal(SpiceCharDeviceState *dev)
{
    uint64_t returned = 0;
    Buffer *buffer, *next;

    dev->sealed = false;
    for (buffer = dev->pending.first; buffer; buffer = next) {
        next = buffer->next;
        if (buffer->marshalled) {
            returned += buffer->shown.origin == ORIGIN_SERVER;
            buffer_free(buffer);
        }
    }
    dev->self_tokens += returned;
    return returned;
}

static void tell_self_tokens(SpiceCharDeviceState *dev, uint64_t returned)
{
    while (returned-- > 0 && !dev->destroyed && dev->cbs.on_free_self_token) {
        dev->cbs.on_free_self_token(dev->opaque);
    }
}

void spice_char_device_client_remove(SpiceCharDeviceState *dev, RedClient *peer)
{
    MessageList messages = {0};
    Frame frame = {0};
    uint64_t returned;
    Client *client;

    enter(dev);
    client = find_client(dev, peer);
    require(client);
    take_queue(&messages, client);
    disown_buffers(dev, client);
    delist(dev, client);
    client_unref(client);
    returned = end_seal(dev);
    if (!dev->clients) {
        pool_free(dev);
    }
    tell_self_tokens(dev, returned);
    unref_all(dev, &messages);
    if (!dev->destroyed) {
        write_and_read(dev, &frame);
    }
    leave(dev);
}

/* LC-3: prices go to the freed tokens; how many self tokens returned. */
static uint64_t reset_buffers(SpiceCharDeviceState *dev)
{
    BufferList *lists[] = {&dev->pending, &dev->written};
    uint64_t returned = 0;
    Buffer *buffer;
    size_t i;

    for (i = 0; i < 2; i++) {
        while ((buffer = lists[i]->first)) {
            if (buffer->shown.origin == ORIGIN_SERVER) {
                returned++;
            } else if (buffer->client && buffer->client->flow_control) {
                buffer->client->freed += buffer->shown.token_price;
            }
            buffer_free(buffer);
        }
    }
    dev->self_tokens += returned;
    for (buffer = dev->held.first; buffer; buffer = buffer->next) {
        if (buffer->client) {
            if (buffer->client->flow_control) {
                buffer->client->freed += buffer->shown.token_price;
            }
            disown(buffer);
        }
    }
    return returned;
}

void spice_char_device_reset(SpiceCharDeviceState *dev)
{
    MessageList messages = {0};
    size_t count, i;
    Client **clients;
    uint64_t returned;

    enter(dev);
    clients = snapshot(dev, &count);
    halt(dev);
    detach(dev);
    dev->answer_ignored = true;
    if (dev->awaiting) {
        dev->awaiting->send_tokens = 0;
        dev->awaiting = NULL;
    }
    dev->sealed = false;
    returned = reset_buffers(dev);
    for (i = 0; i < count; i++) {
        wait_disarm(clients[i]);
        take_queue(&messages, clients[i]);
    }
    tell_self_tokens(dev, returned);
    unref_all(dev, &messages);
    for (i = 0; i < count; i++) {
        if (clients[i]->attached && !clients[i]->leaving && clients[i]->freed > 0) {
            announce(dev, clients[i]);
        }
        client_unref(clients[i]);
    }
    free(clients);
    if (!dev->destroyed && !dev->sin) {
        halt(dev);
    }
    leave(dev);
}

void spice_char_device_state_destroy(SpiceCharDeviceState *dev)
{
    MessageList messages = {0};
    Client *client;
    Buffer *buffer;

    enter(dev);
    halt(dev);
    detach(dev);
    core->timer_remove(dev->retry_timer);
    dev->destroyed = true;
    dev->answer_ignored = true;
    while (dev->held.first) {
        buffer = dev->held.first;
        list_remove(buffer);
        disown(buffer);
    }
    while (dev->pending.first) {
        buffer_free(dev->pending.first);
    }
    while (dev->written.first) {
        buffer_free(dev->written.first);
    }
    pool_free(dev);
    while ((client = dev->clients)) {
        take_queue(&messages, client);
        delist(dev, client);
        client_unref(client);
    }
    unref_all(dev, &messages);
    device_unref(dev); /* the owner's reference */
    leave(dev);
}

/* Buffers of the owner */

static SpiceCharDeviceWriteBuffer *hand_out(SpiceCharDeviceState *dev, int origin, Client *client, int size)
{
    Buffer *buffer = buffer_new(dev, origin, client, (size_t)size);

    list_append(&dev->held, buffer);
    return &buffer->shown;
}

SpiceCharDeviceWriteBuffer *spice_char_device_write_buffer_get(SpiceCharDeviceState *dev, RedClient *peer, int size)
{
    SpiceCharDeviceWriteBuffer *result = NULL;
    Client *client;

    enter(dev);
    require(size >= 0);
    if (!peer) {
        if (dev->self_tokens > 0) {
            dev->self_tokens--;
            result = hand_out(dev, ORIGIN_SERVER, NULL, size);
        }
    } else if ((client = find_client(dev, peer)) && !client->leaving && !dev->sealed) {
        if (!client->flow_control) {
            result = hand_out(dev, ORIGIN_CLIENT, client, size);
        } else if (client->tokens > 0) {
            client->tokens--;
            result = hand_out(dev, ORIGIN_CLIENT, client, size);
        } else {
            ask_to_remove(dev, client);
        }
    }
    leave(dev);
    return result;
}

SpiceCharDeviceWriteBuffer *spice_char_device_write_buffer_get_server_no_token(SpiceCharDeviceState *dev, int size)
{
    require(!dev->destroyed && size >= 0);
    return hand_out(dev, ORIGIN_SERVER_NO_TOKEN, NULL, size);
}

void spice_char_device_write_buffer_add(SpiceCharDeviceState *dev, SpiceCharDeviceWriteBuffer *write_buf)
{
    Buffer *buffer = (Buffer *)write_buf;
    Frame frame = {0};

    enter(dev);
    require(buffer->dev == dev && buffer->place == PLACE_HELD);
    require(write_buf->buf_used <= write_buf->buf_size);
    if (write_buf->origin == ORIGIN_NOBODY) {
        buffer_free(buffer);
    } else {
        list_remove(buffer);
        buffer->place = PLACE_QUEUED;
        list_append(&dev->pending, buffer);
    }
    write_pass(dev, &frame);
    leave(dev);
}

void spice_char_device_write_buffer_release(SpiceCharDeviceState *dev, SpiceCharDeviceWriteBuffer *write_buf)
{
    Buffer *buffer = (Buffer *)write_buf;

    require(buffer->place == PLACE_HELD);
    if (!dev) {
        require(buffer->dev->destroyed);
        buffer_free(buffer);
        return;
    }
    enter(dev);
    give_back(dev, buffer);
    leave(dev);
}

/* Migration */

static void marshalled_buffer_done(uint8_t *data, void *opaque)
{
    (void)data;
    buffer_unref(opaque);
}

static uint32_t saturated(uint64_t count)
{
    return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

void spice_char_device_state_migrate_data_marshall_empty(SpiceMarshaller *m)
{
    SpiceMigrateDataCharDevice *record =
        (SpiceMigrateDataCharDevice *)spice_marshaller_reserve_space(m, sizeof(*record));

    memset(record, 0, sizeof(*record));
    record->version = MIGRATION_VERSION;
}

void spice_char_device_state_migrate_data_marshall(SpiceCharDeviceState *dev, SpiceMarshaller *m)
{
    Client *client = dev->clients;
    SpiceMarshaller *data;
    uint64_t size = 0, price = 0;
    Buffer *buffer;

    require(!dev->destroyed && !dev->running && !dev->awaiting && dev->frames == 0);
    require(client && !client->next && !client->leaving && client->queue_length == 0);
    for (buffer = dev->held.first; buffer; buffer = buffer->next) {
        require(buffer->client != client);
    }
    for (buffer = dev->pending.first; buffer; buffer = buffer->next) {
        size += buffer->shown.buf_used - buffer->written;
        if (buffer->client) {
            price += buffer->shown.token_price;
        }
    }
    require(size <= UINT32_MAX);
    dev->sealed = true;
    spice_marshaller_add_uint32(m, MIGRATION_VERSION);
    spice_marshaller_add_uint8(m, 1);
    spice_marshaller_add_uint32(m, client->flow_control ? saturated(client->tokens) : UINT32_MAX);
    spice_marshaller_add_uint32(m, client->flow_control ? saturated(client->send_tokens) : UINT32_MAX);
    spice_marshaller_add_uint32(m, (uint32_t)size);
    spice_marshaller_add_uint32(m, saturated(price));
    data = spice_marshaller_get_ptr_submarshaller(m, 0);
    for (buffer = dev->pending.first; buffer; buffer = buffer->next) {
        buffer->marshalled = true;
        buffer->shown.refs++;
        spice_marshaller_add_ref_full(data, buffer->shown.buf + buffer->written,
                                      buffer->shown.buf_used - buffer->written, marshalled_buffer_done, buffer);
    }
}

static uint32_t little_endian(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int spice_char_device_state_restore_message(SpiceCharDeviceState *dev, const uint8_t *message, size_t length)
{
    const uint8_t *record = message + HEADER_SIZE;
    uint64_t client_tokens, send_tokens, size, price, pointer, own;
    Frame frame = {0};
    Client *client;
    Buffer *buffer;

    require(!dev->destroyed && dev->awaiting && !dev->awaiting->leaving);
    client = dev->awaiting;
    if (length < MESSAGE_SIZE || little_endian(record) > MIGRATION_VERSION || record[4] == 0) {
        return 0;
    }
    client_tokens = little_endian(record + 5);
    send_tokens = little_endian(record + 9);
    size = little_endian(record + 13);
    price = little_endian(record + 17);
    pointer = little_endian(record + 21);
    if (size > 0 && (pointer < MESSAGE_SIZE || pointer > length || size > length - pointer)) {
        return 0;
    }
    own = client->window - client->tokens;
    if (client->flow_control && (client_tokens + price > client->window || client_tokens < own)) {
        return 0;
    }
    enter(dev);
    if (client->flow_control) {
        client->freed += client->window - client_tokens - price;
        client->tokens = client_tokens - own;
        client->send_tokens += send_tokens;
        if (size == 0) {
            client->freed += price;
        }
    }
    if (size > 0) {
        buffer = buffer_new(dev, price ? ORIGIN_CLIENT : ORIGIN_SERVER_NO_TOKEN, price ? client : NULL, (size_t)size);
        memcpy(buffer->shown.buf, message + pointer, (size_t)size);
        buffer->shown.buf_used = (uint32_t)size;
        buffer->shown.token_price = (uint32_t)price;
        buffer->place = PLACE_CURRENT;
        list_prepend(&dev->pending, buffer);
    }
    dev->awaiting = NULL;
    if (client->flow_control && announcement_due(dev, client)) {
        announce(dev, client);
    }
    if (!dev->destroyed) {
        write_and_read(dev, &frame);
    }
    leave(dev);
    return 1;
}

int spice_char_device_state_restore(SpiceCharDeviceState *dev, SpiceMigrateDataCharDevice *mig_data)
{
    return spice_char_device_state_restore_message(dev, (const uint8_t *)mig_data - HEADER_SIZE, SIZE_MAX);
}
