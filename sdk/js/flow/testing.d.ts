import type { Action, Plugin, Value } from "./index.js";

export interface TestEvent { attributes: Record<string, Value>; data: unknown }

/** An event for a test; `data` that is neither text nor bytes becomes JSON. */
export function event(id: string, source: string, type: string, attributes?: Record<string, Value>, data?: unknown): TestEvent;

/** A plugin under test. State of a call that fails is discarded. */
export class Host {
  constructor(plugin: Plugin, config?: unknown, flows?: { inputs?: string[]; outputs?: string[] });
  readonly state: Map<string, Uint8Array>;
  readonly lines: [string, string, Record<string, string>][];
  /** A new instance on the committed state. */
  restart(): void;
  /** Hands over a batch, and checks the answer as the host does. */
  process(records: (TestEvent | string | Uint8Array)[], where?: { flow?: string; input?: number; partition?: number }): Action[];
  /** Lets the plugin act at a moment, milliseconds since 1970. */
  tick(now: number): Action[];
  /** Hands over another configuration. */
  reconfigure(config: unknown): void;
  /** Hands over the state, which another version left. */
  migrate(from: string): void;
}
