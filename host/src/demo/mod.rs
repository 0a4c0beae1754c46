//! `fnaad demo`: the main job on real data, from the binary alone.
//!
//! Starts a participant as a process of its own, lets the user agent create flows and processors and
//! write a week of earthquakes, drops in a new plugin version while events flow, kills the host in
//! the middle, starts it again, and counts what can be read back. Believes nothing but the count.

mod agent;
mod events;
mod participant;
mod screen;
mod tally;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use host_brokers::kafka::Kafka;

use agent::Agent;
use events::Quakes;
use participant::Participant;
use screen::Screen;
use tally::Tally;

use crate::dev::{DevBroker, kept_kafka};

/// The namespace of the draft's transcripts.
const NAMESPACE: &str = "flows.unix.ar";

/// Time that writing is spread over, so that there is a middle in which things can happen.
const WRITING: Duration = Duration::from_secs(6);

/// Longest wait for the processors to finish after the last event was written.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the demo shall do beside its job.
#[derive(Debug)]
pub struct Options {
    /// Leave the participant running and its directory in place.
    pub keep: bool,
    /// Where to keep the participant; a temporary directory where absent.
    pub dir: Option<PathBuf>,
    /// Where the events are; with the participant where absent.
    pub broker: Option<DevBroker>,
}

/// Runs the demo. True when nothing was lost and nothing repeated.
///
/// # Errors
/// When a step of the story fails: its words say which.
pub async fn run(options: Options) -> Result<bool> {
    let screen = Screen::new();
    let (dir, temporary) = directory(&options)?;
    let quakes = Quakes::load()?;

    screen.step(
        "A participant for flows.unix.ar starts: broker, registry and plugins under one directory",
    );
    let mut participant = Participant::start(&dir, NAMESPACE, options.broker.as_ref()).await?;
    screen.note(&format!("fnaad dev {} is ready at {}", dir.display(), participant.address()));
    let agent = Agent::new(&dir, screen.clone());

    screen.step("The user agent creates flows and asks for four processors");
    let bridge = create(&agent).await?;

    screen.step("A week of real earthquakes is written, and things happen meanwhile");
    write(&agent, &quakes, &mut participant, &screen).await?;

    screen.step("The processors finish, and everything is read back and counted");
    let tally = Tally::wait_and_count(&agent, &quakes, &screen, PATIENCE).await?;
    check_version(&agent, &bridge, &screen).await?;
    screen.table(tally.rows());
    let clean = tally.is_clean();
    screen.verdict(clean);
    look_further(&dir, &screen, options.keep);

    if options.keep {
        screen.note(&format!(
            "the participant goes on (process {}); end it with: kill {0}",
            participant.leave()
        ));
    } else {
        let on_kafka = matches!(options.broker, Some(DevBroker::Kafka(_)));
        if on_kafka {
            take_away(&agent).await?;
        }
        participant.end().await?;
        if on_kafka {
            retire(&dir).await?;
            screen.note("flows, their topics and those of the participant were deleted");
        }
    }
    drop(temporary);
    Ok(clean)
}

/// Creates flows and processors; gives the bridge's name.
async fn create(agent: &Agent) -> Result<String> {
    for (flow, partitions) in tally::FLOWS {
        agent.say(&["create", "flow", &on(flow), &format!("partitions={partitions}")]).await?;
    }
    let bridge = agent.say(&["replicate", &on("quakes"), &on("mirror")]).await?;
    agent
        .say(&[
            "distribute",
            &on("quakes"),
            &[on("felt"), on("unfelt")].join(","),
            "--config-json",
            &tally::rules(),
        ])
        .await?;
    agent.say(&["collect", &[on("felt"), on("unfelt")].join(","), &on("archive")]).await?;
    agent
        .say(&[
            "signal",
            "signal",
            "--from",
            &on("quakes"),
            "--to",
            &on("alerts"),
            "--config-json",
            tally::ALERTS,
        ])
        .await?;
    Ok(bridge.trim().to_owned())
}

/// What kept positions and state on a Kafka goes with the participant, whose identity was the demo's own.
async fn retire(dir: &Path) -> Result<()> {
    let Some(kafka) = kept_kafka(dir)? else { return Ok(()) };
    let options = kafka.options("kafka", "demo", dir.to_owned()).map_err(anyhow::Error::msg)?;
    Kafka::open(options).await?.retire().await.context("the topics of the participant")
}

/// A Kafka that somebody else runs is left as it was.
async fn take_away(agent: &Agent) -> Result<()> {
    for line in agent.ask(&["get", "processors"]).await?.lines() {
        if let Some(name) = line.split_whitespace().next() {
            agent.ask(&["delete", "processor", name]).await?;
        }
    }
    for (flow, _) in tally::FLOWS {
        agent.ask(&["delete", "flow", &on(flow)]).await?;
    }
    Ok(())
}

/// The version that was dropped in has to be the one that runs, on every shard.
async fn check_version(agent: &Agent, bridge: &str, screen: &Screen) -> Result<()> {
    let described = agent.ask(&["describe", "processor", bridge]).await?;
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

async fn write(
    agent: &Agent,
    quakes: &Quakes,
    participant: &mut Participant,
    screen: &Screen,
) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let (progress, mut written) = tokio::sync::watch::channel(0_usize);
    let total = quakes.len();
    let feeding = quakes.feed(writer, WRITING, progress);
    let target = on("quakes");
    let words = ["write", target.as_str()];
    let writing = agent.pipe(&words, reader);
    let bar = screen.bar(total as u64, "events written");
    let happening = async {
        for (after, what) in [(total / 3, Event::Swap), (2 * total / 3, Event::Kill)] {
            loop {
                let now = *written.borrow_and_update();
                bar.set_position(now as u64);
                if now >= after || written.changed().await.is_err() {
                    break;
                }
            }
            match what {
                Event::Swap => participant.drop_in_new_bridge(screen)?,
                Event::Kill => participant.kill_and_restart(screen).await?,
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
    Kill,
}

fn on(flow: &str) -> String {
    format!("{flow}.{NAMESPACE}")
}

fn directory(options: &Options) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(dir) = &options.dir {
        if dir.exists() && std::fs::read_dir(dir)?.next().is_some() {
            bail!(
                "{} is not empty: the demo counts events and needs a directory of its own",
                dir.display()
            );
        }
        return Ok((dir.clone(), None));
    }
    let temporary = tempfile::Builder::new()
        .prefix("fnaa-demo-")
        .tempdir()
        .context("no temporary directory")?;
    if options.keep {
        return Ok((temporary.keep(), None));
    }
    Ok((temporary.path().to_owned(), Some(temporary)))
}

fn look_further(dir: &Path, screen: &Screen, kept: bool) {
    let fnua = if kept {
        format!("fnua --config {}", dir.join("fnua.toml").display())
    } else {
        "fnua --config DIR/fnua.toml".to_owned()
    };
    if !kept {
        screen.note("to look around yourself, run it again with --keep (make demo KEEP=1), which names DIR:");
    }
    for command in [
        "status".to_owned(),
        format!("read {} --limit 3", on("alerts")),
        format!("describe flow {}", on("mirror")),
        "get processors".to_owned(),
        "-d get types".to_owned(),
    ] {
        screen.command(&format!("{fnua} {command}"));
    }
}
