//! The second room of a trial that drives a real tracker: the program is started on the trial's own database, or was there before,
//! and its clients are made known to it; and what became of its writes, once the load has ended.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{connect::Connections, folder::TrialFolder, snapshot_run::Advance, task_runner::Writers};
use crate::{
    copies::hash_while_copying,
    history::{Change, History as _, ledger::Ledger, ledger::LedgerFile},
    interrupt::Interrupt,
    load::{ExchangeStream, Pace, Stream},
    oracle::Claim,
    results::{LostWrite, TrackerResult},
    scenario::{RequestsPlan, TargetPlan, TrialPlan},
    sqlite,
    target::Background,
    tracker::{
        checkpoints::watch_checkpoints,
        client::{self, Caller},
        drops,
        program::{self, Tracker},
        swarm::Swarm,
        writer::{Completer, Doubt, Doubtful, Doubts, Writes, reconcile},
    },
    workload::{Mix, Workload},
};

/// How often it is looked whether the tracker still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lost writes that results name at most.
const LOST_MOST: usize = 100;

/// A tracker that answers.
pub struct Served {
    address: SocketAddr,
    /// `None` where it ran before.
    own: Option<Arc<Mutex<Tracker>>>,
    /// Its process, where that is known.
    process: Option<u32>,
    settings: BTreeMap<String, String>,
    version: Option<String>,
    program_sha256: Option<String>,
}

/// The clients of a tracker.
pub struct Clients<'a> {
    /// When requests are due.
    pub plan: &'a TrialPlan,
    /// How it is asked.
    pub requests: RequestsPlan,
    /// Where writes are recorded.
    pub ledger: &'a Arc<Ledger>,
    /// What requests are.
    pub workload: &'a Workload,
}

/// A tracker of a trial with its clients, and what is to be known of it at the end.
pub struct TrackerRoom {
    served: Served,
    doubts: Doubts,
    swarm: Arc<Swarm>,
    warming_writes: u64,
    receive_buffer_errors_before: Option<u64>,
    requests_dropped_before: Option<u64>,
}

/// Starts the tracker of a trial on its own database, or finds the one that runs already.
///
/// # Errors
/// That it cannot be started or does not answer, with its last words; what SQLite says of the database.
pub fn serve(plan: &TrialPlan, folder: &TrialFolder, interrupt: &Interrupt) -> Result<Served> {
    let (program, config) = match &plan.target {
        TargetPlan::Tracker { program, config, .. } => (program, config),
        TargetPlan::RunningTracker { address, .. } => {
            let (process, settings) = (program::owner(*address), BTreeMap::new());
            return Ok(Served { address: *address, own: None, process, settings, version: None, program_sha256: None });
        }
        TargetPlan::Sqlite => bail!("SQLite is no tracker"),
    };
    let program = program::find(program.as_deref())?;
    let live = folder.live();
    let settings = set_journal_mode(&live, plan)?;
    let tracker = Tracker::start(program::Start { program: &program, config, live: &live, folder: folder.path() })?;
    let (address, process) = (tracker.address, Some(tracker.id()));
    let hashed = hash_while_copying(&program, &mut io::sink(), false, interrupt.flag(), &mut |_| ());
    let hashed = hashed.with_context(|| format!("cannot read {}", program.display()))?;
    Ok(Served {
        address,
        own: Some(Arc::new(Mutex::new(tracker))),
        process,
        settings,
        version: program::installed_version(&program),
        program_sha256: Some(hashed.sha256.to_string()),
    })
}

/// Makes the clients of a trial known to a tracker.
///
/// # Errors
/// That it does not answer.
pub fn connect(
    served: Served,
    live: &Path,
    clients: &Clients<'_>,
    interrupt: &Interrupt,
) -> Result<(Connections<Completer>, TrackerRoom)> {
    let Clients { plan, requests, ledger, workload } = clients;
    let swarm = Arc::new(Swarm::new(workload.torrents(), requests.torrents));
    let doubts = Doubts::default();
    let caller = Caller::open(served.address, &swarm)?;
    let completer = Completer::warm(caller, ledger.session(), &swarm, &doubts, &|| interrupt.is_set())
        .context("cannot make the clients known to the tracker")?;
    let warming_writes = ledger.issued();
    let (mut streams, mut exchanges, mut completer) = (Vec::new(), Vec::new(), Some(completer));
    for stream in &plan.streams {
        // The scenario lets nobody ask for the closed loop.
        let Pace::Open(schedule) = &stream.pace else { continue };
        match (stream.kind, completer.take()) {
            // The first one: completed downloads.
            (Some(_), Some(target)) => {
                let (kind, pace) = (stream.kind, stream.pace.clone());
                streams.push(Stream { kind, pace, batch: None, targets: vec![target] });
            }
            (kind, other) => {
                completer = other;
                let (requester, listener) = client::exchange(served.address, stream.connections, &swarm)?;
                exchanges.push(ExchangeStream {
                    kind,
                    pace: schedule.clone(),
                    workload: workload.with_mix(Mix { completed_share: 0.0, ..*workload.mix() }),
                    retry: requests.retry,
                    most_waiting: most_waiting(plan),
                    requests: Box::new(requester),
                    answers: Box::new(listener),
                });
            }
        }
    }
    let receive_buffer_errors_before = drops::receive_buffer_errors(served.process);
    let requests_dropped_before = drops::at_port(served.process, served.address.port());
    let mut background: Vec<_> = served.own.iter().map(|tracker| watch(Arc::clone(tracker))).collect();
    background.extend(served.own.iter().map(|_| watch_checkpoints(live)));
    let (settings, writers) = (served.settings.clone(), Writers::default());
    let room =
        TrackerRoom { served, doubts, swarm, warming_writes, receive_buffer_errors_before, requests_dropped_before };
    Ok((Connections { streams, exchanges, background, checkpoints: None, writers, settings }, room))
}

/// Sets the journal mode, which the file carries, and says what else holds in the tracker: SQLite's own defaults.
fn set_journal_mode(live: &Path, plan: &TrialPlan) -> Result<BTreeMap<String, String>> {
    drop(sqlite::open(live, &plan.settings)?);
    let connection = rusqlite::Connection::open(live)?;
    Ok(sqlite::read_back(&connection)?)
}

/// As many requests as are sent until their clients give up.
fn most_waiting(plan: &TrialPlan) -> usize {
    let rate_ops = plan.offered_rate_ops.unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated: not negative and small")]
    let waiting = (rate_ops * plan.client_timeout.as_secs_f64() * 1.2) as usize;
    // Where the rate changes, this is of its average.
    waiting.clamp(1 << 20, 1 << 24)
}

/// Ends the load where the tracker has ended.
fn watch(tracker: Arc<Mutex<Tracker>>) -> Background {
    Box::new(move |context| {
        while !context.is_stopped() {
            let ended = lock(&tracker).ended();
            if let Some(why) = ended {
                return context.fail(format!("the tracker {why}"));
            }
            thread::sleep(LOOK_EVERY);
        }
    })
}

fn lock(tracker: &Mutex<Tracker>) -> std::sync::MutexGuard<'_, Tracker> {
    tracker.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the oracle may say of the snapshots of a trial.
#[derive(Debug, Clone)]
pub struct Obligations {
    /// Whether commits are known from what another program was asked for.
    is_inferred: bool,
    writes: Writes,
    /// Those of which it was not known at once what became of them, in the order of their commits.
    doubts: Vec<Doubt>,
}

impl Obligations {
    /// Where every commit is known by SQLite's own hook.
    pub fn none() -> Self {
        Self { is_inferred: false, writes: Writes::All, doubts: Vec::new() }
    }

    /// Whether commits are inferred, so that the live database has to bear them out before anything is judged.
    pub fn are_inferred(&self) -> bool {
        self.is_inferred
    }

    /// Times in which a write was under way, in seconds from an instant, of which it is not known when it was made, or whether.
    pub fn unclear_s(&self, start: Instant) -> Vec<(f64, f64)> {
        let is_clear = match self.writes {
            Writes::Lost(_) => true,
            Writes::All | Writes::Unknown { .. } => false,
        };
        let doubts = self.doubts.iter().filter(|_| !is_clear);
        doubts.map(|doubt| (seconds_since(start, doubt.sent), seconds_since(start, doubt.over()))).collect()
    }

    /// Times after an answer in which no other write was asked for, in seconds from an instant.
    pub fn holds_s(&self, start: Instant) -> Vec<(f64, f64)> {
        let held = self.doubts.iter().filter(|doubt| doubt.why != Doubtful::Unanswered);
        held.map(|doubt| (seconds_since(start, doubt.ended), seconds_since(start, doubt.over()))).collect()
    }

    /// Whether a commit may never have been made, and nobody knows.
    pub fn is_unknown(&self, commit: u64) -> bool {
        match self.writes {
            Writes::All | Writes::Lost(_) => false,
            Writes::Unknown { .. } => self.doubts.iter().any(|doubt| doubt.commit == commit),
        }
    }

    /// How many commits after the first number, and up to the second, were never made, as far as that is known.
    pub fn lost_between(&self, after: u64, to: u64) -> u64 {
        let Writes::Lost(lost) = &self.writes else { return 0 };
        lost.iter().filter(|commit| (after + 1..=to).contains(commit)).count() as u64
    }

    /// Whether it is known of every write what became of it.
    pub fn knows_all(&self) -> bool {
        match self.writes {
            Writes::All | Writes::Lost(_) => true,
            Writes::Unknown { .. } => false,
        }
    }

    /// The last commit that a snapshot must hold: one that was acknowledged and lost was never there.
    pub fn claim(&self, claim: Claim) -> Claim {
        let Writes::Lost(lost) = &self.writes else { return claim };
        let mut commit_at_start = claim.commit_at_start;
        while lost.contains(&commit_at_start) {
            commit_at_start -= 1;
        }
        Claim { commit_at_start, ..claim }
    }

    /// Why a snapshot is not to be judged, if it is not.
    pub fn objection(&self, claim: &Claim, advance: Advance) -> Option<String> {
        match &self.writes {
            Writes::Unknown { from_commit, why } if claim.commit_at_end >= *from_commit => {
                Some(format!("what the tracker has written is not known: {why}"))
            }
            Writes::All | Writes::Lost(_) | Writes::Unknown { .. } => {
                let is_vacuous = self.is_inferred && claim.finished && !self.has_advanced(claim, advance);
                is_vacuous.then(|| "no write was seen while it was taken, so that any copy would be exact".to_owned())
            }
        }
    }

    /// Whether a write that is beyond doubt was asked for meanwhile, or was under way all the time because the copy itself kept it waiting.
    fn has_advanced(&self, claim: &Claim, advance: Advance) -> bool {
        let Advance { issued_at_start, acknowledged_at_end } = advance;
        let is_sure = |commit: &u64| !self.doubts.iter().any(|doubt| doubt.commit == *commit);
        let is_under_way = issued_at_start == claim.commit_at_end && acknowledged_at_end < claim.commit_at_end;
        (issued_at_start + 1..=claim.commit_at_end).any(|commit| is_sure(&commit))
            || (is_under_way && is_sure(&claim.commit_at_end))
    }
}

/// 0 before it.
fn seconds_since(start: Instant, instant: Instant) -> f64 {
    instant.saturating_duration_since(start).as_secs_f64()
}

impl TrackerRoom {
    /// Ends the tracker, finds out what became of the writes, and marks those that were lost in the ledger.
    ///
    /// # Errors
    /// As the operating system says, and what SQLite says of the live database.
    pub fn finish(self, live: &Path, sequence_at_start: i64, ledger: &Ledger) -> Result<(TrackerResult, Obligations)> {
        let Served { own, process, .. } = &self.served;
        let since = |(now, before): (u64, u64)| now.saturating_sub(before);
        let receive_buffer_errors =
            drops::receive_buffer_errors(*process).zip(self.receive_buffer_errors_before).map(since);
        let dropped = drops::at_port(*process, self.served.address.port());
        let requests_dropped = dropped.zip(self.requests_dropped_before).map(since);
        let receive_buffer_errors_are_its_own = drops::has_own_namespace(*process);
        let mut stopped = None;
        if let Some(tracker) = own {
            stopped = Some(lock(tracker).stop().context("cannot end the tracker")?);
        }
        let (issued, doubts) = (ledger.issued(), self.doubts.all());
        let advanced = match own {
            Some(_) => Some(sqlite::sequence(live, "torrents")? - sequence_at_start),
            None => None,
        };
        let writes = match advanced {
            Some(advanced) => reconcile(issued, advanced, &doubts),
            None => Writes::Unknown { from_commit: 0, why: "its database is somebody else's".to_owned() },
        };
        let (lost_writes, unknown) = match &writes {
            Writes::All => (Some(0), None),
            Writes::Lost(commits) => (Some(commits.len() as u64), None),
            Writes::Unknown { why, .. } => (None, Some(why.clone())),
        };
        let result = TrackerResult {
            version: self.served.version.clone(),
            program_sha256: self.served.program_sha256.clone(),
            torrents: self.swarm.count() as u64,
            warming_writes: self.warming_writes,
            writes_asked_for: issued - self.warming_writes,
            sequence_advanced_by: advanced,
            doubtful_writes: doubts.len() as u64,
            lost_writes,
            lost: self.mark_lost(&writes, ledger)?,
            unknown,
            receive_buffer_errors,
            receive_buffer_errors_are_its_own,
            requests_dropped,
            writes_withheld: None,
            aborted_requests: stopped.map_or(0, |stopped| stopped.aborted_requests),
            was_killed: stopped.is_some_and(|stopped| stopped.was_killed),
        };
        Ok((result, Obligations { is_inferred: true, writes, doubts }))
    }

    /// Marks the writes that were lost in the ledger, and names the first of them.
    fn mark_lost(&self, writes: &Writes, ledger: &Ledger) -> Result<Vec<LostWrite>> {
        let Writes::Lost(commits) = writes else { return Ok(Vec::new()) };
        let mut lost = Vec::new();
        // Before they are marked: what is void has no changes any more.
        LedgerFile::open(ledger.path())?.visit(&mut |commit| {
            if lost.len() < LOST_MOST && commits.contains(&commit.number) {
                for change in &commit.changes {
                    if let Change::StoreCount(torrent, count) = *change {
                        let info_hash = self.swarm.name_of(torrent);
                        lost.push(LostWrite { commit: commit.number, info_hash, count });
                    }
                }
            }
            Ok(())
        })?;
        for commit in commits {
            ledger.void(*commit).context("cannot write the ledger")?;
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrents::Portion;

    #[test]
    fn a_copy_is_judged_only_where_writes_came_and_all_of_them_are_known() {
        let claim = |commit_at_start, commit_at_end| Claim {
            portion: Portion::Whole,
            finished: true,
            commit_at_start,
            commit_at_end,
            ended_us: 0,
        };
        let sent = Instant::now();
        let doubt = |commit: &u64| Doubt { commit: *commit, why: Doubtful::WasRepeated, sent, ended: sent };
        let of = |writes, doubtful: &[u64]| {
            let doubts = doubtful.iter().map(doubt).collect();
            Obligations { is_inferred: true, writes, doubts }
        };
        let unknown = || Writes::Unknown { from_commit: 50, why: "it was so".to_owned() };
        let advance = |issued_at_start, acknowledged_at_end| Advance { issued_at_start, acknowledged_at_end };
        for (name, obligations, claim, advance, is_objected) in [
            ("writes came", of(Writes::All, &[]), claim(10, 20), advance(11, 19), false),
            ("none came", of(Writes::All, &[]), claim(10, 10), advance(10, 10), true),
            (
                "one was under way at the beginning and ended",
                of(Writes::All, &[]),
                claim(10, 11),
                advance(11, 11),
                true,
            ),
            ("one waited all the time", of(Writes::All, &[]), claim(10, 11), advance(11, 10), false),
            ("one whose packet may have been lost", of(Writes::All, &[11]), claim(10, 11), advance(11, 10), true),
            ("the only one is doubtful", of(Writes::All, &[12]), claim(11, 12), advance(11, 12), true),
            ("another one is beyond doubt", of(Writes::Lost(vec![12]), &[12]), claim(11, 13), advance(11, 13), false),
            ("before it is unknown", of(unknown(), &[]), claim(10, 49), advance(10, 49), false),
            ("since it is unknown", of(unknown(), &[]), claim(10, 50), advance(10, 50), true),
            ("there is a hook", Obligations::none(), claim(10, 10), advance(10, 10), false),
            (
                "it did not end",
                of(Writes::All, &[]),
                Claim { finished: false, ..claim(10, 10) },
                advance(10, 10),
                false,
            ),
        ] {
            assert_eq!(obligations.objection(&claim, advance).is_some(), is_objected, "{name}");
        }
        let lost = of(Writes::Lost(vec![4, 7, 8]), &[4, 7, 8]);
        assert_eq!([(3, 8), (4, 8), (8, 20)].map(|(after, to)| lost.lost_between(after, to)), [3, 2, 0]);
        let of_all = of(Writes::All, &[4]);
        for (obligations, unclear, holds) in
            [(&lost, 0, 3), (&of_all, 1, 1), (&of(unknown(), &[60]), 1, 1), (&Obligations::none(), 0, 0)]
        {
            let found = (obligations.unclear_s(sent).len(), obligations.holds_s(sent).len());
            assert_eq!(found, (unclear, holds), "{obligations:?}");
        }
        let (from_s, to_s) = of_all.holds_s(sent)[0];
        assert!(from_s == 0.0 && (to_s - 5.5).abs() < 1e-9, "{from_s} to {to_s}");
        assert!(of(unknown(), &[60]).is_unknown(60) && !of(unknown(), &[60]).is_unknown(61) && !of_all.is_unknown(4));
        for (start, expected) in [(3, 3), (4, 3), (6, 6), (8, 6), (9, 9)] {
            assert_eq!(lost.claim(claim(start, 20)).commit_at_start, expected, "{start}");
        }
    }
}
