//! What a component exports: the lifecycle, and whatever it offers beyond that.
//!
//! Names carry the contract's version, so functions are found by name here rather than by generated code; their types
//! are checked when an instance is made. What a component does not export it is never asked for.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, ComponentType, Instance, InstancePre,
    Lift, Lower, Resource, TypedFunc,
};
use wasmtime::{AsContextMut, Store};

use super::generated::exports::flow::processor::lifecycle::{Info, Setup};
use super::generated::flow::processor::events::{Action, Error};
use crate::host::Host;
use crate::version::{Optional, Version};
use crate::view::BatchHandle;

/// A component that is linked, and where its exports are.
#[derive(Clone)]
pub(crate) struct Linked {
    component: InstancePre<Host>,
    version: Version,
    lifecycle: Places<6>,
    timer: Option<Places<2>>,
    reconfigure: Option<Places<1>>,
    migrate: Option<Places<1>>,
}

/// Where the functions of an interface are.
type Places<const N: usize> = [ComponentExportIndex; N];

/// What runs in a store.
pub(crate) struct Exports {
    pub(crate) describe: Export<(), Info>,
    pub(crate) init: Export<(Setup,), Done>,
    pub(crate) process: Export<(Resource<BatchHandle>,), Decided>,
    pub(crate) pause: Export<(), Done>,
    pub(crate) resume: Export<(), Done>,
    pub(crate) destroy: Export<(), Done>,
    pub(crate) timer: Option<Timer>,
    /// Takes the configuration.
    pub(crate) reconfigure: Option<Export<(String,), Done>>,
    /// Takes the version that made the state, and the configuration.
    pub(crate) migrate: Option<Export<(String, String), Done>>,
}

/// The interface `timer`.
pub(crate) struct Timer {
    pub(crate) interval: Export<(), u32>,
    pub(crate) tick: Export<(i64,), Decided>,
}

/// Whether it is done.
type Done = Result<(), Error>;

/// What was decided.
type Decided = Result<Vec<Action>, Error>;

/// A function of a guest.
pub(crate) struct Export<Params, Answer>(TypedFunc<Params, (Answer,)>);

impl<Params, Answer> Export<Params, Answer>
where
    Params: ComponentNamedList + Lower + Send + Sync + 'static,
    Answer: ComponentType + Lift + Send + Sync + 'static,
{
    fn load(
        store: &mut Store<Host>,
        instance: &Instance,
        place: &ComponentExportIndex,
    ) -> wasmtime::Result<Self> {
        Ok(Self(instance.get_typed_func(store, place)?))
    }

    /// Calls it.
    pub(crate) async fn call(
        &self,
        store: &mut Store<Host>,
        params: Params,
    ) -> wasmtime::Result<Answer> {
        let (answer,) = self.0.call_async(store, params).await?;
        Ok(answer)
    }
}

impl Linked {
    /// Finds the exports.
    pub(crate) fn new(component: InstancePre<Host>, version: Version) -> wasmtime::Result<Self> {
        let code = component.component();
        let functions = ["describe", "init", "process", "pause", "resume", "destroy"];
        let lifecycle = places(code, &version.interface("lifecycle"), functions)?;
        let lifecycle = lifecycle.ok_or_else(|| wasmtime::format_err!("exports no lifecycle"))?;
        let name = |optional: Optional| version.interface(optional.name());
        Ok(Self {
            lifecycle,
            timer: places(code, &name(Optional::Timer), ["interval", "tick"])?,
            reconfigure: places(code, &name(Optional::Reconfigure), ["reconfigure"])?,
            migrate: places(code, &name(Optional::Migrate), ["migrate"])?,
            version,
            component,
        })
    }

    /// Instantiates the component.
    pub(crate) async fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Exports> {
        let instance = self.component.instantiate_async(store.as_context_mut()).await?;
        let (instance, [describe, init, process, pause, resume, destroy]) =
            (&instance, &self.lifecycle);
        let timer = match &self.timer {
            Some([interval, tick]) => Some(Timer {
                interval: Export::load(store, instance, interval)?,
                tick: Export::load(store, instance, tick)?,
            }),
            None => None,
        };
        let reconfigure = self.reconfigure.as_ref();
        let reconfigure = reconfigure.map(|[place]| Export::load(store, instance, place));
        let reconfigure = reconfigure.transpose()?;
        let migrate = self.migrate.as_ref();
        let migrate = migrate.map(|[place]| Export::load(store, instance, place)).transpose()?;
        Ok(Exports {
            describe: Export::load(store, instance, describe)?,
            init: Export::load(store, instance, init)?,
            process: Export::load(store, instance, process)?,
            pause: Export::load(store, instance, pause)?,
            resume: Export::load(store, instance, resume)?,
            destroy: Export::load(store, instance, destroy)?,
            timer,
            reconfigure,
            migrate,
        })
    }

    /// The contract's version that it speaks.
    pub(crate) fn version(&self) -> Version {
        self.version
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

/// Finds the functions of an interface; nothing where the component does not export it.
fn places<const N: usize>(
    component: &Component,
    interface: &str,
    functions: [&str; N],
) -> wasmtime::Result<Option<Places<N>>> {
    let Some(instance) = component.get_export_index(None, interface) else { return Ok(None) };
    let found = functions.map(|name| component.get_export_index(Some(&instance), name));
    let all: Option<Vec<_>> = found.into_iter().collect();
    let all = all.and_then(|all| Places::try_from(all).ok());
    let missing =
        || wasmtime::format_err!("{interface} must export all of {}", functions.join(", "));
    all.ok_or_else(missing).map(Some)
}
