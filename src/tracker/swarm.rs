//! The clients and torrents that a tracker under test knows, so that nothing is written but what is meant to be.
//!
//! A tracker of version 3 writes whenever a swarm changes: a client that is new, that leaves, that completes. What writes nothing is
//! the repeated announce of a client that it knows. So every request is about one of so many torrents, each with a client that has
//! all of it: one that announces again and again, or one that completes. Each is announced once before the load begins.
//!
//! No torrent has both: version 3.0.0 compares what it knows of a torrent before and after each announce and without a lock between
//! them, so that an announce which changes nothing writes once more where the same torrent is completed meanwhile.

use crate::torrents::{Torrent, Torrents};

use super::packets::PeerId;

/// What the client of a torrent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It announces again what the tracker knows.
    Returning,
    /// It completes its download, again and again.
    Completing,
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
    /// So many torrents of a dataset, or all that it has where these are fewer, and always an even number. They lie all over the database.
    #[must_use]
    pub fn new(torrents: &Torrents, most: u32) -> Self {
        let count = (torrents.numbered().min(u64::from(most)) / 2).max(1) * 2;
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

    /// The place of the torrent that stands for a torrent of the dataset, whatever its client does.
    #[must_use]
    pub fn place_of(&self, torrent: Torrent) -> usize {
        let number = match torrent {
            Torrent::Known(number) | Torrent::Unseen(number) => number,
        };
        usize::try_from(number % self.members.len() as u64).unwrap_or(0)
    }

    /// The place of the torrent that stands for a torrent of the dataset among those whose client does this.
    #[must_use]
    pub fn place_in_role(&self, torrent: Torrent, role: Role) -> usize {
        let pair = self.place_of(torrent) / 2;
        match role {
            Role::Returning => pair * 2,
            Role::Completing => pair * 2 + 1,
        }
    }

    /// What the client of the torrent at a place does: every second one completes.
    #[must_use]
    pub fn role_of(place: usize) -> Role {
        if place.is_multiple_of(2) { Role::Returning } else { Role::Completing }
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

    /// The name of the client of the torrent at a place, as this project's would begin.
    #[must_use]
    pub fn peer_id(place: usize) -> PeerId {
        let mut name = *b"-JB0001-R00000000000";
        name[8] = match Self::role_of(place) {
            Role::Returning => b'R',
            Role::Completing => b'C',
        };
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
            [(1_000_000, 1_000, 1_000), (10, 1_000, 10), (11, 1_000, 10), (1_000, 1_000, 1_000), (1_500, 1_001, 1_000)]
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
            let names: BTreeSet<_> = (0..expected).map(Swarm::peer_id).collect();
            assert_eq!((hashes.len(), names.len()), (expected, expected));
            for number in [0, 1, 17, u64::MAX] {
                for torrent in [Torrent::Known(number), Torrent::Unseen(number)] {
                    assert!(swarm.place_of(torrent) < swarm.count());
                    for role in [Role::Returning, Role::Completing] {
                        let place = swarm.place_in_role(torrent, role);
                        assert!(place < swarm.count());
                        assert_eq!(Swarm::role_of(place), role);
                    }
                }
            }
        }
    }

    #[test]
    fn a_dataset_of_one_torrent_has_both_clients_at_that_one() {
        let swarm = Swarm::new(&Torrents::Seeded(Seeded::new(1, 7)), 5);
        assert_eq!((swarm.count(), swarm.torrent(0)), (2, swarm.torrent(1)));
        assert_ne!(Swarm::peer_id(0), Swarm::peer_id(1));
    }
}
