//! Batches through the plugin: what it decides of each is gathered for the next commit.
//!
//! What fails is not looked into here (`isolate.rs`), and nothing is made durable (`commits.rs`).

use std::sync::Arc;
use std::time::SystemTime;

use host_plugins::{Action, CallError};

use crate::inputs::Next;
use crate::pieces;
use crate::shadow::{Did, Outcome};
use crate::shard::Failure;
use crate::spec::Policy;
use crate::traced::Traced;
use crate::worker::{End, Moves, Worker};

impl Worker<'_> {
    pub(crate) async fn process(&mut self, next: Next) -> Result<Option<End>, Failure> {
        if self.is_suspected(&next) {
            return self.process_carefully(next).await;
        }
        if next.batch.records.len() <= self.shard.size.most() {
            match self.attempt(next.clone()).await {
                Err(Failure::OneByOne) => self.one_by_one().await?,
                attempted => return attempted,
            }
        }
        let mut rest = pieces::chop(&next, self.shard.size.most());
        rest.reverse();
        while let Some(piece) = rest.pop() {
            if self.is_called_away() {
                self.drain().await?;
                return Ok(Some(End::ModeChanged));
            }
            if !self.has_room() {
                self.drain().await?;
            }
            match self.attempt(piece.clone()).await {
                Err(Failure::OneByOne) => {
                    self.one_by_one().await?;
                    rest.extend(pieces::chop(&piece, 1).into_iter().rev());
                }
                Ok(None) => {}
                ended => return ended,
            }
            self.commit_if_idle();
        }
        Ok(None)
    }

    /// Each event is asked about alone from now on, in an instance that has seen none of those that were asked about
    /// together.
    async fn one_by_one(&mut self) -> Result<(), Failure> {
        self.shard.size.one();
        self.drain().await?;
        self.renew().await
    }

    pub(crate) async fn attempt(&mut self, next: Next) -> Result<Option<End>, Failure> {
        self.prepare().await?;
        match self.decide(&next, &next.moves()).await {
            Ok(()) => {
                let (events, limits) = (next.batch.records.len(), &self.shard.limits);
                // Nobody was asked about a batch without events.
                if let (1.., Some(instance)) = (events, self.living.there()) {
                    self.shard.size.took(events, instance.cost(), limits);
                }
                Ok(None)
            }
            Err(Failure::Plugin(cause)) if pieces::kind(&cause).is_some() => {
                self.isolate(next, cause).await
            }
            Err(Failure::Plugin(cause)) => {
                self.judge_answer(&next, &cause).await?;
                Err(cause.into())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks the plugin about a batch and gathers what it decides. When the plugin fails, nothing of
    /// the batch is gathered. [`Self::prepare`] comes before it.
    pub(crate) async fn decide(&mut self, next: &Next, moves: Moves<'_>) -> Result<(), Failure> {
        let Next { input, batch } = next;
        let flow = self.shard.spec.input_name(*input);
        let began = self.shard.traces.is_on().then(SystemTime::now);
        self.state.lock().begin();
        let (mut actions, mut shown) = (Vec::new(), None);
        if !batch.records.is_empty() {
            let answer = match self.living.there() {
                Some(instance) => instance.process(*input, &flow, batch.clone()).await,
                None => Err(CallError::Dead),
            };
            actions = match answer {
                Ok(actions) => actions,
                Err(cause) => {
                    self.state.lock().abandon();
                    return Err(cause.into());
                }
            };
            actions = match self.fit(actions, batch.records.len()) {
                Ok(actions) => actions,
                Err(failure) => {
                    self.state.lock().abandon();
                    return Err(failure);
                }
            };
            if actions.iter().any(|action| matches!(action, Action::DeadLetter { .. })) {
                self.need_dead_flow().await?;
            }
            shown = self.companion.is_some().then(|| actions.clone());
            self.shard.row = 0;
        }
        if let Some(actions) = shown {
            let did = Did::Answered(actions, self.state.lock().take_changes());
            self.show(|| Outcome { next: next.clone(), flow: Arc::clone(&flow), did });
        }
        self.gather(&flow, batch, actions, moves)?;
        self.living.worked();
        if let Some(began) = began {
            let traced = Traced::of(&self.shard.traces, (&flow, batch), began, "committed");
            self.waiting.traced.extend(traced);
        }
        Ok(())
    }

    /// What of a plugin's decisions is carried out where it fills the topic of a subscriber: a new event has the trace of the
    /// one that it was made of, so each is asked about alone; and a stranger's component has no dead letters.
    fn fit(&mut self, actions: Vec<Action>, events: usize) -> Result<Vec<Action>, Failure> {
        let spec = &self.shard.spec;
        let is_new = |action: &Action| matches!(action, Action::Emit { .. });
        if spec.lends.is_some() && events > 1 && actions.iter().any(is_new) {
            return Err(Failure::OneByOne);
        }
        if spec.policy != Policy::LeaveOut {
            return Ok(actions);
        }
        let (letters, actions): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|action| matches!(action, Action::DeadLetter { .. }));
        self.shard.left_out(letters.len() as u64, "dead letter");
        Ok(actions)
    }

    pub(crate) async fn need_dead_flow(&mut self) -> Result<(), Failure> {
        if self.dead.is_none() {
            self.dead = Some(self.shard.dead.get().await?);
        }
        Ok(())
    }
}
