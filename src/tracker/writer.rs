//! The stream of completed downloads: the only requests that write, one at a time, so that the order in which they are sent is the
//! order in which they are committed.
//!
//! A completed download of a client that was announced without an event before is one write of its torrent's count in tracker 3.0.0, and
//! the next announce without an event, which writes nothing, makes the client ready for another one. An answer is no evidence of
//! a write: one that fails after the five seconds that the tracker waits for a lock is answered as well. So what took long, or was sent
//! more than once, is noted as doubtful, and what became of it is found out at the end, from the sequence in the database
//! ([`reconcile`]).

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{Answered, Caller},
    packets::AnnounceEvent,
    swarm::{Role, Swarm},
};
use crate::{
    history::{Change, ledger::Session},
    measure::OperationFailure,
    target::{Execution, IdleWork, Target},
    torrents::Torrent,
    workload::Operation,
};

/// After how long a request is sent again: a packet that was dropped is found missing long before the tracker would give up a write.
const RETRY: Duration = Duration::from_secs(1);

/// The same of an announce without an event, which may be sent as often as one likes: nobody is to wait for a packet of it that was dropped.
const RETRY_READY: Duration = Duration::from_millis(50);

/// A write that took so long may have been given up: the tracker waits for a lock for five seconds.
const DOUBTFUL_FROM: Duration = Duration::from_millis(4_500);

/// After so long no request that was sent before can still be written.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(5_500);

/// How long a completed download is waited for, whether or not its client still does: what is not known to have ended leaves
/// everything after it unknown.
const PATIENCE: Duration = Duration::from_secs(12);

/// The writes of which it is not known at once what became.
#[derive(Debug, Clone, Default)]
pub struct Doubts(Arc<Mutex<Vec<Doubt>>>);

/// A write of which it is not known at once what became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// Its number in the history.
    pub commit: u64,
    /// Why.
    pub why: Doubtful,
    /// When it was sent.
    pub sent: Instant,
    /// When it was answered, or no longer waited for.
    pub ended: Instant,
}

impl Doubt {
    /// When the tracker must have written it or given it up, where it was answered: nothing is sent before.
    #[must_use]
    pub fn over(&self) -> Instant {
        (self.sent + GIVEN_UP_AFTER).max(self.ended)
    }
}

/// Why it is not known at once what became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubtful {
    /// It was answered, and took as long as the tracker waits for a lock: it may have been given up.
    TookLong,
    /// It was asked for more than once, and answered in time: the answer may be to the repeated request, for which the client had completed
    /// already, while the first one waited for its lock and was given up.
    WasRepeated,
    /// It was never answered: it may be written at any later time.
    Unanswered,
}

impl Doubts {
    fn note(&self, doubt: Doubt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(doubt);
    }

    /// All of them, in the order of their commits.
    #[must_use]
    pub fn all(&self) -> Vec<Doubt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client side of all completed downloads.
pub struct Completer {
    caller: RefCell<Caller>,
    session: Session,
    swarm: Arc<Swarm>,
    /// The downloads that the tracker has counted of each torrent since it began.
    counts: RefCell<Vec<i64>>,
    /// The torrents whose completing client is to be announced without an event before it can complete again.
    unready: RefCell<Vec<usize>>,
    doubts: Doubts,
}

impl Completer {
    /// Announces every client of the swarm once, each of which the tracker writes: after this it knows them all.
    ///
    /// # Errors
    /// That a client was not answered, in words, or that the history cannot be written.
    pub fn warm(
        mut caller: Caller,
        session: Session,
        swarm: &Arc<Swarm>,
        doubts: &Doubts,
        is_interrupted: &dyn Fn() -> bool,
    ) -> anyhow::Result<Self> {
        for member in 0..swarm.count() {
            if is_interrupted() {
                return Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into());
            }
            session.issue([Change::StoreCount(swarm.torrent(member), 0)])?;
            let until = Instant::now() + DOUBTFUL_FROM;
            let answered = caller.announce(member, AnnounceEvent::None, DOUBTFUL_FROM, until)?;
            anyhow::ensure!(
                answered == Answered::Yes { times: 1 },
                "the tracker did not take the first announce of client {member}: {answered:?}"
            );
            session.acknowledge();
        }
        let counts = RefCell::new(vec![0; swarm.count()]);
        let (swarm, doubts) = (Arc::clone(swarm), doubts.clone());
        Ok(Self { caller: RefCell::new(caller), session, swarm, counts, unready: RefCell::default(), doubts })
    }

    fn announce(&self, member: usize, event: AnnounceEvent, until: Instant) -> std::io::Result<Answered> {
        let retry = match event {
            AnnounceEvent::None => RETRY_READY,
            AnnounceEvent::Completed => RETRY,
        };
        self.caller.borrow_mut().announce(member, event, retry, until)
    }

    /// Announces the clients again that have completed. Whether all of them were answered in time.
    fn make_ready(&self, until: Instant) -> bool {
        let mut unready = self.unready.borrow_mut();
        while let Some(&member) = unready.last() {
            match self.announce(member, AnnounceEvent::None, until) {
                Ok(Answered::Yes { .. }) => drop(unready.pop()),
                Ok(Answered::No | Answered::Refused(_)) | Err(_) => return false,
            }
        }
        true
    }

    /// Has a client complete its download, as the next commit of the history.
    fn complete(&self, member: usize, until: Instant) -> Result<Execution, String> {
        let count = {
            let mut counts = self.counts.borrow_mut();
            counts[member] += 1;
            counts[member]
        };
        let change = Change::StoreCount(self.swarm.torrent(member), count);
        let commit = self.session.issue([change]).map_err(|error| format!("cannot write the ledger: {error}"))?;
        self.unready.borrow_mut().push(member);
        let begun = Instant::now();
        let answered = self.announce(member, AnnounceEvent::Completed, until.max(begun + PATIENCE));
        let ended = Instant::now();
        let why = match answered {
            Ok(Answered::Yes { .. }) if ended - begun >= DOUBTFUL_FROM => Some(Doubtful::TookLong),
            Ok(Answered::Yes { times: 1 }) => None,
            Ok(Answered::Yes { .. }) => Some(Doubtful::WasRepeated),
            Ok(Answered::No | Answered::Refused(_)) | Err(_) => Some(Doubtful::Unanswered),
        };
        let doubt = why.map(|why| Doubt { commit, why, sent: begun, ended });
        if let Some(doubt) = doubt {
            self.doubts.note(doubt);
        }
        let mut execution = Execution { statements: 1, ..Execution::default() };
        match doubt {
            // The first request may still wait for its lock. The next completed download has to wait for that, so that they stay in
            // order, and no client does.
            Some(Doubt { why: Doubtful::WasRepeated | Doubtful::TookLong, .. }) => {
                (execution.hold_until, execution.is_doubtful) = (doubt.map(|doubt| doubt.over()), true);
            }
            Some(Doubt { why: Doubtful::Unanswered, .. }) => execution.failure = Some(OperationFailure::Other),
            None => self.session.acknowledge(),
        }
        Ok(execution)
    }
}

impl Target for Completer {
    fn execute(&self, operation: &Operation, until: Instant) -> Execution {
        let place = |torrent: &Torrent| self.swarm.place_in_role(*torrent, Role::Completing);
        let member = operation.torrents.first().map_or(0, place);
        if !self.make_ready(until) {
            return Execution { failure: Some(OperationFailure::Other), ..Execution::default() };
        }
        self.complete(member, until).unwrap_or_else(|why| Execution {
            failure: Some(OperationFailure::Other),
            fatal: Some(why),
            ..Execution::default()
        })
    }

    /// Completed downloads come one at a time: a scenario asks for nothing else of this target.
    fn execute_batch(&self, operations: &[Operation], until: Instant) -> Execution {
        let mut all = Execution::default();
        for operation in operations {
            let Execution { failure, statements, fatal, hold_until, .. } = self.execute(operation, until);
            if let Some(until) = hold_until {
                thread::sleep(until.saturating_duration_since(Instant::now()));
                self.release();
            }
            all.failure = all.failure.or(failure);
            all.fatal = all.fatal.or(fatal);
            all.statements += statements;
        }
        all
    }

    /// Only now is the write that was answered made, or given up.
    fn release(&self) {
        self.session.acknowledge();
    }

    fn idle(&self) -> IdleWork<'_> {
        // Not for longer than a request is waited for: the load may stop meanwhile.
        Box::new(|until| {
            let _ = self.make_ready(until.min(Instant::now() + RETRY));
        })
    }
}

/// What became of the writes of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writes {
    /// Every one was written, in the order in which they were sent.
    All,
    /// All but these, which were answered, or not, and never written.
    Lost(Vec<u64>),
    /// From this commit on nobody knows, and why.
    Unknown {
        /// Its number.
        from_commit: u64,
        /// In words.
        why: String,
    },
}

/// Finds out what became of the writes: `issued` of them were sent, and the sequence of `torrents` in the live database has advanced by
/// `advanced`, one for each that was written.
///
/// A write that was asked for once and answered in time was made, as far as the tracker is what it was seen to be; the live database is
/// compared with what follows from that. So only doubtful writes can be lost, and which of them were, is known where it is all or none.
#[must_use]
pub fn reconcile(issued: u64, advanced: i64, doubts: &[Doubt]) -> Writes {
    let written = u64::try_from(advanced).unwrap_or(0);
    let unanswered = doubts.iter().find(|doubt| doubt.why == Doubtful::Unanswered).map(|doubt| doubt.commit);
    let first = doubts.first().map(|doubt| doubt.commit);
    let unknown =
        |from_commit: Option<u64>, why: String| Writes::Unknown { from_commit: from_commit.unwrap_or(1), why };
    let Some(lost) = issued.checked_sub(written) else {
        return unknown(None, format!("the tracker has written {written} times, and {issued} were asked for"));
    };
    if let Some(commit) = unanswered {
        return unknown(first, format!("commit {commit} was never answered, so that it may have come after others"));
    }
    match (lost, doubts.len() as u64) {
        (0, _) => Writes::All,
        (lost, doubtful) if lost == doubtful => Writes::Lost(doubts.iter().map(|doubt| doubt.commit).collect()),
        (lost, doubtful) => {
            // Where more are missing than could be, one that was answered at once was not made, either.
            let from_commit = first.filter(|_| lost < doubtful);
            unknown(from_commit, format!("{lost} of {issued} writes are missing, and which of them is not known"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_writes_follows_from_the_sequence_or_is_not_known() {
        let now = Instant::now();
        let doubt = |why| move |commit| Doubt { commit, why, sent: now, ended: now };
        let (long, repeated, unanswered) =
            (doubt(Doubtful::TookLong), doubt(Doubtful::WasRepeated), doubt(Doubtful::Unanswered));
        let unknown = |from_commit, why: &str| (Some(from_commit), why.to_owned());
        let found = |issued, advanced, doubts: &[Doubt]| match reconcile(issued, advanced, doubts) {
            Writes::All => (None, "all".to_owned()),
            Writes::Lost(lost) => (None, format!("lost {lost:?}")),
            Writes::Unknown { from_commit, why } => (Some(from_commit), why),
        };
        assert_eq!(found(10, 10, &[]), (None, "all".to_owned()));
        assert_eq!(found(10, 10, &[long(4), repeated(6)]), (None, "all".to_owned()), "it took long, and was written");
        assert_eq!(found(10, 8, &[long(4), repeated(5)]), (None, "lost [4, 5]".to_owned()), "the repeated one, too");
        assert_eq!(found(10, 8, &[long(4), long(7)]), (None, "lost [4, 7]".to_owned()));
        let missing = "writes are missing, and which of them is not known";
        assert_eq!(found(10, 9, &[repeated(3)]), (None, "lost [3]".to_owned()));
        assert_eq!(found(10, 9, &[repeated(3), long(5)]), unknown(3, &format!("1 of 10 {missing}")));
        assert_eq!(found(10, 9, &[long(4), long(7)]), unknown(4, &format!("1 of 10 {missing}")));
        assert_eq!(found(10, 9, &[]), unknown(1, &format!("1 of 10 {missing}")));
        assert_eq!(found(10, 8, &[long(4)]), unknown(1, &format!("2 of 10 {missing}")));
        assert_eq!(found(10, 11, &[]), unknown(1, "the tracker has written 11 times, and 10 were asked for"));
        assert_eq!(found(10, 10, &[long(2), unanswered(5)]).0, Some(2));
        assert_eq!(found(10, -1, &[]).0, Some(1));
    }
}
