//! What a client sends in SCRAM (RFC 5802, section 7). Refuses what the grammar does not have.

use std::borrow::Cow;

/// A client's first message.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// Up to the second comma, with it; comes back in the last message.
    pub gs2_header: &'a str,
    /// The rest, which both sides sign.
    pub bare: &'a str,
    /// Whom the user wants to act as.
    pub authorize: Option<Cow<'a, str>>,
    /// The user.
    pub user: Cow<'a, str>,
    /// The client's half of the nonce.
    pub nonce: &'a str,
}

/// A client's last message.
#[derive(Debug, PartialEq, Eq)]
pub struct Final<'a> {
    /// All but the proof, which both sides sign.
    pub without_proof: &'a str,
    /// The header of the first message, as base64.
    pub binding: &'a str,
    /// The whole nonce.
    pub nonce: &'a str,
    /// That the client knows the password, as base64.
    pub proof: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Reads a message; none where it is none.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok().filter(|text| !text.contains('\0'))?;
        let (flag, rest) = text.split_once(',')?;
        let (authorize, bare) = rest.split_once(',')?;
        // "p=" asks for a channel binding, which is not offered.
        if !["n", "y"].contains(&flag) {
            return None;
        }
        let authorize = match authorize {
            "" => None,
            given => Some(unescape(given.strip_prefix("a=")?)?),
        };
        // An extension that must be understood would stand first.
        let mut parts = bare.split(',');
        let user = unescape(parts.next()?.strip_prefix("n=")?)?;
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        if !parts.all(is_extension) {
            return None;
        }
        let gs2_header = text.get(..text.len() - bare.len())?;
        Some(Self { gs2_header, bare, authorize, user, nonce })
    }
}

impl<'a> Final<'a> {
    /// Reads a message; none where it is none.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let binding = parts.next()?.strip_prefix("c=")?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        if proof.contains(',') || !parts.all(is_extension) {
            return None;
        }
        Some(Self { without_proof, binding, nonce, proof })
    }
}

/// `=2C` is a comma, `=3D` an equals sign, and there is no other `=`.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if text.is_empty() || text.len() > 3 * fnap::sasl::MAX_USER {
        return None;
    }
    let mut parts = text.split('=');
    let mut plain = String::from(parts.next()?);
    for part in parts {
        let rest = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => {
                plain.push(',');
                rest
            }
            (_, Some(rest)) => {
                plain.push('=');
                rest
            }
            _ => return None,
        };
        plain.push_str(rest);
    }
    Some(if text.contains('=') { Cow::Owned(plain) } else { Cow::Borrowed(text) })
}

fn is_nonce(text: &str) -> bool {
    (MIN_NONCE..=MAX_NONCE).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// One letter, `=`, and something.
fn is_extension(part: &str) -> bool {
    matches!(part.as_bytes(), [b'a'..=b'z' | b'A'..=b'Z', b'=', _, ..]) && !part.starts_with("m=")
}

/// A client that brings less makes its own replies predictable.
const MIN_NONCE: usize = 8;

/// More than any client sends: it comes back in every message.
const MAX_NONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_message_has_a_flag_perhaps_somebody_else_a_user_and_a_nonce() {
        let first = ClientFirst::parse(b"y,a=bo=2Cb,n=a=3Dna,r=rOprNGfw,x=1").unwrap();
        assert_eq!((&*first.user, first.nonce), ("a=na", "rOprNGfw"));
        assert_eq!(first.authorize.as_deref(), Some("bo,b"));
        assert_eq!((first.gs2_header, first.bare), ("y,a=bo=2Cb,", "n=a=3Dna,r=rOprNGfw,x=1"));
    }

    #[test]
    fn what_is_cut_short_or_too_much_is_refused() {
        let whole = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        for end in 0..whole.len() - 13 {
            assert_eq!(ClientFirst::parse(&whole[..end]), None, "{end}");
        }
        for text in [
            "p=tls-exporter,,n=user,r=rOprNGfwEbe",
            "n,,m=x,n=user,r=rOprNGfwEbe",
            "n,,a,r=rOprNGfwEbe",
            "n,x,n=user,r=rOprNGfwEbe",
            "n,,n=us=2cer,r=rOprNGfwEbe",
            "n,,n=us=,r=rOprNGfwEbe",
            "n,,n=user,r=rOpr\x7fNGfwEbe",
            "n,,n=user,r=rOprNGfwEbe,",
            "n,,n=,r=rOprNGfwEbe",
            "n,,n=us\0,r=rOprNGfwEbe",
        ] {
            assert_eq!(ClientFirst::parse(text.as_bytes()), None, "{text}");
        }
        let whole = b"c=biws,r=rOprNGfw,p=dHzb";
        for end in 0..whole.len() - 4 {
            assert_eq!(Final::parse(&whole[..end]), None, "{end}");
        }
        for text in [
            "c=biws,r=rOprNGfw,x,p=dHzb",
            "r=rOprNGfw,c=biws,p=dHzb",
            "c=biws,r=rOprNGfw,p=dHzb,x=1",
        ] {
            assert_eq!(Final::parse(text.as_bytes()), None, "{text}");
        }
    }
}
