//! What operation `n` is: a pure function of `(seed, index)`.
//!
//! Whichever thread runs an operation, at whatever time, it is the same operation, so two runs of a scenario do the same
//! work and the ledger can name a torrent by a number. No input or output, no clock, no SQL: a write profile's SQL is
//! in [`crate::load`], what it does to the content in [`crate::ledger`].

use rand::{RngExt, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution, Zipf};
use serde::{Deserialize, Serialize};

use crate::{
    random::{generator, mix},
    torrents::{Torrent, Torrents},
};

/// The two requests of a BitTorrent client that reach a tracker's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A client says what it does with one torrent.
    Announce,
    /// A client asks for the counts of up to 74 torrents.
    Scrape,
}

impl Kind {
    /// Both kinds, in the order of the results.
    pub const ALL: [Self; 2] = [Self::Announce, Self::Scrape];
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Announce => "announce",
            Self::Scrape => "scrape",
        })
    }
}

/// What reaches the database of an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteProfile {
    /// Every announce is one write transaction: upsert of the torrent, increment of the aggregate.
    EveryAnnounce,
    /// That for the announces that complete a download; the others read the torrent's count.
    CompletedOnly,
}

impl std::fmt::Display for WriteProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EveryAnnounce => "every-announce",
            Self::CompletedOnly => "completed-only",
        })
    }
}

/// The shares and sizes that make a workload.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// What reaches the database.
    pub write_profile: WriteProfile,
    /// Share of announces that complete a download, from 0 to 1.
    pub completed_share: f64,
    /// Share of announces for torrents that the dataset does not have, from 0 to 1.
    pub new_torrent_share: f64,
    /// Exponent of the Zipf distribution of popularity; 0 is uniform.
    pub zipf_exponent: f64,
    /// Largest number of info-hashes in a scrape; the number is uniform from 1.
    pub scrape_hashes_max: u32,
}

/// Makes operations.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    mix: Mix,
    torrents: Torrents,
    popularity: Zipf<f64>,
    seed: u64,
}

/// One operation, filled in by [`Workload::operation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Announce or scrape.
    pub kind: Kind,
    /// Whether the write profile writes for it.
    pub writes: bool,
    /// The torrents it is about: one for an announce, one and more for a scrape.
    pub torrents: Vec<Torrent>,
}

/// What operations ask of the database, whether or not it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// SQL statements, `BEGIN` and `COMMIT` not counted.
    pub statements: u64,
    /// Write transactions.
    pub commits: u64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.statements += other.statements;
        self.commits += other.commits;
    }
}

impl Operation {
    /// What it asks of the database: a write is an upsert of the torrent and an increment of the aggregate in one
    /// transaction, a read one statement a torrent.
    #[must_use]
    pub fn asks(&self) -> Work {
        if self.writes {
            Work { statements: 2, commits: 1 }
        } else {
            Work { statements: self.torrents.len() as u64, commits: 0 }
        }
    }
}

impl Default for Operation {
    fn default() -> Self {
        Self { kind: Kind::Scrape, writes: false, torrents: Vec::with_capacity(128) }
    }
}

impl Workload {
    /// A workload over the torrents of a dataset. `zipf_exponent` must not be negative.
    #[must_use]
    pub fn new(mix: Mix, torrents: Torrents, seed: u64) -> Self {
        // Refused only for a negative exponent or less than one element: then every torrent is as popular.
        let popularity = Zipf::new(torrents.rows() as f64, mix.zipf_exponent)
            .or_else(|_| Zipf::new(torrents.rows().max(1) as f64, 0.0))
            .unwrap_or_else(|_| unreachable!("one element and more, exponent 0"));
        Self { mix, torrents, popularity, seed }
    }

    /// The torrents that operations are about.
    #[must_use]
    pub fn torrents(&self) -> &Torrents {
        &self.torrents
    }

    /// Fills in operation `index` of the stream of `kind`. Costs some 50 ns a torrent and allocates nothing.
    pub fn operation(&self, kind: Kind, index: u64, operation: &mut Operation) {
        let mut random = generator(mix(self.seed ^ kind as u64), index);
        operation.kind = kind;
        operation.writes = false;
        operation.torrents.clear();
        match kind {
            Kind::Announce => {
                let completes = random.random_bool(self.mix.completed_share);
                operation.writes = match self.mix.write_profile {
                    WriteProfile::EveryAnnounce => true,
                    WriteProfile::CompletedOnly => completes,
                };
                let torrent = if random.random_bool(self.mix.new_torrent_share) {
                    Torrent::Unseen(index)
                } else {
                    self.popular(&mut random)
                };
                operation.torrents.push(torrent);
            }
            Kind::Scrape => {
                let hashes = random.random_range(1..=self.mix.scrape_hashes_max);
                operation.torrents.extend((0..hashes).map(|_| self.popular(&mut random)));
            }
        }
    }

    fn popular(&self, random: &mut Xoshiro256PlusPlus) -> Torrent {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "Zipf gives 1 to the number of rows"
        )]
        let position = (self.popularity.sample(random) as u64).clamp(1, self.torrents.rows());
        Torrent::Known(self.torrents.popular(position - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: Mix = Mix {
        write_profile: WriteProfile::CompletedOnly,
        completed_share: 0.05,
        new_torrent_share: 0.01,
        zipf_exponent: 1.0,
        scrape_hashes_max: 74,
    };

    fn operations(mix: Mix, kind: Kind, count: u64) -> Vec<Operation> {
        let workload = Workload::new(mix, Torrents::new(1_000, 310), 7);
        (0..count)
            .map(|index| {
                let mut operation = Operation::default();
                workload.operation(kind, index, &mut operation);
                operation
            })
            .collect()
    }

    #[test]
    fn an_operation_depends_on_seed_and_index_only() {
        let forward = operations(MIX, Kind::Announce, 1_000);
        let workload = Workload::new(MIX, Torrents::new(1_000, 310), 7);
        let mut operation = Operation::default();
        for index in (0..1_000).rev() {
            workload.operation(Kind::Scrape, index, &mut operation);
            workload.operation(Kind::Announce, index, &mut operation);
            assert_eq!(operation, forward[usize::try_from(index).unwrap()]);
        }
    }

    #[test]
    fn shares_are_as_stated() {
        let announces = operations(MIX, Kind::Announce, 100_000);
        let writes = announces.iter().filter(|operation| operation.writes).count();
        let unseen = announces.iter().filter(|operation| matches!(operation.torrents[0], Torrent::Unseen(_))).count();
        // Four standard deviations of a binomial distribution.
        assert!(writes.abs_diff(5_000) < 276, "{writes} of 100,000 write");
        assert!(unseen.abs_diff(1_000) < 126, "{unseen} of 100,000 are new");
        let every = Mix { write_profile: WriteProfile::EveryAnnounce, ..MIX };
        assert!(operations(every, Kind::Announce, 100).iter().all(|operation| operation.writes));
    }

    #[test]
    fn scrapes_have_one_to_the_most_hashes_and_write_nothing() {
        let scrapes = operations(MIX, Kind::Scrape, 10_000);
        let mut seen = [0; 75];
        for scrape in &scrapes {
            assert!(!scrape.writes);
            seen[scrape.torrents.len()] += 1;
        }
        assert_eq!(seen[0], 0);
        assert!(seen[1..].iter().all(|count| (80..200).contains(count)), "{seen:?}");
    }

    #[test]
    fn popularity_follows_zipf() {
        let torrents = Torrents::new(1_000, 310);
        let announces = operations(MIX, Kind::Announce, 200_000);
        let count = |position: u64| {
            let torrent = Torrent::Known(torrents.popular(position));
            announces.iter().filter(|operation| operation.torrents[0] == torrent).count() as f64
        };
        let harmonic: f64 = (1..=1_000).map(|n| 1.0 / f64::from(n)).sum();
        for position in [0, 1, 4, 9] {
            let expected = 200_000.0 * 0.99 / harmonic / (position + 1) as f64;
            let found = count(position);
            assert!(
                (found - expected).abs() < 4.0 * expected.sqrt(),
                "position {position}: {found}, not {expected:.0}"
            );
        }
    }
}
