//! `generate/<rows>`: a dataset from its seed to a synced file, in bytes a second.
//!
//! `dd if=/dev/zero of=FILE bs=1M conv=fdatasync` of as many bytes on the same disk is what it can be compared with. It
//! cannot show how a disk fares whose cache is full: files of a few hundred megabytes fit into most. That takes a file of
//! many gigabytes, made with `journalbench generate`.

use std::{fs, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use journalbench::dataset::{Dataset, IndexFill, file_bytes, generate};

fn generation(criterion: &mut Criterion) {
    // Cargo's own folder for temporary files, so that the build's disk is measured and not a /tmp in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let path = folder.path().join("dataset.db");
    let mut group = criterion.benchmark_group("generate");
    for rows in [10_000, 200_000, 2_000_000] {
        let dataset = Dataset { rows, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };
        let bytes = file_bytes(&dataset, IndexFill::default(), &false.into()).expect("so few rows fit into a file");
        group.throughput(Throughput::Bytes(bytes));
        group.bench_with_input(BenchmarkId::from_parameter(rows), &dataset, |bencher, dataset| {
            bencher.iter(|| {
                generate(dataset, &path, &Arc::default(), &mut |_| ()).expect("there is room for the file");
                fs::remove_file(&path).expect("it was just made");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5)).sample_size(10);
    targets = generation
}
criterion_main!(benches);
