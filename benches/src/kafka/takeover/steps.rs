//! What a host's log says of lanes that it took over: how long which step took, in the lane where it took longest.

/// What a host says of a lane that it took.
const TOOK: &str = "took a lane over";

/// Seconds.
#[derive(Debug, Default)]
pub struct Steps {
    fenced: f64,
    disk: f64,
    log: f64,
    /// All of it.
    pub taken: f64,
}

impl Steps {
    pub fn read(log: &str) -> Self {
        let mut most = Self::default();
        for line in log.lines().filter(|line| line.contains(TOOK)) {
            let seconds = |key: &str| {
                let mut words = line.split(' ');
                let millis = words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
                millis.and_then(|millis| millis.parse().ok()).map_or(0.0, |ms: f64| ms / 1000.0)
            };
            most.fenced = most.fenced.max(seconds("fenced_ms"));
            most.disk = most.disk.max(seconds("disk_ms"));
            most.log = most.log.max(seconds("log_ms"));
            most.taken = most.taken.max(seconds("ms"));
        }
        most
    }

    pub fn rows(&self) -> [(&'static str, f64); 4] {
        [
            (": who had a lane is fenced", self.fenced),
            (": beside that, the disk is read", self.disk),
            (": the log is read", self.log),
            (": all lanes are taken", self.taken),
        ]
    }
}
