//! Records as zone files write them (RFC 1035, section 5.1).

use std::fmt::{self, Write as _};

use super::{Data, Service, Set};

/// One line for each record, with nothing left to an `$ORIGIN` or `$TTL`.
impl fmt::Display for Set {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for data in lines(&self.data) {
            writeln!(out, "{} {} IN {} {data}", self.owner, self.ttl, self.kind())?;
        }
        Ok(())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, weight, port, target } = self;
        write!(out, "{priority} {weight} {port} {target}")
    }
}

/// What each record says.
pub(crate) fn lines(data: &Data) -> Vec<String> {
    fn each(records: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
        records.into_iter().map(|record| record.to_string()).collect()
    }
    match data {
        Data::Ptr(names) => each(names),
        Data::Srv(services) => each(services),
        Data::Txt(texts) => {
            texts.iter().map(|strings| quoted(strings.iter().map(String::as_bytes))).collect()
        }
        Data::A(addresses) => each(addresses),
        Data::Aaaa(addresses) => each(addresses),
    }
}

/// The strings of a text.
pub(crate) fn quoted<'a>(strings: impl Iterator<Item = &'a [u8]>) -> String {
    let mut out = String::new();
    for string in strings {
        out.push_str(if out.is_empty() { "\"" } else { " \"" });
        for &octet in string {
            match octet {
                b'"' | b'\\' => {
                    out.push('\\');
                    out.push(octet.into());
                }
                b' '..=b'~' => out.push(octet.into()),
                // Writing to a String cannot fail.
                other => {
                    write!(out, "\\{other:03}").ok();
                }
            }
        }
        out.push('"');
    }
    // A record without any string cannot be written down, one with an empty string is what RFC 6763 puts in its place.
    if out.is_empty() { "\"\"".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
