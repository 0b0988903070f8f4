//! The built-in copies against the programs that they stand for, system call by system call.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use journalbench::{
    dataset::{Dataset, generate},
    snapshot::{Procedure, Programs, Site, Strategy, StrategyOptions, Task},
};

/// How often a command locks the database for reading, as `strace` sees it; `None` where it may not look.
fn read_locks(command: &Command, live: &Path, trace: &Path) -> Option<usize> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-e", "trace=fcntl", "-o"]).arg(trace).arg(command.get_program());
    traced.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        traced.current_dir(folder);
    }
    if !traced.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?.success() {
        return None;
    }
    let text = std::fs::read_to_string(trace).ok()?;
    let name = live.file_name()?.to_str()?;
    // The bytes of SQLite's SHARED lock, of which there are 510.
    let is_lock = |line: &&str| line.contains(&format!("{name}>, F_SETLK")) && line.contains("F_RDLCK");
    Some(text.lines().filter(is_lock).filter(|line| line.contains("l_len=510")).count())
}

#[test]
fn the_built_in_backup_locks_the_database_as_often_as_the_sqlite3_program() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.db");
    // Some 900 pages: more than eight steps of a hundred.
    let dataset = Dataset { rows: 8_000, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };
    let manifest = generate(&dataset, &live, &Arc::default(), &mut |_| ()).unwrap();
    assert!((801 * 1024..901 * 1024).contains(&manifest.bytes), "{} pages", manifest.bytes / 1024);
    let programs = Programs::find(env!("CARGO_BIN_EXE_journalbench").into());
    let options = StrategyOptions::default();
    let mut counts = Vec::new();
    for strategy in [Strategy::Backup, Strategy::CliBackup] {
        let copies = folder.path().join(strategy.to_string());
        std::fs::create_dir(&copies).unwrap();
        let site =
            Site { programs: &programs, options: &options, live: &live, folder: &copies, counted_sync_delay: None };
        let Procedure::Run(Task::Child(command)) = strategy.procedure(&site) else {
            println!("skipped: {strategy} cannot run here");
            return;
        };
        let Some(count) = read_locks(&command, &live, &folder.path().join("trace")) else {
            println!("skipped: strace is not installed, or may not trace here");
            return;
        };
        counts.push(count);
    }
    assert_eq!(counts[0], counts[1], "a lock a step");
    assert!(counts[0] >= 9, "one for each hundred pages: {}", counts[0]);
}
