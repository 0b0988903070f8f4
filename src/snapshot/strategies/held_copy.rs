//! `held-copy`: a copy of the files of a live database while a read transaction keeps them as they are.
//!
//! **What it is for:** a copy that is one state of the database, at the speed of `cp`, and in WAL mode without holding up
//! anybody.
//!
//! **What it costs:** in WAL mode the log grows as long as the copy takes; in rollback modes nobody can commit meanwhile. `cp` fills
//! memory with the copy, and the sync at its end competes with the commits' own; where the options ask for that, the copy
//! is made at a pace instead (`src/snapshot/gentle.rs`).
//!
//! # Why it is sound
//!
//! **In WAL mode** a checkpoint goes as far as the oldest reader's mark, and a log that is not wholly in the main file cannot
//! begin again. So under a held read transaction either the mark is above zero, and the log only grows; or it is zero, all of
//! the log was in the main file, and until the transaction ends nothing more is moved there. The main file is copied first:
//! what checkpoints write to it meanwhile is in the log too. Then the log, as long as it is at that moment.
//!
//! With mark zero the log may begin again once, from its front. A copy of a part of the old and a part of the new log would,
//! when it is recovered, put older pages over newer ones. So its header, which changes then, is read before and after the copy
//! of the log, and where both are not the same the log is copied again. At last the log is folded into the copy.
//!
//! A copy at a pace takes the log first, and then each page from that copy of the log or, where it is not in there, from the
//! main file. That is the same: of what is in the main file later and was not at first, the log held all when it was copied,
//! as nothing beyond the oldest reader's mark is moved there. The copy is then written once, and nothing has to be folded.
//!
//! **In rollback modes** the held SHARED lock stops every commit, and as soon as one waits, every new reader: sound, at that
//! price. Facts 2 and 17 to 22 of `docs/sqlite.md` have the evidence.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, Site, WriterRole},
        gentle::{self, Live, Manner, PaceResult},
        main_file,
        options::{HoldOptions, OptionProblem, check_busy_timeout, within},
        past_cache::{self, CacheUse, Source},
        protocol::{ChildMessage, HeldCopy, Method, Part, PartResult},
        wal_frames::WalFrames,
    },
    sqlite,
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: true,
    procedure: |site| procedure(site, site.options.held_copy.or(CacheUse::Normal)),
    options: |options| json!(options.held_copy.or(CacheUse::Normal)),
    check: |options, _| check(&KEYS, options.held_copy),
    live_copy: |in_wal| {
        if in_wal {
            LiveCopy::Complete
        } else {
            LiveCopy::AtPrice("is not in WAL mode: nobody can commit until the copy is done")
        }
    },
};

/// The keys of the options of a strategy that holds a read transaction.
pub(super) struct Keys {
    pub(super) busy_timeout: &'static str,
    pub(super) max_rate: &'static str,
    pub(super) writeback: &'static str,
    pub(super) wal_max: &'static str,
}

const KEYS: Keys = Keys {
    busy_timeout: "snapshots.options.held-copy.busy_timeout_ms",
    max_rate: "snapshots.options.held-copy.max_rate_bytes_s",
    writeback: "snapshots.options.held-copy.writeback_bytes",
    wal_max: "snapshots.options.held-copy.wal_bytes_max",
};

pub(super) fn procedure(site: &Site<'_>, options: HoldOptions) -> Procedure {
    compressing(site, options, None)
}

/// What is run for a copy that is compressed at a level, if at one.
pub(crate) fn compressing(site: &Site<'_>, options: HoldOptions, zstd_level: Option<i32>) -> Procedure {
    site.programs.with_cp(|cp| {
        let how = HeldCopy { cp: cp.to_owned(), options, zstd_level };
        Procedure::child(site.copy_process(&Method::HeldCopy(how)))
    })
}

pub(super) fn check(keys: &Keys, options: HoldOptions) -> Result<(), OptionProblem> {
    let HoldOptions { busy_timeout_ms, cache: _, max_rate_bytes_s, writeback_bytes, wal_bytes_max } = options;
    check_busy_timeout(keys.busy_timeout, busy_timeout_ms)?;
    for (key, bytes, least) in [
        (keys.max_rate, max_rate_bytes_s, 1 << 16),
        (keys.writeback, writeback_bytes, 4096),
        (keys.wal_max, wal_bytes_max, 1 << 16),
    ] {
        bytes.map_or(Ok(()), |bytes| within(key, bytes, least, 1 << 50))?;
    }
    Ok(())
}

/// Bytes of the WAL that are copied at once.
pub const PIECE_BYTES: usize = past_cache::PIECE_BYTES;

/// How often the WAL is copied at most. It can begin again once while the transaction is held.
const TRIES: u32 = 5;

/// The part of a WAL's header that changes when it begins again: page size, sequence, salts, checksums.
type Header = [u8; 24];

impl HoldOptions {
    /// These, for a strategy that uses the page cache so where nothing is said.
    pub(crate) fn or(self, cache: CacheUse) -> Self {
        Self { cache: self.cache.or(Some(cache)), ..self }
    }

    /// How a copy is made that is not left to `cp`.
    fn always_manner(self) -> Manner {
        let Self { busy_timeout_ms: _, cache, max_rate_bytes_s, writeback_bytes, wal_bytes_max } = self;
        let cache = cache.unwrap_or(CacheUse::Normal);
        Manner { cache, max_rate_bytes_s, writeback_bytes, wal_bytes_max, zstd_level: None }
    }

    /// How a copy is made that `cp` cannot make.
    pub(in crate::snapshot) fn manner(self) -> Option<Manner> {
        let by_cp = Self { busy_timeout_ms: self.busy_timeout_ms, ..Self::default() };
        (self.or(CacheUse::Normal) != by_cp.or(CacheUse::Normal)).then(|| self.always_manner())
    }
}

/// A piece that was copied: how many bytes are by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Of the WAL.
    Wal(u64),
    /// Of the database.
    Main(u64),
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct Copied {
    /// How long its parts took.
    pub parts: Vec<PartResult>,
    /// What its pace was, where it had one.
    pub pace: Option<PaceResult>,
}

/// Copies in the child process, and says at the end how long each part took.
pub(in crate::snapshot) fn copy_and_report(how: &HeldCopy, live: &Path, out: &Path) -> Result<()> {
    let Copied { parts, pace } = copy(live, out, how, &mut |_| ())?;
    parts.into_iter().try_for_each(|part| ChildMessage::Part(part).send())?;
    pace.map_or(Ok(()), |pace| ChildMessage::Pace(pace).send())
}

/// Copies the live database to `out`, with the program `cp` where the options ask for nothing that it cannot do; one file is left.
/// `after_piece` is told after every piece that this process copies.
///
/// This process must have the database open in no other way than through SQLite.
///
/// # Errors
/// What SQLite, `cp` and the operating system say. What was copied by then is left.
pub fn copy(live: &Path, out: &Path, how: &HeldCopy, after_piece: &mut dyn FnMut(Piece)) -> Result<Copied> {
    match how.manner() {
        None => copy_by_cp(live, out, how, after_piece),
        Some(manner) => copy_at_pace(live, out, how, manner, after_piece),
    }
}

impl HeldCopy {
    fn busy_timeout(&self) -> Duration {
        Duration::from_millis(self.options.busy_timeout_ms)
    }

    /// As that of its options; `cp` compresses nothing.
    fn manner(&self) -> Option<Manner> {
        match self.zstd_level {
            None => self.options.manner(),
            Some(_) => Some(Manner { zstd_level: self.zstd_level, ..self.options.always_manner() }),
        }
    }
}

/// The parts of a copy, each from the end of the one before.
struct Parts {
    ended: Vec<PartResult>,
    begin: Instant,
}

impl Parts {
    fn begin() -> Self {
        Self { ended: Vec::new(), begin: Instant::now() }
    }

    fn end(&mut self, part: Part) {
        self.ended.push(part.since(self.begin));
        self.begin = Instant::now();
    }
}

fn copy_by_cp(live: &Path, out: &Path, how: &HeldCopy, after_piece: &mut dyn FnMut(Piece)) -> Result<Copied> {
    let mut parts = Parts::begin();
    let held = hold(live, how.busy_timeout())?;
    parts.end(Part::Lock);
    let in_wal = is_in_wal(&held)?;
    main_file::copy(&how.cp, live, out)?;
    parts.end(Part::CopyMain);
    if in_wal {
        let to = sqlite::side_file(out, "-wal");
        let target = File::create(&to).with_context(|| format!("cannot make {}", to.display()))?;
        let length = copy_wal(&sqlite::side_file(live, "-wal"), &target, after_piece)?;
        if length == 0 {
            fs::remove_file(&to).with_context(|| format!("cannot remove {}", to.display()))?;
        }
        parts.end(Part::CopyWal);
    }
    let_go(held)?;
    if in_wal {
        fold(out)?;
        parts.end(Part::Fold);
    }
    Ok(Copied { parts: parts.ended, pace: None })
}

fn copy_at_pace(
    live: &Path,
    out: &Path,
    how: &HeldCopy,
    manner: Manner,
    after_piece: &mut dyn FnMut(Piece),
) -> Result<Copied> {
    let mut parts = Parts::begin();
    // Opened before SQLite locks the file for this process, and closed after it has let go: a process that closes any descriptor
    // of a file gives up all its locks on it (`docs/sqlite.md`, 1).
    let mut source = Source::open(live, manner.cache).with_context(|| format!("cannot open {}", live.display()))?;
    let held = hold(live, how.busy_timeout())?;
    parts.end(Part::Lock);
    if !is_in_wal(&held)? {
        let plain = if manner.zstd_level.is_some() { sqlite::side_file(out, "-plain") } else { out.to_owned() };
        main_file::copy(&how.cp, live, &plain)?;
        let_go(held)?;
        parts.end(Part::CopyMain);
        let pace = match manner.zstd_level {
            None => gentle::write_back(out, manner)?,
            Some(_) => gentle::compress(&plain, out, manner)?,
        };
        parts.end(Part::WriteBack);
        return Ok(Copied { parts: parts.ended, pace: Some(pace) });
    }
    let wal = sqlite::side_file(live, "-wal");
    let wal_first_bytes = gentle::bytes_of(&wal);
    let copied = gentle::unnamed_file_beside(out).with_context(|| format!("cannot write beside {}", out.display()))?;
    copy_wal(&wal, &copied, after_piece)?;
    let frames = WalFrames::read(copied).with_context(|| format!("cannot read the copy of {}", wal.display()))?;
    parts.end(Part::CopyWal);
    let pace = gentle::copy(
        Live { main: &mut source, frames: &frames, wal: &wal, wal_first_bytes },
        out,
        manner,
        &mut |bytes| {
            after_piece(Piece::Main(bytes));
        },
    )?;
    parts.end(Part::CopyMain);
    let_go(held)?;
    drop(source);
    Ok(Copied { parts: parts.ended, pace: Some(pace) })
}

fn is_in_wal(held: &Connection) -> Result<bool> {
    Ok(sqlite::pragma_text(held, "journal_mode")? == "wal")
}

fn let_go(held: Connection) -> Result<()> {
    held.close().map_err(|(_, error)| error).context("cannot close the live database")
}

/// Opens the database for reading only, so that this connection, should it be the last, leaves the WAL where it is, and begins
/// a read transaction. Reading a table is what begins it: `SELECT 1` would not.
fn hold(live: &Path, busy_timeout: Duration) -> Result<Connection> {
    let opened = Connection::open_with_flags(live, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let begin = |connection: Connection| {
        connection.busy_timeout(busy_timeout)?;
        connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        Ok(connection)
    };
    opened.and_then(begin).with_context(|| {
        let live = live.display();
        let journal = format!("{live}-journal");
        let advice = if Path::new(&journal).exists() {
            format!(
                "; {journal} is there: if nobody is writing, a transaction was cut off, and opening the database once \
                for writing rolls it back"
            )
        } else {
            String::new()
        };
        format!("cannot begin to read {live}{advice}")
    })
}

/// Copies the WAL to an empty file, and says how long it is.
fn copy_wal(wal: &Path, to: &File, after_piece: &mut dyn FnMut(Piece)) -> Result<u64> {
    let describe = || format!("cannot copy {}", wal.display());
    for _ in 0..TRIES {
        let before = header(wal).with_context(describe)?;
        let length = copy_now(wal, to, after_piece).with_context(describe)?;
        if header(wal).with_context(describe)? == before {
            return Ok(length);
        }
    }
    bail!("{} began again {TRIES} times while it was copied", wal.display())
}

/// `None` where there is no WAL, or none that has a whole header.
fn header(wal: &Path) -> io::Result<Option<Header>> {
    let mut header = [0; 24];
    match File::open(wal).and_then(|file| file.read_exact_at(&mut header, 8)) {
        Ok(()) => Ok(Some(header)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies as much of the WAL as there is now: what is added meanwhile could be chased for ever.
fn copy_now(wal: &Path, to: &File, after_piece: &mut dyn FnMut(Piece)) -> io::Result<u64> {
    // What an earlier try has left.
    to.set_len(0)?;
    let source = match File::open(wal) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let length = source.metadata()?.len();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut copied = 0;
    while copied < length {
        let most = usize::try_from(length - copied).unwrap_or(usize::MAX).min(PIECE_BYTES);
        match source.read_at(&mut buffer[..most], copied)? {
            // It was cut meanwhile, so that the headers will differ.
            0 => break,
            read => {
                to.write_all_at(&buffer[..read], copied)?;
                copied += read as u64;
            }
        }
        after_piece(Piece::Wal(copied));
    }
    Ok(copied)
}

/// Moves the copied WAL into the copy, without a sync: who syncs the copy syncs this as well.
fn fold(out: &Path) -> Result<()> {
    let wal = sqlite::side_file(out, "-wal");
    if !wal.exists() {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let folded = Connection::open_with_flags(out, flags).map_err(anyhow::Error::from).and_then(|connection| {
        connection.pragma_update(None, "synchronous", "off")?;
        main_file::checkpoint_all(&connection)?;
        connection.close().map_err(|(_, error)| error.into())
    });
    folded.with_context(|| format!("cannot fold {} into the copy", wal.display()))?;
    if wal.exists() {
        bail!("{} is still there after it was folded into the copy", wal.display());
    }
    Ok(())
}
