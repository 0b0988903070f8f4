//! Some rows of an adopted database's `torrents`, the popular ones foremost.
//!
//! A database of somebody's own has no seed that its rows follow from, and all of 161 million rows do not fit into memory.
//! So operations are about a sample. A row is drawn with a probability that grows with its downloads (without replacement:
//! Efraimidis and Spirakis 2006), since that is what is known of how often a torrent is asked for, and the sample stands in
//! the order of the downloads, for a Zipf distribution to pick from.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::InfoHash;
use crate::random::mix;

/// Bytes of a row as it is stored.
const ROW_BYTES: usize = 36;

/// The sampled rows, those with the most downloads first; in JSON a text of base64, 36 bytes a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    rows: Arc<[Sampled]>,
}

/// A row of `torrents`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sampled {
    /// Its id.
    pub id: i64,
    /// Its downloads.
    pub completed: i64,
    /// Its info-hash.
    pub info_hash: [u8; 20],
}

/// Draws a sample from rows that are offered in any order; which rows it draws does not depend on the order.
#[derive(Debug, Clone)]
pub struct Sampler {
    rows_max: usize,
    /// Each with its key, of which the least stay.
    kept: BinaryHeap<(u64, Sampled)>,
}

impl Sampled {
    /// The text of its info-hash.
    #[must_use]
    #[inline]
    pub fn info_hash(&self) -> InfoHash {
        InfoHash::from_bytes(self.info_hash)
    }
}

impl Sample {
    /// All of it.
    #[must_use]
    #[inline]
    pub fn rows(&self) -> &[Sampled] {
        &self.rows
    }

    /// The row at a place, from 1.
    ///
    /// # Panics
    /// Where there is no such place.
    #[must_use]
    #[inline]
    pub fn row(&self, place: u64) -> &Sampled {
        #[expect(clippy::cast_possible_truncation, reason = "another place is refused by the index all the same")]
        &self.rows[place as usize - 1]
    }
}

impl Sampler {
    /// Draws `rows_max` rows, or all if there are no more.
    #[must_use]
    pub fn new(rows_max: usize) -> Self {
        Self { rows_max, kept: BinaryHeap::new() }
    }

    /// Offers a row.
    pub fn offer(&mut self, row: Sampled) {
        /// Any number: it keeps these random numbers apart from those of other uses.
        const SEED: u64 = 0x7361_6d70;

        // Uniform in (0, 1], so that the key is not negative and its bits stand in the order of its values.
        let uniform = ((mix(SEED ^ row.id.cast_unsigned()) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let key = -uniform.ln() / row.completed.max(1) as f64;
        self.keep((key.abs().to_bits(), row));
    }

    /// Takes over what another has drawn of other rows.
    pub fn merge(&mut self, other: Self) {
        other.kept.into_iter().for_each(|kept| self.keep(kept));
    }

    /// The sample; `None` where no row was offered.
    #[must_use]
    pub fn finish(self) -> Option<Sample> {
        let mut rows: Vec<_> = self.kept.into_iter().map(|(_, row)| row).collect();
        // Those with as many downloads stand in an order that their places in the trees have nothing to do with.
        rows.sort_unstable_by_key(|row| (Reverse(row.completed), mix(row.id.cast_unsigned())));
        (!rows.is_empty()).then(|| Sample { rows: rows.into() })
    }

    fn keep(&mut self, row: (u64, Sampled)) {
        if self.kept.len() < self.rows_max {
            self.kept.push(row);
        } else if let Some(mut largest) = self.kept.peek_mut()
            && row < *largest
        {
            *largest = row;
        }
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.rows.len() * ROW_BYTES);
        for row in &*self.rows {
            bytes.extend(row.id.to_le_bytes());
            bytes.extend(row.completed.to_le_bytes());
            bytes.extend(row.info_hash);
        }
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let (rows, rest) = bytes.as_chunks::<ROW_BYTES>();
        if rows.is_empty() || !rest.is_empty() {
            return Err(D::Error::custom("a sample is one row and more, of 36 bytes each"));
        }
        let rows = rows.iter().map(|row| {
            let number = |at: usize| row[at..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
            let info_hash = row.last_chunk().copied().unwrap_or_default();
            Sampled { id: number(0), completed: number(8), info_hash }
        });
        Ok(Self { rows: rows.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, completed: i64) -> Sampled {
        Sampled { id, completed, info_hash: [id.to_le_bytes()[0]; 20] }
    }

    fn sample(rows_max: usize, rows: impl IntoIterator<Item = Sampled>) -> Sample {
        let mut sampler = Sampler::new(rows_max);
        rows.into_iter().for_each(|row| sampler.offer(row));
        sampler.finish().unwrap()
    }

    #[test]
    fn the_sample_does_not_depend_on_the_order_and_is_sorted_by_downloads() {
        let rows = || (1..=1_000).map(|id| row(id, id % 7));
        let forward = sample(100, rows());
        assert_eq!(forward, sample(100, rows().rev()));
        let (mut left, mut right) = (Sampler::new(100), Sampler::new(100));
        rows().for_each(|row| if row.id % 3 == 0 { left.offer(row) } else { right.offer(row) });
        left.merge(right);
        assert_eq!(left.finish().unwrap(), forward);
        assert_eq!(forward.rows().len(), 100);
        assert!(forward.rows().is_sorted_by_key(|row| Reverse(row.completed)));
        assert_eq!(sample(2_000, rows()).rows().len(), 1_000, "all, where there are no more");
        assert_eq!(Sampler::new(5).finish(), None);
    }

    #[test]
    fn rows_are_drawn_by_their_downloads() {
        // Half of the rows have nine times the downloads of the others. With few drawn of many, nine in ten are of them.
        let drawn = sample(2_000, (1..=200_000).map(|id| row(id, if id % 2 == 0 { 9 } else { 1 })));
        let popular = drawn.rows().iter().filter(|row| row.completed == 9).count();
        // Six standard deviations of 13 to either side.
        assert!((1_720..1_880).contains(&popular), "{popular}");
    }

    #[test]
    fn survives_json() {
        let before = sample(10, [row(1, 5), row(i64::MAX, i64::MIN), row(77, 0)]);
        let json = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Sample>(&json).unwrap(), before);
        for wrong in ["\"\"", "\"AAAA\"", "\"?\""] {
            assert!(serde_json::from_str::<Sample>(wrong).is_err(), "{wrong}");
        }
    }
}
