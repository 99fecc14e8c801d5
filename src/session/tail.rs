//! The hash by which the cache of all threads finds a sealed value: of its end alone.
//!
//! That end encodes the authentication tag. Only what verified is ever kept, so the tags of what is kept are as good as random, and
//! hashing the two thousand bytes before them adds nothing. Who makes up a cookie with the tag of another finds that other's place,
//! and the comparison of the whole value there. The hash is keyed all the same, as every hash of what strangers send.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// Hashes text by its last bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct ByTail(RandomState);

impl BuildHasher for ByTail {
    type Hasher = TailHasher;

    fn build_hasher(&self) -> TailHasher {
        TailHasher(self.0.build_hasher())
    }
}

/// See [`ByTail`].
#[derive(Debug)]
pub(super) struct TailHasher(DefaultHasher);

impl Hasher for TailHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes.last_chunk::<TAIL>().map_or(bytes, |tail| tail));
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// Less than the tag's 16 bytes are in base64url; 96 bits of it.
const TAIL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_tells_values_apart_and_short_ones_count_whole() {
        let (hashes, text) = (ByTail::default(), "abcdefgh".repeat(20));
        let changed = |at: usize| {
            let mut other = text.clone();
            other.replace_range(at..=at, "X");
            hashes.hash_one(other.as_str()) != hashes.hash_one(text.as_str())
        };
        assert!(changed(159) && changed(144));
        assert!(!changed(143));
        assert_ne!(hashes.hash_one("short"), hashes.hash_one("Short"));
        assert_ne!(hashes.hash_one("a"), ByTail::default().hash_one("a"), "keyed");
    }
}
