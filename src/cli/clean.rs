//! `journalbench clean`: what killed runs and snapshots have left in a folder, listed, and removed on request.

use std::path::PathBuf;

use clap::Args;

use super::{CommandError, CommandOutcome, absolute, print};
use crate::own_folder::{self, Abandoned};

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A work folder, or a folder that copies were to stand in
    #[arg(value_name = "DIR", env = "JOURNALBENCH_DIR", default_value = "journalbench-work")]
    folder: PathBuf,
    /// Remove what is listed
    #[arg(long)]
    remove: bool,
}

/// Runs the command.
pub(super) fn clean(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    let folder = absolute(&arguments.folder)?;
    let abandoned = own_folder::abandoned_in(&folder);
    if abandoned.is_empty() {
        print(&format!("{}: no killed run or snapshot has left anything here\n", folder.display()))?;
        return Ok(CommandOutcome::Done);
    }
    let lines = abandoned.iter().map(|Abandoned { path, bytes }| format!("{bytes:>16}  {}\n", path.display()));
    print(&format!("           bytes  left by a killed run or snapshot\n{}", lines.collect::<String>()))?;
    if !arguments.remove {
        print("nothing was removed; --remove does it\n")?;
        return Ok(CommandOutcome::Done);
    }
    abandoned.iter().try_for_each(own_folder::remove)?;
    print("all of it was removed\n")?;
    Ok(CommandOutcome::Done)
}
