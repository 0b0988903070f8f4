//! `commit/<journal mode>/full`: one announce that completes a download, as a trial executes it.
//!
//! Isolates what SQLite takes for one write transaction (upsert of the torrent, increment of the aggregate) on one
//! connection with nobody else at the database, the ledger's record included. It cannot show waiting: neither for other
//! connections nor for operations that arrive meanwhile. `scenarios/quick.toml` shows both.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use journalbench::{
    dataset::{Dataset, generate},
    ledger::Ledger,
    load::{
        Backend,
        database::{Database, TransactionMode},
    },
    sqlite::{self, JournalMode, Settings, Synchronous},
    work,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};

const DATASET: Dataset = Dataset { rows: 100_000, seed: 310, page_size_bytes: 4096 };
const MIX: Mix = Mix::of(WriteProfile::EveryAnnounce);

fn commit(criterion: &mut Criterion) {
    // Cargo's own folder for temporary files, so that the build's disk is measured and not a /tmp in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let dataset = folder.path().join("dataset.db");
    generate(&DATASET, &dataset, &Arc::default(), &mut |_| ()).expect("the dataset can be generated");
    let mut group = criterion.benchmark_group("commit");
    for journal_mode in [JournalMode::Delete, JournalMode::Wal] {
        let mut database = open(folder.path(), &dataset, journal_mode);
        let workload = Workload::new(MIX, DATASET.torrents(), 310);
        let mut operation = Operation::default();
        let mut index = 0;
        group.bench_function(format!("{journal_mode}/full"), |bencher| {
            bencher.iter(|| {
                workload.operation(Kind::Announce, index, &mut operation);
                index += 1;
                let until = Instant::now() + Duration::from_secs(15);
                let executed = database.execute(&operation, until);
                assert_eq!(executed.failure, None, "nobody else is at the database");
            });
        });
    }
    group.finish();
}

fn open(folder: &Path, dataset: &Path, journal_mode: JournalMode) -> Database {
    let live = folder.join(format!("{journal_mode}.db"));
    work::copy(dataset, &live, &false.into()).expect("there is room for a copy");
    let settings = Settings {
        journal_mode,
        synchronous: Synchronous::Full,
        cache_size_kib: 2000,
        mmap_size_bytes: 0,
        wal_autocheckpoint_pages: 1000,
        busy_timeout_ms: 5000,
    };
    let ledger = Ledger::create(&folder.join(format!("{journal_mode}.ledger"))).expect("the folder is writable");
    let mut connection = sqlite::open(&live, &settings).expect("the settings are SQLite's own");
    let session = ledger.attach(&mut connection).expect("a hook can be set");
    Database::new(connection, session, DATASET.torrents(), TransactionMode::Immediate)
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(30);
    targets = commit
}
criterion_main!(benches);
