//! The host's session: whatever a peer says, in whatever pieces, and however late its answers come.
//!
//! Nothing panics; what goes out is whole replies in the order of the commands; nothing is performed
//! before somebody is authenticated; nothing said before a TLS handshake is heard after it; what the
//! session holds stays within its limits; and the pieces change nothing.

mod host;

use fnap::sasl::Mechanism;
use fnap::server::{ServerOptions, Tls};

use crate::input::Input;
use host::{Host, Pace};

/// A peer's bytes. The first control chooses the host's options and what is looked at, all of them the
/// pieces and the pace of answers. Where nothing steers, everything is looked at.
pub fn server(data: &[u8]) {
    let input = Input::of(data);
    let pieces = input.pieces();
    let chosen = input.choice(0) >> 5 & 3;
    if matches!(chosen, 0 | 1) {
        means_the_same(&input, &pieces);
    }
    if matches!(chosen, 0 | 2) {
        Host::new(options(&input, NARROW), Pace::Never).converse(&pieces);
    }
    if matches!(chosen, 0 | 3) {
        Host::new(options(&input, NARROW), Pace::Steered).converse(&pieces);
    }
}

/// In other pieces and at another pace.
fn means_the_same(input: &Input<'_>, pieces: &[(&[u8], u8)]) {
    let roomy = options(input, 1 << 20);
    let slow = Host::new(roomy.clone(), Pace::Steered).converse(pieces);
    let quick = Host::new(roomy, Pace::AtOnce).converse(&[(input.payload, 0)]);
    // Where the pieces are cut decides what comes before a handshake, and what after it.
    if slow.upgraded || quick.upgraded {
        return;
    }
    assert_eq!(slow.performed, quick.performed);
    if slow.out != quick.out {
        let [slow, quick] = [slow.out, quick.out].map(|out| String::from_utf8(out).unwrap());
        assert_eq!(slow, quick, "at another pace");
    }
}

fn options(input: &Input<'_>, max_waiting: usize) -> ServerOptions {
    let bits = input.choice(0);
    let mut options = ServerOptions::new("fnaa.example");
    options.clear_text = bits & 1 == 0;
    if bits & 16 != 0 {
        options.mechanisms = Mechanism::ALL.to_vec();
    }
    options.tls = if bits & 2 == 0 { Tls::Unavailable } else { Tls::Offered };
    options.writes_at_once = usize::from(bits >> 2 & 3) + 1;
    options.max_data_line = 200;
    options.max_waiting = max_waiting;
    options
}

/// So little may wait that a short input fills it.
const NARROW: usize = 256;
