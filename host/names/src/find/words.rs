//! What the TXT records of a service say (draft, section 3.1.2; RFC 6763, section 6).
//!
//! Takes both spellings: a string for each word, as RFC 6763 has it, and all words in one string with blanks between
//! them, as the draft prints it. What it does not know it passes over.

use crate::records::Txt;

/// What is said about a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Whether TLS begins at once.
    pub tls: bool,
    /// The incarnation of the flow.
    pub id: Option<String>,
    /// What kind of broker it is, in lower case.
    pub broker_type: Option<String>,
}

/// Most octets of a value that is kept: a UUID has 36, and `rabbitmq` 8.
pub const MAX_VALUE: usize = 64;

/// Most words that are looked at: ours have four.
pub const MAX_WORDS: usize = 64;

impl Words {
    /// What these records say together. Of a key that is there twice the first counts; the records of another
    /// `txtvers` than 1 are in a language of their own, and say nothing.
    #[must_use]
    pub fn read(records: &[Txt]) -> Self {
        let mut words = Self::default();
        let known = records.iter().filter(|Txt(strings)| is_known(strings));
        let strings = known.flat_map(|Txt(strings)| strings);
        for word in strings.flat_map(|string| split(string)).take(MAX_WORDS) {
            words.take(word);
        }
        words
    }

    fn take(&mut self, word: &[u8]) {
        let (key, value) = pair(word);
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        match value.map(kept) {
            None if is("tls") => self.tls = true,
            Some(Some(id)) if is("id") && self.id.is_none() => self.id = Some(id),
            Some(Some(kind)) if is("broker-type") && self.broker_type.is_none() => {
                self.broker_type = Some(kind.to_ascii_lowercase());
            }
            _ => {}
        }
    }
}

fn is_known(strings: &[Vec<u8>]) -> bool {
    let version =
        strings.iter().flat_map(|string| split(string)).take(MAX_WORDS).find_map(|word| {
            let (key, value) = pair(word);
            if key.eq_ignore_ascii_case(b"txtvers") { value } else { None }
        });
    version.is_none_or(|version| version == b"1")
}

fn split(string: &[u8]) -> impl Iterator<Item = &[u8]> {
    string.split(|octet| *octet == b' ').filter(|word| !word.is_empty())
}

fn pair(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|octet| *octet == b'=') {
        None => (word, None),
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
    }
}

/// A value that is short and can be shown.
fn kept(value: &[u8]) -> Option<String> {
    let fits = (1..=MAX_VALUE).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[&[&str]]) -> Words {
        let txt =
            |strings: &&[&str]| Txt(strings.iter().map(|one| one.as_bytes().to_vec()).collect());
        Words::read(&records.iter().map(txt).collect::<Vec<_>>())
    }

    #[test]
    fn both_spellings_say_the_same() {
        let said = Words { tls: true, broker_type: Some("kafka".to_owned()), ..Words::default() };
        assert_eq!(read(&[&["txtvers=1", "broker-type=kafka", "tls"]]), said);
        assert_eq!(read(&[&["broker-type=kafka tls"]]), said);
        assert_eq!(read(&[&["Broker-Type=KAFKA  TLS "]]), said);
        assert_eq!(read(&[&["broker-type=kafka"], &["tls"]]), said);
        assert_eq!(read(&[]), Words::default());
    }

    #[test]
    fn the_first_of_a_key_counts_and_tls_has_no_value() {
        let words = read(&[&["id=one", "id=two", "tls=no", "=tls", "xtls", "id"]]);
        assert_eq!(words, Words { id: Some("one".to_owned()), ..Words::default() });
    }

    #[test]
    fn another_version_says_nothing() {
        assert_eq!(read(&[&["txtvers=2", "tls"]]), Words::default());
        assert!(read(&[&["txtvers=2", "tls"], &["tls"]]).tls);
    }

    #[test]
    fn long_values_and_those_that_cannot_be_shown_are_none() {
        let id = |value: &str| read(&[&[format!("id={value}").as_str()]]).id;
        assert_eq!(id(&"x".repeat(MAX_VALUE)).map(|id| id.len()), Some(MAX_VALUE));
        for value in ["x".repeat(MAX_VALUE + 1).as_str(), "", "a\u{1b}b", "ä"] {
            assert_eq!(id(value), None, "{value:?}");
        }
        let many = "x ".repeat(MAX_WORDS);
        assert!(!read(&[&[many.as_str(), "tls"]]).tls);
    }
}
