//! `essential`: a database of the same schema, with all of every table but the torrents that nobody has downloaded.
//!
//! **What it is for:** of the live demo's 161,454,700 torrents 96.9 % have a count of zero (torrust-tracker #1651). A tracker makes
//! such a row anew when somebody completes the torrent, so that a copy without them loses nothing that it could not
//! find out again, and has about 3 % of the size.
//!
//! **What it costs:** it is no copy of the database: who counts torrents counts fewer, and a tracker that has a list of all that
//! it has ever seen loses it. It reads in one transaction until it is done: in rollback modes that stops commits, and in
//! WAL mode the WAL grows. It reads all of `torrents`, which no index says where to find.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole},
        options::{WaitOptions, check_busy_timeout},
        protocol::Method,
    },
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Essential,
    begins_again: false,
    syncs_after: false,
    procedure: |site| Procedure::child(site.copy_process(&Method::Essential(site.options.essential))),
    options: |options| json!(options.essential),
    check: |options, _| {
        check_busy_timeout("snapshots.options.essential.busy_timeout_ms", options.essential.busy_timeout_ms)
    },
    live_copy: |_| {
        LiveCopy::AtPrice("is copied without the torrents that nobody has downloaded: this is no whole copy")
    },
};

/// A row of `sqlite_schema`: its kind, its name, and the text that made it.
struct Made {
    kind: String,
    name: String,
    sql: String,
}

/// Copies in the child process. Paths must be absolute.
pub fn copy(options: WaitOptions, live: &Path, out: &Path) -> Result<()> {
    let describe = || format!("cannot copy what is essential of {}", live.display());
    let target = Connection::open(out).with_context(|| format!("cannot make {}", out.display()))?;
    fill(&target, options, live).with_context(describe)?;
    target.close().map_err(|(_, error)| error).with_context(describe)
}

fn fill(target: &Connection, options: WaitOptions, live: &Path) -> Result<()> {
    target.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    let live = live.to_str().context("its name is not UTF-8, and SQLite attaches a database by a name in UTF-8")?;
    target.execute("ATTACH ?1 AS live", [live])?;
    let in_wal = target.query_row("PRAGMA live.journal_mode", [], |row| row.get::<_, String>(0))? == "wal";
    for pragma in ["page_size", "auto_vacuum", "encoding", "application_id", "user_version"] {
        let value: rusqlite::types::Value = target.query_row(&format!("PRAGMA live.{pragma}"), [], |row| row.get(0))?;
        target.pragma_update(Some("main"), pragma, value)?;
    }
    // A half-made copy is thrown away, and the whole one is synced at the end.
    target.pragma_update(Some("main"), "journal_mode", "off")?;
    target.execute_batch("BEGIN")?;
    let schema = schema(target)?;
    if !has_counts(target)? {
        bail!("it has no table `torrents` with a column `completed`: it is no tracker's database");
    }
    let is_own = |made: &&Made| !made.name.starts_with("sqlite_");
    let tables = || schema.iter().filter(|made| made.kind == "table").filter(is_own);
    for table in tables() {
        target.execute_batch(&table.sql)?;
        let name = quoted(&table.name);
        let which = if table.name == "torrents" { " WHERE completed <> 0" } else { "" };
        target.execute_batch(&format!("INSERT INTO main.{name} SELECT * FROM live.{name}{which}"))?;
    }
    if schema.iter().any(|made| made.name == "sqlite_sequence") {
        // What the inserts have left there is the largest id that was copied.
        target.execute_batch(
            "DELETE FROM main.sqlite_sequence; INSERT INTO main.sqlite_sequence SELECT * FROM live.sqlite_sequence",
        )?;
    }
    for made in schema.iter().filter(|made| made.kind != "table").filter(is_own) {
        target.execute_batch(&made.sql)?;
    }
    target.execute_batch("COMMIT; DETACH live")?;
    if in_wal {
        // The file says so, and the database restored from it is to be what it was.
        target.pragma_update(Some("main"), "journal_mode", "wal")?;
    }
    Ok(())
}

/// What made the live database, in the order in which it was made. Reading it begins the read transaction.
fn schema(target: &Connection) -> rusqlite::Result<Vec<Made>> {
    let sql = "SELECT type, name, sql FROM live.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
    let mut statement = target.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok(Made { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?;
    rows.collect()
}

fn has_counts(target: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM pragma_table_info('torrents', 'live') WHERE name = 'completed'";
    target.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|columns| columns > 0)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
