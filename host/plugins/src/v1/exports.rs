//! What a component of this version exports: the lifecycle, and whatever it offers beyond that.
//!
//! Optional interfaces are looked up by name; what a component does not export it is never asked for.

use wasmtime::component::InstancePre;
use wasmtime::{AsContextMut, Store};

use super::VERSION;
use super::generated::exports::flow::processor::{lifecycle, migrate, reconfigure, timer};
use crate::host::Host;
use crate::version::Optional;

/// A component that is linked, and where its exports are.
#[derive(Clone)]
pub(crate) struct Linked {
    component: InstancePre<Host>,
    lifecycle: lifecycle::GuestIndices,
    timer: Option<timer::GuestIndices>,
    reconfigure: Option<reconfigure::GuestIndices>,
    migrate: Option<migrate::GuestIndices>,
}

/// What runs in a store.
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::Guest,
    pub(crate) timer: Option<timer::Guest>,
    pub(crate) reconfigure: Option<reconfigure::Guest>,
    pub(crate) migrate: Option<migrate::Guest>,
}

impl Linked {
    /// Finds the exports.
    pub(crate) fn new(component: InstancePre<Host>) -> wasmtime::Result<Self> {
        let exports = |optional: Optional| {
            let name = optional.export(VERSION);
            component.component().get_export_index(None, &name).is_some()
        };
        let timer = exports(Optional::Timer).then(|| timer::GuestIndices::new(&component));
        let reconfigure =
            exports(Optional::Reconfigure).then(|| reconfigure::GuestIndices::new(&component));
        let migrate = exports(Optional::Migrate).then(|| migrate::GuestIndices::new(&component));
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&component)?,
            timer: timer.transpose()?,
            reconfigure: reconfigure.transpose()?,
            migrate: migrate.transpose()?,
            component,
        })
    }

    /// Instantiates the component.
    pub(crate) async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Exports> {
        let instance = self.component.instantiate_async(store.as_context_mut()).await?;
        let timer = self.timer.as_ref().map(|timer| timer.load(&mut *store, &instance));
        let reconfigure = self.reconfigure.as_ref();
        let reconfigure = reconfigure.map(|found| found.load(&mut *store, &instance));
        let migrate = self.migrate.as_ref().map(|found| found.load(&mut *store, &instance));
        Ok(Exports {
            lifecycle: self.lifecycle.load(&mut *store, &instance)?,
            timer: timer.transpose()?,
            reconfigure: reconfigure.transpose()?,
            migrate: migrate.transpose()?,
        })
    }

    /// The optional interfaces that it exports.
    pub(crate) fn optional(&self) -> impl Iterator<Item = Optional> {
        let exported = |optional: &Optional| match optional {
            Optional::Timer => self.timer.is_some(),
            Optional::Reconfigure => self.reconfigure.is_some(),
            Optional::Migrate => self.migrate.is_some(),
        };
        Optional::ALL.into_iter().filter(exported)
    }
}
