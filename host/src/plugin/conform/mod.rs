//! `fnaad plugin conform`: a component held against the rules of the contract, one by one.
//!
//! Knows nothing of what a plugin is for: it looks at whether a host can rely on it. What it cannot look at, because
//! nothing of the kind happens with these events and this configuration, is not applicable, with the reason.

mod about;
mod events;
mod lasting;
mod optional;
mod passing;
mod report;
mod shard;
mod ticking;

use std::io::Write;

use anyhow::Result;
use host_plugins::Plugin;

use super::cli::Conform;
use super::desk::{Desk, Order};
use super::words;
pub(crate) use events::Trial;
use report::Report;

/// Tries all rules and prints what came of them. True where none is broken.
pub(crate) async fn run(Conform { tried: args }: &Conform, out: &mut impl Write) -> Result<bool> {
    let desk = Desk::open(&args.component)?;
    let plugin = desk.plugin().await?;
    let order = Order::of(plugin.info(), &args.made, &args.inputs)?;
    let trial = Trial::of(args.events.as_deref(), &order)?;
    let mut report = Report::of(&args.component.file, &plugin);
    held_against(&plugin, &order, &trial, &args.component.file, &mut report).await;
    words::print(&report, Report::text, args.format, out)?;
    Ok(report.is_well())
}

async fn held_against(
    plugin: &Plugin,
    order: &Order,
    trial: &Trial,
    file: &std::path::Path,
    report: &mut Report,
) {
    about::name(plugin, file, report);
    about::schema(plugin, report);
    about::describe(plugin, report).await;
    if !about::init(plugin, order, report).await {
        return report.rest_is_not_applicable("init refuses the configuration");
    }
    about::init_refuses(plugin, order, report).await;
    passing::through(plugin, order, trial, report).await;
    passing::odd(plugin, order, report).await;
    passing::large(plugin, order, report).await;
    lasting::instances(plugin, order, trial, report).await;
    lasting::ends(plugin, order, trial, report).await;
    ticking::ticks(plugin, order, trial, report).await;
    optional::reconfigure(plugin, order, trial, report).await;
    optional::migrate(plugin, order, trial, report).await;
}
