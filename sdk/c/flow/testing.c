// The host's side of the contract, in the memory of a test.
#include "testing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, ATTRIBUTES = 16, TEXT = 4096 };

typedef struct {
    bool is_event, has_data;
    const char *names[ATTRIBUTES], *values[ATTRIBUTES], *data;
    size_t attributes;
    int64_t timestamp;
} record;

typedef struct {
    flow_bytes key, value;
} stored;

static record records[MOST];
static uint32_t len;
static stored state[MOST], before[MOST];
static size_t entries, entries_before, passed, failed;
static bool may_write;
static char said[TEXT], decided[4 * TEXT];

static void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static const record *at(uint32_t index) {
    if (index >= len) fail("there is no such event: the host traps here");
    return &records[index];
}

static processor_string_t given(const char *text, size_t size) {
    processor_string_t to = {flow_alloc(size + 1), size};
    memcpy(to.ptr, text, size);
    return to;
}

// ---- What a plugin imports -----------------------------------------------------------------------------------------

typedef flow_processor_events_borrow_batch_t batch;

uint32_t flow_processor_events_method_batch_len(batch self) { return (void)self, len; }
uint32_t flow_processor_events_method_batch_input(batch self) { return (void)self, 0; }
uint32_t flow_processor_events_method_batch_partition(batch self) { return (void)self, 0; }
void flow_processor_events_method_batch_flow(batch self, processor_string_t *ret) { (void)self, *ret = given("in", 2); }
bool flow_processor_events_method_batch_is_event(batch self, uint32_t index) { return (void)self, at(index)->is_event; }
int64_t flow_processor_events_method_batch_timestamp(batch self, uint32_t index) { return (void)self, at(index)->timestamp; }
bool flow_processor_events_method_batch_key(batch self, uint32_t index, processor_list_u8_t *ret) {
    return (void)self, (void)ret, (void)at(index), false;
}
void flow_processor_events_batch_drop_own(flow_processor_events_own_batch_t own) { (void)own; }
batch flow_processor_events_borrow_batch(flow_processor_events_own_batch_t own) { return (batch){own.__handle}; }

bool flow_processor_events_method_batch_attribute(batch self, uint32_t index, processor_string_t *name,
                                                  flow_processor_events_value_t *ret) {
    const record *found = at(index);
    (void)self;
    for (size_t i = 0; i < found->attributes; i++) {
        if (!flow_is((flow_bytes){(const char *)name->ptr, name->len}, found->names[i])) continue;
        ret->tag = FLOW_PROCESSOR_EVENTS_VALUE_TEXT;
        ret->val.text = given(found->values[i], strlen(found->values[i]));
        return true;
    }
    return false;
}

void flow_processor_events_method_batch_attributes(batch self, processor_string_t *name,
                                                   flow_processor_events_list_option_value_t *ret) {
    ret->ptr = flow_alloc((len + 1) * sizeof *ret->ptr);
    ret->len = len;
    for (uint32_t i = 0; i < len; i++)
        ret->ptr[i].is_some = flow_processor_events_method_batch_attribute(self, i, name, &ret->ptr[i].val);
}

bool flow_processor_events_method_batch_data(batch self, uint32_t index, processor_list_u8_t *ret) {
    const record *found = at(index);
    (void)self;
    if (!found->has_data) return false;
    processor_string_t data = given(found->data, strlen(found->data));
    *ret = (processor_list_u8_t){data.ptr, data.len};
    return true;
}

void flow_processor_events_method_batch_data_all(batch self, processor_list_option_list_u8_t *ret) {
    ret->ptr = flow_alloc((len + 1) * sizeof *ret->ptr);
    ret->len = len;
    for (uint32_t i = 0; i < len; i++)
        ret->ptr[i].is_some = flow_processor_events_method_batch_data(self, i, &ret->ptr[i].val);
}

static int order(flow_bytes one, flow_bytes other) {
    int first = memcmp(one.ptr, other.ptr, one.len < other.len ? one.len : other.len);
    return first ? first : (one.len > other.len) - (one.len < other.len);
}

static size_t place(flow_bytes key) {
    size_t i = 0;
    while (i < entries && order(state[i].key, key) < 0) i++;
    return i;
}

static bool is_at(size_t i, flow_bytes key) { return i < entries && order(state[i].key, key) == 0; }

bool flow_processor_state_get(processor_list_u8_t *key, processor_list_u8_t *ret) {
    size_t i = place((flow_bytes){(const char *)key->ptr, key->len});
    if (!is_at(i, (flow_bytes){(const char *)key->ptr, key->len})) return false;
    processor_string_t value = given(state[i].value.ptr, state[i].value.len);
    *ret = (processor_list_u8_t){value.ptr, value.len};
    return true;
}

static flow_bytes kept(const processor_list_u8_t *from) {
    char *copy = malloc(from->len + 1);
    if (!copy) abort();
    if (from->len) memcpy(copy, from->ptr, from->len);
    return (flow_bytes){copy, from->len};
}

static bool allowed(flow_processor_state_state_error_t *error) {
    error->tag = FLOW_PROCESSOR_STATE_STATE_ERROR_DENIED;
    error->val.denied = given("only process may write", 22);
    return may_write;
}

bool flow_processor_state_set(processor_list_u8_t *key, processor_list_u8_t *value, flow_processor_state_state_error_t *error) {
    if (!allowed(error)) return false;
    flow_bytes name = kept(key);
    size_t i = place(name);
    if (!is_at(i, name)) {
        if (entries == MOST) fail("the state of a test has at most 64 entries");
        memmove(&state[i + 1], &state[i], (entries++ - i) * sizeof *state);
    }
    state[i] = (stored){name, kept(value)};
    return true;
}

bool flow_processor_state_delete(processor_list_u8_t *key, flow_processor_state_state_error_t *error) {
    if (!allowed(error)) return false;
    size_t i = place((flow_bytes){(const char *)key->ptr, key->len});
    if (is_at(i, (flow_bytes){(const char *)key->ptr, key->len})) memmove(&state[i], &state[i + 1], (--entries - i) * sizeof *state);
    return true;
}

void flow_processor_state_scan(processor_list_u8_t *prefix, processor_list_u8_t *after, uint32_t limit,
                               flow_processor_state_list_entry_t *ret) {
    *ret = (flow_processor_state_list_entry_t){flow_alloc((entries + 1) * sizeof *ret->ptr), 0};
    for (size_t i = 0; i < entries && ret->len < limit; i++) {
        flow_bytes key = state[i].key, value = state[i].value;
        bool begins = key.len >= prefix->len && (!prefix->len || memcmp(key.ptr, prefix->ptr, prefix->len) == 0);
        bool behind = !after || order(key, (flow_bytes){(const char *)after->ptr, after->len}) > 0;
        if (begins && behind)
            ret->ptr[ret->len++] = (flow_processor_state_entry_t){{(uint8_t *)key.ptr, key.len}, {(uint8_t *)value.ptr, value.len}};
    }
}

void flow_processor_log_log(flow_processor_log_level_t level, processor_string_t *message,
                            processor_list_tuple2_string_string_t *fields) {
    (void)level, (void)message, (void)fields;
}

// ---- What a test calls ---------------------------------------------------------------------------------------------

void flow_call_ended(void);

static const char *words(const flow_error *error) {
    const processor_string_t *text = error->tag == FLOW_PROCESSOR_EVENTS_ERROR_REJECT ? &error->val.reject.reason : &error->val.fatal;
    int at_event = 0;
    if (error->tag == FLOW_PROCESSOR_EVENTS_ERROR_REJECT) at_event = snprintf(said, TEXT, "event %u: ", error->val.reject.index);
    snprintf(said + at_event, TEXT - (size_t)at_event, "%.*s", (int)text->len, (const char *)text->ptr);
    return said;
}

const char *flow_test_init(const char *config) {
    processor_string_t in = {(uint8_t *)"in", 2}, out = {(uint8_t *)"out", 3};
    flow_setup setup = {.config = {(uint8_t *)config, strlen(config)}, .inputs = {&in, 1}, .outputs = {&out, 1}};
    flow_error error;
    entries = 0;
    const char *why = exports_flow_processor_lifecycle_init(&setup, &error) ? NULL : words(&error);
    flow_call_ended();
    return why;
}

void flow_test_batch(void) { len = 0; }

static record *fresh(void) {
    if (len == MOST) fail("a batch of a test has at most 64 records");
    records[len] = (record){.is_event = false};
    return &records[len++];
}

void flow_test_event(const char *id, const char *type, ...) {
    record *made = fresh();
    *made = (record){.is_event = true, .names = {"specversion", "id", "source", "type"}, .values = {"1.0", id, "/test", type}, .attributes = 4};
    va_list list;
    va_start(list, type);
    for (const char *name; (name = va_arg(list, const char *)) && made->attributes < ATTRIBUTES; made->attributes++) {
        made->names[made->attributes] = name;
        made->values[made->attributes] = va_arg(list, const char *);
    }
    va_end(list);
}

void flow_test_foreign(const char *value) {
    fresh();
    flow_test_data(value);
}

void flow_test_data(const char *data) { records[len - 1].has_data = true, records[len - 1].data = data; }
void flow_test_timestamp(int64_t milliseconds) { records[len - 1].timestamp = milliseconds; }

static size_t told;

static void tell(const char *format, ...) {
    va_list list;
    va_start(list, format);
    int more = vsnprintf(decided + told, sizeof decided - told, format, list);
    va_end(list);
    if (more < 0 || told + (size_t)more >= sizeof decided) fail("more was decided than a test shows");
    told += (size_t)more;
}

static void tell_attributes(const flow_processor_events_list_attribute_t *list) {
    for (size_t i = 0; i < list->len; i++) {
        const flow_processor_events_value_t *value = &list->ptr[i].value;
        tell(" %.*s=", (int)list->ptr[i].name.len, (const char *)list->ptr[i].name.ptr);
        if (value->tag == FLOW_PROCESSOR_EVENTS_VALUE_INTEGER) tell("%ld", (long)value->val.integer);
        else if (value->tag == FLOW_PROCESSOR_EVENTS_VALUE_BOOLEAN) tell(value->val.boolean ? "true" : "false");
        else tell("%.*s", (int)value->val.text.len, (const char *)value->val.text.ptr);
    }
}

static void tell_rewrite(const flow_rewrite *rewrite) {
    tell("set %u to %u", rewrite->index, rewrite->output);
    tell_attributes(&rewrite->set);
    for (size_t i = 0; i < rewrite->unset.len; i++)
        tell(" -%.*s", (int)rewrite->unset.ptr[i].len, (const char *)rewrite->unset.ptr[i].ptr);
    if (rewrite->data.tag == FLOW_PROCESSOR_EVENTS_DATA_CHANGE_REMOVE) tell(" without data");
    if (rewrite->data.tag == FLOW_PROCESSOR_EVENTS_DATA_CHANGE_REPLACE)
        tell(" data=%.*s", (int)rewrite->data.val.replace.len, (const char *)rewrite->data.val.replace.ptr);
}

static void tell_action(const flow_processor_events_action_t *action) {
    switch (action->tag) {
    case FLOW_PROCESSOR_EVENTS_ACTION_FORWARD: tell("forward %u to %u", action->val.forward.index, action->val.forward.output); break;
    case FLOW_PROCESSOR_EVENTS_ACTION_FORWARD_ALL: tell("forward all to %u", action->val.forward_all); break;
    case FLOW_PROCESSOR_EVENTS_ACTION_REWRITE: tell_rewrite(&action->val.rewrite); break;
    case FLOW_PROCESSOR_EVENTS_ACTION_DROP: tell("drop %u", action->val.drop); break;
    case FLOW_PROCESSOR_EVENTS_ACTION_DEAD_LETTER:
        tell("dead-letter %u: %.*s", action->val.dead_letter.index, (int)action->val.dead_letter.reason.len,
             (const char *)action->val.dead_letter.reason.ptr);
        break;
    default:
        tell("emit to %u", action->val.emit.output);
        tell_attributes(&action->val.emit.event.attributes);
        if (action->val.emit.event.data.is_some)
            tell(" data=%.*s", (int)action->val.emit.event.data.val.len, (const char *)action->val.emit.event.data.val.ptr);
    }
}

static void begin(void) {
    memcpy(before, state, sizeof state), entries_before = entries;
    may_write = true;
}

static const char *end(bool done, const flow_processor_events_action_t *actions, size_t count, const flow_error *error) {
    may_write = false;
    told = 0, decided[0] = 0;
    for (size_t i = 0; done && i < count; i++) {
        if (i) tell("; ");
        tell_action(&actions[i]);
    }
    if (!done) memcpy(state, before, sizeof state), entries = entries_before;
    const char *why = done ? NULL : words(error);
    flow_call_ended();
    return why;
}

const char *flow_test_process(void) {
    exports_flow_processor_lifecycle_list_action_t list = {NULL, 0};
    flow_error error;
    begin();
    bool done = exports_flow_processor_lifecycle_process((flow_processor_events_own_batch_t){1}, &list, &error);
    return end(done, list.ptr, list.len, &error);
}

const char *flow_test_tick(int64_t now) {
    exports_flow_processor_timer_list_action_t list = {NULL, 0};
    flow_error error;
    begin();
    bool done = exports_flow_processor_timer_tick(now, &list, &error);
    return end(done, list.ptr, list.len, &error);
}

const char *flow_test_reconfigure(const char *config) {
    processor_string_t text = {(uint8_t *)config, strlen(config)};
    flow_error error;
    const char *why = exports_flow_processor_reconfigure_reconfigure(&text, &error) ? NULL : words(&error);
    flow_call_ended();
    return why;
}

const char *flow_test_migrate(const char *from_version, const char *config) {
    processor_string_t from = {(uint8_t *)from_version, strlen(from_version)}, text = {(uint8_t *)config, strlen(config)};
    flow_error error;
    begin();
    bool done = exports_flow_processor_migrate_migrate(&from, &text, &error);
    return end(done, NULL, 0, &error);
}

const char *flow_test_actions(void) { return decided; }
size_t flow_test_state_entries(void) { return entries; }

void flow_test_check(bool met, const char *what, const char *file, int line) {
    if (met) {
        passed++;
    } else {
        failed++;
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    }
}

void flow_test_check_text(const char *found, const char *wanted, const char *file, int line) {
    bool same = found && wanted ? strcmp(found, wanted) == 0 : found == wanted;
    flow_test_check(same, wanted ? wanted : "nothing", file, line);
    if (!same) fprintf(stderr, "  found: %s\n", found ? found : "nothing");
}

int flow_test_done(void) {
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed ? 1 : 0;
}
