//! Performs what operators want of plugins, and answers.
//!
//! A wish that is not answered is performed again after a crash, so every step of it can be made twice.

use std::path::PathBuf;
use std::time::Duration;

use host_failpoints::failpoint;
use host_plugins::{Catalog, Rescans};
use host_registry::{By, Desired, Registry, RegistryError, Subscriber, as_by};

use super::{Answer, Verb, Wish};

/// Time between two looks whether somebody wants something: an operator waits for it.
const LOOK: Duration = Duration::from_millis(500);

/// Names of users that an answer has at most.
const NAMED: usize = 10;

/// What wishes are performed on.
#[derive(Clone)]
pub(crate) struct Genie {
    pub(crate) registry: Registry,
    pub(crate) catalog: Catalog,
    pub(crate) plugins_dir: PathBuf,
}

impl Genie {
    /// Performs wishes until the future is dropped.
    pub(crate) async fn watch(self, rescans: Rescans) {
        loop {
            if self.perform_all().await {
                // What was kept for later, or is not to be tried any more, lies there.
                rescans.now().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Performs what is wanted now; says whether there was anything.
    pub(crate) async fn perform_all(&self) -> bool {
        let wishes = self.registry.wishes().await.unwrap_or_else(|cause| {
            tracing::warn!(%cause, "wishes about plugins are not read");
            Vec::new()
        });
        let any = !wishes.is_empty();
        for (number, document) in wishes {
            let answer = match serde_json::from_str::<Wish>(&document) {
                Ok(wish) => self.perform(wish).await,
                Err(error) => Err(format!("not understood: {error}")),
            };
            let answer = answer.map_or_else(Answer::Refused, Answer::Done);
            let text = serde_json::to_string(&answer).unwrap_or_default();
            if let Err(cause) = self.registry.answer_wish(number, text).await {
                tracing::warn!(%cause, "a wish about plugins is not answered");
            }
        }
        any
    }

    async fn perform(&self, wish: Wish) -> Result<String, String> {
        let command = wish.command();
        let by = By::host(&format!("uid {}", wish.uid), command.clone());
        let done = as_by(by, self.perform_as(wish.verb, &command)).await;
        match &done {
            Ok(told) => tracing::info!(command, told, "done for an operator"),
            Err(cause) => tracing::warn!(command, cause, "not done for an operator"),
        }
        done
    }

    async fn perform_as(&self, verb: Verb, why: &str) -> Result<String, String> {
        let catalog = &self.catalog;
        match verb {
            Verb::Pin { name, version } => {
                let pinned = catalog.pin(&name, &version, why).await;
                let pinned = pinned.map_err(|error| error.to_string())?;
                Ok(format!("{name} stays with {} {}", pinned.version, pinned.digest))
            }
            Verb::Unpin { name } => {
                catalog.unpin(&name, why).await.map_err(|error| error.to_string())?;
                Ok(format!("{name} takes newer versions again"))
            }
            Verb::Rollback { name } => {
                let before = catalog.roll_back(&name, why).await;
                let before = before.map_err(|error| error.to_string())?;
                Ok(format!("{name} runs {} {} again", before.version, before.digest))
            }
            Verb::Remove { name, force } => self.remove(&name, force, why).await,
        }
    }

    async fn remove(&self, name: &str, force: bool, why: &str) -> Result<String, String> {
        let failed = |error: RegistryError| error.to_string();
        self.refuse_for_others(name).await?;
        let mut users = self.registry.processors().await.map_err(failed)?;
        users.retain(|user| user.kind == name && user.desired != Desired::Deleted);
        if !users.is_empty() && !force {
            let names: Vec<&str> =
                users.iter().take(NAMED).map(|user| user.name.as_str()).collect();
            let more = if users.len() > NAMED { ", …" } else { "" };
            return Err(format!("{name} is used by {}{more}", names.join(", ")));
        }
        let mut paused = 0;
        for user in users.iter().filter(|user| user.desired == Desired::Running) {
            let because = format!("processor type {name} was removed");
            self.registry.pause_because(&user.name, because).await.map_err(failed)?;
            paused += 1;
        }
        failpoint!("plugins.before-removal");
        let file = self.plugins_dir.join(format!("{name}.wasm"));
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", file.display())),
        }
        failpoint!("plugins.removed");
        self.catalog.forget(name, why).await.map_err(|error| error.to_string())?;
        Ok(match paused {
            0 => format!("{name} is removed"),
            paused => format!("{name} is removed, {paused} processors are paused"),
        })
    }

    /// Flows, subscriptions and patterns name a type for as long as they are there; nothing of them can be paused.
    async fn refuse_for_others(&self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a processor type"));
        }
        let flows = self.registry.flows(None).await.map_err(|error| error.to_string())?;
        let is_policy = |policy: &str| policy.split(' ').next() == Some(name);
        if let Some(flow) = flows.iter().find(|flow| flow.policy().is_some_and(is_policy)) {
            return Err(format!("{name} is the policy of flow {}: change that first", flow.name));
        }
        let views = self.registry.live_subscribers().into_iter().find(|subscriber| {
            let flow = flows.iter().find(|flow| flow.name == subscriber.flow);
            flow.is_some_and(|flow| subscriber.view(flow).iter().any(|lens| lens.kind == name))
        });
        if let Some(Subscriber { name: of, .. }) = views {
            return Err(format!(
                "{name} makes what subscription {of} gets: that has to be removed first"
            ));
        }
        let patterns = self.registry.mirrors();
        if let Some(pattern) = patterns.iter().find(|pattern| pattern.kind() == name) {
            return Err(format!("{name} is what pattern {} makes: delete it first", pattern.name));
        }
        Ok(())
    }
}

/// It becomes a part of a path.
fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(letter)
}
