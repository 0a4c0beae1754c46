//! `fnaad dns`: what should stand in DNS, printed, and compared with what does.
//!
//! Reads the registry beside a host that may run. Changes nothing, neither here nor there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use fnap::name::Name;
use host_names::publish::{Difference, Set, UPDATE_TIMEOUT, Zone, compare, own_names};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::ListFormat;
use crate::config::{Config, DnsZone, Served};
use crate::publishing::wanted::{self, Presence, Unit};

/// Prints what should be there.
///
/// # Errors
/// When the configuration or the registry cannot be read, or the agent's port is not known.
pub fn export(
    path: &Path,
    zone: Option<&Name>,
    format: ListFormat,
    out: &mut impl Write,
) -> Result<()> {
    let config = Config::load(path)?;
    let mut wanted = Wanted::of(&config)?;
    if let Some(zone) = zone {
        wanted.presence.zones = vec![Zone::new(zone.clone())];
    }
    if wanted.presence.zones.is_empty() {
        return print(None, &wanted.everything(), format, out);
    }
    for (zone, sets) in wanted.zones() {
        print(Some(&zone), &sets, format, out)?;
    }
    Ok(())
}

fn print(
    zone: Option<&Zone>,
    sets: &BTreeSet<Set>,
    format: ListFormat,
    out: &mut impl Write,
) -> Result<()> {
    if let (Some(zone), ListFormat::Text) = (zone, format) {
        writeln!(out, "; zone {zone}").context("stdout")?;
    }
    for set in sets {
        match format {
            ListFormat::Text => write!(out, "{set}").context("stdout")?,
            ListFormat::Json => {
                for line in set.to_string().lines() {
                    writeln!(out, "{}", shown(zone, set, line)).context("stdout")?;
                }
            }
        }
    }
    Ok(())
}

/// A line of a zone file: owner, TTL, class, type, and what the record says.
fn shown(zone: Option<&Zone>, set: &Set, line: &str) -> serde_json::Value {
    json!({
        "zone": zone.map(ToString::to_string),
        "owner": set.owner.as_str(),
        "ttl": set.ttl,
        "type": set.kind().to_string(),
        "data": line.splitn(5, ' ').nth(4),
    })
}

/// Asks every name server of every zone, and prints what is not as it should be. True where all is.
///
/// # Errors
/// As [`export`]; also where no zone is configured.
pub async fn check(path: &Path, format: ListFormat, out: &mut impl Write) -> Result<bool> {
    let config = Config::load(path)?;
    let wanted = Wanted::of(&config)?;
    if config.dns.zones.is_empty() {
        bail!("no zone is configured: [[dns.zones]] says which there are, and who serves them");
    }
    let (mut agrees, zones) = (true, wanted.zones());
    for DnsZone { name, served } in &config.dns.zones {
        let zone = Zone::new(name.clone());
        let sets: Vec<Set> = zones.get(&zone).into_iter().flatten().cloned().collect();
        let gone = match served {
            Served::Update { .. } => left_over(&config, name, &sets)?,
            // It begins empty whenever the host does.
            Served::Embedded => Vec::new(),
        };
        let own = own_names(&sets);
        for server in servers(&config, name, served)? {
            let bar = bar(name, server);
            let mut progress = |(done, all): (usize, usize)| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            };
            let compared = compare(server, &sets, &gone, &own, UPDATE_TIMEOUT, &mut progress).await;
            bar.finish_and_clear();
            let told = match compared {
                Ok(differences) => differences.iter().map(Told::of).collect(),
                Err(error) => vec![Told { owner: None, kind: None, words: error.to_string() }],
            };
            agrees &= told.is_empty();
            for told in told {
                told.print(name, server, format, out)?;
            }
        }
    }
    Ok(agrees)
}

/// Says how far it is, on a terminal.
fn bar(zone: &Name, server: SocketAddr) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(format!("{zone} at {server}"));
    bar
}

/// What may be in a zone by the host's own books, and should not.
fn left_over(config: &Config, zone: &Name, wanted: &[Set]) -> Result<Vec<Set>> {
    let rows = host_registry::peek_published(&config.data_dir.join("registry.db"));
    let mut left = BTreeSet::new();
    for (of, unit, row) in rows.context("registry")? {
        if of == zone.as_str() {
            let sets: BTreeSet<Set> =
                serde_json::from_str(&row.sets).with_context(|| format!("published {unit}"))?;
            left.extend(sets);
        }
    }
    let wanted: BTreeSet<_> = wanted.iter().map(|set| (&set.owner, &set.data)).collect();
    left.retain(|set| !wanted.contains(&(&set.owner, &set.data)));
    Ok(left.into_iter().collect())
}

/// Something that is not as it should be.
struct Told {
    owner: Option<String>,
    kind: Option<String>,
    words: String,
}

impl Told {
    fn of(difference: &Difference) -> Self {
        let Difference { owner, kind, found } = difference;
        let (owner, kind) = (Some(owner.to_string()), Some(kind.to_string()));
        Self { owner, kind, words: found.to_string() }
    }

    fn print(
        &self,
        zone: &Name,
        server: SocketAddr,
        format: ListFormat,
        out: &mut impl Write,
    ) -> Result<()> {
        let Self { owner, kind, words } = self;
        let line = match (format, owner.iter().zip(kind).next()) {
            (ListFormat::Text, Some((owner, kind))) => {
                format!("{zone} {server} {owner} {kind}: {words}")
            }
            (ListFormat::Text, None) => format!("{zone} {server} {words}"),
            (ListFormat::Json, _) => json!({
                "zone": zone.to_string(), "server": server.to_string(), "owner": owner, "type": kind, "found": words,
            })
            .to_string(),
        };
        writeln!(out, "{line}").context("stdout")
    }
}

fn servers(config: &Config, zone: &Name, served: &Served) -> Result<Vec<SocketAddr>> {
    match served {
        Served::Update { servers, .. } => Ok(servers.clone()),
        Served::Embedded => {
            let known: Vec<_> =
                config.dns.listen.iter().filter(|at| at.port() > 0).copied().collect();
            if known.is_empty() {
                bail!("zone {zone}: nobody knows where it is served: [dns] listen has port 0");
            }
            Ok(known)
        }
    }
}

/// What should be there.
struct Wanted {
    presence: Presence,
    findable: host_registry::Findable,
}

impl Wanted {
    fn of(config: &Config) -> Result<Self> {
        let Some((port, tls)) = config.agent_port(&config.listen, &config.listen_tls) else {
            bail!(
                "the agent's port is not known: [dns] agent = \"NAME:PORT\" says it, or listen without port 0"
            );
        };
        let presence = Presence::of(config, port, tls);
        let presence = presence.context("hostname: not a name of dns")?;
        let path = config.data_dir.join("registry.db");
        let findable = host_registry::peek(&path).context("registry")?;
        Ok(Self { presence, findable })
    }

    fn everything(&self) -> BTreeSet<Set> {
        let all = wanted::everything(&self.findable, &self.presence);
        all.into_values().flat_map(|unit| unit.sets).collect()
    }

    fn zones(&self) -> BTreeMap<Zone, BTreeSet<Set>> {
        let all = wanted::wanted(&self.findable, &self.presence);
        let sets =
            |units: wanted::Units| units.into_values().flat_map(|Unit { sets, .. }| sets).collect();
        all.into_iter().map(|(zone, units)| (zone, sets(units))).collect()
    }
}
