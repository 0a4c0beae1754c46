// Does what it is told with every batch; what it costs is compared with the same in Rust.
import { fatal, forward, forwardAll, rewrite } from "./flow/index.js";

let sink;

const ACTS = {
  column: (batch) => {
    sink = batch.texts("type");
    return [forwardAll()];
  },
  "forward-each": (batch) => Array.from({ length: batch.length }, (_, at) => forward(at)),
  "rewrite-each": (batch) => {
    const yes = { seen: "yes" };
    const data = Uint8Array.of(110, 101, 119);
    return Array.from({ length: batch.length }, (_, at) => rewrite(at, { set: yes, data }));
  },
  "rewrite-data": (batch) => batch.dataAll().map((data, at) => {
    for (let i = 0; i < 8 && i < data.length; i++) if (data[i] >= 97 && data[i] <= 122) data[i] -= 32;
    return rewrite(at, { data });
  }),
};

/** @type {import("./flow/index.js").Plugin} */
export default {
  info: { name: "measured", version: "0.1.0", summary: "does what it is told", schema: {} },
  init(setup) {
    const { act } = setup.config({ act: "text" });
    if (!Object.hasOwn(ACTS, act)) throw fatal(`act: what is ${act}?`);
    return { process: ACTS[act] };
  },
};
