#include "flow/testing.h"

int main(void) {
    FLOW_CHECK_TEXT(flow_test_init("{\"act\": \"rewrite-data\"}"), NULL);
    flow_test_batch();
    flow_test_event("1", "t", NULL);
    flow_test_data("ab");
    FLOW_CHECK_TEXT(flow_test_process(), NULL);
    FLOW_CHECK_TEXT(flow_test_actions(), "set 0 to 0 data=AB");
    return flow_test_done();
}
