/** An attribute with a type that JavaScript does not have. Make one with `uri`, `uriReference` or `timestamp`. */
export interface Typed { tag: "uri" | "uri-reference" | "timestamp"; val: string }

/** An attribute's value; a number is whole and has 32 bits. */
export type Value = string | number | boolean | Uint8Array | Typed;

export function uri(text: string): Typed;
export function uriReference(text: string): Typed;
/** RFC 3339. */
export function timestamp(text: string): Typed;

/** A CloudEvent. `data` that is `null` is absent, which is not empty. */
export interface Event { attributes: Record<string, Value>; data: Uint8Array | null }

/** Text from UTF-8, and back: QuickJS has no TextDecoder. */
export function decode(bytes: Uint8Array): string;
export function encode(text: string): Uint8Array;

/** One contiguous piece of one partition of one input. An index that is not below `length` ends the call with a trap. */
export class Batch {
  readonly length: number;
  /** The input, counted from 0, and the name of its flow. */
  get input(): number;
  get flow(): string;
  get partition(): number;
  /** Columns: one call to the host for the whole batch. */
  texts(name: string): (string | null)[];
  attributes(name: string): (Value | null)[];
  /** The data of every event; of a record that is no CloudEvent, its value. */
  dataAll(): (Uint8Array | null)[];
  sizes(): (number | null)[];
  /** Whether the record is a CloudEvent. */
  isEvent(index: number): boolean;
  attribute(index: number, name: string): Value | null;
  key(index: number): Uint8Array | null;
  data(index: number): Uint8Array | null;
  /** The data read as JSON; throws where it is none. */
  json(index: number): any;
  /** Milliseconds since 1970 UTC that the broker keeps beside the record. */
  timestamp(index: number): number;
  headers(index: number): { name: string; value: Uint8Array | null }[];
  event(index: number): Event | null;
}

/** What becomes of an event. */
export interface Action { tag: string; val: unknown }

/** The event, byte for byte. */
export function forward(index: number, output?: number): Action;
/** The whole batch, byte for byte. */
export function forwardAll(output?: number): Action;
export function drop(index: number): Action;
/** The event goes to the processor's dead letters. */
export function deadLetter(index: number, reason: string): Action;
/** The event, changed. `data: null` takes the data away; setting `partitionkey` gives it that key, and its partition. */
export function rewrite(index: number, change?: {
  output?: number; set?: Record<string, Value>; unset?: string[]; data?: string | Uint8Array | null;
}): Action;
/** A new event. Its key is its attribute `partitionkey`; without one it stays in the partition. */
export function emit(
  event: { id: string; source: string; type: string; data?: string | Uint8Array | null; [attribute: string]: Value | null | undefined },
  to?: { output?: number; key?: Uint8Array | null },
): Action;

/** Throw one to say what the host shall do; every other exception is a trap. */
export class Failure extends Error { readonly tag: "retry" | "reject" | "fatal"; readonly index?: number }
/** The same batch again, later. */
export function retry(reason: string): Failure;
/** This event can never work. */
export function reject(index: number, reason: string): Failure;
/** Stop the processor. */
export function fatal(reason: string): Failure;

/** Bytes that belong to the shard. Writes become durable with what a batch decides, or not at all; only `process`, `tick` and `migrate` may write. */
export const state: {
  get(key: string | Uint8Array): Uint8Array | null;
  set(key: string | Uint8Array, value: string | Uint8Array): void;
  delete(key: string | Uint8Array): void;
  /** Entries whose key begins with `prefix` and sorts after `after`, in order; the host may give fewer than `limit`. */
  scan(prefix: string | Uint8Array, after?: string | Uint8Array | null, limit?: number): [Uint8Array, Uint8Array][];
  getJson(key: string | Uint8Array): any;
  setJson(key: string | Uint8Array, value: unknown): void;
};

type Line = (message: string, fields?: Record<string, unknown>) => void;
/** Lines kept for each processor: a constant message, what changes in fields. */
export const log: { debug: Line; info: Line; warn: Line; error: Line };

/** The shape of a configuration: a kind, a list of one shape, or an object of shapes. */
export type Shape = "text" | "integer" | "number" | "boolean" | "object" | Shape[] | Optional | { [name: string]: Shape };
export interface Optional { shape: Shape; otherwise: unknown }
export function optional(shape: Shape, otherwise: unknown): Optional;

/** What an instance is told when it is made: the names of the flows, in order. */
export class Setup {
  readonly text: string;
  readonly inputs: string[];
  readonly outputs: string[];
  readonly processor: string;
  readonly shard: number;
  /** The configuration; what is wrong in it is refused as `path: reason`. */
  config<T = any>(shape: Shape): T;
}

/** One shard of a processor. What has to last is in the state. */
export interface Instance {
  process(batch: Batch): Action[];
  pause?(): void;
  resume?(): void;
  /** Called once, when the processor is deleted. */
  destroy?(): void;
  /** `timer`: milliseconds from tick to tick, 100 to a day; 0 for none. Asked after `init`. */
  interval?(): number;
  /** `timer`: called by the clock, with its milliseconds since 1970 UTC. Only `emit` makes sense; state may be written. */
  tick?(now: number): Action[];
  /** `reconfigure`: another configuration between two batches. What throws `fatal` goes on as before. */
  reconfigure?(setup: Setup): void;
}

/** A processor type. The module `plugin.js` has one as its default export. */
export interface Plugin {
  info: {
    name: string; version: string; summary?: string;
    /** JSON Schema of the configuration. */
    schema?: object;
    manyInputs?: boolean; manyOutputs?: boolean;
    /** Events that no action names are dropped; otherwise naming none is an error. */
    unnamedDropped?: boolean;
    /** State is kept by key. */
    keyed?: boolean;
  };
  init(setup: Setup): Instance;
  /** `migrate`: takes over the state that another version left, before `init`; `setup` has the configuration only. */
  migrate?(from: string, setup: Setup): void;
}
