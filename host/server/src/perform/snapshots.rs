//! Snapshots of a processor's state: taken, shown, forgotten.

use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use host_events::Incarnation;
use host_processors::SnapshotError;
use host_registry::Processor;
use serde_json::json;

use super::Answer;
use super::describe::{Description, time};
use super::processors::find;
use crate::services::Services;

/// Takes one and answers with its number, or forgets one.
pub(super) async fn snapshot(services: &Services, name: Name, forget: Option<u64>) -> Answer {
    let processor = find(services, &name).await?;
    let Some(number) = forget else {
        let taken = services.processors.take_snapshot(&processor).await;
        return Ok(Reply::ok_with(taken.map_err(failure)?.to_string()));
    };
    match services.processors.forget_snapshot(processor.id, number).await.map_err(failure)? {
        true => Ok(Reply::ok_with(name)),
        false => {
            let words = format!("snapshot {number} of processor {name}");
            Err(Failure::new(Code::NotFound, words))
        }
    }
}

fn failure(error: SnapshotError) -> Failure {
    let code = match error {
        SnapshotError::NotRunning(_) | SnapshotError::Nowhere => Code::Conflict,
        SnapshotError::TooLarge(_) => Code::TooLarge,
        SnapshotError::Busy(_) | SnapshotError::Io(_) => Code::Unavailable,
    };
    Failure::new(code, error.to_string())
}

/// What a description says of those that are kept.
pub(super) async fn describe(
    services: &Services,
    mut description: Description,
    processor: &Processor,
) -> Description {
    for snapshot in services.processors.snapshots(processor.id).await {
        let positions: Vec<String> = snapshot
            .positions()
            .0
            .iter()
            .map(|((Incarnation(flow), partition), next)| format!("{flow}:{partition}:{next}"))
            .collect();
        let shown = json!({
            "time": time(snapshot.at), "version": snapshot.version, "entries": snapshot.entries(),
            "bytes": snapshot.bytes(), "positions": positions.join(","),
        });
        description = description.with(&format!("snapshot.{}", snapshot.number), shown);
    }
    description
}
