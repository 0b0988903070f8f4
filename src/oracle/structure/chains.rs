//! Chains of overflow pages: which pages they take, and what stands on them.
//!
//! A chain begins in a cell, so its pages are known once the page of that cell is read, by whichever thread. Each thread notes
//! the pages of its chains in one map of bits for all; what no chain has taken in the end belongs to nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{
    file::DatabaseFile,
    walk::{Findings, Owner, PageMap, read},
};
use crate::pages::read::{Cell, Overflow, PageFault, get_u32};

/// Bytes at the front of an overflow page, which say the next one.
const NEXT_BYTES: usize = 4;

/// The pages that chains have taken so far.
pub(super) struct Chains<'a> {
    file: &'a DatabaseFile,
    map: &'a PageMap,
    taken: Vec<AtomicU64>,
}

impl<'a> Chains<'a> {
    pub fn new(file: &'a DatabaseFile, map: &'a PageMap) -> Self {
        let taken = (0..=file.pages / 64).map(|_| AtomicU64::new(0)).collect();
        Self { file, map, taken }
    }

    /// Goes along a cell's chain to its end. Pages are taken where `take`; what stands on them is appended to `record`, where
    /// that is wanted.
    ///
    /// # Errors
    /// Where the chain has not the pages that the length of the record needs, or one that is used elsewhere.
    pub fn follow(
        &self,
        cell: &Cell<'_>,
        overflow: Overflow,
        take: bool,
        mut record: Option<&mut Vec<u8>>,
    ) -> Result<(), PageFault> {
        if let Some(record) = record.as_deref_mut() {
            record.clear();
            record.extend_from_slice(cell.payload);
        }
        let (mut page, mut buffer) = (overflow.first, Vec::new());
        let mut left = overflow.record_bytes - cell.payload.len() as u64;
        while left > 0 {
            if page == 0 || page > self.file.pages {
                return Err(PageFault(format!("a chain of overflow pages goes to page {page}")));
            }
            if take && !self.take(page) {
                return Err(PageFault(format!("overflow page {page} is used elsewhere too")));
            }
            read(self.file, page, &mut buffer)?;
            let content = &buffer[NEXT_BYTES..];
            let bytes = left.min(content.len() as u64);
            if let Some(record) = record.as_deref_mut() {
                record.extend(&content[..usize::try_from(bytes).unwrap_or(content.len())]);
            }
            left -= bytes;
            page = get_u32(&buffer, 0);
        }
        if page == 0 { Ok(()) } else { Err(PageFault(format!("a chain of overflow pages goes on to page {page}"))) }
    }

    /// Takes a page that exists; false where it belongs to something else.
    fn take(&self, page: u32) -> bool {
        let bit = 1 << (page % 64);
        let before = self.taken[page as usize / 64].fetch_or(bit, Ordering::Relaxed);
        before & bit == 0 && self.map.owner(page) == Owner::Nobody
    }

    /// The pages that belong to nothing, once every page was read.
    pub fn unowned(&self) -> Findings {
        let mut findings = Findings::default();
        let is_taken = |page: u32| self.taken[page as usize / 64].load(Ordering::Relaxed) & 1 << (page % 64) != 0;
        for page in (1..=self.file.pages).filter(|page| self.map.owner(*page) == Owner::Nobody && !is_taken(*page)) {
            findings.add(page, None, "belongs to no table, no index and not to the freelist");
        }
        findings
    }
}
