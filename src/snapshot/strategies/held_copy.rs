//! `held-copy`: a copy of the files of a live database while a read transaction keeps them as they are.
//!
//! **What it is for:** a copy that is one state of the database, at the speed of `cp`, and in WAL mode without holding up
//! anybody.
//!
//! **What it costs:** in WAL mode the log grows as long as the copy takes; in rollback modes nobody can commit meanwhile.
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
//! **In rollback modes** the held SHARED lock stops every commit, and as soon as one waits, every new reader: sound, at that
//! price. Facts 2 and 17 to 22 of `docs/sqlite.md` have the evidence.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole},
        main_file,
        options::{HoldOptions, check_busy_timeout},
        protocol::{ChildMessage, Method, Part, PartResult},
    },
    sqlite,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::None,
    takes_snapshots: true,
    syncs_after: true,
    procedure: |site| {
        site.programs.with_cp(|cp| {
            let method = Method::HeldCopy(site.options.held_copy, cp.to_owned());
            Procedure::child(site.copy_process(&method))
        })
    },
    options: |options| json!(options.held_copy),
    check: |options, _| {
        check_busy_timeout("snapshots.options.held-copy.busy_timeout_ms", options.held_copy.busy_timeout_ms)
    },
    live_copy: |in_wal| {
        if in_wal {
            LiveCopy::Complete
        } else {
            LiveCopy::AtPrice("is not in WAL mode: nobody can commit until the copy is done")
        }
    },
};

/// Bytes of the WAL that are copied at once.
pub const PIECE_BYTES: usize = 1 << 20;

/// How often the WAL is copied at most. It can begin again once while the transaction is held.
const TRIES: u32 = 5;

/// The part of a WAL's header that changes when it begins again: page size, sequence, salts, checksums.
type Header = [u8; 24];

/// Copies in the child process, and says at the end how long each part took.
pub(in crate::snapshot) fn copy_and_report(options: HoldOptions, cp: &Path, live: &Path, out: &Path) -> Result<()> {
    let busy_timeout = Duration::from_millis(options.busy_timeout_ms);
    let parts = copy(live, out, cp, busy_timeout, &mut |_| ())?;
    parts.into_iter().try_for_each(|part| ChildMessage::Part(part).send())
}

/// Copies the live database to `out` with the program `cp`; one file is left. Waits for up to `busy_timeout` for the lock.
/// `after_piece` is told after every piece of the WAL how many bytes of it are copied.
///
/// This process must have the database open in no other way than through SQLite.
///
/// # Errors
/// What SQLite, `cp` and the operating system say. What was copied by then is left.
pub fn copy(
    live: &Path,
    out: &Path,
    cp: &Path,
    busy_timeout: Duration,
    after_piece: &mut dyn FnMut(u64),
) -> Result<Vec<PartResult>> {
    let mut parts = Vec::new();
    let mut begin = Instant::now();
    let mut end = |part: Part| {
        parts.push(part.since(begin));
        begin = Instant::now();
    };
    let held = hold(live, busy_timeout)?;
    end(Part::Lock);
    let in_wal = sqlite::pragma_text(&held, "journal_mode")? == "wal";
    main_file::copy(cp, live, out)?;
    end(Part::CopyMain);
    if in_wal {
        copy_wal(&sqlite::side_file(live, "-wal"), &sqlite::side_file(out, "-wal"), after_piece)?;
        end(Part::CopyWal);
    }
    held.close().map_err(|(_, error)| error).context("cannot close the live database")?;
    if in_wal {
        fold(out)?;
        end(Part::Fold);
    }
    Ok(parts)
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

fn copy_wal(wal: &Path, to: &Path, after_piece: &mut dyn FnMut(u64)) -> Result<()> {
    let describe = || format!("cannot copy {} to {}", wal.display(), to.display());
    for _ in 0..TRIES {
        let before = header(wal).with_context(describe)?;
        copy_now(wal, to, after_piece).with_context(describe)?;
        if header(wal).with_context(describe)? == before {
            return Ok(());
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
fn copy_now(wal: &Path, to: &Path, after_piece: &mut dyn FnMut(u64)) -> io::Result<()> {
    let source = match File::open(wal) {
        Err(error) if error.kind() == ErrorKind::NotFound => return remove(to),
        opened => opened?,
    };
    let length = source.metadata()?.len();
    if length == 0 {
        return remove(to);
    }
    let mut target = File::create(to)?;
    let mut buffer = vec![0; PIECE_BYTES];
    let mut copied = 0;
    while copied < length {
        let most = usize::try_from(length - copied).unwrap_or(usize::MAX).min(PIECE_BYTES);
        match source.read_at(&mut buffer[..most], copied)? {
            // It was cut meanwhile, so that the headers will differ.
            0 => break,
            read => {
                target.write_all(&buffer[..read])?;
                copied += read as u64;
            }
        }
        after_piece(copied);
    }
    Ok(())
}

/// Removes what an earlier try has left.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
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
