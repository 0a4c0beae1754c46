//! The interface `migrate`, for types that export it.

use self::bindings::exports::flow::processor::migrate;
use super::{Component, events};
use crate::Migrate;

/// The generated bindings.
#[expect(missing_docs, reason = "generated from wit/")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package flow:more;
            world migrating {
                export flow:processor/migrate@1.0.0;
            }
        ",
        world: "flow:more/migrating",
        pub_export_macro: true,
        with: {
            "flow:processor/events@1.0.0": crate::guest::generated::flow::processor::events,
        },
    });
}

impl<P: Migrate> migrate::Guest for Component<P> {
    fn migrate(from_version: String, config: String) -> Result<(), events::Error> {
        Ok(P::migrate(&from_version, &config)?)
    }
}
