//! What was read of a machine, judged: one finding a check.

use super::{Check, Facts, Finding, Level};
use crate::{
    analysis::environment::{DATABASES_IN_MEMORY, PROCESSORS_LEAST, TIMER_LATE_US_MOST, fits, slow_governors},
    env::{Environment, Program},
    probe::{Latencies, SyncEffect, has_wal_reset_bug, is_in_memory, is_no_sync, is_remote, no_barriers},
};

/// Beyond so many times what is a warning, little of a figure is SQLite's.
const BAD_TIMES: f64 = 5.0;

/// The share of the time in which some task may wait although nothing of this program runs.
const PRESSURE_AT_REST_MAX: f64 = 0.1;

/// Beyond this, a sleep ends so late that the load is no longer the scenario's, in microseconds.
const TIMER_LATE_US_BAD: u64 = 10 * TIMER_LATE_US_MOST;

/// A finding for each check, in their order.
pub(crate) fn examine(facts: &Facts) -> Vec<Finding> {
    let environment = &facts.environment;
    vec![
        file_system(facts),
        fsync(environment),
        room(facts),
        memory(facts),
        processors(environment.processors),
        governor(environment.cpu_governors.as_deref()),
        steal(facts),
        pressure(Check::ProcessorPressure, facts.at_rest.processor_pressure_share, "a processor"),
        pressure(Check::IoPressure, facts.at_rest.io_pressure_share, "a disk"),
        timer(environment.timer_late_us_p99),
        sqlite(&environment.sqlite_version),
        programs(environment),
        build(environment),
    ]
}

impl Finding {
    fn ok(check: Check, found: String) -> Self {
        Self { check, level: Level::Ok, found, remedy: None }
    }

    fn not_ok(check: Check, level: Level, found: String, remedy: &str) -> Self {
        Self { check, level, found, remedy: Some(remedy.to_owned()) }
    }
}

fn file_system(facts: &Facts) -> Finding {
    let Environment { file_system, mount_options, .. } = &facts.environment;
    let found =
        |words: &str| format!("{file_system}{words}, mounted with {mount_options}, at {}", facts.folder.display());
    let not_ok = |level, found, remedy| Finding::not_ok(Check::FileSystem, level, found, remedy);
    if let Some(refused) = &facts.refused {
        let remedy =
            "name a folder that you may write in: `journalbench doctor DIR`, `run --work-dir DIR` or JOURNALBENCH_DIR";
        not_ok(Level::Bad, format!("nothing can be written at {}: {refused}", facts.folder.display()), remedy)
    } else if is_in_memory(file_system) {
        let remedy = "name a folder on the disk that you want to know about, with --work-dir or JOURNALBENCH_DIR";
        not_ok(Level::Bad, found(", which is memory: nothing there is durable"), remedy)
    } else if file_system.is_empty() {
        let remedy = "look at the output of `findmnt --target DIR`: it should be a local disk";
        not_ok(Level::Unknown, format!("the kernel does not say what {} lies on", facts.folder.display()), remedy)
    } else if is_remote(file_system) {
        let remedy = "name a folder on a local disk, unless it is this network or server that you want to know about";
        not_ok(Level::Warning, found(", whose files are another machine's or another program's"), remedy)
    } else if let Some(option) = no_barriers(mount_options) {
        let remedy = format!("mount it without {option}: an fsync does not wait for the disk so");
        not_ok(Level::Warning, found(""), &remedy)
    } else {
        Finding::ok(Check::FileSystem, found(""))
    }
}

fn fsync(environment: &Environment) -> Finding {
    let disk = environment.disk_probe.as_ref();
    let measured = disk.and_then(|disk| disk.fsync);
    match (environment.fsync_us_p50, measured) {
        (None, Some(Latencies { count, max_us, .. })) => {
            let found = format!("too few for a median: {count}, the longest of {max_us} us");
            let remedy = "end what else uses the disk and ask again, or name a folder on another disk";
            Finding::not_ok(Check::Fsync, Level::Unknown, found, remedy)
        }
        (None, None) => {
            let remedy = "name a folder that a file of 4 KiB can be written in";
            Finding::not_ok(Check::Fsync, Level::Bad, "it could not be measured".to_owned(), remedy)
        }
        (Some(time_us), _) if is_no_sync(time_us) => {
            let found = format!("{time_us} us for 4 KiB (median): no disk is reached");
            let remedy =
                "name a folder on a disk, or have the machine's disk confirm writes (no cache=unsafe, no eatmydata)";
            Finding::not_ok(Check::Fsync, Level::Bad, found, remedy)
        }
        (Some(time_us), measured) => {
            let p99 = measured.and_then(|fsync| fsync.p99_us).map(|p99_us| format!(", {p99_us} us (p99)"));
            // What else it may reach is said of the file system.
            let is_reached = disk.is_some_and(|disk| disk.sync_effect == SyncEffect::ReachesADisk);
            let reached = if is_reached { "; a disk is reached, as far as can be seen" } else { "" };
            let found = format!("{time_us} us for 4 KiB (median){}{reached}", p99.unwrap_or_default());
            Finding::ok(Check::Fsync, found)
        }
    }
}

fn room(facts: &Facts) -> Finding {
    let demand = &facts.demand;
    let needed = format!("`{}` needs about {} MB", demand.scenario, megabytes(demand.room_bytes));
    match facts.free_bytes {
        None => {
            let remedy = "see that there is as much: `df DIR`";
            Finding::not_ok(Check::Room, Level::Unknown, format!("what is free is not known; {needed}"), remedy)
        }
        Some(free) if free < demand.room_bytes => {
            let found = format!("{} MB; {needed}", megabytes(free));
            let remedy = "free some, name a folder on a larger disk, or use a smaller dataset (--set dataset.rows=N)";
            Finding::not_ok(Check::Room, Level::Bad, found, remedy)
        }
        Some(free) => Finding::ok(Check::Room, format!("{} MB; {needed}", megabytes(free))),
    }
}

fn memory(facts: &Facts) -> Finding {
    let bytes = facts.demand.database_bytes;
    let needed = format!(
        "the database of `{}` and its copy have {} MB",
        facts.demand.scenario,
        megabytes(bytes.saturating_mul(DATABASES_IN_MEMORY))
    );
    match facts.available_memory_bytes {
        None => {
            let remedy = "see that there is as much: `free -m`";
            Finding::not_ok(Check::Memory, Level::Unknown, format!("what is free is not known; {needed}"), remedy)
        }
        Some(available) if !fits(bytes, available) => {
            let found = format!("{} MB are free; {needed}", megabytes(available));
            let remedy = "mind that the disk is measured, then, as much as SQLite is; or end other programs, or use a smaller dataset";
            Finding::not_ok(Check::Memory, Level::Warning, found, remedy)
        }
        Some(available) => Finding::ok(Check::Memory, format!("{} MB are free; {needed}", megabytes(available))),
    }
}

fn processors(processors: usize) -> Finding {
    let not_ok = |level, found, remedy| Finding::not_ok(Check::Processors, level, found, remedy);
    let remedy =
        "take a machine with four, or let this program have them (see `taskset -p $$` and the limits of a container)";
    match processors {
        0 => not_ok(Level::Unknown, "how many this program may use is not known".to_owned(), "see `nproc`"),
        1 => not_ok(Level::Bad, "1: the load and the database wait for each other".to_owned(), remedy),
        few @ ..PROCESSORS_LEAST => {
            not_ok(Level::Warning, format!("{few}: the load, the database and the copy share them"), remedy)
        }
        enough => Finding::ok(Check::Processors, enough.to_string()),
    }
}

fn governor(governors: Option<&[String]>) -> Finding {
    let Some(governors) = governors else {
        let found = "the kernel names none, as in most virtual machines".to_owned();
        let remedy = "where the host is yours, set `performance` there";
        return Finding::not_ok(Check::Governor, Level::Unknown, found, remedy);
    };
    let found = governors.join(", ");
    if slow_governors(governors).is_empty() {
        return Finding::ok(Check::Governor, found);
    }
    let remedy = "have the processors run at full speed meanwhile: `cpupower frequency-set -g performance`, as root";
    Finding::not_ok(Check::Governor, Level::Warning, found, remedy)
}

fn steal(facts: &Facts) -> Finding {
    let most = facts.demand.steal_share_max;
    let Some(share) = facts.at_rest.steal_share else {
        let found = "the kernel does not tell how much time other machines had".to_owned();
        return Finding::not_ok(Check::Steal, Level::Unknown, found, "see that no other machine runs on the host");
    };
    let found = format!("{} of the processors' time went to other machines", percent(share));
    let remedy = "take a machine with processors of its own, or measure when the others on its host are quiet; \
        `[disturbance] rerun = true` in a scenario runs disturbed trials again";
    graded(Check::Steal, share, most, found, remedy)
}

fn pressure(check: Check, share: Option<f64>, of_what: &str) -> Finding {
    let Some(share) = share else {
        let found = "the kernel does not tell how long others wait (CONFIG_PSI)".to_owned();
        return Finding::not_ok(check, Level::Unknown, found, "see `top` and `iostat`: nothing else should be busy");
    };
    let found = format!("some program waited for {of_what} {} of the time, while this one did nothing", percent(share));
    graded(
        check,
        share,
        PRESSURE_AT_REST_MAX,
        found,
        "end what else is running (see `top` and `iotop`), or wait until it has ended",
    )
}

/// A finding of a share that is at most to be `most`.
fn graded(check: Check, share: f64, most: f64, found: String, remedy: &str) -> Finding {
    if share > BAD_TIMES * most {
        Finding::not_ok(check, Level::Bad, found, remedy)
    } else if share > most {
        Finding::not_ok(check, Level::Warning, found, remedy)
    } else {
        Finding::ok(check, found)
    }
}

fn timer(late_us: Option<u64>) -> Finding {
    let Some(late_us) = late_us else {
        let found = "it could not be measured".to_owned();
        return Finding::not_ok(
            Check::Timer,
            Level::Unknown,
            found,
            "see that this program may start threads: `ulimit -u`",
        );
    };
    let found = format!("one of a hundred sleeps ends {late_us} us late or later");
    let remedy = "end what else is running; on a virtual machine, take one whose processors are its own";
    if late_us <= TIMER_LATE_US_MOST {
        Finding::ok(Check::Timer, found)
    } else if late_us <= TIMER_LATE_US_BAD {
        Finding::not_ok(Check::Timer, Level::Warning, found, remedy)
    } else {
        Finding::not_ok(Check::Timer, Level::Bad, found, remedy)
    }
}

fn sqlite(version: &str) -> Finding {
    if has_wal_reset_bug(version) {
        let found = format!("{version} is built in, which has the WAL-reset bug");
        return Finding::not_ok(
            Check::Sqlite,
            Level::Warning,
            found,
            "build this program with SQLite 3.51.3 or a later one",
        );
    }
    Finding::ok(Check::Sqlite, format!("{version} is built in"))
}

/// Programs that the strategies run whose names begin with these.
const NEEDED: [(&str, &str); 2] = [("cp", "cp and held-copy"), ("sqlite3", "cli-backup")];

fn programs(environment: &Environment) -> Finding {
    let programs = environment.programs.as_deref().unwrap_or_default();
    let words = |program: &Program| match (&program.path, &program.version) {
        (None, _) => format!("no {}", program.name),
        (Some(path), None) => path.display().to_string(),
        // Of sqlite3, the first word is the version, and the next ones are a date and a hash.
        (Some(path), Some(version)) => {
            let short: Vec<_> =
                version.split(' ').take(if program.name == "sqlite3" { 1 } else { usize::MAX }).collect();
            format!("{} ({})", path.display(), short.join(" "))
        }
    };
    let found = programs.iter().map(words).collect::<Vec<_>>().join(", ");
    let has = |name: &str| programs.iter().any(|program| program.name == name && program.path.is_some());
    let missing = NEEDED.iter().filter(|(name, _)| !has(name));
    let mut remedies: Vec<_> = missing
        .map(|(name, of)| format!("install {name}, without which trials of strategies such as {of} are skipped"))
        .collect();
    if environment.sqlite3_program_version.as_deref().is_some_and(has_wal_reset_bug) {
        remedies.push(
            "mind that this sqlite3 has the WAL-reset bug, unless the distribution has taken over the fix of 3.51.3"
                .to_owned(),
        );
    }
    if remedies.is_empty() {
        return Finding::ok(Check::Programs, found);
    }
    Finding::not_ok(Check::Programs, Level::Warning, found, &remedies.join("; "))
}

fn build(environment: &Environment) -> Finding {
    let revision = environment.build.as_ref().and_then(|build| build.revision.as_deref());
    let of = revision.map_or_else(String::new, |revision| format!(", of revision {revision:.12}"));
    if environment.optimised_build {
        return Finding::ok(Check::Build, format!("optimised{of}"));
    }
    let found = format!("without optimisation{of}");
    Finding::not_ok(
        Check::Build,
        Level::Bad,
        found,
        "build it with `cargo build --release` or `cargo install --path .`",
    )
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests;
