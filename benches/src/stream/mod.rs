//! Streams between hosts: frames in memory; two participants on this machine, in clear text and under TLS; and the same
//! far apart. Beside them a plain TCP connection that carries the same octets.

mod far;
mod frames;
mod plain;
mod relay;
mod runs;
mod two;

use crate::table::Table;

pub use far::FAR;
pub use plain::{SINK, SOURCE};

pub fn measure(table: &mut Table) {
    frames::measure(table);
    runs::near(table);
    far::measure(table);
}

/// One of the processes of this part: its word, and what stands behind it.
pub fn process(word: &str, rest: &[String]) -> bool {
    match word {
        FAR => far::run(rest),
        SINK => plain::sink(rest),
        SOURCE => plain::source(rest),
        _ => return false,
    }
    true
}
