// The plugin's side of the contract: the generated names meet those of flow.h here and nowhere else.
#include "flow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Memory: one arena, given back as a whole when a call has ended ------------------------------------------------

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
} chunk;

enum { ALIGN = 16, CHUNK = 64 * 1024 };

static chunk *chunks;

static size_t aligned(size_t size) { return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

static void *take(size_t size) {
    size_t head = aligned(sizeof(chunk)), need = aligned(size);
    if (need < size) abort();
    if (!chunks || chunks->size - chunks->used < need) {
        size_t whole = need > CHUNK - head ? need + head : CHUNK;
        if (whole < need) abort();
        chunk *fresh = malloc(whole);
        if (!fresh) abort();
        *fresh = (chunk){.next = chunks, .used = head, .size = whole};
        chunks = fresh;
    }
    void *found = (char *)chunks + chunks->used;
    chunks->used += need;
    return found;
}

// Keeps one chunk, so that small calls ask the allocator for nothing.
void flow_call_ended(void) {
    while (chunks && chunks->next) {
        chunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
    if (chunks) chunks->used = aligned(sizeof(chunk));
}

void *flow_alloc(size_t size) { return memset(take(size), 0, size); }

// What the host hands over lies in the arena, too.
#ifdef __wasm__
__attribute__((__export_name__("cabi_realloc")))
#endif
void *cabi_realloc(void *from, size_t old_size, size_t align, size_t new_size) {
    if (new_size == 0) return (void *)align;
    if (align > ALIGN) abort();
    void *to = take(new_size);
    if (from && old_size) memcpy(to, from, old_size < new_size ? old_size : new_size);
    return to;
}

static processor_string_t copy(const void *from, size_t len) {
    processor_string_t to = {take(len), len};
    if (len) memcpy(to.ptr, from, len);
    return to;
}

static processor_string_t vformat(const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int len = vsnprintf(NULL, 0, format, list);
    if (len < 0) abort();
    char *text = take((size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return (processor_string_t){(uint8_t *)text, (size_t)len};
}

// Bytes of the character that begins here; where it is none, of the part of one that ends too early.
static size_t character(const uint8_t *at, size_t left, bool *whole) {
    uint8_t first = *at, low = 0x80, high = 0xBF;
    size_t len = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    *whole = len > 0;
    for (size_t i = 1; i < len; i++, low = 0x80, high = 0xBF) {
        if (i < left && at[i] >= low && at[i] <= high) continue;
        *whole = false;
        return i;
    }
    return len ? len : 1;
}

// Text on its way to the host, which ends the call with a trap where it is not UTF-8: what is not becomes U+FFFD.
static processor_string_t utf8(processor_string_t text) {
    size_t wrong = 0;
    bool whole;
    for (size_t i = 0; i < text.len; wrong += !whole) i += character(text.ptr + i, text.len - i, &whole);
    if (!wrong) return text;
    processor_string_t to = {take(text.len + 2 * wrong), 0};
    for (size_t i = 0, len; i < text.len; i += len) {
        len = character(text.ptr + i, text.len - i, &whole);
        const void *from = whole ? (const void *)(text.ptr + i) : "\xEF\xBF\xBD";
        memcpy(to.ptr + to.len, from, whole ? len : 3);
        to.len += whole ? len : 3;
    }
    return to;
}

// What was formatted, as it is.
#define FORMAT(to, format)      \
    do {                        \
        va_list list;           \
        va_start(list, format); \
        to = vformat(format, list); \
        va_end(list);           \
    } while (0)

// What was formatted, for the host.
#define TEXT(to, format)    \
    do {                    \
        FORMAT(to, format); \
        to = utf8(to);      \
    } while (0)

flow_bytes flow_format(const char *format, ...) {
    processor_string_t text;
    FORMAT(text, format);
    return (flow_bytes){(const char *)text.ptr, text.len};
}

// A list that grows: `*ptr` holds `*len` items of `size` bytes; gives the next one, set to zero.
static void *grow(void **ptr, size_t *len, size_t size) {
    // Full at 4, 8, 16…
    if (*len == 0 || (*len >= 4 && (*len & (*len - 1)) == 0)) {
        void *larger = take((*len ? *len * 2 : 4) * size);
        if (*len) memcpy(larger, *ptr, *len * size);
        *ptr = larger;
    }
    return memset((char *)*ptr + (*len)++ * size, 0, size);
}

// ---- Reading a batch -----------------------------------------------------------------------------------------------

static flow_bytes bytes(const void *ptr, size_t len) {
    // Empty is not absent.
    return (flow_bytes){len ? ptr : "", len};
}

static const flow_bytes ABSENT = {NULL, 0};

static flow_bytes text_of(const flow_processor_events_value_t *value) {
    switch (value->tag) {
    case FLOW_PROCESSOR_EVENTS_VALUE_BOOLEAN:
        return value->val.boolean ? (flow_bytes){"true", 4} : (flow_bytes){"false", 5};
    case FLOW_PROCESSOR_EVENTS_VALUE_INTEGER:
        return flow_format("%ld", (long)value->val.integer);
    default:
        return bytes(value->val.text.ptr, value->val.text.len);
    }
}

uint32_t flow_batch_input(const flow_batch *batch) { return flow_processor_events_method_batch_input(batch->handle); }

uint32_t flow_batch_partition(const flow_batch *batch) {
    return flow_processor_events_method_batch_partition(batch->handle);
}

flow_bytes flow_batch_flow(const flow_batch *batch) {
    processor_string_t name;
    flow_processor_events_method_batch_flow(batch->handle, &name);
    return bytes(name.ptr, name.len);
}

bool flow_is_event(const flow_batch *batch, uint32_t index) {
    return flow_processor_events_method_batch_is_event(batch->handle, index);
}

static processor_string_t lent(const char *text) { return (processor_string_t){(uint8_t *)text, strlen(text)}; }

flow_bytes flow_attribute(const flow_batch *batch, uint32_t index, const char *name) {
    processor_string_t wanted = lent(name);
    flow_processor_events_value_t value;
    return flow_processor_events_method_batch_attribute(batch->handle, index, &wanted, &value) ? text_of(&value) : ABSENT;
}

flow_bytes flow_key(const flow_batch *batch, uint32_t index) {
    processor_list_u8_t key;
    return flow_processor_events_method_batch_key(batch->handle, index, &key) ? bytes(key.ptr, key.len) : ABSENT;
}

flow_bytes flow_data(const flow_batch *batch, uint32_t index) {
    processor_list_u8_t data;
    return flow_processor_events_method_batch_data(batch->handle, index, &data) ? bytes(data.ptr, data.len) : ABSENT;
}

int64_t flow_timestamp(const flow_batch *batch, uint32_t index) {
    return flow_processor_events_method_batch_timestamp(batch->handle, index);
}

const flow_bytes *flow_attributes(const flow_batch *batch, const char *name) {
    processor_string_t wanted = lent(name);
    flow_processor_events_list_option_value_t column;
    flow_processor_events_method_batch_attributes(batch->handle, &wanted, &column);
    flow_bytes *texts = take(column.len * sizeof *texts);
    for (size_t i = 0; i < column.len; i++) texts[i] = column.ptr[i].is_some ? text_of(&column.ptr[i].val) : ABSENT;
    return texts;
}

const flow_bytes *flow_data_all(const flow_batch *batch) {
    processor_list_option_list_u8_t column;
    flow_processor_events_method_batch_data_all(batch->handle, &column);
    flow_bytes *all = take(column.len * sizeof *all);
    for (size_t i = 0; i < column.len; i++) {
        processor_option_list_u8_t *data = &column.ptr[i];
        all[i] = data->is_some ? bytes(data->val.ptr, data->val.len) : ABSENT;
    }
    return all;
}

bool flow_is(flow_bytes found, const char *text) {
    return found.ptr && found.len == strlen(text) && memcmp(found.ptr, text, found.len) == 0;
}

bool flow_begins(flow_bytes found, const char *prefix) {
    size_t len = strlen(prefix);
    return found.ptr && found.len >= len && memcmp(found.ptr, prefix, len) == 0;
}

// ---- Actions -------------------------------------------------------------------------------------------------------

struct flow_actions {
    exports_flow_processor_lifecycle_list_action_t list;
};

static flow_processor_events_action_t *action(flow_actions *actions, uint8_t tag) {
    // A list that grows moves: what was given out points into memory of its own (see flow_change).
    flow_processor_events_action_t *next =
        grow((void **)&actions->list.ptr, &actions->list.len, sizeof *actions->list.ptr);
    next->tag = tag;
    return next;
}

void flow_forward(flow_actions *actions, uint32_t index, uint32_t output) {
    action(actions, FLOW_PROCESSOR_EVENTS_ACTION_FORWARD)->val.forward =
        (flow_processor_events_forward_t){.index = index, .output = output};
}

void flow_forward_all(flow_actions *actions, uint32_t output) {
    action(actions, FLOW_PROCESSOR_EVENTS_ACTION_FORWARD_ALL)->val.forward_all = output;
}

void flow_drop(flow_actions *actions, uint32_t index) {
    action(actions, FLOW_PROCESSOR_EVENTS_ACTION_DROP)->val.drop = index;
}

void flow_dead_letter(flow_actions *actions, uint32_t index, const char *format, ...) {
    flow_processor_events_refusal_t refusal = {.index = index};
    TEXT(refusal.reason, format);
    action(actions, FLOW_PROCESSOR_EVENTS_ACTION_DEAD_LETTER)->val.dead_letter = refusal;
}

flow_rewrite *flow_change(flow_actions *actions, uint32_t index, uint32_t output) {
    flow_processor_events_action_t *made = action(actions, FLOW_PROCESSOR_EVENTS_ACTION_REWRITE);
    made->val.rewrite = (flow_rewrite){.index = index, .output = output};
    return &made->val.rewrite;
}

static flow_processor_events_value_t *attribute(flow_processor_events_list_attribute_t *list, const char *name, uint8_t tag) {
    flow_processor_events_attribute_t *next = grow((void **)&list->ptr, &list->len, sizeof *list->ptr);
    next->name = utf8(copy(name, strlen(name)));
    next->value.tag = tag;
    return &next->value;
}

void flow_set_text(flow_rewrite *rewrite, const char *name, const char *format, ...) {
    processor_string_t text;
    TEXT(text, format);
    attribute(&rewrite->set, name, FLOW_PROCESSOR_EVENTS_VALUE_TEXT)->val.text = text;
}

void flow_set_integer(flow_rewrite *rewrite, const char *name, int32_t value) {
    attribute(&rewrite->set, name, FLOW_PROCESSOR_EVENTS_VALUE_INTEGER)->val.integer = value;
}

void flow_set_boolean(flow_rewrite *rewrite, const char *name, bool value) {
    attribute(&rewrite->set, name, FLOW_PROCESSOR_EVENTS_VALUE_BOOLEAN)->val.boolean = value;
}

void flow_unset(flow_rewrite *rewrite, const char *name) {
    processor_string_t *next = grow((void **)&rewrite->unset.ptr, &rewrite->unset.len, sizeof *rewrite->unset.ptr);
    *next = utf8(copy(name, strlen(name)));
}

void flow_set_data(flow_rewrite *rewrite, const void *data, size_t len) {
    processor_string_t copied = copy(data, len);
    rewrite->data.tag = FLOW_PROCESSOR_EVENTS_DATA_CHANGE_REPLACE;
    rewrite->data.val.replace = (processor_list_u8_t){copied.ptr, copied.len};
}

void flow_remove_data(flow_rewrite *rewrite) { rewrite->data.tag = FLOW_PROCESSOR_EVENTS_DATA_CHANGE_REMOVE; }

flow_event *flow_emit(flow_actions *actions, uint32_t output, const char *id, const char *source, const char *type) {
    flow_processor_events_action_t *made = action(actions, FLOW_PROCESSOR_EVENTS_ACTION_EMIT);
    made->val.emit = (flow_processor_events_emit_t){.output = output};
    flow_event *event = &made->val.emit.event;
    flow_event_text(event, "specversion", "1.0");
    flow_event_text(event, "id", "%s", id);
    attribute(&event->attributes, "source", FLOW_PROCESSOR_EVENTS_VALUE_URI_REFERENCE)->val.uri_reference =
        utf8(copy(source, strlen(source)));
    flow_event_text(event, "type", "%s", type);
    return event;
}

void flow_event_text(flow_event *event, const char *name, const char *format, ...) {
    processor_string_t text;
    TEXT(text, format);
    attribute(&event->attributes, name, FLOW_PROCESSOR_EVENTS_VALUE_TEXT)->val.text = text;
}

void flow_event_integer(flow_event *event, const char *name, int32_t value) {
    attribute(&event->attributes, name, FLOW_PROCESSOR_EVENTS_VALUE_INTEGER)->val.integer = value;
}

void flow_event_data(flow_event *event, const char *content_type, const void *data, size_t len) {
    flow_event_text(event, "datacontenttype", "%s", content_type);
    processor_string_t copied = copy(data, len);
    event->data = (processor_option_list_u8_t){true, {copied.ptr, copied.len}};
}

// ---- Errors --------------------------------------------------------------------------------------------------------

bool flow_retry(flow_error *error, const char *format, ...) {
    error->tag = FLOW_PROCESSOR_EVENTS_ERROR_RETRY;
    TEXT(error->val.retry, format);
    return false;
}

bool flow_reject(flow_error *error, uint32_t index, const char *format, ...) {
    error->tag = FLOW_PROCESSOR_EVENTS_ERROR_REJECT;
    error->val.reject.index = index;
    TEXT(error->val.reject.reason, format);
    return false;
}

bool flow_fatal(flow_error *error, const char *format, ...) {
    error->tag = FLOW_PROCESSOR_EVENTS_ERROR_FATAL;
    TEXT(error->val.fatal, format);
    return false;
}

// ---- State ---------------------------------------------------------------------------------------------------------

static processor_list_u8_t list(const void *ptr, size_t len) { return (processor_list_u8_t){(uint8_t *)ptr, len}; }

flow_bytes flow_state_get(const void *key, size_t len) {
    processor_list_u8_t wanted = list(key, len), value;
    return flow_processor_state_get(&wanted, &value) ? bytes(value.ptr, value.len) : ABSENT;
}

// A plugin that cannot write its state cannot go on; the host names what it was denied.
static bool written(bool done, const flow_processor_state_state_error_t *why, flow_error *error) {
    if (done) return true;
    if (why->tag == FLOW_PROCESSOR_STATE_STATE_ERROR_FULL)
        return flow_fatal(error, "state is full: limit passed: state_bytes=%llu", (unsigned long long)why->val.full);
    return flow_fatal(error, "state is denied: %.*s", (int)why->val.denied.len, (const char *)why->val.denied.ptr);
}

bool flow_state_set(const void *key, size_t len, const void *value, size_t value_len, flow_error *error) {
    processor_list_u8_t at = list(key, len), to = list(value, value_len);
    flow_processor_state_state_error_t why;
    return written(flow_processor_state_set(&at, &to, &why), &why, error);
}

bool flow_state_delete(const void *key, size_t len, flow_error *error) {
    processor_list_u8_t at = list(key, len);
    flow_processor_state_state_error_t why;
    return written(flow_processor_state_delete(&at, &why), &why, error);
}

const flow_entry *flow_state_scan(flow_bytes prefix, flow_bytes after, uint32_t limit, size_t *count) {
    processor_list_u8_t begins = list(prefix.ptr, prefix.len), behind = list(after.ptr, after.len);
    flow_processor_state_list_entry_t found;
    flow_processor_state_scan(&begins, after.ptr ? &behind : NULL, limit, &found);
    flow_entry *entries = take(found.len * sizeof *entries);
    for (size_t i = 0; i < found.len; i++) {
        entries[i].key = bytes(found.ptr[i].key.ptr, found.ptr[i].key.len);
        entries[i].value = bytes(found.ptr[i].value.ptr, found.ptr[i].value.len);
    }
    *count = found.len;
    return entries;
}

// ---- Log -----------------------------------------------------------------------------------------------------------

static void vlog(flow_processor_log_level_t level, const char *message, va_list names) {
    processor_list_tuple2_string_string_t fields = {NULL, 0};
    for (const char *name; (name = va_arg(names, const char *));) {
        const char *value = va_arg(names, const char *);
        processor_tuple2_string_string_t *next = grow((void **)&fields.ptr, &fields.len, sizeof *fields.ptr);
        *next = (processor_tuple2_string_string_t){utf8(lent(name)), utf8(lent(value ? value : ""))};
        if (!value) break;
    }
    processor_string_t text = utf8(lent(message));
    flow_processor_log_log(level, &text, &fields);
}

#define LOG(name, level)                       \
    void name(const char *message, ...) {      \
        va_list names;                         \
        va_start(names, message);              \
        vlog(level, message, names);           \
        va_end(names);                         \
    }

LOG(flow_debug, FLOW_PROCESSOR_LOG_LEVEL_DEBUG)
LOG(flow_log, FLOW_PROCESSOR_LOG_LEVEL_INFO)
LOG(flow_warn, FLOW_PROCESSOR_LOG_LEVEL_WARN)

// ---- What the host calls -------------------------------------------------------------------------------------------

static const char NO_CONFIG[] = "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
                                "\"additionalProperties\":false}";

void exports_flow_processor_lifecycle_describe(exports_flow_processor_lifecycle_info_t *info) {
    *info = (exports_flow_processor_lifecycle_info_t){
        .name = utf8(lent(plugin_info.name)),
        .version = utf8(lent(plugin_info.version)),
        .summary = utf8(lent(plugin_info.summary)),
        .inputs = plugin_info.many_inputs,
        .outputs = plugin_info.many_outputs,
        .config_schema = lent(plugin_info.config_schema ? plugin_info.config_schema : NO_CONFIG),
        .unnamed_dropped = plugin_info.unnamed_dropped,
        .more = lent(plugin_info.keyed ? "{\"keyed\":true}" : "{}"),
    };
}

bool exports_flow_processor_lifecycle_init(flow_setup *setup, flow_error *error) { return plugin_init(setup, error); }

bool exports_flow_processor_lifecycle_process(exports_flow_processor_lifecycle_own_batch_t own,
                                              exports_flow_processor_lifecycle_list_action_t *ret, flow_error *error) {
    flow_batch batch = {.handle = flow_processor_events_borrow_batch(own)};
    batch.len = flow_processor_events_method_batch_len(batch.handle);
    flow_actions actions = {{NULL, 0}};
    bool decided = plugin_process(&batch, &actions, error);
    flow_processor_events_batch_drop_own(own);
    *ret = actions.list;
    return decided;
}

bool exports_flow_processor_lifecycle_pause(flow_error *error) { (void)error; return true; }
bool exports_flow_processor_lifecycle_resume(flow_error *error) { (void)error; return true; }
bool exports_flow_processor_lifecycle_destroy(flow_error *error) { (void)error; return true; }

// A plugin that exports one of these defines its own; one that does not never has it called.
__attribute__((weak)) uint32_t plugin_interval(void) { return 0; }

__attribute__((weak)) bool plugin_tick(int64_t now, flow_actions *actions, flow_error *error) {
    (void)now, (void)actions;
    return flow_fatal(error, "exports timer, and has no plugin_tick");
}

__attribute__((weak)) bool plugin_reconfigure(const flow_setup *setup, flow_error *error) {
    (void)setup;
    return flow_fatal(error, "exports reconfigure, and has no plugin_reconfigure");
}

__attribute__((weak)) bool plugin_migrate(flow_bytes from_version, const flow_setup *setup, flow_error *error) {
    (void)from_version, (void)setup;
    return flow_fatal(error, "exports migrate, and has no plugin_migrate");
}

uint32_t exports_flow_processor_timer_interval(void) { return plugin_interval(); }

bool exports_flow_processor_timer_tick(int64_t now, exports_flow_processor_timer_list_action_t *ret, flow_error *error) {
    flow_actions actions = {{NULL, 0}};
    bool decided = plugin_tick(now, &actions, error);
    *ret = (exports_flow_processor_timer_list_action_t){actions.list.ptr, actions.list.len};
    return decided;
}

bool exports_flow_processor_reconfigure_reconfigure(processor_string_t *config, flow_error *error) {
    flow_setup setup = {.config = *config};
    return plugin_reconfigure(&setup, error);
}

bool exports_flow_processor_migrate_migrate(processor_string_t *from_version, processor_string_t *config, flow_error *error) {
    flow_setup setup = {.config = *config};
    return plugin_migrate(bytes(from_version->ptr, from_version->len), &setup, error);
}

#ifdef __wasm__
// The answer lies in the arena: these stand for the generated ones, which would free each piece of it.
#define ENDED(interface, name)                                                                      \
    __attribute__((__export_name__("cabi_post_flow:processor/" #interface "@1.0.0#" #name))) void   \
    __wasm_export_exports_flow_processor_##interface##_##name##_post_return(uint8_t *answer) {      \
        (void)answer;                                                                               \
        flow_call_ended();                                                                          \
    }

ENDED(lifecycle, describe)
ENDED(lifecycle, init)
ENDED(lifecycle, process)
ENDED(lifecycle, pause)
ENDED(lifecycle, resume)
ENDED(lifecycle, destroy)
ENDED(timer, tick)
ENDED(reconfigure, reconfigure)
ENDED(migrate, migrate)
#endif
