//! In what two runs differ that are to be put together: an earlier sitting of a run and the one that goes on, or the shards of a
//! scenario.
//!
//! What is compared is what results say, name by name, so that a name that is added is compared, too, and has to be the same
//! unless a rule here says otherwise.

use serde::Serialize;
use serde_json::Value;

use crate::{
    env::Environment,
    results::{DatasetResult, Results},
    scenario::Scenario,
};

/// How many differences are named in a sentence.
const NAMED: usize = 5;

/// How much the memory of like machines may differ: what the kernel and the firmware keep for themselves is not always the same.
const MEMORY_SHARE_MOST: f64 = 0.05;

/// Mount options that say where a file system lies or how large it is, and not how it works.
const PLACE_OPTIONS: [&str; 11] = [
    "addr",
    "clientaddr",
    "lowerdir",
    "mountaddr",
    "nr_blocks",
    "nr_inodes",
    "size",
    "subvol",
    "subvolid",
    "upperdir",
    "workdir",
];

/// A value that two runs do not share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its name in the results.
    name: String,
    /// What the first says, with which the other is compared.
    one: String,
    /// What the other says.
    other: String,
}

/// How alike two environments have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machines {
    /// One and the same, with the same programs: what is measured anew is all that may differ.
    Same,
    /// Machines of one kind, with the same programs (wherever they lie): the same model and number of processors, kernel series, and type of file
    /// system mounted with the same options; memory within [`MEMORY_SHARE_MOST`]. How long an fsync takes is no matter of
    /// kind: it changes with what else the disk does, and is warned of instead ([`super::warnings`]). Neither is what
    /// else was measured of the disk, nor how late a sleep ends.
    Alike,
    /// As [`Self::Alike`], whichever build of this program measured: what is compared may be two of them.
    Compared,
}

impl Difference {
    /// In words, where `one` is of an earlier sitting and `other` of now.
    pub(crate) fn since_then(&self) -> String {
        format!("{} is {} and was {}", self.name, self.other, self.one)
    }

    /// In words, of two that stand beside each other.
    pub(crate) fn between(&self) -> String {
        format!("{}: {} and {}", self.name, self.one, self.other)
    }

    /// In words, where `other` should be as `one` is.
    pub(crate) fn instead(&self) -> String {
        format!("{} is {} instead of {}", self.name, self.other, self.one)
    }
}

/// Differences in words, and how many are left out.
pub(crate) fn in_words(differences: &[Difference], words: fn(&Difference) -> String) -> String {
    let mut named: Vec<_> = differences.iter().take(NAMED).map(words).collect();
    if differences.len() > NAMED {
        named.push(format!("and {} more", differences.len() - NAMED));
    }
    named.join("; ")
}

/// In what two scenarios differ that a measurement depends on: why one exists, what its author expects and which thresholds it has
/// is no such thing.
///
/// # Errors
/// Where one cannot be written as JSON.
pub(crate) fn of_measurements(one: &Scenario, other: &Scenario) -> serde_json::Result<Vec<Difference>> {
    differences(one, other, &|name, one, other| {
        matches!(name, "name" | "why" | "expect" | "thresholds") || one == other
    })
}

/// In what two scenarios differ.
///
/// # Errors
/// Where one cannot be written as JSON.
pub(crate) fn of_scenarios(one: &Scenario, other: &Scenario) -> serde_json::Result<Vec<Difference>> {
    differences(one, other, &|_, one, other| one == other)
}

/// In what two datasets differ.
///
/// # Errors
/// Where one cannot be written as JSON.
pub(crate) fn of_datasets(one: &DatasetResult, other: &DatasetResult) -> serde_json::Result<Vec<Difference>> {
    differences(one, other, &|_, one, other| one == other)
}

/// In what two environments differ.
///
/// # Errors
/// Where one cannot be written as JSON.
pub(crate) fn of_environments(
    one: &Environment,
    other: &Environment,
    machines: Machines,
) -> serde_json::Result<Vec<Difference>> {
    differences(one, other, &|name, one, other| match (machines, name) {
        (_, "fsync_us_p50") => true,
        (_, name) if name.starts_with("timer_late") || name.starts_with("disk_probe") => true,
        (Machines::Compared, name) if name.starts_with("build") => true,
        // What an older program did not say differs from nothing.
        (Machines::Compared, "programs" | "sqlite_source_id" | "sqlite_found" | "cpu_governors")
            if one.is_null() || other.is_null() =>
        {
            true
        }
        (Machines::Same, _) => one == other,
        (_, "memory_bytes") => is_like_memory(one, other),
        (_, "kernel") => kernel_series(one) == kernel_series(other),
        (_, "mount_options") => mount_options(one) == mount_options(other),
        (_, "programs") => programs(one) == programs(other),
        (_, "sqlite_found") => without_places(one) == without_places(other),
        _ => one == other,
    })
}

/// In what the program that wrote results differs from one of this version.
pub(crate) fn of_programs(one: &Results, version: &str) -> Option<Difference> {
    let difference = || Difference {
        name: "journalbench_version".to_owned(),
        one: one.journalbench_version.clone(),
        other: version.to_owned(),
    };
    (one.journalbench_version != version).then(difference)
}

/// Programs without where they lie.
fn programs(programs: &Value) -> Option<Vec<(&Value, &Value)>> {
    Some(programs.as_array()?.iter().map(|program| (&program["name"], &program["version"])).collect())
}

/// SQLite libraries without where the programs lie that they are in.
fn without_places(found: &Value) -> Option<Vec<Value>> {
    let without_place = |mut sqlite: Value| {
        sqlite.as_object_mut().map(|fields| fields.remove("program"));
        sqlite
    };
    Some(found.as_array()?.iter().cloned().map(without_place).collect())
}

/// Whether two sizes of memory differ by no more than [`MEMORY_SHARE_MOST`] of the smaller.
fn is_like_memory(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.max(other) <= one.min(other) * (1.0 + MEMORY_SHARE_MOST),
        _ => one == other,
    }
}

/// The name of a kernel and the first two numbers of its release: `Linux 6.12` of `Linux 6.12.41-cloud`.
fn kernel_series(kernel: &Value) -> Option<Vec<&str>> {
    Some(kernel.as_str()?.split(['.', '-']).take(2).collect())
}

/// Mount options, in alphabetical order, without those of [`PLACE_OPTIONS`].
fn mount_options(options: &Value) -> Option<Vec<&str>> {
    let is_place = |option: &&str| PLACE_OPTIONS.contains(&option.split('=').next().unwrap_or_default());
    let mut options: Vec<_> = options.as_str()?.split(',').filter(|option| !is_place(option)).collect();
    options.sort_unstable();
    Some(options)
}

/// Whether the values of a name are taken as the same.
type IsSame<'a> = &'a dyn Fn(&str, &Value, &Value) -> bool;

/// In which values two things differ, as results would say them.
fn differences(
    one: &impl Serialize,
    other: &impl Serialize,
    is_same: IsSame<'_>,
) -> serde_json::Result<Vec<Difference>> {
    let (one, other) = (serde_json::to_value(one)?, serde_json::to_value(other)?);
    let mut differences = Vec::new();
    compare("", &one, &other, is_same, &mut differences);
    Ok(differences)
}

fn compare(name: &str, one: &Value, other: &Value, is_same: IsSame<'_>, differences: &mut Vec<Difference>) {
    if let (Value::Object(ones), Value::Object(others)) = (one, other) {
        let inner = ones.keys().chain(others.keys().filter(|inner| !ones.contains_key(*inner)));
        for inner in inner {
            let full = if name.is_empty() { inner.clone() } else { format!("{name}.{inner}") };
            compare(&full, &one[inner.as_str()], &other[inner.as_str()], is_same, differences);
        }
    } else if !is_same(name, one, other) {
        differences.push(Difference { name: name.to_owned(), one: one.to_string(), other: other.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::samples;

    #[test]
    fn scenarios_differ_by_the_names_of_their_keys() {
        let scenario = samples::scenario(&[]);
        assert_eq!(of_scenarios(&scenario, &scenario).unwrap(), []);
        let other = samples::scenario(&["load.rate_ops=17", "repetitions=3"]);
        let differences = of_scenarios(&scenario, &other).unwrap();
        let words = |words| in_words(&differences, words);
        assert_eq!(
            words(Difference::since_then),
            "load.rate_ops is [17.0] and was [1000.0]; repetitions is 3 and was 1"
        );
        assert_eq!(
            words(Difference::instead),
            "load.rate_ops is [17.0] instead of [1000.0]; repetitions is 3 instead of 1"
        );
        let many = [&differences[..], &differences[..], &differences[..], &differences[..]].concat();
        let words = in_words(&many, Difference::instead);
        assert_eq!((words.matches(" instead of ").count(), words.ends_with("; and 3 more")), (5, true), "{words}");
    }

    type Change = fn(&mut Environment);

    /// The names in which the sample environment differs from itself after a change.
    fn differing(machines: Machines, change: Change) -> Vec<String> {
        let (environment, mut changed) = (samples::environment(), samples::environment());
        change(&mut changed);
        let there = of_environments(&environment, &changed, machines).unwrap();
        let back = of_environments(&changed, &environment, machines).unwrap();
        let names = |differences: Vec<Difference>| differences.into_iter().map(|found| found.name).collect::<Vec<_>>();
        let there = names(there);
        assert_eq!(names(back), there, "it does not matter which is first");
        there
    }

    #[test]
    fn machines_are_the_same_but_for_what_is_measured_or_alike_within_bounds() {
        let cases: [(Change, &str, bool, bool); 35] = [
            (|_| (), "", true, true),
            (|machine| machine.fsync_us_p50 = Some(9_999), "fsync_us_p50", true, true),
            (|machine| machine.fsync_us_p50 = None, "fsync_us_p50", true, true),
            (|machine| machine.timer_late_us_p99 = Some(9_999), "timer_late_us_p99", true, true),
            (|machine| machine.timer_late_us_p99 = None, "timer_late_us_p99", true, true),
            (|machine| machine.timer_late.as_mut().unwrap().max_us = 9_999, "timer_late.max_us", true, true),
            (|machine| machine.timer_late = None, "timer_late", true, true),
            (|machine| machine.disk_probe.as_mut().unwrap().fsync = None, "disk_probe.fsync", true, true),
            (|machine| machine.disk_probe = None, "disk_probe", true, true),
            (
                |machine| machine.sqlite_found.as_mut().unwrap()[1].program = "/sqlite3".into(),
                "sqlite_found",
                false,
                true,
            ),
            (|machine| machine.sqlite_found.as_mut().unwrap()[1].compile_options = None, "sqlite_found", false, false),
            (|machine| machine.sqlite_found = None, "sqlite_found", false, false),
            (|machine| machine.cpu_governors = Some(vec!["powersave".into()]), "cpu_governors", false, false),
            (|machine| machine.cpu_governors = None, "cpu_governors", false, false),
            (|machine| machine.memory_bytes += 1, "memory_bytes", false, true),
            (|machine| machine.memory_bytes = 16_800_000_000, "memory_bytes", false, true),
            (|machine| machine.memory_bytes = 16_800_000_001, "memory_bytes", false, false),
            (|machine| machine.memory_bytes = 15_000_000_000, "memory_bytes", false, false),
            (|machine| machine.kernel = "Linux 6.0.12-cloud".into(), "kernel", false, true),
            (|machine| machine.kernel = "Linux 6.1".into(), "kernel", false, false),
            (|machine| machine.kernel = "Linux 5.0".into(), "kernel", false, false),
            (|machine| machine.mount_options = "size=8m,rw,upperdir=/a/b".into(), "mount_options", false, true),
            (|machine| machine.mount_options = "rw,nobarrier".into(), "mount_options", false, false),
            (|machine| machine.file_system = "xfs".into(), "file_system", false, false),
            (|machine| machine.processor = "another".into(), "processor", false, false),
            (|machine| machine.processors = 4, "processors", false, false),
            (|machine| machine.sqlite_version = "3.54.2".into(), "sqlite_version", false, false),
            (|machine| machine.sqlite_sync_call = "fdatasync".into(), "sqlite_sync_call", false, false),
            (|machine| machine.sqlite3_program_version = None, "sqlite3_program_version", false, false),
            (|machine| machine.cp_version = None, "cp_version", false, false),
            (|machine| machine.optimised_build = false, "optimised_build", false, false),
            (|machine| machine.build = None, "build", false, false),
            (|machine| machine.build.as_mut().unwrap().revision = None, "build.revision", false, false),
            (|machine| machine.programs.as_mut().unwrap()[0].path = None, "programs", false, true),
            (|machine| machine.programs.as_mut().unwrap()[0].version = None, "programs", false, false),
        ];
        for (number, (change, name, is_same, is_alike)) in cases.into_iter().enumerate() {
            for (machines, is_like) in [(Machines::Same, is_same), (Machines::Alike, is_alike)] {
                let expected = if is_like { Vec::new() } else { vec![name.to_owned()] };
                assert_eq!(differing(machines, change), expected, "case {number}, {machines:?}");
            }
        }
    }

    #[test]
    fn runs_of_two_builds_are_compared() {
        let cases: [(Change, &[&str]); 9] = [
            (|machine| machine.sqlite_found = None, &[]),
            (|machine| machine.disk_probe = None, &[]),
            (|machine| machine.cpu_governors = None, &[]),
            (|machine| machine.cpu_governors = Some(vec!["powersave".to_owned()]), &["cpu_governors"]),
            (|machine| machine.build = None, &[]),
            (|machine| machine.build.as_mut().unwrap().modified = Some(true), &[]),
            (|machine| machine.programs = None, &[]),
            (|machine| machine.sqlite_source_id = Some("another".to_owned()), &["sqlite_source_id"]),
            (|machine| machine.optimised_build = false, &["optimised_build"]),
        ];
        for (change, expected) in cases {
            assert_eq!(differing(Machines::Compared, change), expected);
        }
    }

    #[test]
    fn kernels_have_series() {
        let is_same = |one: &str, other: &str| kernel_series(&one.into()) == kernel_series(&other.into());
        for (one, other, expected) in [
            ("Linux 6.12.41-cloud", "Linux 6.12.9", true),
            ("Linux 6.12-rc1", "Linux 6.12.0", true),
            ("Linux 6.12", "Linux 6.1", false),
            ("Linux 6.12", "Other 6.12", false),
            ("", "Linux 6.12", false),
        ] {
            assert_eq!(is_same(one, other), expected, "{one}, {other}");
        }
    }

    #[test]
    fn another_version_of_the_program_is_a_difference() {
        let results = samples::results(Vec::new());
        assert_eq!(of_programs(&results, "0.1.0"), None);
        let difference = of_programs(&results, "0.2.0").unwrap();
        assert_eq!(difference.since_then(), "journalbench_version is 0.2.0 and was 0.1.0");
    }
}
