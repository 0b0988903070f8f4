//! The records of a ledger's file, to bytes and back.

use crate::{history::Change, torrents::Torrent};

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = RECORD_WORDS * size_of::<u64>();

/// Fields of a record: the token, of which none is 0, the time, the change, and the value.
pub(super) const RECORD_WORDS: usize = 4;

/// Content of a record beside its token and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Change(Change),
    Void,
}

/// The kind of a record, in the top byte of its change field. Zero is no kind, so a hole in the file is none.
mod kind {
    pub const DOWNLOAD: u64 = 1;
    pub const NOTHING: u64 = 2;
    pub const VOID: u64 = 3;
    pub const STORE_COUNT: u64 = 4;
    pub const COUNT_TORRENT: u64 = 5;
    pub const COUNT_TOTAL: u64 = 6;
}

const KIND_SHIFT: u32 = 56;
/// Where the number of records to come begins, in the token's field.
const TO_COME_SHIFT: u32 = 48;
/// Set where the torrent is one that the dataset does not have.
const UNSEEN: u64 = 1 << 55;

/// The fields of a record, of which the file has little-endian bytes; `to_come` others of its transaction follow.
pub(super) fn encode(token: u64, to_come: usize, at_us: u64, entry: Entry) -> [u64; RECORD_WORDS] {
    // That it is 0 in the last record only is what counts.
    let to_come = u64::from(u16::try_from(to_come).unwrap_or(u16::MAX));
    let torrent = |torrent| match torrent {
        Torrent::Known(id) => id,
        Torrent::Unseen(number) => number | UNSEEN,
    };
    let (kind, rest, value) = match entry {
        Entry::Change(Change::Download(of)) => (kind::DOWNLOAD, torrent(of), 0),
        Entry::Change(Change::StoreCount(of, count)) => (kind::STORE_COUNT, torrent(of), count.cast_unsigned()),
        Entry::Change(Change::CountTorrent(of)) => (kind::COUNT_TORRENT, torrent(of), 0),
        Entry::Change(Change::CountTotal) => (kind::COUNT_TOTAL, 0, 0),
        Entry::Change(Change::Nothing) => (kind::NOTHING, 0, 0),
        Entry::Void => (kind::VOID, 0, 0),
    };
    [to_come << TO_COME_SHIFT | token, at_us, kind << KIND_SHIFT | rest, value]
}

/// A record as the file has it.
#[cfg(test)]
pub(super) fn bytes(record: [u64; RECORD_WORDS]) -> Vec<u8> {
    record.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// A record as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) token: u64,
    /// Whether it is the last of its transaction.
    pub(super) is_last: bool,
    pub(super) at_us: u64,
    pub(super) entry: Entry,
}

/// `None` where the bytes are no record.
pub(super) fn decode(record: &[u8; RECORD_BYTES]) -> Option<Record> {
    let field = |n: usize| record[n * 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (token, at_us, change, value) = (field(0), field(1), field(2), field(3));
    let rest = change & ((1 << KIND_SHIFT) - 1);
    let torrent = if rest & UNSEEN == 0 { Torrent::Known(rest) } else { Torrent::Unseen(rest & !UNSEEN) };
    let entry = match change >> KIND_SHIFT {
        kind::DOWNLOAD => Entry::Change(Change::Download(torrent)),
        kind::STORE_COUNT => Entry::Change(Change::StoreCount(torrent, value.cast_signed())),
        kind::COUNT_TORRENT => Entry::Change(Change::CountTorrent(torrent)),
        kind::COUNT_TOTAL => Entry::Change(Change::CountTotal),
        kind::NOTHING => Entry::Change(Change::Nothing),
        kind::VOID => Entry::Void,
        _ => return None,
    };
    let is_last = token >> TO_COME_SHIFT == 0;
    let token = token & ((1 << TO_COME_SHIFT) - 1);
    (token > 0).then_some(Record { token, is_last, at_us, entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_their_encoding() {
        let entries = [
            Entry::Change(Change::Download(Torrent::Known(161_454_700))),
            Entry::Change(Change::Download(Torrent::Unseen(u64::from(u32::MAX) * 7))),
            Entry::Change(Change::StoreCount(Torrent::Known(1), -5)),
            Entry::Change(Change::StoreCount(Torrent::Unseen(0), i64::MAX)),
            Entry::Change(Change::CountTorrent(Torrent::Known(2))),
            Entry::Change(Change::CountTotal),
            Entry::Change(Change::Nothing),
            Entry::Void,
        ];
        for entry in entries {
            for to_come in [0, 1, 70_000] {
                let record = bytes(encode(7, to_come, 1_000_001, entry)).try_into().unwrap();
                let expected = Record { token: 7, is_last: to_come == 0, at_us: 1_000_001, entry };
                assert_eq!(decode(&record), Some(expected));
            }
        }
        assert_eq!(decode(&[0; RECORD_BYTES]), None, "a hole is no record");
    }
}
