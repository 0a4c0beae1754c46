// Stands in for the host in a test that runs natively. Never part of a component.
import { Failure, encode, exported, host, uriReference } from "./index.js";

/** An event for a test: `event("1", "/house", "knock", { subject: "door" }, data)`. */
export function event(id, source, type, attributes = {}, data = null) {
  return { attributes: { specversion: "1.0", id, source: uriReference(source), type, ...attributes }, data };
}

const value = (found) => {
  if (found === undefined) return null;
  if (typeof found === "object" && found.tag) return found;
  const tag = { string: "text", number: "integer", boolean: "boolean" }[typeof found] ?? "binary";
  return { tag, val: found };
};

const octets = (data) => {
  if (data === null || data instanceof Uint8Array) return data;
  return encode(typeof data === "string" ? data : JSON.stringify(data));
};

/** A batch that lies in the test. A record that is no event is given as text or bytes. */
class Handle {
  constructor(records, { flow = "in", input = 0, partition = 0 }) {
    this.records = records.map((record) => (record?.attributes ? record : { data: record }));
    Object.assign(this, { flow: () => flow, input: () => input, partition: () => partition });
  }
  at(index) {
    const record = this.records[index];
    if (!record) throw new RangeError(`there is no event ${index}: the host traps here`);
    return record;
  }
  len() { return this.records.length; }
  isEvent(index) { return !!this.at(index).attributes; }
  attribute(index, name) { return value(this.at(index).attributes?.[name]); }
  attributes(name) { return this.records.map((_, at) => this.attribute(at, name)); }
  data(index) { return octets(this.at(index).data); }
  dataAll() { return this.records.map((_, at) => this.data(at)); }
  dataSizes() { return this.dataAll().map((data) => data?.length ?? null); }
  key() { return null; }
  timestamp() { return 0; }
  headers() { return []; }
  event(index) {
    const { attributes } = this.at(index);
    if (!attributes) return null;
    return { attributes: Object.keys(attributes).map((name) => ({ name, value: value(attributes[name]) })), data: this.data(index) };
  }
}

const name = (bytes) => String.fromCharCode(...bytes);
const bytes = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** A plugin under test. State of a call that fails is discarded. */
export class Host {
  constructor(plugin, config = {}, { inputs = ["in"], outputs = ["out"] } = {}) {
    Object.assign(this, { plugin, inputs, outputs, text: JSON.stringify(config), state: new Map(), lines: [], mayWrite: false });
    const allowed = () => { if (!this.mayWrite) throw { tag: "denied", val: "only process may write" }; };
    host.state = {
      get: (key) => this.state.get(name(key)) ?? null,
      set: (key, value) => { allowed(); this.state.set(name(key), value); },
      delete: (key) => { allowed(); this.state.delete(name(key)); },
      scan: (prefix, after, limit) => [...this.state.keys()].sort()
        .filter((key) => key.startsWith(name(prefix)) && (after === null || key > name(after)))
        .slice(0, limit).map((key) => ({ key: bytes(key), value: this.state.get(key) })),
    };
    host.log = { log: (level, message, fields) => this.lines.push([level, message, Object.fromEntries(fields)]) };
    this.restart();
  }

  /** A new instance on the committed state. */
  restart() {
    this.exported = exported(this.plugin);
    this.lifecycle = this.exported.lifecycle;
    this.info = this.lifecycle.describe();
    thrown(() => this.lifecycle.init({ config: this.text, inputs: this.inputs, outputs: this.outputs, processor: "processor.under.test", shard: 0 }));
  }

  /** Hands over a batch, and checks the answer as the host does. */
  process(records, where = {}) {
    return this.#writing(() => {
      const actions = this.lifecycle.process(new Handle(records, where));
      this.#check(actions, records.length);
      return actions;
    });
  }

  /** Lets the plugin act at a moment. */
  tick(now) {
    return this.#writing(() => {
      const actions = this.exported.timer.tick(now);
      this.#check(actions, 0);
      return actions;
    });
  }

  /** Hands over another configuration. */
  reconfigure(config) {
    thrown(() => this.exported.reconfigure.reconfigure(JSON.stringify(config)));
    this.text = JSON.stringify(config);
  }

  /** Hands over the state, which another version left. */
  migrate(from) {
    this.#writing(() => this.exported.migrate.migrate(from, this.text));
  }

  #writing(call) {
    const before = new Map(this.state);
    this.mayWrite = true;
    try {
      return thrown(call);
    } catch (error) {
      this.state = before;
      throw error;
    } finally {
      this.mayWrite = false;
    }
  }

  #check(actions, length) {
    const named = new Set();
    for (const { tag, val } of actions) {
      const output = tag === "forward-all" ? val : (val.output ?? 0);
      if (output >= this.outputs.length) throw new Error(`contract: there is no such output: ${output}`);
      if (tag === "forward-all") for (let at = 0; at < length; at++) named.add(at);
      else if (tag !== "emit") named.add(typeof val === "number" ? val : val.index);
    }
    for (const index of named) if (index >= length) throw new Error(`contract: there is no such event: ${index}`);
    for (let at = 0; at < length && !this.info.unnamedDropped; at++) {
      if (!named.has(at)) throw new Error(`contract: no action names event ${at}`);
    }
  }
}

/** What crosses the boundary as an error comes back as the failure that it was. */
function thrown(call) {
  try {
    return call();
  } catch (error) {
    if (typeof error?.tag !== "string" || error instanceof Failure) throw error;
    throw error.tag === "reject" ? new Failure("reject", error.val.reason, error.val.index) : new Failure(error.tag, error.val);
  }
}
