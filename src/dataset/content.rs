//! What stands in the b-trees of a generated database, entry by entry in key order.
//!
//! An entry is a record: a row of a table (whose key, the rowid, is its position counted from 1) or an entry of an index.
//! The records of the large tables are functions of their position, so any thread can make any of them and none is kept;
//! those of the small tables are held in memory. Which page they go to is [`super::layout`]'s business.

use std::ops::AddAssign;

use rusqlite::types::ValueRef;

use super::{DOWNLOADS_TOTAL, Dataset, KEYS, SCHEMA, SchemaRow};
use crate::{
    digest::{self, Digest, Part},
    pages::{integer_bytes, push_record},
    torrents::Seeded,
};

/// Bytes of an info-hash's text.
const HASH_BYTES: usize = 40;

/// The entries of one b-tree.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Records of a small table, each with its row's hash, or of its index.
    Held(Vec<(Vec<u8>, Digest)>),
    /// Rows of `torrents`.
    Torrents(Seeded),
    /// Rows of `whitelist`.
    Whitelist(Seeded),
    /// The index over `info_hash` of either.
    HashIndex(Seeded),
}

/// What some rows add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// Of the rows' hashes; index entries have none.
    pub digest: Digest,
    /// Of `completed`.
    pub downloads: i64,
    /// Of the hashes of rows whose `completed` is zero.
    pub zeros: Digest,
}

impl Sum {
    /// Of a row of another table.
    pub fn of_other(digest: Digest) -> Self {
        Self { digest, ..Self::default() }
    }

    /// Of a row of `torrents`.
    pub fn of_torrent(digest: Digest, completed: i64) -> Self {
        let zeros = if completed == 0 { digest } else { Digest::default() };
        Self { digest, downloads: completed, zeros }
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.digest += other.digest;
        self.downloads += other.downloads;
        self.zeros += other.zeros;
    }
}

impl Content {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        match self {
            Self::Held(records) => records.len() as u64,
            Self::Torrents(torrents) | Self::Whitelist(torrents) | Self::HashIndex(torrents) => torrents.rows(),
        }
    }

    /// Appends the record at a position, from 0.
    pub fn push(&self, position: u64, out: &mut Vec<u8>) -> Sum {
        match self {
            Self::Held(records) => match usize::try_from(position).ok().and_then(|position| records.get(position)) {
                Some((record, digest)) => {
                    out.extend(record);
                    Sum::of_other(*digest)
                }
                None => Sum::default(),
            },
            Self::Torrents(torrents) => {
                let id = position + 1;
                let (info_hash, completed) = (torrents.info_hash(id), torrents.completed(id));
                let text = ValueRef::Text(info_hash.as_bytes());
                // The id is the rowid, and NULL in the record.
                push_record(out, &[ValueRef::Null, text, ValueRef::Integer(completed)]);
                let digest = digest::torrent(id.cast_signed(), info_hash.as_bytes(), completed);
                Sum::of_torrent(digest, completed)
            }
            Self::Whitelist(torrents) => {
                let id = position + 1;
                let info_hash = torrents.info_hash(id);
                let text = ValueRef::Text(info_hash.as_bytes());
                push_record(out, &[ValueRef::Null, text]);
                let digest = digest::row(Part::Whitelist, [ValueRef::Integer(id.cast_signed()), text]);
                Sum::of_other(digest)
            }
            Self::HashIndex(torrents) => {
                let info_hash = torrents.info_hash_at_rank(position);
                let id = ValueRef::Integer(torrents.id_of(position).cast_signed());
                push_record(out, &[ValueRef::Text(info_hash.as_bytes()), id]);
                Sum::default()
            }
        }
    }

    /// Bytes of the record of a table's row, without making it.
    pub fn row_bytes(&self, position: u64) -> usize {
        match self {
            Self::Held(records) => {
                usize::try_from(position).ok().and_then(|position| records.get(position)).map_or(0, |held| held.0.len())
            }
            Self::Torrents(torrents) => 4 + HASH_BYTES + integer_bytes(torrents.completed(position + 1)),
            Self::Whitelist(_) => 3 + HASH_BYTES,
            Self::HashIndex(_) => 0,
        }
    }

    /// Bytes of the largest record of an index, and of all of them together.
    pub fn index_bytes(&self) -> (usize, u64) {
        match self {
            Self::Held(records) => {
                let bytes = records.iter().map(|(record, _)| record.len());
                (bytes.clone().max().unwrap_or(0), bytes.sum::<usize>() as u64)
            }
            Self::HashIndex(torrents) => {
                let rows = torrents.rows();
                let ids: u64 = [(1, 0), (127, 1), (32_767, 2), (8_388_607, 3), ((1 << 31) - 1, 4), (u64::MAX, 6)]
                    .iter()
                    .scan(0, |below, &(up_to, bytes)| {
                        let ids = up_to.min(rows) - *below;
                        *below += ids;
                        Some(ids * bytes)
                    })
                    .sum();
                (3 + HASH_BYTES + integer_bytes(rows.cast_signed()), (3 + HASH_BYTES as u64) * rows + ids)
            }
            Self::Torrents(_) | Self::Whitelist(_) => (0, 0),
        }
    }
}

/// The root pages, in the order in which SQLite takes them for [`SCHEMA`]: `sqlite_sequence` is made with the first
/// AUTOINCREMENT table.
pub(super) mod root {
    pub const SCHEMA: u32 = 1;
    pub const WHITELIST: u32 = 2;
    pub const WHITELIST_INDEX: u32 = 3;
    pub const SEQUENCE: u32 = 4;
    pub const KEYS: u32 = 5;
    pub const KEYS_INDEX: u32 = 6;
    pub const TORRENTS: u32 = 7;
    pub const TORRENTS_INDEX: u32 = 8;
    pub const AGGREGATE: u32 = 9;
    pub const AGGREGATE_INDEX: u32 = 10;
    /// The first page that is no root.
    pub const END: u32 = 11;
}

/// The rows of `sqlite_schema`, each with its root page.
pub(super) fn schema_rows() -> [(SchemaRow, u32); 9] {
    let [whitelist, keys, torrents, aggregate] = SCHEMA;
    let table = |name: &str, root, sql: &str| {
        let (kind, sql) = ("table".to_owned(), Some(sql.to_owned()));
        (SchemaRow { kind, name: name.to_owned(), table: name.to_owned(), sql }, root)
    };
    let index = |of: &str, root| {
        let (kind, name) = ("index".to_owned(), format!("sqlite_autoindex_{of}_1"));
        (SchemaRow { kind, name, table: of.to_owned(), sql: None }, root)
    };
    [
        table("whitelist", root::WHITELIST, whitelist),
        index("whitelist", root::WHITELIST_INDEX),
        table("sqlite_sequence", root::SEQUENCE, "CREATE TABLE sqlite_sequence(name,seq)"),
        table("keys", root::KEYS, keys),
        index("keys", root::KEYS_INDEX),
        table("torrents", root::TORRENTS, torrents),
        index("torrents", root::TORRENTS_INDEX),
        table("torrent_aggregate_metrics", root::AGGREGATE, aggregate),
        index("torrent_aggregate_metrics", root::AGGREGATE_INDEX),
    ]
}

/// The table `sqlite_schema`.
pub(super) fn schema() -> Content {
    let records = schema_rows().map(|(SchemaRow { kind, name, table, sql }, root)| {
        let [kind, name, table] = [&kind, &name, &table].map(|text| ValueRef::Text(text.as_bytes()));
        let sql = sql.as_ref().map_or(ValueRef::Null, |sql| ValueRef::Text(sql.as_bytes()));
        record(&[kind, name, table, ValueRef::Integer(root.into()), sql])
    });
    Content::Held(records.map(|record| (record, Digest::default())).into())
}

/// The rows of `sqlite_sequence`.
pub(super) fn sequence(dataset: &Dataset) -> Content {
    let rows = dataset.sequences().map(|(table, last)| {
        let values = [ValueRef::Text(table.as_bytes()), ValueRef::Integer(last.cast_signed())];
        (record(&values), digest::sequence(table, last.cast_signed()))
    });
    Content::Held(rows.into())
}

/// The rows of `keys`, and its index.
pub(super) fn keys(dataset: &Dataset) -> (Content, Content) {
    let keys: Vec<_> = (1..=KEYS).map(|number| (number.cast_signed(), dataset.key(number))).collect();
    let rows = keys.iter().map(|(id, (key, valid_until))| {
        let text = ValueRef::Text(key.as_bytes());
        let valid_until = valid_until.map_or(ValueRef::Null, ValueRef::Integer);
        let digest = digest::row(Part::Keys, [ValueRef::Integer(*id), text, valid_until]);
        (record(&[ValueRef::Null, text, valid_until]), digest)
    });
    let rows = Content::Held(rows.collect());
    let mut sorted: Vec<_> = keys.iter().map(|(id, (key, _))| (key, *id)).collect();
    sorted.sort_unstable();
    let entries = sorted.iter().map(|(key, id)| record(&[ValueRef::Text(key.as_bytes()), ValueRef::Integer(*id)]));
    (rows, Content::Held(entries.map(|record| (record, Digest::default())).collect()))
}

/// The row of `torrent_aggregate_metrics`.
pub(super) fn aggregate(downloads: i64) -> Content {
    let name = ValueRef::Text(DOWNLOADS_TOTAL.as_bytes());
    let record = record(&[ValueRef::Null, name, ValueRef::Integer(downloads)]);
    Content::Held(vec![(record, digest::aggregate(1, DOWNLOADS_TOTAL, downloads))])
}

/// The index of `torrent_aggregate_metrics`.
pub(super) fn aggregate_index() -> Content {
    let record = record(&[ValueRef::Text(DOWNLOADS_TOTAL.as_bytes()), ValueRef::Integer(1)]);
    Content::Held(vec![(record, Digest::default())])
}

fn record(values: &[ValueRef<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    push_record(&mut out, values);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_records() {
        for rows in [1, 2, 127, 128, 40_000] {
            let torrents = Seeded::new(rows, 310);
            let index = Content::HashIndex(torrents);
            let mut records = Vec::new();
            let mut largest = 0;
            for position in 0..rows {
                let before = records.len();
                index.push(position, &mut records);
                largest = largest.max(records.len() - before);
            }
            assert_eq!(index.index_bytes(), (largest, records.len() as u64), "{rows}");
            for content in [Content::Torrents(torrents), Content::Whitelist(torrents), sequence_of(rows)] {
                for position in 0..content.len() {
                    records.clear();
                    content.push(position, &mut records);
                    assert_eq!(content.row_bytes(position), records.len(), "{content:?} at {position}");
                }
            }
        }
    }

    fn sequence_of(rows: u64) -> Content {
        sequence(&Dataset { rows, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 })
    }
}
