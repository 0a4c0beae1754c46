//! Every way through the state machine.
