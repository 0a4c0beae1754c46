//! Keys that sign updates (TSIG, RFC 8945), as BIND's `tsig-keygen` writes them.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_net::proto::rr::rdata::tsig::TsigAlgorithm;
use zeroize::Zeroizing;

use crate::publish::Owner;

/// A name and a secret that this host and the name servers share.
#[derive(Clone)]
pub struct Key {
    name: Owner,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

/// Why a file is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("{}: holds a key and its mode is {mode:04o}: only its owner may read it (chmod 600)", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It says something else than one key; never what it says.
    #[error("{}: {reason}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What was expected.
        reason: &'static str,
    },
}

impl Key {
    /// Reads a file as `tsig-keygen` writes it: `key "name" { algorithm hmac-sha256; secret "…"; };`. Comments may
    /// stand in it, a second key may not.
    ///
    /// # Errors
    /// When others than the owner can read it (a group may where root owns it), or it holds no key of an algorithm that
    /// is good enough: hmac-sha256, hmac-sha384 or hmac-sha512.
    pub fn of_file(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let wrong = |reason| KeyError::Wrong { path: path.to_owned(), reason };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mode = metadata.mode() & 0o7777;
        let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if mode & others != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        // As large as it may become: a buffer that grows leaves copies behind.
        let mut octets = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
        file.take(MAX_FILE as u64 + 1).read_to_end(&mut octets).map_err(unreadable)?;
        if octets.len() > MAX_FILE {
            return Err(wrong("larger than a key is"));
        }
        let text = std::str::from_utf8(&octets).map_err(|_| wrong("not a text of utf-8"))?;
        read(text).map_err(wrong)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Owner {
        &self.name
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

fn read(text: &str) -> Result<Key, &'static str> {
    let mut words = Words { rest: text };
    if words.next()? != Some("key") {
        return Err("does not begin with the word key");
    }
    let name =
        words.next()?.ok_or(NO_END)?.parse().map_err(|_| "the key's name is no name of dns")?;
    words.expect("{", "no { after the key's name")?;
    let (mut algorithm, mut secret) = (None, None);
    loop {
        match words.next()?.ok_or(NO_END)? {
            "algorithm" if algorithm.is_none() => {
                algorithm = Some(self::algorithm(words.next()?.ok_or(NO_END)?)?);
            }
            "secret" if secret.is_none() => {
                secret = Some(self::secret(words.next()?.ok_or(NO_END)?)?);
            }
            "}" => break,
            _ => return Err("something else than one algorithm and one secret in the key"),
        }
        words.expect(";", "no ; after the algorithm or the secret")?;
    }
    words.expect(";", "no ; after the key")?;
    if words.next()?.is_some() {
        return Err("something else after the first key");
    }
    let algorithm = algorithm.ok_or("the key has no algorithm")?;
    Ok(Key { name, algorithm, secret: secret.ok_or("the key has no secret")? })
}

fn algorithm(word: &str) -> Result<TsigAlgorithm, &'static str> {
    match word.to_ascii_lowercase().trim_end_matches('.') {
        "hmac-sha256" => Ok(TsigAlgorithm::HmacSha256),
        "hmac-sha384" => Ok(TsigAlgorithm::HmacSha384),
        "hmac-sha512" => Ok(TsigAlgorithm::HmacSha512),
        _ => Err("the algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512"),
    }
}

fn secret(word: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut secret = Zeroizing::new(vec![0; word.len()]);
    let read = STANDARD.decode_slice(word, &mut secret).map_err(|_| "the secret is not base64")?;
    secret.truncate(read);
    match read {
        ..MIN_SECRET => Err("the secret has less than 16 octets"),
        _ => Ok(secret),
    }
}

/// Words, quoted words, and `{`, `}`, `;`, between white space and comments.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<Option<&'a str>, &'static str> {
        self.skip()?;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let (word, rest) = match first {
            '"' => {
                let inner = self.rest.get(1..).unwrap_or_default();
                inner.split_once('"').ok_or("a quotation mark without its end")?
            }
            '{' | '}' | ';' => self.rest.split_at(1),
            _ => {
                let end =
                    self.rest.find(|found: char| found.is_whitespace() || "{};\"".contains(found));
                self.rest.split_at(end.unwrap_or(self.rest.len()))
            }
        };
        self.rest = rest;
        Ok(Some(word))
    }

    fn expect(&mut self, word: &str, reason: &'static str) -> Result<(), &'static str> {
        if self.next()? == Some(word) { Ok(()) } else { Err(reason) }
    }

    fn skip(&mut self) -> Result<(), &'static str> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.split_once("*/").ok_or("a comment without its end")?.1;
            } else {
                return Ok(());
            }
        }
    }
}

const NO_END: &str = "ends within the key";

/// Octets of a key file: a key has some 150, and comments may be longer.
const MAX_FILE: usize = 16 * 1_024;

/// Fewest octets of a secret: with fewer somebody may try them all.
const MIN_SECRET: usize = 16;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const GOOD: &str = "key \"Fnaa-Key\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0IG9mIHNvbWUgb2N0ZXRz\";\n};\n";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn reason(text: &str) -> &'static str {
        read(text).err().unwrap_or("nothing")
    }

    #[test]
    fn a_key_is_read_as_bind_writes_it_and_never_shown() {
        let (_dir, path) = file(GOOD, 0o600);
        let key = Key::of_file(&path).unwrap();
        assert_eq!(key.name().as_str(), "fnaa-key.");
        assert_eq!(key.secret.as_slice(), b"secret of some octets");
        assert_eq!(key.algorithm, TsigAlgorithm::HmacSha256);
        let shown = format!("{key:?}");
        assert!(!shown.contains("c2Vj") && !shown.contains("115"), "{shown}");
        let commented = format!("# a\n// b\n/* c\n */ {}", GOOD.replace("sha256", "SHA512"));
        assert_eq!(read(&commented).unwrap().algorithm, TsigAlgorithm::HmacSha512);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for mode in [0o604, 0o666, 0o602, 0o660] {
            let (_dir, path) = file(GOOD, mode);
            let error = Key::of_file(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
        }
        let (_dir, path) = file(&" ".repeat(MAX_FILE + 1), 0o600);
        assert!(Key::of_file(&path).unwrap_err().to_string().contains("larger"));
        assert!(Key::of_file(&path.join("none")).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_by_what_is_wrong_and_without_its_text() {
        for (from, to, wanted) in [
            ("key", "kay", "word key"),
            ("\"Fnaa-Key\"", "\"a..b\"", "name"),
            ("{", ";", "no {"),
            ("sha256", "md5", "algorithm is none"),
            ("sha256;", "sha256", "no ;"),
            ("algorithm hmac-sha256;", "", "no algorithm"),
            ("secret \"c2VjcmV0IG9mIHNvbWUgb2N0ZXRz\";", "", "no secret"),
            ("c2Vj", "!2Vj", "base64"),
            ("c2VjcmV0IG9mIHNvbWUgb2N0ZXRz", "c2Vj", "less than 16"),
            ("Rz\"", "Rz", "without its end"),
            ("};\n", "}", "no ; after the key"),
            ("};\n", "", "ends within"),
            ("};\n", "}; key b {};", "after the first"),
            ("algorithm", "algorithms", "something else"),
        ] {
            let found = reason(&GOOD.replace(from, to));
            assert!(found.contains(wanted), "{to}: {found}");
        }
    }
}
