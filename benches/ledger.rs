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

use criterion::{
    Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter},
};
use journalbench::{
    dataset::DOWNLOADS_TOTAL,
    history::{
        Change,
        ledger::{Ledger, Session},
    },
    sqlite::{self, JournalMode, Settings, Synchronous},
    torrents::Torrent,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};
use rusqlite::{Connection, params};
use rustix::time::{ClockId, clock_gettime};

use common::{DATASET, Site, settings};

const MIX: Mix = Mix { new_torrent_share: 0.0, ..Mix::of(WriteProfile::EveryAnnounce) };
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

/// A connection that commits downloads, one after another.
struct Committer {
    connection: Connection,
    torrents: Vec<(Torrent, String)>,
    commits: usize,
}

impl Committer {
    fn new(site: &Site, name: &str, synchronous: Synchronous) -> Self {
        let settings = Settings { wal_autocheckpoint_pages: 0, ..settings(JournalMode::Wal, synchronous) };
        let path = site.copy(&format!("{name}.db").replace('/', "-"));
        let connection = sqlite::open(&path, &settings).expect("SQLite takes the settings");
        Self { connection, torrents: popular_torrents(), commits: 0 }
    }

    /// Commits a block and checkpoints, and says how many seconds that took.
    fn commit(&mut self, way: &Way, clock: ClockId) -> f64 {
        let session = way.attach(&mut self.connection);
        let begun = seconds(clock);
        for _ in 0..BLOCK {
            let (torrent, info_hash) = &self.torrents[self.commits % self.torrents.len()];
            self.commits += 1;
            if let Some(session) = &session {
                session.begin([Change::Download(*torrent)]);
            }
            self.download(info_hash).expect("nobody else is at the database");
            if let Some(session) = &session {
                session.acknowledge();
            }
        }
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        checkpoint.expect("nobody else is at the database");
        seconds(clock) - begun
    }

    fn download(&self, info_hash: &str) -> rusqlite::Result<()> {
        let prepare = |sql| self.connection.prepare_cached(sql);
        prepare("BEGIN IMMEDIATE")?.execute([])?;
        prepare(
            "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
            ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1",
        )?
        .execute(params![info_hash])?;
        prepare("UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = ?1")?
            .execute(params![DOWNLOADS_TOTAL])?;
        prepare("COMMIT")?.execute([])?;
        Ok(())
    }
}

/// The torrents of the first operations of the workload.
fn popular_torrents() -> Vec<(Torrent, String)> {
    let workload = Workload::new(MIX, DATASET.torrents(), 310);
    let mut operation = Operation::default();
    let torrent = |index| {
        workload.operation(Kind::Announce, index, &mut operation);
        let torrent = *operation.torrents.first().unwrap_or(&Torrent::Known(1));
        (torrent, DATASET.torrents().info_hash(torrent).to_string())
    };
    (0..1 << 16).map(torrent).collect()
}

/// What a clock shows.
fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Shows ratios.
struct Ratio;

impl Measurement for Ratio {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}
    fn end(&self, (): ()) -> f64 {
        1.0
    }
    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }
    fn zero(&self) -> f64 {
        0.0
    }
    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Ratio {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "times as long"
    }
    fn scale_throughputs(&self, _typical: f64, _throughput: &Throughput, _values: &mut [f64]) -> &'static str {
        "times as long"
    }
    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "times as long"
    }
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
                let committer = opened.get_or_insert_with(|| Committer::new(&site, &bench, synchronous));
                bencher.iter_custom(|iterations| {
                    let (mut without, mut with) = (f64::MAX, f64::MAX);
                    for _ in 0..iterations {
                        without = without.min(committer.commit(&Way::Nothing, clock));
                        with = with.min(committer.commit(&way, clock)).min(committer.commit(&way, clock));
                        without = without.min(committer.commit(&Way::Nothing, clock));
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
