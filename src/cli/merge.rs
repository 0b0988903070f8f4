//! `journalbench merge`: the results of shards in, those of the whole scenario out.

use std::path::PathBuf;

use clap::Args;

use super::{
    CommandError, CommandOutcome,
    out_folder::{self, OutFolder},
    report,
};
use crate::{
    progress::print_line,
    run::{self, ShardFile},
};

/// What stands below the options.
pub(super) const HELP: &str = "\
The results must be of one scenario with one set of seeds, one version of journalbench and of SQLite, one dataset, and machines
like that of the first shard: the same model and number of processors, kernel series (as 6.12), file system and mount options,
and memory within 5 %. What differs is named, and nothing is written. Both trials of a pair are always of one shard, and so of one
machine.

Examples:
  journalbench run quick --shard 1/2 --out shard-1      # on the one machine
  journalbench run quick --shard 2/2 --out shard-2      # on the other
  journalbench merge shard-1/results.json shard-2/results.json --out merged
  journalbench merge shard-1/results.json --partial --out part         # what there is so far";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The results of each shard
    #[arg(value_name = "RESULTS.json", required = true)]
    results: Vec<PathBuf>,
    /// Folder for results.json, report.md and report.html; must not exist. Kept databases stay where they are, and are named from there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Merge what there is where shards or trials are missing; the results then say that they are a part
    #[arg(long)]
    partial: bool,
}

/// Runs the command.
pub(super) fn merge(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    let out_dir = out_folder::new_path(&arguments.out)?;
    let files = arguments.results.iter().map(|path| ShardFile::load(path, &mut |line: String| print_line(&line)));
    let files = files.collect::<anyhow::Result<Vec<_>>>()?;
    let mut results = run::merge(files, arguments.partial).map_err(CommandError::Usage)?;
    let out = OutFolder::create(&out_dir)?;
    run::name_kept_from(&mut results, &out.path)?;
    out.write(&results)?;
    report::tell(&results, &out.files(), false);
    Ok(CommandOutcome::Done)
}
