//! SQLite for everybody: connections that keep their promises, migrations, format stamps, errors
//! told apart by what the caller can do. And the sum by which a file beside it is known to be whole.
//!
//! Knows no table of anybody. A database of another program, or of a newer host, is refused by name
//! and left as it is.

mod blocking;
mod error;
mod open;
mod readers;
mod summed;

pub use blocking::blocking;
pub use error::{StoreError, explained};
pub use open::{Schema, open, open_paged, open_reader};
pub use readers::Readers;
pub use summed::{SUM, Summed, sum_of};
