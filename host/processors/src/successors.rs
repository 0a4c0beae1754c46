//! `upgrade=shadow-first`: a new version runs beside the one that counts, and takes over when it has done the same with
//! enough events for long enough. Where it does not, the one before goes on until somebody decides.
//!
//! What is decided stands in the processor's row, so that a crash loses no decision; what was compared does not, so
//! that after a restart it is compared anew. Compares nothing itself.

mod progress;

use std::time::{Duration, Instant};

use host_failpoints::failpoint;
use host_plugins::catalog::{Active, Snapshot};
use host_plugins::{CallError, Optional, Plugin};
use host_registry::{
    By, Desired, Processor, ProcessorChange, Rule, ShadowChange, Successor, Verdict, as_by,
};

pub(crate) use progress::Comparisons;

use crate::rollouts::{FirstDoes, Upgrade, grouped};
use crate::shadow::ShadowReport;
use crate::status::Phase;
use crate::supervisor::{Processors, Report};
use crate::trial::Candidate;
use crate::versions::stays_at;

/// Processors that compare a new version by this rule at once: each needs twice its processor time and memory then, and
/// one file may be for all of them.
const AT_ONCE: usize = 64;

/// How many times the wanted time a comparison keeps its place: one that waits for events holds up nobody.
const KEEPS_PLACE: u32 = 2;

/// How long a shadow that cannot be loaded is left alone: the store may have been busy.
const LOAD_AGAIN: Duration = Duration::from_secs(30);

/// What is to be done about a processor now.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// There are too many others.
    Waits,
    /// The two run; how do they do?
    Look(Successor),
    Do(Rule),
}

impl Processors {
    /// Looks at every processor that compares first; says whether something is under way.
    pub(crate) async fn look_at_successors(&self) -> bool {
        let mut rows = self.0.registry.processors().await.unwrap_or_default();
        rows.retain(|row| row.is_shadow_first() && row.desired != Desired::Deleted);
        self.0.comparisons.with(|all| all.retain(|id, _| rows.iter().any(|row| row.id == *id)));
        let snapshot = self.0.catalog.snapshot();
        let mut places = rows.iter().filter(|row| self.holds_place(row)).count();
        let mut under_way = false;
        for row in &rows {
            let Some(active) = snapshot.types.get(&row.kind) else { continue };
            let ordered = ordered(&snapshot, row, active);
            let is_over = |of: &Successor| self.0.comparisons.is_over(row.id, of.since);
            let rule = match step(row, active, ordered, places < AT_ONCE, is_over) {
                Step::Nothing => continue,
                Step::Waits => None,
                Step::Look(successor) => self.compared(row, &successor, active).await,
                Step::Do(rule) => Some(rule),
            };
            under_way = true;
            if let Some(rule) = rule {
                places += usize::from(matches!(rule, Rule::Follow { .. }));
                self.carry_out(row, rule).await;
            }
        }
        under_way
    }

    fn holds_place(&self, row: &Processor) -> bool {
        let Some(open) = row.followed().filter(|_| row.desired == Desired::Running) else {
            return false;
        };
        let longest = (self.0.options.shadow.time * KEEPS_PLACE).max(Duration::from_secs(60));
        self.0.comparisons.is_young(row.id, open.since, longest)
    }

    /// What a look at two versions that run leads to.
    async fn compared(&self, row: &Processor, of: &Successor, active: &Active) -> Option<Rule> {
        let report = self.report(row.id).await?;
        let (found, both_run) = found(&report, row, of)?;
        let progress = self.0.comparisons.looked(row.id, of.since, both_run);
        if found.is_passing && progress.loaded.elapsed() >= LOAD_AGAIN {
            self.0.comparisons.change(row.id, |progress| progress.loaded = Instant::now());
            self.agree_again(&row.name).await;
        }
        let wanted = self.0.options.shadow;
        let seen = found.agree + found.differ;
        let enough = progress.time >= wanted.time && seen >= wanted.events;
        if !of.is_open() {
            if enough || found.problem.is_some() {
                self.0.comparisons.change(row.id, |progress| progress.is_over = true);
                self.agree_again(&row.name).await;
            }
            return None;
        }
        let (digest, since) = (|| of.digest.clone(), of.since);
        let differs = |why| Some(Rule::Differs { digest: digest(), since, why });
        if let Some(why) = found.objection(active.plugin.exports(Optional::Migrate)) {
            return differs(why);
        }
        if !enough || !both_run {
            return None;
        }
        if found.skipped > found.agree {
            return differs(format!(
                "it is slower, {} events passed it by",
                grouped(found.skipped)
            ));
        }
        let as_it_will_be = Processor { pinned: Some(digest()), ..row.clone() };
        match self.check(&as_it_will_be).await {
            Ok(()) => {
                let returns = self.returns(row, &active.plugin).await;
                Some(Rule::Agrees { digest: digest(), since, returns })
            }
            Err(cause) => objection(&cause).and_then(|why| differs(why.to_owned())),
        }
    }

    /// Whether what a processor runs now could go on with what another version writes.
    async fn returns(&self, row: &Processor, other: &Plugin) -> bool {
        if !other.exports(Optional::Migrate) {
            return true;
        }
        let Some(digest) = &row.pinned else { return false };
        let now = self.0.catalog.version(digest).await;
        now.is_ok_and(|now| now.exports(Optional::Migrate))
    }

    /// Writes a step down. One that meets something else by now is thought about again at the next look.
    async fn carry_out(&self, row: &Processor, rule: Rule) {
        let told = told(&rule);
        let (shadow, name) = (Some(ShadowChange::Rule(rule)), row.name.as_str());
        let change = ProcessorChange { shadow, ..Default::default() };
        failpoint!("processors.before-successor");
        let by = By::host("upgrade=shadow-first", told.clone());
        match as_by(by, self.0.registry.update_processor(&row.name, change)).await {
            Ok(_) => tracing::info!(processor = name, step = told, "upgrade=shadow-first"),
            Err(cause) => tracing::debug!(processor = name, step = told, %cause, "not yet"),
        }
        failpoint!("processors.successor");
    }

    /// Where a processor stands that does not run the newest version, and compares first.
    pub(crate) fn to_follow(
        &self,
        row: &Processor,
        active: &Active,
        report: Option<&Report>,
    ) -> Option<Upgrade> {
        let version = active.plugin.info().version.clone();
        let successor = row.successor.as_deref();
        let successor = successor.filter(|found| *found.digest == **active.plugin.digest());
        let state = match (successor, successor.and_then(|found| found.verdict.as_ref())) {
            _ if !row.is_shadow_first() => return None,
            (_, Some(Verdict::Differs(why))) => format!("held, {why}: PROMOTE or DISCARD"),
            (_, Some(Verdict::Discarded)) => "discarded".to_owned(),
            (Some(of), None) => self.far(row, of, report),
            (None, None) if row.shadow.is_some() && row.followed().is_none() => {
                "waiting for the shadow that was set by hand".to_owned()
            }
            (None, None) => "waiting to be compared".to_owned(),
        };
        Some(Upgrade { version, state })
    }

    fn far(&self, row: &Processor, of: &Successor, report: Option<&Report>) -> String {
        let agree =
            report.and_then(|report| found(report, row, of)).map_or(0, |(found, _)| found.agree);
        let time = self.0.comparisons.of(row.id, of.since).map_or(Duration::ZERO, |far| far.time);
        let FirstDoes { events, time: wanted } = self.0.options.shadow;
        format!(
            "compared: {} of {} events alike, {} of {} s",
            grouped(agree.min(events)),
            grouped(events),
            grouped(time.min(wanted).as_secs()),
            grouped(wanted.as_secs())
        )
    }
}

/// What is to be done whatever was compared: an operator has chosen what runs for everybody, or what a processor stays
/// with is not to run any more.
fn ordered(snapshot: &Snapshot, row: &Processor, active: &Active) -> Option<Rule> {
    let digest = active.plugin.digest();
    let state = snapshot.states.get(&row.kind);
    let chosen = state.and_then(|state| state.pinned.as_ref());
    if chosen.is_some_and(|chosen| *chosen.digest == **digest) {
        return Some(Rule::Chosen(digest.to_string()));
    }
    match stays_at(snapshot, row) {
        stays if stays == row.pinned.as_ref() => None,
        Some(before) => Some(Rule::Back(before.clone())),
        None => Some(Rule::Chosen(digest.to_string())),
    }
}

fn step(
    row: &Processor,
    active: &Active,
    ordered: Option<Rule>,
    room: bool,
    is_over: impl Fn(&Successor) -> bool,
) -> Step {
    let digest = active.plugin.digest().to_string();
    if row.pinned.as_ref() == Some(&digest) {
        return if row.successor.is_some() { Step::Do(Rule::Nothing) } else { Step::Nothing };
    }
    if let Some(rule) = ordered {
        return Step::Do(rule);
    }
    let by_hand =
        row.followed().is_none() && row.shadow.as_ref().is_some_and(|shadow| *shadow != digest);
    if row.desired != Desired::Running || by_hand {
        return Step::Nothing;
    }
    match row.successor.as_deref().filter(|successor| successor.digest == digest) {
        Some(successor) if successor.verdict == Some(Verdict::Discarded) => Step::Nothing,
        Some(successor) if !successor.is_open() && is_over(successor) => Step::Nothing,
        Some(successor) if row.followed().is_some() => Step::Look(successor.clone()),
        _ if room => {
            let version = active.plugin.info().version.clone();
            Step::Do(Rule::Follow { digest, version })
        }
        _ => Step::Waits,
    }
}

/// What all shards have found, and whether all of them run both versions now. None where no shard does.
fn found(report: &Report, row: &Processor, of: &Successor) -> Option<(ShadowReport, bool)> {
    let mut both_run = !report.shards.is_empty();
    let mut all: Option<ShadowReport> = None;
    for shard in &report.shards {
        let meant = |found: &&ShadowReport| found.digest == of.digest && found.round == of.since;
        let Some(found) = shard.shadow.as_ref().filter(meant) else {
            both_run = false;
            continue;
        };
        let runs = shard.phase == Phase::Running && row.pinned.as_ref() == Some(&shard.digest);
        both_run &= runs && found.problem.is_none();
        match &mut all {
            Some(all) => all.add(found.clone()),
            None => all = Some(found.clone()),
        }
    }
    all.map(|all| (all, both_run))
}

/// Why a version must not take over that would not start. Flows that are not there are not its fault, nor is a host that
/// is full or slow.
fn objection(cause: &Candidate) -> Option<&'static str> {
    match cause {
        Candidate::Refused(CallError::Fatal(_)) => Some("it refuses the configuration"),
        Candidate::Refused(CallError::Trap(_) | CallError::Contract(_)) => Some("it cannot run"),
        _ => None,
    }
}

/// A step in words, for the audit log.
fn told(rule: &Rule) -> String {
    match rule {
        Rule::Follow { digest, version } => {
            format!("version {version} is compared, digest {digest}")
        }
        Rule::Differs { digest, why, .. } => format!("held, {why}: digest {digest}"),
        Rule::Agrees { digest, .. } => format!("takes over, digest {digest}"),
        Rule::Back(digest) => format!("goes back, digest {digest}"),
        Rule::Chosen(digest) => format!("takes over as everywhere, digest {digest}"),
        Rule::Nothing => "nothing is to follow".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_full_or_slow_is_no_fault_of_a_version() {
        let refused = |cause| objection(&Candidate::Refused(cause));
        let limit = CallError::Limit { which: "init_ms", limit: 5_000, words: String::new() };
        for cause in [CallError::Busy(String::new()), CallError::Retry(String::new()), limit] {
            assert_eq!(refused(cause), None);
        }
        assert_eq!(objection(&Candidate::NoType("a".to_owned())), None);
        assert_eq!(refused(CallError::Fatal(String::new())), Some("it refuses the configuration"));
        assert_eq!(refused(CallError::Trap("".into())), Some("it cannot run"));
    }
}
