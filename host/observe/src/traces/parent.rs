//! The `traceparent` of W3C Trace Context, as CloudEvents' extension for distributed tracing has it. Whatever is not
//! one is none, however long it is.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Octets of one of version 00; later versions may have more behind a hyphen.
const LENGTH: usize = 55;

/// The span that an event was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl Parent {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let version = hex::<1>(head.get(..2)?)?;
        match (version, rest.first()) {
            ([0xff], _) | ([0], Some(_)) => return None,
            (_, Some(first)) if *first != b'-' => return None,
            _ => {}
        }
        if [2, 35, 52].into_iter().any(|at| head.get(at) != Some(&b'-')) {
            return None;
        }
        let (trace, span) = (hex(head.get(3..35)?)?, hex(head.get(36..52)?)?);
        let [flags] = hex::<1>(head.get(53..55)?)?;
        let there = trace != [0; 16] && span != [0; 8];
        there.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// Whether its maker has it recorded.
    pub(super) const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The lower half of the trace's id, which is random.
    pub(super) fn half(&self) -> u64 {
        let half = self.trace.last_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(half)
    }

    pub(super) fn context(&self) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        let (trace, span) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.span));
        SpanContext::new(trace, span, flags, true, TraceState::default())
    }
}

/// Octets as lower-case hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; N];
    if digits.len() != N * 2 {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *octet = digit(*high)? << 4 | digit(*low)?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_the_specification_shows_is_read() {
        let parent = Parent::parse(GOOD.as_bytes()).unwrap();
        assert!(parent.is_sampled());
        assert_eq!(parent.half(), 0x8448_eb21_1c80_319c);
        let context = parent.context();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        let not = GOOD.replace("-01", "-00");
        assert!(!Parent::parse(not.as_bytes()).unwrap().is_sampled());
        let later = format!("cc{}-what-comes-later", GOOD.get(2..).unwrap());
        assert!(Parent::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn whatever_else_is_none() {
        let huge = "0".repeat(1 << 20);
        let wrong = [
            "",
            "00",
            &huge,
            &GOOD.to_uppercase(),
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &GOOD.replace("00-", "ff-"),
            &GOOD.replacen("00-", "01-", 1).replace("-01", "-01x"),
            &GOOD.replace('-', "_"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad6b7169203331", "b7ad6b716920333é"),
        ];
        for text in wrong {
            let shown: String = text.chars().take(80).collect();
            assert_eq!(Parent::parse(text.as_bytes()), None, "{shown}");
        }
    }
}
