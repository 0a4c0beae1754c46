//! How old messages were when they came.

/// Microseconds.
#[derive(Default)]
pub struct Ages(Vec<u64>);

impl Ages {
    pub fn add(&mut self, micros: u64) {
        self.0.push(micros);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds that so many per cent are not older than; 0 of none.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).map_or(0.0, |micros| *micros as f64 / 1e3)
    }
}
