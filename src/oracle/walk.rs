//! Which page belongs to what: the interior pages of every b-tree, and the freelist.
//!
//! The walk goes down level by level and reads interior pages only, about one in a hundred of the file. It gives each
//! page one owner, so that a page that two cells point to, or none, is found; and it notes which cells bound the keys of
//! a page. [`super::scan`] then reads every page once, in the order of the file, and checks it against this map.
//!
//! Memory: 8 bytes a page of the file, and 28 for each interior page.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::DatabaseFile;
use crate::pages::{
    LOCK_BYTE, lock_page,
    read::{Page, PageFault, get_u32},
};

/// Something wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The page, from 1.
    pub page: u32,
    /// The table or index that it belongs to, where that is known.
    pub of: Option<String>,
    /// What is wrong, in words.
    pub what: String,
}

/// The first things that are wrong with a file, and how many there are in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// How many there are.
    pub count: u64,
    /// The first of them, by page.
    pub sample: Vec<Finding>,
}

/// A b-tree that the schema names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    /// Its name in the schema.
    pub name: String,
    /// Its root page.
    pub root: u32,
    /// Whether it is an index.
    pub is_index: bool,
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// No page refers to it.
    Nobody,
    /// The page that SQLite locks.
    Lock,
    /// It is on the freelist.
    Freelist,
    /// The root of a tree, by its position.
    Root { tree: u16, leaf: bool },
    /// A child of an interior page, by its position in [`PageMap::interiors`] and the cell that points to it.
    Child { parent: u32, slot: u16, leaf: bool },
}

/// An interior page and the cells that bound its keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interior {
    pub page: u32,
    pub tree: u16,
    pub cells: u16,
    pub lower: Option<CellAt>,
    pub upper: Option<CellAt>,
}

/// A cell of an interior page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CellAt {
    /// Position in [`PageMap::interiors`].
    pub interior: u32,
    /// Position on the page.
    pub slot: u16,
}

/// The owner of every page.
#[derive(Debug)]
pub(super) struct PageMap {
    pub trees: Vec<Tree>,
    pub interiors: Vec<Interior>,
    owners: Vec<Owner>,
    /// What is wrong so far.
    pub findings: Findings,
}

impl Findings {
    /// How many are kept.
    pub const KEPT: usize = 20;

    pub(super) fn add(&mut self, page: u32, of: Option<&str>, what: impl Into<String>) {
        self.count += 1;
        if self.sample.len() < Self::KEPT {
            self.sample.push(Finding { page, of: of.map(str::to_owned), what: what.into() });
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sample.extend(other.sample);
        self.sample.sort_unstable();
        self.sample.truncate(Self::KEPT);
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Some(of) => write!(f, "page {} of {of}: {}", self.page, self.what),
            None => write!(f, "page {}: {}", self.page, self.what),
        }
    }
}

impl PageMap {
    /// Walks the trees and the freelist of a file.
    pub fn new(file: &DatabaseFile, trees: Vec<Tree>) -> Self {
        let owners = vec![Owner::Nobody; file.pages as usize];
        let mut map = Self { trees, interiors: Vec::new(), owners, findings: Findings::default() };
        let lock = lock_page(LOCK_BYTE, u32::try_from(file.page_bytes).unwrap_or(u32::MAX));
        if let Some(owner) = usize::try_from(lock - 1).ok().and_then(|lock| map.owners.get_mut(lock)) {
            *owner = Owner::Lock;
        }
        for tree in 0..map.trees.len() {
            map.walk(file, tree);
        }
        map.walk_freelist(file);
        map
    }

    /// What a page is for.
    pub fn owner(&self, page: u32) -> Owner {
        self.owners.get(page as usize - 1).copied().unwrap_or(Owner::Nobody)
    }

    /// The cells that bound the keys of a child: those on the left and on the right of the cell that points to it.
    pub fn bounds(&self, parent: u32, slot: u16) -> (Option<CellAt>, Option<CellAt>) {
        let above = self.interiors[parent as usize];
        let lower = match slot.checked_sub(1) {
            Some(slot) => Some(CellAt { interior: parent, slot }),
            None => above.lower,
        };
        let upper = if slot < above.cells { Some(CellAt { interior: parent, slot }) } else { above.upper };
        (lower, upper)
    }

    /// Notes who a page belongs to; false where it is no page of the file or belongs to something else already.
    fn claim(&mut self, by: u32, of: Option<usize>, page: u32, owner: Owner) -> bool {
        let name = of.map(|tree| self.trees[tree].name.clone());
        let place = (page as usize).checked_sub(1).and_then(|page| self.owners.get_mut(page));
        match place {
            None => {
                self.findings.add(by, name.as_deref(), format!("refers to page {page}, which the file does not have"));
            }
            Some(place @ Owner::Nobody) => {
                *place = owner;
                return true;
            }
            Some(Owner::Lock) => self.findings.add(by, name.as_deref(), "refers to the lock page"),
            Some(_) => {
                self.findings.add(by, name.as_deref(), format!("refers to page {page}, which is used elsewhere too"));
            }
        }
        false
    }

    fn walk(&mut self, file: &DatabaseFile, tree: usize) {
        let Tree { root, is_index, name } = self.trees[tree].clone();
        let number = u16::try_from(tree).unwrap_or(u16::MAX);
        let mut buffer = Vec::new();
        let is_leaf = |page: u32, buffer: &mut Vec<u8>| -> Result<bool, PageFault> {
            read(file, page, buffer)?;
            Ok(Page::new(buffer, DatabaseFile::header_of(page))?.kind().is_leaf())
        };
        let fault =
            |map: &mut Self, page: u32, fault: &PageFault| map.findings.add(page, Some(&name), fault.to_string());
        if root == 0 || root > file.pages {
            self.findings.add(1, Some(&name), format!("its root is page {root}, which the file does not have"));
            return;
        }
        let leaf = match is_leaf(root, &mut buffer) {
            Ok(leaf) => leaf,
            Err(why) => return fault(self, root, &why),
        };
        if !self.claim(1, Some(tree), root, Owner::Root { tree: number, leaf }) || leaf {
            return;
        }
        let mut level = vec![Interior { page: root, tree: number, cells: 0, lower: None, upper: None }];
        while let Some(first) = level.first() {
            // Leaves all lie at one depth, so the first child tells for the whole level.
            let children_are_leaves =
                first_child(file, first.page, &mut buffer).and_then(|child| is_leaf(child, &mut buffer));
            let leaf = match children_are_leaves {
                Ok(leaf) => leaf,
                Err(why) => return fault(self, first.page, &why),
            };
            let mut below = Vec::new();
            for interior in std::mem::take(&mut level) {
                if let Err(why) = self.descend(file, interior, is_index, leaf, &mut below, &mut buffer) {
                    fault(self, interior.page, &why);
                }
            }
            level = below;
        }
    }

    /// Claims the children of an interior page, and puts them into `below` where they are interior pages, too.
    fn descend(
        &mut self,
        file: &DatabaseFile,
        interior: Interior,
        is_index: bool,
        leaf: bool,
        below: &mut Vec<Interior>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), PageFault> {
        read(file, interior.page, buffer)?;
        let page = Page::new(buffer, DatabaseFile::header_of(interior.page))?;
        if page.kind().is_leaf() || page.kind().is_index() != is_index {
            return Err("it is a page of another kind than its tree has at this depth".into());
        }
        let place = u32::try_from(self.interiors.len()).map_err(|_| "too many interior pages")?;
        let cells = u16::try_from(page.cells()).map_err(|_| "too many cells")?;
        self.interiors.push(Interior { cells, ..interior });
        for slot in 0..=cells {
            let child = if slot == cells {
                page.right_child()
            } else {
                page.cell(usize::from(slot)).map(|(cell, _)| cell.child)?
            };
            let tree = usize::from(interior.tree);
            let owner = Owner::Child { parent: place, slot, leaf };
            if self.claim(interior.page, Some(tree), child, owner) && !leaf {
                let (lower, upper) = self.bounds(place, slot);
                below.push(Interior { page: child, tree: interior.tree, cells: 0, lower, upper });
            }
        }
        Ok(())
    }

    fn walk_freelist(&mut self, file: &DatabaseFile) {
        let (mut trunk, said) = file.header.freelist();
        let (mut from, mut count, mut buffer) = (1, 0_u64, Vec::new());
        while trunk != 0 {
            if !self.claim(from, None, trunk, Owner::Freelist) {
                return;
            }
            count += 1;
            if let Err(why) = read(file, trunk, &mut buffer) {
                return self.findings.add(trunk, None, why.to_string());
            }
            let leaves = get_u32(&buffer, 4) as usize;
            if leaves > file.page_bytes / 4 - 2 {
                return self.findings.add(trunk, None, format!("a freelist trunk with {leaves} leaves"));
            }
            for leaf in 0..leaves {
                self.claim(trunk, None, get_u32(&buffer, 8 + 4 * leaf), Owner::Freelist);
                count += 1;
            }
            (from, trunk) = (trunk, get_u32(&buffer, 0));
        }
        if count != u64::from(said) {
            self.findings.add(1, None, format!("the freelist has {count} pages, the header says {said}"));
        }
    }
}

fn first_child(file: &DatabaseFile, page: u32, buffer: &mut Vec<u8>) -> Result<u32, PageFault> {
    read(file, page, buffer)?;
    let page = Page::new(buffer, DatabaseFile::header_of(page))?;
    let child = if page.cells() > 0 { page.cell(0)?.0.child } else { page.right_child() };
    if child == 0 || child > file.pages {
        Err(PageFault(format!("refers to page {child}, which the file does not have")))
    } else {
        Ok(child)
    }
}

pub(super) fn read(file: &DatabaseFile, page: u32, buffer: &mut Vec<u8>) -> Result<(), PageFault> {
    file.read(page, buffer).map_err(|error| PageFault(format!("cannot be read: {error}")))
}
