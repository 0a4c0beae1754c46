#include "flow/testing.h"

int main(void) {
    FLOW_CHECK_TEXT(flow_test_init("{\"word\": \"tock\"}"), NULL);
    FLOW_CHECK_TEXT(flow_test_migrate("0.0.9", "{}"), NULL);
    FLOW_CHECK_TEXT(flow_test_reconfigure("{\"word\": \"tick\"}"), NULL);
    FLOW_CHECK_TEXT(flow_test_reconfigure("{\"word\": \"\"}"), "word: is empty\xEF\xBF\xBD");
    FLOW_CHECK_TEXT(flow_test_tick(7), NULL);
    FLOW_CHECK_TEXT(flow_test_actions(),
                    "emit to 0 specversion=1.0 id=1 source=/clock type=ticked now=7 word=tick remembered=1 migrated=0.0.9");
    FLOW_CHECK_TEXT(flow_test_tick(8), NULL);
    FLOW_CHECK(flow_test_state_entries() == 2);
    return flow_test_done();
}
