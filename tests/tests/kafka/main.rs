//! Stories of whole hosts on a real Apache Kafka, and of everything that may happen to both: killed,
//! stopped, cut off, refused, out of room. Each time what came out is compared with what went in, record
//! by record, as Kafka's own client reads it.
//!
//! `make test` does each thing a few times, `make chaos` (`CHAOS=long`) often; docs/chaos.md tells what was
//! done and lost. `CHAOS_SEED` repeats the choices of a run.

mod site;

mod borrowing;
mod clients;
mod clock;
mod counting;
mod dead;
mod delivery;
mod demo;
mod flows;
mod gaps;
mod hostile;
mod hosts;
mod lending;
mod mirror;
mod mirrormaker;
mod network;
mod nodes;
mod outage;
mod reference;
mod refused;
mod room;
mod snapshots;
mod steps;
mod swaps;
mod tools;
