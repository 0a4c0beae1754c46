//! Stories: what users of the two programs meet, one file for each theme.
//!
//! Every story has a host of its own, in a directory of its own, on a free port.

mod agent;
mod agents;
mod audit;
mod control;
mod crash;
mod dead;
mod deadletters;
mod demo;
mod disk;
mod dns;
mod domains;
mod edges;
mod expiry;
mod finding;
mod flows;
mod grants;
mod guide;
mod hostile;
mod identities;
mod isolation;
mod lifecycle;
mod lists;
mod logs;
mod matrix;
mod mechanisms;
mod observe;
mod participants;
mod peers;
mod processors;
mod quotas;
mod reading;
mod reference;
mod reload;
mod soak;
mod steps;
mod strangers;
mod streams;
mod subscribers;
mod swap;
mod tls;
mod tokens;
mod top;
mod transcripts;
mod writing;
