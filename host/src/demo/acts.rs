//! What is done in the demo, act by act, by the users of both participants.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use super::agent::Agent;
use super::events::{self, FELT, Quake, member};
use super::participant;
use super::screen::Screen;
use super::site::{Site, Two};

/// The earthquakes, at home and as `emiliano.ar` gets them.
pub(super) const QUAKES: &str = "quakes.flows.unix.ar";
pub(super) const QUAKES_THERE: &str = "emiliano.ar-quakes.flows.unix.ar";

/// The alerts that `emiliano.ar` makes of them, and as `unix.ar` gets these.
pub(super) const ALERTS: &str = "alerts.emiliano.ar";
pub(super) const ALERTS_THERE: &str = "flows.unix.ar-alerts.emiliano.ar";

/// Flows of `unix.ar`.
const FLOWS: [&str; 5] = ["quakes", "mirror", "felt", "unfelt", "archive"];

/// The signal processor's configuration.
const STRONG_ONES: &str = r#"{"rules":[{"name":"strong","when":"data.properties.mag >= 5.0","emit":{"type":"alert.quake","to":"alerts.emiliano.ar"}}]}"#;

/// A flow of `unix.ar`.
pub(super) fn on(flow: &str) -> String {
    format!("{flow}.flows.unix.ar")
}

/// Creates flows and processors; gives the bridge's name.
pub(super) async fn create(unix: &Agent) -> Result<String> {
    for flow in FLOWS {
        unix.say(&["create", "flow", &on(flow), "partitions=4"]).await?;
    }
    let bridge = unix.say(&["replicate", QUAKES, &on("mirror")]).await?;
    let (felt, unfelt) = (on("felt"), on("unfelt"));
    let both = [felt.as_str(), &unfelt].join(",");
    let rules = format!(
        r#"{{"rules":[{{"when":"data.properties.mag >= {FELT:?}","to":["{felt}"]}}],"otherwise":["{unfelt}"]}}"#
    );
    unix.say(&["distribute", QUAKES, &both, "--config-json", &rules]).await?;
    unix.say(&["collect", &both, &on("archive")]).await?;
    Ok(bridge.trim().to_owned())
}

/// `emiliano.ar` asks for the earthquakes, `unix.ar` says yes, and the subscription goes on by itself. Gives its name.
pub(super) async fn subscribe(two: &Two, screen: &Screen) -> Result<String> {
    let (unix, emiliano) = (&two.unix.agent, &two.emiliano.agent);
    let said = emiliano.say_in_vain(&["subscribe", QUAKES]).await?;
    let request = said.trim().rsplit_once("request=").map(|(_, request)| request.to_owned());
    let request = request.with_context(|| format!("no request in {said:?}"))?;
    unix.say_aloud(&["get", "requests"]).await?;
    let policy = format!(r#"bridge {{"filter":"data.properties.mag >= {FELT:?}"}}"#);
    let approved = unix.say(&["approve", &request, "--policy", &policy]).await?;
    let id = approved.trim().to_owned();
    screen.note("yes, but only those that people feel leave unix.ar");
    screen.note("emiliano.ar asks again by itself every few seconds …");
    until(emiliano, QUAKES_THERE, "active").await?;
    screen.note(&format!("… and is let in: {id}"));
    Ok(id)
}

/// `emiliano.ar` makes alerts of strong earthquakes, and `unix.ar` subscribes to these.
pub(super) async fn answer(two: &Two) -> Result<()> {
    let (unix, emiliano) = (&two.unix.agent, &two.emiliano.agent);
    emiliano.say(&["create", "flow", ALERTS, "access=domains=unix.ar"]).await?;
    let from_to = ["--from", QUAKES_THERE, "--to", ALERTS, "--config-json", STRONG_ONES];
    emiliano.say(&[&["signal", "signal"], &from_to[..]].concat()).await?;
    unix.say_aloud(&["subscribe", ALERTS]).await?;
    until(unix, ALERTS_THERE, "active").await
}

/// Waits until the names of a participant stand in DNS, and shows who serves them.
pub(super) async fn publish(agent: &Agent, namespace: &str) -> Result<()> {
    let words = ["describe", "nameserver", namespace];
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = agent.list(&words).await?.into_iter().next().unwrap_or_default();
        let count = |key| member(&seen, key).as_u64().unwrap_or_default();
        if (count("waiting"), count("published") > 1) == (0, true) {
            return agent.say_aloud(&words).await.map(drop);
        }
        if Instant::now() > end {
            bail!("the names of {namespace} are not published: {seen}");
        }
        sleep(LOOK).await;
    }
}

/// Waits until a subscription is in a state.
async fn until(agent: &Agent, local: &str, state: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let all = agent.list(&["get", "subscriptions"]).await?;
        let Some(row) = all.iter().find(|row| member(row, "local") == local) else {
            bail!("{} has no subscription {local}", agent.domain());
        };
        if member(row, "state") == state {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("the subscription {local} is not {state}: {row}");
        }
        sleep(LOOK).await;
    }
}

/// Writes events, while a plugin is replaced and both hosts are killed.
pub(super) async fn write(two: &mut Two, quakes: &[Quake], screen: &Screen) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let (progress, mut written) = tokio::sync::watch::channel(0_usize);
    let total = quakes.len();
    let feeding = events::feed(quakes, writer, WRITING, progress);
    let agent = Agent::clone(&two.unix.agent);
    let words = ["write", QUAKES];
    let writing = agent.pipe(&words, reader);
    let bar = screen.bar(total as u64, "events written");
    let happening = async {
        for (after, what) in
            [(total / 4, Event::Swap), (total / 2, Event::Unix), (3 * total / 4, Event::Emiliano)]
        {
            loop {
                let now = *written.borrow_and_update();
                bar.set_position(now as u64);
                if now >= after || written.changed().await.is_err() {
                    break;
                }
            }
            match what {
                Event::Swap => {
                    two.unix.participant.drop_in_new_bridge()?;
                    screen.event(
                        "a new version of bridge.wasm was dropped into the plugins of unix.ar",
                    );
                }
                Event::Unix => two.unix.participant.kill_and_restart("unix.ar", screen).await?,
                Event::Emiliano => {
                    two.emiliano.participant.kill_and_restart("emiliano.ar", screen).await?;
                }
            }
        }
        while written.changed().await.is_ok() {
            bar.set_position(*written.borrow_and_update() as u64);
        }
        Ok::<(), anyhow::Error>(())
    };
    let (fed, wrote, happened) = tokio::join!(feeding, writing, happening);
    bar.finish_and_clear();
    happened?;
    fed.context("feeding events")?;
    wrote
}

enum Event {
    Swap,
    Unix,
    Emiliano,
}

/// Takes the subscription away, and writes the rest.
pub(super) async fn revoke(two: &Two, id: &str, rest: &[Quake], screen: &Screen) -> Result<()> {
    let (unix, emiliano) = (&two.unix.agent, &two.emiliano.agent);
    unix.say(&["remove", "subscriber", id]).await?;
    screen.event(&format!("from here on nothing of {QUAKES} leaves unix.ar"));
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let (progress, _) = tokio::sync::watch::channel(0_usize);
    let feeding = events::feed(rest, writer, Duration::from_secs(1), progress);
    let words = ["write", QUAKES];
    let (fed, wrote) = tokio::join!(feeding, unix.pipe(&words, reader));
    fed.context("feeding events")?;
    wrote?;
    until(emiliano, QUAKES_THERE, "ended").await?;
    emiliano.say_aloud(&["get", "subscriptions"]).await?;
    let all = emiliano.list(&["get", "subscriptions"]).await?;
    let why = all.iter().filter_map(|row| member(row, "why").as_str()).collect::<Vec<_>>();
    screen.note(&format!("why: {}", why.join("; ")));
    Ok(())
}

/// The version that was dropped in has to be the one that runs, on every shard.
pub(super) async fn check_version(unix: &Agent, bridge: &str, screen: &Screen) -> Result<()> {
    let described = unix.ask(&["describe", "processor", bridge]).await?;
    let shards = described.lines().filter(|line| line.starts_with("shard."));
    let new = format!("version={}", participant::NEXT_BRIDGE);
    for shard in shards {
        if !shard.contains(&new) {
            bail!("a shard of {bridge} does not run the new version: {shard}");
        }
    }
    screen.note(&format!("{bridge} runs {new} on every shard"));
    Ok(())
}

/// Waits until the names of what was taken away are gone, too.
pub(super) async fn withdrawn(two: &Two) -> Result<()> {
    for site in two.both() {
        let end = Instant::now() + PATIENCE;
        // The host, its namespace, and what is told of an end at the last moment.
        while !matches!(names(site).await?, (0, ..=3)) {
            if Instant::now() > end {
                bail!("names of {} are not withdrawn", site.agent.domain());
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

/// How many names wait for the name server, and how many it has.
async fn names(site: &Site) -> Result<(u64, u64)> {
    let seen = site.agent.list(&["describe", "nameserver", site.namespace]).await?;
    let count = |key| seen.first().and_then(|seen| member(seen, key).as_u64()).unwrap_or_default();
    Ok((count("waiting"), count("published")))
}

/// A Kafka, or a name server, that somebody else runs is left as it was.
pub(super) async fn take_away(two: &Two) -> Result<()> {
    for site in two.both() {
        let agent = &site.agent;
        for row in agent.list(&["get", "subscriptions"]).await? {
            let local = member(&row, "local").as_str().unwrap_or_default();
            agent.ask(&["unsubscribe", local]).await?;
        }
    }
    for site in two.both() {
        let agent = &site.agent;
        for name in agent.ask(&["get", "processors"]).await?.lines() {
            agent.ask(&["delete", "processor", name]).await?;
        }
        for name in agent.ask(&["get", "flows"]).await?.lines() {
            agent.ask(&["delete", "flow", name]).await?;
        }
    }
    Ok(())
}

/// Time that writing is spread over, so that there is a middle in which things can happen.
const WRITING: Duration = Duration::from_secs(8);

/// Between two looks at a subscription.
const LOOK: Duration = Duration::from_millis(200);

/// Longest wait for a subscription: who was approved asks again after five seconds.
const PATIENCE: Duration = Duration::from_secs(60);
