// Says a word at every tick, and exports every optional interface.
#include "flow/flow.h"

#include <string.h>

static char word[64];
static int32_t remembered;

const flow_info plugin_info = {
    .name = "clock-c",
    .version = "0.1.0",
    .summary = "says a word at every tick",
    .config_schema = "{\"type\": \"object\"}",
};

static bool configured(const flow_setup *setup, char *into, size_t size, flow_error *error) {
    const flow_option options[] = {{"word", FLOW_TEXT, into, size, false}};
    return flow_configure(setup, options, 1, error);
}

bool plugin_init(const flow_setup *setup, flow_error *error) {
    strcpy(word, "tick");
    remembered = 0;
    // Latin 1, as C programs meet it.
    flow_log("caf\xe9", "caf\xe9", "\xff\xc3", NULL);
    return configured(setup, word, sizeof word, error);
}

bool plugin_process(const flow_batch *batch, flow_actions *actions, flow_error *error) {
    (void)batch, (void)error;
    flow_forward_all(actions, 0);
    return true;
}

uint32_t plugin_interval(void) { return 100; }

bool plugin_tick(int64_t now, flow_actions *actions, flow_error *error) {
    uint64_t ticks = 0;
    flow_bytes kept = flow_state_get("ticks", 5), from = flow_state_get("from", 4);
    if (kept.len == sizeof ticks) memcpy(&ticks, kept.ptr, sizeof ticks);
    ticks++;
    flow_event *event = flow_emit(actions, 0, flow_format("%llu", (unsigned long long)ticks).ptr, "/clock", "ticked");
    flow_event_text(event, "now", "%lld", (long long)now);
    flow_event_text(event, "word", "%s", word);
    flow_event_integer(event, "remembered", ++remembered);
    if (from.ptr) flow_event_text(event, "migrated", "%.*s", (int)from.len, from.ptr);
    else flow_event_text(event, "migrated", "never");
    return flow_state_set("ticks", 5, &ticks, sizeof ticks, error);
}

bool plugin_reconfigure(const flow_setup *setup, flow_error *error) {
    char next[sizeof word] = "tick";
    if (!configured(setup, next, sizeof next, error)) return false;
    if (!next[0]) return flow_fatal(error, "word: is empty\xe9");
    memcpy(word, next, sizeof word);
    return true;
}

bool plugin_migrate(flow_bytes from_version, const flow_setup *setup, flow_error *error) {
    (void)setup;
    return flow_state_set("from", 4, from_version.ptr, from_version.len, error);
}
