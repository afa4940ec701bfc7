/*
 * A character device to be filled in; char_device.h declares everything that it needs.
 * Build it with make, check it with: chardev check c:./libdevice.so
 */
#include "char_device.h"

#include <stdio.h>
#include <stdlib.h>

/* Say what is not there yet. */
static void missing(const char *name)
{
    fprintf(stderr, "missing: %s\n", name);
    abort();
}

SpiceCharDeviceState *spice_char_device_state_create(SpiceCharDeviceInstance *sin,
                                                     uint32_t client_tokens_interval, uint32_t self_tokens,
                                                     SpiceCharDeviceCallbacks *cbs, void *opaque)
{
    (void)sin;
    (void)client_tokens_interval;
    (void)self_tokens;
    (void)cbs;
    (void)opaque;
    missing("create");
    return NULL;
}

void spice_char_device_state_reset_dev_instance(SpiceCharDeviceState *dev, SpiceCharDeviceInstance *sin)
{
    (void)dev;
    (void)sin;
    missing("reset_dev_instance");
}

void spice_char_device_state_destroy(SpiceCharDeviceState *dev)
{
    (void)dev;
    missing("destroy");
}

void *spice_char_device_state_opaque_get(SpiceCharDeviceState *dev)
{
    (void)dev;
    missing("opaque_get");
    return NULL;
}

void spice_char_device_state_migrate_data_marshall(SpiceCharDeviceState *dev, SpiceMarshaller *m)
{
    (void)dev;
    (void)m;
    missing("migrate_data_marshall");
}

void spice_char_device_state_migrate_data_marshall_empty(SpiceMarshaller *m)
{
    (void)m;
    missing("migrate_data_marshall_empty");
}

int spice_char_device_state_restore(SpiceCharDeviceState *dev, SpiceMigrateDataCharDevice *mig_data)
{
    (void)dev;
    (void)mig_data;
    missing("restore");
    return 0;
}

void spice_char_device_reset(SpiceCharDeviceState *dev)
{
    (void)dev;
    missing("reset");
}

int spice_char_device_client_add(SpiceCharDeviceState *dev, RedClient *client, int do_flow_control,
                                 uint32_t max_send_queue_size, uint32_t num_client_tokens,
                                 uint32_t num_send_tokens, int wait_for_migrate_data)
{
    (void)dev;
    (void)client;
    (void)do_flow_control;
    (void)max_send_queue_size;
    (void)num_client_tokens;
    (void)num_send_tokens;
    (void)wait_for_migrate_data;
    missing("client_add");
    return 0;
}

void spice_char_device_client_remove(SpiceCharDeviceState *dev, RedClient *client)
{
    (void)dev;
    (void)client;
    missing("client_remove");
}

int spice_char_device_client_exists(SpiceCharDeviceState *dev, RedClient *client)
{
    (void)dev;
    (void)client;
    missing("client_exists");
    return 0;
}

void spice_char_device_start(SpiceCharDeviceState *dev)
{
    (void)dev;
    missing("start");
}

void spice_char_device_stop(SpiceCharDeviceState *dev)
{
    (void)dev;
    missing("stop");
}

void spice_char_device_wakeup(SpiceCharDeviceState *dev)
{
    (void)dev;
    missing("wakeup");
}

void spice_char_device_send_to_client_tokens_add(SpiceCharDeviceState *dev, RedClient *client,
                                                 uint32_t tokens)
{
    (void)dev;
    (void)client;
    (void)tokens;
    missing("send_to_client_tokens_add");
}

void spice_char_device_send_to_client_tokens_set(SpiceCharDeviceState *dev, RedClient *client,
                                                 uint32_t tokens)
{
    (void)dev;
    (void)client;
    (void)tokens;
    missing("send_to_client_tokens_set");
}

SpiceCharDeviceWriteBuffer *spice_char_device_write_buffer_get(SpiceCharDeviceState *dev, RedClient *client,
                                                               int size)
{
    (void)dev;
    (void)client;
    (void)size;
    missing("write_buffer_get");
    return NULL;
}

SpiceCharDeviceWriteBuffer *spice_char_device_write_buffer_get_server_no_token(SpiceCharDeviceState *dev,
                                                                               int size)
{
    (void)dev;
    (void)size;
    missing("write_buffer_get_server_no_token");
    return NULL;
}

void spice_char_device_write_buffer_add(SpiceCharDeviceState *dev, SpiceCharDeviceWriteBuffer *write_buf)
{
    (void)dev;
    (void)write_buf;
    missing("write_buffer_add");
}

void spice_char_device_write_buffer_release(SpiceCharDeviceState *dev, SpiceCharDeviceWriteBuffer *write_buf)
{
    (void)dev;
    (void)write_buf;
    missing("write_buffer_release");
}
