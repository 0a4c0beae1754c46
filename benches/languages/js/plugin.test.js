import assert from "node:assert/strict";
import test from "node:test";
import { decode } from "./flow/index.js";
import { Host, event } from "./flow/testing.js";
import plugin from "./plugin.js";

test("data is rewritten", () => {
  const [action] = new Host(plugin, { act: "rewrite-data" }).process([event("1", "/s", "t", {}, "abcdefghij")]);
  assert.equal(decode(action.val.data.val), "ABCDEFGHij");
});
