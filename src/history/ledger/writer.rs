//! The file of a ledger while it is written: grown ahead, window by window, and cut behind its last record at the end.

use std::{fs::File, io, path::Path, sync::atomic::Ordering};

use super::{
    record::{RECORD_BYTES, RECORD_WORDS},
    window::{WINDOW_RECORDS, Window},
};

/// Writes records one after another.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once it is closed.
    file: Option<File>,
    /// The window that was written to last, with its number. No other is mapped.
    window: Option<(usize, Window)>,
    /// Records in the file, zeros at its end not counted.
    records: usize,
}

impl Writer {
    /// Creates an empty file; `path` must not exist. It takes no room before its first record.
    ///
    /// # Errors
    /// As the operating system says.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).create_new(true).open(path).map(Self::new)
    }

    /// Writes to a file that is empty.
    pub(super) fn new(file: File) -> Self {
        Self { file: Some(file), window: None, records: 0 }
    }

    /// Writes the records of a transaction behind those that are there. After an error their places are free again.
    ///
    /// # Errors
    /// When there is no room for them, or the file was closed.
    pub(super) fn append(&mut self, records: impl Iterator<Item = [u64; RECORD_WORDS]>) -> io::Result<()> {
        let mut place = self.records;
        for record in records {
            let words = &self.window(place / WINDOW_RECORDS)?.records()[place % WINDOW_RECORDS];
            // The token last, each store after those before it: a record that a kill cuts short has none.
            for (word, value) in words.iter().zip(record).rev() {
                word.store(value.to_le(), Ordering::Release);
            }
            place += 1;
        }
        self.records = place;
        Ok(())
    }

    /// The window of this number. The one before it is unmapped first, so that a long trial takes no more memory than a
    /// short one.
    fn window(&mut self, number: usize) -> io::Result<&Window> {
        let file = self.file.as_ref().ok_or_else(|| io::Error::other("it was closed when the load had ended"))?;
        if self.window.as_ref().is_some_and(|(open, _)| *open != number) {
            self.window = None;
        }
        let (_, window) = match &mut self.window {
            Some(open) => open,
            none => none.insert((number, Window::open(file, number)?)),
        };
        Ok(window)
    }

    /// Cuts the file behind its last record. What is appended later is an error.
    ///
    /// # Errors
    /// As the operating system says.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.window = None;
        let Some(file) = self.file.take() else { return Ok(()) };
        file.set_len(self.records as u64 * RECORD_BYTES as u64)
    }
}
