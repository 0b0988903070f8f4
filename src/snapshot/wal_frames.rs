//! Which pages of a database a copied WAL holds, and where: what SQLite would take from it, without SQLite.
//!
//! **What for:** a copy that is written once, from its first page to its last, takes each page either from the main file or from
//! the WAL. Folding the WAL in afterwards would write pages all over the copy, at the end and all at once.
//!
//! A frame counts where its salts are those of the header, the checksum over all frames so far is right, and a frame that ends
//! a transaction follows; the last such frame of a page is the page. That is how SQLite recovers a WAL
//! (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>). Nothing here opens a live file.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use crate::pages::{LOCK_BYTE, lock_page};

/// Bytes of the header of a WAL.
const HEADER_BYTES: usize = 32;
/// Bytes before the page in each frame.
const FRAME_HEADER_BYTES: usize = 24;
/// The first four bytes of a WAL; the lowest bit says that its checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// The pages that committed transactions have left in a WAL.
#[derive(Debug)]
pub(super) struct WalFrames {
    wal: File,
    /// Where in the WAL the last committed version of a page stands.
    pages: HashMap<u32, u64>,
    /// Bytes of a page and pages of the database, where a transaction was committed.
    committed: Option<(u32, u32)>,
}

impl WalFrames {
    /// Reads a WAL that nobody writes to.
    pub(super) fn read(wal: File) -> io::Result<Self> {
        let mut frames = Self { wal, pages: HashMap::new(), committed: None };
        let mut from = frames.wal.try_clone()?;
        from.seek(SeekFrom::Start(0))?;
        frames.index(&mut BufReader::with_capacity(READ_BYTES, from))?;
        Ok(frames)
    }

    /// Bytes of the database, where a transaction in the WAL says so; elsewhere they are those of the main file.
    pub(super) fn database_bytes(&self) -> Option<u64> {
        self.committed.map(|(page_bytes, pages)| u64::from(page_bytes) * u64::from(pages))
    }

    /// Puts the pages of the WAL into a part of the database that begins at `offset`, which is a multiple of any page's size.
    /// `from_main` of its bytes are of the main file, and the rest has to be in the WAL.
    pub(super) fn overlay(&self, part: &mut [u8], offset: u64, from_main: usize) -> io::Result<()> {
        let missing = |at: u64| {
            let what = format!("the database has no page at byte {at}: neither its main file nor its WAL holds it");
            io::Error::new(ErrorKind::UnexpectedEof, what)
        };
        let Some((page_bytes, _)) = self.committed else {
            return if from_main < part.len() { Err(missing(offset + from_main as u64)) } else { Ok(()) };
        };
        let first = offset / u64::from(page_bytes) + 1;
        for (page, bytes) in (first..).zip(part.chunks_mut(page_bytes as usize)) {
            let begin = (page - first) * u64::from(page_bytes);
            let is_beyond_main = begin + bytes.len() as u64 > from_main as u64;
            match u32::try_from(page).ok().and_then(|page| self.pages.get(&page)) {
                Some(at) => self.wal.read_exact_at(bytes, *at)?,
                // Nobody ever writes the lock page, and what the buffer holds there is of another piece.
                None if is_beyond_main && page == lock_page(LOCK_BYTE, page_bytes) => bytes.fill(0),
                None if is_beyond_main => return Err(missing(offset + begin)),
                None => {}
            }
        }
        Ok(())
    }

    fn index(&mut self, wal: &mut impl Read) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        if !read_whole(wal, &mut header)? {
            return Ok(());
        }
        let big_endian = match word(&header, 0) {
            MAGIC => false,
            magic if magic == MAGIC | 1 => true,
            _ => return Ok(()),
        };
        let page_bytes = word(&header, 8);
        let mut sum = Checksum { big_endian, sums: (0, 0) };
        sum.add(&header[..24]);
        if !sum.is(&header[24..]) || !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
            return Ok(());
        }
        let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
        let mut at = HEADER_BYTES as u64;
        let mut uncommitted = Vec::new();
        while read_whole(wal, &mut frame)? {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER_BYTES..]);
            let page = word(&frame, 0);
            if frame[8..16] != header[16..24] || !sum.is(&frame[16..24]) || page == 0 {
                break;
            }
            uncommitted.push((page, at + FRAME_HEADER_BYTES as u64));
            let database_pages = word(&frame, 4);
            if database_pages > 0 {
                self.pages.extend(uncommitted.drain(..));
                self.committed = Some((page_bytes, database_pages));
            }
            at += frame.len() as u64;
        }
        Ok(())
    }
}

/// The four bytes there, the highest first.
fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

/// Whether there was enough to fill the buffer.
fn read_whole(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The checksum of a WAL so far.
struct Checksum {
    big_endian: bool,
    sums: (u32, u32),
}

impl Checksum {
    /// Adds bytes, a multiple of eight of them.
    fn add(&mut self, bytes: &[u8]) {
        let of = |word: [u8; 4]| if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
        let (mut first, mut second) = self.sums;
        for &[a, b, c, d, e, f, g, h] in bytes.as_chunks::<8>().0 {
            first = first.wrapping_add(of([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(of([e, f, g, h])).wrapping_add(first);
        }
        self.sums = (first, second);
    }

    /// Whether these eight bytes of a WAL say the same; they are stored big-endian in any case.
    fn is(&self, stored: &[u8]) -> bool {
        (word(stored, 0), word(stored, 4)) == self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_grows_beyond_its_lock_page_has_none_in_its_wal() {
        let wal = tempfile::tempfile().unwrap();
        let frames = WalFrames { wal, pages: HashMap::new(), committed: Some((4096, 262_200)) };
        let mut part = [7; 4096];
        assert!(frames.overlay(&mut part, LOCK_BYTE - 4096, 0).is_err(), "any other page has to be there");
        frames.overlay(&mut part, LOCK_BYTE, 0).unwrap();
        assert!(part.iter().all(|byte| *byte == 0));
        let mut of_main = [7; 4096];
        frames.overlay(&mut of_main, LOCK_BYTE, 4096).unwrap();
        assert_eq!(of_main, [7; 4096], "what the main file holds there stays");
    }
}
