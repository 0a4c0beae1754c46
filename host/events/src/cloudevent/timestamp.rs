//! RFC 3339 date-times, kept as they were written.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A valid RFC 3339 date-time. Comparing compares what was written; see [`Self::unix_millis`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp(String);

impl Timestamp {
    /// Takes the text as it is, where it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Fields::parse(text).map(|_| Self(text.to_owned()))
    }

    /// Milliseconds since 1970 UTC, written with three digits of fraction; `None` outside the years
    /// 0 to 9999.
    #[must_use]
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
        instant.ok()?.format(&Rfc3339).ok().map(Self)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Milliseconds since 1970 UTC; finer digits are cut off, a leap second is the second after it.
    #[must_use]
    pub fn unix_millis(&self) -> i64 {
        // Checked when it was made; 0 is never reached.
        Fields::parse(&self.0).map_or(0, |fields| fields.unix_millis())
    }
}

/// Whether a text is a date-time, without keeping it.
pub(crate) fn is_timestamp(text: &str) -> bool {
    Fields::parse(text).is_some()
}

struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millis: i64,
    offset_minutes: i64,
}

impl Fields {
    fn parse(text: &str) -> Option<Self> {
        let (year, rest) = digits(text.as_bytes(), 4)?;
        let (month, rest) = digits(after(rest, b"-")?, 2)?;
        let (day, rest) = digits(after(rest, b"-")?, 2)?;
        let (hour, rest) = digits(after(rest, b"Tt")?, 2)?;
        let (minute, rest) = digits(after(rest, b":")?, 2)?;
        let (second, rest) = digits(after(rest, b":")?, 2)?;
        let (millis, rest) = fraction(rest)?;
        let offset_minutes = offset(rest)?;
        let sound =
            (1..=days(year, month)?).contains(&day) && hour <= 23 && minute <= 59 && second <= 60;
        sound.then_some(Self { year, month, day, hour, minute, second, millis, offset_minutes })
    }

    fn unix_millis(&self) -> i64 {
        let days = days_since_1970(self.year, self.month, self.day);
        let minutes = (days * 24 + self.hour) * 60 + self.minute - self.offset_minutes;
        (minutes * 60 + self.second) * 1000 + self.millis
    }
}

fn after<'a>(bytes: &'a [u8], one_of: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_first()?;
    one_of.contains(first).then_some(rest)
}

fn digits(bytes: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(count)?;
    let mut number = 0;
    for byte in head {
        number = number * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some((number, rest))
}

/// Milliseconds of an optional fraction of any length.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(count)?;
    let millis = |sum: i64, index: usize| {
        sum * 10 + digits.get(index).map_or(0, |digit| i64::from(digit - b'0'))
    };
    (count > 0).then(|| ((0..3).fold(0, millis), rest))
}

fn offset(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = bytes.split_first()?;
    let sign = match sign {
        b'Z' | b'z' => return rest.is_empty().then_some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(after(rest, b":")?, 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn days(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    })
}

/// Days of the proleptic Gregorian calendar, counted from 1 March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - DAYS_TO_1970
}

/// Days from 1 March of year 0 to 1 January 1970.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_rfc_3339_allows_is_taken_as_written() {
        for text in [
            "2021-12-10T17:31:00Z",
            "2021-12-10t17:31:00z",
            "2021-12-10T17:31:00+01:00",
            "2021-12-10T17:31:00.123456789Z",
            "1985-04-12T23:20:50.52Z",
            "1990-12-31T23:59:60Z",
            "2000-02-29T00:00:00-23:59",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_rfc_3339_does_not_allow_is_refused() {
        for text in [
            "",
            "yesterday",
            "2021-12-10",
            "2021-12-10T17:31Z",
            "2021-12-10T17:31:00",
            "2021-12-10T17:31:00+01",
            "2021-12-10T17:31:00.Z",
            "2021-12-10 17:31:00Z",
            "2021-13-10T17:31:00Z",
            "2021-02-29T17:31:00Z",
            "2021-12-00T17:31:00Z",
            "2021-12-10T24:00:00Z",
            "2021-12-10T17:31:61Z",
            "2021-12-10T17:31:00Z ",
            "+021-12-10T17:31:00Z",
        ] {
            assert!(Timestamp::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn instants_take_the_offset_into_account() {
        let millis = |text| Timestamp::parse(text).unwrap().unix_millis();
        assert_eq!(millis("1970-01-01T00:00:00Z"), 0);
        assert_eq!(millis("1970-01-01T01:00:00.0019+01:00"), 1);
        assert_eq!(millis("1937-01-01T12:00:27.87+00:20"), -1_041_337_172_130);
    }

    proptest! {
        #[test]
        fn instants_agree_with_the_crate_time(millis in -62_167_219_200_000_i64..253_402_300_800_000) {
            let stamp = Timestamp::from_unix_millis(millis).unwrap();
            prop_assert_eq!(stamp.unix_millis(), millis);
            prop_assert_eq!(Timestamp::parse(stamp.as_str()), Some(stamp));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            if let Some(stamp) = Timestamp::parse(&text) {
                let _millis = stamp.unix_millis();
            }
        }
    }
}
