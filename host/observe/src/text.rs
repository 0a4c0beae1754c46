//! The Prometheus text format, version 0.0.4: one family after another, each with its help and type.

use std::fmt::{self, Display, Write};

use crate::counts::{Counter, Gauge, Histogram};

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the host starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(out),
            Self::Real(number) if number.is_nan() => out.write_str("NaN"),
            Self::Real(f64::INFINITY) => out.write_str("+Inf"),
            Self::Real(f64::NEG_INFINITY) => out.write_str("-Inf"),
            Self::Real(number) => number.fmt(out),
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Self::Whole(yes.into())
    }
}

impl From<&Counter> for Number {
    fn from(counter: &Counter) -> Self {
        Self::Whole(counter.get())
    }
}

impl From<&Gauge> for Number {
    fn from(gauge: &Gauge) -> Self {
        Self::Whole(gauge.get())
    }
}

/// Labels of a sample: names that we chose, values that may be anything.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// A page of metrics while it is written.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family; its name is written nowhere else.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let kind = kind.word();
        put(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.0, name }
    }

    /// A family of one sample without labels.
    pub fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        value: impl Into<Number>,
    ) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Takes the samples of one family.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Into<Number>) {
        self.line("", labels, None, value.into());
    }

    /// The samples of a histogram.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let (bounds, count, sum) = histogram.cumulated();
        for (bound, so_far) in bounds {
            self.line("_bucket", labels, Some(&bound.to_string()), so_far.into());
        }
        self.line("_bucket", labels, Some("+Inf"), count.into());
        self.line("_sum", labels, None, sum.into());
        self.line("_count", labels, None, count.into());
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: Number) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            value.chars().for_each(|c| match c {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                c => self.text.push(c),
            });
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        put(self.text, format_args!(" {value}\n"));
    }
}

fn put(text: &mut String, what: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(what).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn families_are_written_as_the_format_wants_them() {
        let mut page = Exposition::default();
        let mut family = page.family("fnaa_x_total", Kind::Counter, "a\\b\nc");
        family.sample(&[("flow", "a\"\\\nb"), ("type", "é")], 7_u64);
        page.single("fnaa_y", Kind::Gauge, "y", 0.5);
        page.single("fnaa_z", Kind::Gauge, "z", f64::NAN);
        assert_eq!(
            page.into_text(),
            "# HELP fnaa_x_total a\\\\b\\nc\n# TYPE fnaa_x_total counter\n\
             fnaa_x_total{flow=\"a\\\"\\\\\\nb\",type=\"é\"} 7\n\
             # HELP fnaa_y y\n# TYPE fnaa_y gauge\nfnaa_y 0.5\n\
             # HELP fnaa_z z\n# TYPE fnaa_z gauge\nfnaa_z NaN\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_everything_its_sum_and_its_count() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        let mut page = Exposition::default();
        let help = "how long";
        page.family("fnaa_t_seconds", Kind::Histogram, help)
            .histogram(&[("broker", "b")], &histogram);
        let text = page.into_text();
        assert!(text.contains("fnaa_t_seconds_bucket{broker=\"b\",le=\"0.001\"} 0\n"), "{text}");
        assert!(text.contains("fnaa_t_seconds_bucket{broker=\"b\",le=\"0.0025\"} 1\n"), "{text}");
        let end = "fnaa_t_seconds_bucket{broker=\"b\",le=\"+Inf\"} 1\n\
                   fnaa_t_seconds_sum{broker=\"b\"} 0.002\nfnaa_t_seconds_count{broker=\"b\"} 1\n";
        assert!(text.ends_with(end), "{text}");
    }
}
