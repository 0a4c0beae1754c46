//! The two participants of the demo, each with its directory, its host and its user.

use std::path::Path;

use anyhow::{Context, Result};

use super::Options;
use super::agent::Agent;
use super::participant::{Participant, Settings};
use super::screen::Screen;

/// Domain and namespace of the one: those of the draft's transcripts.
const UNIX: (&str, &str) = ("unix.ar", "flows.unix.ar");
/// Domain and namespace of the other.
const EMILIANO: (&str, &str) = ("emiliano.ar", "emiliano.ar");

/// A participant and its user.
pub(super) struct Site {
    pub(super) namespace: &'static str,
    pub(super) participant: Participant,
    pub(super) agent: Agent,
}

/// Both of them.
pub(super) struct Two {
    pub(super) unix: Site,
    pub(super) emiliano: Site,
}

impl Two {
    /// Starts both, told where to ask about each other.
    pub(super) async fn start(dir: &Path, options: &Options, screen: &Screen) -> Result<Self> {
        let mut tries = TRIES;
        let (unix, emiliano) = loop {
            tries -= 1;
            let [unix, emiliano] = settings(dir, options)?;
            match tokio::try_join!(Participant::start(unix), Participant::start(emiliano)) {
                Ok(both) => break both,
                // Somebody was faster at one of the ports.
                Err(error) if tries > 0 && format!("{error:#}").contains(IN_USE) => {}
                Err(error) => return Err(error),
            }
        };
        let site = |participant: Participant, (domain, namespace): (&'static str, &'static str)| {
            screen.note(&format!("{domain:<11}  {}", participant.ready()));
            let agent = Agent::new(participant.dir(), domain, screen.clone());
            Site { namespace, participant, agent }
        };
        Ok(Self { unix: site(unix, UNIX), emiliano: site(emiliano, EMILIANO) })
    }

    pub(super) const fn both(&self) -> [&Site; 2] {
        [&self.unix, &self.emiliano]
    }

    /// SIGTERM to both.
    pub(super) async fn end(self) -> Result<()> {
        let (unix, emiliano) = (self.unix.participant.end(), self.emiliano.participant.end());
        tokio::try_join!(unix, emiliano).map(drop)
    }
}

fn settings(dir: &Path, options: &Options) -> Result<[Settings; 2]> {
    let first = ports()?;
    let at = |port: u16| format!("127.0.0.1:{}", first + port);
    let secret = dir.join("peers.secret").display().to_string();
    let brokers = [options.brokers.first(), options.brokers.last()];
    let of = |which: u16, (own, namespace): (&str, &str), other: &str| {
        let mut args =
            vec![format!("--namespace={namespace}"), format!("--listen={}", at(2 * which))];
        // Hosts of one user trust each other; those of a demo nobody else.
        args.push(format!("--peers-secret={secret}"));
        args.extend(match &options.name_server {
            Some((server, key)) => vec![
                format!("--dns-server={server}"),
                format!("--dns-key={}", key.display()),
                format!("--resolve={other}={server}"),
            ],
            None => vec![
                format!("--dns={}", at(2 * which + 1)),
                format!("--resolve={other}={}", at(2 * (1 - which) + 1)),
            ],
        });
        let broker = brokers.get(usize::from(which)).copied().flatten();
        args.extend(broker.map(|broker| format!("--broker={broker}")));
        Settings { dir: dir.join(own), args }
    };
    Ok([of(0, UNIX, EMILIANO.0), of(1, EMILIANO, UNIX.0)])
}

/// The first of four ports, below those that the system gives away by itself.
fn ports() -> Result<u16> {
    let random = getrandom::u32().context("random numbers")?;
    Ok(20_000 + u16::try_from(random % 3_000)? * 4)
}

/// How often other ports are tried.
const TRIES: u32 = 5;

/// What the system says of a port that somebody has.
const IN_USE: &str = "in use";
