//! The table: what was measured, the figure, the ratio, and what it has to reach.

/// Rows in the order they were measured.
#[derive(Default)]
pub struct Table(Vec<Row>);

struct Row {
    what: String,
    figure: String,
    ratio: String,
    reach: String,
    /// `None` where nothing has to be reached.
    reached: Option<bool>,
}

/// What a row has to reach.
#[derive(Clone, Copy)]
pub enum Reach {
    /// Nothing: it is there to compare with.
    None,
    /// The value may be at most so much.
    AtMost(f64),
    /// The value has to be at least so much.
    AtLeast(f64),
}

impl Table {
    /// Adds a row whose figure has to reach something; `unit` stands behind both.
    pub fn figure(&mut self, what: &str, value: f64, unit: &str, ratio: Option<f64>, reach: Reach) {
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let figure = format!("{} {unit}", rounded(value));
        self.row(what, figure, ratio, reach, value, unit);
    }

    /// Adds a row whose ratio has to reach something.
    pub fn ratio(&mut self, what: &str, value: f64, unit: &str, ratio: f64, reach: Reach) {
        let figure = format!("{} {unit}", rounded(value));
        self.row(what, figure, format!("{ratio:.2}"), reach, ratio, "times");
    }

    fn row(
        &mut self,
        what: &str,
        figure: String,
        ratio: String,
        reach: Reach,
        value: f64,
        unit: &str,
    ) {
        let (reach, reached) = match reach {
            Reach::None => (String::new(), None),
            Reach::AtMost(most) => (format!("<= {} {unit}", rounded(most)), Some(value <= most)),
            Reach::AtLeast(least) => {
                (format!(">= {} {unit}", rounded(least)), Some(value >= least))
            }
        };
        eprintln!("  {what}: {figure} {ratio}");
        self.0.push(Row { what: what.to_owned(), figure, ratio, reach, reached });
    }

    /// Prints all rows.
    pub fn print(&self) {
        println!("{:52} {:>18} {:>8}  {:>18}", "measured", "figure", "ratio", "to reach");
        for Row { what, figure, ratio, reach, reached } in &self.0 {
            let mark = match reached {
                Some(true) => "ok",
                Some(false) => "SHORT",
                None => "",
            };
            println!("{what:52} {figure:>18} {ratio:>8}  {reach:>18}  {mark}");
        }
        println!("load average at the end: {}", load());
    }
}

/// The load averages of the machine: what shares it spoils figures.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn rounded(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
