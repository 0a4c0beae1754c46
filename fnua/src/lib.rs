//! The flow namespace user agent: what people and scripts use a host with.
//!
//! [`run`] is the whole command line in one call, so that other programs can use it in-process;
//! [`Connection`] is the connection under it. Finds hosts by the names of flows where nothing is configured, and keeps
//! nothing on disk but what `fnua login` is asked to keep.

mod address;
mod agent;
mod cli;
mod config;
mod connection;
mod deadletters;
mod error;
mod exit;
mod hosts;
mod interrupt;
mod io;
mod login;
mod logs;
mod look;
mod output;
mod printer;
mod read;
mod replay;
mod run;
mod secret;
mod teller;
mod top;
mod trace;
mod way;
mod write;

pub use address::{Address, AddressError, DEFAULT_PORT};
pub use agent::{NoAgent, choose};
pub use config::{
    Agent, Certificate, Config, ConfigError, Fault, KeepError, Login, NameService, Source, Tls,
    TlsMode,
};
pub use connection::{Answer, CONNECT_TIMEOUT, Connection, MAX_ANSWER, MAX_LINE, REPLY_TIMEOUT};
pub use error::Error;
pub use exit::Exit;
pub use io::{Captured, Io};
pub use run::run;
pub use secret::Password;
pub use trace::Trace;
