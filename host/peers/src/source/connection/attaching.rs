//! Streams as they begin: what was asked for, what became of it, and who holds what now.

use std::time::Duration;

use fnap::reply::{Code, Failure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{FREE_REFUSALS, REFUSAL, Serving};
use crate::source::attach::{Begun, Carried, Sending, held};
use crate::source::give::{Place, Stream};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Serving<'_, S> {
    pub(super) async fn begin(&mut self, number: u32, begun: Result<Begun, Failure>) {
        let begun = match begun {
            Ok(begun) => begun,
            Err(failure) => return self.refuse(number, &failure),
        };
        let carried = begun.carried.clone();
        // What has changed it meanwhile did not see it; what changes it from now on does.
        self.takes_up(&carried);
        let attached = match held(self.house, self.visitor.principal, &carried).await {
            Ok(now) => {
                let attached = self.attached(number, begun, now.held);
                self.look_for_growth(number, now.partitions);
                attached
            }
            Err(failure) => {
                self.refuse(number, &failure);
                false
            }
        };
        if !attached {
            self.lets_go(&carried);
        }
    }

    fn takes_up(&self, carried: &Carried) {
        [&carried.name, &carried.flow].into_iter().for_each(|name| self.guest.takes_up(name));
    }

    pub(super) fn lets_go(&self, carried: &Carried) {
        [&carried.name, &carried.flow].into_iter().for_each(|name| self.guest.lets_go(name));
    }

    /// Gives whether there is a stream now.
    pub(super) fn attached(&mut self, number: u32, begun: Begun, held: bool) -> bool {
        let Begun { carried, attachment, partitions, places, extent } = begun;
        let incarnation = carried.incarnation.to_string();
        let said = self.connection.side().attached(number, &incarnation, &partitions);
        match said {
            Ok(()) => {}
            // He has changed his mind.
            Err(fnap::stream::Refused::Gone | fnap::stream::Refused::Over) => return false,
            Err(refused) => {
                self.refuse(number, &Failure::new(Code::TooLarge, refused.to_string()));
                return false;
            }
        }
        self.ready.extend(places.iter().map(|(partition, ..)| (number, *partition)));
        let viewed = places.first().map_or(Duration::ZERO, |(_, log, _)| log.view_time());
        if let Some(attachment) = attachment.as_ref().filter(|_| !places.is_empty()) {
            // Where he wants to go on is safe with him.
            let from = |(partition, _, next): &Sending| (*partition, *next);
            attachment.acked(&places.iter().map(from).collect());
        }
        let stream = Stream {
            carried,
            attachment,
            extent,
            held,
            settling: None,
            places: places.into_iter().map(Place::begin).collect(),
            stalled: Vec::new(),
            well: false,
            viewed,
            _counted: self.house.traffic.streams_open.hold(),
        };
        self.streams.insert(number, stream);
        if held {
            self.unsaid.insert(number);
        }
        true
    }

    /// Says of streams whether they are held, as soon as that finds room: the last word of each, once.
    pub(super) fn say_holds(&mut self) {
        while let Some(number) = self.unsaid.first().copied() {
            let held = self.streams.get(&number).map(|stream| stream.held);
            let said = held.map(|held| self.connection.side().hold(number, held));
            if matches!(said, Some(Err(fnap::stream::Refused::Full))) {
                return;
            }
            self.unsaid.remove(&number);
        }
    }

    fn refuse(&mut self, number: u32, failure: &Failure) {
        self.end(number, failure);
        self.refused = self.refused.saturating_add(1);
        if self.refused > FREE_REFUSALS {
            let next = Instant::now() + REFUSAL;
            self.next_attach = Some(self.next_attach.map_or(next, |other| other.max(next)));
        }
    }
}
