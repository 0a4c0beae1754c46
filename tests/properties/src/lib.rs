//! What has to hold for every input that a stranger can send, one function for each way in.
//!
//! The fuzz targets of `tests/fuzz` call these with what they make up; the tests here call them with all
//! that was kept of it. They panic where something does not hold. They do no I/O, so that a fuzzer
//! gets through thousands of inputs a second.

mod certificate;
mod client;
mod command;
mod config;
mod dns;
mod events;
mod input;
mod line;
mod sasl;
mod server;
mod stream;
mod token;
mod users;

pub use certificate::certificate;
pub use client::client;
pub use command::command;
pub use config::config;
pub use dns::dns;
pub use events::{json, kafka};
pub use line::line;
pub use sasl::sasl;
pub use server::server;
pub use stream::stream;
pub use token::token;
pub use users::users;

/// What holds for one input of a way in.
pub type Property = fn(&[u8]);

/// Every way in by the name of its fuzz target, which is the folder of its corpus, too.
pub const ALL: &[(&str, Property)] = &[
    ("certificate", certificate),
    ("client", client),
    ("command", command),
    ("config", config),
    ("dns", dns),
    ("json", json),
    ("kafka", kafka),
    ("line", line),
    ("sasl", sasl),
    ("server", server),
    ("stream", stream),
    ("token", token),
    ("users", users),
];
