//! The copying child process, which is a hidden subcommand of this program's binary.
//!
//! It finds the code for a [`Method`]; the code itself is in the files of the strategies. What the child is told and what it
//! says is in [`super::protocol`].

use std::path::Path;

use anyhow::Result;

use super::{
    protocol::Method,
    strategies::{backup, held_copy, stop_copy, vacuum_into},
};

/// Copies `live` to `out`.
///
/// # Errors
/// What SQLite and the operating system say, a locked database among it.
pub fn run(method: &Method, live: &Path, out: &Path) -> Result<()> {
    match method {
        Method::Backup(options) => backup::copy(*options, live, out),
        Method::VacuumInto(options) => vacuum_into::copy(*options, live, out),
        Method::HeldCopy(options, cp) => held_copy::copy_and_report(*options, cp, live, out),
        Method::CheckpointAndCopy(options, cp) => stop_copy::copy(*options, cp, live, out),
    }
}
