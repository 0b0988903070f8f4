//! `io/<journal mode>/<synchronous>/<clock>/<way>`: how many times as long a commit takes through the VFS that counts as through the
//! system's own.
//!
//! Two connections of this process to two copies of the dataset commit in turn: a block without, two blocks with, a block without, and so
//! on. The fastest block of either is compared, which other programs and the disk disturbed least; that ratio is one sample. Of the way
//! `nothing` neither counts, so what it shows beside 1 is noise. `--measurement-time 60` makes the samples longer.
//!
//! `elapsed` is the time that a client would wait, for a machine that is quiet. `processor` is the processor time of the thread, in
//! which another program and the disk are not: more than `elapsed` would show, for waiting costs none.

mod common;

use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use journalbench::{
    io::{self, IoLog},
    sqlite::{self, JournalMode, Synchronous},
};
use rustix::time::ClockId;

use common::{
    Site,
    committer::Committer,
    ratio::{Ratio, seconds},
    settings,
};

/// Commits to an automatic checkpoint in WAL.
const BLOCK: usize = 330;

/// A connection to a copy of its own.
fn committer(site: &Site, name: &str, mode: (JournalMode, Synchronous), counts: bool) -> Committer {
    let path = site.copy(&format!("{name}-{counts}.db").replace('/', "-"));
    let vfs = counts.then(|| io::vfs_with_delay(Duration::ZERO).expect("SQLite takes a VFS"));
    Committer::new(sqlite::open_through(&path, &settings(mode.0, mode.1), vfs).expect("SQLite takes the settings"))
}

/// Commits a block, has the counts taken as a worker does, and says how many seconds that took.
fn commit(committer: &mut Committer, log: &mut IoLog, clock: ClockId) -> f64 {
    let begun = seconds(clock);
    for _ in 0..BLOCK {
        committer.download(|_| ());
        io::take(log);
    }
    seconds(clock) - begun
}

fn counting(criterion: &mut Criterion<Ratio>) {
    let site = Site::new();
    let mut group = criterion.benchmark_group("io");
    group.sampling_mode(SamplingMode::Flat);
    io::count_here();
    for (mode, clock_name, clock) in [
        ((JournalMode::Wal, Synchronous::Normal), "processor", ClockId::ThreadCPUTime),
        ((JournalMode::Wal, Synchronous::Normal), "elapsed", ClockId::Monotonic),
        ((JournalMode::Delete, Synchronous::Full), "processor", ClockId::ThreadCPUTime),
        ((JournalMode::Delete, Synchronous::Full), "elapsed", ClockId::Monotonic),
    ] {
        for (way, counts) in [("nothing", false), ("counted", true)] {
            let bench = format!("{}/{}/{clock_name}/{way}", mode.0, mode.1);
            let mut opened = None;
            group.bench_function(&bench, |bencher| {
                let (without, with) = opened.get_or_insert_with(|| {
                    let second = format!("{bench}-second");
                    (committer(&site, &bench, mode, false), committer(&site, &second, mode, counts))
                });
                let mut log = IoLog::default();
                bencher.iter_custom(|iterations| {
                    let (mut least_without, mut least_with) = (f64::MAX, f64::MAX);
                    for _ in 0..iterations {
                        least_without = least_without.min(commit(without, &mut log, clock));
                        least_with = least_with.min(commit(with, &mut log, clock)).min(commit(with, &mut log, clock));
                        least_without = least_without.min(commit(without, &mut log, clock));
                    }
                    least_with / least_without * iterations as f64
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = ratios;
    config = common::criterion(10.0, 10).with_measurement(Ratio);
    targets = counting
}
criterion_main!(ratios);
