//! Records as Kafka's messages and back: keys, values, headers and times as they are.
