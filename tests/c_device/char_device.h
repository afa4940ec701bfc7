/*
 * The SPICE character-device API with everything that it needs of its surroundings, in one header.
 *
 * The functions and callbacks are those of spice-server's char_device.h (2013 to 2015).
 * The parts of its surroundings have the layout of spice-server's public headers (spice-core.h, spice-char.h) and of
 * spice-common's marshaller.h; `core`, the marshaller and `spice_log` are provided by whoever loads the library.
 */
#ifndef CHARDEV_CHAR_DEVICE_H
#define CHARDEV_CHAR_DEVICE_H

#include <stddef.h>
#include <stdint.h>

/* Opaque: who a client is, a marshaller, a timer. */
typedef struct RedClient RedClient;
typedef struct SpiceMarshaller SpiceMarshaller;
typedef struct SpiceTimer SpiceTimer;

typedef struct SpiceBaseInterface {
    const char *type;
    const char *description;
    uint32_t major_version;
    uint32_t minor_version;
} SpiceBaseInterface;

typedef struct SpiceBaseInstance {
    const SpiceBaseInterface *sif;
} SpiceBaseInstance;

/* Timers. */
typedef void (*SpiceTimerFunc)(void *opaque);

typedef struct SpiceCoreInterface {
    SpiceBaseInterface base;
    SpiceTimer *(*timer_add)(SpiceTimerFunc func, void *opaque);
    void (*timer_start)(SpiceTimer *timer, uint32_t ms);
    void (*timer_cancel)(SpiceTimer *timer);
    void (*timer_remove)(SpiceTimer *timer);
    void *watch_add;
    void *watch_update_mask;
    void *watch_remove;
    void *channel_event;
} SpiceCoreInterface;

extern SpiceCoreInterface *core;

/* The port below a device. */
typedef struct SpiceCharDeviceState SpiceCharDeviceState;
typedef struct SpiceCharDeviceInstance SpiceCharDeviceInstance;
typedef struct SpiceCharDeviceInterface SpiceCharDeviceInterface;

enum { SPICE_CHAR_DEVICE_NOTIFY_WRITABLE = 1 << 0 };

struct SpiceCharDeviceInterface {
    SpiceBaseInterface base;
    void (*state)(SpiceCharDeviceInstance *sin, int connected);
    int (*write)(SpiceCharDeviceInstance *sin, const uint8_t *buf, int len);
    int (*read)(SpiceCharDeviceInstance *sin, uint8_t *buf, int len);
    void (*event)(SpiceCharDeviceInstance *sin, uint8_t event);
    int flags;
};

struct SpiceCharDeviceInstance {
    SpiceBaseInstance base;
    const char *subtype;
    SpiceCharDeviceState *st;
    const char *portname;
};

/* The marshaller. */
typedef void (*spice_marshaller_item_free_func)(uint8_t *data, void *opaque);

uint8_t *spice_marshaller_reserve_space(SpiceMarshaller *m, size_t size);
uint8_t *spice_marshaller_add(SpiceMarshaller *m, const uint8_t *data, size_t size);
uint8_t *spice_marshaller_add_ref(SpiceMarshaller *m, uint8_t *data, size_t size);
uint8_t *spice_marshaller_add_ref_full(SpiceMarshaller *m, uint8_t *data, size_t size,
                                       spice_marshaller_item_free_func free_data, void *opaque);
SpiceMarshaller *spice_marshaller_get_ptr_submarshaller(SpiceMarshaller *m, int is_64bit);
void *spice_marshaller_add_uint32(SpiceMarshaller *m, uint32_t value);
void *spice_marshaller_add_uint8(SpiceMarshaller *m, uint8_t value);
void spice_marshaller_set_uint32(SpiceMarshaller *m, void *ref, uint32_t value);

/* Logging; a level of SPICE_LOG_LEVEL_ERROR (3) or above aborts. */
void spice_log(const char *log_domain, int log_level, const char *strloc, const char *function,
               const char *format, ...);

/* The migration record; the 8-byte migration header precedes it. */
typedef struct __attribute__((packed)) SpiceMigrateDataCharDevice {
    uint32_t version;
    uint8_t connected;
    uint32_t num_client_tokens;
    uint32_t num_send_tokens;
    uint32_t write_size;
    uint32_t write_num_client_tokens;
    uint32_t write_data_ptr;
} SpiceMigrateDataCharDevice;

/* The device. */
typedef struct RingItem {
    struct RingItem *prev;
    struct RingItem *next;
} RingItem;

typedef struct SpiceCharDeviceWriteBuffer {
    RingItem link;
    int origin;
    RedClient *client;
    uint8_t *buf;
    uint32_t buf_size;
    uint32_t buf_used;
    uint32_t token_price;
    uint32_t refs;
} SpiceCharDeviceWriteBuffer;

typedef void SpiceCharDeviceMsgToClient;

typedef struct SpiceCharDeviceCallbacks {
    SpiceCharDeviceMsgToClient *(*read_one_msg_from_device)(SpiceCharDeviceInstance *sin, void *opaque);
    SpiceCharDeviceMsgToClient *(*ref_msg_to_client)(SpiceCharDeviceMsgToClient *msg, void *opaque);
    void (*unref_msg_to_client)(SpiceCharDeviceMsgToClient *msg, void *opaque);
    void (*send_msg_to_client)(SpiceCharDeviceMsgToClient *msg, RedClient *client, void *opaque);
    void (*send_tokens_to_client)(RedClient *client, uint32_t tokens, void *opaque);
    void (*on_free_self_token)(void *opaque);
    void (*remove_client)(RedClient *client, void *opaque);
} SpiceCharDeviceCallbacks;

SpiceCharDeviceState *spice_char_device_state_create(SpiceCharDeviceInstance *sin, uint32_t client_tokens_interval,
                                                     uint32_t self_tokens, SpiceCharDeviceCallbacks *cbs,
                                                     void *opaque);
void spice_char_device_state_reset_dev_instance(SpiceCharDeviceState *dev, SpiceCharDeviceInstance *sin);
void spice_char_device_state_destroy(SpiceCharDeviceState *dev);
void *spice_char_device_state_opaque_get(SpiceCharDeviceState *dev);
void spice_char_device_state_migrate_data_marshall(SpiceCharDeviceState *dev, SpiceMarshaller *m);
void spice_char_device_state_migrate_data_marshall_empty(SpiceMarshaller *m);
int spice_char_device_state_restore(SpiceCharDeviceState *dev, SpiceMigrateDataCharDevice *mig_data);
void spice_char_device_reset(SpiceCharDeviceState *dev);
int spice_char_device_client_add(SpiceCharDeviceState *dev, RedClient *client, int do_flow_control,
                                 uint32_t max_send_queue_size, uint32_t num_client_tokens, uint32_t num_send_tokens,
                                 int wait_for_migrate_data);
void spice_char_device_client_remove(SpiceCharDeviceState *dev, RedClient *client);
int spice_char_device_client_exists(SpiceCharDeviceState *dev, RedClient *client);
void spice_char_device_start(SpiceCharDeviceState *dev);
void spice_char_device_stop(SpiceCharDeviceState *dev);
void spice_char_device_wakeup(SpiceCharDeviceState *dev);
void spice_char_device_send_to_client_tokens_add(SpiceCharDeviceState *dev, RedClient *client, uint32_t tokens);
void spice_char_device_send_to_client_tokens_set(SpiceCharDeviceState *dev, RedClient *client, uint32_t tokens);
SpiceCharDeviceWriteBuffer *spice_char_device_write_buffer_get(SpiceCharDeviceState *dev, RedClient *client, int size);
SpiceCharDeviceWriteBuffer *spice_char_device_write_buffer_get_server_no_token(SpiceCharDeviceState *dev, int size);
void spice_char_device_write_buffer_add(SpiceCharDeviceState *dev, SpiceCharDeviceWriteBuffer *write_buf);
void spice_char_device_write_buffer_release(SpiceCharDeviceState *dev, SpiceCharDeviceWriteBuffer *write_buf);

/*
 * Beyond spice-server's header, and optional: restore with the length of the message, which begins with the 8-byte
 * migration header. Without the length nothing can be said about truncated messages.
 */
int spice_char_device_state_restore_message(SpiceCharDeviceState *dev, const uint8_t *message, size_t size);

#endif
