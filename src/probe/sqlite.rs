//! The SQLite libraries that a run uses: the one that is built in, and those in the programs that strategies run. Two builds of one version
//! may differ in what they do at a sync or with a cache, so that each is asked for its compile options, too.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the built-in SQLite is called.
const BUILT_IN: &str = "built in";

/// A SQLite that a run uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqliteFound {
    /// The path of the program that it is in; `built in` for the one in journalbench itself.
    pub program: String,
    /// Its version; `None` where the program does not tell.
    pub version: Option<String>,
    /// The revision of SQLite's sources; `None` where the program does not tell.
    pub source_id: Option<String>,
    /// The options that it was compiled with, as `PRAGMA compile_options` lists them; `None` where the program does not tell.
    pub compile_options: Option<Vec<String>>,
    /// Whether this version has the WAL-reset bug: 3.7.0 to 3.51.2 do, but for 3.44.6, 3.50.7 and what followed them as 3.44 and
    /// 3.50, unless the distribution has taken over the fix. `None` where the version is not known.
    pub has_wal_reset_bug: Option<bool>,
}

impl SqliteFound {
    /// One of which nothing is known but where it is.
    fn unknown(program: &str) -> Self {
        let program = program.to_owned();
        Self { program, version: None, source_id: None, compile_options: None, has_wal_reset_bug: None }
    }

    /// One that said a version, a revision and its compile options.
    fn told(program: &str, version: String, source_id: String, compile_options: Vec<String>) -> Self {
        Self {
            has_wal_reset_bug: Some(has_wal_reset_bug(&version)),
            version: Some(version),
            source_id: Some(source_id),
            compile_options: Some(compile_options),
            ..Self::unknown(program)
        }
    }
}

/// The built-in one, and those of `sqlite3` and `sqlite3_rsync` where they are installed.
#[must_use]
pub(crate) fn found(sqlite3: Option<&Path>, sqlite3_rsync: Option<&Path>) -> Vec<SqliteFound> {
    let name = |path: &Path| path.display().to_string();
    let of_sqlite3 = |path: &Path| {
        let said = ask(path).and_then(|answer| read(&name(path), &answer));
        said.unwrap_or_else(|| SqliteFound::unknown(&name(path)))
    };
    // It has no argument that would have it tell.
    let of_rsync = |path: &Path| SqliteFound::unknown(&name(path));
    [Some(built_in()), sqlite3.map(of_sqlite3), sqlite3_rsync.map(of_rsync)].into_iter().flatten().collect()
}

fn built_in() -> SqliteFound {
    let ask = || -> rusqlite::Result<_> {
        let connection = Connection::open_in_memory()?;
        let source_id = connection.query_row("SELECT sqlite_source_id()", [], |row| row.get(0))?;
        let mut statement = connection.prepare("PRAGMA compile_options")?;
        let options = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok((source_id, options))
    };
    match ask() {
        Ok((source_id, options)) => SqliteFound::told(BUILT_IN, rusqlite::version().to_owned(), source_id, options),
        Err(_) => SqliteFound::unknown(BUILT_IN),
    }
}

/// What a `sqlite3` program answers to the questions that [`read`] knows; `None` where it fails. Nobody's ~/.sqliterc is read.
fn ask(sqlite3: &Path) -> Option<String> {
    let questions = "SELECT sqlite_version(); SELECT sqlite_source_id(); PRAGMA compile_options;";
    let mut command = Command::new(sqlite3);
    command.args(["-batch", "-list", "-noheader", "-init", "/dev/null", ":memory:", questions]);
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The answer of a program: its version, its revision, and an option a line. `None` where it does not begin with a version.
fn read(program: &str, answer: &str) -> Option<SqliteFound> {
    let mut lines = answer.lines().map(|line| line.trim().to_owned());
    let version = lines.next().filter(|line| numbers(line).len() >= 3)?;
    let source_id = lines.next()?;
    Some(SqliteFound::told(program, version, source_id, lines.filter(|line| !line.is_empty()).collect()))
}

/// The numbers that a version begins with.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Whether a version of SQLite has the WAL-reset bug: 3.7.0 to 3.51.2, but for SQLite's own backports of the fix (`docs/sqlite.md`,
/// 7). The withdrawn 3.52.0 has the fix, too. Distributions may have backported it.
pub(crate) fn has_wal_reset_bug(version: &str) -> bool {
    let numbers = numbers(version);
    let &[major, minor, patch, ..] = numbers.as_slice() else { return false };
    let version = (major, minor, patch);
    let is_backport = matches!(version, (3, 44, 6..) | (3, 50, 7..));
    ((3, 7, 0)..=(3, 51, 2)).contains(&version) && !is_backport
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    #[test]
    fn versions_with_the_wal_reset_bug() {
        for (version, has) in [
            ("3.6.23", false),
            ("3.7.0", true),
            ("3.40.1", true),
            ("3.44.5", true),
            ("3.44.6", false),
            ("3.44.7", false),
            ("3.45.0", true),
            ("3.50.6", true),
            ("3.50.7", false),
            ("3.50.8", false),
            ("3.51.0", true),
            ("3.51.2", true),
            ("3.51.3", false),
            ("3.52.0", false),
            ("3.53.0", false),
            ("3.54.1", false),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(has_wal_reset_bug(version), has, "{version}");
        }
    }

    #[test]
    fn the_answer_of_a_program_is_read_or_nothing_is_known() {
        let whole = read("sqlite3", "3.40.1\n2022-12-28 df5c\nCOMPILER=gcc-12.2.0\nTHREADSAFE=1\n").unwrap();
        assert_eq!(whole.version.as_deref(), Some("3.40.1"));
        assert_eq!(whole.source_id.as_deref(), Some("2022-12-28 df5c"));
        assert_eq!(whole.compile_options.unwrap(), ["COMPILER=gcc-12.2.0", "THREADSAFE=1"]);
        assert_eq!(whole.has_wal_reset_bug, Some(true));
        let without_options = read("sqlite3", "3.51.3\nid\n").unwrap();
        assert_eq!((without_options.compile_options, without_options.has_wal_reset_bug), (Some(vec![]), Some(false)));
        for answer in ["", "3.40.1", "Error: in prepare\n1\n", "3.40\nid\n"] {
            assert_eq!(read("sqlite3", answer), None, "{answer}");
        }
    }

    #[test]
    fn the_built_in_one_is_asked_and_so_is_each_program_that_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let good = script("sqlite3", "printf '3.51.2\\nid\\nOMIT_LOAD_EXTENSION\\n'");
        let bad = script("broken", "echo 3.51.2; exit 1");
        let all = found(Some(&good), Some(&bad));
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].program, "built in");
        assert_eq!(all[0].version.as_deref(), Some(rusqlite::version()));
        assert_eq!(all[0].has_wal_reset_bug, Some(has_wal_reset_bug(rusqlite::version())));
        assert!(all[0].compile_options.as_ref().is_some_and(|options| !options.is_empty()), "{all:?}");
        assert_eq!((all[1].version.as_deref(), all[1].has_wal_reset_bug), (Some("3.51.2"), Some(true)));
        assert_eq!(all[2], SqliteFound::unknown(&bad.display().to_string()));
        assert_eq!(found(Some(&bad), None)[1], SqliteFound::unknown(&bad.display().to_string()));
        assert_eq!(found(Some(&folder.path().join("none")), None)[1].version, None);
    }
}
