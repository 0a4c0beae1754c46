//! The interface `migrate`, for types that export it.

use self::bindings::exports::flow::processor::migrate;
use super::{Component, events};
use crate::Migrate;

bindings!(
    "flow:more/migrating",
    "package flow:more;
     world migrating { export flow:processor/migrate@1.0.0; }"
);

impl<P: Migrate> migrate::Guest for Component<P> {
    fn migrate(from_version: String, config: String) -> Result<(), events::Error> {
        Ok(P::migrate(&from_version, &config)?)
    }
}
