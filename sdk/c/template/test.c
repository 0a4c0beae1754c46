#include "flow/testing.h"

static void what_begins_with_the_prefix_goes_on(void) {
    FLOW_CHECK_TEXT(flow_test_init("{\"prefix\": \"alert.\"}"), NULL);
    flow_test_batch();
    flow_test_event("1", "knock", NULL);
    flow_test_event("2", "alert.fire", "subject", "kitchen", NULL);
    flow_test_foreign("no event");
    FLOW_CHECK_TEXT(flow_test_process(), NULL);
    FLOW_CHECK_TEXT(flow_test_actions(), "forward 1 to 0");
    FLOW_CHECK(flow_test_state_entries() == 1);
}

static void a_wrong_configuration_is_refused_with_its_path(void) {
    FLOW_CHECK_TEXT(flow_test_init("{\"prefix\": 7}"), "prefix: must be a text");
    FLOW_CHECK_TEXT(flow_test_init("{\"perfix\": \"\"}"), "perfix: unknown field");
}

int main(void) {
    what_begins_with_the_prefix_goes_on();
    a_wrong_configuration_is_refused_with_its_path();
    return flow_test_done();
}
