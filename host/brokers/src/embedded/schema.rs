//! The tables of the embedded broker.
//!
//! A log is one partition of one topic. Its records lie in rows of whole batches, so that a commit of
//! 512 events writes one row; offsets may have gaps.

use host_store::Schema;

/// The database of one embedded broker.
pub(crate) const SCHEMA: Schema = Schema {
    name: "broker",
    application_id: 0x666c_6f67, // "flog"
    migrations: &[V1],
};

const V1: &str = "
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    incarnation BLOB NOT NULL UNIQUE,
    config TEXT NOT NULL
) STRICT;
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL REFERENCES topics (id),
    partition INTEGER NOT NULL,
    earliest INTEGER NOT NULL,
    next INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (topic, partition)
) STRICT;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    log INTEGER NOT NULL REFERENCES logs (id),
    base INTEGER NOT NULL,
    next INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    size INTEGER NOT NULL,
    records BLOB NOT NULL,
    UNIQUE (log, base)
) STRICT;
CREATE TABLE shards (
    processor BLOB NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    digest TEXT,
    PRIMARY KEY (processor, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE positions (
    processor BLOB NOT NULL,
    shard INTEGER NOT NULL,
    flow BLOB NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (processor, shard, flow, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    processor BLOB NOT NULL,
    shard INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (processor, shard, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    principal TEXT NOT NULL,
    token TEXT NOT NULL,
    incarnation BLOB NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (principal, token, incarnation)
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_age ON tokens (at);
";
