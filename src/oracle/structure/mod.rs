//! Whether the structure of any SQLite database is sound, read without SQLite.
//!
//! What [`super::content`] asks of a tracker's file is asked here of every database whose trees SQLite can name: each page has
//! one owner (a cell, a chain of overflow pages, the freelist) or is the lock page; cells, freeblocks and fragments add up to
//! the page; keys ascend as their collations say and lie between those of the pages above; a unique index holds no key twice;
//! each index holds the entries of its table, compared by sums of hashes.
//!
//! What is not read: NOT NULL, CHECK and the types of a STRICT table; the order of an index whose collation is an
//! application's own. Indexes on expressions, partial indexes, virtual tables, rows of more than 16 MiB and defaults that
//! only SQLite or an application can work out are left to `integrity_check` of their tables, by name ([`Reading::left_to_sqlite`]). Files with pointer maps (`auto_vacuum`), texts in
//! UTF-16, reserved bytes or a schema format before 4 are [`Structure::NotUnderstood`].
//!
//! The pages that were read are dropped from the page cache as it goes, all but the interior ones: the file may be much larger
//! than memory, and nobody reads it again soon.

mod chains;
mod key;
mod reader;
mod shape;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use self::{
    chains::Chains,
    reader::Reader,
    shape::{Shape, ShapeError},
};
use super::{
    error::JudgeError,
    file::DatabaseFile,
    scan::{self, Watch},
    walk::{Findings, PageMap},
};
use crate::{
    digest::Digest,
    pages::header::{FileVersion, Header},
};

/// What reading the structure of a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structure {
    /// Every page was read.
    Read(Reading),
    /// The file may be sound, but is of a kind that is not read here: why, in words.
    NotUnderstood(String),
    /// SQLite cannot read the file, or it is none of its databases: why, in words.
    Unreadable(String),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What is wrong with the pages.
    pub findings: Findings,
    /// Of a tracker's database, the digest of its tables as [`super::content_digest`] has it. It says something only where
    /// nothing is wrong.
    pub content: Option<Digest>,
    /// Tables of which something was not read; `PRAGMA integrity_check('TABLE')` has to be asked.
    pub left_to_sqlite: Vec<String>,
}

/// Reads every page of a file that nothing has open, and beside which there is no WAL or journal. SQLite opens the file first,
/// to say what its trees are. `pages_done` counts the pages that have been read.
///
/// # Errors
/// [`JudgeError::Interrupted`] only.
pub fn read_structure(
    path: &Path,
    interrupted: &Arc<AtomicBool>,
    pages_done: &AtomicU64,
) -> Result<Structure, JudgeError> {
    let read = read(path, interrupted, pages_done);
    if interrupted.load(Ordering::Relaxed) { Err(JudgeError::Interrupted) } else { Ok(read) }
}

fn read(path: &Path, interrupted: &Arc<AtomicBool>, pages_done: &AtomicU64) -> Structure {
    let header = match Header::read(path) {
        Ok(header) if header.is_database() => header,
        Ok(_) => return Structure::Unreadable("it does not begin as a SQLite database does".into()),
        Err(error) => return Structure::Unreadable(error.to_string()),
    };
    if let Some(reason) = unknown_kind(&header) {
        return Structure::NotUnderstood(reason.into());
    }
    let shape = match Shape::ask(path, interrupted) {
        Ok(shape) => shape,
        Err(ShapeError::NotUnderstood(reason)) => return Structure::NotUnderstood(reason),
        Err(ShapeError::Sqlite(error)) => return Structure::Unreadable(error.to_string()),
    };
    match DatabaseFile::open(path) {
        Ok(Some(file)) => Structure::Read(read_pages(&file, &shape, Watch { interrupted, pages_done })),
        Ok(None) => Structure::Unreadable("its header is not one of a database".into()),
        Err(error) => Structure::Unreadable(error.to_string()),
    }
}

/// What the header says that is not read here.
fn unknown_kind(header: &Header) -> Option<&'static str> {
    if header.has_auto_vacuum() {
        Some("it has auto_vacuum, and its pointer maps are not read")
    } else if !header.is_utf8() {
        Some("its texts are not UTF-8")
    } else if header.reserved_bytes() != 0 {
        Some("a part of each of its pages is reserved for an extension")
    } else if !matches!(header.schema_format(), 0 | 4) {
        Some("its schema format is older than 4")
    } else {
        None
    }
}

fn read_pages(file: &DatabaseFile, shape: &Shape, watch: Watch<'_>) -> Reading {
    let map = PageMap::new(file, shape.trees.clone());
    let chains = Chains::new(file, &map);
    let (readers, mut findings) = scan::stretches(file, watch, || Reader::new(file, &map, shape, &chains));
    findings.merge(map.findings.clone());
    check_header(file, &mut findings);
    let mut whole = reader::Found::new(shape);
    for reader in readers {
        let (found, wrong) = reader.into_found();
        findings.merge(wrong);
        whole.add(found);
    }
    findings.merge(chains.unowned());
    let mut left_to_sqlite = shape.left_to_sqlite.clone();
    left_to_sqlite.extend(whole.too_large.iter().map(|tree| shape.tables[*tree].clone()));
    // What else is wrong explains rows without their entries.
    if findings.count == 0 {
        for pair in whole.left_over(shape) {
            let (index, table) = (&shape.trees[pair.index].name, &shape.trees[pair.table].name);
            findings.add(1, Some(index), format!("it does not hold the entries of its table {table}"));
        }
    }
    left_to_sqlite.sort_unstable();
    left_to_sqlite.dedup();
    file.drop_pages(1, file.pages);
    Reading { findings, content: whole.content.filter(|_| shape.is_tracker), left_to_sqlite }
}

fn check_header(file: &DatabaseFile, findings: &mut Findings) {
    match file.header.file_version() {
        FileVersion::Rollback | FileVersion::Wal => {}
        FileVersion::Invalid { write, read } => {
            findings.add(1, None, format!("write and read version are {write} and {read}"));
        }
    }
    if file.pages_said > u64::from(file.pages) {
        let (said, held) = (file.pages_said, file.pages);
        findings.add(1, None, format!("the header says {said} pages, the file has {held}"));
    }
}
