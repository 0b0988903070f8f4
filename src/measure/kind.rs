//! The kinds of operation that figures are kept of, and the classes that they are put together from.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::workload::{Action, Kind, Operation};

/// A kind of operation that has figures of its own. Every operation is an announce or a scrape; of the announces, some commit
/// and some read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// All announces.
    Announce,
    /// All scrapes.
    Scrape,
    /// The announces that end with a commit of their own or of their batch.
    Commit,
    /// The announces that only read from the database.
    Read,
}

/// What an operation asks for, as its client waits for it. Each operation is of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An announce that ends with a commit.
    CommittingAnnounce,
    /// An announce that reads from the database.
    ReadingAnnounce,
    /// An announce that is answered without the database; what it queues is written later.
    OtherAnnounce,
    /// A scrape.
    Scrape,
}

impl OperationKind {
    /// All of them, in the order of the results.
    pub const ALL: [Self; 4] = [Self::Announce, Self::Scrape, Self::Commit, Self::Read];

    /// Those that every operation is one of.
    pub const REQUESTS: [Self; 2] = [Self::Announce, Self::Scrape];

    /// Whether operations of a class are of this kind.
    #[must_use]
    pub fn includes(self, class: Class) -> bool {
        match self {
            Self::Announce => class.request() == Kind::Announce,
            Self::Scrape => class.request() == Kind::Scrape,
            Self::Commit => class == Class::CommittingAnnounce,
            Self::Read => class == Class::ReadingAnnounce,
        }
    }

    /// Whether it is one of those that every operation is one of.
    #[must_use]
    pub fn is_request(self) -> bool {
        match self {
            Self::Announce | Self::Scrape => true,
            Self::Commit | Self::Read => false,
        }
    }
}

impl From<Kind> for OperationKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Announce => Self::Announce,
            Kind::Scrape => Self::Scrape,
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Announce => "announce",
            Self::Scrape => "scrape",
            Self::Commit => "commit",
            Self::Read => "read",
        })
    }
}

impl Class {
    /// All of them, in the order of a slice.
    pub const ALL: [Self; 4] = [Self::CommittingAnnounce, Self::ReadingAnnounce, Self::OtherAnnounce, Self::Scrape];

    /// That of an operation.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        match (operation.kind, operation.action) {
            (Kind::Scrape, _) => Self::Scrape,
            (Kind::Announce, Action::Download | Action::StoreCount) => Self::CommittingAnnounce,
            (Kind::Announce, Action::Read) => Self::ReadingAnnounce,
            (Kind::Announce, Action::Nothing | Action::Look | Action::Queue) => Self::OtherAnnounce,
        }
    }

    /// The request that it is.
    #[must_use]
    pub fn request(self) -> Kind {
        match self {
            Self::CommittingAnnounce | Self::ReadingAnnounce | Self::OtherAnnounce => Kind::Announce,
            Self::Scrape => Kind::Scrape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_of_one_request_and_of_one_other_kind_at_most() {
        for class in Class::ALL {
            let kinds: Vec<_> = OperationKind::ALL.into_iter().filter(|kind| kind.includes(class)).collect();
            assert_eq!(kinds.iter().filter(|kind| kind.is_request()).count(), 1, "{class:?}");
            assert_eq!(kinds[0], class.request().into());
            let others = usize::from(matches!(class, Class::CommittingAnnounce | Class::ReadingAnnounce));
            assert_eq!(kinds.len(), 1 + others, "{class:?}");
        }
        assert!(OperationKind::ALL.into_iter().filter(|kind| kind.is_request()).eq(OperationKind::REQUESTS));
    }

    #[test]
    fn an_operation_is_of_the_class_that_its_client_waits_for() {
        for (kind, action, class) in [
            (Kind::Announce, Action::Download, Class::CommittingAnnounce),
            (Kind::Announce, Action::StoreCount, Class::CommittingAnnounce),
            (Kind::Announce, Action::Read, Class::ReadingAnnounce),
            (Kind::Announce, Action::Look, Class::OtherAnnounce),
            (Kind::Announce, Action::Queue, Class::OtherAnnounce),
            (Kind::Announce, Action::Nothing, Class::OtherAnnounce),
            (Kind::Scrape, Action::Read, Class::Scrape),
            (Kind::Scrape, Action::Nothing, Class::Scrape),
        ] {
            assert_eq!(Class::of(&Operation { kind, action, ..Operation::default() }), class, "{kind} {action:?}");
        }
    }
}
