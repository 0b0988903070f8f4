//! Who the torrents are: from the number of one to its id, its info-hash and its downloads.
//!
//! The workload needs the info-hash of one row out of millions in nanoseconds, and the ledger stores a torrent as one
//! number. Both ask here. The torrents of a generated dataset are [`Seeded`]: functions of a seed, all of them, and nothing
//! is looked up. Those of an adopted database are a [`Sample`] of its rows, held in memory.
//!
//! No input or output and no SQLite here.

mod sample;
mod seeded;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    sample::{Sample, Sampled, Sampler},
    seeded::Seeded,
};
use crate::random::mix;

/// The torrents that operations are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Torrents {
    /// Those of a generated dataset: all of them.
    Seeded(Seeded),
    /// Those of an adopted database: a sample of them.
    Sampled {
        /// The rows.
        sample: Sample,
        /// What the torrents that the database does not have follow from.
        seed: u64,
    },
}

/// A torrent that an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Torrent {
    /// One that the dataset has a row of, by its number from 1: in a generated dataset that is its id, in an adopted one
    /// its place in the sample.
    Known(u64),
    /// A torrent that the dataset does not have, by a number of its own.
    Unseen(u64),
}

/// How much of a tracker's database a copy is to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Portion {
    /// All of it.
    #[default]
    Whole,
    /// All but the torrents whose count is zero.
    Essential,
}

/// An info-hash as the tracker stores it: 40 lower-case hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash([u8; 40]);

impl Torrents {
    /// The torrents of a generated dataset of `rows` rows (at least 1, at most 2^34).
    #[must_use]
    pub fn new(rows: u64, seed: u64) -> Self {
        Self::Seeded(Seeded::new(rows, seed))
    }

    /// How many torrents have a number: all rows of a generated dataset, or those sampled.
    #[must_use]
    #[inline]
    pub fn numbered(&self) -> u64 {
        match self {
            Self::Seeded(seeded) => seeded.rows(),
            Self::Sampled { sample, .. } => sample.rows().len() as u64,
        }
    }

    /// Whether there is such a torrent: any that the dataset does not have, and those with a number from 1 to
    /// [`Self::numbered`].
    #[must_use]
    #[inline]
    pub(crate) fn has(&self, torrent: Torrent) -> bool {
        match torrent {
            Torrent::Known(number) => (1..=self.numbered()).contains(&number),
            Torrent::Unseen(_) => true,
        }
    }

    /// The number of the torrent at a position of popularity, from 0, the most popular, to one less than
    /// [`Self::numbered`].
    #[must_use]
    #[inline]
    pub fn popular(&self, position: u64) -> u64 {
        match self {
            Self::Seeded(seeded) => seeded.popular(position),
            // They stand in the order of their popularity.
            Self::Sampled { .. } => position + 1,
        }
    }

    /// The info-hash of a torrent. One that there is not (a ledger may say any number) has zeros.
    #[must_use]
    #[inline]
    pub fn info_hash(&self, torrent: Torrent) -> InfoHash {
        match (self, torrent) {
            _ if !self.has(torrent) => InfoHash::from_bytes([0; 20]),
            (Self::Seeded(seeded), Torrent::Known(number)) => seeded.info_hash(number),
            (Self::Seeded(seeded), Torrent::Unseen(number)) => seeded.unseen(number),
            (Self::Sampled { sample, .. }, Torrent::Known(number)) => sample.row(number).info_hash(),
            (Self::Sampled { seed, .. }, Torrent::Unseen(number)) => seeded::unseen(*seed, number),
        }
    }

    /// The id of the row of a torrent with this number; 0 where there is none.
    #[must_use]
    #[inline]
    pub fn id(&self, number: u64) -> i64 {
        match self {
            _ if !self.has(Torrent::Known(number)) => 0,
            Self::Seeded(_) => number.cast_signed(),
            Self::Sampled { sample, .. } => sample.row(number).id,
        }
    }

    /// Downloads that the dataset records for the torrent with this number; none where there is no such torrent.
    #[must_use]
    #[inline]
    pub fn completed(&self, number: u64) -> i64 {
        match self {
            _ if !self.has(Torrent::Known(number)) => 0,
            Self::Seeded(seeded) => seeded.completed(number),
            Self::Sampled { sample, .. } => sample.row(number).completed,
        }
    }
}

impl InfoHash {
    #[inline]
    fn from_bits(top: u64, key: u64, number: u64) -> Self {
        let middle = mix(key ^ number);
        let bottom = mix(middle ^ key.rotate_left(32));
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&top.to_be_bytes());
        bytes[8..16].copy_from_slice(&middle.to_be_bytes());
        bytes[16..].copy_from_slice(&bottom.to_be_bytes()[..4]);
        Self::from_bytes(bytes)
    }

    /// The text of these 160 bits.
    #[must_use]
    #[inline]
    pub(crate) fn from_bytes(bytes: [u8; 20]) -> Self {
        let mut hex = [0; 40];
        // From '0' to '9', and 39 characters further on from 'a' to 'f'; without a look-up, sixteen digits at a time.
        let digit = |nibble: u8| nibble + b'0' + if nibble > 9 { 39 } else { 0 };
        for (pair, byte) in hex.chunks_exact_mut(2).zip(bytes) {
            pair[0] = digit(byte >> 4);
            pair[1] = digit(byte & 15);
        }
        Self(hex)
    }

    /// The 160 bits of a text of 40 lower-case hexadecimal characters; `None` for any other.
    #[must_use]
    pub(crate) fn to_bytes(text: &[u8]) -> Option<[u8; 20]> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 40] = text.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(bytes)
    }

    /// The 160 bits that it is the text of.
    #[must_use]
    pub fn to_binary(self) -> [u8; 20] {
        // It was made of these.
        Self::to_bytes(&self.0).unwrap_or_default()
    }

    /// The 40 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only hexadecimal digits are ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The 40 characters as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_torrent_has_ends_in_nothing() {
        let row = Sampled { id: 7, completed: 5, info_hash: [1; 20] };
        let mut drawn = Sampler::new(1);
        drawn.offer(row);
        let adopted = Torrents::Sampled { sample: drawn.finish().unwrap(), seed: 1 };
        for torrents in [Torrents::new(1, 310), adopted] {
            assert!(torrents.has(Torrent::Known(1)) && torrents.has(Torrent::Unseen(u64::MAX)));
            assert_ne!((torrents.id(1), torrents.completed(1)), (0, 0));
            for number in [0, 2, 1 << 54, u64::MAX] {
                assert!(!torrents.has(Torrent::Known(number)));
                assert_eq!((torrents.id(number), torrents.completed(number)), (0, 0));
                assert_eq!(torrents.info_hash(Torrent::Known(number)).as_str(), "0".repeat(40));
            }
        }
    }

    #[test]
    fn only_what_a_tracker_writes_is_an_info_hash() {
        let hash = Seeded::new(10, 310).info_hash(3);
        let bytes = InfoHash::to_bytes(hash.as_bytes()).unwrap();
        assert_eq!(InfoHash::from_bytes(bytes), hash);
        let upper = hash.to_string().to_uppercase();
        let mut wrong = vec![upper.as_str(), "", "abc", &hash.as_str()[1..]];
        let long = format!("{hash}0");
        let other = hash.as_str().replacen(|_| true, "g", 1);
        wrong.extend([long.as_str(), other.as_str()]);
        assert!(wrong.iter().all(|text| InfoHash::to_bytes(text.as_bytes()).is_none()), "{wrong:?}");
    }
}
