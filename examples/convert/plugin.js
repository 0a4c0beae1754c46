// Converts quantities in the JSON data of events: { "field": "outside.temp", "from": "degF", "to": "degC" }.
import { deadLetter, decode, fatal, forward, optional, rewrite } from "./flow/index.js";

// A unit is its dimension, its factor to the dimension's first unit, and where its zero lies in that one.
const UNITS = {
  K: ["temperature", 1, 0], degC: ["temperature", 1, 273.15], degF: ["temperature", 5 / 9, 273.15 - (32 * 5) / 9],
  m: ["length", 1, 0], km: ["length", 1000, 0], mi: ["length", 1609.344, 0], ft: ["length", 0.3048, 0],
  "m/s": ["speed", 1, 0], "km/h": ["speed", 1 / 3.6, 0], mph: ["speed", 0.44704, 0], kn: ["speed", 1852 / 3600, 0],
  Pa: ["pressure", 1, 0], hPa: ["pressure", 100, 0], bar: ["pressure", 1e5, 0], psi: ["pressure", 6894.757293168, 0],
  kg: ["mass", 1, 0], g: ["mass", 0.001, 0], lb: ["mass", 0.45359237, 0],
};

function converter({ field, from, to }, at) {
  for (const [key, unit] of [["from", from], ["to", to]]) {
    if (!Object.hasOwn(UNITS, unit)) throw fatal(`convert[${at}].${key}: unknown unit ${unit}, known are ${Object.keys(UNITS).join(", ")}`);
  }
  const [dimension, factor, zero] = UNITS[from];
  const [other, otherFactor, otherZero] = UNITS[to];
  if (dimension !== other) throw fatal(`convert[${at}].to: ${to} is a ${other}, ${from} a ${dimension}`);
  const path = field.split(".");
  if (path.includes("")) throw fatal(`convert[${at}].field: has an empty name`);
  return { path, convert: (value) => (value * factor + zero - otherZero) / otherFactor };
}

// Whether there was a number at the path; it is another one now.
function change(document, { path, convert }, round) {
  let holder = document;
  for (const name of path.slice(0, -1)) holder = isObject(holder) && Object.hasOwn(holder, name) ? holder[name] : undefined;
  const last = path.at(-1);
  if (!isObject(holder) || !Object.hasOwn(holder, last) || typeof holder[last] !== "number") return false;
  holder[last] = round(convert(holder[last]));
  return true;
}

const isObject = (value) => value !== null && typeof value === "object";

/** @type {import("./flow/index.js").Plugin} */
export default {
  info: {
    name: "convert",
    version: "0.1.0",
    summary: "converts quantities in the JSON data to other units",
    schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      additionalProperties: false,
      required: ["convert"],
      properties: {
        convert: {
          type: "array",
          items: {
            type: "object",
            additionalProperties: false,
            required: ["field", "from", "to"],
            properties: { field: { type: "string" }, from: { enum: Object.keys(UNITS) }, to: { enum: Object.keys(UNITS) } },
          },
        },
        digits: { type: "integer", minimum: 0, maximum: 12, default: 3 },
      },
    },
  },

  init(setup) {
    const { convert, digits } = setup.config({
      convert: [{ field: "text", from: "text", to: "text" }],
      digits: optional("integer", 3),
    });
    if (digits < 0 || digits > 12) throw fatal("digits: must be 0 to 12");
    const converters = convert.map(converter);
    const round = (value) => Number(value.toFixed(digits));
    return {
      process(batch) {
        const ids = batch.texts("id");
        return batch.dataAll().map((data, at) => {
          // What is no event has no place for other data.
          if (data === null || ids[at] === null) return forward(at);
          let document;
          try {
            document = JSON.parse(decode(data));
          } catch {
            return deadLetter(at, "the data is no JSON");
          }
          const changed = converters.filter((one) => change(document, one, round)).length;
          return changed ? rewrite(at, { data: JSON.stringify(document) }) : forward(at);
        });
      },
    };
  },
};
