// What the author of a processor plugin in C writes against.
//
// A plugin defines `plugin_info`, `plugin_init` and `plugin_process`. The host owns the events; a plugin reads only
// what it asks for and answers with actions. Nothing is ever freed: whatever these functions give, and `flow_alloc`,
// lives until the call ends. What has to last longer is copied into the plugin's own variables, and what has to
// last longer than the instance belongs into the state. Text goes to the host as UTF-8: bytes that are none become
// U+FFFD. Of data nothing is changed.
#ifndef FLOW_H
#define FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bindings/processor.h"

#ifdef __cplusplus
extern "C" {
#endif

// Bytes that may be absent: then `ptr` is NULL. Absent is not empty. Of text, there is no NUL behind it.
typedef struct {
    const char *ptr;
    size_t len;
} flow_bytes;

// One contiguous piece of one partition of one input. An index that is not below `len` ends the call with a trap.
typedef struct {
    flow_processor_events_borrow_batch_t handle;
    uint32_t len;
} flow_batch;

typedef struct flow_actions flow_actions;                       // what becomes of the events of a batch
typedef flow_processor_events_rewrite_t flow_rewrite;           // a change to an event that goes on
typedef flow_processor_events_event_t flow_event;               // a new event
typedef exports_flow_processor_lifecycle_error_t flow_error;    // why a call did not succeed
typedef exports_flow_processor_lifecycle_setup_t flow_setup;    // what an instance is told

// ---- The plugin ----------------------------------------------------------------------------------------------------

typedef struct {
    const char *name;           // lower-case letters, digits, inner hyphens; the file's stem
    const char *version;        // semantic
    const char *summary;        // one line for people
    const char *config_schema;  // JSON Schema; NULL: takes no configuration
    bool many_inputs, many_outputs;
    bool unnamed_dropped;       // events that no action names are dropped; otherwise naming none is an error
    bool keyed;                 // state is kept by key
} flow_info;

extern const flow_info plugin_info;

// Makes an instance. State can be read but not written. False with `error`: `return flow_fatal(error, …)`.
bool plugin_init(const flow_setup *setup, flow_error *error);

// Decides what becomes of each event of a batch. False with `error`: flow_retry, flow_reject or flow_fatal.
bool plugin_process(const flow_batch *batch, flow_actions *actions, flow_error *error);

// ---- What a plugin defines that exports an optional interface, as EXPORTS in the Makefile says ---------------------

// `timer`: milliseconds from tick to tick, 100 to a day; 0: none. Asked after plugin_init.
uint32_t plugin_interval(void);
// `timer`: called by the clock, with its milliseconds since 1970 UTC. Only flow_emit makes sense; state may be written.
bool plugin_tick(int64_t now, flow_actions *actions, flow_error *error);
// `reconfigure`: another configuration between two batches; all else of the setup is empty, because it stays. False with
// flow_fatal: nothing has changed.
bool plugin_reconfigure(const flow_setup *setup, flow_error *error);
// `migrate`: takes over the state that another version left, before plugin_init. The setup has the configuration only.
bool plugin_migrate(flow_bytes from_version, const flow_setup *setup, flow_error *error);

// ---- Reading a batch -----------------------------------------------------------------------------------------------

uint32_t flow_batch_input(const flow_batch *batch);
uint32_t flow_batch_partition(const flow_batch *batch);
flow_bytes flow_batch_flow(const flow_batch *batch);
bool flow_is_event(const flow_batch *batch, uint32_t index);
// An attribute as text: numbers and booleans as they read, bytes as they are.
flow_bytes flow_attribute(const flow_batch *batch, uint32_t index, const char *name);
flow_bytes flow_key(const flow_batch *batch, uint32_t index);
flow_bytes flow_data(const flow_batch *batch, uint32_t index);
int64_t flow_timestamp(const flow_batch *batch, uint32_t index);  // milliseconds since 1970 UTC
// Columns: `batch->len` of them for one call to the host.
const flow_bytes *flow_attributes(const flow_batch *batch, const char *name);
const flow_bytes *flow_data_all(const flow_batch *batch);

bool flow_is(flow_bytes bytes, const char *text);
bool flow_begins(flow_bytes bytes, const char *prefix);

// ---- Actions; they take effect in order ----------------------------------------------------------------------------

void flow_forward(flow_actions *actions, uint32_t index, uint32_t output);
void flow_forward_all(flow_actions *actions, uint32_t output);
void flow_drop(flow_actions *actions, uint32_t index);
void flow_dead_letter(flow_actions *actions, uint32_t index, const char *format, ...) __attribute__((format(printf, 3, 4)));
// The event goes on with the changes that are made to what this gives. Setting `partitionkey` gives it that key, and
// its partition.
flow_rewrite *flow_change(flow_actions *actions, uint32_t index, uint32_t output);
void flow_set_text(flow_rewrite *rewrite, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void flow_set_integer(flow_rewrite *rewrite, const char *name, int32_t value);
void flow_set_boolean(flow_rewrite *rewrite, const char *name, bool value);
void flow_unset(flow_rewrite *rewrite, const char *name);
void flow_set_data(flow_rewrite *rewrite, const void *data, size_t len);
void flow_remove_data(flow_rewrite *rewrite);
// A new event. Its key is its attribute `partitionkey`.
flow_event *flow_emit(flow_actions *actions, uint32_t output, const char *id, const char *source, const char *type);
void flow_event_text(flow_event *event, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void flow_event_integer(flow_event *event, const char *name, int32_t value);
void flow_event_data(flow_event *event, const char *content_type, const void *data, size_t len);

// ---- Errors, named by what the host shall do; all of them give false -----------------------------------------------

bool flow_retry(flow_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool flow_reject(flow_error *error, uint32_t index, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool flow_fatal(flow_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---- Configuration: a JSON object of texts, numbers and booleans ---------------------------------------------------

typedef enum { FLOW_TEXT, FLOW_INTEGER, FLOW_NUMBER, FLOW_BOOLEAN } flow_kind;

// Where a value goes. The variable holds the default before.
typedef struct {
    const char *name;
    flow_kind kind;
    void *to;       // char[size] with a NUL, int64_t, double or bool
    size_t size;    // of a text, its NUL included
    bool required;
} flow_option;

// Reads the configuration. Refuses what is unknown, missing, too long or of another kind, as `name: reason`.
bool flow_configure(const flow_setup *setup, const flow_option *options, size_t count, flow_error *error);

// ---- State of the shard; only plugin_process, plugin_tick and plugin_migrate may write -----------------------------

flow_bytes flow_state_get(const void *key, size_t len);
bool flow_state_set(const void *key, size_t len, const void *value, size_t value_len, flow_error *error);
bool flow_state_delete(const void *key, size_t len, flow_error *error);

typedef struct {
    flow_bytes key, value;
} flow_entry;

// Entries whose key begins with `prefix` and sorts after `after` (an absent one: from the first), at most `limit`.
const flow_entry *flow_state_scan(flow_bytes prefix, flow_bytes after, uint32_t limit, size_t *count);

// ---- Log: a message, then names and values, then NULL --------------------------------------------------------------

void flow_debug(const char *message, ...) __attribute__((sentinel));
void flow_log(const char *message, ...) __attribute__((sentinel));
void flow_warn(const char *message, ...) __attribute__((sentinel));

// Memory that lives until the call ends, set to zero.
void *flow_alloc(size_t size);
// Text that lives until the call ends.
flow_bytes flow_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
#endif
