//! Every page of a file, once, in the order of the file: each is checked against the map of [`super::walk`], and its
//! rows and index entries are handed to a [`Visitor`].
//!
//! Threads take stretches of a mebibyte in turn, so the disk reads on sequentially. A page's keys must ascend strictly
//! and lie between the cells that bound it, which stand on interior pages; a few of those are kept per thread, so a leaf
//! costs no read of its own. Memory does not grow with the file but for the map.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use rusqlite::types::ValueRef;

use super::{
    file::DatabaseFile,
    walk::{CellAt, Findings, Owner, PageMap, read},
};
use crate::pages::read::{Cell, Page, PageFault, Record, Space};

/// Receives the rows and index entries of a database, in no order.
pub(super) trait Visitor: Send {
    /// A row of the table with this position among the trees. The first value is the rowid where that is a column.
    fn row(&mut self, tree: usize, page: u32, values: &[ValueRef<'_>]);
    /// An entry of the index with this position among the trees.
    fn entry(&mut self, tree: usize, page: u32, text: &[u8], rowid: i64);
}

/// How the records of a tree are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Rows of this many columns, whose first one is the rowid where `with_id`.
    Rows { columns: usize, with_id: bool },
    /// Entries of a text and a rowid.
    Entries,
    /// Something else, of which only the pages are checked.
    Other,
}

/// What the caller watches while pages are read.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    /// Set to stop.
    pub interrupted: &'a AtomicBool,
    /// Pages read so far.
    pub pages_done: &'a AtomicU64,
}

/// Bytes that a thread reads at once.
const STRETCH_BYTES: usize = 1 << 20;
/// Bytes of interior pages that a thread keeps.
const KEPT_BYTES: usize = 4 << 20;

/// What a thread does with the pages that it is given.
pub(super) trait Worker: Send {
    /// Reads the pages from this one on that fill `buffer`.
    fn read_stretch(&mut self, first: u32, buffer: &mut [u8]);
}

/// Gives every page to one of as many workers as there are cores, and returns those; fewer of them where a thread panicked, of
/// which nothing is known then.
pub(super) fn stretches<W: Worker>(
    file: &DatabaseFile,
    watch: Watch<'_>,
    worker: impl Fn() -> W + Sync,
) -> (Vec<W>, Findings) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let pages_at_once = u32::try_from(STRETCH_BYTES / file.page_bytes).unwrap_or(1).max(1);
    let next = AtomicU64::new(0);
    let work = || {
        let mut worker = worker();
        let mut buffer = vec![0; pages_at_once as usize * file.page_bytes];
        while !watch.interrupted.load(Ordering::Relaxed) {
            let first = next.fetch_add(1, Ordering::Relaxed) * u64::from(pages_at_once) + 1;
            let Some(first) = u32::try_from(first).ok().filter(|first| *first <= file.pages) else { break };
            let count = pages_at_once.min(file.pages - first + 1);
            worker.read_stretch(first, &mut buffer[..count as usize * file.page_bytes]);
            watch.pages_done.fetch_add(u64::from(count), Ordering::Relaxed);
        }
        worker
    };
    let mut findings = Findings::default();
    let mut workers = Vec::new();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            match handle.join() {
                Ok(worker) => workers.push(worker),
                Err(_) => findings.add(1, None, "a thread of the scan panicked"),
            }
        }
    });
    (workers, findings)
}

/// Reads every page on all cores. `layouts` has an entry for each tree. Returns what is wrong, and the visitors.
pub(super) fn scan<V: Visitor>(
    file: &DatabaseFile,
    map: &PageMap,
    layouts: &[Layout],
    watch: Watch<'_>,
    visitor: impl Fn() -> V + Sync,
) -> (Findings, Vec<V>) {
    let (readers, mut findings) = stretches(file, watch, || Reader::new(file, map, layouts, visitor()));
    let mut visitors = Vec::new();
    for reader in readers {
        findings.merge(reader.findings);
        visitors.push(reader.visitor);
    }
    (findings, visitors)
}

/// One thread's state.
struct Reader<'a, V> {
    file: &'a DatabaseFile,
    map: &'a PageMap,
    layouts: &'a [Layout],
    visitor: V,
    findings: Findings,
    ancestors: Ancestors,
    space: Space,
    lower: Bound,
    upper: Bound,
}

/// The key on one side of a page's keys.
#[derive(Debug, Default)]
struct Bound {
    is_there: bool,
    rowid: i64,
    text: Vec<u8>,
}

impl<'a, V: Visitor> Reader<'a, V> {
    fn new(file: &'a DatabaseFile, map: &'a PageMap, layouts: &'a [Layout], visitor: V) -> Self {
        Self {
            file,
            map,
            layouts,
            visitor,
            findings: Findings::default(),
            ancestors: Ancestors::new(file.page_bytes),
            space: Space::default(),
            lower: Bound::default(),
            upper: Bound::default(),
        }
    }

    fn check_stretch(&mut self, first: u32, buffer: &mut [u8]) {
        let held = match self.file.read_from(first, buffer) {
            Ok(held) => held,
            Err(error) => return self.findings.add(first, None, format!("cannot be read: {error}")),
        };
        for (page, bytes) in (first..).zip(buffer.chunks_exact(self.file.page_bytes)) {
            let end = (page - first + 1) as usize * self.file.page_bytes;
            let (tree, checked) = match self.map.owner(page) {
                Owner::Lock | Owner::Freelist => continue,
                _ if end > held => (None, Err("the file ends before it does".into())),
                Owner::Nobody => (None, Err("belongs to no table, no index and not to the freelist".into())),
                Owner::Root { tree, leaf } => {
                    (self.lower.is_there, self.upper.is_there) = (false, false);
                    (Some(tree), self.check(page, bytes, tree, leaf, true))
                }
                Owner::Child { parent, slot, leaf } => {
                    let tree = self.map.interiors[parent as usize].tree;
                    let (lower, upper) = self.map.bounds(parent, slot);
                    let layout = self.layouts[usize::from(tree)];
                    let bounded = self
                        .ancestors
                        .key(self.file, self.map, lower, layout, &mut self.lower)
                        .and_then(|()| self.ancestors.key(self.file, self.map, upper, layout, &mut self.upper));
                    (Some(tree), bounded.and_then(|()| self.check(page, bytes, tree, leaf, false)))
                }
            };
            if let Err(PageFault(what)) = checked {
                let of = tree.map(|tree| self.map.trees[usize::from(tree)].name.as_str());
                self.findings.add(page, of, what);
            }
        }
    }

    fn check(&mut self, number: u32, bytes: &[u8], tree: u16, leaf: bool, root: bool) -> Result<(), PageFault> {
        let Self { space, visitor, lower, upper, .. } = self;
        let page = Page::new(bytes, DatabaseFile::header_of(number))?;
        let tree = usize::from(tree);
        if page.kind().is_leaf() != leaf || page.kind().is_index() != self.map.trees[tree].is_index {
            return Err("it is a page of another kind than its tree has at this depth".into());
        }
        if page.cells() == 0 && !(root && leaf) {
            return Err("it has no cells".into());
        }
        let layout = self.layouts[tree];
        if page.kind().is_index() && layout != Layout::Entries {
            // Of another index than a tracker's the order is not known.
            return page.visit(space, |_, cell| cell.whole().map(drop));
        }
        if page.kind().is_index() {
            let mut last = lower.is_there.then_some(lower.text.as_slice());
            page.visit(space, |_, cell| {
                let (text, rowid) = entry(cell)?;
                if last.is_some_and(|last| last >= text) {
                    return Err("its keys are out of order".into());
                }
                last = Some(text);
                visitor.entry(tree, number, text, rowid);
                Ok(())
            })?;
            return match last {
                Some(last) if upper.is_there && last >= upper.text.as_slice() => {
                    Err("its keys reach beyond its bounds".into())
                }
                _ => Ok(()),
            };
        }
        let mut last = lower.is_there.then_some(lower.rowid);
        page.visit(space, |_, cell| {
            if last.is_some_and(|last| last >= cell.rowid) {
                return Err("its rowids are out of order".into());
            }
            last = Some(cell.rowid);
            if leaf { row(layout, cell.whole()?, |values| visitor.row(tree, number, values)) } else { Ok(()) }
        })?;
        match last {
            Some(last) if upper.is_there && last > upper.rowid => Err("its rowids reach beyond its bounds".into()),
            _ => Ok(()),
        }
    }
}

impl<V: Visitor> Worker for Reader<'_, V> {
    fn read_stretch(&mut self, first: u32, buffer: &mut [u8]) {
        self.check_stretch(first, buffer);
    }
}

/// The text and the rowid of an index's cell.
#[inline]
fn entry(cell: Cell<'_>) -> Result<(&[u8], i64), PageFault> {
    let record = Record::decode(cell.whole()?.payload)?;
    match record.values() {
        [ValueRef::Text(text), ValueRef::Integer(rowid)] => Ok((text, *rowid)),
        _ => Err("it holds an entry that is not a text and a rowid".into()),
    }
}

#[inline]
fn row(layout: Layout, cell: Cell<'_>, visit: impl FnOnce(&[ValueRef<'_>])) -> Result<(), PageFault> {
    let Layout::Rows { columns, with_id } = layout else { return Ok(()) };
    let mut record = Record::decode(cell.payload)?;
    if record.values().len() != columns {
        return Err(PageFault(format!("row {} has not {columns} columns", cell.rowid)));
    }
    if with_id {
        // A column that is the rowid is stored as NULL.
        if record.values()[0] != ValueRef::Null {
            return Err(PageFault(format!("row {} has a second id", cell.rowid)));
        }
        record.set_first(ValueRef::Integer(cell.rowid));
    }
    visit(record.values());
    Ok(())
}

/// A few interior pages, each at the one place that its number has.
pub(super) struct Ancestors {
    pages: Vec<(u32, Vec<u8>)>,
}

impl Ancestors {
    pub fn new(page_bytes: usize) -> Self {
        Self { pages: vec![(0, Vec::new()); (KEPT_BYTES / page_bytes).max(16)] }
    }

    /// The key of a cell of an interior page; none where the keys are not bounded on that side.
    #[inline]
    fn key(
        &mut self,
        file: &DatabaseFile,
        map: &PageMap,
        at: Option<CellAt>,
        layout: Layout,
        key: &mut Bound,
    ) -> Result<(), PageFault> {
        key.is_there = at.is_some();
        let Some(at) = at else { return Ok(()) };
        let number = map.interiors[at.interior as usize].page;
        let cell = self.cell(file, map, at)?;
        key.rowid = cell.rowid;
        if layout == Layout::Entries {
            let (text, _) = entry(cell).map_err(|_| unreadable(number))?;
            key.text.clear();
            key.text.extend_from_slice(text);
        }
        Ok(())
    }

    /// A cell of an interior page, which is read where it is not kept.
    ///
    /// # Errors
    /// Where the page cannot be read, or has no such cell.
    #[inline]
    pub fn cell(&mut self, file: &DatabaseFile, map: &PageMap, at: CellAt) -> Result<Cell<'_>, PageFault> {
        let CellAt { interior, slot } = at;
        let number = map.interiors[interior as usize].page;
        let place = interior as usize % self.pages.len();
        let (kept, bytes) = &mut self.pages[place];
        if *kept != number {
            *kept = 0;
            read(file, number, bytes)?;
            *kept = number;
        }
        let page = Page::new(bytes, DatabaseFile::header_of(number)).map_err(|_| unreadable(number))?;
        if usize::from(slot) >= page.cells() {
            return Err("the page above it has changed".into());
        }
        let (cell, _) = page.cell(usize::from(slot)).map_err(|_| unreadable(number))?;
        Ok(cell)
    }
}

fn unreadable(number: u32) -> PageFault {
    PageFault(format!("page {number} above it cannot be read"))
}
