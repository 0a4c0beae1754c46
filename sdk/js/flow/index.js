// What the author of a processor plugin in JavaScript or TypeScript writes against; index.d.ts says it with types.
//
// Types and comments are in index.d.ts. Here is what QuickJS is quick at: columns, whole strings, no byte by byte.

// The host's state and log; component.js or testing.js puts them here.
export const host = { state: undefined, log: undefined };

// ---- Errors, named by what the host shall do -----------------------------------------------------------------------

export class Failure extends Error {
  constructor(tag, reason, index) {
    super(reason);
    this.tag = tag;
    this.index = index;
  }
}

export const retry = (reason) => new Failure("retry", reason);
export const reject = (index, reason) => new Failure("reject", reason, index);
export const fatal = (reason) => new Failure("fatal", reason);

// ---- Values --------------------------------------------------------------------------------------------------------

export const uri = (text) => ({ tag: "uri", val: text });
export const uriReference = (text) => ({ tag: "uri-reference", val: text });
export const timestamp = (text) => ({ tag: "timestamp", val: text });

function toHost(value) {
  switch (typeof value) {
    case "string": return { tag: "text", val: value };
    case "boolean": return { tag: "boolean", val: value };
    case "number":
      if ((value | 0) !== value) throw new TypeError(`an attribute is a whole number of 32 bits, ${value} is none`);
      return { tag: "integer", val: value };
  }
  if (value instanceof Uint8Array) return { tag: "binary", val: value };
  if (value && typeof value.tag === "string") return value;
  throw new TypeError(`an attribute is no ${typeof value}`);
}

const attributesToHost = (attributes) => Object.keys(attributes).map((name) => ({ name, value: toHost(attributes[name]) }));

function fromHost(value) {
  if (value === null) return null;
  const plain = value.tag === "text" || value.tag === "integer" || value.tag === "boolean" || value.tag === "binary";
  return plain ? value.val : value;
}

function textOf(value) {
  if (value === null) return null;
  if (typeof value.val === "string") return value.val;
  return value.tag === "binary" ? value.val.toBase64() : String(value.val);
}

const OUTSIDE_ASCII = /[^\x00-\x7f]/;

// QuickJS has no TextDecoder, and a loop over the bytes takes ten times as long.
export function decode(bytes) {
  if (!bytes.toBase64) return new TextDecoder().decode(bytes);
  const text = atob(bytes.toBase64());
  return OUTSIDE_ASCII.test(text) ? decodeURIComponent(escape(text)) : text;
}

export function encode(text) {
  if (!Uint8Array.fromBase64) return new TextEncoder().encode(text);
  return Uint8Array.fromBase64(btoa(OUTSIDE_ASCII.test(text) ? unescape(encodeURIComponent(text)) : text));
}

const bytesOf = (data) => (typeof data === "string" ? encode(data) : data);

// ---- Reading a batch -----------------------------------------------------------------------------------------------

export class Batch {
  #handle;

  constructor(handle) {
    this.#handle = handle;
    this.length = handle.len();
  }

  get input() { return this.#handle.input(); }
  get flow() { return this.#handle.flow(); }
  get partition() { return this.#handle.partition(); }
  texts(name) { return this.#handle.attributes(name).map(textOf); }
  attributes(name) { return this.#handle.attributes(name).map(fromHost); }
  dataAll() { return this.#handle.dataAll(); }
  sizes() { return this.#handle.dataSizes(); }
  isEvent(index) { return this.#handle.isEvent(index); }
  attribute(index, name) { return fromHost(this.#handle.attribute(index, name)); }
  key(index) { return this.#handle.key(index); }
  data(index) { return this.#handle.data(index); }
  timestamp(index) { return this.#handle.timestamp(index); }
  headers(index) { return this.#handle.headers(index); }

  json(index) {
    return JSON.parse(decode(this.#handle.data(index) ?? new Uint8Array()));
  }

  event(index) {
    const event = this.#handle.event(index);
    if (event === null) return null;
    const attributes = {};
    for (const { name, value } of event.attributes) attributes[name] = fromHost(value);
    return { attributes, data: event.data };
  }
}

// ---- Actions -------------------------------------------------------------------------------------------------------

export const forward = (index, output = 0) => ({ tag: "forward", val: { index, output } });
export const forwardAll = (output = 0) => ({ tag: "forward-all", val: output });
export const drop = (index) => ({ tag: "drop", val: index });
export const deadLetter = (index, reason) => ({ tag: "dead-letter", val: { index, reason } });

const KEEP = { tag: "keep" };

export function rewrite(index, { output = 0, set = {}, unset = [], data } = {}) {
  let change = KEEP;
  if (data === null) change = { tag: "remove" };
  else if (data !== undefined) change = { tag: "replace", val: bytesOf(data) };
  return { tag: "rewrite", val: { index, output, set: attributesToHost(set), unset, data: change } };
}

export function emit({ id, source, type, data = null, ...attributes }, { output = 0, key = null } = {}) {
  const all = { specversion: "1.0", id, source: uriReference(source), type, ...attributes };
  const event = { attributes: attributesToHost(all), data: data === null ? null : bytesOf(data) };
  return { tag: "emit", val: { output, key, event } };
}

// ---- State and log -------------------------------------------------------------------------------------------------

const written = (write) => {
  try {
    write();
  } catch (why) {
    if (why?.tag !== "full" && why?.tag !== "denied") throw why;
    throw fatal(why.tag === "full" ? `state is full: limit passed: state_bytes=${why.val}` : `state is denied: ${why.val}`);
  }
};

export const state = {
  get: (key) => host.state.get(bytesOf(key)),
  set: (key, value) => written(() => host.state.set(bytesOf(key), bytesOf(value))),
  delete: (key) => written(() => host.state.delete(bytesOf(key))),
  scan: (prefix, after = null, limit = 100) =>
    host.state.scan(bytesOf(prefix), after === null ? null : bytesOf(after), limit).map(({ key, value }) => [key, value]),
  getJson(key) {
    const value = this.get(key);
    return value === null ? null : JSON.parse(decode(value));
  },
  setJson(key, value) { this.set(key, JSON.stringify(value)); },
};

const line = (level) => (message, fields = {}) =>
  host.log.log(level, message, Object.keys(fields).map((name) => [name, String(fields[name])]));

export const log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };

// ---- Configuration -------------------------------------------------------------------------------------------------

const KINDS = {
  text: [(value) => typeof value === "string", "a text"],
  integer: [(value) => Number.isSafeInteger(value), "a whole number"],
  number: [(value) => typeof value === "number", "a number"],
  boolean: [(value) => typeof value === "boolean", "true or false"],
  object: [(value) => value !== null && typeof value === "object" && !Array.isArray(value), "an object"],
};

export const optional = (shape, otherwise) => ({ shape, otherwise });

function read(shape, value, path) {
  const wrong = (reason) => fatal(`${path || "config"}: ${reason}`);
  const join = (name) => (path ? `${path}.${name}` : name);
  if (typeof shape === "string") {
    const [fits, words] = KINDS[shape];
    if (!fits(value)) throw wrong(`must be ${words}`);
    return value;
  }
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) throw wrong("must be a list");
    return value.map((item, at) => read(shape[0], item, `${path}[${at}]`));
  }
  if (!KINDS.object[0](value)) throw wrong("must be an object");
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(shape, name)) throw fatal(`${join(name)}: unknown field, expected one of ${Object.keys(shape).join(", ")}`);
  }
  const found = {};
  for (const name of Object.keys(shape)) {
    const may = Object.hasOwn(shape[name], "otherwise");
    if (Object.hasOwn(value, name)) found[name] = read(may ? shape[name].shape : shape[name], value[name], join(name));
    else if (may) found[name] = shape[name].otherwise;
    else throw fatal(`${join(name)}: is missing`);
  }
  return found;
}

export class Setup {
  constructor({ config, inputs, outputs, processor, shard }) {
    Object.assign(this, { text: config, inputs, outputs, processor, shard });
  }

  config(shape) {
    let value;
    try {
      value = JSON.parse(this.text || "{}");
    } catch (error) {
      throw fatal(`config: ${error.message}`);
    }
    return read(shape, value, "");
  }
}

// ---- What the host calls -------------------------------------------------------------------------------------------

const NO_CONFIG = { $schema: "https://json-schema.org/draft/2020-12/schema", type: "object", additionalProperties: false };

const called = (call) => {
  try {
    return call();
  } catch (error) {
    // What else is thrown is a trap; QuickJS says where.
    if (!(error instanceof Failure)) throw error;
    throw { tag: error.tag, val: error.tag === "reject" ? { index: error.index, reason: error.message } : error.message };
  }
};

/** What a component exports: the lifecycle, and the optional interfaces, of which its world takes what EXPORTS names. */
export function exported({ info, init, migrate }) {
  let instance, told;
  const lifecycle = {
    describe: () => ({
      name: info.name,
      version: info.version,
      summary: info.summary ?? "",
      inputs: info.manyInputs ? "many" : "one",
      outputs: info.manyOutputs ? "many" : "one",
      configSchema: JSON.stringify(info.schema ?? NO_CONFIG),
      unnamedDropped: info.unnamedDropped ?? false,
      more: JSON.stringify({ keyed: info.keyed ?? false }),
    }),
    init: (setup) => called(() => { instance = init(new Setup(setup)); told = setup; }),
    process: (handle) => called(() => {
      try {
        return instance.process(new Batch(handle));
      } finally {
        // Given back at once: the host lends so many only.
        handle[Symbol.dispose]?.();
      }
    }),
    pause: () => called(() => instance.pause?.()),
    resume: () => called(() => instance.resume?.()),
    destroy: () => called(() => instance.destroy?.()),
  };
  const timer = {
    interval: () => instance.interval?.() ?? 0,
    tick: (now) => called(() => instance.tick(Number(now))),
  };
  const reconfigure = {
    reconfigure: (config) => called(() => {
      const next = { ...told, config };
      instance.reconfigure(new Setup(next));
      told = next;
    }),
  };
  return { lifecycle, timer, reconfigure, migrate: { migrate: (from, config) => called(() => migrate(from, new Setup({ config }))) } };
}
