//! The interface `reconfigure`, for types that export it.

use self::bindings::exports::flow::processor::reconfigure;
use super::{Component, SETUP, events, with_instance};
use crate::{Reconfigure, Setup};

bindings!(
    "flow:more/reconfigured",
    "package flow:more;
     world reconfigured { export flow:processor/reconfigure@1.0.0; }"
);

impl<P: Reconfigure> reconfigure::Guest for Component<P> {
    fn reconfigure(config: String) -> Result<(), events::Error> {
        let setup = Setup { config, ..SETUP.with_borrow(Clone::clone) };
        with_instance(|processor: &mut P| processor.reconfigure(&setup))?;
        SETUP.set(setup);
        Ok(())
    }
}
