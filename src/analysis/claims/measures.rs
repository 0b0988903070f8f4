//! The figures that claims are about: of a trial, of a phase, of a copy. `None` where the results do not say.

use super::Setting;
use crate::{
    measure::{IoRole, OperationKind},
    results::{Figure, IoResult, MachineUse, PhaseName, PhaseResult, SnapshotResult, TrialResult},
    snapshot::Strategy,
};

/// A figure of a trial.
pub type OfTrial = fn(&TrialResult) -> Option<f64>;

/// A figure of a phase.
pub type OfPhase = fn(&PhaseResult) -> Option<f64>;

/// Whether a copy is as claimed; `None` where it is none that the claim is about.
pub type OfCopy = fn(&Copy<'_>) -> Option<bool>;

/// A copy, and the phase in which it was made.
pub struct Copy<'a> {
    /// The copy.
    pub snapshot: &'a SnapshotResult,
    /// Its phase, where it has one.
    phase: Option<&'a PhaseResult>,
    /// How long a client waits for its answer, in seconds.
    timeout_s: f64,
}

/// Bytes of a page, where the results do not say.
const PAGE_BYTES: f64 = 4096.0;

/// How often a WAL may be as long as a commit lets it become before it moves it: what is twice as long was held by somebody.
const LARGE_TIMES: f64 = 2.0;

/// Whether a strategy is `.backup`: by the `sqlite3` program, or by this one in the same steps.
pub fn is_dot_backup(strategy: Strategy) -> bool {
    matches!(strategy, Strategy::CliBackup | Strategy::Backup)
}

/// The copies of `.backup` in a trial.
pub fn copies<'a>(trial: &'a TrialResult, setting: &Setting) -> impl Iterator<Item = Copy<'a>> {
    let timeout_s = setting.timeout_us as f64 / 1e6;
    let mut phases = trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot);
    let copies = trial.snapshots.iter().filter(|_| is_dot_backup(trial.strategy));
    copies.map(move |snapshot| Copy { snapshot, phase: phases.next(), timeout_s })
}

impl Copy<'_> {
    /// Whether it ended in time and said that all is well.
    fn has_ended(&self) -> bool {
        self.snapshot.run.exit_status == Some(0) && self.snapshot.run.error.is_none()
    }

    /// The same of one during which something was committed.
    fn among_commits(&self) -> bool {
        self.snapshot.commits_meanwhile() > 0
    }
}

/// Of those that ended: whether SQLite finds nothing wrong with it.
pub fn is_sound(copy: &Copy<'_>) -> Option<bool> {
    let found = copy.snapshot.ruling.integrity_check.as_ref()?;
    copy.has_ended().then(|| found == "ok")
}

/// Of those that ended: whether the database was ever in this state, and no earlier than when the copy began.
pub fn is_exact(copy: &Copy<'_>) -> Option<bool> {
    copy.snapshot.ruling.verdict?;
    copy.has_ended().then(|| copy.snapshot.is_exact())
}

/// Of those during which something was committed: whether it ended in time, and is exact.
pub fn survives_commits(copy: &Copy<'_>) -> Option<bool> {
    copy.snapshot.ruling.verdict?;
    copy.among_commits().then(|| copy.has_ended() && copy.snapshot.is_exact())
}

/// Of those that ended: whether its main file is all there is to it.
pub fn is_one_file(copy: &Copy<'_>) -> Option<bool> {
    let stands_alone = copy.snapshot.copy.stands_alone.found().copied()?;
    copy.has_ended().then_some(stands_alone)
}

/// Of those during which something was committed, and that say it: whether it began again.
pub fn began_again(copy: &Copy<'_>) -> Option<bool> {
    let restarts = copy.snapshot.progress.restarts?;
    copy.among_commits().then_some(restarts > 0)
}

/// Of those that ended, and lasted long enough for a client to give up: whether everything that was due meanwhile was served in time.
/// A shorter one could lock everybody out, and nobody would give up.
pub fn locks_nobody_out(copy: &Copy<'_>) -> Option<bool> {
    let counts = copy.phase?.counts();
    let is_long = copy.snapshot.run.duration_s >= copy.timeout_s;
    (copy.has_ended() && is_long && counts.due() > 0).then(|| counts.served == counts.due())
}

fn io(trial: &TrialResult) -> Option<(&PhaseResult, &IoResult)> {
    let phase = trial.phase(PhaseName::Baseline)?;
    Some((phase, phase.io.as_ref()?))
}

/// Milliseconds that connections slept because of locks, for each second of a phase.
pub fn lock_wait_ms_per_s(phase: &PhaseResult) -> Option<f64> {
    let io = phase.io.as_ref()?;
    (phase.duration_s > 0.0).then(|| io.lock_wait_s() * 1_000.0 / phase.duration_s)
}

/// The same of the baseline.
pub fn lock_wait(trial: &TrialResult, _: &Setting) -> Option<f64> {
    lock_wait_ms_per_s(trial.phase(PhaseName::Baseline)?)
}

/// By how much a figure is larger in the snapshot phases of a trial than in its baseline: the mean, by their lengths.
pub fn beyond_baseline(trial: &TrialResult, value: OfPhase) -> Option<f64> {
    let baseline = value(trial.phase(PhaseName::Baseline)?)?;
    let phases = trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot);
    let sums = phases.filter_map(|phase| Some((phase.duration_s, phase.duration_s * value(phase)?)));
    let (length_s, sum) = sums.fold((0.0, 0.0), |(length_s, sum), (own_s, own)| (length_s + own_s, sum + own));
    (length_s > 0.0).then(|| sum / length_s - baseline)
}

/// The median of the service time of commits, in milliseconds.
pub fn commit_time(trial: &TrialResult, setting: &Setting) -> Option<f64> {
    time_ms(trial, OperationKind::Commit, Figure::ServiceP50, setting)
}

/// The median of the service time of announces that only read, in milliseconds.
pub fn read_time(trial: &TrialResult, setting: &Setting) -> Option<f64> {
    time_ms(trial, OperationKind::Read, Figure::ServiceP50, setting)
}

/// The 99th percentile of the response time of announces, in milliseconds.
pub fn latency(trial: &TrialResult, setting: &Setting) -> Option<f64> {
    time_ms(trial, OperationKind::Announce, Figure::ResponseP99, setting)
}

fn time_ms(trial: &TrialResult, kind: OperationKind, figure: Figure, setting: &Setting) -> Option<f64> {
    let operation = trial.phase(PhaseName::Baseline)?.operation(kind)?;
    Some(figure.value_us(operation, setting.timeout_us)?.max(1) as f64 / 1_000.0)
}

/// Syncs for each commit.
pub fn syncs(trial: &TrialResult, _: &Setting) -> Option<f64> {
    io(trial)?.1.syncs_per_commit
}

/// Waits for locks of the connections that only read, for each thousand requests that they answered.
pub fn reader_waits(trial: &TrialResult, _: &Setting) -> Option<f64> {
    let (phase, io) = io(trial)?;
    let reads = |file: &crate::results::FileIo| file.role == IoRole::Scrapes && file.counts.reads > 0;
    let served = phase.operation(OperationKind::Scrape)?.counts.served;
    let waits = io.lock_waits.iter().filter(|waits| waits.role == IoRole::Scrapes).map(|waits| waits.count);
    let waits = waits.fold(0, u64::saturating_add);
    (served > 0 && io.roles.iter().any(reads)).then(|| waits as f64 * 1_000.0 / served as f64)
}

/// Files that the database consisted of at most.
pub fn files(trial: &TrialResult, _: &Setting) -> Option<f64> {
    Some(trial.disk_use?.files_max as f64)
}

/// Shared memory, in kilobytes.
pub fn shared_memory(trial: &TrialResult, _: &Setting) -> Option<f64> {
    Some(trial.disk_use?.shm_bytes_max as f64 / 1_000.0)
}

/// The journal or the WAL at its largest, in megabytes.
pub fn log_size(trial: &TrialResult) -> Option<f64> {
    let disk_use = trial.disk_use?;
    let bytes = if trial.journal_mode.has_wal() { trial.wal_bytes_max } else { disk_use.journal_bytes_max };
    Some(bytes as f64 / 1e6)
}

/// Beyond which a WAL is large: twice the length at which a commit moves it into the database. `None` where no commit does.
pub fn large_wal(trial: &TrialResult) -> Option<f64> {
    let number = |pragma: &str| trial.settings.get(pragma)?.parse::<f64>().ok();
    let pages = number("wal_autocheckpoint").filter(|pages| *pages > 0.0)?;
    Some(LARGE_TIMES * pages * number("page_size").unwrap_or(PAGE_BYTES) / 1e6)
}

/// Requests that were served, a second.
pub fn rate(trial: &TrialResult, _: &Setting) -> Option<f64> {
    Some(trial.phase(PhaseName::Baseline)?.achieved_rate_ops)
}

/// What all programs and the kernel had of the processors' time in the baseline, in per cent.
pub fn processors(trial: &TrialResult, _: &Setting) -> Option<f64> {
    let seconds = machine(trial)?;
    let used = |machine: &MachineUse| Some(machine.user_share? + machine.system_share?);
    let sums = seconds.iter().filter_map(|(length_s, machine)| Some((length_s, length_s * used(machine)?)));
    let (length_s, sum) = sums.fold((0.0, 0.0), |(length_s, sum), (own_s, own)| (length_s + own_s, sum + own));
    (length_s > 0.0).then(|| 100.0 * sum / length_s)
}

/// The most memory that this program had in the baseline, in megabytes.
pub fn memory(trial: &TrialResult, _: &Setting) -> Option<f64> {
    let resident = machine(trial)?.iter().filter_map(|(_, machine)| machine.resident_bytes_max).max()?;
    Some(resident as f64 / 1e6)
}

/// Bytes that reached block devices for each commit, in kilobytes.
pub fn device_writes(trial: &TrialResult, _: &Setting) -> Option<f64> {
    Some(io(trial)?.1.device?.written_bytes_per_commit? / 1_000.0)
}

/// What the machine did in the points of the series that lie wholly in the baseline, and how long each is.
fn machine(trial: &TrialResult) -> Option<Vec<(f64, &MachineUse)>> {
    let baseline = trial.phase(PhaseName::Baseline)?;
    let (from_s, to_s) = (baseline.started_s, baseline.started_s + baseline.duration_s);
    let within = |from: u64, length: u64| from as f64 >= from_s && (from + length) as f64 <= to_s;
    let points = trial.series.iter().filter(|point| within(point.t_s, point.duration_s));
    Some(points.filter_map(|point| Some((point.duration_s as f64, point.machine.as_ref()?))).collect())
}
