//! `snapshot/<strategy>`: one copy of a database that nobody writes to, in bytes of the database a second, from starting
//! the child process to its end.
//!
//! Isolates how fast a strategy can be at its best. The database is in WAL mode, its WAL empty, and in memory; what the
//! copy leaves in the page cache is not synced. It cannot show what makes the difference: whether the copy of a database
//! that is written to is good, and what it costs those who write. `scenarios/quick.toml` shows both.
//!
//! `JOURNALBENCH_BENCH_BYTES` sets the size of the database, as in `JOURNALBENCH_BENCH_BYTES=1GB cargo bench -- snapshot`; by
//! default it has 21 MB.

mod common;

use std::{env, fs, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journalbench::{
    dataset::{self, IndexFill, Size},
    snapshot::{Procedure, SNAPSHOT_FILE, Site as Place, Strategy, StrategyOptions, Task},
    sqlite::{self, JournalMode, Synchronous},
};

use common::{Site, settings};

fn snapshot(criterion: &mut Criterion) {
    let site = Site::new();
    let live = match env::var("JOURNALBENCH_BENCH_BYTES") {
        Err(_) => site.copy("live.db"),
        Ok(text) => {
            let bytes = text.parse::<Size>().expect("JOURNALBENCH_BENCH_BYTES is a size, as in 1GB").bytes;
            let (live, flag) = (site.path().join("live.db"), Arc::default());
            let dataset =
                dataset::rows_for(bytes, common::DATASET, IndexFill::default(), &flag).expect("a size that SQLite has");
            dataset::generate(&dataset, &live, &flag, &mut |_| ()).expect("there is room for the database");
            live
        }
    };
    drop(sqlite::open(&live, &settings(JournalMode::Wal, Synchronous::Full)).expect("SQLite takes the settings"));
    let (programs, options) = (common::programs(), StrategyOptions::default());
    let folder = site.path().join("snapshot");
    let mut group = criterion.benchmark_group("snapshot");
    group.throughput(Throughput::Bytes(live.metadata().expect("it was just made").len()));
    for &strategy in Strategy::all() {
        let command = || {
            // The one before; there is none at first.
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).expect("the folder is writable");
            let place = Place {
                programs: &programs,
                options: &options,
                live: &live,
                folder: &folder,
                counted_sync_delay: None,
            };
            match strategy.procedure(&place) {
                Procedure::Run(Task::Child(command) | Task::WhileStopped(command)) => Some(command),
                // The copy that a writer makes itself is for a scenario.
                Procedure::Run(Task::InWriter { .. }) | Procedure::Nothing | Procedure::Unavailable(_) => None,
            }
        };
        if command().is_none() {
            continue;
        }
        group.bench_function(strategy.to_string(), |bencher| {
            bencher.iter_batched(
                command,
                |command| {
                    let output = command.expect("it can run here").output().expect("the program is installed");
                    assert!(output.status.success(), "{strategy}: {output:?}");
                    assert!(folder.join(SNAPSHOT_FILE).is_file(), "{strategy} left its file");
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::criterion(2.0, 10);
    targets = snapshot
}
criterion_main!(benches);
