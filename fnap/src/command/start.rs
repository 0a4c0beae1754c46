//! Where reading starts: the forms after `FROM`, `START` and `POSITION`.

use std::fmt;
use std::str::FromStr;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A place in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// `earliest`: the oldest record that is still there.
    Earliest,
    /// `latest`: what comes from now on.
    Latest,
    /// `OFFSET p:n`
    Offset {
        /// The partition.
        partition: u32,
        /// The offset of the first record wanted, at most `i64::MAX` as on Kafka.
        offset: u64,
    },
    /// `TIME rfc3339`: the first record at or after it, by the records' timestamps.
    Time(Timestamp),
}

/// A point in time as RFC 3339 can write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

/// The text is no RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no rfc 3339 time, such as 2026-01-31T12:00:00Z")]
pub struct NoTimestamp;

/// The text is no `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no partition:offset, such as 0:100")]
pub struct NoOffset;

impl Timestamp {
    /// Milliseconds since 1970 UTC, rounded down.
    #[must_use]
    pub fn unix_millis(self) -> i64 {
        let millis = self.0.unix_timestamp_nanos().div_euclid(1_000_000);
        // Years 0 to 9999 fit many times.
        i64::try_from(millis).unwrap_or(i64::MAX)
    }

    /// The time so many milliseconds after 1970 UTC; none outside the years 0 to 9999.
    #[must_use]
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        let nanos = i128::from(millis) * 1_000_000;
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        (0..=9999).contains(&time.year()).then_some(Self(time))
    }
}

impl Timestamp {
    /// In UTC with milliseconds, all three digits: times of this form stand straight in a column, and sort as text.
    #[must_use]
    pub fn with_millis(self) -> String {
        // Only a few hours around the years 0 and 9999 are not there in UTC.
        let time = self.0.checked_to_offset(UtcOffset::UTC).unwrap_or(self.0);
        let (date, clock) = (time.date(), time.time());
        let (hour, minute, second, milli) = clock.as_hms_milli();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl FromStr for Timestamp {
    type Err = NoTimestamp;

    fn from_str(text: &str) -> Result<Self, NoTimestamp> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self).map_err(|_| NoTimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only times that RFC 3339 can write come in, so this is never an error in practice.
        let text = self.0.format(&Rfc3339).map_err(|_| fmt::Error)?;
        out.write_str(&text)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Start {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => out.write_str("earliest"),
            Self::Latest => out.write_str("latest"),
            Self::Offset { partition, offset } => write!(out, "OFFSET {partition}:{offset}"),
            Self::Time(time) => write!(out, "TIME {time}"),
        }
    }
}

/// Reads `partition:offset`.
///
/// # Errors
/// When it is none, or a number does not fit.
pub fn parse_offset(text: &str) -> Result<Start, NoOffset> {
    let (partition, offset) = text.split_once(':').ok_or(NoOffset)?;
    let partition = i32::try_from(number(partition)?).map_err(|_| NoOffset)?;
    let offset = i64::try_from(number(offset)?).map_err(|_| NoOffset)?;
    Ok(Start::Offset { partition: partition.unsigned_abs(), offset: offset.unsigned_abs() })
}

/// Digits only: `str::parse` would also take a sign.
pub(crate) fn number(text: &str) -> Result<u64, NoOffset> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoOffset);
    }
    text.parse().map_err(|_| NoOffset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_a_partition_and_a_number() {
        assert_eq!(parse_offset("3:100"), Ok(Start::Offset { partition: 3, offset: 100 }));
        let most = format!("{}:{}", i32::MAX, i64::MAX);
        assert_eq!(
            parse_offset(&most).map(|start| start.to_string()),
            Ok(format!("OFFSET {most}"))
        );
        for wrong in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "-1:1",
            "+1:1",
            "1:-1",
            "2147483648:1",
            "1:9223372036854775808",
        ] {
            assert_eq!(parse_offset(wrong), Err(NoOffset), "{wrong}");
        }
    }

    #[test]
    fn a_time_keeps_its_instant() {
        let time: Timestamp = "2026-01-31T12:00:00.5+02:00".parse().unwrap();
        assert_eq!(time.unix_millis(), 1_769_853_600_500);
        assert_eq!(Timestamp::from_unix_millis(1_769_853_600_500), Some(time));
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!("1969-12-31T23:59:59.9999Z".parse::<Timestamp>().unwrap().unix_millis(), -1);
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert_eq!(time.with_millis(), "2026-01-31T10:00:00.500Z");
        let whole = Timestamp::from_unix_millis(1_769_853_600_000).unwrap();
        assert_eq!(whole.with_millis(), "2026-01-31T10:00:00.000Z");
        assert_eq!(Timestamp::from_unix_millis(i64::MAX), None);
    }
}
