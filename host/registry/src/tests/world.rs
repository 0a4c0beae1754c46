//! Brokers and processors as files, so that they outlive a process that is killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::*;

/// When to stop for ever, counted in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Before the step is made.
    Before(usize),
    /// After it is made, before that is recorded.
    After(usize),
}

#[derive(Debug, Default)]
struct Script {
    stop: Option<Stop>,
    failures: usize,
    refusal: Option<Refusal>,
    panics: usize,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    dir: PathBuf,
    script: Arc<Mutex<Script>>,
    calls: watch::Sender<Vec<&'static str>>,
    stopped: watch::Sender<bool>,
}

impl World {
    pub(super) fn at(dir: &Path) -> Self {
        let dir = dir.join("world");
        std::fs::create_dir_all(&dir).unwrap();
        Self {
            dir,
            script: Arc::default(),
            calls: watch::Sender::default(),
            stopped: watch::Sender::default(),
        }
    }

    pub(super) fn stop_at(self, stop: Stop) -> Self {
        self.script.lock().unwrap().stop = Some(stop);
        self
    }

    pub(super) fn fail(self, times: usize) -> Self {
        self.script.lock().unwrap().failures = times;
        self
    }

    pub(super) fn panic(self, times: usize) -> Self {
        self.script.lock().unwrap().panics = times;
        self
    }

    pub(super) fn refuse(self, refusal: Refusal) -> Self {
        self.script.lock().unwrap().refusal = Some(refusal);
        self
    }

    pub(super) fn agree(&self) {
        *self.script.lock().unwrap() = Script::default();
    }

    pub(super) fn calls(&self) -> Vec<&'static str> {
        self.calls.borrow().clone()
    }

    pub(super) async fn wait_for_calls(&self, count: usize) {
        self.calls.subscribe().wait_for(|calls| calls.len() >= count).await.unwrap();
    }

    /// Until the step to stop at is reached.
    pub(super) async fn wait_for_stop(&self) {
        self.stopped.subscribe().wait_for(|stopped| *stopped).await.unwrap();
    }

    async fn call(&self, what: &'static str, make: impl FnOnce()) -> Result<(), PerformError> {
        let number = self.calls.borrow().len();
        self.calls.send_modify(|calls| calls.push(what));
        let (stop, answer) = {
            let mut script = self.script.lock().unwrap();
            let answer = if script.panics > 0 {
                script.panics -= 1;
                drop(script);
                panic!("as asked");
            } else if script.failures > 0 {
                script.failures -= 1;
                Err(PerformError::Retry("the broker is away".to_owned()))
            } else {
                script.refusal.clone().map_or(Ok(()), |refusal| Err(PerformError::Refused(refusal)))
            };
            (script.stop, answer)
        };
        if stop == Some(Stop::Before(number)) {
            self.park().await;
        }
        answer?;
        make();
        if stop == Some(Stop::After(number)) {
            self.park().await;
        }
        Ok(())
    }

    async fn park(&self) {
        self.stopped.send_replace(true);
        std::future::pending::<()>().await;
    }

    fn topic(&self, flow: &Flow) -> PathBuf {
        self.dir.join(format!("topic-{}", flow.incarnation))
    }

    fn write_topic(&self, flow: &Flow) {
        std::fs::write(self.topic(flow), topic_text(flow)).unwrap();
    }

    fn files(&self, prefix: &str) -> BTreeMap<String, String> {
        let files = std::fs::read_dir(&self.dir).unwrap().map(|file| file.unwrap());
        files
            .filter_map(|file| {
                let name = file.file_name().into_string().unwrap();
                let id = name.strip_prefix(prefix)?.to_owned();
                Some((id, std::fs::read_to_string(file.path()).unwrap()))
            })
            .collect()
    }

    pub(super) fn assert_topics(&self, flows: &[Flow]) {
        let ours = flows.iter().filter(|flow| flow.owned);
        let wanted = ours.map(|flow| (flow.incarnation.to_string(), topic_text(flow))).collect();
        assert_eq!(self.files("topic-"), wanted);
    }

    pub(super) fn assert_processors(&self, processors: &[Processor]) {
        let wanted = processors
            .iter()
            .map(|processor| (processor.id.to_string(), processor_text(processor)));
        assert_eq!(self.files("processor-"), wanted.collect());
    }
}

fn topic_text(flow: &Flow) -> String {
    format!("{} {:?}", flow.partitions, flow.config)
}

fn processor_text(processor: &Processor) -> String {
    format!("{:?} {}", processor.desired, processor.config)
}

#[async_trait]
impl Performer for World {
    async fn create_topic(&self, flow: &Flow) -> Result<Option<Uuid>, PerformError> {
        let make = || {
            if flow.owned {
                self.write_topic(flow);
            }
        };
        self.call("create topic", make).await?;
        Ok(flow.owned.then_some(flow.incarnation.0))
    }

    async fn update_topic(&self, flow: &Flow) -> Result<(), PerformError> {
        self.call("update topic", || self.write_topic(flow)).await
    }

    async fn delete_topic(&self, flow: &Flow) -> Result<(), PerformError> {
        assert!(flow.owned, "a topic that was taken over is deleted");
        self.call("delete topic", || drop(std::fs::remove_file(self.topic(flow)))).await
    }

    async fn release_topic(&self, _flow: &Flow) -> Result<(), PerformError> {
        self.call("release topic", || {}).await
    }

    async fn purge_topic(&self, _flow: &Flow) -> Result<(), PerformError> {
        self.call("purge topic", || {}).await
    }

    async fn apply_processor(&self, processor: &Processor) -> Result<(), PerformError> {
        self.call("apply processor", || {
            let path = self.dir.join(format!("processor-{}", processor.id));
            std::fs::write(path, processor_text(processor)).unwrap();
        })
        .await
    }

    async fn move_processor(
        &self,
        _processor: &Processor,
        _to: Start,
        _keep_state: bool,
    ) -> Result<(), PerformError> {
        self.call("move processor", || {}).await
    }

    async fn forget_processor(&self, processor: &Processor) -> Result<(), PerformError> {
        let path = self.dir.join(format!("processor-{}", processor.id));
        self.call("forget processor", || drop(std::fs::remove_file(path))).await
    }
}
