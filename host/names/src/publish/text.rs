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
        Data::Txt(texts) => texts.iter().map(|strings| quoted(strings)).collect(),
        Data::A(addresses) => each(addresses),
        Data::Aaaa(addresses) => each(addresses),
    }
}

fn quoted(strings: &[String]) -> String {
    let mut out = String::new();
    for string in strings {
        out.push_str(if out.is_empty() { "\"" } else { " \"" });
        for octet in string.bytes() {
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
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_its_strings_are() {
        let set = Set::txt(
            "_flow._tcp.f.example".parse().unwrap(),
            300,
            vec!["a=\"b\\c\"".into(), "x\ny; é".into(), String::new()],
        );
        let line =
            "_flow._tcp.f.example. 300 IN TXT \"a=\\\"b\\\\c\\\"\" \"x\\010y; \\195\\169\" \"\"\n";
        assert_eq!(set.to_string(), line);
    }

    #[test]
    fn a_set_is_the_same_after_it_was_stored() {
        let service =
            Service { priority: 1, weight: 2, port: 3, target: "a.example".parse().unwrap() };
        let set = Set::srv("a\\.b.example".parse().unwrap(), 300, service);
        let stored = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<Set>(&stored).unwrap(), set);
        let wrong = stored.replace("a.example", "a..example");
        assert!(serde_json::from_str::<Set>(&wrong).is_err());
    }
}
