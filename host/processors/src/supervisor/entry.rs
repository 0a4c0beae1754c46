//! What runs of one processor: started, told, started anew or ended, as its row demands.

use std::sync::Arc;

use host_plugins::{Level, Optional, Plugin};
use host_registry::{Desired, Processor};
use tokio::task::JoinHandle;

use super::running::Running;
use super::{Inner, Processors};
use crate::control::Mode;
use crate::growth::is_keyed;
use crate::reconfigure::{self, Taken};
use crate::shadow::Beside;
use crate::spec::Spec;

#[derive(Default)]
pub(super) struct Entry {
    pub(super) running: Option<Running>,
    pub(super) problem: Option<String>,
    pub(super) held: Option<String>,
    /// Why the configuration of the row is not what runs.
    pub(super) refused: Option<String>,
}

impl Entry {
    /// Starts, restarts or tells the tasks, as the processor's row and its flows demand.
    pub(super) async fn agree(&mut self, processors: &Processors, processor: &Processor) {
        self.hold(processors, processor);
        let mode = match processor.desired {
            Desired::Running if self.held.is_some() => Mode::Pause,
            Desired::Running => Mode::Run,
            Desired::Paused => Mode::Pause,
            Desired::Stopped | Desired::Deleted => Mode::Stop,
        };
        let Inner { registry, brokers, .. } = &*processors.0;
        let spec = match Spec::resolve(processor, registry, brokers).await {
            Ok(spec) => Arc::new(spec),
            Err(error) => return self.cannot(processors, processor, error.to_string()).await,
        };
        let plugin = processors.plugin_for(&spec).await;
        let keyed = plugin.as_ref().is_some_and(|offer| is_keyed(&offer.plugin));
        let scattered = keyed.then(|| spec.scattered_keys());
        if let Some(problem) = scattered.flatten() {
            return self.cannot(processors, processor, problem).await;
        }
        self.problem = None;
        let shadow = processors.shadow_of(processor).await;
        let plugin = plugin.filter(|_| mode == Mode::Run);
        let fits = self.goes_on_with(&spec, plugin.as_ref().map(|offer| &offer.plugin)).await;
        if !fits || self.has_ended() && mode != Mode::Stop {
            self.stop(Mode::Stop).await;
            let before = self.running.take().map(|running| running.statuses).unwrap_or_default();
            self.running = Some(processors.start(spec, shadow.clone(), mode, &before).await);
        }
        if let Some(running) = &self.running {
            running.offer(processors.plugin_for(&running.spec).await);
            running.beside(shadow);
        }
        self.tell(mode);
    }

    /// Whether what runs can stay: nothing has changed, or it has taken, or refused, another configuration.
    async fn goes_on_with(&mut self, spec: &Arc<Spec>, plugin: Option<&Plugin>) -> bool {
        self.refused = None;
        let Some(running) = &mut self.running else { return false };
        if running.spec.same(spec) {
            return true;
        }
        let able = plugin.is_some_and(|plugin| plugin.exports(Optional::Reconfigure));
        if !able || !running.spec.same_but_config(spec) || !running.is_up() {
            return false;
        }
        match reconfigure::ask(&running.asks, spec).await {
            Taken::Yes => running.spec = Arc::clone(spec),
            Taken::No(words) => self.refused = Some(words),
            Taken::Unasked => return false,
        }
        true
    }

    /// Whether its owner may not do what it does; says so once.
    fn hold(&mut self, processors: &Processors, processor: &Processor) {
        let runs = processor.desired == Desired::Running;
        let held = if runs { processors.forbidden(processor) } else { None };
        if runs && self.held != held {
            let name = processor.name.as_str();
            let words = if held.is_some() { "held" } else { "held no longer" };
            let cause = held.clone().unwrap_or_else(|| "its owner may again".to_owned());
            let fields: [(&str, &dyn std::fmt::Display); 1] = [("cause", &cause)];
            processors.0.logs.host_line(name, None, Level::Warn, words, &fields);
        }
        self.held = held;
    }

    /// Ends the tasks of a processor that cannot run, and says why once.
    async fn cannot(&mut self, processors: &Processors, processor: &Processor, problem: String) {
        self.stop(Mode::Stop).await;
        self.running = None;
        if self.problem.as_ref() != Some(&problem) {
            let fields: [(&str, &dyn std::fmt::Display); 1] = [("cause", &problem)];
            let name = processor.name.as_str();
            processors.0.logs.host_line(name, None, Level::Error, "cannot run", &fields);
        }
        self.problem = Some(problem);
    }

    /// Waits until the tasks have done what they were told, or cannot.
    pub(super) async fn arrived(&mut self, desired: Desired) {
        if desired == Desired::Stopped {
            return self.stop(Mode::Stop).await;
        }
        let Some(running) = &self.running else { return };
        let held = desired == Desired::Paused || self.held.is_some();
        for status in &running.statuses {
            status.settled_as(held).await;
        }
    }

    pub(super) async fn destroy(&mut self, processors: &Processors, processor: &Processor) {
        if self.has_ended() || self.running.is_none() {
            let Inner { registry, brokers, .. } = &*processors.0;
            if let Ok(spec) = Spec::resolve(processor, registry, brokers).await {
                let spec = Arc::new(spec);
                self.running =
                    Some(processors.start(spec, Beside::Nothing, Mode::Destroy, &[]).await);
            }
        }
        self.stop(Mode::Destroy).await;
        self.running = None;
    }

    pub(super) fn tell(&self, mode: Mode) {
        if let Some(running) = &self.running {
            running.mode.send_if_modified(|now| std::mem::replace(now, mode) != mode);
        }
    }

    fn has_ended(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.tasks.iter().all(JoinHandle::is_finished))
    }

    /// Tells the tasks and waits for their end.
    pub(super) async fn stop(&mut self, mode: Mode) {
        self.tell(mode);
        let Some(running) = &mut self.running else { return };
        for task in running.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(processor = %running.spec.name, cause = %error, "a shard's task broke");
            }
        }
    }
}
