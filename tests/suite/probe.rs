//! `journalbench probe`, and what a run has of it in its results.

use std::{fs, os::unix::fs::PermissionsExt as _};

use journalbench::{
    env::Environment,
    probe::{DiskProbe, Latencies, SyncEffect},
    report::{self, Format},
    results::Results,
};

use crate::common::{
    program::{journalbench, names, output, text},
    run_kept,
};

/// Fails where the disk was not measured, in whatever time it took.
fn assert_measured(disk: &DiskProbe) {
    let DiskProbe {
        fsync,
        fdatasync,
        folder_sync,
        sequential_write,
        sequential_read,
        random_read,
        random_write,
        sync_effect: _,
    } = disk;
    for times in [fsync, fdatasync, folder_sync, random_read, random_write] {
        let Latencies { count, p50_us, p90_us, p99_us, max_us } = times.unwrap_or_else(|| panic!("{disk:?}"));
        assert_eq!(
            [p50_us, p90_us, p99_us].map(|percentile| percentile.is_some()),
            [20, 100, 1_000].map(|least| count >= least),
            "{disk:?}"
        );
        let known: Vec<_> = [p50_us, p90_us, p99_us, Some(max_us)].into_iter().flatten().collect();
        assert!(known.is_sorted(), "{disk:?}");
    }
    let (written, read) = (sequential_write.unwrap(), sequential_read.unwrap());
    assert!(read.bytes <= written.bytes && read.bytes_per_s > 0.0 && written.bytes_per_s > 0.0, "{disk:?}");
}

#[test]
fn the_disk_and_the_sqlites_are_told_in_words_and_in_json_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("here")).unwrap();
    let probe = output(folder.path(), &["probe", "here"]);
    let said = text(&probe.stdout);
    assert!(probe.status.success() && probe.stderr.is_empty(), "{}", text(&probe.stderr));
    for name in
        ["folder ", "file system ", "kernel ", "syncs ", "fsync ", "fdatasync ", "sync of a folder ", "random read "]
    {
        assert!(said.lines().any(|line| line.starts_with(name)), "{name} in\n{said}");
    }
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in ["random write of 4 KiB, synced", "timer: a sleep", "MB/s (", ", built in,", "compiled with "] {
        assert!(words.contains(expected), "{expected} in\n{said}");
    }

    let json = output(folder.path(), &["probe", "here", "--json"]);
    assert!(json.status.success(), "{}", text(&json.stderr));
    let environment: Environment = serde_json::from_slice(&json.stdout).unwrap();
    let disk = environment.disk_probe.unwrap();
    assert_measured(&disk);
    assert_eq!(environment.fsync_us_p50, disk.fsync.unwrap().p50_us);
    assert_eq!(environment.timer_late.unwrap().count, 1_100);
    let found = environment.sqlite_found.unwrap();
    assert_eq!((found[0].program.as_str(), found[0].version.as_deref()), ("built in", Some(rusqlite::version())));
    assert_eq!(names(&folder.path().join("here")), Vec::<String>::new());
}

#[test]
fn a_folder_that_is_not_there_is_measured_beside_its_place() {
    let folder = tempfile::tempdir().unwrap();
    // The work folder that the environment names.
    let probe = output(folder.path(), &["probe"]);
    let words = text(&probe.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(probe.status.success(), "{}", text(&probe.stderr));
    let place = folder.path().display();
    assert!(words.contains(&format!("{place}/work, which is not there yet: measured in {place}")), "{words}");
    assert_eq!(names(folder.path()), Vec::<String>::new(), "it was not made");
}

#[test]
fn a_folder_that_cannot_be_written_in_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write wherever it likes.
    let is_closed = fs::write(closed.join("file"), "").is_err();
    for name in ["file", "file/work", "/proc/work", "closed"] {
        if name == "closed" && !is_closed {
            println!("skipped: this user may write in any folder");
            continue;
        }
        let probe = output(folder.path(), &["probe", name]);
        let said = text(&probe.stderr);
        assert_eq!(probe.status.code(), Some(1), "{name}: {said}");
        let expected = format!("{name}: name a folder that you may write in");
        assert!(said.contains("nothing can be written at ") && said.contains(&expected), "{name}: {said}");
        assert!(probe.stdout.is_empty(), "{name}");
    }
}

#[test]
fn of_a_file_system_in_memory_it_is_said_that_a_sync_does_nothing() {
    let is_memory = fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(" /dev/shm tmpfs "));
    let (Ok(memory), true) = (tempfile::tempdir_in("/dev/shm"), is_memory) else {
        println!("skipped: there is no tmpfs at /dev/shm");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut probe = journalbench(folder.path(), &["probe", "--json"]);
    let probe = probe.env("JOURNALBENCH_DIR", memory.path()).output().unwrap();
    let environment: Environment = serde_json::from_slice(&probe.stdout).unwrap();
    assert_eq!(environment.disk_probe.unwrap().sync_effect, SyncEffect::InMemory);
    assert_eq!(names(memory.path()), Vec::<String>::new());
}

#[test]
fn every_result_has_what_was_measured_before_its_first_trial() {
    let folder = tempfile::tempdir().unwrap();
    run_kept(folder.path(), &["load.rate_ops=500"]);
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    let disk = results.environment.disk_probe.as_ref().unwrap();
    assert_measured(disk);
    assert!(disk.sequential_write.unwrap().bytes <= 16 << 20, "{disk:?}");
    assert!(results.environment.sqlite_found.as_ref().is_some_and(|found| !found.is_empty()));
    let report = report::render(&results, Format::Markdown);
    // The median is there where a disk is fast enough for one.
    let has_median = [disk.fsync, disk.fdatasync].iter().flatten().any(|times| times.p50_us.is_some());
    assert_eq!(report.contains("Disk before the first trial, medians: "), has_median, "{report}");
}
