//! A zone: its records, and what is wrong with it.

use crate::tools::Key;

/// A zone below the root, with its own SOA, NS and the name server's address; the test adds the rest.
#[derive(Debug, Clone)]
pub struct Zone {
    pub(crate) name: String,
    pub(crate) records: String,
    pub(crate) signing: Signing,
    pub(crate) nsec3: Option<u32>,
    pub(crate) forged: Vec<(String, String)>,
    pub(crate) foreign_key: bool,
    pub(crate) expired: bool,
    pub(crate) options: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    Signed,
    Unsigned,
    /// Delegated to this server, which does not have it.
    Lame,
}

impl Zone {
    /// Signed, and the root says by which key. `records` as in a zone file; names are relative to `name`,
    /// which has no dot at its end.
    pub fn signed(name: &str, records: &str) -> Self {
        Self::new(name, records, Signing::Signed)
    }

    /// Not signed, and the root says so.
    pub fn unsigned(name: &str, records: &str) -> Self {
        Self::new(name, records, Signing::Unsigned)
    }

    /// Delegated to this server, which knows nothing of it.
    pub fn lame(name: &str) -> Self {
        Self::new(name, "", Signing::Lame)
    }

    /// Nothing is proven by names that are shown, but by hashes, of so many further rounds.
    #[must_use]
    pub fn nsec3(mut self, rounds: u32) -> Self {
        self.nsec3 = Some(rounds);
        self
    }

    /// Changes the records after they were signed; signatures stay as they are.
    #[must_use]
    pub fn forged(mut self, from: &str, to: &str) -> Self {
        self.forged.push((from.to_owned(), to.to_owned()));
        self
    }

    /// The root names another key than the one that signed it.
    #[must_use]
    pub fn with_foreign_key(mut self) -> Self {
        self.foreign_key = true;
        self
    }

    /// Its signatures ended long ago.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Adds options to the zone's part of the server's configuration.
    #[must_use]
    pub fn option(mut self, text: &str) -> Self {
        self.options.push_str(text);
        self
    }

    /// Whoever has the key may change everything in it.
    #[must_use]
    pub fn updated_by(self, key: &Key) -> Self {
        self.option(&format!("update-policy {{ grant {} zonesub ANY; }};", key.name()))
    }

    fn new(name: &str, records: &str, signing: Signing) -> Self {
        Self {
            name: name.to_owned(),
            records: records.to_owned(),
            signing,
            nsec3: None,
            forged: Vec::new(),
            foreign_key: false,
            expired: false,
            options: String::new(),
        }
    }
}
