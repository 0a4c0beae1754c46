// Stands in for the host in a test that runs natively. Never part of a component.
#ifndef FLOW_TESTING_H
#define FLOW_TESTING_H

#include "flow.h"

// Makes an instance; gives what `plugin_init` said against it, or NULL. State of before is gone.
const char *flow_test_init(const char *config);

// A batch of the flow `in`, record by record.
void flow_test_batch(void);
// An event with more attributes: names and values, then NULL.
void flow_test_event(const char *id, const char *type, ...) __attribute__((sentinel));
// A record that is no CloudEvent.
void flow_test_foreign(const char *value);
// Gives the last record data.
void flow_test_data(const char *data);
void flow_test_timestamp(int64_t milliseconds);

// Hands the batch over; gives what `plugin_process` said against it, or NULL. State it wrote then stays.
const char *flow_test_process(void);
// What was decided, one line: `forward 0 to 0; set 1 to 0 crc32=0f data=[…]; drop 2; dead-letter 3: why`.
const char *flow_test_actions(void);
size_t flow_test_state_entries(void);
// Lets the plugin act at a moment, as flow_test_process lets it decide.
const char *flow_test_tick(int64_t now);
// Hands over another configuration, or the state, which another version left; gives what was said against it, or NULL.
const char *flow_test_reconfigure(const char *config);
const char *flow_test_migrate(const char *from_version, const char *config);

// Fails the test, with the place.
#define FLOW_CHECK(met) flow_test_check(met, #met, __FILE__, __LINE__)
#define FLOW_CHECK_TEXT(found, wanted) flow_test_check_text(found, wanted, __FILE__, __LINE__)
void flow_test_check(bool met, const char *what, const char *file, int line);
void flow_test_check_text(const char *found, const char *wanted, const char *file, int line);
// Says how many checks there were; gives the status for `main`.
int flow_test_done(void);

#endif
