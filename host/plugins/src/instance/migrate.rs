//! The state of another version, for a plugin that exports `migrate`. One that does not reads what is there.

use super::Setup;
use crate::call::{Caller, Deadline};
use crate::error::CallError;
use crate::v1;

/// Lets the plugin take over the state that the setup speaks of, before it knows anything else.
pub(super) async fn take_over(caller: &mut Caller, setup: &Setup) -> Result<(), CallError> {
    let Some(from) = setup.takes_over.clone() else { return Ok(()) };
    let config = setup.config.clone();
    let taken = caller.call(Deadline::Init, move |running| {
        Box::pin(async move {
            let (guest, store) = running.exports()?;
            let Some(migrate) = &guest.migrate else { return Ok(Ok(())) };
            store.data_mut().may_write = true;
            let taken = migrate.call(store, (from, config)).await;
            store.data_mut().end();
            taken
        })
    });
    taken.await?.map_err(|error| v1::refused(error, None))
}
