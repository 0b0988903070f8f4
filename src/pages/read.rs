//! Reading b-tree pages: every cell of a page, with every byte of it accounted for.
//!
//! A page is believed only where it is whole by itself: its header in range, each cell inside the cell content area, no
//! two cells or freeblocks over each other, and what lies between them as many bytes as the header says are fragments.
//! That is what `PRAGMA integrity_check` asks of a page. Whether it is the right page is for [`crate::oracle`] to find out.

use std::fmt;

pub use super::record::Record;
pub(crate) use super::record::{Values, take_varint};
use super::{CELL_POINTER_BYTES, CHILD_BYTES, PageKind};

/// What is wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFault(pub String);

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Cell<'_> {
    /// Refuses a record that goes on elsewhere.
    ///
    /// # Errors
    /// That it does not fit on a page.
    #[inline]
    pub(crate) fn whole(self) -> Result<Self, PageFault> {
        match self.overflow {
            None => Ok(self),
            Some(Overflow { record_bytes, .. }) => {
                Err(PageFault(format!("it has a record of {record_bytes} bytes, which does not fit on a page")))
            }
        }
    }
}

impl From<&str> for PageFault {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}

/// One cell of a b-tree page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell<'p> {
    /// The page of the smaller keys; 0 on a leaf.
    pub child: u32,
    /// The rowid; 0 in an index.
    pub rowid: i64,
    /// The record, or the part of it that is on this page; empty on an interior page of a table.
    pub payload: &'p [u8],
    /// Where the rest of the record is, if there is one.
    pub overflow: Option<Overflow>,
}

/// A record that goes on in a chain of overflow pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow {
    /// The first page of the chain.
    pub first: u32,
    /// Bytes of the whole record.
    pub record_bytes: u64,
}

/// A b-tree page whose header is in range.
#[derive(Debug, Clone, Copy)]
pub struct Page<'p> {
    bytes: &'p [u8],
    kind: PageKind,
    /// Where the b-tree page header is.
    header: usize,
    cells: usize,
    /// Where the cell content area starts.
    content: usize,
}

/// The bytes of a page that are taken, to find what overlaps.
#[derive(Debug, Default)]
pub struct Space {
    taken: Vec<u64>,
    count: usize,
}

/// A cell on a page takes this many bytes at least, so that a freeblock fits where it was.
const CELL_BYTES_MIN: usize = 4;

impl PageKind {
    /// The kind that the first byte of a b-tree page header stands for.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::IndexInterior, Self::TableInterior, Self::IndexLeaf, Self::TableLeaf]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether pages of this kind have no children.
    #[must_use]
    pub(crate) fn is_leaf(self) -> bool {
        matches!(self, Self::IndexLeaf | Self::TableLeaf)
    }

    /// Whether pages of this kind belong to an index.
    #[must_use]
    pub(crate) fn is_index(self) -> bool {
        matches!(self, Self::IndexInterior | Self::IndexLeaf)
    }
}

impl<'p> Page<'p> {
    /// The b-tree page in `bytes`, which is one page. `header` is where its header begins: 100 on page 1, 0 elsewhere.
    ///
    /// # Errors
    /// What is wrong with its header.
    #[inline]
    pub fn new(bytes: &'p [u8], header: usize) -> Result<Self, PageFault> {
        let kind = bytes.get(header).copied().and_then(PageKind::from_byte);
        let kind = kind.ok_or_else(|| PageFault(format!("{:#04x} is no kind of b-tree page", bytes[header])))?;
        let cells = get_u16(bytes, header + 3);
        let content = match get_u16(bytes, header + 5) {
            0 => 65_536,
            content => content,
        };
        let pointers_end = header + kind.header_bytes() + cells * CELL_POINTER_BYTES;
        if pointers_end > content || content > bytes.len() {
            return Err(PageFault(format!("{cells} cells and a cell content area at {content} are out of range")));
        }
        Ok(Self { bytes, kind, header, cells, content })
    }

    /// What kind of page it is.
    #[must_use]
    pub fn kind(&self) -> PageKind {
        self.kind
    }

    /// Number of cells.
    #[must_use]
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// The right-most child of an interior page, 0 on a leaf.
    #[must_use]
    pub(crate) fn right_child(&self) -> u32 {
        if self.kind.is_leaf() { 0 } else { get_u32(self.bytes, self.header + 8) }
    }

    /// The cell at a position, and the bytes of the page that it takes.
    ///
    /// # Errors
    /// Where it is not inside the cell content area.
    #[inline]
    pub fn cell(&self, position: usize) -> Result<(Cell<'p>, std::ops::Range<usize>), PageFault> {
        let at = get_u16(self.bytes, self.header + self.kind.header_bytes() + position * CELL_POINTER_BYTES);
        if at < self.content || at >= self.bytes.len() {
            return Err(PageFault(format!("cell {position} at {at} is outside of the cell content area")));
        }
        let outside = || PageFault(format!("cell {position} does not end on its page"));
        let mut rest = &self.bytes[at..];
        let mut cell = Cell { child: 0, rowid: 0, payload: &[], overflow: None };
        if !self.kind.is_leaf() {
            let (child, after) = rest.split_first_chunk::<CHILD_BYTES>().ok_or_else(outside)?;
            (cell.child, rest) = (u32::from_be_bytes(*child), after);
        }
        let length = match self.kind {
            PageKind::TableInterior => 0,
            PageKind::IndexInterior | PageKind::IndexLeaf | PageKind::TableLeaf => {
                take_varint(&mut rest).ok_or_else(outside)?
            }
        };
        if !self.kind.is_index() {
            cell.rowid = take_varint(&mut rest).ok_or_else(outside)?.cast_signed();
        }
        let local = self.local_bytes(length);
        cell.payload = rest.get(..local).ok_or_else(outside)?;
        let mut end = self.bytes.len() - rest.len() + local;
        if local as u64 != length {
            let first = rest[local..].first_chunk::<CHILD_BYTES>().ok_or_else(outside)?;
            cell.overflow = Some(Overflow { first: u32::from_be_bytes(*first), record_bytes: length });
            end += CHILD_BYTES;
        }
        let end = end.max(at + CELL_BYTES_MIN);
        if end > self.bytes.len() { Err(outside()) } else { Ok((cell, at..end)) }
    }

    /// Bytes of a record of this length that stand on the page ("Cell payload overflow pages" of the file format).
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "at most a page")]
    fn local_bytes(&self, length: u64) -> usize {
        let usable = self.bytes.len();
        let most = if self.kind.is_index() { (usable - 12) * 64 / 255 - 23 } else { usable - 35 };
        if length <= most as u64 {
            return length as usize;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let local = least + ((length - least as u64) % (usable as u64 - CHILD_BYTES as u64)) as usize;
        if local <= most { local } else { least }
    }

    /// Visits every cell in order of its key and accounts for every byte of the page.
    ///
    /// # Errors
    /// The first thing that is wrong, `visit`'s own findings among them.
    #[inline]
    pub fn visit(
        &self,
        space: &mut Space,
        mut visit: impl FnMut(usize, Cell<'p>) -> Result<(), PageFault>,
    ) -> Result<(), PageFault> {
        space.clear(self.bytes.len());
        for position in 0..self.cells {
            let (cell, range) = self.cell(position)?;
            if !space.take(range) {
                return Err(PageFault(format!("cell {position} lies over another")));
            }
            visit(position, cell)?;
        }
        self.take_freeblocks(space)?;
        let fragments = self.bytes.len() - self.content - space.count;
        let said = usize::from(self.bytes[self.header + 7]);
        if fragments == said {
            Ok(())
        } else {
            Err(PageFault(format!("{fragments} bytes belong to nothing, where its header says {said}")))
        }
    }

    fn take_freeblocks(&self, space: &mut Space) -> Result<(), PageFault> {
        let mut at = get_u16(self.bytes, self.header + 1);
        let mut least = self.content;
        while at != 0 {
            if at < least || at + 4 > self.bytes.len() {
                return Err(PageFault(format!("a freeblock at {at} is out of range or out of order")));
            }
            let (next, length) = (get_u16(self.bytes, at), get_u16(self.bytes, at + 2));
            if length < 4 || at + length > self.bytes.len() || !space.take(at..at + length) {
                return Err(PageFault(format!("a freeblock of {length} bytes at {at} lies over something else")));
            }
            least = at + length;
            at = next;
        }
        Ok(())
    }
}

impl Space {
    fn clear(&mut self, page_bytes: usize) {
        self.taken.clear();
        self.taken.resize(page_bytes.div_ceil(64), 0);
        self.count = 0;
    }

    /// Marks bytes as taken; false where some of them are already.
    #[inline]
    fn take(&mut self, range: std::ops::Range<usize>) -> bool {
        self.count += range.len();
        let (first, last) = (range.start / 64, (range.end - 1) / 64);
        let (from, to) = (!0 << (range.start % 64), !0 >> (63 - (range.end - 1) % 64));
        let mut mark = |word: usize, mask: u64| {
            let free = self.taken[word] & mask == 0;
            self.taken[word] |= mask;
            free
        };
        if first == last {
            return mark(first, from & to);
        }
        let mut free = mark(first, from);
        for word in first + 1..last {
            free &= mark(word, !0);
        }
        mark(last, to) && free
    }
}

/// A big-endian number of two bytes. `at` must be on the page.
#[must_use]
#[inline]
pub(crate) fn get_u16(page: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([page[at], page[at + 1]]))
}

/// A big-endian number of four bytes. `at` must be on the page.
#[must_use]
#[inline]
pub fn get_u32(page: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

#[cfg(test)]
mod tests {
    use rusqlite::types::ValueRef;

    use super::{
        super::{PageWriter, push_record, push_varint},
        *,
    };

    /// A leaf of a table with these rows.
    fn leaf(rows: &[(i64, &str)]) -> Vec<u8> {
        let mut page = vec![0; 512];
        let mut writer = PageWriter::new(&mut page, PageKind::TableLeaf, 0);
        for (rowid, text) in rows {
            let (mut record, mut cell) = (Vec::new(), Vec::new());
            push_record(&mut record, &[ValueRef::Null, ValueRef::Text(text.as_bytes())]);
            push_varint(&mut cell, record.len() as u64);
            push_varint(&mut cell, rowid.cast_unsigned());
            cell.extend(&record);
            writer.push(&cell).unwrap();
        }
        writer.finish(None);
        page
    }

    fn read(page: &[u8]) -> Result<Vec<(i64, String)>, PageFault> {
        let mut rows = Vec::new();
        Page::new(page, 0)?.visit(&mut Space::default(), |_, cell| {
            let record = Record::decode(cell.payload)?;
            let text = record.values().get(1).and_then(|value| value.as_str().ok()).ok_or("no text")?;
            rows.push((cell.rowid, text.to_owned()));
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn what_was_written_is_read() {
        let page = leaf(&[(1, "one"), (-5, "two"), (i64::MAX, "")]);
        let expected = [(1, "one"), (-5, "two"), (i64::MAX, "")].map(|(id, text)| (id, text.to_owned()));
        assert_eq!(read(&page).unwrap(), expected);
    }

    #[test]
    fn a_page_that_does_not_add_up_is_refused() {
        let good = leaf(&[(1, "one"), (2, "two"), (3, "three")]);
        let changed = |at: usize, value: u8| {
            let mut page = good.clone();
            page[at] = value;
            read(&page).unwrap_err().to_string()
        };
        assert!(changed(0, 7).contains("no kind of b-tree page"));
        assert!(changed(4, 250).contains("out of range"));
        assert!(changed(7, 1).contains("belong to nothing"));
        assert!(changed(9, good[11]).contains("lies over another"));
        assert!(changed(8, 0).contains("outside of the cell content area"));
        assert!(changed(1, 1).contains("freeblock"));
        let (at, end) = (get_u16(&good, 8), good.len());
        assert_eq!(end - at, 8);
        assert!(changed(at, 9).contains("does not end on its page"));
        assert!(changed(at + 2, 5).contains("does not fit its record"));
        assert!(changed(at + 4, 17).contains("belong to no value"));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let mut state = 1;
        for _ in 0..20_000 {
            let mut page: Vec<u8> = leaf(&[(1, "one"), (2, "two"), (3, "three")]);
            for _ in 0..3 {
                state = crate::random::mix(state);
                let at = if state % 2 == 0 { state >> 8 & 31 } else { 480 + (state >> 8 & 31) };
                page[usize::try_from(at).unwrap()] = state.to_le_bytes()[7];
            }
            page[0] = [2, 5, 10, 13][usize::try_from(state % 4).unwrap()];
            let _ = read(&page);
        }
    }
}
