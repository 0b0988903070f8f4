//! What operation `n` is: a pure function of `(seed, index)`.
//!
//! Whichever thread runs an operation, at whatever time, it is the same operation, so two runs of a scenario do the same
//! work and the ledger can name a torrent by a number. No input or output, no clock, no SQL: a write profile's SQL is
//! in [`crate::target`], what it does to the content in [`crate::history`].

use rand::{RngExt, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution, Zipf};
use schemars::JsonSchema;
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

/// What a client says in an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Nothing new: the announce that is repeated every half hour or so.
    None,
    /// It has begun to download.
    Started,
    /// It has gone away.
    Stopped,
    /// It has the whole of it.
    Completed,
}

/// What reaches the database of an announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WriteProfile {
    /// Every announce is one write transaction: upsert of the torrent, increment of the aggregate.
    EveryAnnounce,
    /// That for the announces that complete a download; the others read the torrent's count.
    CompletedOnly,
    /// As tracker 3.0.0 does: every announce with an event is an autocommitted upsert of an absolute count, given up
    /// silently where the database stays busy; other announces and scrapes touch no SQL.
    #[serde(rename = "tracker-3")]
    Tracker3,
    /// As newer trackers do: a completed download is counted off the response path, by one listener behind a queue that holds every
    /// event of a client; the first announce of a torrent since the tracker began reads its count; nothing else touches SQL.
    #[serde(rename = "tracker-4")]
    Tracker4,
    /// As completed-only, with the writes of several operations in one transaction.
    Batched,
}

/// What follows from a write profile.
#[derive(Debug, Clone, Copy)]
struct ProfileRules {
    name: &'static str,
    /// Whether announces and scrapes share one pool of connections, as in a tracker, rather than having their own.
    pooled: bool,
    /// Whether it adds downloads to the total in `torrent_aggregate_metrics`.
    counts_in_total: bool,
    writes: WritePath,
}

/// How a write comes to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WritePath {
    /// Its operation writes it, in a transaction of its own.
    Own,
    /// Its operation shares a transaction with others.
    Batched,
    /// A listener writes it, off the response path.
    Queued,
}

impl WriteProfile {
    /// The one table of profiles.
    fn rules(self) -> ProfileRules {
        let rules = |name, pooled, counts_in_total, writes| ProfileRules { name, pooled, counts_in_total, writes };
        match self {
            Self::EveryAnnounce => rules("every-announce", false, true, WritePath::Own),
            Self::CompletedOnly => rules("completed-only", false, true, WritePath::Own),
            Self::Batched => rules("batched", false, true, WritePath::Batched),
            Self::Tracker3 => rules("tracker-3", true, false, WritePath::Own),
            Self::Tracker4 => rules("tracker-4", true, true, WritePath::Queued),
        }
    }

    /// Whether announces and scrapes share one pool of connections, as in a tracker, rather than having their own.
    #[must_use]
    pub(crate) fn is_pooled(self) -> bool {
        self.rules().pooled
    }

    /// Whether it adds downloads to the total in `torrent_aggregate_metrics`, which trackers of version 3 do not have.
    #[must_use]
    pub(crate) fn counts_in_total(self) -> bool {
        self.rules().counts_in_total
    }

    /// Whether the writes of several operations share a transaction.
    #[must_use]
    pub(crate) fn is_batched(self) -> bool {
        self.rules().writes == WritePath::Batched
    }

    /// Whether a listener writes, off the response path, what operations put into its queue.
    #[must_use]
    pub(crate) fn has_listener(self) -> bool {
        self.rules().writes == WritePath::Queued
    }
}

impl std::fmt::Display for WriteProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.rules().name)
    }
}

/// What an operation does to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It touches no SQL.
    Nothing,
    /// It reads the count of each of its torrents.
    Read,
    /// It upserts its torrent and increments the aggregate, in one transaction.
    Download,
    /// It upserts an absolute count of its torrent, autocommitting.
    StoreCount,
    /// It reads the count of its torrent, where that is seen for the first time.
    Look,
    /// It looks, and queues what its client says for the listener, which reads and writes the torrent and the aggregate of a completed
    /// download, autocommitting.
    Queue,
}

/// The shares and sizes that make a workload.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// What reaches the database.
    pub write_profile: WriteProfile,
    /// Share of announces that begin a download, from 0 to 1.
    pub started_share: f64,
    /// Share of announces that leave, from 0 to 1.
    pub stopped_share: f64,
    /// Share of announces that complete a download, from 0 to 1; the three shares sum to 1 at most.
    pub completed_share: f64,
    /// Share of operations that are announces, where both kinds come in one stream.
    pub announce_share: f64,
    /// Share of announces for torrents that the dataset does not have, from 0 to 1.
    pub new_torrent_share: f64,
    /// Exponent of the Zipf distribution of popularity; 0 is uniform.
    pub zipf_exponent: f64,
    /// Largest number of info-hashes in a scrape; the number is uniform from 1.
    pub scrape_hashes_max: u32,
}

impl Mix {
    /// The workload of a scenario that says nothing else, with this write profile.
    #[must_use]
    pub const fn of(write_profile: WriteProfile) -> Self {
        Self {
            write_profile,
            started_share: 0.05,
            stopped_share: 0.05,
            completed_share: 0.05,
            announce_share: 0.9,
            new_torrent_share: 0.01,
            zipf_exponent: 1.0,
            scrape_hashes_max: 74,
        }
    }
}

/// Keeps the random numbers that choose a kind apart from those of the kinds.
const MIXED: u64 = 0x6d69_7865;

/// Makes operations.
#[derive(Debug, Clone)]
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
    /// What its client says; none for a scrape.
    pub event: Event,
    /// What the write profile makes of it.
    pub action: Action,
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
    /// What it asks of the database, but for a look at a torrent that is seen for the first time: which one that is, only the tracker
    /// knows.
    #[must_use]
    pub(crate) fn asks(&self) -> Work {
        match self.action {
            Action::Nothing | Action::Look => Work::default(),
            Action::Queue if self.event != Event::Completed => Work::default(),
            Action::Read => Work { statements: self.torrents.len() as u64, commits: 0 },
            Action::Download => Work { statements: 2, commits: 1 },
            Action::StoreCount => Work { statements: 1, commits: 1 },
            Action::Queue => Work { statements: 4, commits: 2 },
        }
    }
}

impl Default for Operation {
    fn default() -> Self {
        Self { kind: Kind::Scrape, event: Event::None, action: Action::Nothing, torrents: Vec::with_capacity(128) }
    }
}

impl Workload {
    /// A workload over the torrents of a dataset. `zipf_exponent` must not be negative.
    #[must_use]
    pub fn new(mix: Mix, torrents: Torrents, seed: u64) -> Self {
        // Refused only for a negative exponent or less than one element: then every torrent is as popular.
        let popularity = Zipf::new(torrents.numbered() as f64, mix.zipf_exponent)
            .or_else(|_| Zipf::new(torrents.numbered().max(1) as f64, 0.0))
            .unwrap_or_else(|_| unreachable!("one element and more, exponent 0"));
        Self { mix, torrents, popularity, seed }
    }

    /// The same with other shares.
    #[must_use]
    pub(crate) fn with_mix(&self, mix: Mix) -> Self {
        Self { mix, ..self.clone() }
    }

    /// Its shares and sizes.
    #[must_use]
    pub(crate) fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The torrents that operations are about.
    #[must_use]
    pub fn torrents(&self) -> &Torrents {
        &self.torrents
    }

    /// The kind of operation `index`, where both kinds come in one stream.
    #[must_use]
    pub fn kind(&self, index: u64) -> Kind {
        let announces = generator(mix(self.seed ^ MIXED), index).random_bool(self.mix.announce_share);
        if announces { Kind::Announce } else { Kind::Scrape }
    }

    /// Fills in operation `index` of the stream of `kind`. Costs some 50 ns a torrent and allocates nothing.
    pub fn operation(&self, kind: Kind, index: u64, operation: &mut Operation) {
        let mut random = generator(mix(self.seed ^ kind as u64), index);
        operation.kind = kind;
        operation.event = Event::None;
        operation.torrents.clear();
        match kind {
            Kind::Announce => {
                operation.event = self.event(random.random::<f64>());
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
        operation.action = self.action(kind, operation.event);
    }

    /// The event that a uniform number from 0 to 1 stands for.
    fn event(&self, uniform: f64) -> Event {
        let Mix { completed_share, started_share, stopped_share, .. } = self.mix;
        if uniform < completed_share {
            Event::Completed
        } else if uniform < completed_share + started_share {
            Event::Started
        } else if uniform < completed_share + started_share + stopped_share {
            Event::Stopped
        } else {
            Event::None
        }
    }

    /// What the write profile makes of an operation.
    pub(crate) fn action(&self, kind: Kind, event: Event) -> Action {
        let completed = event == Event::Completed;
        match (kind, self.mix.write_profile) {
            (Kind::Announce, WriteProfile::EveryAnnounce) => Action::Download,
            (Kind::Announce, WriteProfile::CompletedOnly | WriteProfile::Batched) if completed => Action::Download,
            (_, WriteProfile::EveryAnnounce | WriteProfile::CompletedOnly | WriteProfile::Batched) => Action::Read,
            (Kind::Announce, WriteProfile::Tracker3) if event != Event::None => Action::StoreCount,
            (Kind::Announce, WriteProfile::Tracker4) if event == Event::None => Action::Look,
            (Kind::Announce, WriteProfile::Tracker4) => Action::Queue,
            (_, WriteProfile::Tracker3 | WriteProfile::Tracker4) => Action::Nothing,
        }
    }

    fn popular(&self, random: &mut Xoshiro256PlusPlus) -> Torrent {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "Zipf gives 1 to the number of torrents"
        )]
        let position = (self.popularity.sample(random) as u64).clamp(1, self.torrents.numbered());
        Torrent::Known(self.torrents.popular(position - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: Mix = Mix {
        write_profile: WriteProfile::CompletedOnly,
        started_share: 0.1,
        stopped_share: 0.08,
        completed_share: 0.05,
        announce_share: 0.9,
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

    /// Pearson's statistic of counts that should be as expected.
    fn chi_squared(found: &[f64], expected: &[f64]) -> f64 {
        found.iter().zip(expected).map(|(found, expected)| (found - expected).powi(2) / expected).sum()
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
    fn events_have_the_stated_distribution() {
        let announces = operations(MIX, Kind::Announce, 100_000);
        let events = [Event::Completed, Event::Started, Event::Stopped, Event::None];
        let found = events.map(|event| announces.iter().filter(|operation| operation.event == event).count() as f64);
        let statistic = chi_squared(&found, &[5_000.0, 10_000.0, 8_000.0, 77_000.0]);
        // The 99.9th percentile for 3 degrees of freedom.
        assert!(statistic < 16.3, "{found:?}: {statistic}");
        let unseen = announces.iter().filter(|operation| matches!(operation.torrents[0], Torrent::Unseen(_))).count();
        assert!(chi_squared(&[unseen as f64, 100_000.0 - unseen as f64], &[1_000.0, 99_000.0]) < 10.8, "{unseen}");
    }

    #[test]
    fn kinds_have_the_stated_distribution() {
        let workload = Workload::new(MIX, Torrents::new(1_000, 310), 7);
        let scrapes = (0..100_000).filter(|index| workload.kind(*index) == Kind::Scrape).count() as f64;
        assert!(chi_squared(&[scrapes, 100_000.0 - scrapes], &[10_000.0, 90_000.0]) < 10.8, "{scrapes}");
    }

    #[test]
    fn scrapes_have_one_to_the_most_hashes_evenly() {
        let mut found = [0.0; 75];
        for scrape in operations(MIX, Kind::Scrape, 74_000) {
            assert_eq!((scrape.event, scrape.action), (Event::None, Action::Read));
            found[scrape.torrents.len()] += 1.0;
        }
        // 73 degrees of freedom.
        let statistic = chi_squared(&found[1..], &[1_000.0; 74]);
        assert!(found[0] == 0.0 && statistic < 115.0, "{statistic}");
    }

    #[test]
    fn popularity_follows_zipf() {
        for exponent in [0.0, 0.8, 1.0, 1.5] {
            let torrents = Torrents::new(1_000, 310);
            let mix = Mix { zipf_exponent: exponent, new_torrent_share: 0.0, ..MIX };
            let mut by_torrent = std::collections::HashMap::new();
            for announce in operations(mix, Kind::Announce, 200_000) {
                *by_torrent.entry(announce.torrents[0]).or_insert(0.0) += 1.0;
            }
            let weight = |position: u64| ((position + 1) as f64).powf(-exponent);
            let all: f64 = (0..1_000).map(weight).sum();
            // The popular ones one by one, the others together.
            let popular = 0..20_u64;
            let count = |position| by_torrent.get(&Torrent::Known(torrents.popular(position))).copied().unwrap_or(0.0);
            let mut found: Vec<f64> = popular.clone().map(count).collect();
            let mut expected: Vec<f64> = popular.map(|position| 200_000.0 * weight(position) / all).collect();
            found.push(200_000.0 - found.iter().sum::<f64>());
            expected.push(200_000.0 - expected.iter().sum::<f64>());
            // 20 degrees of freedom.
            let statistic = chi_squared(&found, &expected);
            assert!(statistic < 45.3, "exponent {exponent}: {statistic}");
        }
    }

    #[test]
    fn what_reaches_the_database_by_table() {
        use {Action as A, Event as E, WriteProfile as P};
        for (profile, event, expected) in [
            (P::EveryAnnounce, E::None, A::Download),
            (P::EveryAnnounce, E::Completed, A::Download),
            (P::CompletedOnly, E::Started, A::Read),
            (P::CompletedOnly, E::Completed, A::Download),
            (P::Batched, E::None, A::Read),
            (P::Batched, E::Completed, A::Download),
            (P::Tracker3, E::None, A::Nothing),
            (P::Tracker3, E::Started, A::StoreCount),
            (P::Tracker3, E::Stopped, A::StoreCount),
            (P::Tracker3, E::Completed, A::StoreCount),
            (P::Tracker4, E::None, A::Look),
            (P::Tracker4, E::Started, A::Queue),
            (P::Tracker4, E::Completed, A::Queue),
        ] {
            let workload = Workload::new(Mix { write_profile: profile, ..MIX }, Torrents::new(10, 1), 1);
            assert_eq!(workload.action(Kind::Announce, event), expected, "{profile} {event:?}");
            let scrape = if profile.is_pooled() { A::Nothing } else { A::Read };
            assert_eq!(workload.action(Kind::Scrape, E::None), scrape, "{profile} scrape");
        }
    }
}
