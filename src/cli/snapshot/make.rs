//! A copy from nothing to its name: made in a hidden folder beside its place, checked, synced, and only then named.
//!
//! No half file ever stands under the name, and nothing is overwritten. A killed process leaves the hidden folder, which the
//! next copy in that place removes. The manifest of a verified copy is written last: one that was killed before has made a copy
//! that is not known to be verified, which no later one counts or removes.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::{
    Arguments, Order,
    copy::{Copied, copy},
    pace::Forecast,
    refuse_existing, refuse_manifest,
    retention::{self, Removal},
};
use crate::{
    copies::{
        self, Check, Checked, Compression, Hashed, HeaderFacts, LivePath, Manifest, Soundness, Verified, manifest_path,
    },
    interrupt::Interrupt,
    own_folder::OwnFolder,
    pages::header::Header,
    progress::{self, print_line},
    snapshot::{SNAPSHOT_FILE, protocol::Part},
    work,
};

/// A copy that stands under its name.
pub(super) struct Made {
    pub(super) copied: Copied,
    /// What it was expected to take, where that was measured before.
    pub(super) forecast: Option<Forecast>,
    pub(super) bytes: u64,
    pub(super) sync_s: f64,
    /// Whether the database is in WAL mode.
    pub(super) in_wal: bool,
    /// How long nobody could commit because the copy held its lock, where that is known.
    pub(super) stop_s: Option<f64>,
    /// How it was found sound, where that was asked.
    pub(super) checked: Option<Checked>,
    /// The manifest that was written of it.
    pub(super) manifest: Option<Manifest>,
    pub(super) removed: Vec<PathBuf>,
}

/// A copy that was only asked about.
pub(super) struct Planned {
    pub(super) forecast: Forecast,
    /// Of the database, with its WAL.
    pub(super) bytes: u64,
    pub(super) words: String,
}

/// How making a copy ended.
pub(super) enum Ending {
    Made(Box<Made>),
    Planned(Planned),
    /// It was made, and is not sound: what was found. Nothing stands under its name.
    Unsound(String),
    Interrupted,
}

/// What a manifest says of a copy that has no name yet.
struct Facts {
    checked: Checked,
    hashed: Hashed,
    compression: Option<Compression>,
    uncompressed_bytes: u64,
    header: HeaderFacts,
    verified_at: Timestamp,
}

/// Makes the copy in a hidden folder, which is this process's own until it ends.
pub(super) fn make(
    arguments: &Arguments,
    order: &Order,
    hidden: &OwnFolder,
    forecast: Option<Forecast>,
    interrupt: &Interrupt,
) -> Result<Ending> {
    let Order { out, .. } = order;
    let folder = hidden.path().join("copy");
    fs::create_dir(&folder).with_context(|| format!("cannot write in {}", hidden.path().display()))?;
    let copied = copy(arguments, order, &folder, interrupt)?;
    let copy = folder.join(SNAPSHOT_FILE);
    let begun = Instant::now();
    // Before it is read again: only what is on the disk can leave the page cache.
    File::open(&copy)?.sync_all().with_context(|| format!("cannot sync {}", copy.display()))?;
    let sync_s = begun.elapsed().as_secs_f64();
    let Examined { soundness, plain, hashed } = examine(&copy, arguments, hidden, interrupt)?;
    let facts = match soundness {
        Soundness::Opened => None,
        Soundness::Sound(checked) => Some(facts(&copy, &plain, hashed, checked, interrupt)?),
        Soundness::Unsound(_) if interrupt.is_set() => return Ok(Ending::Interrupted),
        Soundness::Unsound(why) => return Ok(Ending::Unsound(why)),
    };
    let bytes = work::file_bytes(&copy);
    refuse_existing(out)?;
    refuse_manifest(out)?;
    work::give_name(&copy, out).with_context(|| format!("cannot give the copy its name {}", out.display()))?;
    let checked = facts.as_ref().map(|facts| facts.checked.clone());
    let manifest = facts.and_then(|facts| write_manifest(arguments, order, facts));
    let removed = manifest.as_ref().map_or_else(Vec::new, |manifest| remove_outdated(arguments, order, manifest));
    Ok(Ending::Made(Box::new(Made {
        in_wal: order.in_wal,
        stop_s: stop_s(arguments, order, &copied),
        copied,
        forecast,
        bytes,
        sync_s,
        checked,
        manifest,
        removed,
    })))
}

/// Under WAL nobody waits for the lock; in rollback modes it is held as long as the main file is copied.
fn stop_s(arguments: &Arguments, order: &Order, copied: &Copied) -> Option<f64> {
    arguments.pace.hold(arguments.strategy())?;
    if order.in_wal {
        return Some(0.0);
    }
    copied.parts.iter().find(|part| part.part == Part::CopyMain).map(|part| part.duration_s)
}

/// What a look at a copy found.
struct Examined {
    soundness: Soundness,
    /// The copy as SQLite reads it.
    plain: PathBuf,
    /// What the copy is, where it was unpacked.
    hashed: Option<Hashed>,
}

/// Checks a copy as it was asked for. One that is compressed is unpacked for that, and only for that.
fn examine(copy: &Path, arguments: &Arguments, hidden: &OwnFolder, interrupt: &Interrupt) -> Result<Examined> {
    let check = arguments.check();
    let (plain, hashed) = match (arguments.pace.zstd, check) {
        (None, _) => (copy.to_owned(), None),
        (Some(_), Check::Open) => {
            return Ok(Examined { soundness: Soundness::Opened, plain: copy.to_owned(), hashed: None });
        }
        (Some(_), Check::Walk | Check::IntegrityCheck) => {
            let unpacked = hidden.path().join("unpacked.db");
            let hashed = unpack(copy, &unpacked, interrupt)?;
            (unpacked, Some(hashed))
        }
    };
    Ok(Examined { soundness: copies::check(&plain, check, interrupt.flag())?, plain, hashed })
}

/// Unpacks a compressed copy, so that it can be checked, and says what the packed one is.
fn unpack(copy: &Path, to: &Path, interrupt: &Interrupt) -> Result<Hashed> {
    let describe = || format!("cannot unpack {} to check it", copy.display());
    let mut out = File::create_new(to).with_context(describe)?;
    let hashed = hash("unpacking", copy, &mut out, true, interrupt).with_context(describe)?;
    // Before it is read again: only what is on the disk can leave the page cache.
    out.sync_all().with_context(describe)?;
    Ok(hashed)
}

fn hash(
    words: &'static str,
    copy: &Path,
    to: &mut dyn io::Write,
    unpack: bool,
    interrupt: &Interrupt,
) -> io::Result<Hashed> {
    let of_bytes = work::file_bytes(copy);
    let mut display = progress::Bytes::new(words);
    let hashed =
        copies::hash_while_copying(copy, to, unpack, interrupt.flag(), &mut |bytes| display.show(bytes, of_bytes));
    display.finish();
    hashed
}

/// `plain` is the copy as SQLite reads it.
fn facts(copy: &Path, plain: &Path, hashed: Option<Hashed>, checked: Checked, interrupt: &Interrupt) -> Result<Facts> {
    let verified_at = Timestamp::now();
    let describe = || format!("cannot read {}", copy.display());
    let header = HeaderFacts::of(&Header::read(plain).with_context(describe)?);
    let compression = hashed.is_some().then_some(Compression::Zstd);
    let hashed = match hashed {
        Some(hashed) => hashed,
        None => hash("SHA-256", copy, &mut io::sink(), false, interrupt).with_context(describe)?,
    };
    let uncompressed_bytes = work::file_bytes(plain);
    Ok(Facts { checked, hashed, compression, uncompressed_bytes, header, verified_at })
}

/// Writes the manifest of a copy that stands; where that fails the copy is one that nobody knows to be verified.
fn write_manifest(arguments: &Arguments, order: &Order, facts: Facts) -> Option<Manifest> {
    let Facts { checked, hashed, compression, uncompressed_bytes, header, verified_at } = facts;
    let path = manifest_path(&order.out);
    let write = || -> io::Result<Manifest> {
        let manifest = Manifest {
            format: Manifest::FORMAT,
            bytes: hashed.bytes,
            modified_ns: copies::modified_ns(&order.out.metadata()?),
            sha256: hashed.sha256,
            compression,
            uncompressed_bytes,
            content_digest: checked.content,
            header,
            made_at: Timestamp::now(),
            live: LivePath::from(order.live.as_path()),
            strategy: arguments.strategy(),
            journalbench_version: env!("CARGO_PKG_VERSION").to_owned(),
            verified: Verified { by: checked.by, at: verified_at, duration_s: checked.verify_s },
        };
        manifest.write(&path)?;
        Ok(manifest)
    };
    match write() {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            print_line(&format!(
                "journalbench: {} stands and is sound, but {} cannot be written ({error}): it counts as not verified, and no \
                older copy was removed",
                order.out.display(),
                path.display()
            ));
            None
        }
    }
}

/// Removes older copies where that was asked for. The new copy stands, whatever becomes of them.
fn remove_outdated(arguments: &Arguments, order: &Order, newest: &Manifest) -> Vec<PathBuf> {
    let Some(rule) = arguments.retention() else { return Vec::new() };
    match retention::apply(rule, &order.out, newest) {
        Ok(Removal { removed, problems }) => {
            for problem in problems {
                print_line(&format!("journalbench: {problem}"));
            }
            removed
        }
        Err(error) => {
            print_line(&format!("journalbench: the copy stands, and no older one was removed: {error:#}"));
            Vec::new()
        }
    }
}
