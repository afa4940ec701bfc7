/*
 * What a C implementation of the character device imports from its surroundings: the variable `core`, the marshaller,
 * and spice_log. The checker builds this, loads it before the implementation, and sets `core`.
 *
 * An implementation that is built with -fsanitize-coverage=trace-pc-guard (clang) or =trace-pc (gcc) tells here which
 * code runs; the checker reads that from the file that CHARDEV_COVERAGE names.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COVERAGE = 1 << 16 };

static uint8_t unread[COVERAGE];
static uint8_t *coverage = unread;

/* The file is shared with the forks that run scenarios, and outlives those that crash. */
__attribute__((constructor)) static void share_coverage(void)
{
    const char *name = getenv("CHARDEV_COVERAGE");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *shared;

    if (file >= 0) {
        shared = mmap(NULL, COVERAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (shared != MAP_FAILED) {
            coverage = shared;
        }
    }
}

static void ran(uintptr_t place)
{
    uint8_t *count = &coverage[place % COVERAGE];

    if (*count < 255) {
        ++*count;
    }
}

void __sanitizer_cov_trace_pc_guard_init(uint32_t *guard, uint32_t *end)
{
    static uint32_t guards;

    for (; guard < end; guard++) {
        if (!*guard) {
            *guard = ++guards;
        }
    }
}

void __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
    ran(*guard);
}

void __sanitizer_cov_trace_pc(void)
{
    static uintptr_t base; /* where the library was loaded differs from run to run */
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    Dl_info info;

    if (!base) {
        base = dladdr((void *)place, &info) ? (uintptr_t)info.dli_fbase : 1;
    }
    ran(place - base);
}

/* A SpiceCoreInterface; the checker's. */
void *core;

void spice_log(const char *log_domain, int log_level, const char *strloc, const char *function, const char *format,
               ...)
{
    va_list arguments;

    fprintf(stderr, "%s: %s: %s: ", log_domain ? log_domain : "", strloc ? strloc : "", function ? function : "");
    va_start(arguments, format);
    vfprintf(stderr, format ? format : "", arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (log_level >= 3) {
        abort();
    }
}

typedef void (*FreeData)(uint8_t *data, void *opaque);

typedef struct Item {
    struct Item *next;
    uint8_t *data;
    size_t size;
    FreeData free_data;
    void *opaque;
    struct SpiceMarshaller *pointer; /* the item is a pointer to this one's data */
} Item;

typedef struct SpiceMarshaller {
    Item *first;
    Item *last;
} SpiceMarshaller;

static void *allocate(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory) {
        abort();
    }
    return memory;
}

static void free_own(uint8_t *data, void *opaque)
{
    (void)opaque;
    free(data);
}

static Item *append(SpiceMarshaller *m, uint8_t *data, size_t size)
{
    Item *item = allocate(sizeof(*item));

    item->data = data;
    item->size = size;
    if (m->last) {
        m->last->next = item;
    } else {
        m->first = item;
    }
    m->last = item;
    return item;
}

uint8_t *spice_marshaller_reserve_space(SpiceMarshaller *m, size_t size)
{
    Item *item = append(m, allocate(size), size);

    item->free_data = free_own;
    return item->data;
}

uint8_t *spice_marshaller_add(SpiceMarshaller *m, const uint8_t *data, size_t size)
{
    return memcpy(spice_marshaller_reserve_space(m, size), data, size);
}

uint8_t *spice_marshaller_add_ref(SpiceMarshaller *m, const uint8_t *data, size_t size)
{
    return append(m, (uint8_t *)data, size)->data;
}

uint8_t *spice_marshaller_add_ref_full(SpiceMarshaller *m, uint8_t *data, size_t size, FreeData free_data,
                                       void *opaque)
{
    Item *item = append(m, data, size);

    item->free_data = free_data;
    item->opaque = opaque;
    return data;
}

SpiceMarshaller *spice_marshaller_get_ptr_submarshaller(SpiceMarshaller *m, int is_64bit)
{
    Item *item = append(m, allocate(is_64bit ? 8 : 4), is_64bit ? 8 : 4);

    item->free_data = free_own;
    item->pointer = allocate(sizeof(*item->pointer));
    return item->pointer;
}

static void put(uint8_t *bytes, uint64_t value, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

static void *add_number(SpiceMarshaller *m, uint64_t value, size_t size)
{
    uint8_t *bytes = spice_marshaller_reserve_space(m, size);

    put(bytes, value, size);
    return bytes;
}

void *spice_marshaller_add_uint64(SpiceMarshaller *m, uint64_t value)
{
    return add_number(m, value, 8);
}

void *spice_marshaller_add_uint32(SpiceMarshaller *m, uint32_t value)
{
    return add_number(m, value, 4);
}

void *spice_marshaller_add_int32(SpiceMarshaller *m, int32_t value)
{
    return add_number(m, (uint32_t)value, 4);
}

void *spice_marshaller_add_uint16(SpiceMarshaller *m, uint16_t value)
{
    return add_number(m, value, 2);
}

void *spice_marshaller_add_uint8(SpiceMarshaller *m, uint8_t value)
{
    return add_number(m, value, 1);
}

void spice_marshaller_set_uint32(SpiceMarshaller *m, void *ref, uint32_t value)
{
    (void)m;
    put(ref, value, 4);
}

static size_t own_size(const SpiceMarshaller *m)
{
    const Item *item;
    size_t size = 0;

    for (item = m->first; item; item = item->next) {
        size += item->size;
    }
    return size;
}

size_t spice_marshaller_get_total_size(SpiceMarshaller *m)
{
    const Item *item;
    size_t size = own_size(m);

    for (item = m->first; item; item = item->next) {
        if (item->pointer) {
            size += spice_marshaller_get_total_size(item->pointer);
        }
    }
    return size;
}

/* Write a marshaller's bytes at `place` of the whole, then those that it points to. */
static size_t write_out(SpiceMarshaller *m, uint8_t *whole, size_t place)
{
    size_t end = place + own_size(m), size;
    Item *item;

    for (item = m->first; item; item = item->next) {
        if (item->pointer) {
            size = spice_marshaller_get_total_size(item->pointer);
            put(item->data, size ? end : 0, item->size);
            write_out(item->pointer, whole, end);
            end += size;
        }
        memcpy(whole + place, item->data, item->size);
        place += item->size;
    }
    return end;
}

/* For the checker. */

SpiceMarshaller *surroundings_marshaller_new(void)
{
    return allocate(sizeof(SpiceMarshaller));
}

void surroundings_marshaller_write(SpiceMarshaller *m, uint8_t *whole)
{
    write_out(m, whole, 0);
}

void surroundings_marshaller_free(SpiceMarshaller *m)
{
    Item *item;

    while ((item = m->first)) {
        m->first = item->next;
        if (item->free_data) {
            item->free_data(item->data, item->opaque);
        }
        if (item->pointer) {
            surroundings_marshaller_free(item->pointer);
        }
        free(item);
    }
    free(m);
}
