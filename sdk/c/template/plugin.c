// Passes on the events whose type begins with a prefix, and counts them.
#include "flow/flow.h"

#include <string.h>

static struct {
    char prefix[128];
} config;

const flow_info plugin_info = {
    .name = "my-plugin",
    .version = "0.1.0",
    .summary = "passes on the events whose type begins with a prefix",
    .config_schema = "{ \"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\","
                     "  \"additionalProperties\": false,"
                     "  \"properties\": { \"prefix\": { \"type\": \"string\", \"default\": \"\" } } }",
    .unnamed_dropped = true,
};

bool plugin_init(const flow_setup *setup, flow_error *error) {
    const flow_option options[] = {{"prefix", FLOW_TEXT, config.prefix, sizeof config.prefix, false}};
    config.prefix[0] = 0;
    if (!flow_configure(setup, options, 1, error)) return false;
    flow_log("ready", "prefix", config.prefix, NULL);
    return true;
}

bool plugin_process(const flow_batch *batch, flow_actions *actions, flow_error *error) {
    uint64_t seen = 0;
    flow_bytes kept = flow_state_get("seen", 4);
    if (kept.len == sizeof seen) memcpy(&seen, kept.ptr, sizeof seen);
    // A column: one call for the whole batch.
    const flow_bytes *types = flow_attributes(batch, "type");
    for (uint32_t i = 0; i < batch->len; i++) {
        if (!flow_begins(types[i], config.prefix)) continue;
        flow_forward(actions, i, 0);
        seen++;
    }
    return flow_state_set("seen", 4, &seen, sizeof seen, error);
}
