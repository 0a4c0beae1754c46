//! What an answer in octets is taken for, without a server that gives it: for tests with answers that none would.

use std::net::IpAddr;

use fnap::name::Name as Host;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, RecordType};

use crate::asking::told;
use crate::find::{Words, bounded, order, service_of, target};
use crate::records::{Kind, Ptr, Srv, Txt};

/// What was taken from an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Where the pointer at a flow leads.
    pub service: Option<String>,
    /// Hosts and ports that SRV records mean, in order.
    pub hosts: Vec<(Host, u16)>,
    /// What TXT records say.
    pub words: Words,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// What `octets`, as they come from a server, say about the name that was asked about; none where they are no answer
/// to that. `dice` are those of [`order`].
#[must_use]
pub fn told_by(octets: &[u8], asked: &Host, dice: &mut dyn FnMut(u64) -> u64) -> Option<Told> {
    let message = Message::from_vec(octets).ok()?;
    let mut name = Name::from_ascii(asked.as_str()).ok()?;
    name.set_fqdn(true);
    let said = |kind| told(Ok::<_, NetError>(message.clone()), &name, kind).unwrap_or_default();
    fn read<T: Kind>(said: &[hickory_resolver::proto::rr::RData]) -> Vec<T> {
        said.iter().filter_map(T::read).collect()
    }
    let pointers: Vec<Ptr> = read(&said(RecordType::PTR));
    let services: Vec<Srv> = read(&said(RecordType::SRV));
    let texts: Vec<Txt> = read(&said(RecordType::TXT));
    let ordered = order(bounded(services), dice);
    Some(Told {
        service: service_of(asked, pointers),
        hosts: ordered.iter().filter_map(|srv| Some((target(srv)?, srv.port))).collect(),
        words: Words::read(&texts),
        addresses: read(&said(RecordType::A)),
    })
}
