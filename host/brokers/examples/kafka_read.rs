//! How fast, and at what cost, partitions of a Kafka topic are read.
//!
//! `kafka_read SERVERS TOPIC PARTITIONS RECORDS` reads so many records from the beginning, each partition by
//! a task of its own; with 0 records it waits at the ends for 20 s and says what that costs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for measuring"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use host_brokers::kafka::{Kafka, KafkaOptions};
use host_brokers::{BatchLimits, Broker, TopicRef};
use host_events::Incarnation;
use uuid::Uuid;

const LIMITS: BatchLimits = BatchLimits { records: 512, bytes: 1 << 20 };
const WATCHED: Duration = Duration::from_secs(20);

#[tokio::main(worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (partitions, wanted): (u32, u64) = (args[3].parse().unwrap(), args[4].parse().unwrap());
    let options = KafkaOptions::new("k", &args[1], "measure", std::env::temp_dir());
    let broker: Arc<dyn Broker> = Arc::new(Kafka::open(options).await.unwrap());
    let mut topic = TopicRef::new(args[2].as_str(), Incarnation(Uuid::new_v4()));
    let info = broker.describe(&topic).await.unwrap();
    topic.id = info.id;
    let read = Arc::new(AtomicU64::new(0));
    let (begun, before) = (Instant::now(), cpu());
    for partition in 0..partitions {
        let end = info.partitions[partition as usize];
        let from = if wanted == 0 { end.latest } else { end.earliest };
        let (broker, topic, read) = (Arc::clone(&broker), topic.clone(), Arc::clone(&read));
        tokio::spawn(async move {
            let mut source = broker.source(&topic, partition, from).await.unwrap();
            loop {
                let batch = source.next(LIMITS).await.unwrap();
                read.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
            }
        });
    }
    if wanted == 0 {
        tokio::time::sleep(WATCHED).await;
        let before = cpu();
        tokio::time::sleep(WATCHED).await;
        let share = (cpu() - before) / WATCHED.as_secs_f64() * 100.0;
        println!("{partitions} partitions idle: {share:.2} % of a core");
    } else {
        while read.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (took, used) = (begun.elapsed().as_secs_f64(), cpu() - before);
        let millions = read.load(Ordering::Relaxed) as f64 / 1e6;
        let (rate, cost) = (millions * 1e6 / took, used / millions);
        println!("{rate:.0} records/s, {cost:.2} CPU s a million");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for line in status
        .lines()
        .filter(|line| ["VmHWM", "VmRSS", "Threads"].iter().any(|name| line.starts_with(name)))
    {
        println!("{line}");
    }
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        print!("{} ", std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap().trim());
    }
    println!();
}

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
