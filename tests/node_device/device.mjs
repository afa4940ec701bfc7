// A small character device in JavaScript, and the line protocol around it: the checker's test object in another language.
// `node device.mjs DEFECT` has a defect on purpose; without one it follows the contract.
import fs from "node:fs";

const defect = process.argv[2] ?? "";
const MOVES_PER_CALL = 64;
const RETRY_MS = 100;
const WAIT_MS = 30000;
const MAX = 2 ** 32 - 1;

// Lines

let buffered = "";
const chunk = Buffer.alloc(1 << 16);

function receive() {
  for (;;) {
    const end = buffered.indexOf("\n");
    if (end >= 0) {
      const line = buffered.slice(0, end);
      buffered = buffered.slice(end + 1);
      return JSON.parse(line);
    }
    const size = fs.readSync(0, chunk);
    if (size === 0) process.exit(0);
    buffered += chunk.toString("latin1", 0, size);
  }
}

let pending = "";

function send(message) {
  fs.writeSync(1, pending + JSON.stringify(message) + "\n");
  pending = "";
}

function tellTimer(message) {
  pending += JSON.stringify(message) + "\n";
}

class Refused extends Error {
  constructor(rule, message) {
    super(message);
    this.rule = rule;
  }
}

class Raised extends Error {
  constructor(number) {
    super("raised by a callback");
    this.number = number;
  }
}

function refuse(condition, rule, message) {
  if (condition) throw new Refused(rule, message);
}

// A callback's exception is an answer; the frame remembers the first one and starts nothing new (CB-5).
function callBack(frame, device, callback, args, otherwise) {
  send({ callback, device: device.name, arguments: args });
  for (;;) {
    const message = receive();
    if (!("answer" in message)) {
      perform(message);
    } else if ("raise" in message) {
      frame.raised ??= new Raised(message.raise);
      return otherwise;
    } else {
      return message.answer;
    }
  }
}

let ports = {};
let devices = {};
let handles = [];

const isCount = (value) => Number.isInteger(value) && value >= 0 && value <= MAX;

class Device {
  constructor(name, { port, client_tokens_interval, self_tokens }) {
    this.name = name;
    refuse(ports[port].device, "LC-4", "the port is attached to another device");
    refuse(!isCount(client_tokens_interval) || !isCount(self_tokens), "TOK-5", "a count is out of range");
    Object.assign(this, {
      destroyed: false, running: false, active: false, sealed: false, awaiting: null, interval: client_tokens_interval,
      selfTokens: self_tokens, clients: [], held: new Set(), queue: [], written: [], writing: false, writeAsked: false,
      writeLimited: false, ignoreAnswer: false, reading: false, readWanted: false, readAsked: false, armed: false,
      generation: 0, owesWakeup: false, port: null, frames: 0,
    });
    this.attach(port);
  }

  // Conditions

  mayMove() {
    return !this.destroyed && this.running && this.port !== null && !this.awaiting && !this.sealed;
  }
  mayWrite() {
    return this.queue.length > 0 && this.mayMove();
  }
  mayRead() {
    const credit = (client) => !client.leaving && (!client.flow || client.sendTokens > 0);
    return this.mayMove() && (this.clients.length === 0 || this.clients.some(credit));
  }
  writeOwed() {
    return !this.writing && (this.writeLimited || !this.owesWakeup) && this.mayWrite();
  }
  readOwed() {
    return !this.reading && this.readWanted && this.mayRead();
  }
  find(peer) {
    return this.clients.find((client) => client.peer === peer) ?? null;
  }
  attached(peer) {
    const client = this.find(peer);
    refuse(!client, "RD-9", `client ${peer} is not attached`);
    return client;
  }
  checkHeld(buffer) {
    refuse(!this.held.has(buffer), "BUF-1", "the owner does not hold this buffer");
  }

  // Timers

  setRetry(delay) {
    if (delay === null && !this.armed) return;
    this.armed = delay !== null;
    tellTimer({ timer: "retry", device: this.name, delay });
  }
  settle() {
    if (this.readOwed()) this.setRetry(0);
    else if (this.writeOwed()) this.setRetry(this.writeLimited ? 0 : RETRY_MS);
    else this.setRetry(null);
  }
  setWait(client, delay) {
    if (delay === null && !client.waiting) return;
    client.waiting = delay !== null;
    tellTimer({ timer: "wait", device: this.name, client: client.peer, delay });
  }

  // Tokens

  markLeaving(client) {
    client.leaving = true;
    this.setWait(client, null);
    if (!this.readOwed() && !this.writeOwed()) this.setRetry(null);
  }
  announce(frame, client) {
    const tokens = client.freed;
    client.freed = 0;
    client.tokens += tokens;
    callBack(frame, this, "send_tokens_to_client", { client: client.peer, tokens });
  }
  announceIfDue(frame, client) {
    if (!client.leaving && client.freed > 0 && client.freed >= this.interval) this.announce(frame, client);
  }
  giveBack(frame, buffer) {
    const { origin, client, price } = buffer;
    this.held.delete(buffer);
    if (origin === "server") {
      this.selfTokens++;
      callBack(frame, this, "on_free_self_token", {});
    } else if (origin === "client" && client.flow) {
      client.freed += price;
      this.announceIfDue(frame, client);
    }
  }
  unref(frame, message) {
    callBack(frame, this, "unref_msg_to_client", { message });
  }

  // Writing

  take(size) {
    let completed = 0;
    while (this.queue.length > 0) {
      const buffer = this.queue[0];
      const rest = buffer.data.length - buffer.written;
      if (rest > size) {
        if (size > 0) {
          buffer.written += size;
          buffer.current = true;
        }
        break;
      }
      size -= rest;
      buffer.written += rest;
      this.written.push(this.queue.shift());
      completed++;
    }
    return completed;
  }
  complete(frame, completed) {
    frame.moved += completed;
    frame.progressed = true;
    while (!this.destroyed && this.written.length > 0) this.giveBack(frame, this.written.shift());
  }
  attach(port) {
    if (this.port !== null) ports[this.port].device = null;
    this.port = port;
    ports[port].device = this;
    this.generation++;
    this.owesWakeup = false;
  }
  detach() {
    if (this.port !== null) ports[this.port].device = null;
    this.port = null;
    this.generation++;
    this.owesWakeup = false;
    this.setRetry(null);
  }
  writeToPort(frame) {
    const buffer = this.queue[0];
    const { generation, port } = this;
    const data = buffer.data.subarray(buffer.written);
    buffer.offered = true;
    this.writeAsked = this.ignoreAnswer = false;
    let taken = callBack(frame, this, "write", { port, data: data.toString("hex") }, 0);
    buffer.offered = false;
    if (this.destroyed) return "nothing";
    const failed = taken < 0 || taken > data.length;
    if (failed || (this.ignoreAnswer && defect !== "answer-counts-after-reset")) taken = 0;
    let completed = 0;
    if (taken > 0) {
      completed = this.take(taken);
      if (this.running) this.active = true;
    }
    this.queue = this.queue.filter((each) => each.origin !== "nobody" || each.current);
    if (this.generation === generation) {
      if (failed) {
        this.detach();
        callBack(frame, this, "port_failed", {});
      } else {
        this.owesWakeup = ports[port].announces && taken < data.length;
      }
    }
    if (taken > 0) {
      this.complete(frame, completed);
      return "moved";
    }
    return this.writeAsked ? "asked" : "nothing";
  }
  pass(frame, more, once) {
    let outcome = "moved";
    let repeated = false;
    while (!frame.raised && (outcome === "moved" || outcome === "asked") && more()) {
      outcome = frame.moved >= MOVES_PER_CALL ? "limit" : once();
      if (outcome === "asked" && repeated) outcome = "limit";
      repeated = outcome === "asked";
    }
    frame.limited ||= outcome === "limit";
    return outcome;
  }
  writePass(frame) {
    this.writeAsked = true;
    if (this.writing) return;
    if (frame.raised) {
      this.writeLimited = true;
      this.settle();
      return;
    }
    this.writing = true;
    this.writeLimited = false;
    const outcome = this.pass(frame, () => this.mayWrite(), () => {
      const completed = this.take(0);
      if (completed === 0) return this.writeToPort(frame);
      this.complete(frame, completed);
      return "moved";
    });
    if (this.destroyed) return;
    this.writing = false;
    this.writeLimited = outcome !== "nothing" && this.mayWrite();
    this.settle();
  }

  // Reading

  fanOut(frame, message) {
    for (const client of [...this.clients]) {
      if (!client.attached || client.leaving) continue;
      callBack(frame, this, "ref_msg_to_client", { message });
      if (!client.attached || client.leaving) {
        this.unref(frame, message);
      } else if (!client.flow || (client.queue.length === 0 && client.sendTokens > 0)) {
        this.sendMessage(frame, client, message);
      } else if (client.queue.length >= client.maxQueue) {
        this.markLeaving(client);
        this.unref(frame, message);
        if (client.attached) callBack(frame, this, "remove_client", { client: client.peer });
      } else {
        client.queue.push(message);
        if (!client.waiting) this.setWait(client, WAIT_MS);
      }
    }
    this.unref(frame, message);
  }
  sendMessage(frame, client, message) {
    if (client.flow) client.sendTokens--;
    callBack(frame, this, "send_msg_to_client", { message, client: client.peer });
    this.unref(frame, message);
  }
  readPass(frame) {
    this.readWanted = this.readAsked = true;
    if (this.reading) return;
    if (frame.raised) {
      this.settle();
      return;
    }
    this.reading = true;
    this.pass(frame, () => this.readWanted && this.mayRead(), () => {
      this.readAsked = false;
      const message = callBack(frame, this, "read_one_msg_from_device", { port: this.port }, null);
      if (this.destroyed) {
        if (message !== null) this.unref(frame, message);
        return "nothing";
      }
      if (message === null) {
        this.readWanted = this.readAsked;
        return this.readAsked ? "asked" : "nothing";
      }
      frame.moved++;
      frame.progressed = true;
      if (this.running) this.active = true;
      this.fanOut(frame, message);
      return "moved";
    });
    if (this.destroyed) return;
    this.reading = false;
    this.settle();
  }
  takeTurns(frame) {
    this.writePass(frame);
    if (!this.destroyed) this.readPass(frame);
  }
  writeAndRead(frame) {
    if (this.running) this.takeTurns(frame);
  }
  useCredit(frame, client) {
    if (client.leaving) return;
    if (client.pushing) {
      this.readWanted = this.readAsked = true;
      return;
    }
    client.pushing = true;
    while (client.attached && !client.leaving && client.queue.length > 0 && client.sendTokens > 0) {
      const message = client.queue.shift();
      this.setWait(client, client.queue.length === 0 ? null : WAIT_MS);
      this.sendMessage(frame, client, message);
    }
    client.pushing = false;
    if (!this.destroyed) this.readPass(frame);
  }
  halt() {
    this.running = this.active = false;
    this.setRetry(null);
  }

  // The API

  opaque_get() {}
  send_to_client_tokens_add(frame, { client: peer, tokens }) {
    refuse(!isCount(tokens), "TOK-5", "tokens are out of range");
    const client = this.attached(peer);
    if (!client.flow || tokens === 0) return;
    client.sendTokens += tokens;
    this.useCredit(frame, client);
  }
  send_to_client_tokens_set(frame, { client: peer, tokens }) {
    refuse(!isCount(tokens), "TOK-5", "tokens are out of range");
    const client = this.attached(peer);
    if (!client.flow) return;
    client.sendTokens = tokens;
    this.useCredit(frame, client);
  }
  wait_timer_fired(frame, { client: peer }) {
    const client = this.find(peer);
    if (!client?.waiting) return;
    client.waiting = false;
    this.markLeaving(client);
    callBack(frame, this, "remove_client", { client: peer });
  }
  retry_timer_fired(frame) {
    if (!this.armed) return;
    this.armed = false;
    this.wakeup(frame);
  }
  reset_dev_instance(frame, { port }) {
    if (port === null) {
      this.detach();
      return;
    }
    refuse(ports[port].device && ports[port].device !== this, "LC-4", "the port is attached to another device");
    this.attach(port);
    this.writeAndRead(frame);
  }
  start(frame) {
    this.running = true;
    do {
      frame.progressed = false;
      this.takeTurns(frame);
    } while (!this.destroyed && this.running && frame.progressed && !frame.limited && !frame.raised);
  }
  stop() {
    this.halt();
  }
  wakeup(frame) {
    this.owesWakeup = false;
    this.writeAndRead(frame);
  }
  client_exists(frame, { client }) {
    return this.find(client) !== null;
  }
  client_add(frame, args) {
    const { client: peer, do_flow_control: flow, num_client_tokens: window, wait_for_migrate_data: waits } = args;
    const counts = [args.max_send_queue_size, window, args.num_send_tokens];
    refuse(!counts.every(isCount), "TOK-5", "a count is out of range");
    refuse(this.find(peer), "LC-6", `client ${peer} is attached already`);
    refuse(flow && window > 0 && window < this.interval, "LC-6", "the window never reaches the interval");
    if (this.sealed || this.awaiting) return false;
    const moved = this.active || this.writing || this.reading || this.queue[0]?.current;
    if (waits && (this.clients.length > 0 || moved)) return false;
    const client = {
      peer, flow, window, tokens: window, freed: 0, sendTokens: waits ? 0 : args.num_send_tokens, queue: [],
      maxQueue: args.max_send_queue_size, waiting: false, leaving: false, attached: true, pushing: false,
    };
    this.clients.unshift(client);
    if (waits) this.awaiting = client;
    this.writeAndRead(frame);
    return true;
  }
  client_remove(frame, { client: peer }) {
    const client = this.attached(peer);
    this.clients = this.clients.filter((each) => each !== client);
    client.attached = false;
    this.setWait(client, null);
    const messages = client.queue;
    client.queue = [];
    const own = (buffer) => buffer.client === client;
    this.written = this.written.filter((buffer) => !own(buffer));
    this.queue = this.queue.filter((buffer) => !own(buffer) || buffer.current || buffer.offered);
    for (const buffer of [...this.queue, ...this.held].filter(own)) Object.assign(buffer, { origin: "nobody", client: null });
    if (this.awaiting === client) this.awaiting = null;
    this.sealed = false;
    const dropped = this.queue.filter((buffer) => buffer.marshalled);
    this.queue = this.queue.filter((buffer) => !buffer.marshalled);
    this.tellSelfTokens(frame, dropped);
    for (const message of messages) this.unref(frame, message);
    if (!this.destroyed) this.writeAndRead(frame);
  }
  tellSelfTokens(frame, dropped) {
    const returned = dropped.filter((buffer) => buffer.origin === "server").length;
    this.selfTokens += returned;
    for (let i = 0; i < returned && !this.destroyed; i++) callBack(frame, this, "on_free_self_token", {});
  }
  reset(frame) {
    const clients = [...this.clients];
    this.halt();
    this.detach();
    this.ignoreAnswer = true;
    if (this.awaiting) this.awaiting.sendTokens = 0;
    this.awaiting = null;
    this.sealed = false;
    const dropped = [...this.queue, ...this.written];
    this.queue = [];
    this.written = [];
    for (const buffer of [...dropped, ...this.held]) if (buffer.client?.flow) buffer.client.freed += buffer.price;
    for (const buffer of this.held) if (buffer.client) Object.assign(buffer, { origin: "nobody", client: null });
    const messages = clients.flatMap((client) => client.queue.splice(0));
    for (const client of clients) this.setWait(client, null);
    this.tellSelfTokens(frame, dropped);
    for (const message of messages) this.unref(frame, message);
    for (const client of clients) {
      if (client.attached && !client.leaving && client.freed > 0) this.announce(frame, client);
    }
    if (!this.destroyed && this.port === null) this.halt();
  }
  destroy(frame) {
    this.halt();
    this.detach();
    this.destroyed = true;
    const messages = this.clients.flatMap((client) => client.queue.splice(0));
    for (const client of this.clients) {
      client.attached = false;
      this.setWait(client, null);
    }
    for (const buffer of this.held) Object.assign(buffer, { origin: "nobody", client: null });
    Object.assign(this, { clients: [], queue: [], written: [], awaiting: null, sealed: false });
    for (const message of messages) this.unref(frame, message);
  }
  hold(origin, client, capacity) {
    const buffer = { device: this, origin, client, capacity, price: 1, written: 0, data: Buffer.alloc(0) };
    this.held.add(buffer);
    return handles.push(buffer) - 1;
  }
  write_buffer_get(frame, { client: peer, size }) {
    refuse(size < 0, "BUF-1", "a negative size");
    if (peer === null) return this.selfTokens > 0 ? (this.selfTokens--, this.hold("server", null, size)) : null;
    const client = this.find(peer);
    if (!client || client.leaving || this.sealed) return null;
    if (client.flow && client.tokens === 0) {
      this.markLeaving(client);
      callBack(frame, this, "remove_client", { client: peer });
      return null;
    }
    if (client.flow) client.tokens--;
    return this.hold("client", client, size);
  }
  write_buffer_get_server_no_token(frame, { size }) {
    refuse(size < 0, "BUF-1", "a negative size");
    return this.hold("server without token", null, size);
  }
  write_buffer_add(frame, { buffer: handle, data }) {
    const buffer = handles[handle];
    this.checkHeld(buffer);
    const bytes = Buffer.from(data, "hex");
    refuse(bytes.length > buffer.capacity, "BUF-1", "more is used than there is");
    this.held.delete(buffer);
    buffer.data = bytes;
    if (buffer.origin !== "nobody") this.queue.push(buffer);
    this.writePass(frame);
  }
  write_buffer_release(frame, { buffer: handle }) {
    this.checkHeld(handles[handle]);
    this.giveBack(frame, handles[handle]);
  }
  write_buffer_release_without_device(frame, { buffer: handle }) {
    this.checkHeld(handles[handle]);
    refuse(!this.destroyed, "BUF-3", "the device of this buffer is alive");
    this.held.delete(handles[handle]);
  }

  // Migration

  migrate_data_marshall_empty() {
    return "01000000".padEnd(50, "0");
  }
  migrate_data_marshall() {
    const [client] = this.clients;
    refuse(this.running || this.awaiting || this.frames > 1, "MIG-2", "running, awaiting, or inside a callback");
    refuse(this.clients.length !== 1 || client.leaving || client.queue.length > 0, "MIG-2", "not one quiet client");
    refuse([...this.held].some((buffer) => buffer.client === client), "MIG-2", "a buffer is held");
    const data = Buffer.concat(this.queue.map((buffer) => buffer.data.subarray(buffer.written)));
    const prices = this.queue.filter((buffer) => buffer.client === client).map((buffer) => buffer.price);
    const message = Buffer.alloc(33);
    message.writeUInt32LE(1, 8);
    message.writeUInt8(1, 12);
    message.writeUInt32LE(client.flow ? Math.min(client.tokens, MAX) : MAX, 13);
    message.writeUInt32LE(client.flow ? Math.min(client.sendTokens, MAX) : MAX, 17);
    message.writeUInt32LE(data.length, 21);
    message.writeUInt32LE(Math.min(prices.reduce((sum, price) => sum + price, 0), MAX), 25);
    message.writeUInt32LE(data.length > 0 ? 33 : 0, 29);
    for (const buffer of this.queue) buffer.marshalled = true;
    this.sealed = true;
    return { message: Buffer.concat([message, data]).toString("hex"), handle: handles.push(null) - 1 };
  }
  migrate_data_release() {}
  restore(frame, { message: hex }) {
    const message = Buffer.from(hex, "hex");
    const client = this.awaiting;
    refuse(!client || client.leaving, "MIG-4", "no client awaits migration data");
    refuse(message.length < 33 || message.readUInt32LE(8) > 1 || message[12] === 0, "MIG-5", "not a record");
    const [given, send, size, price, pointer] = [13, 17, 21, 25, 29].map((offset) => message.readUInt32LE(offset));
    refuse(size > 0 && (pointer < 33 || pointer + size > message.length), "MIG-5", "the data is not in the message");
    const own = client.window - client.tokens;
    refuse(client.flow && (given + price > client.window || given < own), "MIG-5", "it does not fit the window");
    if (client.flow) {
      client.freed += client.window - given - price + (size === 0 ? price : 0);
      client.tokens = given - own;
      client.sendTokens += send;
    }
    if (size > 0) {
      const data = message.subarray(pointer, pointer + size);
      const paid = price > 0 ? { origin: "client", client } : { origin: "server without token", client: null };
      this.queue.unshift({ ...paid, capacity: size, price, data, written: 0, current: true });
    }
    this.awaiting = null;
    if (client.flow) this.announceIfDue(frame, client);
    if (!this.destroyed) this.writeAndRead(frame);
  }
}

// The protocol

const LEGAL_AFTER_DESTROY = [
  "migrate_data_marshall_empty", "migrate_data_release", "write_buffer_release_without_device", "retry_timer_fired",
  "wait_timer_fired",
];

function perform({ call, device: name, arguments: args }) {
  const frame = { moved: 0, progressed: false, limited: false, raised: null };
  let answer;
  try {
    if (call === "create") {
      devices[name] = new Device(name, args);
      send({ return: null });
      return;
    }
    const device = devices[name];
    refuse(device.destroyed && !LEGAL_AFTER_DESTROY.includes(call), "LC-5", "the device has been destroyed");
    device.frames++;
    let result;
    try {
      result = device[call](frame, args);
    } finally {
      device.frames--;
    }
    answer = frame.raised ? { raised: frame.raised.number } : { return: result ?? null };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    answer = { refused: error.rule, message: error.message };
  }
  send(answer);
}

send({ hello: { protocol: 1, name: "a device in JavaScript", moves_per_call: MOVES_PER_CALL } });
for (;;) {
  const message = receive();
  if ("begin" in message) {
    ports = {};
    for (const [name, announces] of Object.entries(message.begin.ports)) ports[name] = { announces, device: null };
    devices = {};
    handles = [];
    send({ ready: {} });
  } else {
    perform(message);
  }
}
