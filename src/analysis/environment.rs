//! What a reader should know of the machine that something was measured on, found in what it told of itself.
//!
//! `run` warns of it afterwards, `doctor` says it before: both by the limits that stand here.

use crate::{
    env::Environment,
    probe::{has_wal_reset_bug, is_in_memory, is_no_sync, is_remote, no_barriers},
    results::{Results, Warning},
};

/// Where an fsync takes more than so many times as long as elsewhere, so may all that waits for it. On one quiet machine, the
/// median of one run was up to twice that of another.
const FSYNC_TIMES_MOST: u64 = 4;

/// With fewer processors than this, those who write, those who read, the copy and the kernel's own writing take turns.
pub(crate) const PROCESSORS_LEAST: usize = 4;

/// A sleep that ends so much later, one of a hundred, is more than a tenth of a p99 of 5 ms, which is a quick commit's.
pub(crate) const TIMER_LATE_US_MOST: u64 = 500;

/// What the page cache has to hold: the database and its copy.
pub(crate) const DATABASES_IN_MEMORY: u64 = 2;

/// What a reader should know of the machine that something was measured on.
#[must_use]
pub fn of_environment(environment: &Environment) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !environment.optimised_build {
        warnings.push(Warning::DebugBuild);
    }
    let file_system = || environment.file_system.clone();
    if is_in_memory(&environment.file_system) || environment.fsync_us_p50.is_some_and(is_no_sync) {
        warnings.push(Warning::NoDurability { file_system: file_system() });
    }
    if is_remote(&environment.file_system) {
        warnings.push(Warning::RemoteFileSystem { file_system: file_system() });
    }
    if let Some(option) = no_barriers(&environment.mount_options) {
        warnings.push(Warning::NoBarriers { option: option.to_owned() });
    }
    // Of no processors, nothing is known.
    if (1..PROCESSORS_LEAST).contains(&environment.processors) {
        warnings.push(Warning::FewProcessors { processors: environment.processors });
    }
    let slow = slow_governors(environment.cpu_governors.as_deref().unwrap_or_default());
    if !slow.is_empty() {
        warnings.push(Warning::SlowGovernor { governors: slow });
    }
    if let Some(late_us) = environment.timer_late_us_p99.filter(|late_us| *late_us > TIMER_LATE_US_MOST) {
        warnings.push(Warning::LateTimer { late_us });
    }
    let programs = [
        ("this program", Some(&environment.sqlite_version)),
        ("sqlite3", environment.sqlite3_program_version.as_ref()),
    ];
    for (program, version) in programs {
        if let Some(version) = version.filter(|version| has_wal_reset_bug(version)) {
            warnings.push(Warning::WalReset { program: program.to_owned(), version: version.clone() });
        }
    }
    warnings
}

/// That runs or sittings had disks, or neighbours on them, that are not alike. A sitting without a trial has measured nothing that
/// this could change.
pub(super) fn unequal_fsync(results: &Results) -> Option<Warning> {
    let of_sittings = || results.sittings.entries().iter().filter(|sitting| sitting.trials > 0);
    // The first sitting's environment stands for the whole run where sittings do not say.
    let say = of_sittings().any(|sitting| sitting.fsync_us_p50.found().is_some()) && results.merged.is_empty();
    let times = || {
        let of_runs = results.environments().filter(|_| !say).filter_map(|environment| environment.fsync_us_p50);
        of_runs.chain(of_sittings().filter_map(|sitting| sitting.fsync_us_p50.found().copied()))
    };
    let (least_us, most_us) = (times().min()?, times().max()?);
    (most_us > least_us.saturating_mul(FSYNC_TIMES_MOST)).then_some(Warning::UnequalFsync { least_us, most_us })
}

/// That the memory of a machine could not hold the database and its copy.
pub(super) fn larger_than_memory(results: &Results) -> Option<Warning> {
    let bytes = results.dataset.found()?.bytes;
    let memories = results.environments().map(|environment| environment.memory_bytes);
    let memory_bytes = memories.filter(|memory_bytes| *memory_bytes > 0).min()?;
    (!fits(bytes, memory_bytes)).then_some(Warning::LargerThanMemory { bytes, memory_bytes })
}

/// Whether memory holds a database of so many bytes and its copy.
pub(crate) fn fits(bytes: u64, memory_bytes: u64) -> bool {
    bytes.saturating_mul(DATABASES_IN_MEMORY) <= memory_bytes
}

/// Those of the governors that keep the clock of a processor low while it has little to do.
pub(crate) fn slow_governors(governors: &[String]) -> Vec<String> {
    governors.iter().filter(|name| matches!(name.as_str(), "powersave" | "conservative")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::warnings,
        digest::Digest,
        results::{DatasetResult, MergedRun, Recorded, Sitting, samples},
    };

    #[test]
    fn of_the_machine() {
        type Change = fn(&mut Environment);
        let memory = || vec![Warning::NoDurability { file_system: "tmpfs".into() }];
        let disk = || vec![Warning::NoDurability { file_system: "ext4".into() }];
        let remote = |file_system: &str| vec![Warning::RemoteFileSystem { file_system: file_system.into() }];
        let reset = |program: &str| vec![Warning::WalReset { program: program.into(), version: "3.51.2".into() }];
        let few = |processors| vec![Warning::FewProcessors { processors }];
        let cases: [(Change, Vec<Warning>); 25] = [
            (|machine| machine.optimised_build = false, vec![Warning::DebugBuild]),
            (|machine| machine.file_system = "tmpfs".into(), memory()),
            (|machine| machine.fsync_us_p50 = Some(4), disk()),
            (|machine| machine.fsync_us_p50 = Some(5), vec![]),
            (|machine| machine.fsync_us_p50 = None, vec![]),
            (|machine| machine.file_system = "nfs4".into(), remote("nfs4")),
            (|machine| machine.file_system = "fuse.sshfs".into(), remote("fuse.sshfs")),
            (|machine| machine.file_system = "fuseblk".into(), vec![]),
            (|machine| machine.file_system = String::new(), vec![]),
            (
                |machine| machine.mount_options = "rw,barrier=0".into(),
                vec![Warning::NoBarriers { option: "barrier=0".into() }],
            ),
            (|machine| machine.mount_options = "rw,barrier=1".into(), vec![]),
            (|machine| machine.processors = 0, vec![]),
            (|machine| machine.processors = 1, few(1)),
            (|machine| machine.processors = 3, few(3)),
            (|machine| machine.processors = 4, vec![]),
            (
                |machine| machine.cpu_governors = Some(vec!["performance".into(), "powersave".into()]),
                vec![Warning::SlowGovernor { governors: vec!["powersave".into()] }],
            ),
            (|machine| machine.cpu_governors = None, vec![]),
            (|machine| machine.timer_late_us_p99 = Some(501), vec![Warning::LateTimer { late_us: 501 }]),
            (|machine| machine.timer_late_us_p99 = Some(500), vec![]),
            (|machine| machine.timer_late_us_p99 = None, vec![]),
            (|machine| machine.sqlite_version = "3.51.2".into(), reset("this program")),
            (|machine| machine.sqlite_version = "3.51.3".into(), vec![]),
            (|machine| machine.sqlite3_program_version = Some("3.51.2".into()), reset("sqlite3")),
            (|machine| machine.sqlite3_program_version = Some("3.51.3".into()), vec![]),
            (|machine| machine.sqlite3_program_version = None, vec![]),
        ];
        for (number, (change, expected)) in cases.into_iter().enumerate() {
            let mut machine = Environment { processors: 8, ..samples::environment() };
            change(&mut machine);
            assert_eq!(of_environment(&machine), expected, "case {number}");
            let results = Results { environment: machine, ..samples::results(Vec::new()) };
            assert_eq!(warnings(&results), expected, "case {number}");
        }
    }

    #[test]
    fn of_a_sitting_on_another_disk() {
        let known = |fsync_us_p50| Recorded::Known(Some(fsync_us_p50));
        let unequal = |least_us, most_us| Some(Warning::UnequalFsync { least_us, most_us });
        // The run began where an fsync took 100 us.
        for (sittings, expected) in [
            (&[][..], None),
            (&[(1, known(100)), (1, known(400))], None),
            (&[(1, known(100)), (1, known(401))], unequal(100, 401)),
            (&[(1, known(100)), (1, known(24))], unequal(24, 100)),
            (&[(1, known(100)), (0, known(24))], None),
            (&[(1, Recorded::Unknown), (1, Recorded::Known(None))], None),
        ] {
            let sitting = |(trials, fsync_us_p50): &(usize, Recorded<Option<u64>>)| Sitting {
                started_at: "2026-01-01T00:00:00Z".into(),
                duration_s: 1.0,
                trials: *trials,
                fsync_us_p50: *fsync_us_p50,
            };
            let sittings: Vec<_> = sittings.iter().map(sitting).collect();
            let results = Results { sittings: sittings.into(), ..samples::results(Vec::new()) };
            assert_eq!(unequal_fsync(&results), expected, "{:?}", results.sittings);
        }
    }

    #[test]
    fn of_a_database_that_memory_does_not_hold_twice() {
        let results = |bytes, memories: &[u64]| {
            let digest = Digest::default();
            let dataset = DatasetResult { rows: 1, bytes, page_size_bytes: 4096, digest, sampled_rows: None };
            let run = |memory_bytes: &u64| MergedRun {
                environment: Environment { memory_bytes: *memory_bytes, ..samples::environment() },
                ..samples::merged_run(1, 1)
            };
            let merged = memories.iter().map(run).collect();
            Results { dataset: Some(dataset).into(), merged, ..samples::results(Vec::new()) }
        };
        let warning = |bytes, memory_bytes| Some(Warning::LargerThanMemory { bytes, memory_bytes });
        for (bytes, memories, expected) in [
            (50, &[100][..], None),
            (51, &[100], warning(51, 100)),
            (51, &[1_000, 100], warning(51, 100)),
            (51, &[0], None),
            (8_000_000_000, &[], None),
            (8_000_000_001, &[], warning(8_000_000_001, 16_000_000_000)),
        ] {
            assert_eq!(larger_than_memory(&results(bytes, memories)), expected, "{bytes} bytes, {memories:?}");
        }
        assert_eq!(larger_than_memory(&samples::results(Vec::new())), None, "of no database");
    }
}
