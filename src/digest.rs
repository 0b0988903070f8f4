//! Hashes of rows and their sums: what a database's content comes to, in 128 bits.
//!
//! The digest of a state is the sum, modulo 2^128, of a keyed 128-bit hash of every row of every table. A sum does not
//! depend on the order of its terms, so a table can be added up in parallel, and one changed row moves the digest by a
//! subtraction and an addition, which is how [`crate::history`] knows the digest after each commit.
//!
//! The hash covers the table, and of each value its *type* and its bytes: one bit in a record header turns TEXT into
//! BLOB, which no query finds any more and `integrity_check` does not notice (`docs/sqlite.md`, 28).
//!
//! Sums do not see structure. Whether the b-trees hold those rows where SQLite will look for them is
//! [`crate::oracle`]'s business.

use std::{
    borrow::Cow,
    fmt,
    hash::Hasher,
    ops::{Add, AddAssign, Sub, SubAssign},
};

use rusqlite::types::ValueRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip128::{Hasher128, SipHasher24};

/// A sum of row hashes modulo 2^128; in JSON 32 hexadecimal characters.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(u128);

/// What a hashed row belongs to. The discriminant is part of the hash and must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A row of `torrents`: id, `info_hash`, completed.
    Torrents = 1,
    /// A row of `whitelist`: id, `info_hash`.
    Whitelist = 2,
    /// A row of `keys`: id, key, `valid_until`.
    Keys = 3,
    /// A row of `torrent_aggregate_metrics`: id, `metric_name`, value.
    Aggregate = 4,
    /// A row of `sqlite_sequence`: name, seq.
    Sequence = 5,
    /// An entry of a table's unique index, or the same two values of its row: text, id.
    IndexEntry = 6,
}

impl Part {
    /// The table whose content it is; entries of indexes are alike for all tables.
    #[must_use]
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Torrents => Some("torrents"),
            Self::Whitelist => Some("whitelist"),
            Self::Keys => Some("keys"),
            Self::Aggregate => Some("torrent_aggregate_metrics"),
            Self::Sequence => Some("sqlite_sequence"),
            Self::IndexEntry => None,
        }
    }
}

/// The fixed key: digests are compared between processes and runs, so it is no secret and never changes.
const KEY: (u64, u64) = (0x6a6f_7572_6e61_6c62, 0x656e_6368_2064_6967);

/// The hash of one row (or index entry) whose values are given in column order.
///
/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein 2012) over the part, then for each value one byte of type
/// and its bytes, text and blobs preceded by their length.
#[must_use]
#[inline]
pub fn row<'a>(part: Part, values: impl IntoIterator<Item = ValueRef<'a>>) -> Digest {
    let mut hasher = SipHasher24::new_with_keys(KEY.0, KEY.1);
    hasher.write_u8(part as u8);
    for value in values {
        match value {
            ValueRef::Null => hasher.write_u8(0),
            ValueRef::Integer(number) => {
                hasher.write_u8(1);
                hasher.write(&number.to_le_bytes());
            }
            ValueRef::Real(number) => {
                hasher.write_u8(2);
                hasher.write(&number.to_bits().to_le_bytes());
            }
            ValueRef::Text(bytes) => {
                hasher.write_u8(3);
                hasher.write(&(bytes.len() as u64).to_le_bytes());
                hasher.write(bytes);
            }
            ValueRef::Blob(bytes) => {
                hasher.write_u8(4);
                hasher.write(&(bytes.len() as u64).to_le_bytes());
                hasher.write(bytes);
            }
        }
    }
    Digest(hasher.finish128().as_u128())
}

/// The hash of a row of `torrents`.
#[must_use]
#[inline]
pub fn torrent(id: i64, info_hash: &[u8], completed: i64) -> Digest {
    row(Part::Torrents, [ValueRef::Integer(id), ValueRef::Text(info_hash), ValueRef::Integer(completed)])
}

/// The hash of an entry of a table's unique index.
#[must_use]
#[inline]
pub fn entry(text: &[u8], rowid: i64) -> Digest {
    row(Part::IndexEntry, [ValueRef::Text(text), ValueRef::Integer(rowid)])
}

/// The hash of a row of `sqlite_sequence`.
#[must_use]
pub fn sequence(table: &str, value: i64) -> Digest {
    row(Part::Sequence, [ValueRef::Text(table.as_bytes()), ValueRef::Integer(value)])
}

/// The hash of a row of `torrent_aggregate_metrics`.
#[must_use]
pub fn aggregate(id: i64, name: &str, value: i64) -> Digest {
    row(Part::Aggregate, [ValueRef::Integer(id), ValueRef::Text(name.as_bytes()), ValueRef::Integer(value)])
}

impl Digest {
    /// Its lowest 64 bits.
    #[must_use]
    pub fn low_bits(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
        let low = self.0 as u64;
        low
    }
}

impl Digest {
    /// The sum as bytes, for a file that the same machine reads.
    #[must_use]
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// What [`Self::to_bytes`] gave.
    #[must_use]
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

impl Add for Digest {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Digest {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl SubAssign for Digest {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Digest {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A sum of row hashes modulo 2^128: a hexadecimal number, written in 32 digits.",
            "type": "string",
            "pattern": "^[0-9a-fA-F]{1,32}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_moves_the_sum_by_one_subtraction_and_one_addition() {
        let rows =
            |third: i64| (1..=9).map(move |id| torrent(id, b"aa", if id == 3 { third } else { 1 })).sum::<Digest>();
        assert_eq!(rows(1) - torrent(3, b"aa", 1) + torrent(3, b"aa", 2), rows(2));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn types_and_boundaries_of_values_count() {
        let text = ValueRef::Text(b"ab");
        let cases = [
            row(Part::Torrents, [ValueRef::Integer(1), text]),
            row(Part::Whitelist, [ValueRef::Integer(1), text]),
            row(Part::Torrents, [ValueRef::Integer(1), ValueRef::Blob(b"ab")]),
            row(Part::Torrents, [ValueRef::Real(1.0), text]),
            row(Part::Torrents, [ValueRef::Integer(1), ValueRef::Text(b"a"), ValueRef::Text(b"b")]),
            row(Part::Torrents, [ValueRef::Integer(1), text, ValueRef::Null]),
        ];
        for (n, left) in cases.iter().enumerate() {
            assert!(cases.iter().skip(n + 1).all(|right| right != left), "case {n}");
        }
    }

    #[test]
    fn survives_json() {
        let digest = torrent(1, b"cc", 2);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert_eq!(json.len(), 34);
    }
}
