//! Which entry of a b-tree stands on which page, and which number that page has.
//!
//! All of it is arithmetic on the number and the sizes of the entries, so the size of a file is known before it is
//! written, and its pages can be made by any number of threads ([`super::generate()`]).
//!
//! * Leaves of a table are as sequential inserts leave them: each is filled until the next row does not fit.
//! * Leaves of an index are as random inserts leave them: part full, by default 90 %, the entries spread evenly. Between
//!   every two leaves one entry moves up to the interior page above them.
//! * Interior pages share out their children evenly.
//! * Roots have the lowest page numbers. Then, tree by tree, each leaf is followed by the interior pages that it
//!   completes. The lock page is skipped.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    Dataset, GenerateError,
    content::{self, Content, Sum, root},
};
use crate::pages::{
    CELL_POINTER_BYTES, CHILD_BYTES, PageFull, PageKind, PageWriter, header::HEADER_BYTES, lock_page, push_varint,
    varint_bytes,
};

/// The most pages that a database of SQLite's can have.
const PAGES_MAX: u64 = 0xffff_fffe;

/// A thousandth of a page.
const FULL: u16 = 1_000;

/// Bytes of the pages that are made and written at a time.
const JOB_BYTES: u32 = 1 << 20;

/// How full the pages of an index are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexFill {
    permille: u16,
}

impl IndexFill {
    /// A share of a page from 0.5 to 1, in thousandths; `None` for others.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 500 to 1,000")]
        (0.5..=1.0).contains(&share).then(|| Self { permille: (share * f64::from(FULL)).round() as u16 })
    }
}

impl Default for IndexFill {
    /// What random inserts leave: 89.5 % of a leaf and 89.1 % of an interior page (`docs/sqlite.md`, 32).
    fn default() -> Self {
        Self { permille: 900 }
    }
}

/// How the pages of all trees are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub page_size_bytes: u32,
    pub index_fill: IndexFill,
    /// [`crate::pages::LOCK_BYTE`], but for tests; beyond the roots.
    pub lock_byte: u64,
}

/// One b-tree and its shape.
#[derive(Debug)]
pub(super) struct Tree {
    content: Content,
    root: u32,
    is_index: bool,
    page_size_bytes: usize,
    leaves: u64,
    /// Pages of each interior level, from the one above the leaves to the root; none where the root is a leaf.
    interior: Vec<u64>,
}

/// A page of a tree.
#[derive(Debug)]
pub(super) enum Page {
    /// A leaf with the entries at these positions.
    Leaf(Range<u64>),
    /// An interior page.
    Interior {
        /// Its cells, made.
        cells: Vec<Vec<u8>>,
        /// The child that has no cell.
        right_child: u32,
    },
}

/// Pages of one tree that follow each other in the file.
#[derive(Debug)]
pub(super) struct Job<'l> {
    pub tree: &'l Tree,
    pub first_page: u32,
    pub pages: Vec<Page>,
}

/// All trees of a database.
#[derive(Debug)]
pub(super) struct Layout {
    pub settings: Settings,
    /// Pages of the file, the lock page included where the file goes beyond it.
    pub pages: u32,
    trees: Vec<Tree>,
}

/// Cells of a level of a tree, for sharing them out.
#[derive(Debug, Clone, Copy)]
struct Cells {
    count: u64,
    /// Bytes of the largest, its pointer included.
    bytes_max: usize,
    /// Bytes on average, as a fraction: all bytes, of how many.
    bytes_of: (u64, u64),
}

impl Cells {
    /// Pages of `capacity` bytes for these cells, of which one moves up (or has no place) between every two pages.
    fn pages(&self, capacity: usize, permille: u16) -> u64 {
        let most = (capacity / self.bytes_max) as u64;
        if self.count <= most {
            return 1;
        }
        // Each page takes its cells and the one after it, so that there are `count` and one more to share out.
        let (slots, (bytes, of)) =
            (u128::from(self.count) + 1, (u128::from(self.bytes_of.0), u128::from(self.bytes_of.1)));
        let full = u128::from(FULL);
        let by_fill = (slots * bytes * full).div_ceil(u128::from(permille) * capacity as u128 * of + bytes * full);
        u64::try_from(by_fill).unwrap_or(u64::MAX).max((self.count + 1).div_ceil(most + 1))
    }
}

/// Where the `part`-th of `parts` even shares of `total` begins.
fn share(total: u64, parts: u64, part: u64) -> u64 {
    u64::try_from(u128::from(total) * u128::from(part) / u128::from(parts)).unwrap_or(u64::MAX)
}

impl Tree {
    /// The tree of a table, whose leaves are counted by going through the sizes of all rows.
    fn table(
        content: Content,
        root: u32,
        settings: &Settings,
        interrupted: &AtomicBool,
    ) -> Result<Self, GenerateError> {
        let mut tree = Self::new(content, root, false, settings);
        let mut position = 0;
        while position < tree.content.len() {
            position = tree.table_leaf(position).end;
            tree.leaves += 1;
            if interrupted.load(Ordering::Relaxed) {
                return Err(GenerateError::Interrupted);
            }
        }
        tree.leaves = tree.leaves.max(1);
        let cell = CHILD_BYTES + varint_bytes(tree.content.len()) + CELL_POINTER_BYTES;
        tree.build_interior(cell, (cell as u64, 1), FULL);
        Ok(tree)
    }

    /// The tree of an index.
    fn index(content: Content, root: u32, settings: &Settings) -> Self {
        let mut tree = Self::new(content, root, true, settings);
        let IndexFill { permille } = settings.index_fill;
        let (record_max, records) = tree.content.index_bytes();
        let around = varint_bytes(record_max as u64) + CELL_POINTER_BYTES;
        let entries = tree.content.len();
        let bytes_of = (records + entries * around as u64, entries);
        let cells = Cells { count: entries, bytes_max: record_max + around, bytes_of };
        tree.leaves = cells.pages(tree.capacity(PageKind::IndexLeaf), permille);
        let bytes_of = (bytes_of.0 + entries * CHILD_BYTES as u64, entries);
        tree.build_interior(cells.bytes_max + CHILD_BYTES, bytes_of, permille);
        tree
    }

    fn new(content: Content, root: u32, is_index: bool, settings: &Settings) -> Self {
        let page_size_bytes = settings.page_size_bytes as usize;
        Self { content, root, is_index, page_size_bytes, leaves: 0, interior: Vec::new() }
    }

    fn build_interior(&mut self, bytes_max: usize, bytes_of: (u64, u64), permille: u16) {
        let capacity = self.capacity(self.interior_kind());
        let mut pages = self.leaves;
        while pages > 1 {
            pages = Cells { count: pages - 1, bytes_max, bytes_of }.pages(capacity, permille);
            self.interior.push(pages);
        }
    }

    fn pages(&self) -> u64 {
        self.leaves + self.interior.iter().sum::<u64>()
    }

    fn leaf_kind(&self) -> PageKind {
        if self.is_index { PageKind::IndexLeaf } else { PageKind::TableLeaf }
    }

    fn interior_kind(&self) -> PageKind {
        if self.is_index { PageKind::IndexInterior } else { PageKind::TableInterior }
    }

    /// Bytes for cells and their pointers on a page. The tree whose root is page 1 leaves room for the database header on
    /// all its pages, so that what fits on a leaf fits on its root.
    fn capacity(&self, kind: PageKind) -> usize {
        let header = if self.root == root::SCHEMA { HEADER_BYTES } else { 0 };
        self.page_size_bytes - kind.header_bytes() - header
    }

    /// The entries of the leaf at this place among the leaves; those before it end at `position`.
    fn leaf(&self, number: u64, position: u64) -> Range<u64> {
        if !self.is_index {
            return self.table_leaf(position);
        }
        let slots = self.content.len() + 1;
        share(slots, self.leaves, number)..share(slots, self.leaves, number + 1) - 1
    }

    /// The rows of the leaf that begins with the row at `position`: as many as fit.
    fn table_leaf(&self, position: u64) -> Range<u64> {
        let capacity = self.capacity(PageKind::TableLeaf);
        let (mut bytes, mut end) = (0, position);
        while end < self.content.len() {
            let record = self.content.row_bytes(end);
            bytes += varint_bytes(record as u64) + varint_bytes(end + 1) + record + CELL_POINTER_BYTES;
            if bytes > capacity {
                break;
            }
            end += 1;
        }
        position..end
    }

    /// The cell of an interior page: the child, and the key between it and the next one.
    fn interior_cell(&self, child: u32, divider: u64) -> Vec<u8> {
        let mut cell = child.to_be_bytes().to_vec();
        if self.is_index {
            let mut record = Vec::new();
            self.content.push(divider, &mut record);
            push_varint(&mut cell, record.len() as u64);
            cell.append(&mut record);
        } else {
            push_varint(&mut cell, divider + 1);
        }
        cell
    }

    /// Writes a page to `out`, which is one page of zeros, and adds up the rows on it.
    ///
    /// # Errors
    /// [`PageFull`] where the layout is wrong.
    pub fn write(&self, number: u32, page: &Page, out: &mut [u8]) -> Result<Sum, PageFull> {
        let header = if number == root::SCHEMA { HEADER_BYTES } else { 0 };
        let mut sum = Sum::default();
        match page {
            Page::Leaf(entries) => {
                let mut writer = PageWriter::new(out, self.leaf_kind(), header);
                let (mut record, mut cell) = (Vec::new(), Vec::new());
                for position in entries.clone() {
                    record.clear();
                    sum += self.content.push(position, &mut record);
                    cell.clear();
                    push_varint(&mut cell, record.len() as u64);
                    if !self.is_index {
                        push_varint(&mut cell, position + 1);
                    }
                    cell.extend_from_slice(&record);
                    writer.push(&cell)?;
                }
                writer.finish(None);
            }
            Page::Interior { cells, right_child } => {
                let mut writer = PageWriter::new(out, self.interior_kind(), header);
                for cell in cells {
                    writer.push(cell)?;
                }
                writer.finish(Some(*right_child));
            }
        }
        Ok(sum)
    }
}

impl Layout {
    /// The layout of a dataset, without the table `torrent_aggregate_metrics`, whose value is known when all rows are
    /// made: see [`Self::aggregate`].
    ///
    /// # Errors
    /// [`GenerateError::TooLarge`] and [`GenerateError::Interrupted`].
    pub fn new(dataset: &Dataset, settings: Settings, interrupted: &AtomicBool) -> Result<Self, GenerateError> {
        let (torrents, whitelist) = (dataset.seeded(), dataset.whitelist());
        let index = |content, root| Tree::index(content, root, &settings);
        let table = |content, root| Tree::table(content, root, &settings, interrupted);
        let torrents_index = index(Content::HashIndex(torrents), root::TORRENTS_INDEX);
        // The index is about half of the file and its pages are quickly counted: so the rows of a file that cannot be are
        // not gone through.
        if torrents_index.pages() > PAGES_MAX {
            return Err(GenerateError::TooLarge);
        }
        let (keys, keys_index) = content::keys(dataset);
        let trees = vec![
            table(content::schema(), root::SCHEMA)?,
            table(Content::Whitelist(whitelist), root::WHITELIST)?,
            index(Content::HashIndex(whitelist), root::WHITELIST_INDEX),
            table(content::sequence(dataset), root::SEQUENCE)?,
            table(keys, root::KEYS)?,
            index(keys_index, root::KEYS_INDEX),
            index(content::aggregate_index(), root::AGGREGATE_INDEX),
            table(Content::Torrents(torrents), root::TORRENTS)?,
            torrents_index,
        ];
        // One page of each tree is its root.
        let beyond_roots: u64 = trees.iter().map(|tree| tree.pages() - 1).sum();
        let used = u64::from(root::END - 1) + beyond_roots;
        let pages = if used < lock_page(settings.lock_byte, settings.page_size_bytes) { used } else { used + 1 };
        let pages = u32::try_from(pages).ok().filter(|pages| u64::from(*pages) <= PAGES_MAX);
        Ok(Self { settings, pages: pages.ok_or(GenerateError::TooLarge)?, trees })
    }

    /// The table `torrent_aggregate_metrics`: its root is its only page.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn aggregate(&self, downloads: i64, interrupted: &AtomicBool) -> Result<Tree, GenerateError> {
        Tree::table(content::aggregate(downloads), root::AGGREGATE, &self.settings, interrupted)
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        u64::from(self.pages) * u64::from(self.settings.page_size_bytes)
    }

    /// The pages to make, a megabyte at a time.
    pub fn jobs(&self) -> Jobs<'_> {
        let lock_page = lock_page(self.settings.lock_byte, self.settings.page_size_bytes);
        let pages_max = (JOB_BYTES / self.settings.page_size_bytes) as usize;
        Jobs { trees: self.trees.iter(), walk: None, ahead: None, next_page: root::END, lock_page, pages_max }
    }
}

/// The jobs that make a file, in the order of its pages but for the roots.
#[derive(Debug)]
pub(super) struct Jobs<'l> {
    trees: std::slice::Iter<'l, Tree>,
    walk: Option<Walk<'l>>,
    /// A page that did not follow the one before it.
    ahead: Option<(u32, Page)>,
    next_page: u32,
    lock_page: u64,
    pages_max: usize,
}

impl<'l> Iterator for Jobs<'l> {
    type Item = Job<'l>;

    fn next(&mut self) -> Option<Job<'l>> {
        loop {
            let Self { trees, walk, ahead, next_page, lock_page, pages_max } = self;
            if walk.is_none() {
                *walk = Some(Walk::new(trees.next()?));
            }
            let walk_now = walk.as_mut()?;
            let mut take = || {
                if u64::from(*next_page) == *lock_page {
                    *next_page += 1;
                }
                let page = *next_page;
                *next_page += 1;
                page
            };
            let Some((first_page, page)) = ahead.take().or_else(|| walk_now.next(&mut take)) else {
                *walk = None;
                continue;
            };
            let mut job = Job { tree: walk_now.tree, first_page, pages: vec![page] };
            while job.pages.len() < *pages_max {
                let Some((number, page)) = walk_now.next(&mut take) else { break };
                if u64::from(number) != u64::from(first_page) + job.pages.len() as u64 {
                    *ahead = Some((number, page));
                    break;
                }
                job.pages.push(page);
            }
            return Some(job);
        }
    }
}

/// Goes through the pages of a tree: each leaf, and after it the interior pages that it completes.
#[derive(Debug)]
struct Walk<'l> {
    tree: &'l Tree,
    leaf: u64,
    position: u64,
    levels: Vec<Level>,
    completed: VecDeque<(u32, Page)>,
}

/// The page of an interior level that is being filled.
#[derive(Debug, Default)]
struct Level {
    /// Its place among the pages of its level.
    page: u64,
    /// Children of the level so far.
    children: u64,
    cells: Vec<Vec<u8>>,
}

impl<'l> Walk<'l> {
    fn new(tree: &'l Tree) -> Self {
        let levels = tree.interior.iter().map(|_| Level::default()).collect();
        Self { tree, leaf: 0, position: 0, levels, completed: VecDeque::new() }
    }

    /// The next page with its number; `take` gives the next number.
    fn next(&mut self, take: &mut dyn FnMut() -> u32) -> Option<(u32, Page)> {
        if let Some(completed) = self.completed.pop_front() {
            return Some(completed);
        }
        if self.leaf == self.tree.leaves {
            return None;
        }
        let entries = self.tree.leaf(self.leaf, self.position);
        self.leaf += 1;
        self.position = entries.end;
        let number = if self.levels.is_empty() { self.tree.root } else { take() };
        // Of a table the key between two leaves is the last rowid of the first; of an index it is the entry after it.
        let divider = if self.tree.is_index { entries.end } else { entries.end.saturating_sub(1) };
        self.add_child(number, divider, take);
        Some((number, Page::Leaf(entries)))
    }

    /// Adds a page to the level above it, and the page of that level to the one above where it is the last child, and so
    /// on.
    fn add_child(&mut self, mut child: u32, divider: u64, take: &mut dyn FnMut() -> u32) {
        let tree = self.tree;
        let mut children_in_all = tree.leaves;
        let top = self.levels.len().saturating_sub(1);
        for (height, (level, &pages)) in self.levels.iter_mut().zip(&tree.interior).enumerate() {
            level.children += 1;
            if level.children < share(children_in_all, pages, level.page + 1) {
                level.cells.push(tree.interior_cell(child, divider));
                return;
            }
            let number = if height == top { tree.root } else { take() };
            let cells = std::mem::take(&mut level.cells);
            level.page += 1;
            self.completed.push_back((number, Page::Interior { cells, right_child: child }));
            child = number;
            children_in_all = pages;
        }
    }
}
