//! Tells the program what it is built of: the revision of its sources, the compiler, the target and the profile. What cannot be
//! found out is left out, and is unknown in the results.

use std::{env, path::Path, process::Command};

/// What is built, and so makes a build differ from its revision.
const SOURCES: [&str; 6] = ["src", "scenarios", "build.rs", "Cargo.toml", "Cargo.lock", ".cargo"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let profile = env::var("PROFILE").ok();
    tell("TARGET", env::var("TARGET").ok());
    tell("PROFILE", profile.clone());
    tell("RUSTC", env::var("RUSTC").ok().and_then(|rustc| first_line(Command::new(rustc).arg("--version"))));
    // Whatever else is built is not to be measured with, and would be built again after each commit.
    if profile.as_deref() == Some("release") && is_own_repository() {
        for file in ["HEAD", "logs/HEAD", "index"] {
            if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
        tell("REVISION", git(&["rev-parse", "HEAD"]));
        let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat());
        tell("MODIFIED", changes.map(|changes| (!changes.is_empty()).to_string()));
    }
}

/// Sources that were unpacked into somebody else's repository are not of its revision.
fn is_own_repository() -> bool {
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    let here = env::var("CARGO_MANIFEST_DIR").ok().and_then(|here| Path::new(&here).canonicalize().ok());
    top.is_some() && top == here
}

fn tell(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env=JOURNALBENCH_BUILD_{name}={value}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    // A status that writes the index would have this run again at each build.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
