//! `commit/<journal mode>/<synchronous>`: one announce that completes a download, as a trial executes it, in every journal
//! mode that SQLite has; for delete and wal also `batch-10` and `batch-100`, of which the throughput counts the downloads.
//!
//! Isolates what SQLite takes for one write transaction (upsert of the torrent, increment of the aggregate) on one
//! connection with nobody else at the database, the ledger's record included. It cannot show waiting, neither for other
//! connections nor for operations that arrive meanwhile: `scenarios/quick.toml` shows both, `scenarios/batched.toml` what
//! clients wait for a batch. In wal the mean has checkpoints in it, of which a percentile would show nothing. `memory` and
//! `off` lose the database in a crash; they show what the journal costs.

mod common;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journalbench::{
    sqlite::{JournalMode, Synchronous},
    target::Target,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};

use common::{DATASET, Site};

const MIX: Mix = Mix::of(WriteProfile::EveryAnnounce);
/// When a client would give up: nobody does here.
const PATIENCE: Duration = Duration::from_secs(15);

fn commit(criterion: &mut Criterion) {
    let site = Site::new();
    let workload = Workload::new(MIX, DATASET.torrents(), 310);
    let mut group = criterion.benchmark_group("commit");
    for journal_mode in JournalMode::ALL {
        for synchronous in [Synchronous::Full, Synchronous::Normal, Synchronous::Off] {
            let name = format!("{journal_mode}-{synchronous}");
            let (mut operation, mut index) = (Operation::default(), 0);
            let mut opened = None;
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{journal_mode}/{synchronous}"), |bencher| {
                // Only where it was not filtered out.
                let database = opened.get_or_insert_with(|| site.database(&name, journal_mode, synchronous));
                bencher.iter(|| {
                    workload.operation(Kind::Announce, index, &mut operation);
                    index += 1;
                    let executed = database.execute(&operation, Instant::now() + PATIENCE);
                    assert_eq!(executed.failure, None, "nobody else is at the database");
                });
            });
            if !matches!(journal_mode, JournalMode::Delete | JournalMode::Wal) {
                continue;
            }
            for size in [10_usize, 100] {
                let mut batch = vec![Operation::default(); size];
                group.throughput(Throughput::Elements(size as u64));
                group.bench_function(format!("{journal_mode}/{synchronous}/batch-{size}"), |bencher| {
                    let database = opened.get_or_insert_with(|| site.database(&name, journal_mode, synchronous));
                    bencher.iter(|| {
                        for operation in &mut batch {
                            workload.operation(Kind::Announce, index, operation);
                            index += 1;
                        }
                        let executed = database.execute_batch(&batch, Instant::now() + PATIENCE);
                        assert_eq!(executed.failure, None, "nobody else is at the database");
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::criterion(2.0, 20);
    targets = commit
}
criterion_main!(benches);
