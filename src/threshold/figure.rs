//! The figures that an expression may name, and their names: words with a dot between each two.
//!
//! ```text
//! MODE[.PHASE].KIND.TIME.PERCENTILE    of a trial, as MODE[.PHASE].commits_per_s and the like
//! snapshot.STRATEGY.MODE.FIGURE        of the snapshots of a strategy under a journal mode
//! silent_failures                      of the whole run, and the like
//! ```
//!
//! What may stand at a place follows from the words before it and from what the scenario runs.

use clap::ValueEnum;
use serde::{
    Deserialize as _,
    de::{
        IntoDeserializer as _,
        value::{Error as ValueError, StrDeserializer},
    },
};

use crate::{
    measure::{OperationKind, Percentile},
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// The word that figures of snapshots begin with.
const SNAPSHOT: &str = "snapshot";

/// How like a word another must be to be meant, from 0 to 1.
const LIKE_LEAST: f64 = 0.6;

/// What a scenario runs, and so what may be named.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Its journal modes.
    pub journal_modes: &'a [JournalMode],
    /// Its strategies.
    pub strategies: &'a [Strategy],
}

/// A figure that an expression names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// What was measured in a phase of a trial. Phases of one name are taken together.
    Trial {
        /// The journal mode of the trial.
        journal_mode: JournalMode,
        /// The phase.
        phase: Phase,
        /// What of it.
        figure: Measured,
    },
    /// What the snapshots of a strategy came to.
    Snapshots {
        /// The strategy.
        strategy: Strategy,
        /// The journal mode that they were taken under.
        journal_mode: JournalMode,
        /// What of them.
        figure: SnapshotFigure,
    },
    /// What the whole run came to.
    Run(RunFigure),
}

/// A phase of a trial that figures are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Phase {
    /// No snapshot is running.
    Baseline,
    /// A snapshot is running.
    Snapshot,
    /// After a snapshot.
    Recovery,
}

/// What is measured of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// A percentile of a time, in microseconds.
    Time {
        /// Of these operations.
        kind: OperationKind,
        /// From when on.
        time: Time,
        /// Which percentile.
        percentile: Percentile,
    },
    /// Something else.
    Plain(PlainFigure),
}

/// When a time begins that ends with the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Time {
    /// When the operation was due.
    Response,
    /// When a worker began it.
    Service,
}

/// What is measured of a phase beside percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum PlainFigure {
    /// Write transactions that were committed, a second.
    CommitsPerS,
    /// Operations that were served, a second.
    OperationsPerS,
    /// The longest time in which a write was due or waiting and none committed, in seconds.
    StalledS,
    /// The part of the operations due that were not served in time, from 0 to 1.
    NotServedShare,
}

/// What snapshots come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SnapshotFigure {
    /// The part that is exact of those that were judged, from 0 to 1.
    ExactShare,
    /// The longest time that taking one took, in seconds.
    DurationS,
    /// The longest time that the sync of one took, in seconds.
    SyncS,
    /// The largest size of what one left, in bytes.
    SizeBytes,
    /// How many were not finished.
    Unfinished,
}

/// What a whole run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RunFigure {
    /// Snapshots that were said to be good, pass SQLite's own check, and are not exact.
    SilentFailures,
    /// Writes that were given up although the client was answered as if all were well.
    LostWrites,
    /// Judged snapshots that are not exact.
    NotExact,
    /// Trials that failed.
    FailedTrials,
    /// Snapshots that could not be judged.
    UnjudgedSnapshots,
}

/// Why a name is that of no figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Where in the name, in bytes.
    pub at: usize,
    /// What is wrong with it, and what may stand there.
    pub problem: String,
}

/// The words of a name that were not looked at yet.
struct Words<'a> {
    name: &'a str,
    at: usize,
    scope: Scope<'a>,
}

/// Words that may stand at a place, and what each means.
type Choices<T> = Vec<(String, T)>;

/// The figure of a name.
///
/// # Errors
/// The first word that may not stand where it does, and which may.
pub fn find(name: &str, scope: Scope<'_>) -> Result<Figure, Unknown> {
    enum First {
        Mode(JournalMode),
        Snapshots,
        Run(RunFigure),
    }

    let mut words = Words { name, at: 0, scope };
    let mut first: Choices<First> = each(words.modes(), First::Mode);
    if scope.takes_snapshots() {
        first.push((SNAPSHOT.to_owned(), First::Snapshots));
    }
    first.extend(each(all(), First::Run));
    let figure = match words.choose(first)? {
        First::Mode(mode) => of_trial(&mut words, mode)?,
        First::Snapshots => {
            let strategy = words.choose(words.strategies())?;
            let journal_mode = words.choose(words.modes())?;
            Figure::Snapshots { strategy, journal_mode, figure: words.choose(all())? }
        }
        First::Run(figure) => Figure::Run(figure),
    };
    words.end()?;
    Ok(figure)
}

fn of_trial(words: &mut Words<'_>, journal_mode: JournalMode) -> Result<Figure, Unknown> {
    #[derive(Clone, Copy)]
    enum Of {
        Kind(OperationKind),
        Plain(PlainFigure),
    }
    enum Next {
        Phase(Phase),
        Of(Of),
    }

    let kinds = OperationKind::ALL.map(|kind| (kind.to_string(), Of::Kind(kind)));
    let of: Choices<Of> = kinds.into_iter().chain(each(all(), Of::Plain)).collect();
    let mut next = each(of.clone(), Next::Of);
    let is_run = |phase: Phase| match phase {
        Phase::Baseline | Phase::Recovery => true,
        Phase::Snapshot => words.scope.takes_snapshots(),
    };
    next.extend(each(all().into_iter().filter(|(_, phase)| is_run(*phase)).collect(), Next::Phase));
    let (phase, of) = match words.choose(next)? {
        Next::Phase(phase) => (phase, words.choose(of)?),
        Next::Of(of) => (Phase::Baseline, of),
    };
    let figure = match of {
        Of::Kind(kind) => Measured::Time { kind, time: words.choose(all())?, percentile: words.choose(all())? },
        Of::Plain(figure) => Measured::Plain(figure),
    };
    Ok(Figure::Trial { journal_mode, phase, figure })
}

/// Every word of a closed set.
fn all<T: ValueEnum>() -> Choices<T> {
    let word = |value: &T| Some((value.to_possible_value()?.get_name().to_owned(), value.clone()));
    T::value_variants().iter().filter_map(word).collect()
}

/// The same words, with another meaning.
fn each<T, U>(choices: Choices<T>, meaning: impl Fn(T) -> U) -> Choices<U> {
    choices.into_iter().map(|(word, value)| (word, meaning(value))).collect()
}

impl Scope<'_> {
    fn takes_snapshots(self) -> bool {
        self.strategies.iter().any(|strategy| strategy.definition().takes_snapshots)
    }
}

impl Words<'_> {
    fn modes(&self) -> Choices<JournalMode> {
        self.scope.journal_modes.iter().map(|mode| (mode.to_string(), *mode)).collect()
    }

    fn strategies(&self) -> Choices<Strategy> {
        let takes_some = self.scope.strategies.iter().filter(|strategy| strategy.definition().takes_snapshots);
        takes_some.map(|strategy| (strategy.to_string(), *strategy)).collect()
    }

    /// The next word, where there is one, and where it begins.
    fn next(&mut self) -> Option<(usize, &str)> {
        let rest = self.name.get(self.at..)?;
        let (at, word) = (self.at, rest.split('.').next()?);
        // Beyond the dot, or beyond the end, where nothing is got any more.
        self.at += word.len() + 1;
        Some((at, word))
    }

    /// What the next word means among these.
    fn choose<T>(&mut self, choices: Choices<T>) -> Result<T, Unknown> {
        let (length, scope) = (self.name.len(), self.scope);
        let (at, word) = match self.next() {
            Some((at, word)) => (at, word.to_owned()),
            None => (length, String::new()),
        };
        let words: Vec<String> = choices.iter().map(|(word, _)| word.clone()).collect();
        let found = choices.into_iter().find(|(choice, _)| *choice == word);
        found.map(|(_, value)| value).ok_or_else(|| Unknown { at, problem: problem(&word, words, scope) })
    }

    /// That no word is left.
    fn end(mut self) -> Result<(), Unknown> {
        match self.next() {
            None => Ok(()),
            Some((at, word)) => Err(Unknown { at, problem: format!("`{word}`: the name of the figure has ended") }),
        }
    }
}

/// What is wrong with a word that is none of these.
fn problem(word: &str, mut choices: Vec<String>, scope: Scope<'_>) -> String {
    let likeness = |choice: &str| strsim::normalized_damerau_levenshtein(word, choice);
    choices.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)));
    let nearest = choices.first().filter(|nearest| likeness(nearest) >= LIKE_LEAST);
    let wrong = match (not_run(word, scope), nearest) {
        _ if word.is_empty() => "a word is missing.".to_owned(),
        (Some(why), _) => format!("`{word}`: {why}."),
        (None, _) if word.contains('-') && word.contains('_') => {
            format!("`{word}` is unknown here; a minus between two figures has a space before it.")
        }
        (None, Some(nearest)) => format!("`{word}` is unknown here, did you mean `{nearest}`?"),
        (None, None) => format!("`{word}` is unknown here."),
    };
    format!("{wrong} Expected one of {}", choices.join(", "))
}

/// Why there are no figures of a journal mode or a strategy of this name.
fn not_run(word: &str, scope: Scope<'_>) -> Option<&'static str> {
    let deserializer: StrDeserializer<'_, ValueError> = word.into_deserializer();
    if let Some(strategy) = Strategy::all().iter().find(|strategy| strategy.to_string() == word) {
        return match (strategy.definition().takes_snapshots, scope.strategies.contains(strategy)) {
            (false, _) => Some("it takes no snapshots"),
            (true, false) => Some("no trial of the scenario runs this strategy"),
            (true, true) => None,
        };
    }
    let mode = JournalMode::deserialize(deserializer).ok()?;
    (!scope.journal_modes.contains(&mode)).then_some("no trial of the scenario runs under this journal mode")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [JournalMode; 2] = [JournalMode::Delete, JournalMode::Wal];
    const SCOPE: Scope<'_> =
        Scope { journal_modes: &MODES, strategies: &[Strategy::None, Strategy::Cp, Strategy::HeldCopy] };

    #[test]
    fn each_name_is_a_figure() {
        let time = |kind, time, percentile| Measured::Time { kind, time, percentile };
        let trial = |journal_mode, phase, figure| Figure::Trial { journal_mode, phase, figure };
        let snapshots = |strategy, journal_mode, figure| Figure::Snapshots { strategy, journal_mode, figure };
        let plain = |phase, figure| trial(JournalMode::Wal, phase, Measured::Plain(figure));
        let p99 = time(OperationKind::Commit, Time::Service, Percentile::P99);
        let p999 = time(OperationKind::Scrape, Time::Response, Percentile::P999);
        let max = time(OperationKind::Read, Time::Response, Percentile::Max);
        for (name, figure) in [
            ("wal.commit.service.p99_us", trial(JournalMode::Wal, Phase::Baseline, p99)),
            ("wal.baseline.commit.service.p99_us", trial(JournalMode::Wal, Phase::Baseline, p99)),
            ("delete.snapshot.scrape.response.p999_us", trial(JournalMode::Delete, Phase::Snapshot, p999)),
            ("delete.recovery.read.response.max_us", trial(JournalMode::Delete, Phase::Recovery, max)),
            ("wal.commits_per_s", plain(Phase::Baseline, PlainFigure::CommitsPerS)),
            ("wal.operations_per_s", plain(Phase::Baseline, PlainFigure::OperationsPerS)),
            ("wal.stalled_s", plain(Phase::Baseline, PlainFigure::StalledS)),
            ("wal.snapshot.stalled_s", plain(Phase::Snapshot, PlainFigure::StalledS)),
            ("wal.not_served_share", plain(Phase::Baseline, PlainFigure::NotServedShare)),
            (
                "snapshot.held-copy.wal.exact_share",
                snapshots(Strategy::HeldCopy, JournalMode::Wal, SnapshotFigure::ExactShare),
            ),
            ("snapshot.cp.delete.size_bytes", snapshots(Strategy::Cp, JournalMode::Delete, SnapshotFigure::SizeBytes)),
            ("snapshot.cp.wal.duration_s", snapshots(Strategy::Cp, JournalMode::Wal, SnapshotFigure::DurationS)),
            ("snapshot.cp.wal.sync_s", snapshots(Strategy::Cp, JournalMode::Wal, SnapshotFigure::SyncS)),
            ("snapshot.cp.wal.unfinished", snapshots(Strategy::Cp, JournalMode::Wal, SnapshotFigure::Unfinished)),
            ("silent_failures", Figure::Run(RunFigure::SilentFailures)),
            ("lost_writes", Figure::Run(RunFigure::LostWrites)),
            ("not_exact", Figure::Run(RunFigure::NotExact)),
            ("failed_trials", Figure::Run(RunFigure::FailedTrials)),
            ("unjudged_snapshots", Figure::Run(RunFigure::UnjudgedSnapshots)),
        ] {
            assert_eq!(find(name, SCOPE), Ok(figure), "{name}");
        }
    }

    #[test]
    fn an_unknown_word_is_named_with_what_may_stand_in_its_place() {
        for (name, at, words) in [
            ("wall.commit.service.p99_us", 0, "`wall` is unknown here, did you mean `wal`? Expected one of wal, "),
            (
                "truncate.commits_per_s",
                0,
                "`truncate`: no trial of the scenario runs under this journal mode. Expected",
            ),
            ("wal.comit.service.p99_us", 4, "`comit` is unknown here, did you mean `commit`? Expected one of commit, "),
            ("wal.warmup.commits_per_s", 4, "`warmup` is unknown here. Expected one of "),
            ("wal.snapshot.snapshot", 13, "`snapshot` is unknown here. Expected one of "),
            ("wal.commit.p99_us", 11, "`p99_us` is unknown here. Expected one of "),
            ("wal.commit.service.p95_us", 19, "did you mean `p90_us`? Expected one of p90_us, p99_us, "),
            ("wal.commit", 10, "a word is missing. Expected one of response, service"),
            ("wal.commit.", 11, "a word is missing. Expected one of response, service"),
            ("wal..service.p99_us", 4, "a word is missing. Expected one of announce, scrape, commit, read,"),
            ("wal.commits_per_s.p99_us", 18, "`p99_us`: the name of the figure has ended"),
            ("silent_failures.", 16, "``: the name of the figure has ended"),
            ("snapshot.vacuum-into.wal.exact_share", 9, "`vacuum-into`: no trial of the scenario runs this strategy. "),
            ("snapshot.none.wal.exact_share", 9, "`none`: it takes no snapshots. Expected one of "),
            (
                "snapshot.scp.wal.exact_share",
                9,
                "`scp` is unknown here, did you mean `cp`? Expected one of cp, held-copy",
            ),
            ("snapshot.cp.exact_share", 12, "`exact_share` is unknown here. Expected one of "),
            ("snapshot.cp.wal.exact", 16, "`exact` is unknown here. Expected one of exact_share, "),
            (
                "lost_writes-not_exact",
                0,
                "is unknown here; a minus between two figures has a space before it. Expected one of",
            ),
        ] {
            let unknown = find(name, SCOPE).unwrap_err();
            assert!(unknown.problem.contains(words), "{name}: {}", unknown.problem);
            assert_eq!(unknown.at, at, "{name}: {}", unknown.problem);
        }
        let without = Scope { strategies: &[Strategy::None], ..SCOPE };
        for name in ["snapshot.cp.wal.exact_share", "wal.snapshot.commits_per_s"] {
            assert!(find(name, without).is_err(), "{name}: no snapshot is taken");
        }
    }

    #[test]
    fn all_that_may_stand_first_is_listed() {
        let unknown = find("x", SCOPE).unwrap_err().problem;
        for word in ["delete", "wal", "snapshot", "silent_failures", "lost_writes", "not_exact", "failed_trials"] {
            assert!(unknown.contains(word), "{word} in {unknown}");
        }
    }
}
