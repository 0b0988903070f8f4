//! What a database file holds, read without SQLite: its digest, or everything that is wrong with it.
//!
//! One pass over the file adds up the rows, and checks of each index that it holds the entries of its table: the table
//! adds a hash of (text, rowid) for each row, the index subtracts one for each entry, in one of 256 sums that the rowid
//! chooses. Whatever is left over in a sum is a row without its entry, or an entry without its row; a second pass, which a
//! sound file does not need, finds out which.

use std::{collections::HashMap, fmt, path::Path, sync::atomic::AtomicU64};

use rusqlite::types::ValueRef;

use super::{
    file::DatabaseFile,
    scan::{self, Layout, Visitor, Watch},
    walk::{Findings, PageMap, Tree},
};
use crate::{
    dataset::SchemaRow,
    digest::{self, Digest, Part},
    pages::{
        header::{FileVersion, Header},
        read::{Page, PageFault, Record, Space},
    },
};

/// Why a file's content cannot be a state of the database, whatever the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// SQLite cannot open or read it, or there is nothing of a tracker's in it.
    Unreadable(String),
    /// SQLite reports damage, or index and table disagree.
    Corrupt(String),
    /// It reads well, but its schema is not the dataset's.
    OtherSchema(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreadable(why) | Self::Corrupt(why) | Self::OtherSchema(why)) = self;
        f.write_str(why)
    }
}

/// A database file, its trees walked.
#[derive(Debug)]
pub(super) struct FileContent {
    file: DatabaseFile,
    map: PageMap,
    /// What each tree holds.
    meanings: Vec<Meaning>,
    layouts: Vec<Layout>,
    /// The rows of `sqlite_schema`.
    pub schema: Vec<SchemaRow>,
}

/// What a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The rows of a table, and the pair that it makes with its index.
    Rows { part: Part, pair: Option<usize> },
    /// The entries of a table's index.
    Entries { pair: usize },
    /// Something that is no part of the content.
    Other,
}

/// The tables that make up the content: the name, what its rows are hashed as, its columns, whether the first is the
/// rowid, and its index.
const TABLES: [(&str, Part, usize, bool, Option<&str>); 5] = [
    ("torrents", Part::Torrents, 3, true, Some("sqlite_autoindex_torrents_1")),
    ("whitelist", Part::Whitelist, 2, true, Some("sqlite_autoindex_whitelist_1")),
    ("keys", Part::Keys, 3, true, Some("sqlite_autoindex_keys_1")),
    ("torrent_aggregate_metrics", Part::Aggregate, 3, true, Some("sqlite_autoindex_torrent_aggregate_metrics_1")),
    ("sqlite_sequence", Part::Sequence, 2, false, None),
];

/// Sums that the entries of a table are spread over.
const BUCKETS: usize = 256;
/// Rows that the second pass keeps in memory at most, about.
const UNPAIRED_ROWS_MAX: u64 = 1_000_000;

impl FileContent {
    /// Opens a file and walks its trees. Its findings are those of the header, the schema and the interior pages.
    ///
    /// # Errors
    /// [`Damage::Unreadable`] where it is no database or has none of the tracker's tables.
    pub fn open(path: &Path) -> Result<Self, Damage> {
        let unreadable = |error: &dyn std::fmt::Display| Damage::Unreadable(error.to_string());
        let file = DatabaseFile::open(path).map_err(|error| unreadable(&error))?;
        let file = file.ok_or_else(|| unreadable(&"file is not a database"))?;
        let rows = read_schema(&file).map_err(|fault| Damage::Corrupt(format!("the schema: {fault}")))?;
        if !rows.iter().any(|(row, _)| row.name == "torrents") {
            let objects = rows.len();
            return Err(Damage::Unreadable(format!("a database without the tracker's tables ({objects} objects)")));
        }
        let mut trees = vec![Tree { name: "sqlite_schema".into(), root: 1, is_index: false }];
        let (mut meanings, mut layouts) = (vec![Meaning::Other], vec![Layout::Other]);
        for (row, root) in rows.iter().filter(|(row, _)| row.kind == "table" || row.kind == "index") {
            let (meaning, layout) = meaning(&row.kind, &row.name);
            meanings.push(meaning);
            layouts.push(layout);
            trees.push(Tree { name: row.name.clone(), root: *root, is_index: row.kind == "index" });
        }
        let map = PageMap::new(&file, trees);
        Ok(Self { file, map, meanings, layouts, schema: rows.into_iter().map(|(row, _)| row).collect() })
    }

    /// Pages of the database.
    pub fn pages(&self) -> u32 {
        self.file.pages
    }

    /// What each tree holds, by position.
    pub fn meanings(&self) -> &[Meaning] {
        &self.meanings
    }

    /// What is wrong with the header, given the one that the database began with.
    pub fn check_header(&self, start: &Header, findings: &mut Findings) {
        match self.file.header.file_version() {
            FileVersion::Rollback | FileVersion::Wal => {}
            FileVersion::Invalid { write, read } => {
                findings.add(1, None, format!("write and read version are {write} and {read}"));
            }
        }
        let (found, start) = (&self.file.header.0, &start.0);
        // Page size, reserved bytes, fractions; then schema format, sizes, encoding, versions and the reserved region.
        let fixed = (16..18).chain(20..24).chain(44..92);
        for at in fixed.filter(|at| found[*at] != start[*at]) {
            findings.add(1, None, format!("byte {at} of the header is {}, and was {}", found[at], start[at]));
        }
        if self.file.pages_said > u64::from(self.file.pages) {
            let (said, held) = (self.file.pages_said, self.file.pages);
            findings.add(1, None, format!("the header says {said} pages, the file has {held}"));
        }
    }

    /// Reads every page. Returns the digest and what is wrong, so that the digest counts only where nothing is.
    pub fn sum(&self, watch: Watch<'_>) -> (Digest, Findings) {
        let (mut findings, sums) = self.scan(watch, || Sums::new(&self.meanings));
        findings.merge(self.map.findings.clone());
        let sums = sums.into_iter().fold(Sums::new(&self.meanings), |sum, term| sum.plus(&term));
        let unpaired: Vec<_> = sums.left_over().collect();
        if !unpaired.is_empty() && findings.count == 0 {
            findings.merge(self.find_unpaired(&unpaired, watch));
        }
        (sums.rows, findings)
    }

    /// Reads every page and hands what is on it to visitors, one for each thread.
    pub fn scan<V: Visitor>(&self, watch: Watch<'_>, visitor: impl Fn() -> V + Sync) -> (Findings, Vec<V>) {
        scan::scan(&self.file, &self.map, &self.layouts, watch, visitor)
    }

    /// Finds rows without an entry in their index, and entries without a row.
    fn find_unpaired(&self, left_over: &[(usize, usize)], watch: Watch<'_>) -> Findings {
        // Some of the sums, so that it ends in bounded memory however large the table is.
        let rows_a_bucket = u64::from(self.file.pages) * self.file.page_bytes as u64 / 100 / BUCKETS as u64;
        let bucket_count = (UNPAIRED_ROWS_MAX / rows_a_bucket.max(1)).clamp(1, BUCKETS as u64);
        let chosen: Vec<_> = left_over.iter().copied().take(usize::try_from(bucket_count).unwrap_or(1)).collect();
        let (_, found) = self.scan(Watch { pages_done: &AtomicU64::new(0), ..watch }, || Unpaired {
            meanings: &self.meanings,
            chosen: &chosen,
            left: HashMap::new(),
        });
        let mut left: HashMap<Digest, Left> = HashMap::new();
        for (key, one) in found.into_iter().flat_map(|visitor| visitor.left) {
            let sum = left.entry(key).or_insert(Left { count: 0, ..one });
            sum.count += one.count;
        }
        let mut findings = Findings::default();
        for Left { count, page, tree, rowid } in left.into_values().filter(|left| left.count != 0) {
            let of = self.map.trees[tree].name.as_str();
            let what = if count > 0 { "has no entry in its index" } else { "is an entry without such a row" };
            findings.add(page, Some(of), format!("row {rowid} {what}"));
        }
        if findings.count == 0 {
            findings.add(1, None, "an index does not hold the entries of its table");
        }
        findings.sample.sort_unstable();
        findings
    }
}

/// What an object of this kind and name holds in a tracker's database, and how its records are read.
pub(super) fn meaning(kind: &str, named: &str) -> (Meaning, Layout) {
    for (pair, (name, part, columns, with_id, index)) in TABLES.into_iter().enumerate() {
        if kind == "table" && named == name {
            return (Meaning::Rows { part, pair: index.map(|_| pair) }, Layout::Rows { columns, with_id });
        }
        if kind == "index" && index == Some(named) {
            return (Meaning::Entries { pair }, Layout::Entries);
        }
    }
    (Meaning::Other, Layout::Other)
}

/// The rows of `sqlite_schema` and their root pages. Its tree is small: it is read as a whole.
fn read_schema(file: &DatabaseFile) -> Result<Vec<(SchemaRow, u32)>, PageFault> {
    /// Far more than the schema of any tracker takes.
    const PAGES_MAX: usize = 1000;

    let (mut rows, mut pages, mut next) = (Vec::new(), vec![1], 0);
    let (mut buffer, mut space) = (Vec::new(), Space::default());
    while let Some(number) = pages.get(next).copied() {
        next += 1;
        if number == 0 || number > file.pages || pages.len() > PAGES_MAX {
            return Err(PageFault(format!("page {number} is none of its pages")));
        }
        super::walk::read(file, number, &mut buffer)?;
        let page = Page::new(&buffer, DatabaseFile::header_of(number))?;
        let is_leaf = page.kind().is_leaf();
        page.visit(&mut space, |_, cell| {
            if is_leaf {
                rows.push(schema_row(&Record::decode(cell.whole()?.payload)?)?);
            } else {
                pages.push(cell.child);
            }
            Ok(())
        })?;
        if !is_leaf {
            pages.push(page.right_child());
        }
    }
    Ok(rows)
}

fn schema_row(record: &Record<'_>) -> Result<(SchemaRow, u32), PageFault> {
    let text =
        |value: ValueRef<'_>| value.as_str().map(str::to_owned).map_err(|_| PageFault::from("a row without names"));
    let [kind, name, table, ValueRef::Integer(root), sql] = record.values() else {
        return Err("a row that is none of sqlite_schema's".into());
    };
    let sql = if *sql == ValueRef::Null { None } else { Some(text(*sql)?) };
    let row = SchemaRow { kind: text(*kind)?, name: text(*name)?, table: text(*table)?, sql };
    Ok((row, u32::try_from(*root).map_err(|_| "a root page that is no page")?))
}

/// Adds up rows, and entries against each other.
struct Sums<'a> {
    meanings: &'a [Meaning],
    rows: Digest,
    pairs: Vec<[Digest; BUCKETS]>,
}

impl<'a> Sums<'a> {
    fn new(meanings: &'a [Meaning]) -> Self {
        Self { meanings, rows: Digest::default(), pairs: vec![[Digest::default(); BUCKETS]; TABLES.len()] }
    }

    fn plus(mut self, other: &Self) -> Self {
        self.rows += other.rows;
        for (sum, term) in self.pairs.iter_mut().flatten().zip(other.pairs.iter().flatten()) {
            *sum += *term;
        }
        self
    }

    /// The pairs and buckets that do not cancel out.
    fn left_over(&self) -> impl Iterator<Item = (usize, usize)> {
        let all =
            self.pairs.iter().enumerate().flat_map(|(pair, sums)| sums.iter().enumerate().map(move |at| (pair, at)));
        all.filter(|(_, (_, sum))| **sum != Digest::default()).map(|(pair, (bucket, _))| (pair, bucket))
    }
}

impl Visitor for Sums<'_> {
    #[inline]
    fn row(&mut self, tree: usize, _: u32, values: &[ValueRef<'_>]) {
        let Meaning::Rows { part, pair } = self.meanings[tree] else { return };
        self.rows += digest::row(part, values.iter().copied());
        if let (Some(pair), [ValueRef::Integer(rowid), text, ..]) = (pair, values) {
            self.pairs[pair][bucket(*rowid)] += digest::row(Part::IndexEntry, [*text, values[0]]);
        }
    }

    #[inline]
    fn entry(&mut self, tree: usize, _: u32, text: &[u8], rowid: i64) {
        if let Meaning::Entries { pair } = self.meanings[tree] {
            self.pairs[pair][bucket(rowid)] -= digest::entry(text, rowid);
        }
    }
}

fn bucket(rowid: i64) -> usize {
    usize::from(rowid.to_le_bytes()[0])
}

/// Finds the rows and entries that do not cancel out, in some of the buckets.
struct Unpaired<'a> {
    meanings: &'a [Meaning],
    chosen: &'a [(usize, usize)],
    left: HashMap<Digest, Left>,
}

#[derive(Clone, Copy)]
struct Left {
    count: i64,
    page: u32,
    tree: usize,
    rowid: i64,
}

impl Unpaired<'_> {
    fn add(&mut self, pair: usize, hash: Digest, one: Left) {
        if self.chosen.contains(&(pair, bucket(one.rowid))) {
            let sum = self.left.entry(hash).or_insert(Left { count: 0, ..one });
            sum.count += one.count;
            if sum.count == 0 {
                self.left.remove(&hash);
            }
        }
    }
}

impl Visitor for Unpaired<'_> {
    fn row(&mut self, tree: usize, page: u32, values: &[ValueRef<'_>]) {
        if let (Meaning::Rows { pair: Some(pair), .. }, [ValueRef::Integer(rowid), text, ..]) =
            (self.meanings[tree], values)
        {
            let hash = digest::row(Part::IndexEntry, [*text, values[0]]);
            self.add(pair, hash, Left { count: 1, page, tree, rowid: *rowid });
        }
    }

    fn entry(&mut self, tree: usize, page: u32, text: &[u8], rowid: i64) {
        if let Meaning::Entries { pair } = self.meanings[tree] {
            self.add(pair, digest::entry(text, rowid), Left { count: -1, page, tree, rowid });
        }
    }
}
