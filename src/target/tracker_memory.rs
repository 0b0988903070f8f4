//! What a tracker holds in memory: the counts of its torrents, and which of them it has seen.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::{random::mix, torrents::Torrent, workload::Event};

/// What the connections of a tracker share of its memory, in fixed memory of ours: torrents that share one of 2^20 counters share its
/// increments, and one that shares one of 2^24 bits with another counts as seen when that was. What reaches the database is what the ledger
/// says, so the oracle is not misled by it.
#[derive(Debug, Clone)]
pub struct TrackerMemory {
    counts: Arc<[AtomicU32]>,
    seen: Arc<[AtomicU64]>,
}

impl Default for TrackerMemory {
    fn default() -> Self {
        let counts = (0..1 << 20).map(|_| AtomicU32::new(0)).collect();
        let seen = (0..1 << 18).map(|_| AtomicU64::new(0)).collect();
        Self { counts, seen }
    }
}

impl TrackerMemory {
    /// The torrent's count after an event. It begins at 0 whatever the database holds: a tracker of version 3 never reads that, so that
    /// the first announce of a torrent overwrites its count (`docs/tracker.md`).
    pub fn count_after(&self, torrent: Torrent, event: Event) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest 20 bits are meant")]
        let counter = &self.counts[hash(torrent) as usize % self.counts.len()];
        let since_start = match event {
            Event::Completed => counter.fetch_add(1, Ordering::Relaxed) + 1,
            Event::None | Event::Started | Event::Stopped => counter.load(Ordering::Relaxed),
        };
        i64::from(since_start)
    }

    /// Notes that the torrent was seen, or that it was not after all. Whether it had been before.
    pub fn set_seen(&self, torrent: Torrent, is_seen: bool) -> bool {
        let hash = hash(torrent);
        let word = &self.seen[(hash >> 6) as usize % self.seen.len()];
        let bit = 1 << (hash & 63);
        let before =
            if is_seen { word.fetch_or(bit, Ordering::Relaxed) } else { word.fetch_and(!bit, Ordering::Relaxed) };
        before & bit != 0
    }
}

fn hash(torrent: Torrent) -> u64 {
    mix(match torrent {
        Torrent::Known(number) => number,
        Torrent::Unseen(number) => !number,
    })
}
