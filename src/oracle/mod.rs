//! Was the database ever in this state? Snapshot files and a history in, a [`Verdict`] out.
//!
//! The oracle takes values and knows nothing of strategies: the same questions are asked of every file. [`inspect`] finds
//! out what the files are by themselves, [`judge`] compares their digest with that of every state that a history proves, and
//! the difference says how a torn one differs from the nearest; [`examine`] does all three for several snapshots. What it
//! was tested with, and what SQLite's own checks say of the same faults, is in `docs/oracle.md`.
//!
//! Of any other SQLite database the `structure` alone is read, by which `journalbench snapshot --verify` knows a sound copy.
//!
//! # Why a bad snapshot does not pass
//!
//! `exact` takes all of the following; the rule for whatever is not understood is that it is not `exact`.
//!
//! 1. **Its content is a state that the database was in.** Each state S(k) has a digest D(k), the sum of a keyed 128-bit
//!    hash of every row of every table, types included. The D(k) come from the commits in SQLite's own order
//!    ([`crate::history::ledger`] argues that order). Another set of rows has the same sum by accident only: one chance in 2^128.
//! 2. **It is not older than it may be**: k is at least the last commit that had been acknowledged when it began. Where
//!    several k have the same digest (a commit that changes nothing), the largest counts.
//! 3. **SQLite will find those rows.** A sum does not see where a row stands, so every page is accounted for: it has one
//!    owner (a cell, the schema or the freelist), or is the lock page; its cells, freeblocks and fragments add up to its
//!    size and do not overlap; keys ascend strictly and lie between those of the pages above; leaves lie at one depth; each
//!    index holds the entries of its table, compared by sums. So a lookup by key, which goes down by comparing keys, ends
//!    at the row that the sum counted.
//! 4. **The header lets SQLite use it**: what the dataset's header fixed is as it was, both versions say the same journal
//!    mode, the schema is the dataset's to the letter, SQLite writes to the file twice, and `integrity_check`, where it is
//!    asked, says ok.
//!
//! # Why a good one does not fail
//!
//! A copy is read as a restore would read it: SQLite first recovers the WAL or hot journal beside it. A commit that failed
//! after its hook may or may not have reached the file, so its state is a candidate until the next commit. What differs
//! between two files of the same content (order of pages, freelist, unused bytes, change counters, schema cookie, length
//! of an integer) is in no sum and breaks no rule.
//!
//! # Cost
//!
//! One sequential pass on all cores; memory of 8 bytes a page and a few mebibytes. Inspecting changes the files (SQLite
//! runs recovery, and a count is changed and changed back), so keep a copy of what matters.

mod content;
mod difference;
mod error;
mod examine;
mod file;
mod inspect;
mod judge;
mod scan;
mod structure;
mod verdict;
mod walk;

pub use content::Damage;
pub use difference::{Difference, RowDifference};
pub use error::JudgeError;
pub use examine::{Evidence, Examination, Question, examine};
pub use inspect::{Check, Inspection, SqliteChecks, content_digest, inspect, read_pages};
pub use judge::{Claim, Judgement, judge};
pub use structure::{Reading, Structure, read_structure};
pub use verdict::Verdict;
pub use walk::{Finding, Findings};
