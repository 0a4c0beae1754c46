//! `fnaad demo`: the main job on real data, from the binary alone.
//!
//! Starts the two participants of the draft as processes of their own; lets their users create flows and processors,
//! subscribe to each other, and write a week of earthquakes; drops in a new plugin version while events flow, kills
//! both hosts in the middle, starts them again; revokes a subscription; and counts what can be read back on both
//! sides. Believes nothing but the count.

mod acts;
mod agent;
mod events;
mod participant;
mod screen;
mod site;
mod tally;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host_brokers::kafka::Kafka;

use events::Quakes;
use screen::Screen;
use site::Two;
use tally::Tally;

use crate::dev::{DevBroker, kept_kafka};

/// What the demo shall do beside its job.
#[derive(Debug)]
pub struct Options {
    /// Leave the participants running and their directories in place.
    pub keep: bool,
    /// Where to keep the participants; a temporary directory where absent.
    pub dir: Option<PathBuf>,
    /// Where the events of the one and of the other are, at the same place where only one is said; with the
    /// participants where none is.
    pub brokers: Vec<DevBroker>,
    /// A name server that has both zones, and the file with the key by which they are written to; one in each
    /// participant where absent.
    pub name_server: Option<(SocketAddr, PathBuf)>,
}

/// Runs the demo. True when nothing was lost and nothing repeated.
///
/// # Errors
/// When a step of the story fails: its words say which.
pub async fn run(options: Options) -> Result<bool> {
    let screen = Screen::new();
    let (dir, temporary) = directory(&options)?;
    let quakes = Quakes::load()?;
    let (first, rest) = quakes.parts();

    screen.step("Two participants start, each with a host, a broker and a name server of its own");
    let mut two = Two::start(&dir, &options, &screen).await?;

    screen.step("unix.ar creates flows, and three processors between them");
    let bridge = acts::create(&two.unix.agent).await?;

    screen.step("A user of emiliano.ar subscribes to the earthquakes: all he knows is their name");
    acts::publish(&two.unix.agent, "flows.unix.ar").await?;
    let subscription = acts::subscribe(&two, &screen).await?;

    screen.step("emiliano.ar makes alerts of the strong ones, and these go back to unix.ar");
    acts::answer(&two).await?;

    screen.step("Most of a week of real earthquakes is written, and things happen meanwhile");
    acts::write(&mut two, first, &screen).await?;
    let half = Tally::wait_and_count(&two, first, first, &screen).await?;
    let arrived = half.rows().iter().map(|row| row.events_out).sum::<usize>();
    screen.note(&format!("{} events written, {arrived} in eight flows of both", first.len()));
    acts::check_version(&two.unix.agent, &bridge, &screen).await?;

    screen.step("unix.ar revokes the subscription, and the rest of the week is written");
    acts::revoke(&two, &subscription, rest, &screen).await?;

    screen.step("Everything is read back and counted");
    let tally = Tally::wait_and_count(&two, quakes.all(), first, &screen).await?;
    screen.table(tally.rows());
    let clean = half.is_clean() && tally.is_clean();
    screen.verdict(clean);
    look_further(&dir, &screen, options.keep);
    end(two, &options, &screen).await?;
    drop(temporary);
    Ok(clean)
}

async fn end(two: Two, options: &Options, screen: &Screen) -> Result<()> {
    if options.keep {
        let (unix, emiliano) = (two.unix.participant.leave(), two.emiliano.participant.leave());
        screen.note(&format!("both participants go on; end them with: kill {unix} {emiliano}"));
        return Ok(());
    }
    let on_kafka = options.brokers.iter().any(|broker| matches!(broker, DevBroker::Kafka(_)));
    let dirs = two.both().map(|site| site.participant.dir().to_owned());
    // What belongs to somebody else is left as it was.
    if on_kafka || options.name_server.is_some() {
        acts::take_away(&two).await?;
    }
    if options.name_server.is_some() {
        acts::withdrawn(&two).await?;
        screen.note("the names of all flows were withdrawn from the name server; those of the two hosts stay");
    }
    two.end().await?;
    if on_kafka {
        for dir in dirs {
            retire(&dir).await?;
        }
        screen.note("flows, their topics and those of the participants were deleted");
    }
    Ok(())
}

/// What kept positions and state on a Kafka goes with the participant, whose identity was the demo's own.
async fn retire(dir: &Path) -> Result<()> {
    let Some(kafka) = kept_kafka(dir)? else { return Ok(()) };
    let options = kafka.options("kafka", "demo", dir.to_owned()).map_err(anyhow::Error::msg)?;
    Kafka::open(options).await?.retire().await.context("the topics of the participant")
}

fn directory(options: &Options) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(dir) = &options.dir {
        if dir.exists() && std::fs::read_dir(dir)?.next().is_some() {
            bail!(
                "{} is not empty: the demo counts events and needs a directory of its own",
                dir.display()
            );
        }
        return Ok((std::path::absolute(dir).context("directory")?, None));
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
    let at = |domain: &str| match kept {
        true => format!("fnua --config {}", dir.join(domain).join("fnua.toml").display()),
        false => format!("fnua --config DIR/{domain}/fnua.toml"),
    };
    if !kept {
        screen.note("to look around yourself, run it again with --keep (make demo KEEP=1), which names DIR:");
    }
    let (unix, emiliano) = (at("unix.ar"), at("emiliano.ar"));
    for command in [
        format!("{unix} status"),
        format!("{unix} describe flow {}", acts::QUAKES),
        format!("{unix} get subscribers {} --format json", acts::QUAKES),
        format!("{emiliano} read {} --limit 3", acts::ALERTS),
        format!("{emiliano} get subscriptions --format json"),
        format!("{emiliano} -d get types"),
    ] {
        screen.command(&format!("$ {command}"));
    }
}
