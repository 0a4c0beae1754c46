import assert from "node:assert/strict";
import test from "node:test";
import { deadLetter, decode, forward } from "./flow/index.js";
import { Host, event } from "./flow/testing.js";
import plugin from "./plugin.js";

const measured = (data) => event("1", "/station", "measured", {}, data);

function converted(convert, data, more = {}) {
  const [action] = new Host(plugin, { convert, ...more }).process([measured(data)]);
  return JSON.parse(decode(action.val.data.val));
}

test("quantities are converted where they are", () => {
  const rules = [{ field: "outside.temp", from: "degF", to: "degC" }, { field: "wind", from: "kn", to: "m/s" }];
  const found = converted(rules, { outside: { temp: 212, rain: 1 }, wind: 10, place: "Córdoba" });
  assert.deepEqual(found, { outside: { temp: 100, rain: 1 }, wind: 5.144, place: "Córdoba" });
  assert.deepEqual(converted([{ field: "t", from: "degC", to: "K" }], { t: -273.15 }, { digits: 0 }), { t: 0 });
});

test("what has nothing to convert goes on as it is, and what cannot be read does not", () => {
  const host = new Host(plugin, { convert: [{ field: "t", from: "degC", to: "K" }] });
  const batch = [measured({ t: "warm" }), measured({ a: null }), event("2", "/s", "t"), "no event", measured("no json")];
  assert.deepEqual(host.process(batch), [...[0, 1, 2, 3].map((at) => forward(at)), deadLetter(4, "the data is no JSON")]);
});

test("a wrong configuration is refused with its path", () => {
  const refused = (convert) => {
    try {
      new Host(plugin, { convert });
    } catch (error) {
      return error.message;
    }
  };
  assert.match(refused([{ field: "t", from: "degC", to: "R" }]), /^convert\[0\]\.to: unknown unit R, known are K,/);
  assert.equal(refused([{ field: "t", from: "degC", to: "m" }]), "convert[0].to: m is a length, degC a temperature");
  assert.equal(refused([{ field: "t", from: "degC" }]), "convert[0].to: is missing");
  assert.equal(refused([{ field: "a..b", from: "m", to: "km" }]), "convert[0].field: has an empty name");
});
