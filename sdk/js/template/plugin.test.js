import assert from "node:assert/strict";
import test from "node:test";
import { forward } from "./flow/index.js";
import { Host, event } from "./flow/testing.js";
import plugin from "./plugin.js";

test("what begins with the prefix goes on", () => {
  const host = new Host(plugin, { prefix: "alert." });
  const batch = [event("1", "/house", "knock"), event("2", "/house", "alert.fire"), "no event"];
  assert.deepEqual(host.process(batch), [forward(1)]);
  host.restart(); // a fresh instance on the committed state
  host.process(batch);
  assert.equal(String.fromCharCode(...host.state.get("seen")), "2");
});

test("a wrong configuration is refused with its path", () => {
  assert.throws(() => new Host(plugin, { prefix: 7 }), { message: "prefix: must be a text" });
  assert.throws(() => new Host(plugin, { perfix: "" }), { message: /^perfix: unknown field/ });
});
