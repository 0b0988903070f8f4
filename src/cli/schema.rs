//! `journalbench schema`: the JSON Schema of a results.json.

use anyhow::Context as _;

use super::{CommandError, CommandOutcome, print};
use crate::results;

/// What stands below the options.
pub(super) const HELP: &str = "\
The schema (draft 2020-12) describes every name in a results.json, with its unit, and allows what this version of journalbench reads.

Examples:
  journalbench schema > results.schema.json
  check-jsonschema --schemafile results.schema.json my-results/results.json    # of the package check-jsonschema";

/// Runs the command.
pub(super) fn schema() -> Result<CommandOutcome, CommandError> {
    let json = serde_json::to_string_pretty(&results::schema()).context("cannot write the schema as JSON")?;
    print(&format!("{json}\n"))?;
    Ok(CommandOutcome::Done)
}
