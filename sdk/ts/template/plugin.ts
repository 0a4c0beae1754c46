// Passes on the events whose type begins with a prefix, and counts them.
import { type Action, type Plugin, forward, log, optional, state } from "./flow/index.js";

const plugin: Plugin = {
  info: {
    name: "my-plugin",
    version: "0.1.0",
    summary: "passes on the events whose type begins with a prefix",
    schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      additionalProperties: false,
      properties: { prefix: { type: "string", default: "" } },
    },
    unnamedDropped: true,
  },

  init(setup) {
    const { prefix } = setup.config<{ prefix: string }>({ prefix: optional("text", "") });
    log.info("ready", { prefix });
    return {
      process(batch) {
        const actions: Action[] = [];
        // A column: one call for the whole batch.
        batch.texts("type").forEach((type, at) => {
          if (type?.startsWith(prefix)) actions.push(forward(at));
        });
        state.setJson("seen", (state.getJson("seen") ?? 0) + actions.length);
        return actions;
      },
    };
  },
};

export default plugin;
