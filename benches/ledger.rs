//! `ledger/<synchronous>/<clock>/<way>`: how many times as long a commit takes with its record as without one, in WAL; and
//! `ledger-alone/<way>`: an empty transaction in memory with its record and without one.
//!
//! `mapped` is the ledger as trials have it. `write` is what it does not do: one `pwrite` of 32 bytes a commit, from a commit
//! hook that does nothing else. `nothing` records nothing, so what it shows beside 1 is noise.
//!
//! One connection commits 330 times without, twice 330 times with, and 330 times without a record, each with a checkpoint at
//! the end, as SQLite's default has it, and so on in turn. The fastest 330 of either are compared, which other programs and the
//! disk disturbed least; that ratio is one sample. `--measurement-time 60` makes the samples longer.
//!
//! `elapsed` is the time that a client would wait, for a machine that is quiet. `processor` is the processor time of the
//! thread, in which another program and the disk are not: more than `elapsed` would show, for waiting costs none.
//!
//! It cannot show what a ledger costs that waits, for there is one connection.

mod common;

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use journalbench::{
    history::{
        Change,
        ledger::{Ledger, Session},
    },
    sqlite::{self, JournalMode, Settings, Synchronous},
    torrents::Torrent,
};
use rusqlite::Connection;
use rustix::time::ClockId;

use common::{
    Site,
    committer::Committer,
    ratio::{Ratio, seconds},
    settings,
};

/// Commits to a checkpoint, as with 1,000 pages of the WAL.
const BLOCK: usize = 330;

/// How commits are recorded.
enum Way {
    Nothing,
    Write(Arc<(File, AtomicU64)>),
    Mapped(Arc<Ledger>),
}

impl Way {
    /// All of them by their names, with files in the folder of a bench.
    fn all(site: &Site, bench: &str) -> [(&'static str, Self); 3] {
        let path = |name: &str| -> PathBuf { site.path().join(format!("{bench}-{name}").replace('/', "-")) };
        let file = File::create_new(path("write")).expect("the folder is writable");
        let ledger = Ledger::create(&path("mapped")).expect("the folder is writable");
        [
            ("nothing", Self::Nothing),
            ("write", Self::Write(Arc::new((file, AtomicU64::new(0))))),
            ("mapped", Self::Mapped(ledger)),
        ]
    }

    /// Has every commit of a connection recorded, until it is told otherwise.
    fn attach(&self, connection: &mut Connection) -> Option<Session> {
        let session = match self {
            Self::Nothing => connection.commit_hook(None::<fn() -> bool>).map(|()| None),
            Self::Write(written) => {
                let written = Arc::clone(written);
                let hook = move || {
                    let (file, place) = &*written;
                    file.write_all_at(&[1; 32], place.fetch_add(32, Ordering::Relaxed)).is_err()
                };
                connection.commit_hook(Some(hook)).map(|()| None)
            }
            Self::Mapped(ledger) => ledger.attach(connection).map(Some),
        };
        session.expect("a hook can be set")
    }
}

/// A database of its own, and a connection to it that checkpoints when it is told to.
fn committer(site: &Site, name: &str, synchronous: Synchronous) -> Committer {
    let settings = Settings { wal_autocheckpoint_pages: 0, ..settings(JournalMode::Wal, synchronous) };
    let path = site.copy(&format!("{name}.db").replace('/', "-"));
    Committer::new(sqlite::open(&path, &settings).expect("SQLite takes the settings"))
}

/// Commits a block with its records and checkpoints, and says how many seconds that took.
fn commit(committer: &mut Committer, way: &Way, clock: ClockId) -> f64 {
    let session = way.attach(&mut committer.connection);
    let begun = seconds(clock);
    for _ in 0..BLOCK {
        committer.download(|torrent| {
            if let Some(session) = &session {
                session.begin([Change::Download(torrent)]);
            }
        });
        if let Some(session) = &session {
            session.acknowledge();
        }
    }
    let checkpoint = committer.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    checkpoint.expect("nobody else is at the database");
    seconds(clock) - begun
}

fn ledger(criterion: &mut Criterion<Ratio>) {
    let site = Site::new();
    let mut group = criterion.benchmark_group("ledger");
    group.sampling_mode(SamplingMode::Flat);
    for (synchronous, clock_name, clock) in [
        (Synchronous::Normal, "processor", ClockId::ThreadCPUTime),
        (Synchronous::Normal, "elapsed", ClockId::Monotonic),
        (Synchronous::Full, "elapsed", ClockId::Monotonic),
    ] {
        let bench = format!("{synchronous}/{clock_name}");
        let mut opened = None;
        for (name, way) in Way::all(&site, &bench) {
            group.bench_function(format!("{bench}/{name}"), |bencher| {
                let committer = opened.get_or_insert_with(|| committer(&site, &bench, synchronous));
                bencher.iter_custom(|iterations| {
                    let (mut without, mut with) = (f64::MAX, f64::MAX);
                    for _ in 0..iterations {
                        without = without.min(commit(committer, &Way::Nothing, clock));
                        with = with.min(commit(committer, &way, clock)).min(commit(committer, &way, clock));
                        without = without.min(commit(committer, &Way::Nothing, clock));
                    }
                    with / without * iterations as f64
                });
            });
        }
    }
    group.finish();
}

fn alone(criterion: &mut Criterion) {
    let site = Site::new();
    let mut group = criterion.benchmark_group("ledger-alone");
    for (name, way) in Way::all(&site, "alone") {
        let mut connection = Connection::open_in_memory().expect("SQLite has memory");
        let session = way.attach(&mut connection);
        let (mut begin, mut commit) =
            (connection.prepare("BEGIN IMMEDIATE").expect("SQL"), connection.prepare("COMMIT").expect("SQL"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                begin.execute([]).expect("nobody else is at the database");
                if let Some(session) = &session {
                    session.begin([Change::Download(Torrent::Known(1))]);
                }
                commit.execute([]).expect("nobody else is at the database");
                if let Some(session) = &session {
                    session.acknowledge();
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = ratios;
    config = common::criterion(10.0, 10).with_measurement(Ratio);
    targets = ledger
}
criterion_group! {
    name = times;
    config = common::criterion(2.0, 20);
    targets = alone
}
criterion_main!(ratios, times);
