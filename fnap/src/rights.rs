//! What somebody may be allowed, and on what: the words of GRANT and REVOKE.
//!
//! Who has which right is not known here.

use std::fmt;
use std::str::FromStr;

use crate::name::{Name, NameError};

/// What somebody may do with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Right {
    /// Read events.
    Read,
    /// Write events.
    Write,
    /// Have the events sent to another host.
    Subscribe,
    /// Change, delete, grant; everything that the other rights allow, too.
    Administer,
}

/// Some rights.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

/// How far a right on a name reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// That name alone.
    Name,
    /// The name and all names below it.
    Below,
}

/// On what rights are granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// `*`: the whole host.
    Everything,
    /// A name, and the names below it as far as the [`Scope`] says.
    Name(Name),
}

/// The text is no right, or says one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRight {
    /// There is no such right.
    #[error("not read, write, subscribe or administer")]
    Unknown,
    /// One of a list is there already.
    #[error("a right given twice")]
    Twice,
}

impl Right {
    /// All rights, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Subscribe, Self::Administer];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Subscribe => "subscribe",
            Self::Administer => "administer",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Subscribe => 4,
            Self::Administer => 8,
        }
    }
}

impl Scope {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Below => "below",
        }
    }
}

/// The text is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not name or below")]
pub struct NoScope;

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        [Self::Name, Self::Below].into_iter().find(|scope| scope.as_str() == text).ok_or(NoScope)
    }
}

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);

    /// Whether these allow what a right allows: it is among them, or `administer` is.
    #[must_use]
    pub const fn allow(self, right: Right) -> bool {
        self.0 & (right.bit() | Right::Administer.bit()) != 0
    }

    /// Whether the right itself is among them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With another one.
    #[must_use]
    pub const fn with(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// Without one.
    #[must_use]
    pub const fn without(self, right: Right) -> Self {
        Self(self.0 & !right.bit())
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Each of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl FromStr for Right {
    type Err = NoRight;

    fn from_str(text: &str) -> Result<Self, NoRight> {
        let is = |right: &Self| right.as_str().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(is).ok_or(NoRight::Unknown)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, right) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}{right}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Rights({self})")
    }
}

impl FromStr for Rights {
    type Err = NoRight;

    /// `read,write`: at least one, none twice.
    fn from_str(text: &str) -> Result<Self, NoRight> {
        let mut rights = Self::NONE;
        for word in text.split(',') {
            let right: Right = word.parse()?;
            if rights.has(right) {
                return Err(NoRight::Twice);
            }
            rights = rights.with(right);
        }
        Ok(rights)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => out.pad("*"),
            Self::Name(name) => name.fmt(out),
        }
    }
}

impl FromStr for Object {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" { Ok(Self::Everything) } else { text.parse().map(Self::Name) }
    }
}

crate::text::as_text!(Object);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_written_in_one_order_and_none_twice() {
        let rights: Rights = "Write,READ".parse().unwrap();
        assert_eq!(rights.to_string(), "read,write");
        assert_eq!("read,read".parse::<Rights>(), Err(NoRight::Twice));
        for wrong in ["", "read,", "own", "read write"] {
            assert_eq!(wrong.parse::<Rights>(), Err(NoRight::Unknown), "{wrong}");
        }
    }

    #[test]
    fn who_may_administer_may_do_everything_and_nothing_else_implies_another() {
        for right in Right::ALL {
            let only = Rights::NONE.with(right);
            assert!(only.allow(right));
            for other in Right::ALL {
                let implied = right == other || right == Right::Administer;
                assert_eq!(only.allow(other), implied, "{right} {other}");
            }
            assert!(only.without(right).is_empty());
        }
    }
}
