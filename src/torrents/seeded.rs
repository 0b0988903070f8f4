//! The torrents of a generated dataset, all of them, as functions of a seed.
//!
//! The generator needs the rows in id order for the table and in hash order for the index, and the workload the info-hash
//! of one row out of millions in nanoseconds. Nothing is looked up: every answer is arithmetic on `(seed, rows, id)`.
//!
//! * The space of info-hashes is cut into `rows` equal strata; the hash of *rank* `j` lies in the `j`-th, so ranks are
//!   the order of the hashes.
//! * A seeded permutation (a Feistel network with cycle walking) maps ids to ranks, so that ids and hashes are
//!   unrelated, as they are in a database that has grown by inserts.
//! * A second permutation maps positions of popularity to ids, so that the popular torrents lie anywhere in both trees.

use super::InfoHash;
use crate::random::mix;

/// The rows of the `torrents` table of a generated dataset. Their ids are 1 to the number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeded {
    rows: u64,
    seed: u64,
    /// Of a million rows, how many have a count of zero.
    zero_share_ppm: u32,
    ranks: Permutation,
    popularity: Permutation,
}

/// Keeps the random numbers of different uses apart.
#[derive(Clone, Copy)]
enum Domain {
    Rank = 0x7261_6e6b,
    Popularity = 0x706f_7075,
    Hash = 0x6861_7368,
    Completed = 0x636f_6d70,
    Unseen = 0x756e_7365,
    Other = 0x6f74_6865,
    Zero = 0x7a65_726f,
}

impl Seeded {
    /// The torrents of a dataset of `rows` rows (at least 1, at most 2^34).
    #[must_use]
    pub fn new(rows: u64, seed: u64) -> Self {
        Self {
            rows,
            seed,
            zero_share_ppm: 0,
            ranks: Permutation::new(rows, mix(seed ^ Domain::Rank as u64)),
            popularity: Permutation::new(rows, mix(seed ^ Domain::Popularity as u64)),
        }
    }

    /// The same, of which so many of a million have a count of zero.
    #[must_use]
    pub fn with_zeros(self, zero_share_ppm: u32) -> Self {
        Self { zero_share_ppm, ..self }
    }

    /// Number of rows of the dataset.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Position of a row's info-hash among all of the dataset, from 0. `id` is from 1 to `rows`.
    #[must_use]
    #[inline]
    pub fn rank_of(&self, id: u64) -> u64 {
        self.ranks.apply(id - 1)
    }

    /// The id of the row whose info-hash has this rank; the inverse of [`Self::rank_of`].
    #[must_use]
    #[inline]
    pub fn id_of(&self, rank: u64) -> u64 {
        self.ranks.invert(rank) + 1
    }

    /// The id of the torrent at a position of popularity, 0 being the most popular.
    #[must_use]
    #[inline]
    pub fn popular(&self, position: u64) -> u64 {
        self.popularity.apply(position) + 1
    }

    /// The info-hash of the row with this id.
    #[must_use]
    #[inline]
    pub fn info_hash(&self, id: u64) -> InfoHash {
        self.info_hash_at_rank(self.rank_of(id))
    }

    /// The info-hash of a rank. Ascending in `rank`: the top 64 bits lie in the rank's own stratum.
    #[must_use]
    #[inline]
    pub fn info_hash_at_rank(&self, rank: u64) -> InfoHash {
        let bound = |rank: u64| (u128::from(rank) << 64) / u128::from(self.rows);
        let (low, high) = (bound(rank), bound(rank + 1));
        let key = mix(self.seed ^ Domain::Hash as u64);
        let offset = (u128::from(mix(key ^ rank)) * (high - low)) >> 64;
        #[expect(clippy::cast_possible_truncation, reason = "low + offset < high <= 2^64")]
        let top = (low + offset) as u64;
        InfoHash::from_bits(top, key.wrapping_add(1), rank)
    }

    /// Downloads that the dataset records for a row: none, where [`Self::with_zeros`] says so, or at least 1, heavy-tailed (Pareto
    /// with shape 1, so that one torrent in `k` has `k` downloads or more), at most 2^20.
    #[must_use]
    #[inline]
    pub fn completed(&self, id: u64) -> i64 {
        if self.zero_share_ppm > 0 && self.has_none(id) {
            return 0;
        }
        let uniform = mix(mix(self.seed ^ Domain::Completed as u64) ^ id) >> 44;
        // 2^20 over a uniform number in [1, 2^20].
        i64::try_from((1 << 20) / (uniform + 1)).unwrap_or(i64::MAX)
    }

    fn has_none(&self, id: u64) -> bool {
        mix(mix(self.seed ^ Domain::Zero as u64) ^ id) % 1_000_000 < u64::from(self.zero_share_ppm)
    }

    /// A 160-bit hash that is no torrent's, for keys and the like: 40 hexadecimal characters.
    #[must_use]
    pub fn other_hash(&self, number: u64) -> InfoHash {
        let key = mix(self.seed ^ Domain::Other as u64);
        InfoHash::from_bits(mix(key ^ number), key.wrapping_add(1), number)
    }

    /// The info-hash of a torrent that the dataset does not have.
    #[must_use]
    #[inline]
    pub fn unseen(&self, number: u64) -> InfoHash {
        unseen(self.seed, number)
    }
}

/// The info-hash of a torrent that a database does not have, by a number of its own.
#[inline]
pub(super) fn unseen(seed: u64, number: u64) -> InfoHash {
    let key = mix(seed ^ Domain::Unseen as u64);
    InfoHash::from_bits(mix(key ^ number), key.wrapping_add(1), number)
}

/// A seeded permutation of `[0, size)`: a Feistel network over `low * high` numbers, of which `low` and `high` are about
/// the square root of `size`, applied again while the result is outside (cycle walking), which is rare.
///
/// Its halves are digits of base `low` and `high`, to which rounds add modulo the base. Halves of bits would do as well,
/// but where `size` is little more than a power of two, they walk twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Permutation {
    size: u64,
    low: u64,
    high: u64,
    seed: u64,
}

impl Permutation {
    const ROUNDS: u64 = 4;

    fn new(size: u64, seed: u64) -> Self {
        let low = (size.isqrt() + 1).max(2);
        Self { size, low, high: size.div_ceil(low).max(1), seed }
    }

    #[inline]
    fn apply(&self, mut value: u64) -> u64 {
        loop {
            let (mut low, mut high) = (value % self.low, value / self.low);
            for round in 0..Self::ROUNDS {
                if round.is_multiple_of(2) {
                    high = wrapped(high + self.addend(round, low, self.high), self.high);
                } else {
                    low = wrapped(low + self.addend(round, high, self.low), self.low);
                }
            }
            value = high * self.low + low;
            if value < self.size {
                return value;
            }
        }
    }

    #[inline]
    fn invert(&self, mut value: u64) -> u64 {
        loop {
            let (mut low, mut high) = (value % self.low, value / self.low);
            for round in (0..Self::ROUNDS).rev() {
                if round.is_multiple_of(2) {
                    high = wrapped(high + self.high - self.addend(round, low, self.high), self.high);
                } else {
                    low = wrapped(low + self.low - self.addend(round, high, self.low), self.low);
                }
            }
            value = high * self.low + low;
            if value < self.size {
                return value;
            }
        }
    }

    /// What a round adds to one digit, from the other: a number below `base`, which has at most 32 bits.
    #[inline]
    fn addend(&self, round: u64, other: u64, base: u64) -> u64 {
        let key = self.seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        ((mix(key ^ other) >> 32) * base) >> 32
    }
}

/// A number below `2 * base` modulo `base`.
#[inline]
fn wrapped(number: u64, base: u64) -> u64 {
    if number < base { number } else { number - base }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_ids_are_inverse_permutations() {
        for rows in [1, 2, 3, 4, 5, 7, 8, 9, 100, 1_000, 4_097] {
            let torrents = Seeded::new(rows, 310);
            let mut seen = vec![false; usize::try_from(rows).unwrap()];
            for id in 1..=rows {
                let rank = torrents.rank_of(id);
                assert_eq!(torrents.id_of(rank), id, "rows {rows}");
                assert!(!std::mem::replace(&mut seen[usize::try_from(rank).unwrap()], true), "rows {rows}");
            }
        }
    }

    #[test]
    fn ranks_are_the_order_of_the_hashes() {
        let torrents = Seeded::new(5_000, 310);
        let hashes: Vec<_> = (0..5_000).map(|rank| torrents.info_hash_at_rank(rank)).collect();
        assert!(hashes.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(torrents.info_hash(torrents.id_of(17)), hashes[17]);
        assert!(
            hashes.iter().all(|hash| hash.as_str().bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)))
        );
    }

    #[test]
    fn popularity_is_a_permutation_unrelated_to_ids() {
        let torrents = Seeded::new(1_000, 310);
        let mut ids: Vec<_> = (0..1_000).map(|position| torrents.popular(position)).collect();
        let fixed = ids.iter().zip(1..).filter(|(id, n)| **id == *n).count();
        assert!(fixed < 10, "{fixed} ids stand at their own position");
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=1_000));
    }

    #[test]
    fn downloads_are_heavy_tailed_and_at_least_one() {
        let torrents = Seeded::new(100_000, 310);
        let counts: Vec<_> = (1..=100_000).map(|id| torrents.completed(id)).collect();
        assert_eq!(counts.iter().min(), Some(&1));
        let hundred = counts.iter().filter(|count| **count >= 100).count();
        assert!((900..1_100).contains(&hundred), "one in a hundred has a hundred or more, found {hundred}");
    }

    #[test]
    fn as_many_have_no_downloads_as_asked_for_and_the_others_keep_theirs() {
        let torrents = Seeded::new(100_000, 310);
        let with_zeros = torrents.with_zeros(969_000);
        let mut zeros = 0;
        for id in 1..=100_000 {
            match with_zeros.completed(id) {
                0 => zeros += 1,
                count => assert_eq!(count, torrents.completed(id)),
            }
        }
        assert!((96_600..97_200).contains(&zeros), "{zeros}");
    }

    #[test]
    fn hashes_are_the_same_on_every_machine() {
        let torrents = Seeded::new(2_000_000, 310);
        let hash = torrents.info_hash(1);
        assert_eq!(hash, torrents.info_hash(1));
        assert_ne!(hash, torrents.unseen(1));
        assert_ne!(hash, Seeded::new(2_000_000, 311).info_hash(1));
    }
}
