//! `journalbench generate`: a tracker-shaped database from a seed.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, absolute, tell};
use crate::{
    dataset::{self, Dataset, GenerateError, IndexFill, ROWS_MOST, Size},
    interrupt::Interrupt,
    own_folder::{self, OwnFolder},
    progress::{self, print_line},
    sqlite,
    work::{self, give_name},
};

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rows: RowsArguments,
    /// What every value follows from
    #[arg(long, value_name = "N", default_value_t = 310)]
    seed: u64,
    /// Page size of the file, a power of two from 512 to 65536
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = page_size)]
    page_size_bytes: u32,
    /// How full the pages of indexes are, from 0.5 to 1; random inserts leave them at about 0.9
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_parser = index_fill)]
    index_fill: IndexFill,
    /// The file; must not exist
    #[arg(value_name = "OUT.db")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RowsArguments {
    /// Size of the file, as in 17GB: as many rows as come closest
    #[arg(long)]
    size: Option<Size>,
    /// Rows of `torrents`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=ROWS_MOST))]
    rows: Option<u64>,
}

fn page_size(text: &str) -> Result<u32, String> {
    let power = text.parse().ok().filter(|bytes: &u32| bytes.is_power_of_two() && (512..=65_536).contains(bytes));
    power.ok_or_else(|| "expected a power of two from 512 to 65536".to_owned())
}

fn index_fill(text: &str) -> Result<IndexFill, String> {
    text.parse().ok().and_then(IndexFill::new).ok_or_else(|| "expected 0.5 to 1".to_owned())
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn generate(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let Arguments { rows, out, index_fill, .. } = arguments;
    let files = sqlite::SIDE_FILES.map(|suffix| sqlite::side_file(out, suffix));
    if let Some(file) = [out].into_iter().chain(&files).find(|file| file.symlink_metadata().is_ok()) {
        return Err(CommandError::Usage(anyhow!("{}: exists, and nothing is overwritten", file.display())));
    }
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let parent = absolute(out)?.parent().map(PathBuf::from).context("no name for a file")?;
    // Before the room is looked at, which it takes.
    own_folder::remove_abandoned(&parent, print_line);
    let dataset = match dataset_of(arguments, rows, &interrupt) {
        Err(CommandError::Environment(error)) if interrupted(&error) => return Ok(CommandOutcome::Interrupted),
        dataset => dataset?,
    };
    let describe = || format!("cannot write {}", arguments.out.display());
    let out = absolute(out)?;
    let hidden = OwnFolder::beside(&out).with_context(describe)?;
    let half = hidden.path().join("dataset.db");
    let mut display = progress::Bytes::new("generating");
    let options = dataset::FileOptions { index_fill: *index_fill, ..dataset::FileOptions::default() };
    let result = dataset::generate_with(&dataset, &options, &half, interrupt.flag(), &mut |done| {
        display.show(done.bytes, done.of_bytes);
    });
    display.finish();
    let manifest = match result {
        Err(GenerateError::Interrupted) => return Ok(CommandOutcome::Interrupted),
        result => result.with_context(describe)?,
    };
    give_name(&half, &out).with_context(describe)?;
    let dataset::Manifest { bytes, digest, .. } = manifest;
    tell(&format!("rows    {}\nbytes   {bytes}\ndigest  {digest}\n{}\n", dataset.rows, arguments.out.display()));
    Ok(CommandOutcome::Done)
}

fn interrupted(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(GenerateError::Interrupted))
}

/// The dataset that was asked for, if there is room for it.
fn dataset_of(arguments: &Arguments, rows: &RowsArguments, interrupt: &Interrupt) -> Result<Dataset, CommandError> {
    /// Bytes that a row takes at the least, whatever the page size.
    const BYTES_PER_ROW_MIN: u64 = 95;

    let Arguments { seed, page_size_bytes, index_fill, out, .. } = arguments;
    let (seed, page_size_bytes, index_fill) = (*seed, *page_size_bytes, *index_fill);
    let check_room = |needed: u64| match work::free_bytes(out).filter(|free| *free < needed) {
        None => Ok(()),
        Some(free) => Err(CommandError::Usage(anyhow!(
            "{}: needs {} MB, and {} MB are free there",
            out.display(),
            needed / 1_000_000,
            free / 1_000_000
        ))),
    };
    let flag = interrupt.flag();
    let like = Dataset { rows: 1, seed, page_size_bytes, zero_share_ppm: 0 };
    // What is far too large is refused before its rows are gone through to size the file.
    let dataset = match *rows {
        RowsArguments { size: Some(size), .. } => {
            let least = Size { bytes: dataset::least_bytes(page_size_bytes, index_fill) };
            if size < least {
                return Err(CommandError::Usage(anyhow!(
                    "--size {size}: expected at least {least}, which a database of one row takes with pages of \
                    {page_size_bytes} bytes"
                )));
            }
            check_room(size.bytes)?;
            dataset::rows_for(size.bytes, like, index_fill, flag).map_err(refused)?
        }
        RowsArguments { rows, .. } => Dataset { rows: rows.unwrap_or(1), ..like },
    };
    check_room(dataset.rows * BYTES_PER_ROW_MIN)?;
    check_room(dataset::file_bytes(&dataset, index_fill, flag).map_err(refused)?)?;
    Ok(dataset)
}

fn refused(error: GenerateError) -> CommandError {
    match error {
        GenerateError::TooLarge => CommandError::Usage(error.into()),
        error => CommandError::Environment(error.into()),
    }
}
