//! A page of metrics, read as strictly as the format is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::PATIENCE;

/// An answer of the observe address.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// Everything before the body.
    pub head: String,
    /// The body.
    pub body: String,
}

/// GET of a path; an error where nobody answers.
///
/// # Errors
/// When the connection cannot be made or breaks.
pub fn get(address: &str, path: &str) -> std::io::Result<Page> {
    ask(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
}

/// Sends bytes and takes all that is answered.
///
/// # Errors
/// When the connection cannot be made, breaks, or answers with something else than HTTP.
pub fn ask(address: &str, request: &[u8]) -> std::io::Result<Page> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || std::io::Error::other(format!("no answer but {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    Ok(Page { status, head: head.to_owned(), body: body.to_owned() })
}

/// The samples of a page by the text before the value, `name{label="value",…}`.
pub struct Metrics {
    samples: BTreeMap<String, f64>,
    families: BTreeSet<String>,
}

impl Metrics {
    /// Fetches and reads `/metrics`; whatever is not as the format wants it is a failure.
    #[must_use]
    pub fn of(address: &str) -> Self {
        let page = get(address, "/metrics").unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.head.contains("Content-Type: text/plain; version=0.0.4"), "{}", page.head);
        Self::parse(&page.body)
    }

    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
        let mut family: Option<(String, String)> = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("words after HELP");
                assert!(is_name(name) && !words.is_empty(), "{line}");
                let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).unwrap();
                let (same, kind) = kind.split_once(' ').unwrap();
                assert_eq!(same, name, "TYPE follows HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                family = Some((name.to_owned(), kind.to_owned()));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, kind) = family.as_ref().expect("a family before its samples");
            let suffix = series_name(series).strip_prefix(name.as_str());
            let suffix = suffix.unwrap_or_else(|| panic!("{line} is not of {name}"));
            let suffixes: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            let value = match value {
                "NaN" => f64::NAN,
                "+Inf" => f64::INFINITY,
                value => value.parse().unwrap_or_else(|_| panic!("no number in {line}")),
            };
            assert!(kind == "gauge" || value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
        let metrics = Self { samples, families };
        metrics.check_histograms();
        metrics
    }

    /// The names of what there is.
    #[must_use]
    pub fn families(&self) -> &BTreeSet<String> {
        &self.families
    }

    /// One sample.
    #[must_use]
    pub fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// One sample, or its absence in words; for [`crate::eventually`].
    ///
    /// # Errors
    /// What was seen where it is not the value.
    pub fn is(&self, series: &str, value: f64) -> Result<(), String> {
        match self.get(series) {
            Some(found) if found == value => Ok(()),
            found => Err(format!("{series} is {found:?}, not {value}")),
        }
    }

    fn check_histograms(&self) {
        for (series, all) in &self.samples {
            let Some((front, labels)) = series.split_once("_count{") else { continue };
            let labels = labels.strip_suffix('}').unwrap();
            let bucket = |bound: &str| format!("{front}_bucket{{{labels},le=\"{bound}\"}}");
            assert_eq!(self.get(&bucket("+Inf")), Some(*all), "{series}");
            assert!(self.get(&format!("{front}_sum{{{labels}}}")).is_some(), "{series}");
            let mut so_far = 0.0;
            for bound in ["0.001", "0.01", "0.1", "1", "10"] {
                let count = self.get(&bucket(bound)).expect("a bucket");
                assert!(count >= so_far, "{series} is not cumulative");
                so_far = count;
            }
        }
    }
}

/// The name of a series, once its labels were found to be sound.
fn series_name(series: &str) -> &str {
    let Some((name, labels)) = series.split_once('{') else {
        assert!(is_name(series), "{series}");
        return series;
    };
    assert!(is_name(name), "{series}");
    let mut rest = labels.strip_suffix('}').expect("an end of the labels");
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"").expect("a label");
        assert!(is_name(label) && !label.contains(':'), "{series}");
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            assert!(!escaped || ['\\', '"', 'n'].contains(&c), "escape in {series}");
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = &value[end.expect("an end of the value") + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    name
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}
