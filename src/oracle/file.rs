//! A database file read page by page, without SQLite.
//!
//! Opening and closing a file drops this process's POSIX locks on it (`docs/sqlite.md`, 1), so this is for files that
//! nothing in this process has open through SQLite.

use std::{
    fs::File,
    io::{self, ErrorKind},
    num::NonZeroU64,
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::fs::{Advice, fadvise};

use crate::pages::header::{HEADER_BYTES, Header};

/// A database file with a page size.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    file: File,
    /// The database header.
    pub header: Header,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// Pages of the database: as its header says, or else as the file's size does, but no more than that.
    pub pages: u32,
    /// Pages of the database by its header, where that is valid.
    pub pages_said: u64,
}

impl DatabaseFile {
    /// Opens a file; `None` where it has no database header.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut header = Header([0; HEADER_BYTES]);
        match file.read_exact_at(&mut header.0, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let page_bytes = header.page_size_bytes() as usize;
        if !header.is_database() || !page_bytes.is_power_of_two() || page_bytes < 512 {
            return Ok(None);
        }
        let held = file.metadata()?.len().div_ceil(page_bytes as u64);
        let pages_said = header.pages().map_or(held, u64::from);
        let pages = u32::try_from(pages_said.min(held)).unwrap_or(u32::MAX);
        // A hint: what it changes is speed.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        Ok(Some(Self { file, header, page_bytes, pages, pages_said }))
    }

    /// Where the b-tree page header of a page begins.
    pub fn header_of(page: u32) -> usize {
        if page == 1 { HEADER_BYTES } else { 0 }
    }

    /// Reads a page, from 1, into `buffer`.
    ///
    /// # Errors
    /// As the operating system says; [`ErrorKind::UnexpectedEof`] where the file ends before the page does.
    pub fn read(&self, page: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(self.page_bytes, 0);
        self.file.read_exact_at(buffer, u64::from(page - 1) * self.page_bytes as u64)
    }

    /// Lets the page cache forget the pages from `first` to `last`, none where `last` is less. A hint: what was not written to
    /// disk yet stays, and so does what shares a page of memory with its neighbours.
    pub fn drop_pages(&self, first: u32, last: u32) {
        let start = u64::from(first.max(1) - 1) * self.page_bytes as u64;
        let bytes = (u64::from(last) * self.page_bytes as u64).saturating_sub(start);
        if let Some(bytes) = NonZeroU64::new(bytes) {
            let _ = fadvise(&self.file, start, Some(bytes), Advice::DontNeed);
        }
    }

    /// Reads as many bytes into `buffer` as the file has from the beginning of a page on, and says how many.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn read_from(&self, page: u32, buffer: &mut [u8]) -> io::Result<usize> {
        let start = u64::from(page - 1) * self.page_bytes as u64;
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], start + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}
