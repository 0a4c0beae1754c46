//! How many files the host may have open, connections among them.
//!
//! Takes what the system lets it have. Refuses nothing: a host with fewer files serves fewer connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many files as the hard limit allows, and says in the log when so many connections do not go
/// into that.
pub(crate) fn take_all(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: maximum, maximum };
    let most = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(cause) => {
            tracing::warn!(%cause, "the number of open files cannot be raised");
            current
        }
    };
    let needed = connections as u64 + BESIDE;
    if let Some(most) = most.filter(|most| *most < needed) {
        tracing::warn!(
            most,
            needed,
            "fewer files may be open than limits.connections needs: raise the hard limit (LimitNOFILE of systemd)"
        );
    }
}

/// Files beside connections: databases, logs of flows, plugins, brokers.
const BESIDE: u64 = 256;
