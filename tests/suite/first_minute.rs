//! What somebody meets in the first minute with the program alone: its scenarios, its completions and manual pages, and what it
//! says of the machine.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::common::program::{journalbench, names, output, text};
use journalbench::{
    results::{Results, Warning},
    scenario::builtin,
};

/// What makes a trial of `quick` short.
const SHORT: [&str; 18] = [
    "--set",
    "dataset.rows=1000",
    "--set",
    "load.rate_ops=500",
    "--set",
    "repetitions=1",
    "--set",
    "sqlite.journal_mode=wal",
    "--set",
    "snapshots.strategies=none",
    "--set",
    "snapshots.deadline_s=0.1",
    "--set",
    "phases.warmup_s=0.1",
    "--set",
    "phases.baseline_s=0.3",
    "--set",
    "phases.horizon_s=0.2",
];

/// The folder of the scenarios.
fn scenarios() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

#[test]
fn a_built_in_scenario_runs_by_its_name_as_its_file_does() {
    let folder = tempfile::tempdir().unwrap();
    // A folder of that name is no scenario.
    fs::create_dir(folder.path().join("quick")).unwrap();
    let file = scenarios().join("quick.toml");
    for (scenario, out) in [("quick", "by-name"), (file.to_str().unwrap(), "by-path")] {
        let run = output(folder.path(), &[&["run", scenario, "--out", out][..], &SHORT].concat());
        assert!(run.status.success(), "{}", text(&run.stderr));
    }
    let results =
        ["by-name", "by-path"].map(|out| Results::load(&folder.path().join(out).join("results.json")).unwrap());
    let json = |results: &Results| serde_json::to_string(&results.scenario).unwrap();
    assert_eq!(json(&results[0]), json(&results[1]));
    assert_eq!(results[0].scenario.name, "quick");

    // The results say what the warnings rest on.
    let Results { environment, warnings, .. } = &results[0];
    assert!(environment.timer_late_us_p99.is_some());
    let is_few = warnings.iter().any(|warning| matches!(warning, Warning::FewProcessors { .. }));
    assert_eq!(is_few, environment.processors < 4, "{warnings:?}");

    // A run goes on by the name of its scenario, too.
    let resume = output(folder.path(), &[&["run", "quick", "--resume", "by-name"][..], &SHORT].concat());
    assert!(resume.status.success(), "{}", text(&resume.stderr));
    let another = output(folder.path(), &["run", "smoke", "--resume", "by-name"]);
    assert_eq!(another.status.code(), Some(2));
    assert!(text(&another.stderr).contains("smoke is not its scenario"), "{}", text(&another.stderr));
}

#[test]
fn scenarios_need_nothing_beside_the_program() {
    let folder = tempfile::tempdir().unwrap();
    // One with a trace and one with a command line among them.
    for name in ["smoke", "day", "strategies"] {
        let run = output(folder.path(), &["run", name, "--dry-run", "--set", "dataset.rows=1000"]);
        assert!(run.status.success(), "{name}: {}", text(&run.stderr));
    }
    for (name, expected) in [
        ("quik", "quik: no such file, and no scenario of that name is built in (did you mean `quick`?)"),
        ("xyz", "is built in; `journalbench scenarios` lists those that are"),
        ("quick.toml", "cannot read the scenario quick.toml"),
        ("./quick", "cannot read the scenario ./quick"),
    ] {
        let run = output(folder.path(), &["run", name]);
        assert_eq!(run.status.code(), Some(2), "{name}");
        assert!(text(&run.stderr).contains(expected), "{name}: {}", text(&run.stderr));
    }
    // A file is a file, whatever its name.
    fs::write(folder.path().join("quick"), "why = 7\n").unwrap();
    let run = output(folder.path(), &["run", "quick"]);
    assert!(text(&run.stderr).contains("quick: why: invalid type"), "{}", text(&run.stderr));
    assert_eq!(names(folder.path()), ["quick"], "nothing was written");
}

#[test]
fn the_scenarios_are_listed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let listed = output(folder.path(), &["scenarios"]);
    let list = text(&listed.stdout);
    assert!(listed.status.success() && list.lines().all(|line| line.chars().count() <= 80), "{list}");
    for scenario in builtin::all() {
        assert!(list.lines().any(|line| line.starts_with(scenario.name)), "{} in\n{list}", scenario.name);
    }
    let words = list.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("quick 12 "), "{list}");

    let written = output(folder.path(), &["scenarios", "--write", "a/mine"]);
    let said = text(&written.stdout);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let mine = folder.path().join("a/mine");
    for file in builtin::files() {
        assert_eq!(fs::read(mine.join(file.path)).unwrap(), file.contents);
        assert!(said.contains(&format!("a/mine/{}\n", file.path.display())), "{said}");
    }
    let script = mine.join("scripts/backup-today.sh");
    assert_ne!(script.metadata().unwrap().permissions().mode() & 0o100, 0, "a script can be run");
    let run = output(folder.path(), &["run", "a/mine/day.toml", "--dry-run"]);
    assert!(run.status.success(), "its trace lies beside it: {}", text(&run.stderr));

    // One file that is there already, and none is written.
    let kept = mine.join("quick.toml");
    fs::write(&kept, "my own").unwrap();
    fs::remove_file(&script).unwrap();
    for file in builtin::files().iter().map(|file| mine.join(file.path)).filter(|file| *file != kept && *file != script)
    {
        fs::remove_file(file).unwrap();
    }
    let refused = output(folder.path(), &["scenarios", "--write", "a/mine"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("a/mine/quick.toml exists, and nothing is overwritten"), "{said}");
    assert_eq!((fs::read_to_string(&kept).unwrap().as_str(), script.exists()), ("my own", false));
}

#[test]
fn shells_and_man_are_told_of_every_command_that_is_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let of = |arguments: &[&str]| {
        let printed = output(folder.path(), arguments);
        assert!(printed.status.success(), "{arguments:?}: {}", text(&printed.stderr));
        text(&printed.stdout)
    };
    let commands = [
        "run",
        "scenarios",
        "doctor",
        "probe",
        "merge",
        "report",
        "compare",
        "generate",
        "verify",
        "snapshot",
        "restore",
        "clean",
        "completions",
        "man",
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = of(&["completions", shell]);
        for command in commands {
            assert!(script.contains(command), "{command} in the completions of {shell}");
        }
        for hidden in ["copy-process", "watch-parent"] {
            assert!(!script.contains(hidden), "{hidden} in the completions of {shell}");
        }
    }
    let script = folder.path().join("completions");
    fs::write(&script, of(&["completions", "bash"])).unwrap();
    let bash = Command::new("bash").arg("-n").arg(&script).stdin(Stdio::null()).status();
    assert!(bash.map_or(true, |status| status.success()), "bash takes it, where it is installed");

    let page = of(&["man"]);
    for command in commands {
        assert!(page.contains(&format!("journalbench\\-{command}(1)")), "{command} in\n{page}");
        let own = of(&["man", command]);
        assert!(own.contains(&format!(".TH journalbench-{command} 1")), "{command} in\n{own}");
    }
    assert!(page.contains("130 interrupted") && !page.contains("watch\\-parent"), "{page}");
    let run = of(&["man", "run"]);
    assert!(run.contains("\\-\\-work\\-dir") && run.contains("JOURNALBENCH_DIR"), "{run}");
    let unknown = output(folder.path(), &["man", "runn"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("man runn: there is no such command; expected one of run, scenarios"));
}

#[test]
fn the_doctor_looks_at_everything_says_what_to_do_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let seen = output(folder.path(), &["doctor"]);
    let said = text(&seen.stdout);
    assert!(!said.contains('\x1b'), "no terminal, no colours: {said}");
    for check in [
        "file system",
        "fsync",
        "free room",
        "memory",
        "processors",
        "governor",
        "steal",
        "other programs",
        "other I/O",
        "timer",
        "SQLite",
        "programs",
        "build",
    ] {
        let is_its = |line: &&str| line.get(9..).is_some_and(|words| words.starts_with(check));
        let line = said.lines().find(is_its).unwrap_or_else(|| panic!("{check} in\n{said}"));
        let level = line.split(' ').next().unwrap();
        assert!(["ok", "unknown", "warning", "bad"].contains(&level), "{line}");
        let next = said
            .lines()
            .skip_while(|other| *other != line)
            .skip(1)
            .find(|line| !line.starts_with("         ") || line.contains("->"));
        assert_eq!(
            next.is_some_and(|next| next.contains("-> ")),
            level != "ok",
            "{check}: a remedy where it is not ok\n{said}"
        );
    }
    let is_bad = said.lines().any(|line| line.starts_with("bad "));
    assert_eq!(seen.status.code(), Some(i32::from(is_bad)), "{said}");
    assert_eq!(names(folder.path()), Vec::<String>::new(), "the work folder was not made, and nothing is left");
    let unknown = output(folder.path(), &["doctor", "--scenario", "quik"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean `quick`?"), "{}", text(&unknown.stderr));
}

#[test]
fn the_doctor_finds_what_no_run_could_do_with() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let file_system = |said: &str| said.lines().next().unwrap_or_default().to_owned();
    let nowhere = output(folder.path(), &["doctor", "file/work", "--scenario", "smoke"]);
    let said = text(&nowhere.stdout);
    assert_eq!(nowhere.status.code(), Some(1), "{said}");
    assert!(file_system(&said).starts_with("bad      file system      nothing can be written at "), "{said}");
    // Memory, where the machine has such a folder: durability is what is measured.
    let memory = tempfile::tempdir_in("/dev/shm");
    let is_memory = fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(" /dev/shm tmpfs "));
    if let (Ok(memory), true) = (memory, is_memory) {
        let mut doctor = journalbench(folder.path(), &["doctor"]);
        let seen = doctor.env("JOURNALBENCH_DIR", memory.path()).output().unwrap();
        let said = text(&seen.stdout);
        assert_eq!(seen.status.code(), Some(1), "{said}");
        assert!(file_system(&said).starts_with("bad      file system      tmpfs, which is memory"), "{said}");
    } else {
        println!("skipped: there is no tmpfs at /dev/shm");
    }
}

#[test]
fn a_package_leaves_out_nothing_that_the_program_is_built_of() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    // A package's own manifest says nothing of what was left out.
    for left_out in manifest["package"].get("exclude").and_then(toml::Value::as_array).into_iter().flatten() {
        let left_out = left_out.as_str().unwrap();
        // As in a .gitignore: without the slash, it would be left out wherever it lies.
        assert!(left_out.starts_with('/'), "{left_out} leaves out what has this name in any folder");
        for needed in ["/src", "/scenarios", "/build.rs"] {
            assert!(!left_out.starts_with(needed), "{left_out}");
        }
    }
}
