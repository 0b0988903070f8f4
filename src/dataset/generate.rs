//! Writes the database file: threads make its pages a megabyte at a time and write them to their places.
//!
//! [`super::layout`] says what stands on which page, so the threads need nothing of each other, and the bytes are the
//! same whoever wrote them in whatever order. Memory is a megabyte a thread, however large the file.
//!
//! The file is synced while it grows: the disk is kept busy, an interrupt need not wait for gigabytes to drain, and the
//! last sync is short.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
};

use super::{
    Dataset, GenerateError, Manifest,
    content::{self, Sum, root},
    layout::{IndexFill, Job, Jobs, Layout, Page, Settings},
};
use crate::pages::{
    LOCK_BYTE,
    header::{HEADER_BYTES, Header, NewHeader},
};

/// Written bytes after which a sync begins. Another may wait, so about twice as many are in memory only.
const SYNC_EVERY_BYTES: u64 = 32 << 20;

/// How often the schema of a tracker's database changes when it is made: once for each statement of [`super::SCHEMA`].
const SCHEMA_COOKIE: u32 = 4;

/// How a dataset's file is made. None of it changes the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// How full the pages of indexes are.
    pub index_fill: IndexFill,
    /// Threads that make pages; 0 for as many as the machine has. The bytes do not depend on it.
    pub threads: usize,
}

/// How far a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesWritten {
    /// Bytes written.
    pub bytes: u64,
    /// Bytes of the whole file.
    pub of_bytes: u64,
}

/// Writes the dataset to `path`, which must not exist, as [`generate_with`] does by default. `progress` is told the number
/// of rows that as large a part of the file has.
///
/// # Errors
/// [`GenerateError`]; nothing is left at `path`.
pub fn generate(
    dataset: &Dataset,
    path: &Path,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(u64),
) -> Result<Manifest, GenerateError> {
    generate_with(dataset, &FileOptions::default(), path, interrupted, &mut |done| {
        let rows = u128::from(dataset.rows) * u128::from(done.bytes) / u128::from(done.of_bytes.max(1));
        progress(u64::try_from(rows).unwrap_or(dataset.rows));
    })
}

/// Writes the dataset to `path`, which must not exist, and returns what is known of it. The file has another name in the
/// same folder until it is complete and synced. `progress` is told how far it is, about every megabyte.
///
/// # Errors
/// [`GenerateError`]; nothing is left at `path`.
pub fn generate_with(
    dataset: &Dataset,
    options: &FileOptions,
    path: &Path,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(BytesWritten),
) -> Result<Manifest, GenerateError> {
    let layout = Layout::new(dataset, options.settings(dataset.page_size_bytes), interrupted)?;
    let fail = |source| GenerateError::Io { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok() {
        return Err(fail(io::ErrorKind::AlreadyExists.into()));
    }
    let folder = folder_of(path);
    // As SQLite makes its files, but for the umask.
    let permissions = Permissions::from_mode(0o644);
    let half = tempfile::Builder::new().prefix("half-").permissions(permissions).tempfile_in(&folder).map_err(fail)?;
    let sum =
        fill(&layout, half.as_file(), options.threads(), interrupted, progress).map_err(|failure| match failure {
            FillError::Interrupted => GenerateError::Interrupted,
            FillError::Io(source) => fail(source),
            FillError::Generate(error) => error,
        })?;
    half.as_file().sync_all().map_err(fail)?;
    if interrupted.load(Ordering::Relaxed) {
        return Err(GenerateError::Interrupted);
    }
    half.persist_noclobber(path).map_err(|error| fail(error.error))?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    let schema = content::schema_rows().map(|(row, _)| row).into();
    let header = header(&layout).map_err(fail)?;
    Ok(Manifest::generated(dataset, layout.bytes(), sum, schema, header))
}

/// The database header of the file.
fn header(layout: &Layout) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    let Settings { page_size_bytes, .. } = layout.settings;
    let sqlite_version = u32::try_from(rusqlite::version_number()).map_err(io::Error::other)?;
    NewHeader { page_size_bytes, pages: layout.pages, schema_cookie: SCHEMA_COOKIE, sqlite_version }.write(&mut bytes);
    Ok(Header(bytes))
}

/// Size of the file that [`generate_with`] writes. Takes a few nanoseconds a row.
///
/// # Errors
/// [`GenerateError::TooLarge`] and [`GenerateError::Interrupted`].
pub fn file_bytes(dataset: &Dataset, index_fill: IndexFill, interrupted: &AtomicBool) -> Result<u64, GenerateError> {
    let options = FileOptions { index_fill, ..FileOptions::default() };
    Ok(Layout::new(dataset, options.settings(dataset.page_size_bytes), interrupted)?.bytes())
}

/// The size of the smallest file that [`generate_with`] writes: of one row.
#[must_use]
pub fn least_bytes(page_size_bytes: u32, index_fill: IndexFill) -> u64 {
    let smallest = Dataset { rows: 1, seed: 0, page_size_bytes, zero_share_ppm: 0 };
    // One row is gone through without an interrupt, and is not too large.
    file_bytes(&smallest, index_fill, &AtomicBool::new(false)).unwrap_or_default()
}

/// The dataset whose file is as close to `bytes` as can be, at least one row; all but its rows is as in `like`.
///
/// # Errors
/// As [`file_bytes`].
pub fn rows_for(
    bytes: u64,
    like: Dataset,
    index_fill: IndexFill,
    interrupted: &AtomicBool,
) -> Result<Dataset, GenerateError> {
    /// Bytes a row at the default settings, in tenths: where the search begins, and how far it goes for a difference.
    const TENTHS_A_ROW: i128 = 1_074;
    /// Each step leaves a hundredth of the difference or so; at some page sizes a page cannot be met.
    const STEPS: u32 = 8;

    let mut best: Option<(u64, Dataset)> = None;
    let mut rows = i128::from(bytes) * 10 / TENTHS_A_ROW;
    for _ in 0..STEPS {
        let dataset = Dataset { rows: u64::try_from(rows.max(1)).unwrap_or(u64::MAX), ..like };
        let found = file_bytes(&dataset, index_fill, interrupted)?;
        let difference = found.abs_diff(bytes);
        if best.is_none_or(|(least, _)| difference < least) {
            best = Some((difference, dataset));
        }
        if difference < u64::from(like.page_size_bytes) {
            break;
        }
        rows = i128::from(dataset.rows) + (i128::from(bytes) - i128::from(found)) * 10 / TENTHS_A_ROW;
    }
    Ok(best.map_or(Dataset { rows: 1, ..like }, |(_, dataset)| dataset))
}

impl FileOptions {
    fn settings(&self, page_size_bytes: u32) -> Settings {
        Settings { page_size_bytes, index_fill: self.index_fill, lock_byte: LOCK_BYTE }
    }

    fn threads(&self) -> usize {
        match self.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Why a file could not be filled; its path is the caller's to add.
#[derive(Debug)]
enum FillError {
    Interrupted,
    Io(io::Error),
    Generate(GenerateError),
}

impl From<io::Error> for FillError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A job that was done.
#[derive(Debug, Clone, Copy)]
struct Done {
    bytes: u64,
    sum: Sum,
}

/// Writes every page of the file, and returns what its rows add up to.
fn fill(
    layout: &Layout,
    file: &File,
    threads: usize,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(BytesWritten),
) -> Result<Sum, FillError> {
    let jobs = Mutex::new(layout.jobs());
    let mut sum = thread::scope(|scope| {
        let (done, results) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let (jobs, done) = (&jobs, done.clone());
            scope.spawn(move || make_pages(layout, jobs, file, &done));
        }
        // The loop over the results ends when the last thread has dropped its end.
        drop(done);
        let (due, syncs) = mpsc::sync_channel(1);
        let syncing = scope.spawn(move || sync(file, &syncs, interrupted));
        let collected = collect(layout, results, &due, interrupted, progress);
        drop(due);
        match syncing.join() {
            Ok(synced) => synced.map_err(FillError::from).and(collected),
            Err(_) => Err(FillError::Io(io::Error::other("the thread that syncs has panicked"))),
        }
    })?;
    // Its value is known now.
    let aggregate = layout.aggregate(sum.downloads, interrupted).map_err(FillError::Generate)?;
    let job = Job { tree: &aggregate, first_page: root::AGGREGATE, pages: vec![Page::Leaf(0..1)] };
    sum += make(layout, &job, file, &mut Vec::new())?.sum;
    progress(BytesWritten { bytes: layout.bytes(), of_bytes: layout.bytes() });
    Ok(sum)
}

/// Makes and writes pages until there are no more, or nobody takes the results.
fn make_pages(layout: &Layout, jobs: &Mutex<Jobs<'_>>, file: &File, done: &SyncSender<io::Result<Done>>) {
    let mut buffer = Vec::new();
    loop {
        // The list of jobs is valid at every step, so a poisoned lock is taken all the same.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(job) = job else { return };
        if done.send(make(layout, &job, file, &mut buffer)).is_err() {
            return;
        }
    }
}

fn make(layout: &Layout, job: &Job<'_>, file: &File, buffer: &mut Vec<u8>) -> io::Result<Done> {
    let Settings { page_size_bytes, .. } = layout.settings;
    buffer.clear();
    buffer.resize(job.pages.len() * page_size_bytes as usize, 0);
    let mut sum = Sum::default();
    for ((number, page), out) in
        (job.first_page..).zip(&job.pages).zip(buffer.chunks_exact_mut(page_size_bytes as usize))
    {
        sum += job.tree.write(number, page, out).map_err(io::Error::other)?;
    }
    if job.first_page == root::SCHEMA {
        buffer[..HEADER_BYTES].copy_from_slice(&header(layout)?.0);
    }
    file.write_all_at(buffer, u64::from(job.first_page - 1) * u64::from(page_size_bytes))?;
    Ok(Done { bytes: buffer.len() as u64, sum })
}

/// Adds up the results and asks for a sync now and then; waits where the disk is behind.
fn collect(
    layout: &Layout,
    results: Receiver<io::Result<Done>>,
    due: &SyncSender<()>,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(BytesWritten),
) -> Result<Sum, FillError> {
    let mut sum = Sum::default();
    let (mut bytes, mut unsynced) = (0, 0);
    for result in results {
        if interrupted.load(Ordering::Relaxed) {
            return Err(FillError::Interrupted);
        }
        let done = result?;
        sum += done.sum;
        bytes += done.bytes;
        unsynced += done.bytes;
        progress(BytesWritten { bytes, of_bytes: layout.bytes() });
        if unsynced >= SYNC_EVERY_BYTES {
            unsynced = 0;
            if due.send(()).is_err() {
                // The thread that syncs has failed, and says why when it is joined.
                return Ok(sum);
            }
        }
    }
    Ok(sum)
}

/// Syncs the file each time that it is due.
fn sync(file: &File, due: &Receiver<()>, interrupted: &AtomicBool) -> io::Result<()> {
    while due.recv().is_ok() && !interrupted.load(Ordering::Relaxed) {
        file.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// `integrity_check`, one line a problem.
    fn problems(path: &Path) -> Vec<String> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection.prepare("PRAGMA integrity_check").unwrap();
        let lines = statement.query_map([], |row| row.get(0)).unwrap();
        lines.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn the_lock_page_is_left_out_and_never_last() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 2_000, seed: 310, page_size_bytes: 512, zero_share_ppm: 0 };
        let settings = FileOptions::default().settings(512);
        let never = AtomicBool::new(false);
        let pages = Layout::new(&dataset, settings, &never).unwrap().pages;
        // Among small tables, leaves and interior pages, as the last page, and as the page after it.
        for lock_page in (11..60).chain(pages - 20..pages + 2) {
            let settings = Settings { lock_byte: u64::from(lock_page - 1) * 512, ..settings };
            let layout = Layout::new(&dataset, settings, &never).unwrap();
            assert_eq!(layout.pages, pages + u32::from(lock_page <= pages), "{lock_page}");
            let path = folder.path().join(format!("{lock_page}.db"));
            let file = File::create_new(&path).unwrap();
            fill(&layout, &file, 2, &never, &mut |_| ()).unwrap();
            assert_eq!(file.metadata().unwrap().len(), layout.bytes());
            // SQLite, which locks another byte, misses this page and nothing else.
            let expected = if lock_page <= pages { format!("Page {lock_page}: never used") } else { "ok".to_owned() };
            let found: Vec<_> = problems(&path).iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
            assert_eq!(found.last(), Some(&expected), "{found:?}");
            assert!(found.len() <= 2, "{found:?}");
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 20_000, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };
        let layout = Layout::new(&dataset, FileOptions::default().settings(4096), &AtomicBool::new(false)).unwrap();
        let path = folder.path().join("read-only");
        File::create_new(&path).unwrap();
        let result = fill(&layout, &File::open(&path).unwrap(), 3, &AtomicBool::new(false), &mut |_| ());
        assert!(matches!(result, Err(FillError::Io(_))), "{result:?}");
    }
}
