//! A restore from nothing to its name: copied into a hidden folder beside its place, compared with the manifest while that goes
//! on, checked, synced, and only then named. The copy itself is never opened by SQLite, and stays as it is.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::Arguments;
use crate::{
    cli::{CommandError, absolute, snapshot::refuse_existing},
    copies::{self, Check, Checked, Compression, FileMode, Hashed, HeaderFacts, Manifest, Soundness, manifest_path},
    interrupt::Interrupt,
    own_folder::OwnFolder,
    pages::header::Header,
    progress, sqlite, work,
};

/// What a file of Zstandard begins with (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The file in the hidden folder.
const RESTORED: &str = "restored.db";

/// A restore that is to be made: looked at, but for what only reading all of it shows.
pub(super) struct Order {
    pub copy: PathBuf,
    /// Where it is to stand; none for a drill.
    pub live: Option<PathBuf>,
    pub compression: Option<Compression>,
    pub manifest: Option<Manifest>,
    /// Of the copy's file.
    pub bytes: u64,
}

/// A copy that was restored, or could have been.
pub(super) struct Restored {
    /// Of the database.
    pub bytes: u64,
    pub hashed: Hashed,
    pub checked: Checked,
    pub copy_s: f64,
    /// What the header of the database says of its journal mode.
    pub mode: FileMode,
}

/// How a restore ended.
pub(super) enum Ending {
    Restored(Box<Restored>),
    /// The copy is not what its manifest says, or not sound. Nothing stands under the name.
    Unsound(String),
    Interrupted,
}

/// Refuses what cannot be done, before anything is written.
pub(super) fn order(arguments: &Arguments) -> Result<Order, CommandError> {
    let Arguments { copy, live, .. } = arguments;
    let live = live.as_deref().map(absolute).transpose()?;
    if let Some(live) = &live {
        refuse_existing(live).map_err(CommandError::Usage)?;
    }
    work::check_regular(copy).with_context(|| format!("cannot restore {}", copy.display()))?;
    // What lies beside a copy lies beside what a link leads to.
    let copy = copy.canonicalize().with_context(|| format!("cannot restore {}", copy.display()))?;
    for suffix in ["-wal", "-journal"] {
        let beside = sqlite::side_file(&copy, suffix);
        if work::file_bytes(&beside) > 0 {
            return Err(CommandError::Usage(anyhow!(
                "{} is a part of {}, which is not a whole copy by itself: open it with sqlite3 once, so that SQLite folds \
                the two together, and restore it then",
                beside.display(),
                copy.display()
            )));
        }
    }
    let manifest = Manifest::read(&manifest_path(&copy)).map_err(anyhow::Error::from)?;
    let compression = compression(&copy).with_context(|| format!("cannot read {}", copy.display()))?;
    Ok(Order { bytes: work::file_bytes(&copy), copy, live, compression, manifest })
}

/// What the first bytes of a copy say; a database begins otherwise.
fn compression(copy: &Path) -> io::Result<Option<Compression>> {
    let mut begin = Vec::new();
    File::open(copy)?.take(ZSTD_MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok((begin == ZSTD_MAGIC).then_some(Compression::Zstd))
}

impl Order {
    /// The file that is made; where it is a drill, beside the copy or in another folder.
    pub fn place(&self, work_dir: Option<&Path>) -> Result<PathBuf> {
        let drill = self.live.as_ref().unwrap_or(&self.copy);
        match work_dir.filter(|_| self.live.is_none()) {
            Some(folder) => Ok(absolute(folder)?.join(drill.file_name().unwrap_or_default())),
            None => Ok(drill.clone()),
        }
    }

    /// Bytes of the database, as far as they are known before it is unpacked.
    fn database_bytes(&self) -> u64 {
        self.manifest.as_ref().map_or(self.bytes, |manifest| manifest.uncompressed_bytes)
    }

    /// Refuses a place that has no room.
    pub fn check_room(&self, place: &Path) -> Result<(), CommandError> {
        let needed = self.database_bytes();
        match work::free_bytes(place).filter(|free| *free < needed) {
            None => Ok(()),
            Some(free) => Err(CommandError::Usage(anyhow!(
                "{}: the database takes {} MB, and {} MB are free there",
                place.display(),
                needed / 1_000_000,
                free / 1_000_000
            ))),
        }
    }
}

/// Restores into the hidden folder, and gives the file its name where it has one.
pub(super) fn make(order: &Order, hidden: &OwnFolder, interrupt: &Interrupt) -> Result<Ending> {
    let file = hidden.path().join(RESTORED);
    let begun = Instant::now();
    let hashed = match copy(order, &file, interrupt) {
        Ok(hashed) => hashed,
        Err(error) if interrupt.is_set() => {
            drop(error);
            return Ok(Ending::Interrupted);
        }
        Err(error) if error.kind() == io::ErrorKind::StorageFull || order.compression.is_none() => {
            let error = anyhow::Error::from(error).context(format!("cannot copy {}", order.copy.display()));
            return Err(work::explain_full(error, hidden.path(), Some(order.database_bytes())));
        }
        Err(error) => return Ok(Ending::Unsound(format!("it cannot be unpacked: {error}"))),
    };
    let copy_s = begun.elapsed().as_secs_f64();
    let bytes = work::file_bytes(&file);
    if let Some(why) = order.manifest.as_ref().and_then(|manifest| differs(manifest, order, hashed, bytes)) {
        return Ok(Ending::Unsound(why));
    }
    let header = match Header::read(&file) {
        Ok(header) if header.is_database() => header,
        Ok(_) | Err(_) => return Ok(Ending::Unsound("it is no SQLite database".into())),
    };
    let checked = match copies::check(&file, Check::Walk, interrupt.flag())? {
        Soundness::Sound(checked) => checked,
        Soundness::Unsound(_) if interrupt.is_set() => return Ok(Ending::Interrupted),
        Soundness::Unsound(why) => return Ok(Ending::Unsound(why)),
        Soundness::Opened => bail!("it was not checked"),
    };
    let said = order.manifest.as_ref().and_then(|manifest| manifest.content_digest);
    if said.is_some() && checked.content.is_some() && said != checked.content {
        return Ok(Ending::Unsound("its rows are not those that its manifest tells the digest of".into()));
    }
    if let Some(live) = &order.live {
        name(&file, live, &order.copy)?;
    }
    let mode = HeaderFacts::of(&header).journal_mode;
    Ok(Ending::Restored(Box::new(Restored { bytes, hashed, checked, copy_s, mode })))
}

/// Copies and unpacks, and syncs what was written.
fn copy(order: &Order, file: &Path, interrupt: &Interrupt) -> io::Result<Hashed> {
    let mut out = File::create_new(file)?;
    let mut display = progress::Bytes::new("restoring");
    let mut show = |bytes| display.show(bytes, order.bytes);
    let unpack = match order.compression {
        Some(Compression::Zstd) => true,
        None => false,
    };
    let hashed = copies::hash_while_copying(&order.copy, &mut out, unpack, interrupt.flag(), &mut show);
    display.finish();
    let hashed = hashed?;
    // Before it is read again: only what is on the disk can leave the page cache.
    out.sync_all()?;
    Ok(hashed)
}

/// What of a copy is not as its manifest says, in words.
fn differs(manifest: &Manifest, order: &Order, hashed: Hashed, bytes: u64) -> Option<String> {
    let Manifest { bytes: said, sha256, compression, uncompressed_bytes, .. } = manifest;
    if *said != hashed.bytes {
        Some(format!("it has {} bytes, and its manifest says {said}", hashed.bytes))
    } else if *sha256 != hashed.sha256 {
        Some(format!("its SHA-256 is {}, and its manifest says {sha256}", hashed.sha256))
    } else if *compression != order.compression || *uncompressed_bytes != bytes {
        Some(format!("unpacked it has {bytes} bytes, and its manifest says {uncompressed_bytes}"))
    } else {
        None
    }
}

fn name(file: &Path, live: &Path, copy: &Path) -> Result<()> {
    let permissions = copy.metadata().with_context(|| format!("cannot look at {}", copy.display()))?.permissions();
    fs::set_permissions(file, permissions).with_context(|| format!("cannot set the mode of {}", file.display()))?;
    File::open(file)?.sync_all().with_context(|| format!("cannot sync {}", file.display()))?;
    refuse_existing(live)?;
    work::give_name(file, live).with_context(|| format!("cannot give the database its name {}", live.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_ends_it_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, live) = (folder.path().join("copy.db"), folder.path().join("live.db"));
        rusqlite::Connection::open(&copy).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let bytes = work::file_bytes(&copy);
        let order = Order { copy: copy.clone(), live: Some(live.clone()), compression: None, manifest: None, bytes };
        let interrupt = Interrupt::default();
        let hidden = OwnFolder::beside(&live).unwrap();
        interrupt.set();
        assert!(matches!(make(&order, &hidden, &interrupt), Ok(Ending::Interrupted)));
        drop(hidden);
        assert_eq!(work::files_in(folder.path()).unwrap(), [copy]);
    }
}
