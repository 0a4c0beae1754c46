// Does what it is told with every batch; what it costs is compared with the same in Rust.
#include "flow/flow.h"

#include <ctype.h>
#include <string.h>

static char act[32];

const flow_info plugin_info = {.name = "measured", .version = "0.1.0", .summary = "does what it is told", .config_schema = "{}"};

bool plugin_init(const flow_setup *setup, flow_error *error) {
    const flow_option options[] = {{"act", FLOW_TEXT, act, sizeof act, true}};
    return flow_configure(setup, options, 1, error);
}

bool plugin_process(const flow_batch *batch, flow_actions *actions, flow_error *error) {
    if (!strcmp(act, "column")) {
        const flow_bytes *volatile column = flow_attributes(batch, "type");
        (void)column;
        return flow_forward_all(actions, 0), true;
    }
    if (!strcmp(act, "forward-each")) {
        for (uint32_t i = 0; i < batch->len; i++) flow_forward(actions, i, 0);
        return true;
    }
    if (!strcmp(act, "rewrite-each")) {
        for (uint32_t i = 0; i < batch->len; i++) {
            flow_rewrite *rewrite = flow_change(actions, i, 0);
            flow_set_text(rewrite, "seen", "yes");
            flow_set_data(rewrite, "new", 3);
        }
        return true;
    }
    if (strcmp(act, "rewrite-data")) return flow_fatal(error, "act: what is %s?", act);
    const flow_bytes *data = flow_data_all(batch);
    for (uint32_t i = 0; i < batch->len; i++) {
        char *changed = flow_alloc(data[i].len);
        memcpy(changed, data[i].ptr, data[i].len);
        for (size_t at = 0; at < 8 && at < data[i].len; at++) changed[at] = (char)toupper((unsigned char)changed[at]);
        flow_set_data(flow_change(actions, i, 0), changed, data[i].len);
    }
    return true;
}
