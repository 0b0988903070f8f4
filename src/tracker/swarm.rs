//! The clients and torrents that a tracker under test knows, so that nothing is written but what is meant to be.
//!
//! A tracker of version 3 writes whenever a swarm changes: a client that is new, that leaves, that completes. What writes nothing is
//! the repeated announce of a client that it knows. So every request is about one of so many torrents, each with two clients that have
//! all of it: one that announces again and again, and one that completes. Both are announced once before the load begins.

use crate::torrents::{Torrent, Torrents};

use super::packets::PeerId;

/// Which of the two clients of a torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It announces again what the tracker knows.
    Returning,
    /// It completes its download, again and again.
    Completing,
}

impl Role {
    /// Both, in the order in which they are announced first.
    pub const ALL: [Self; 2] = [Self::Returning, Self::Completing];
}

/// A torrent of the swarm.
#[derive(Debug, Clone, Copy)]
struct Member {
    torrent: Torrent,
    info_hash: [u8; 20],
}

/// Some torrents of a dataset, with their clients.
#[derive(Debug, Clone)]
pub struct Swarm {
    members: Vec<Member>,
}

/// How many torrents a swarm has at most: their first announces are written one after the other.
pub const TORRENTS_MOST: u32 = 100_000;

impl Swarm {
    /// So many torrents of a dataset, or all that it has where these are fewer. They lie all over the database.
    #[must_use]
    pub fn new(torrents: &Torrents, most: u32) -> Self {
        let count = torrents.numbered().min(u64::from(most)).max(1);
        let member = |place: u64| {
            // Fewer than 100,000 times a number of rows: it has room.
            let torrent = Torrent::Known(1 + place * torrents.numbered() / count);
            let info_hash = torrents.info_hash(torrent).to_binary();
            Member { torrent, info_hash }
        };
        Self { members: (0..count).map(member).collect() }
    }

    /// How many torrents it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The place of the torrent that stands for a torrent of the dataset.
    #[must_use]
    pub fn place_of(&self, torrent: Torrent) -> usize {
        let number = match torrent {
            Torrent::Known(number) | Torrent::Unseen(number) => number,
        };
        usize::try_from(number % self.members.len() as u64).unwrap_or(0)
    }

    /// The torrent at a place.
    #[must_use]
    pub fn torrent(&self, place: usize) -> Torrent {
        self.members[place].torrent
    }

    /// The info-hash of a torrent of it, in hexadecimal; empty where it is not one.
    #[must_use]
    pub fn name_of(&self, torrent: Torrent) -> String {
        let member = self.members.iter().find(|member| member.torrent == torrent);
        member.map_or_else(String::new, |member| {
            member.info_hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
        })
    }

    /// Its info-hash.
    #[must_use]
    pub fn info_hash(&self, place: usize) -> &[u8; 20] {
        &self.members[place].info_hash
    }

    /// The name of one of its clients, as this project's would begin.
    #[must_use]
    pub fn peer_id(place: usize, role: Role) -> PeerId {
        let mut name = *b"-JB0001-R00000000000";
        if role == Role::Completing {
            name[8] = b'C';
        }
        let mut rest = place;
        for digit in name[9..].iter_mut().rev() {
            *digit = b"0123456789"[rest % 10];
            rest /= 10;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::torrents::Seeded;

    #[test]
    fn its_torrents_and_clients_are_all_different_and_lie_all_over_the_dataset() {
        for (rows, most, expected) in
            [(1_000_000, 1_000, 1_000), (10, 1_000, 10), (1, 5, 1), (1_000, 1_000, 1_000), (1_500, 1_000, 1_000)]
        {
            let torrents = Torrents::Seeded(Seeded::new(rows, 7));
            let swarm = Swarm::new(&torrents, most);
            assert_eq!(swarm.count(), expected, "{rows}");
            let numbers: BTreeSet<_> = (0..swarm.count())
                .map(|place| match swarm.torrent(place) {
                    Torrent::Known(number) => number,
                    other @ Torrent::Unseen(_) => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(numbers.len(), expected);
            assert!(numbers.iter().all(|number| (1..=rows).contains(number)), "{rows}");
            assert!(*numbers.last().unwrap() * 10 >= rows * 9 || rows < 10, "{rows}");
            let hashes: BTreeSet<_> = (0..swarm.count()).map(|place| *swarm.info_hash(place)).collect();
            let names: BTreeSet<_> = Role::ALL
                .into_iter()
                .flat_map(|role| (0..expected).map(move |place| Swarm::peer_id(place, role)))
                .collect();
            assert_eq!((hashes.len(), names.len()), (expected, 2 * expected));
            for number in [0, 1, 17, u64::MAX] {
                assert!(swarm.place_of(Torrent::Known(number)) < swarm.count());
                assert!(swarm.place_of(Torrent::Unseen(number)) < swarm.count());
            }
        }
    }
}
