// Says a word at every tick, and exports every optional interface.
import { type Plugin, emit, fatal, forwardAll, optional, state } from "./flow/index.js";

interface Config { word: string }

const shape = { word: optional("text", "tick") };

const plugin: Plugin = {
  info: { name: "clock-ts", version: "0.1.0", schema: { type: "object" } },

  init(setup) {
    let { word } = setup.config<Config>(shape);
    let remembered = 0;
    return {
      process: () => [forwardAll()],
      interval: () => 100,
      tick(now) {
        const ticks = ((state.getJson("ticks") as number | null) ?? 0) + 1;
        state.setJson("ticks", ticks);
        remembered += 1;
        const migrated = (state.getJson("from") as string | null) ?? "never";
        return [emit({ id: String(ticks), source: "/clock", type: "ticked", now: String(now), word, remembered, migrated })];
      },
      reconfigure(setup) {
        const next = setup.config<Config>(shape).word;
        if (next === "") throw fatal("word: is empty");
        word = next;
      },
    };
  },

  migrate: (from) => state.setJson("from", from),
};

export default plugin;
