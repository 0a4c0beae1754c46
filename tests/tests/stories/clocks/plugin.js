// Says a word at every tick, and exports every optional interface.
import { emit, fatal, forwardAll, optional, state } from "./flow/index.js";

const shape = { word: optional("text", "tick") };

/** @type {import("./flow/index.js").Plugin} */
export default {
  info: { name: "clock-js", version: "0.1.0", schema: { type: "object" } },

  init(setup) {
    let { word } = setup.config(shape);
    let remembered = 0;
    return {
      process: () => [forwardAll()],
      interval: () => 100,
      tick(now) {
        const ticks = (state.getJson("ticks") ?? 0) + 1;
        state.setJson("ticks", ticks);
        remembered += 1;
        const migrated = state.getJson("from") ?? "never";
        return [emit({ id: String(ticks), source: "/clock", type: "ticked", now: String(now), word, remembered, migrated })];
      },
      reconfigure(setup) {
        const next = setup.config(shape).word;
        if (next === "") throw fatal("word: is empty");
        word = next;
      },
    };
  },

  migrate: (from) => state.setJson("from", from),
};
