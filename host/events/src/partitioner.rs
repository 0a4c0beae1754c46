//! Kafka's partitioner: murmur2 of the key, as the Java client computes it.

/// The partition of a key, where there are `partitions` of them; 0 where there are none.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    // The sign bit is masked, not negated: that is what keeps Kafka's numbers.
    let positive = murmur2(key) as u32 & 0x7fff_ffff;
    positive.checked_rem(partitions).unwrap_or(0)
}

/// Murmur2 with Kafka's seed.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    let mix = |word: u32| {
        let word = word.wrapping_mul(MULTIPLIER);
        (word ^ (word >> 24)).wrapping_mul(MULTIPLIER)
    };
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ bytes.len() as u32, |hash, word| {
        hash.wrapping_mul(MULTIPLIER) ^ mix(u32::from_le_bytes(*word))
    });
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    (hash ^ (hash >> 15)) as i32
}

const MULTIPLIER: u32 = 0x5bd1_e995;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_java_client() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn a_partition_is_always_one_of_them() {
        for partitions in [1, 3, u32::MAX] {
            for key in ["", "21", "foobar"] {
                assert!(partition_for_key(key.as_bytes(), partitions) < partitions);
            }
        }
        assert_eq!(partition_for_key(b"21", 0), 0);
        assert_eq!(partition_for_key(b"foobar", 4), (-790_332_482_i32 as u32 & 0x7fff_ffff) % 4);
    }
}
