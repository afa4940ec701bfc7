"""Seeded defects of the device in C, each with the rules that it breaks.

Which of them shows first is chance: the finding must name one.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect: pieces of text and what replaces them; `sanitized` if it takes AddressSanitizer to see it."""

    name: str
    rules: frozenset[str]
    changes: tuple[tuple[str, str], ...]
    sanitized: bool = False


def _defect(name: str, rules: str, *texts: str, sanitized: bool = False) -> Defect:
    changes = tuple(zip(texts[::2], texts[1::2], strict=True))
    return Defect(name, frozenset(rules.split()), changes, sanitized)


DEFECTS: Final = (
    _defect(
        "use after free in the fan-out",
        "CB-1 CB-3",
        """    for (i = 0; i < count; i++) {
        if (recipients[i]->attached && !recipients[i]->leaving) {""",
        """    for (i = 0; i < count; i++) {
        recipients[i]->refs--;
    }
    for (i = 0; i < count; i++) {
        if (recipients[i]->attached && !recipients[i]->leaving) {""",
        """            deliver(dev, recipients[i], message);
        }
        client_unref(recipients[i]);""",
        """            deliver(dev, recipients[i], message);
        }""",
        sanitized=True,
    ),
    _defect(
        "device freed below a suspended frame",
        "CB-1",
        "    dev->refs++;\n    dev->frames++;",
        "    dev->frames++;",
        "    dev->frames--;\n    device_unref(dev);",
        "    dev->frames--;",
        sanitized=True,
    ),
    _defect(
        "double free of an offered buffer",
        "WR-7 BUF-2 CB-1",
        "    buffer->shown.refs++;\n    dev->write_asked = false;",
        "    dev->write_asked = false;",
        sanitized=True,
    ),
    _defect(
        "marshalled buffer not referenced",
        "BUF-2 WR-1",
        "        buffer->shown.refs++;\n        spice_marshaller_add_ref_full",
        "        spice_marshaller_add_ref_full",
        sanitized=True,
    ),
    _defect(
        "restore reads behind the message",
        "MIG-5",
        "(pointer < MESSAGE_SIZE || pointer > length || size > length - pointer)",
        "(pointer < MESSAGE_SIZE)",
    ),
    _defect(
        "buffer memory too small",
        "BUF-1",
        "buffer->shown.buf = allocate(size);",
        "buffer->shown.buf = allocate(size / 2);",
        sanitized=True,
    ),
    _defect(
        "client leaks when it is removed",
        "LC-5",
        "    delist(dev, client);\n    client_unref(client);\n    returned = end_seal(dev);",
        "    delist(dev, client);\n    returned = end_seal(dev);",
        sanitized=True,
    ),
    _defect(
        "buffer leaks when it is released without device",
        "BUF-2",
        "        require(buffer->dev->destroyed);\n        buffer_free(buffer);",
        "        require(buffer->dev->destroyed);",
        sanitized=True,
    ),
    _defect(
        "nested write lost",
        "WR-5 WR-4",
        "    dev->write_asked = true;\n    if (dev->writing) {",
        "    if (dev->writing) {",
    ),
    _defect(
        "second writer",
        "WR-5",
        "    if (dev->writing) {\n        return;\n    }",
        "",
    ),
    _defect(
        "second reader",
        "RD-8",
        "    if (dev->reading) {\n        return;\n    }",
        "",
    ),
    _defect(
        "last buffer first",
        "WR-1",
        "        list_append(&dev->pending, buffer);",
        "        list_prepend(&dev->pending, buffer);",
    ),
    _defect(
        "bytes written twice",
        "WR-1",
        "                buffer->written += size;",
        "",
    ),
    _defect(
        "retry timer forgotten after nothing was taken",
        "WR-4 WR-5 WR-6",
        "    dev->write_limited = outcome != NOTHING && may_write(dev);\n    settle_retry_timer(dev);",
        "    dev->write_limited = outcome != NOTHING && may_write(dev);",
    ),
    _defect(
        "retry timer always waits",
        "WR-5",
        "dev->write_limited ? 0 : RETRY_DELAY_MS",
        "RETRY_DELAY_MS",
    ),
    _defect(
        "port that announces is polled",
        "WR-4",
        "(dev->write_limited || !dev->port_owes_wakeup) && may_write",
        "may_write",
    ),
    _defect(
        "final error blamed on the new port",
        "WR-8 RD-8",
        "    if (dev->generation == generation) {",
        "    if (dev->sin) {",
    ),
    _defect(
        "answer counts after a reset",
        "WR-7 SELF-3 WR-1 TOK-1",
        "    if (failed || dev->answer_ignored) {",
        "    if (failed) {",
    ),
    _defect(
        "torn message",
        "WR-7 MIG-2",
        "        if (buffer->place == PLACE_QUEUED && !buffer->offered) {",
        "        if (!buffer->offered) {",
    ),
    _defect(
        "empty buffer written to the port",
        "BUF-6 WR-2",
        "    completed = take(dev, 0);\n    if (completed > 0) {",
        "    completed = 0;\n    if (completed > 0) {",
    ),
    _defect(
        "every token announced at once",
        "TOK-3",
        "client->freed > 0 && client->freed >= dev->interval",
        "client->freed > 0",
    ),
    _defect(
        "token violation unnoticed",
        "TOK-2 RD-4",
        "        } else if (client->tokens > 0) {",
        "        } else if (client->tokens + 1 > 0) {",
    ),
    _defect(
        "self token lost",
        "SELF-1 SELF-2",
        "        dev->self_tokens++;\n",
        "",
    ),
    _defect(
        "self token returned silently",
        "SELF-3",
        "        if (dev->cbs.on_free_self_token) {\n            dev->cbs",
        "        if (0) {\n            dev->cbs",
    ),
    _defect(
        "reference of a client that left kept",
        "CB-4",
        "    if (!client->attached || client->leaving) {\n        dev->cbs.unref_msg_to_client(message, dev->opaque);",
        "    if (!client->attached || client->leaving) {",
    ),
    _defect(
        "queue overtaken",
        "RD-3",
        "(client->queue_length == 0 && client->send_tokens > 0)",
        "(client->send_tokens > 0)",
    ),
    _defect(
        "send queue one too long",
        "RD-4",
        "client->queue_length >= client->max_send_queue_size",
        "client->queue_length > client->max_send_queue_size",
    ),
    _defect(
        "wait timer goes on with an empty queue",
        "RD-5",
        "        if (client->queue_length == 0) {\n            wait_disarm(client);",
        "        if (client->queue_length == 0) {\n            wait_arm(client);",
    ),
    _defect(
        "leaving client gets more buffers",
        "RD-4",
        "(client = find_client(dev, peer)) && !client->leaving && !dev->sealed",
        "(client = find_client(dev, peer)) && !dev->sealed",
    ),
    _defect(
        "reset keeps the freed tokens",
        "LC-3 TOK-3",
        "        if (clients[i]->attached && !clients[i]->leaving && clients[i]->freed > 0) {",
        "        if (0) {",
    ),
    _defect(
        "reset goes on running",
        "LC-3 RD-1 WR-2",
        "    clients = snapshot(dev, &count);\n    halt(dev);",
        "    clients = snapshot(dev, &count);",
        "    if (!dev->destroyed && !dev->sin) {\n        halt(dev);\n    }",
        "",
    ),
    _defect(
        "active while stopped",
        "LC-8 LC-6",
        "        if (dev->running) {\n            dev->active = true;\n        }\n    }\n    /* WR-7",
        "        dev->active = true;\n    }\n    /* WR-7",
    ),
    _defect(
        "seal not kept",
        "MIG-2 WR-2 RD-1",
        "!dev->awaiting && !dev->sealed;",
        "!dev->awaiting;",
    ),
    _defect(
        "client without flow control marshalled with its counts",
        "MIG-2",
        "client->flow_control ? saturated(client->tokens) : UINT32_MAX",
        "saturated(client->tokens)",
    ),
    _defect(
        "tokens taken before the restore counted twice",
        "TOK-1 MIG-4 RD-4 MIG-1 TOK-2",
        "client->tokens = client_tokens - own;",
        "client->tokens = client_tokens;",
    ),
    _defect(
        "removal does not write and read",
        "LC-7 RD-8 WR-5",
        "    unref_all(dev, &messages);\n    if (!dev->destroyed) {\n        write_and_read(dev, &frame);",
        "    unref_all(dev, &messages);\n    if (0) {\n        write_and_read(dev, &frame);",
    ),
    _defect(
        "abort in a legal call",
        "LC-2",
        "    dev->port_owes_wakeup = false;\n    write_and_read(dev, &frame);\n    leave(dev);\n}\n\nint",
        "    require(dev->sin);\n    write_and_read(dev, &frame);\n    leave(dev);\n}\n\nint",
    ),
    _defect(
        "endless loop over a partly written buffer",
        "WR-5",
        "                buffer->place = PLACE_CURRENT;\n            }\n            break;",
        "                buffer->place = PLACE_CURRENT;\n                break;\n            }\n            continue;",
    ),
    _defect(
        "null pointer",
        "RD-2",
        "        message_append(&client->queue, message);",
        "        message_append(NULL, message);",
    ),
)
"""What the checker has to find."""
