#include "flow/testing.h"

// The check value of CRC-32: the sum of the digits.
static void data_gets_its_checksum(void) {
    FLOW_CHECK_TEXT(flow_test_init(""), NULL);
    flow_test_batch();
    flow_test_event("1", "note", NULL);
    flow_test_data("123456789");
    flow_test_event("2", "note", NULL);
    FLOW_CHECK_TEXT(flow_test_process(), NULL);
    FLOW_CHECK_TEXT(flow_test_actions(), "set 0 to 0 crc32=cbf43926; set 1 to 0 crc32=00000000");
}

static void a_wrong_checksum_and_what_is_no_event_become_dead_letters(void) {
    FLOW_CHECK_TEXT(flow_test_init("{\"attribute\": \"sum\", \"verify\": true}"), NULL);
    flow_test_batch();
    flow_test_event("1", "note", "sum", "cbf43926", NULL);
    flow_test_data("123456789");
    flow_test_event("2", "note", "sum", "cbf43926", NULL);
    flow_test_data("1234567890");
    flow_test_event("3", "note", NULL);
    flow_test_foreign("123456789");
    FLOW_CHECK_TEXT(flow_test_process(), NULL);
    FLOW_CHECK_TEXT(flow_test_actions(),
                    "forward 0 to 0; dead-letter 1: sum is cbf43926, the data's is 261daee5; "
                    "dead-letter 2: sum is absent, the data's is 00000000; "
                    "dead-letter 3: no event: only an event has a place for a checksum");
}

static void a_wrong_configuration_is_refused_with_its_path(void) {
    FLOW_CHECK_TEXT(flow_test_init("{\"attribute\": \"Sum\"}"), "attribute: must be 1 to 20 of a-z and 0-9");
    FLOW_CHECK_TEXT(flow_test_init("{\"verify\": \"yes\"}"), "verify: must be true or false");
    FLOW_CHECK_TEXT(flow_test_init("{\"verify\": true,}"), "config: no JSON: a name is missing");
    FLOW_CHECK_TEXT(flow_test_init("{\"attribute\": \"\\u0061\\n\"}"), "attribute: must be 1 to 20 of a-z and 0-9");
    FLOW_CHECK_TEXT(flow_test_init("[]"), "config: must be an object");
}

int main(void) {
    data_gets_its_checksum();
    a_wrong_checksum_and_what_is_no_event_become_dead_letters();
    a_wrong_configuration_is_refused_with_its_path();
    return flow_test_done();
}
