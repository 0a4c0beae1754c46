import assert from "node:assert/strict";
import test from "node:test";
import { Host } from "./flow/testing.js";
import plugin from "./plugin.js";

interface Emitted { event: { attributes: { name: string; value: { val: unknown } }[] } }

test("it acts by the clock and takes what it is given", () => {
  const host = new Host(plugin, { word: "tock" });
  host.migrate("0.0.9");
  host.reconfigure({ word: "tick" });
  assert.throws(() => host.reconfigure({ word: "" }), { message: "word: is empty" });
  const [action] = host.tick(7);
  const { event } = action!.val as Emitted;
  const said = Object.fromEntries(event.attributes.map(({ name, value }) => [name, value.val]));
  assert.deepEqual([said.id, said.word, said.migrated], ["1", "tick", "0.0.9"]);
  host.restart();
  host.tick(8);
  assert.equal(String.fromCharCode(...host.state.get("ticks")!), "2");
});
