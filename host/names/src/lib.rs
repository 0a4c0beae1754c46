//! Names in DNS, and whose certificate proves a domain.
//!
//! [`Names`] looks records up and says of every answer whether DNSSEC proves it; what DNSSEC refutes is an
//! error. [`Finder`] finds the hosts of a flow by its name alone. [`Domains`] decides whether the certificate of a
//! peer is that of a domain's agent. [`publish`] is the other way: which records a host has, and who writes them to zones.
//! Decides nothing about what should be published, keeps nothing on disk, and speaks TLS to nobody: that a peer holds the
//! key of his certificate is for whoever made the connection to see. The only place that names hickory.

mod agents;
mod asking;
mod cache;
mod certificates;
mod dane;
mod domains;
mod error;
mod find;
mod names;
pub mod publish;
mod records;
mod roots;
#[cfg(test)]
mod testing;
mod told;

pub use agents::{AGENT_SERVICE, Agent, MAX_AGENTS};
pub use certificates::{Chain, MAX_CERTIFICATES};
pub use dane::{Published, published};
pub use domains::{Domains, Refusal, Verdict};
pub use error::{LookupError, SetupError};
pub use find::{
    FindError, Finder, Found, MAX_ADDRESSES, MAX_LEVELS, MAX_RECORDS, MAX_VALUE, MAX_WORDS, Place,
    Queue, SHOWN, Search, Stage, Step, WHOLE, Way, Words, order,
};
pub use names::{Age, DNS_PORT, Names, NoServer, Options, TIMEOUT, ZoneServers, name_server_of};
pub use records::{Answer, Ptr, Security, Srv, Tlsa, Txt};
pub use roots::Roots;
pub use told::{Told, told_by};
