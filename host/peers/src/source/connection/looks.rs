//! Looks at what may have changed under streams that run: rights, partitions, and who else follows.

use fnap::reply::{Code, Failure};
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Serving;
use crate::source::attach::{Held, held};
use crate::source::give::{Place, Stream};
use crate::source::growth::{Grown, grown};
use crate::source::rest::Rest;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Serving<'_, S> {
    /// Looks at all streams again: whether they may go on.
    pub(super) async fn look_again(&mut self) {
        let began = Instant::now();
        // What changes from now on is looked at again.
        self.changes.seen();
        let all: Vec<u32> = self.streams.keys().copied().collect();
        for number in all {
            self.look_at(number).await;
        }
        self.looks.looked(began);
    }

    /// Looks at one again; gives false where it is over.
    pub(super) async fn look_at(&mut self, number: u32) -> bool {
        let Some(stream) = self.streams.get_mut(&number) else { return false };
        match held(self.house, self.visitor.principal, &stream.carried).await {
            Ok(Held { held, partitions }) => {
                if std::mem::replace(&mut stream.held, held) != held {
                    self.unsaid.insert(number);
                    self.wake(number);
                }
                self.look_for_growth(number, partitions);
                true
            }
            Err(failure) => {
                self.end(number, &failure);
                false
            }
        }
    }

    /// Where the flow should have more partitions than the follower knows of, he shall hear of them.
    pub(super) fn look_for_growth(&mut self, number: u32, partitions: u32) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let known = stream.extent;
        if partitions > known.known && (known.all || !stream.places.is_empty()) {
            stream.extent.known = partitions;
            let (house, carried) = (self.house, stream.carried.clone());
            let grown = grown(house, carried, known, partitions);
            self.growing.push(async move { (number, known.known, grown.await) }.boxed());
        }
    }

    pub(super) fn grew(&mut self, number: u32, known: u32, grown: Grown) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (partitions, places) = match grown {
            Ok(Some(grown)) => grown,
            // The next look finds it again.
            Ok(None) => return stream.extent.known = known,
            Err(failure) => return self.end(number, &failure),
        };
        let incarnation = stream.carried.incarnation.to_string();
        match self.connection.side().attached(number, &incarnation, &partitions) {
            Ok(()) => {}
            Err(fnap::stream::Refused::Gone | fnap::stream::Refused::Over) => return,
            Err(refused) => {
                return self.end(number, &Failure::new(Code::TooLarge, refused.to_string()));
            }
        }
        self.ready.extend(places.iter().map(|(partition, ..)| (number, *partition)));
        stream.places.extend(places.into_iter().map(Place::begin));
        if stream.held {
            drop(self.connection.side().hold(number, true));
        }
    }

    /// Looks at what somebody has changed and waits for: nothing is given to such streams until what was given before
    /// has left.
    pub(super) async fn look_for_others(&mut self) {
        for ask in self.guest.asks() {
            let about = |(number, stream): (&u32, &Stream<'_>)| {
                ask.is_about(&stream.carried).then_some(*number)
            };
            let numbers: Vec<u32> = self.streams.iter().filter_map(about).collect();
            for number in numbers {
                if self.look_at(number).await
                    && ask.stops()
                    && let Some(stream) = self.streams.get_mut(&number)
                    && self.connection.side().is_sending(number)
                {
                    stream.settling.get_or_insert_with(Rest::new);
                }
            }
            self.asks.push(ask);
        }
    }
}
