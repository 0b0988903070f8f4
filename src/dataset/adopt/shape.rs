//! Whether a database is a tracker's: its tables, columns and indexes, and nothing else that a trial would change unseen.
//!
//! The text of its schema may differ: trackers were written by people, and so were the migrations between them.

use rusqlite::{Connection, params};

use super::{ReadError, refuse};
use crate::{dataset::SchemaRow, digest::Part, pages::header::Header};

/// A table of the tracker.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What its rows are hashed as.
    pub part: Part,
    /// Its name.
    pub name: &'static str,
    /// The column with the unique index, whose type is TEXT.
    pub text: &'static str,
    /// The third column, of integers, where there is one.
    pub number: Option<&'static str>,
    /// Whether the third column may be NULL.
    number_may_be_null: bool,
    /// Whether tracker 3.x has it.
    in_3: bool,
}

const TABLES: [Table; 4] = [
    Table {
        part: Part::Torrents,
        name: "torrents",
        text: "info_hash",
        number: Some("completed"),
        number_may_be_null: false,
        in_3: true,
    },
    Table {
        part: Part::Whitelist,
        name: "whitelist",
        text: "info_hash",
        number: None,
        number_may_be_null: false,
        in_3: true,
    },
    // The first 3.x releases had keys expire always.
    Table {
        part: Part::Keys,
        name: "keys",
        text: "key",
        number: Some("valid_until"),
        number_may_be_null: true,
        in_3: true,
    },
    Table {
        part: Part::Aggregate,
        name: "torrent_aggregate_metrics",
        text: "metric_name",
        number: Some("value"),
        number_may_be_null: false,
        in_3: false,
    },
];

/// What newer trackers note their migrations in.
pub const MIGRATIONS: &str = "_sqlx_migrations";

/// Refuses what the header shows.
pub fn check_header(header: &Header) -> Result<(), String> {
    let reason = if !header.is_database() {
        "it is no SQLite database"
    } else if header.has_auto_vacuum() {
        "it has auto_vacuum, and its pointer maps are not understood; VACUUM a copy with auto_vacuum = none"
    } else if !header.is_utf8() {
        "its texts are not UTF-8"
    } else if header.reserved_bytes() != 0 {
        "a part of each of its pages is reserved for an extension"
    } else {
        return Ok(());
    };
    Err(reason.to_owned())
}

/// Drops the table of migrations from a copy: no load touches it, and its few pages become free ones.
pub fn drop_migrations(connection: &Connection) -> Result<(), ReadError> {
    Ok(connection.execute_batch(&format!("DROP TABLE IF EXISTS {MIGRATIONS}"))?)
}

/// The tables that are there: those of tracker 3.x, or of 4.x.
pub fn check(connection: &Connection, schema: &[SchemaRow]) -> Result<Vec<Table>, ReadError> {
    for row in schema {
        let of_tracker = TABLES.iter().any(|table| table.name == row.table);
        let automatic = row.sql.is_none();
        let is_known = row.name == "sqlite_sequence" || (of_tracker && (automatic || row.kind == "table"));
        if !is_known {
            return refuse(format!(
                "it has the {} {}, which no tracker makes, so what it does to the content is not known",
                row.kind, row.name
            ));
        }
    }
    let is_there = |name: &str| schema.iter().any(|row| row.kind == "table" && row.name == name);
    let mut tables = Vec::new();
    for table in TABLES {
        if is_there(table.name) {
            check_table(connection, &table, schema)?;
            tables.push(table);
        } else if table.in_3 {
            return refuse(format!("it has no table {}: it is not a tracker's", table.name));
        }
    }
    Ok(tables)
}

fn check_table(connection: &Connection, table: &Table, schema: &[SchemaRow]) -> Result<(), ReadError> {
    let name = table.name;
    let columns = connection
        .prepare("SELECT name, upper(type), \"notnull\", pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
        .collect::<rusqlite::Result<Vec<(String, String, bool, i64, i64)>>>()?;
    let mut expected = vec![("id", "INTEGER", false, 1), (table.text, "TEXT", true, 0)];
    expected.extend(table.number.map(|number| (number, "INTEGER", !table.number_may_be_null, 0)));
    let as_expected = columns.len() == expected.len()
        && columns.iter().zip(&expected).all(|(found, expected)| {
            let (column, kind, not_null, key, hidden) = found;
            let of_text = (column.as_str(), kind.as_str(), *key, *hidden) == (expected.0, expected.1, expected.3, 0);
            of_text && (*not_null == expected.2 || expected.3 == 1 || (table.number_may_be_null && *not_null))
        });
    if !as_expected {
        let found: Vec<_> = columns.iter().map(|(column, kind, ..)| format!("{column} {kind}")).collect();
        return refuse(format!("its table {name} has other columns than a tracker's: {}", found.join(", ")));
    }
    let of_rows = "SELECT wr = 0 AND strict = 0 FROM pragma_table_list WHERE schema = 'main' AND name = ?1";
    let text = schema.iter().find(|row| row.name == name).and_then(|row| row.sql.as_deref()).unwrap_or_default();
    let words = text.to_ascii_uppercase();
    if !connection.query_row(of_rows, [name], |row| row.get::<_, bool>(0))? || !words.contains("AUTOINCREMENT") {
        return refuse(format!("its table {name} is not one with an AUTOINCREMENT id, as a tracker's is"));
    }
    check_index(connection, table)
}

/// One unique index, on the text, compared byte by byte.
fn check_index(connection: &Connection, table: &Table) -> Result<(), ReadError> {
    let sql = "SELECT x.name, x.coll, x.\"desc\" FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x
        WHERE l.\"unique\" AND NOT l.partial AND x.key";
    let found = connection
        .prepare(sql)?
        .query_map(params![table.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(Option<String>, String, bool)>>>()?;
    match found.as_slice() {
        [(Some(column), collation, false)] if column == table.text && collation == "BINARY" => Ok(()),
        _ => refuse(format!("its table {} has not exactly a unique index on {}", table.name, table.text)),
    }
}
