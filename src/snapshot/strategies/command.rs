//! `command`: a command line of the user's own, run by `sh`.
//!
//! **What it is for:** to put a backup script to the test as it is, or a way to copy that is not among the strategies.
//!
//! **What it costs:** what the command costs; nothing here knows what it does. It is believed to have succeeded where it ends
//! with status 0.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    process,
};

use serde_json::json;

use crate::snapshot::{
    definition::{self, Definition, Isolation, LiveCopy, Procedure, Site, WriterRole},
    options::{OptionProblem, StrategyOptions},
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Unknown,
    writers: WriterRole::None,
    takes_snapshots: true,
    procedure,
    options: |options| json!(options.command),
    check,
    live_copy: |_| LiveCopy::Refused("is your own: run it yourself"),
};

fn procedure(site: &Site<'_>) -> Procedure {
    match &site.options.command.line {
        None => Procedure::Unavailable("snapshots.options.command.line does not say what to run".to_owned()),
        Some(line) => Procedure::child(shell(line, site.live, &site.out())),
    }
}

/// A line that no trial runs may be anything.
fn check(options: &StrategyOptions, is_used: bool) -> Result<(), OptionProblem> {
    let line = options.command.line.clone().unwrap_or_default();
    if !is_used || (line.contains("{db}") && line.contains("{out}")) {
        return Ok(());
    }
    let allowed = "expected the command line of the strategy `command`, with {db} and {out} in it".to_owned();
    Err(OptionProblem { key: "snapshots.options.command.line", found: format!("{line:?}"), allowed })
}

/// The user's command line, with the paths in their places.
fn shell(text: &str, live: &Path, out: &Path) -> process::Command {
    let places: [(&str, &Path); 2] = [("{db}", live), ("{out}", out)];
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.extend_from_slice(before.as_bytes());
        let place = places.iter().find(|(place, _)| from.starts_with(place));
        filled.extend(place.map_or_else(|| b"{".to_vec(), |(_, path)| quoted(path)));
        rest = &from[place.map_or(1, |(place, _)| place.len())..];
    }
    filled.extend_from_slice(rest.as_bytes());
    definition::command(Path::new("sh"), ["-c".into(), OsString::from_vec(filled)])
}

/// A path in single quotes, so that the shell takes it as it is.
fn quoted(path: &Path) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_gets_its_paths_quoted() {
        let (live, out) = (Path::new("/a b/it's.db"), Path::new("/c/$HOME.db"));
        for (line, expected) in [
            ("cp {db} {out}", r"cp '/a b/it'\''s.db' '/c/$HOME.db'"),
            ("{out}{db}", r"'/c/$HOME.db''/a b/it'\''s.db'"),
            ("awk '{print}' {d}", "awk '{print}' {d}"),
            ("", ""),
        ] {
            let command = shell(line, live, out);
            let arguments: Vec<_> = command.get_args().collect();
            assert_eq!(arguments, [std::ffi::OsStr::new("-c"), expected.as_ref()]);
        }
        let echo = shell("printf '%s|' {db} {out}", live, out).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&echo.stdout), "/a b/it's.db|/c/$HOME.db|");
    }
}
