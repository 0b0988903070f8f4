//! The table of claims.

use super::{
    Setting, WalIs,
    measures::{self, OfCopy, OfPhase, OfTrial},
};
use crate::{
    results::{
        ClaimSource::{self, AgainstWal, BackupList, BackupTable, ForWal, PhaseOne},
        Stance::{self, Against, For},
        TrialResult,
    },
    sqlite::JournalMode::{self, Delete, Wal},
};

/// A claim, and how it is tested.
pub struct Question {
    pub claim: &'static str,
    pub source: ClaimSource,
    pub stance: Stance,
    pub how: &'static str,
    pub unit: &'static str,
    pub test: Test,
}

/// A test of a claim.
#[derive(Clone, Copy)]
pub enum Test {
    /// In pairs of trials, WAL has less of it, or more.
    Pairs {
        value: fn(&TrialResult, &Setting) -> Option<f64>,
        /// Whether it says nothing where more is offered than can be done.
        needs_headroom: bool,
        wal_is: WalIs,
    },
    /// In some trial under WAL there is more of it than the limit.
    Beyond { value: OfTrial, limit: OfTrial },
    /// While `.backup` runs, there is more of it than in the baseline.
    During { value: OfPhase },
    /// Copies of `.backup` are so.
    Copies { hit: OfCopy, modes: &'static [JournalMode], rule: Rule },
}

/// How many copies have to be as claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// All of them.
    Always,
    /// One is enough.
    Sometimes,
}

const BOTH: &[JournalMode] = &[Delete, Wal];

/// What is compared whatever is offered.
const fn pairs(value: fn(&TrialResult, &Setting) -> Option<f64>, wal_is: WalIs) -> Test {
    Test::Pairs { value, needs_headroom: false, wal_is }
}

/// What copies have always to be, under both modes.
const fn always(hit: OfCopy) -> Test {
    Test::Copies { hit, modes: BOTH, rule: Rule::Always }
}

/// Every claim, in the order of the issues.
pub const QUESTIONS: [Question; 21] = [
    Question {
        claim: "WAL has better concurrency",
        source: ForWal,
        stance: For,
        how: "how long all connections slept because the database was locked, a second of the baseline",
        unit: "ms a second",
        test: pairs(measures::lock_wait, WalIs::Less),
    },
    Question {
        claim: "WAL has faster writes",
        source: ForWal,
        stance: For,
        how: "the median service time of commits in the baseline",
        unit: "ms",
        test: pairs(measures::commit_time, WalIs::Less),
    },
    Question {
        claim: "WAL has fewer fsync calls",
        source: ForWal,
        stance: For,
        how: "syncs that SQLite asks for in the baseline, checkpoints' among them, divided by the commits",
        unit: "a commit",
        test: pairs(measures::syncs, WalIs::Less),
    },
    Question {
        claim: "WAL does not block reads",
        source: ForWal,
        stance: For,
        how: "how often a connection that only reads slept because the database was locked, in the baseline",
        unit: "waits in 1,000 scrapes",
        test: pairs(measures::reader_waits, WalIs::Less),
    },
    Question {
        claim: "WAL takes three files",
        source: AgainstWal,
        stance: Against,
        how: "files that the database consisted of at once, at the most",
        unit: "files",
        test: pairs(measures::files, WalIs::More),
    },
    Question {
        claim: "WAL needs shared memory",
        source: AgainstWal,
        stance: Against,
        how: "size of the file of the shared memory, at the most",
        unit: "KB",
        test: pairs(measures::shared_memory, WalIs::More),
    },
    Question {
        claim: "The WAL can grow large",
        source: AgainstWal,
        stance: Against,
        how: "size of the WAL (under delete, of the journal) in any trial; large is twice the length at which a commit moves it \
              into the database",
        unit: "MB",
        test: Test::Beyond { value: measures::log_size, limit: measures::large_wal },
    },
    Question {
        claim: "WAL lowers the latency",
        source: PhaseOne,
        stance: For,
        how: "the 99th percentile of the response time of announces in the baseline",
        unit: "ms",
        test: Test::Pairs { value: measures::latency, needs_headroom: true, wal_is: WalIs::Less },
    },
    Question {
        claim: "WAL raises the request rate",
        source: PhaseOne,
        stance: For,
        how: "announces and scrapes served in the baseline; where both modes serve all that is offered, they are the same",
        unit: "a second",
        test: pairs(measures::rate, WalIs::More),
    },
    Question {
        claim: "WAL lowers the time in the database",
        source: PhaseOne,
        stance: For,
        how: "the median service time of announces that only read; that of commits is above",
        unit: "ms",
        test: pairs(measures::read_time, WalIs::Less),
    },
    Question {
        claim: "WAL lowers the use of processors",
        source: PhaseOne,
        stance: For,
        how: "what programs and the kernel had of all processors' time in the baseline, the load generator's part in it",
        unit: "% of processors",
        test: pairs(measures::processors, WalIs::Less),
    },
    Question {
        claim: "WAL lowers the use of memory",
        source: PhaseOne,
        stance: For,
        how: "resident memory of the program in the baseline at the most, the load generator's part in it",
        unit: "MB",
        test: pairs(measures::memory, WalIs::Less),
    },
    Question {
        claim: "WAL lowers disk I/O",
        source: PhaseOne,
        stance: For,
        how: "what was written to block devices in the baseline, the file system's journal and the harness's ledger in it, \
              divided by the commits",
        unit: "KB a commit",
        test: pairs(measures::device_writes, WalIs::Less),
    },
    Question {
        claim: "Consistency: .backup gives a sound copy",
        source: BackupTable,
        stance: For,
        how: "integrity_check of the copies that ended well",
        unit: "% of copies",
        test: always(measures::is_sound),
    },
    Question {
        claim: "Concurrent writes: .backup works while others commit",
        source: BackupTable,
        stance: For,
        how: "of the copies during which something was committed, those that ended within their deadline and are exact",
        unit: "% of copies",
        test: always(measures::survives_commits),
    },
    Question {
        claim: "WAL support: .backup has what is in the WAL",
        source: BackupTable,
        stance: For,
        how: "of the copies under wal that ended well, those that are exact: nothing is missing that was committed before",
        unit: "% of copies",
        test: Test::Copies { hit: measures::is_exact, modes: &[Wal], rule: Rule::Always },
    },
    Question {
        claim: "Locking: .backup locks nobody out",
        source: BackupTable,
        stance: For,
        how: "of the copies that ended well and lasted at least as long as a client waits for its answer, those during which every \
              announce and scrape that was due was served in time",
        unit: "% of copies",
        test: always(measures::locks_nobody_out),
    },
    Question {
        claim: ".backup takes locks that others wait for",
        source: BackupList,
        stance: Against,
        how: "how much longer all connections slept because of locks while it ran than in the baseline of the same trial",
        unit: "ms a second",
        test: Test::During { value: measures::lock_wait_ms_per_s },
    },
    Question {
        claim: ".backup gives a consistent snapshot",
        source: BackupList,
        stance: For,
        how: "of the copies that ended well, those that are exact: a state that the database was in",
        unit: "% of copies",
        test: always(measures::is_exact),
    },
    Question {
        claim: ".backup gives a single file",
        source: BackupList,
        stance: For,
        how: "of the copies that ended well, those of which the main file is all there is",
        unit: "% of copies",
        test: always(measures::is_one_file),
    },
    Question {
        claim: ".backup begins again when somebody commits",
        source: BackupList,
        stance: Against,
        how: "of the copies during which something was committed, those that began again; by the backup API, which says so",
        unit: "% of copies",
        test: Test::Copies { hit: measures::began_again, modes: BOTH, rule: Rule::Sometimes },
    },
];
