//! The program as its users start it, in a folder of the test's own.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use super::SCENARIO;

/// The program, started in `folder`, with its work folder there.
pub fn journalbench(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    command.current_dir(folder).args(arguments).env("JOURNALBENCH_DIR", folder.join("work")).stdin(Stdio::null());
    command
}

/// What it comes to.
pub fn output(folder: &Path, arguments: &[&str]) -> Output {
    journalbench(folder, arguments).output().unwrap()
}

/// A run of a scenario with some of its keys set otherwise, in `folder`; its results go to `out`.
pub fn run_with(folder: &Path, scenario: &str, overrides: &[&str]) -> Output {
    fs::write(folder.join("test.toml"), scenario).unwrap();
    let sets = overrides.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<_> = ["run", "test.toml", "--out", "out"].into_iter().chain(sets).collect();
    output(folder, &arguments)
}

/// That a scenario is refused where a key is set otherwise, with words that say why.
pub fn assert_refused(scenario: &str, set: &str, why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = run_with(folder.path(), scenario, &[set]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{set}: {said}");
    assert!(said.contains(why), "{set}: {said}");
}

/// A folder with [`SCENARIO`] in `test.toml`.
pub fn folder_with_scenario() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.toml"), SCENARIO).unwrap();
    folder
}

/// What a program wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names of what is in a folder, in their order.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
