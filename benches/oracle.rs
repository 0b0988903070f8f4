//! `oracle`: reading a whole snapshot, beside what people use now and beside merely reading its bytes.
//!
//! * `oracle/judge`: the oracle's own pass: every page, every row, every index entry, on all cores.
//! * `oracle/integrity_check` and `oracle/quick_check`: SQLite's, on one core, which is what it has. They look for damage
//!   only: neither knows whether the content is a state that the database was in.
//! * `oracle/cat`: the same bytes, read and thrown away by `cat`.
//!
//! All of them read a file that the operating system holds in memory (*warm*); `oracle-cold` drops it from memory before
//! each pass, so that the disk is part of it. The throughput is in bytes of the file.
//!
//! By default the file has some 100 MB. Set `JOURNALBENCH_BENCH_BYTES` for another size, as in
//! `JOURNALBENCH_BENCH_BYTES=1GB cargo bench -- oracle`; a pass of `integrity_check` takes some 25 s a gigabyte.
//!
//! It cannot show what judging costs in all: replaying the ledger, and SQLite's checks, are apart. `results.json` has the
//! times of each part for every snapshot of a run.

use std::{
    fs::File,
    hint::black_box,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use journalbench::{
    dataset::{self, Dataset, IndexFill, Manifest, Size},
    oracle,
};
use rusqlite::Connection;
use rustix::fs::{Advice, fadvise};

const DEFAULT_BYTES: u64 = 100_000_000;

/// All but the rows of the dataset.
const LIKE: Dataset = Dataset { rows: 1, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };

fn bench(criterion: &mut Criterion) {
    let bytes = std::env::var("JOURNALBENCH_BENCH_BYTES").map_or(DEFAULT_BYTES, |text| {
        text.parse::<Size>().expect("JOURNALBENCH_BENCH_BYTES is a size, as in 1GB").bytes
    });
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let path = folder.path().join("snapshot.db");
    let flag = Arc::default();
    let dataset = dataset::rows_for(bytes, LIKE, IndexFill::default(), &flag).expect("a size that SQLite has");
    let manifest = dataset::generate(&dataset, &path, &flag, &mut |_| ()).expect("room for the file");

    let mut group = criterion.benchmark_group("oracle");
    measure(&mut group, &path, &manifest, || ());
    group.finish();
    let mut group = criterion.benchmark_group("oracle-cold");
    measure(&mut group, &path, &manifest, || {
        let file = File::open(&path).expect("the file is there");
        fadvise(&file, 0, None, Advice::DontNeed).expect("a file can be dropped from memory");
    });
    group.finish();
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, path: &Path, manifest: &Manifest, before: impl Fn()) {
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Bytes(manifest.bytes));
    let mut one = |name: &str, pass: &dyn Fn()| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                (0..times)
                    .map(|_| {
                        before();
                        let begun = Instant::now();
                        pass();
                        begun.elapsed()
                    })
                    .sum()
            });
        });
    };
    one("judge", &|| {
        let digest = oracle::content_digest(path, &Arc::default());
        assert_eq!(black_box(digest), Ok(manifest.digest));
    });
    one("cat", &|| {
        let status = Command::new("cat").arg(path).stdout(Stdio::null()).status().expect("cat is installed");
        assert!(status.success());
    });
    for pragma in ["quick_check", "integrity_check"] {
        one(pragma, &|| {
            let connection = Connection::open(path).expect("it is a database");
            let sql = format!("PRAGMA {pragma}");
            let answer: String = connection.query_row(&sql, [], |row| row.get(0)).expect("SQLite reads it");
            assert_eq!(black_box(answer), "ok");
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
