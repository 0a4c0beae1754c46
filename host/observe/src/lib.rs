//! What an operator sees from outside: metrics as text, probes, and the door they are behind.
//!
//! Counts and writes down; knows neither flows nor processors, neither plugins nor brokers. Whoever owns
//! them fills an [`Exposition`].
//!
//! The text format and the few lines of HTTP are written by hand: the format is four rules, the values
//! lie in other people's structures already (a metrics library would want them a second time, by name,
//! under its locks), and a page that is fetched every few seconds needs no web framework.

mod commands;
mod counts;
pub mod http;
pub mod process;
mod text;
pub mod traces;
mod traffic;

pub use commands::{Commands, Outcome, Verb};
pub use counts::{Counter, Gauge, Held, Histogram};
pub use text::{Exposition, Family, Kind, Number};
pub use traffic::Traffic;
