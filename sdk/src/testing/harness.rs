//! Calls a plugin as the host does, and refuses what the host refuses.

use std::time::Duration;

use crate::testing::Batches;
use crate::testing::state;
use crate::{
    Action, Batch, Cardinality, Error, Info, Migrate, Processor, Reconfigure, Setup, Timer,
};

/// A plugin under test. State begins empty and outlives [`Harness::restart`].
#[derive(Debug)]
pub struct Harness<P> {
    processor: P,
    info: Info,
    setup: Setup,
}

impl<P: Processor> Harness<P> {
    /// Makes an instance that reads the flow `in` and writes the flow `out`.
    ///
    /// # Errors
    /// What `init` said.
    pub fn new(config: &str) -> Result<Self, Error> {
        Self::builder().config(config).build()
    }

    /// Makes an instance with other flows.
    #[must_use]
    pub fn builder() -> HarnessBuilder<P> {
        let setup = Setup {
            config: "{}".to_owned(),
            inputs: vec!["in".to_owned()],
            outputs: vec!["out".to_owned()],
            processor: "processor.under.test".to_owned(),
            shard: 0,
            more: "{}".to_owned(),
        };
        HarnessBuilder { setup, state_limit: state::LIMIT, plugin: std::marker::PhantomData }
    }

    /// Hands over a batch. State that it wrote stays only where it succeeds.
    ///
    /// # Errors
    /// What `process` said, or [`Error::Fatal`] beginning with `contract:` where the actions name
    /// an event or an output that is not there, or forget an event.
    pub fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        state::begin();
        let answer = self.processor.process(batch);
        let checked = answer.and_then(|actions| self.check(batch, actions));
        state::end(checked.is_ok());
        checked
    }

    /// Destroys the instance and makes a new one from the same setup and the committed state.
    ///
    /// # Errors
    /// What `init` said.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.processor = P::init(&self.setup)?;
        Ok(())
    }

    /// The instance, for calls to the rest of its lifecycle.
    pub fn processor(&mut self) -> &mut P {
        &mut self.processor
    }

    /// Puts something into the committed state, as another version may have left it.
    ///
    /// # Errors
    /// What the state refuses.
    pub fn write(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        state::begin();
        let written = crate::state::set(key, value);
        state::end(written.is_ok());
        Ok(written?)
    }

    /// How many entries are in the state.
    #[must_use]
    pub fn state_entries(&self) -> usize {
        state::len()
    }

    fn check(&self, batch: &Batch, actions: Vec<Action>) -> Result<Vec<Action>, Error> {
        let len = batch.len();
        let mut named = vec![self.info.unnamed_dropped; len as usize];
        for action in &actions {
            let (indexes, output) = reach(action, len);
            if output.is_some_and(|output| output as usize >= self.setup.outputs.len()) {
                return Err(broken(format!("there is no such output: {action:?}")));
            }
            named
                .get_mut(indexes.start as usize..indexes.end as usize)
                .ok_or_else(|| broken(format!("there is no such event: {action:?}")))?
                .fill(true);
            if let Action::Rewrite(rewrite) = action
                && !batch.is_event(rewrite.index)
            {
                return Err(broken(format!("only an event can be changed: {action:?}")));
            }
        }
        match named.iter().position(|named| !named) {
            Some(index) => Err(broken(format!("no action names event {index}"))),
            None => Ok(actions),
        }
    }
}

impl<P: Timer> Harness<P> {
    /// Lets it tick. State that it wrote stays only where it succeeds.
    ///
    /// # Errors
    /// What `tick` said, or [`Error::Fatal`] beginning with `contract:` where an action names an event or
    /// an output that is not there, or the interval is none that a host takes.
    pub fn tick(&mut self, now: i64) -> Result<Vec<Action>, Error> {
        let interval = self.processor.interval();
        if interval < SHORTEST || interval > LONGEST {
            return Err(broken(format!("a tick every {interval:?}, 100 ms to a day are possible")));
        }
        state::begin();
        let answer = self.processor.tick(now);
        let checked = answer.and_then(|actions| self.check(&Batches::new().build(), actions));
        state::end(checked.is_ok());
        checked
    }
}

impl<P: Migrate> Harness<P> {
    /// Lets it take over the state that a version `from` left, then makes the instance anew. What was written stays
    /// only where both succeed. Put that state there with [`Harness::write`].
    ///
    /// # Errors
    /// What `migrate` or `init` said.
    pub fn migrate(&mut self, from: &str) -> Result<(), Error> {
        state::begin();
        let migrated = P::migrate(from, &self.setup.config).and_then(|()| P::init(&self.setup));
        state::end(migrated.is_ok());
        self.processor = migrated?;
        Ok(())
    }
}

impl<P: Reconfigure> Harness<P> {
    /// Hands over another configuration, after `init` has accepted it in an instance of its own.
    ///
    /// # Errors
    /// What `init` or `reconfigure` said.
    pub fn reconfigure(&mut self, config: &str) -> Result<(), Error> {
        let setup = Setup { config: config.to_owned(), ..self.setup.clone() };
        P::init(&setup)?;
        self.processor.reconfigure(&setup)?;
        self.setup = setup;
        Ok(())
    }
}

/// The setup of a [`Harness`].
#[derive(Debug)]
pub struct HarnessBuilder<P> {
    setup: Setup,
    state_limit: u64,
    plugin: std::marker::PhantomData<P>,
}

impl<P: Processor> HarnessBuilder<P> {
    /// The configuration, JSON.
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        self.setup.config = config.to_owned();
        self
    }

    /// The input flows.
    #[must_use]
    pub fn inputs(mut self, flows: &[&str]) -> Self {
        self.setup.inputs = flows.iter().map(ToString::to_string).collect();
        self
    }

    /// The output flows.
    #[must_use]
    pub fn outputs(mut self, flows: &[&str]) -> Self {
        self.setup.outputs = flows.iter().map(ToString::to_string).collect();
        self
    }

    /// The processor's name.
    #[must_use]
    pub fn processor(mut self, name: &str) -> Self {
        self.setup.processor = name.to_owned();
        self
    }

    /// The shard.
    #[must_use]
    pub fn shard(mut self, shard: u32) -> Self {
        self.setup.shard = shard;
        self
    }

    /// The granted size of state, in bytes.
    #[must_use]
    pub fn state_limit(self, state_limit: u64) -> Self {
        Self { state_limit, ..self }
    }

    /// Makes the instance.
    ///
    /// # Errors
    /// What `init` said, or [`Error::Fatal`] beginning with `contract:` where `describe` does not
    /// allow that many flows.
    pub fn build(self) -> Result<Harness<P>, Error> {
        let info = P::describe();
        let Self { setup, state_limit, .. } = self;
        for (cardinality, flows) in
            [(info.inputs, setup.inputs.len()), (info.outputs, setup.outputs.len())]
        {
            if flows == 0 || (cardinality == Cardinality::One && flows > 1) {
                return Err(broken(format!("{flows} flows where it takes {cardinality:?}")));
            }
        }
        serde_json::from_str::<serde_json::Map<_, _>>(&info.config_schema)
            .map_err(|error| broken(format!("the schema is no JSON object: {error}")))?;
        state::reset(state_limit);
        Ok(Harness { processor: P::init(&setup)?, info, setup })
    }
}

/// The events and the output that an action names.
fn reach(action: &Action, len: u32) -> (std::ops::Range<u32>, Option<u32>) {
    let one = |index: u32| index..index.saturating_add(1);
    match action {
        Action::Forward { index, output } => (one(*index), Some(*output)),
        Action::ForwardAll { output } => (0..len, Some(*output)),
        Action::Emit { output, .. } => (0..0, Some(*output)),
        Action::Rewrite(rewrite) => (one(rewrite.index), Some(rewrite.output)),
        Action::Drop { index } | Action::DeadLetter { index, .. } => (one(*index), None),
    }
}

/// From tick to tick, as hosts allow it.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_hours(24);

fn broken(reason: String) -> Error {
    Error::fatal(format!("contract: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Batches;
    use crate::{Event, Value, state as sdk_state};

    /// Answers with what its configuration lists.
    #[derive(Debug)]
    struct Puppet(Vec<Action>);

    impl Processor for Puppet {
        fn describe() -> Info {
            Info::new("puppet", "0.1.0")
        }

        fn init(setup: &Setup) -> Result<Self, Error> {
            let forwards: Vec<(u32, u32)> = setup.config()?;
            Ok(Self(forwards.into_iter().map(|(i, o)| Action::forward(i, o)).collect()))
        }

        fn process(&mut self, _batch: &Batch) -> Result<Vec<Action>, Error> {
            let seen = sdk_state::get(b"seen").map_or(0, |bytes| bytes.len());
            sdk_state::set(b"seen", &vec![0; seen + 1])?;
            Ok(self.0.clone())
        }
    }

    fn two() -> Batch {
        Batches::new().event(Event::new("1", "/s", "t")).foreign("x").build()
    }

    fn refusal(config: &str) -> String {
        Harness::<Puppet>::new(config).unwrap().process(&two()).unwrap_err().to_string()
    }

    #[test]
    fn an_event_that_is_forgotten_is_refused() {
        assert_eq!(refusal("[[0,0]]"), "contract: no action names event 1");
    }

    #[test]
    fn an_index_or_output_that_is_not_there_is_refused() {
        assert!(refusal("[[0,0],[1,0],[2,0]]").starts_with("contract: there is no such event"));
        assert!(refusal("[[0,0],[1,1]]").starts_with("contract: there is no such output"));
        assert!(refusal("[[4294967295,0]]").starts_with("contract: there is no such event"));
    }

    #[test]
    fn state_of_a_call_that_fails_is_discarded_and_a_restart_keeps_the_rest() {
        let mut good = Harness::<Puppet>::new("[[0,0],[1,0]]").unwrap();
        good.process(&two()).unwrap();
        good.restart().unwrap();
        good.process(&two()).unwrap();
        assert_eq!(sdk_state::get(b"seen").unwrap().len(), 2);
        good.processor().0.clear();
        good.process(&two()).unwrap_err();
        assert_eq!(sdk_state::get(b"seen").unwrap().len(), 2);
    }

    #[test]
    fn state_is_not_written_outside_process_and_not_beyond_its_limit() {
        let mut small =
            Harness::<Puppet>::builder().config("[[0,0],[1,0]]").state_limit(5).build().unwrap();
        assert!(sdk_state::set(b"k", b"v").is_err());
        small.process(&two()).unwrap();
        assert_eq!(
            small.process(&two()).unwrap_err(),
            Error::fatal("state is full: limit passed: state_bytes=5")
        );
    }

    #[test]
    fn scan_pages_through_a_prefix_in_order() {
        let _fresh = Harness::<Puppet>::new("[]").unwrap();
        state::begin();
        for key in ["a", "b1", "b2", "b3", "c"] {
            sdk_state::set(key.as_bytes(), b"").unwrap();
        }
        let keys = |after: Option<&[u8]>| -> Vec<Vec<u8>> {
            sdk_state::scan(b"b", after, 2).into_iter().map(|entry| entry.key).collect()
        };
        assert_eq!(keys(None), [b"b1", b"b2"]);
        assert_eq!(keys(Some(b"b2")), [b"b3"]);
        assert!(keys(Some(b"c")).is_empty());
        state::end(false);
    }

    #[test]
    fn a_foreign_record_has_bytes_but_no_attributes() {
        let batch = two();
        assert!(!batch.is_event(1));
        assert_eq!(batch.attributes("type"), [Some(Value::from("t")), None]);
        assert_eq!(batch.data_all(), [None, Some(b"x".to_vec())]);
        assert_eq!(batch.event(1), None);
    }
}
