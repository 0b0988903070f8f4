use super::*;
use crate::{
    analysis,
    doctor::Demand,
    results::{MachineUse, samples},
};

/// A machine with which nothing is wrong, for a scenario whose database has 50 MB.
fn sound() -> Facts {
    let mut environment = Environment { processors: 8, ..samples::environment() };
    environment.programs.as_mut().unwrap().push(Program {
        name: "sqlite3".to_owned(),
        path: Some("/bin/sqlite3".into()),
        version: Some("3.54.1 2026-01-01 00:00:00 0123456789abcdef".to_owned()),
    });
    Facts {
        folder: "/work".into(),
        refused: None,
        environment,
        at_rest: MachineUse {
            steal_share: Some(0.0),
            processor_pressure_share: Some(0.01),
            io_pressure_share: Some(0.0),
            ..MachineUse::default()
        },
        free_bytes: Some(500_000_000),
        available_memory_bytes: Some(200_000_000),
        demand: Demand {
            scenario: "quick".to_owned(),
            database_bytes: 50_000_000,
            room_bytes: 200_000_000,
            steal_share_max: 0.05,
        },
    }
}

/// The findings after a change that are not ok.
fn after(change: fn(&mut Facts)) -> Vec<Finding> {
    let mut facts = sound();
    change(&mut facts);
    examine(&facts).into_iter().filter(|finding| finding.level != Level::Ok).collect()
}

#[test]
fn a_sound_machine_is_ok_and_each_check_says_what_it_found() {
    assert_eq!(after(|_| ()), []);
    let words: Vec<_> =
        examine(&sound()).into_iter().map(|finding| format!("{}: {}", finding.check, finding.found)).collect();
    for expected in [
        "file system: ext4, mounted with rw, at /work",
        "fsync: 100 us for 4 KiB (median), 300 us (p99); a disk is reached, as far as can be seen",
        "free room: 500 MB; `quick` needs about 200 MB",
        "memory: 200 MB are free; the database of `quick` and its copy have 100 MB",
        "processors: 8",
        "governor: performance",
        "steal: 0.0 % of the processors' time went to other machines",
        "other programs: some program waited for a processor 1.0 % of the time, while this one did nothing",
        "programs: /bin/cp (cp 9.1), /bin/sqlite3 (3.54.1)",
        "build: optimised, of revision 0123456789ab",
    ] {
        assert!(words.contains(&expected.to_owned()), "{expected} in {words:#?}");
    }
}

/// A change, and the one finding that is then not ok: with these words in what was found and in the remedy.
type Case = (fn(&mut Facts), Check, Level, &'static str, &'static str);

fn assert_found(cases: &[Case]) {
    for (number, &(change, check, level, found, remedy)) in cases.iter().enumerate() {
        let findings = after(change);
        let [finding] = findings.as_slice() else { panic!("case {number}, {check}: {findings:#?}") };
        assert_eq!((finding.check, finding.level), (check, level), "case {number}: {finding:?}");
        assert!(finding.found.contains(found), "case {number}: {found} in {finding:?}");
        let is_said = finding.remedy.as_deref().is_some_and(|words| words.contains(remedy));
        assert!(is_said, "case {number}: {remedy} in {finding:?}");
    }
}

#[test]
fn what_is_wrong_is_found_with_a_remedy_of_the_folder() {
    assert_found(&[
        (|facts| facts.refused = Some("no".into()), Check::FileSystem, Level::Bad, "at /work: no", "JOURNALBENCH_DIR"),
        (
            |facts| facts.environment.file_system = "tmpfs".into(),
            Check::FileSystem,
            Level::Bad,
            "tmpfs, which is memory",
            "--work-dir",
        ),
        (
            |facts| facts.environment.file_system = "ramfs".into(),
            Check::FileSystem,
            Level::Bad,
            "nothing there is durable",
            "disk",
        ),
        (
            |facts| facts.environment.file_system = String::new(),
            Check::FileSystem,
            Level::Unknown,
            "what /work lies on",
            "findmnt",
        ),
        (
            |facts| facts.environment.file_system = "nfs4".into(),
            Check::FileSystem,
            Level::Warning,
            "nfs4, whose files",
            "local disk",
        ),
        (
            |facts| facts.environment.mount_options = "rw,nobarrier".into(),
            Check::FileSystem,
            Level::Warning,
            "rw,nobarrier",
            "without nobarrier",
        ),
        (|facts| facts.environment.fsync_us_p50 = Some(4), Check::Fsync, Level::Bad, "4 us", "eatmydata"),
        (
            |facts| (facts.environment.fsync_us_p50, facts.environment.disk_probe) = (None, None),
            Check::Fsync,
            Level::Bad,
            "could not be measured",
            "4 KiB",
        ),
        (
            |facts| facts.environment.fsync_us_p50 = None,
            Check::Fsync,
            Level::Unknown,
            "too few for a median: 1000, the longest of 900 us",
            "another disk",
        ),
        (
            |facts| facts.free_bytes = Some(199_000_000),
            Check::Room,
            Level::Bad,
            "199 MB; `quick` needs about 200 MB",
            "larger disk",
        ),
        (|facts| facts.free_bytes = None, Check::Room, Level::Unknown, "not known", "df"),
    ]);
}

#[test]
fn what_is_wrong_is_found_with_a_remedy_of_the_machine() {
    assert_found(&[
        (
            |facts| facts.available_memory_bytes = Some(99_000_000),
            Check::Memory,
            Level::Warning,
            "99 MB are free",
            "smaller dataset",
        ),
        (|facts| facts.available_memory_bytes = None, Check::Memory, Level::Unknown, "not known", "free -m"),
        (|facts| facts.environment.processors = 0, Check::Processors, Level::Unknown, "not known", "nproc"),
        (|facts| facts.environment.processors = 1, Check::Processors, Level::Bad, "1: ", "taskset"),
        (|facts| facts.environment.processors = 2, Check::Processors, Level::Warning, "2: ", "with four"),
        (|facts| facts.environment.processors = 3, Check::Processors, Level::Warning, "3: ", "with four"),
        (|facts| facts.environment.cpu_governors = None, Check::Governor, Level::Unknown, "virtual machines", "host"),
        (
            |facts| facts.environment.cpu_governors = Some(vec!["powersave".into()]),
            Check::Governor,
            Level::Warning,
            "powersave",
            "cpupower",
        ),
        (
            |facts| facts.environment.timer_late_us_p99 = Some(501),
            Check::Timer,
            Level::Warning,
            "501 us late",
            "end what else",
        ),
        (
            |facts| facts.environment.timer_late_us_p99 = Some(5_001),
            Check::Timer,
            Level::Bad,
            "5001 us late",
            "its own",
        ),
        (|facts| facts.environment.timer_late_us_p99 = None, Check::Timer, Level::Unknown, "could not be", "threads"),
    ]);
}

#[test]
fn what_is_wrong_is_found_with_a_remedy_of_what_others_do() {
    assert_found(&[
        (|facts| facts.at_rest.steal_share = Some(0.051), Check::Steal, Level::Warning, "5.1 %", "rerun = true"),
        (|facts| facts.at_rest.steal_share = Some(0.25), Check::Steal, Level::Warning, "25.0 %", "its host"),
        (|facts| facts.at_rest.steal_share = Some(0.26), Check::Steal, Level::Bad, "26.0 %", "of its own"),
        (|facts| facts.at_rest.steal_share = None, Check::Steal, Level::Unknown, "does not tell", "host"),
        (
            |facts| facts.at_rest.processor_pressure_share = Some(0.11),
            Check::ProcessorPressure,
            Level::Warning,
            "11.0 %",
            "top",
        ),
        (
            |facts| facts.at_rest.processor_pressure_share = Some(0.6),
            Check::ProcessorPressure,
            Level::Bad,
            "a processor 60.0 %",
            "top",
        ),
        (
            |facts| facts.at_rest.processor_pressure_share = None,
            Check::ProcessorPressure,
            Level::Unknown,
            "CONFIG_PSI",
            "top",
        ),
        (
            |facts| facts.at_rest.io_pressure_share = Some(0.2),
            Check::IoPressure,
            Level::Warning,
            "a disk 20.0 %",
            "iotop",
        ),
        (|facts| facts.at_rest.io_pressure_share = Some(0.51), Check::IoPressure, Level::Bad, "51.0 %", "iotop"),
        (|facts| facts.at_rest.io_pressure_share = None, Check::IoPressure, Level::Unknown, "CONFIG_PSI", "iostat"),
    ]);
}

#[test]
fn what_is_wrong_is_found_with_a_remedy_of_the_programs() {
    assert_found(&[
        (|facts| facts.environment.sqlite_version = "3.51.2".into(), Check::Sqlite, Level::Warning, "3.51.2", "3.51.3"),
        (
            |facts| facts.environment.sqlite3_program_version = Some("3.40.1".into()),
            Check::Programs,
            Level::Warning,
            "/bin/sqlite3",
            "WAL-reset",
        ),
        (
            |facts| facts.environment.programs.as_mut().unwrap()[0].path = None,
            Check::Programs,
            Level::Warning,
            "no cp",
            "install cp,",
        ),
        (
            |facts| facts.environment.programs.as_mut().unwrap()[1].path = None,
            Check::Programs,
            Level::Warning,
            "no sqlite3",
            "install sqlite3,",
        ),
        (|facts| facts.environment.programs = None, Check::Programs, Level::Warning, "", "install cp, without"),
        (
            |facts| facts.environment.optimised_build = false,
            Check::Build,
            Level::Bad,
            "without optimisation, of",
            "--release",
        ),
    ]);
}

#[test]
fn of_an_fsync_only_what_is_known_is_said() {
    let found = |change: fn(&mut Environment)| {
        let mut facts = sound();
        change(&mut facts.environment);
        fsync(&facts.environment).found
    };
    assert_eq!(found(|machine| machine.disk_probe = None), "100 us for 4 KiB (median)");
    let of_few = |machine: &mut Environment| {
        let disk = machine.disk_probe.as_mut().unwrap();
        disk.sync_effect = SyncEffect::NoBarriers;
        disk.fsync.as_mut().unwrap().p99_us = None;
    };
    assert_eq!(found(of_few), "100 us for 4 KiB (median)");
}

#[test]
fn what_run_warns_of_is_found_here() {
    let changes: [fn(&mut Environment); 13] = [
        |_| (),
        |machine| machine.optimised_build = false,
        |machine| machine.file_system = "tmpfs".into(),
        |machine| machine.file_system = "9p".into(),
        |machine| machine.mount_options = "barrier=0".into(),
        |machine| machine.fsync_us_p50 = Some(4),
        |machine| machine.processors = 3,
        |machine| machine.cpu_governors = Some(vec!["conservative".into()]),
        |machine| machine.timer_late_us_p99 = Some(501),
        |machine| machine.timer_late_us_p99 = Some(500),
        |machine| machine.sqlite_version = "3.50.6".into(),
        |machine| machine.sqlite_version = "3.50.7".into(),
        |machine| machine.sqlite3_program_version = Some("3.51.2".into()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut facts = sound();
        change(&mut facts.environment);
        let wrong = examine(&facts).into_iter().filter(|finding| finding.level > Level::Unknown).count();
        assert_eq!(wrong, analysis::of_environment(&facts.environment).len(), "case {number}");
    }
}
