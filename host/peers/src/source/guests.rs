//! Connections on which flows are sent, and what each carries: who has changed something asks those whom it concerns to
//! look at once, and waits until nothing of before is on its way there any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fnap::name::Name;
use futures::future::join_all;
use tokio::sync::{Notify, oneshot};

use super::attach::Carried;
use super::logs::locked;

/// All of them. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Guests(Arc<All>);

#[derive(Debug, Default)]
struct All {
    here: Mutex<HashMap<u64, Arc<One>>>,
    last: AtomicU64,
}

#[derive(Debug, Default)]
struct One {
    /// Flows and subscriptions that are carried, and by how many streams.
    carried: Mutex<HashMap<Name, usize>>,
    asks: Mutex<Vec<Ask>>,
    bell: Notify,
}

/// Somebody waits until this is dropped: all streams of what it is about have been looked at, and nothing that was to
/// be sent before is left.
#[derive(Debug)]
pub(super) struct Ask {
    /// All that is carried, where nothing is said.
    about: Option<Name>,
    _waits: oneshot::Sender<()>,
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    home: Guests,
    number: u64,
    one: Arc<One>,
}

impl Ask {
    pub(super) fn is_about(&self, carried: &Carried) -> bool {
        let about = self.about.as_ref();
        about.is_none_or(|name| carried.name == *name || carried.flow == *name)
    }

    /// Whether what goes on has to stand until what was given before has left. Where all is looked at, who goes on has
    /// nothing to do with what was changed.
    pub(super) const fn stops(&self) -> bool {
        self.about.is_some()
    }
}

impl Guests {
    pub(super) fn join(&self) -> Guest {
        let (number, one) = (self.0.last.fetch_add(1, Ordering::Relaxed), Arc::<One>::default());
        locked(&self.0.here).insert(number, Arc::clone(&one));
        Guest { home: self.clone(), number, one }
    }

    /// Waits until every connection that carries a flow or subscription, or anything, has looked at it again, and sends
    /// nothing of before any more. A connection that has ended is done.
    pub(super) async fn settled(&self, about: Option<&Name>) {
        let here: Vec<Arc<One>> = locked(&self.0.here).values().cloned().collect();
        let concerned = here.iter().filter(|one| {
            let carried = locked(&one.carried);
            about.map_or(!carried.is_empty(), |about| carried.contains_key(about))
        });
        let asked = concerned.map(|one| {
            let (waits, done) = oneshot::channel();
            locked(&one.asks).push(Ask { about: about.cloned(), _waits: waits });
            one.bell.notify_one();
            done
        });
        let asked: Vec<_> = asked.collect();
        // An ask that came to a connection in its end goes with it.
        drop(here);
        // Nothing is ever said: it ends when the ask is dropped.
        join_all(asked).await;
    }
}

impl Guest {
    /// It begins to look at what it may carry: from now on it is asked.
    pub(super) fn takes_up(&self, name: &Name) {
        *locked(&self.one.carried).entry(name.clone()).or_default() += 1;
    }

    /// It carries it no more, or once less.
    pub(super) fn lets_go(&self, name: &Name) {
        let mut carried = locked(&self.one.carried);
        if let Some(count) = carried.get_mut(name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                carried.remove(name);
            }
        }
    }

    /// Waits until it is asked. May be dropped and called again.
    pub(super) async fn asked(&self) {
        self.one.bell.notified().await;
    }

    /// What it is asked.
    pub(super) fn asks(&self) -> Vec<Ask> {
        std::mem::take(&mut *locked(&self.one.asks))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        locked(&self.home.0.here).remove(&self.number);
        // Whoever has asked in this very moment has them in his hands.
        locked(&self.one.asks).clear();
        locked(&self.one.carried).clear();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn who_asks_waits_for_those_who_carry_it_and_for_nobody_else() {
        let guests = Guests::default();
        let (one, other, idle) = (guests.join(), guests.join(), guests.join());
        one.takes_up(&name("a.test"));
        other.takes_up(&name("a.test"));
        idle.takes_up(&name("b.test"));
        let about = name("a.test");
        let mut settled = pin!(guests.settled(Some(&about)));
        assert!(settled.as_mut().now_or_never().is_none());
        one.asked().await;
        assert!(idle.asks().is_empty());
        let asks = one.asks();
        assert_eq!(asks.len(), 1);
        drop(asks);
        assert!(settled.as_mut().now_or_never().is_none(), "the other has not looked");
        // It ends instead.
        drop(other);
        settled.await;
        one.lets_go(&name("a.test"));
        assert!(guests.settled(Some(&about)).now_or_never().is_some(), "nobody carries it");
        assert!(guests.settled(None).now_or_never().is_none(), "somebody carries something");
    }
}
