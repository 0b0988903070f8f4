//! One thread's reading of pages: each is checked against the map of [`crate::oracle::walk`] and the shape of its tree, and what its
//! records come to is added up.

use std::{borrow::Cow, collections::BTreeSet};

use rusqlite::types::ValueRef;

use super::{
    super::{
        file::DatabaseFile,
        scan::{Ancestors, Worker},
        walk::{Findings, Owner, PageMap},
    },
    chains::Chains,
    key::{Order, normal},
    shape::{Content, Kind, Pair, Paired, Shape, Source},
};
use crate::{
    digest::{self, Digest, Part},
    pages::read::{Cell, Page, PageFault, Space, Values},
};

/// The most that is read of a record into memory.
const RECORD_BYTES_MOST: u64 = 16 << 20;

/// What records come to.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// For each pair what rows have added and entries have taken away.
    sums: Vec<Digest>,
    /// Of a tracker's tables; none where a row is not such a table's.
    pub content: Option<Digest>,
    /// Trees with a record that was not read into memory.
    pub too_large: BTreeSet<usize>,
}

/// One thread's state.
pub(super) struct Reader<'a> {
    file: &'a DatabaseFile,
    map: &'a PageMap,
    shape: &'a Shape,
    chains: &'a Chains<'a>,
    ancestors: Ancestors,
    space: Space,
    lower: Bound,
    upper: Bound,
    found: Found,
    findings: Findings,
}

/// The key on one side of a page's keys.
#[derive(Debug, Default)]
struct Bound {
    is_there: bool,
    rowid: i64,
    record: Vec<u8>,
}

impl Found {
    pub fn new(shape: &Shape) -> Self {
        Self {
            sums: vec![Digest::default(); shape.pairs.len()],
            content: Some(Digest::default()),
            too_large: BTreeSet::new(),
        }
    }

    pub fn add(&mut self, other: Self) {
        for (sum, term) in self.sums.iter_mut().zip(other.sums) {
            *sum += term;
        }
        self.content = self.content.zip(other.content).map(|(one, other)| one + other);
        self.too_large.extend(other.too_large);
    }

    /// The pairs of which the index does not hold the entries of the table, as far as both were read.
    pub fn left_over<'a>(&'a self, shape: &'a Shape) -> impl Iterator<Item = Pair> + 'a {
        let is_read = |pair: &Pair| !self.too_large.contains(&pair.table) && !self.too_large.contains(&pair.index);
        let differs = |(sum, _): &(&Digest, &Pair)| **sum != Digest::default();
        self.sums.iter().zip(&shape.pairs).filter(differs).map(|(_, pair)| *pair).filter(is_read)
    }

    fn add_row(&mut self, paired: &[Paired], rowid: i64, values: &[ValueRef<'_>]) {
        for Paired { pair, columns } in paired {
            let value = |source| value_of(source, rowid, values);
            self.sums[*pair] += digest::row(Part::IndexEntry, columns.iter().map(value));
        }
    }

    fn add_content(&mut self, content: Content, rowid: i64, values: &mut [ValueRef<'_>]) {
        if values.len() != content.columns {
            self.content = None;
            return;
        }
        if content.with_id {
            values[0] = ValueRef::Integer(rowid);
        }
        if let Some(sum) = &mut self.content {
            *sum += digest::row(content.part, values.iter().copied());
        }
    }
}

/// What of a row stands in an entry of an index.
fn value_of<'v>(source: &'v Source, rowid: i64, values: &[ValueRef<'v>]) -> ValueRef<'v> {
    match source {
        Source::Rowid => ValueRef::Integer(rowid),
        Source::Stored { at, default } => normal(values.get(*at).copied().unwrap_or_else(|| default.into())),
    }
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a DatabaseFile, map: &'a PageMap, shape: &'a Shape, chains: &'a Chains<'a>) -> Self {
        Self {
            file,
            map,
            shape,
            chains,
            ancestors: Ancestors::new(file.page_bytes),
            space: Space::default(),
            lower: Bound::default(),
            upper: Bound::default(),
            found: Found::new(shape),
            findings: Findings::default(),
        }
    }

    pub fn into_found(self) -> (Found, Findings) {
        (self.found, self.findings)
    }

    /// What is wrong with a page, and the tree that it belongs to.
    fn check_owned(&mut self, page: u32, bytes: &[u8]) -> (Option<u16>, Result<(), PageFault>) {
        match self.map.owner(page) {
            Owner::Nobody | Owner::Lock | Owner::Freelist => (None, Ok(())),
            Owner::Root { tree, leaf } => {
                (self.lower.is_there, self.upper.is_there) = (false, false);
                (Some(tree), self.check(page, bytes, tree, leaf, true))
            }
            Owner::Child { parent, slot, leaf } => {
                let tree = self.map.interiors[parent as usize].tree;
                let bounded = self.find_bounds(parent, slot);
                (Some(tree), bounded.and_then(|()| self.check(page, bytes, tree, leaf, false)))
            }
        }
    }

    fn find_bounds(&mut self, parent: u32, slot: u16) -> Result<(), PageFault> {
        let (lower, upper) = self.map.bounds(parent, slot);
        for (at, bound) in [(lower, &mut self.lower), (upper, &mut self.upper)] {
            bound.is_there = at.is_some();
            let Some(at) = at else { continue };
            let cell = self.ancestors.cell(self.file, self.map, at)?;
            bound.rowid = cell.rowid;
            read_bound(self.chains, &cell, bound)?;
        }
        Ok(())
    }

    fn check(&mut self, number: u32, bytes: &[u8], tree: u16, leaf: bool, root: bool) -> Result<(), PageFault> {
        let page = Page::new(bytes, DatabaseFile::header_of(number))?;
        let tree = usize::from(tree);
        if page.kind().is_leaf() != leaf || page.kind().is_index() != self.map.trees[tree].is_index {
            return Err("it is a page of another kind than its tree has at this depth".into());
        }
        // The root of the schema has less room than a page that its only child might fill.
        if page.cells() == 0 && !(root && leaf) && number != 1 {
            return Err("it has no cells".into());
        }
        let shape = self.shape;
        match &shape.kinds[tree] {
            Kind::Rows { paired, content } => self.check_rows(&page, tree, paired, *content),
            Kind::Keys { order, paired, entries_of } => {
                self.check_keys(&page, tree, order.as_ref(), paired, *entries_of)
            }
        }
    }

    fn check_rows(
        &mut self,
        page: &Page<'_>,
        tree: usize,
        paired: &[Paired],
        content: Option<Content>,
    ) -> Result<(), PageFault> {
        let Self { space, lower, upper, found, chains, .. } = self;
        let (is_leaf, is_compared) = (page.kind().is_leaf(), !paired.is_empty() || content.is_some());
        let mut last = lower.is_there.then_some(lower.rowid);
        page.visit(space, |_, cell| {
            if last.is_some_and(|last| last >= cell.rowid) {
                return Err("its rowids are out of order".into());
            }
            last = Some(cell.rowid);
            if !is_leaf {
                return Ok(());
            }
            let Some(record) = record(chains, &cell, true)? else {
                found.too_large.insert(tree);
                return Ok(());
            };
            if is_compared {
                let mut values = Values::new(&record)?.collect::<Result<Vec<_>, _>>()?;
                found.add_row(paired, cell.rowid, &values);
                if let Some(content) = content {
                    found.add_content(content, cell.rowid, &mut values);
                }
                return Ok(());
            }
            read_all(&record)
        })?;
        match last {
            Some(last) if upper.is_there && last > upper.rowid => Err("its rowids reach beyond its bounds".into()),
            Some(_) | None => Ok(()),
        }
    }

    fn check_keys(
        &mut self,
        page: &Page<'_>,
        tree: usize,
        order: Option<&Order>,
        paired: &[Paired],
        entries_of: Option<usize>,
    ) -> Result<(), PageFault> {
        let Self { space, lower, upper, found, chains, .. } = self;
        let mut last = lower.is_there.then_some(Cow::Borrowed(lower.record.as_slice()));
        page.visit(space, |_, cell| {
            let Some(record) = record(chains, &cell, true)? else {
                found.too_large.insert(tree);
                last = None;
                return Ok(());
            };
            if let (Some(order), Some(last)) = (order, &last) {
                order.check(last, &record)?;
            }
            if let Some(pair) = entries_of {
                found.sums[pair] -= entry(&record)?;
            } else if !paired.is_empty() {
                let values = Values::new(&record)?.collect::<Result<Vec<_>, _>>()?;
                found.add_row(paired, 0, &values);
            } else {
                read_all(&record)?;
            }
            last = Some(record);
            Ok(())
        })?;
        match (order, last) {
            (Some(order), Some(last)) if upper.is_there && order.check(&last, &upper.record).is_err() => {
                Err("its keys reach beyond its bounds".into())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl Worker for Reader<'_> {
    fn read_stretch(&mut self, first: u32, buffer: &mut [u8]) {
        let held = match self.file.read_from(first, buffer) {
            Ok(held) => held,
            Err(error) => return self.findings.add(first, None, format!("cannot be read: {error}")),
        };
        let mut drop_from = first;
        for (page, bytes) in (first..).zip(buffer.chunks_exact(self.file.page_bytes)) {
            let end = (page - first + 1) as usize * self.file.page_bytes;
            let (tree, checked) = match self.map.owner(page) {
                Owner::Lock | Owner::Freelist => continue,
                _ if end > held => (None, Err("the file ends before it does".into())),
                Owner::Nobody | Owner::Root { .. } | Owner::Child { .. } => self.check_owned(page, bytes),
            };
            if let Err(PageFault(what)) = checked {
                let of = tree.map(|tree| self.map.trees[usize::from(tree)].name.as_str());
                self.findings.add(page, of, what);
            }
            // Interior pages are looked at again for each page below them.
            if matches!(self.map.owner(page), Owner::Root { leaf: false, .. } | Owner::Child { leaf: false, .. }) {
                self.file.drop_pages(drop_from, page - 1);
                drop_from = page + 1;
            }
        }
        let pages = u32::try_from(buffer.len() / self.file.page_bytes).unwrap_or(0);
        self.file.drop_pages(drop_from, first + pages - 1);
    }
}

/// The record of a cell. Of one that is too large only the chain is looked at: none.
fn record<'p>(chains: &Chains<'_>, cell: &Cell<'p>, take: bool) -> Result<Option<Cow<'p, [u8]>>, PageFault> {
    let Some(overflow) = cell.overflow else { return Ok(Some(Cow::Borrowed(cell.payload))) };
    if overflow.record_bytes <= RECORD_BYTES_MOST {
        let mut whole = Vec::new();
        chains.follow(cell, overflow, take, Some(&mut whole))?;
        return Ok(Some(Cow::Owned(whole)));
    }
    // A chain whose pages are not taken may go round for ever.
    if take {
        chains.follow(cell, overflow, take, None)?;
    }
    Ok(None)
}

/// The key of a cell above; one that is too large bounds nothing.
fn read_bound(chains: &Chains<'_>, cell: &Cell<'_>, bound: &mut Bound) -> Result<(), PageFault> {
    match record(chains, cell, false)? {
        Some(record) => {
            bound.record.clear();
            bound.record.extend_from_slice(&record);
        }
        None => bound.is_there = false,
    }
    Ok(())
}

/// Reads every value of a record that is compared with nothing.
fn read_all(record: &[u8]) -> Result<(), PageFault> {
    Values::new(record)?.try_for_each(|value| value.map(drop))
}

/// The hash of an index's entry.
fn entry(record: &[u8]) -> Result<Digest, PageFault> {
    let mut fault = None;
    let values = Values::new(record)?.map_while(|value| value.map_err(|why| fault = Some(why)).ok());
    let digest = digest::row(Part::IndexEntry, values.map(normal));
    fault.map_or(Ok(digest), Err)
}
