//! The SQLite file format (<https://sqlite.org/fileformat2.html>), in its own terms: varints, records, cells, b-tree
//! pages and the database header.
//!
//! Only as much of the format as is needed here: pages are used to their full size (no reserved region), and what is written
//! fits on its page (overflow pages are only read). Nothing here knows what the rows mean, which page goes where or what
//! a file is; that is [`crate::dataset`]'s business.

pub mod header;
pub mod read;
mod record;

use rusqlite::types::ValueRef;

/// The byte that SQLite locks: the page that holds it, the *lock page*, is never used.
pub(crate) const LOCK_BYTE: u64 = 1 << 30;

/// Bytes of the entry in the cell pointer array that each cell has.
pub(crate) const CELL_POINTER_BYTES: usize = 2;

/// Bytes of the page number before the payload or key of an interior cell.
pub(crate) const CHILD_BYTES: usize = 4;

/// The kinds of b-tree page; the discriminant is the first byte of the page's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// Keys of an index (or of a table WITHOUT ROWID) and the pages between them.
    IndexInterior = 2,
    /// Rowids and the pages between them.
    TableInterior = 5,
    /// Keys of an index.
    IndexLeaf = 10,
    /// Rows.
    TableLeaf = 13,
}

impl PageKind {
    /// Bytes of the b-tree page header: an interior page has the number of its right-most child, too.
    #[must_use]
    pub(crate) fn header_bytes(self) -> usize {
        match self {
            Self::IndexLeaf | Self::TableLeaf => 8,
            Self::IndexInterior | Self::TableInterior => 12,
        }
    }
}

/// The number of the lock page of a database of this page size.
#[must_use]
pub(crate) fn lock_page(lock_byte: u64, page_size_bytes: u32) -> u64 {
    lock_byte / u64::from(page_size_bytes) + 1
}

/// Bytes of a value as a varint: seven bits in each of eight bytes, and eight in a ninth.
#[must_use]
#[inline]
pub(crate) fn varint_bytes(value: u64) -> usize {
    match value.checked_ilog2() {
        None => 1,
        Some(log) if log < 56 => log as usize / 7 + 1,
        Some(_) => 9,
    }
}

/// Appends a varint: big-endian, the top bit of every byte but the last (or the ninth) set.
#[inline]
pub(crate) fn push_varint(out: &mut Vec<u8>, value: u64) {
    // Nearly all lengths and types are of this kind.
    if value < 0x80 {
        out.push(value.to_le_bytes()[0]);
        return;
    }
    let low_byte = |shift: usize| (value >> shift).to_le_bytes()[0];
    let length = varint_bytes(value);
    if length == 9 {
        out.extend((0..8).rev().map(|group| low_byte(8 + 7 * group) | 0x80));
        out.push(low_byte(0));
    } else {
        out.extend((1..length).rev().map(|group| low_byte(7 * group) | 0x80));
        out.push(low_byte(0) & 0x7f);
    }
}

/// The serial type of a value in a record. Integers take the shortest form, and 0 and 1 none at all (schema format 4).
#[must_use]
#[inline]
pub(crate) fn serial_type(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(0) => 8,
        ValueRef::Integer(1) => 9,
        ValueRef::Integer(number) => match integer_bytes(number) {
            6 => 5,
            8 => 6,
            bytes => bytes as u64,
        },
        ValueRef::Real(_) => 7,
        ValueRef::Text(bytes) => bytes.len() as u64 * 2 + 13,
        ValueRef::Blob(bytes) => bytes.len() as u64 * 2 + 12,
    }
}

/// Bytes of an integer in the body of a record, two's complement: 0, 1, 2, 3, 4, 6 or 8.
#[must_use]
#[inline]
pub(crate) fn integer_bytes(number: i64) -> usize {
    // Bits without the sign's.
    let bits = 64 - (number ^ (number >> 63)).leading_zeros();
    match bits {
        _ if number == 0 || number == 1 => 0,
        0..=7 => 1,
        8..=15 => 2,
        16..=23 => 3,
        24..=31 => 4,
        32..=47 => 6,
        _ => 8,
    }
}

/// Appends a record: the header (its own length, then a serial type for each value) and the body.
#[inline]
pub(crate) fn push_record(out: &mut Vec<u8>, values: &[ValueRef<'_>]) {
    let types: usize = values.iter().map(|value| varint_bytes(serial_type(*value))).sum();
    // The length counts itself; where it takes a second byte, that byte, too.
    let header = types + if types + 1 < 128 { 1 } else { 2 };
    push_varint(out, header as u64);
    for value in values {
        push_varint(out, serial_type(*value));
    }
    for value in values {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(number) => out.extend(&number.to_be_bytes()[8 - integer_bytes(*number)..]),
            ValueRef::Real(number) => out.extend(number.to_bits().to_be_bytes()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => out.extend(*bytes),
        }
    }
}

/// A b-tree page being filled with cells in ascending order: the cell pointer array grows from the front, the cells from
/// the end.
#[derive(Debug)]
pub struct PageWriter<'p> {
    page: &'p mut [u8],
    kind: PageKind,
    /// Where the b-tree page header is: 0, on page 1 after the database header.
    header: usize,
    cells: u16,
    /// Where the cell content area starts.
    content: usize,
}

/// A cell that does not fit on its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cell of {bytes} bytes does not fit on a page with {free} bytes free")]
pub struct PageFull {
    /// Bytes of the cell, without its pointer.
    pub bytes: usize,
    /// Bytes between the cell pointer array and the cell content area.
    pub free: usize,
}

impl<'p> PageWriter<'p> {
    /// A page without cells in `page`, which is one page of zeros. `header_bytes` is the size of the database's header on page 1 and 0
    /// elsewhere: those bytes are left alone.
    #[must_use]
    pub fn new(page: &'p mut [u8], kind: PageKind, header_bytes: usize) -> Self {
        let content = page.len();
        Self { page, kind, header: header_bytes, cells: 0, content }
    }

    /// Bytes for another cell and its pointer.
    #[must_use]
    pub(crate) fn free_bytes(&self) -> usize {
        let pointers = usize::from(self.cells) * CELL_POINTER_BYTES;
        self.content.saturating_sub(self.header + self.kind.header_bytes() + pointers)
    }

    /// Adds a cell after those there are.
    ///
    /// # Errors
    /// [`PageFull`]; the page is as it was.
    #[inline]
    pub fn push(&mut self, cell: &[u8]) -> Result<(), PageFull> {
        let free = self.free_bytes();
        if cell.len() + CELL_POINTER_BYTES > free {
            return Err(PageFull { bytes: cell.len(), free });
        }
        let pointer = self.header + self.kind.header_bytes() + usize::from(self.cells) * CELL_POINTER_BYTES;
        self.content -= cell.len();
        self.page[self.content..][..cell.len()].copy_from_slice(cell);
        put_u16(self.page, pointer, self.content);
        self.cells += 1;
        Ok(())
    }

    /// Writes the b-tree page header. `right_child` is the right-most child of an interior page.
    pub fn finish(self, right_child: Option<u32>) {
        self.page[self.header] = self.kind as u8;
        // No freeblock (1) and no fragments (7): what is free lies between the pointers and the cells.
        put_u16(self.page, self.header + 3, usize::from(self.cells));
        put_u16(self.page, self.header + 5, self.content);
        if let Some(child) = right_child {
            put_u32(self.page, self.header + 8, child);
        }
    }
}

/// A big-endian number of two bytes; 65,536 is stored as 0.
fn put_u16(page: &mut [u8], at: usize, value: usize) {
    let bytes = value.to_be_bytes();
    page[at..at + 2].copy_from_slice(&bytes[bytes.len() - 2..]);
}

fn put_u32(page: &mut [u8], at: usize, value: u32) {
    page[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_those_of_the_format() {
        for (value, expected) in [
            (0, &[0][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0x81, 0x00]),
            (0x3fff, &[0xff, 0x7f]),
            (0x4000, &[0x81, 0x80, 0x00]),
            ((1 << 56) - 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            (1 << 56, &[0x80, 0xc0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            (u64::MAX, &[0xff; 9]),
        ] {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            assert_eq!((out.as_slice(), varint_bytes(value)), (expected, expected.len()), "{value}");
        }
    }

    #[test]
    fn integers_take_the_shortest_form() {
        for (number, kind, bytes) in [
            (0, 8, 0),
            (1, 9, 0),
            (-1, 1, 1),
            (127, 1, 1),
            (-128, 1, 1),
            (128, 2, 2),
            (32_767, 2, 2),
            (32_768, 3, 3),
            (8_388_607, 3, 3),
            (8_388_608, 4, 4),
            (i64::from(i32::MIN), 4, 4),
            (1 << 31, 5, 6),
            ((1 << 47) - 1, 5, 6),
            (1 << 47, 6, 8),
            (i64::MIN, 6, 8),
        ] {
            assert_eq!((serial_type(ValueRef::Integer(number)), integer_bytes(number)), (kind, bytes), "{number}");
        }
    }

    #[test]
    fn a_record_is_header_and_body() {
        let mut out = Vec::new();
        push_record(&mut out, &[ValueRef::Null, ValueRef::Text(b"abc"), ValueRef::Integer(1), ValueRef::Integer(-2)]);
        assert_eq!(out, [5, 0, 19, 9, 1, b'a', b'b', b'c', 0xfe]);
        out.clear();
        let long = [b'x'; 300];
        push_record(&mut out, &[ValueRef::Text(&long)]);
        assert_eq!(out[..3], [3, 0x84, 0x65], "13 + 2 * 300 in two bytes");
        assert_eq!(out.len(), 303);
    }

    #[test]
    fn cells_that_do_not_fit_are_refused() {
        let mut page = [0; 512];
        let mut writer = PageWriter::new(&mut page, PageKind::TableLeaf, 0);
        assert_eq!(writer.free_bytes(), 504);
        writer.push(&[1; 300]).unwrap();
        assert_eq!(writer.push(&[2; 201]), Err(PageFull { bytes: 201, free: 202 }));
        writer.push(&[2; 200]).unwrap();
        assert_eq!(writer.free_bytes(), 0);
        writer.finish(None);
        assert_eq!(page[..12], [13, 0, 0, 0, 2, 0, 12, 0, 0, 212, 0, 12]);
    }

    #[test]
    fn a_page_without_cells_stores_65536_as_0() {
        let mut page = vec![0; 65_536];
        PageWriter::new(&mut page, PageKind::IndexInterior, 0).finish(Some(7));
        assert_eq!(page[..12], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn the_lock_page_is_the_one_that_holds_the_byte() {
        assert_eq!(lock_page(LOCK_BYTE, 4096), 262_145);
        assert_eq!(lock_page(LOCK_BYTE, 65_536), 16_385);
    }
}
