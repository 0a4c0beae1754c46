// Gives each event a checksum of its data (CRC-32, as of zip and PNG), or checks the one it has.
#include "flow/flow.h"

#include <string.h>

static struct {
    char attribute[21];
    bool verify;
} config;

static uint32_t table[256];

const flow_info plugin_info = {
    .name = "checksum",
    .version = "0.1.0",
    .summary = "gives each event a checksum of its data, or checks it",
    .config_schema =
        "{ \"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\","
        "  \"additionalProperties\": false, \"properties\": {"
        "    \"attribute\": { \"type\": \"string\", \"pattern\": \"^[a-z0-9]{1,20}$\", \"default\": \"crc32\" },"
        "    \"verify\": { \"type\": \"boolean\", \"default\": false } } }",
};

static bool is_attribute_name(const char *name) {
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(name);
}

bool plugin_init(const flow_setup *setup, flow_error *error) {
    const flow_option options[] = {
        {"attribute", FLOW_TEXT, config.attribute, sizeof config.attribute, false},
        {"verify", FLOW_BOOLEAN, &config.verify, 0, false},
    };
    strcpy(config.attribute, "crc32");
    config.verify = false;
    if (!flow_configure(setup, options, 2, error)) return false;
    if (!is_attribute_name(config.attribute)) return flow_fatal(error, "attribute: must be 1 to 20 of a-z and 0-9");
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    return true;
}

static uint32_t crc32(flow_bytes data) {
    uint32_t sum = 0xFFFFFFFFu;
    for (size_t i = 0; i < data.len; i++) sum = sum >> 8 ^ table[(sum ^ (uint8_t)data.ptr[i]) & 0xFF];
    return ~sum;
}

bool plugin_process(const flow_batch *batch, flow_actions *actions, flow_error *error) {
    (void)error;
    const flow_bytes *ids = flow_attributes(batch, "id"), *data = flow_data_all(batch);
    const flow_bytes *sums = config.verify ? flow_attributes(batch, config.attribute) : NULL;
    for (uint32_t i = 0; i < batch->len; i++) {
        if (!ids[i].ptr) {
            flow_dead_letter(actions, i, "no event: only an event has a place for a checksum");
            continue;
        }
        char sum[9];
        memcpy(sum, flow_format("%08lx", (unsigned long)crc32(data[i])).ptr, sizeof sum);
        if (!config.verify)
            flow_set_text(flow_change(actions, i, 0), config.attribute, "%s", sum);
        else if (flow_is(sums[i], sum))
            flow_forward(actions, i, 0);
        else
            flow_dead_letter(actions, i, "%s is %.*s, the data's is %s", config.attribute,
                             sums[i].ptr ? (int)sums[i].len : 6, sums[i].ptr ? sums[i].ptr : "absent", sum);
    }
    return true;
}
