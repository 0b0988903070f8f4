//! What a disk may hold at an instant, given what was asked of it before: a stated model.
//!
//! What a sync covers is there, whole. Of what no sync covers yet, each unit of so many bytes may have arrived or not, and one that
//! did not may hold garbage within the bytes that were written. Three details decide whether such a model is fair
//! (`docs/power-loss.md`):
//!
//! * A truncation that is lost takes later writes beyond its size along: they went to blocks that nobody would find without it.
//! * Garbage stays within bytes that were written while `POWERSAFE_OVERWRITE` is declared, as the system's VFS of SQLite does. It
//!   spreads over a whole sector only in the model in which the flag is cleared.
//! * A file that grew may have its new size and not its content: zeros.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
};

use rand::{Rng, RngExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log::{Bytes, Event, Log, Stamped};

/// What a disk and its file system may do to what no sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskModel {
    /// Anything that no sync of its own covers may be lost by itself, each name and each unit of each write.
    Strict,
    /// As strict, but any sync makes all earlier changes of names durable, and of later ones those before the first lost one stay: one
    /// journal of the file system for all names, as ext4 and XFS have it.
    JournaledNames,
    /// What stays is what was asked first: nothing arrives before what was asked earlier. Too kind: it hides every tear.
    Sequential,
    /// As strict, but garbage covers whole units, bytes beside those that were written among them. The VFS tells SQLite so.
    PowerSafeOverwriteOff,
}

impl DiskModel {
    /// Whether SQLite is told that bytes beside those of a write are safe.
    #[must_use]
    pub fn has_safe_overwrite(self) -> bool {
        match self {
            Self::Strict | Self::JournaledNames | Self::Sequential => true,
            Self::PowerSafeOverwriteOff => false,
        }
    }

    /// Whether it loses what a disk may lose, and no less: what is counted under the others is told apart.
    #[must_use]
    pub fn is_fair(self) -> bool {
        match self {
            Self::Strict | Self::JournaledNames | Self::PowerSafeOverwriteOff => true,
            Self::Sequential => false,
        }
    }
}

impl fmt::Display for DiskModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::JournaledNames => "journaled-names",
            Self::Sequential => "sequential",
            Self::PowerSafeOverwriteOff => "power-safe-overwrite-off",
        })
    }
}

/// What a sync makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyncOf {
    /// The database.
    Database,
    /// The rollback journal.
    Journal,
    /// The WAL.
    Wal,
    /// The folder: names that came and went.
    Folder,
}

impl SyncOf {
    /// What the sync of a file of this name makes durable.
    fn file(name: &Path) -> Self {
        let name = name.as_os_str().as_encoded_bytes();
        if name.ends_with(b"-journal") {
            Self::Journal
        } else if name.ends_with(b"-wal") {
            Self::Wal
        } else {
            Self::Database
        }
    }
}

/// A model with its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskRules {
    /// What it may do.
    pub model: DiskModel,
    /// In units of so many bytes.
    pub granule_bytes: u64,
    /// Chance that a unit arrived.
    pub keep: f64,
    /// Chance that one that did not holds garbage.
    pub garbage: f64,
    /// Syncs that are answered and not carried out, where there are any.
    pub ignored_sync: Option<SyncOf>,
}

/// Chance that a file that grew has its size where it does not have the content.
const GROWN: f64 = 0.3;

/// A change of a file that no sync covers.
#[derive(Debug, Clone, Copy)]
enum Change {
    Written { number: u64, at: u64, bytes: Bytes },
    Truncated { number: u64, bytes: u64 },
}

impl Change {
    /// Its place among all events.
    fn number(self) -> u64 {
        match self {
            Self::Written { number, .. } | Self::Truncated { number, .. } => number,
        }
    }
}

/// A change of a name that no sync covers.
#[derive(Debug, Clone, Copy)]
struct NameChange {
    number: u64,
    name: u32,
    /// The file that it stands for afterwards.
    file: Option<u32>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// The disk at an instant of a recording.
pub struct Disk<'a> {
    log: &'a Log,
    journaled_names: bool,
    ignored_sync: Option<SyncOf>,
    inodes: Vec<Inode>,
    /// What the sync of each file makes durable.
    kinds: Vec<SyncOf>,
    names: HashMap<u32, Option<u32>>,
    pending_names: Vec<NameChange>,
    /// Events that have happened.
    number: u64,
    /// When the last of them did, in nanoseconds since the recording began.
    pub at_ns: u64,
    /// The last transaction that had begun to commit.
    pub begun: u64,
    /// The last transaction of which a client knew.
    pub acknowledged: u64,
}

/// What there is of files after a power loss: their names and contents.
pub type Image = Vec<(PathBuf, Vec<u8>)>;

impl<'a> Disk<'a> {
    /// As a recording found it.
    #[must_use]
    pub fn new(log: &'a Log, rules: &DiskRules) -> Self {
        let mut inodes = vec![Inode::default(); log.files];
        let mut names = HashMap::new();
        for (name, file, content) in log.base() {
            inodes[file as usize].durable = content.to_vec();
            names.insert(name, Some(file));
        }
        let journaled_names = match rules.model {
            DiskModel::JournaledNames => true,
            DiskModel::Strict | DiskModel::Sequential | DiskModel::PowerSafeOverwriteOff => false,
        };
        Self {
            log,
            journaled_names,
            ignored_sync: rules.ignored_sync,
            kinds: vec![SyncOf::Database; inodes.len()],
            inodes,
            names,
            pending_names: Vec::new(),
            number: 0,
            at_ns: 0,
            begun: 0,
            acknowledged: 0,
        }
    }

    /// Another event happens.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn advance(&mut self, Stamped { at_ns, event }: Stamped) -> io::Result<()> {
        self.at_ns = at_ns;
        let number = self.number;
        self.number += 1;
        match event {
            Event::Written { file, at, bytes } => {
                self.inodes[file as usize].pending.push(Change::Written { number, at, bytes });
            }
            Event::Truncated { file, bytes } => {
                self.inodes[file as usize].pending.push(Change::Truncated { number, bytes });
            }
            Event::Created { name, file } => {
                self.kinds[file as usize] = SyncOf::file(&self.log.name(name));
                self.pending_names.push(NameChange { number, name, file: Some(file) });
            }
            Event::Deleted { name, with_folder } => {
                self.pending_names.push(NameChange { number, name, file: None });
                if with_folder {
                    self.sync_folder();
                }
            }
            Event::Synced { file, with_folder } => self.sync(file, with_folder)?,
            Event::Begun(commit) => self.begun = self.begun.max(commit),
            Event::Acknowledged(commit) => self.acknowledged = self.acknowledged.max(commit),
        }
        Ok(())
    }

    fn sync(&mut self, file: u32, with_folder: bool) -> io::Result<()> {
        if self.ignored_sync != Some(self.kinds[file as usize]) {
            let inode = &mut self.inodes[file as usize];
            let mut bytes = Vec::new();
            for change in std::mem::take(&mut inode.pending) {
                apply(self.log, change, &mut inode.durable, &mut bytes)?;
            }
            if self.journaled_names {
                self.settle_names();
            }
        }
        if with_folder {
            self.sync_folder();
        }
        Ok(())
    }

    fn sync_folder(&mut self) {
        if self.ignored_sync != Some(SyncOf::Folder) {
            self.settle_names();
        }
    }

    /// All changes of names are durable. What has no name any more is forgotten.
    fn settle_names(&mut self) {
        for change in self.pending_names.drain(..) {
            if let Some(Some(before)) = self.names.insert(change.name, change.file)
                && change.file != Some(before)
            {
                self.inodes[before as usize] = Inode::default();
            }
        }
    }

    /// What is there after a power loss at this instant.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn image(&self, rules: &DiskRules, random: &mut impl Rng) -> io::Result<Image> {
        let first_lost = match rules.model {
            DiskModel::Sequential => self.first_lost(random),
            DiskModel::Strict | DiskModel::JournaledNames | DiskModel::PowerSafeOverwriteOff => u64::MAX,
        };
        let names = self.names_after(rules, first_lost, random);
        let mut image = Vec::new();
        let mut files: Vec<_> = names.into_iter().filter_map(|(name, file)| Some((name, file?))).collect();
        // The order of a map is another one each time, and that of random numbers must not be.
        files.sort_unstable();
        for (name, file) in files {
            let inode = &self.inodes[file as usize];
            let content = match rules.model {
                DiskModel::Sequential => self.prefix(inode, first_lost)?,
                DiskModel::Strict | DiskModel::JournaledNames | DiskModel::PowerSafeOverwriteOff => {
                    self.scattered(inode, rules, random)?
                }
            };
            image.push((self.log.name(name), content));
        }
        Ok(image)
    }

    /// All that was asked, as if everything had been synced.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn whole(&self) -> io::Result<Image> {
        let mut names = self.names.clone();
        names.extend(self.pending_names.iter().map(|change| (change.name, change.file)));
        let files = names.into_iter().filter_map(|(name, file)| Some((name, file?)));
        let content =
            |(name, file): (u32, u32)| Ok((self.log.name(name), self.prefix(&self.inodes[file as usize], u64::MAX)?));
        files.map(content).collect()
    }

    /// The event before which everything stays.
    fn first_lost(&self, random: &mut impl Rng) -> u64 {
        let of_files = self.inodes.iter().flat_map(|inode| &inode.pending).map(|change| change.number());
        let mut pending: Vec<_> = of_files.chain(self.pending_names.iter().map(|change| change.number)).collect();
        pending.sort_unstable();
        pending.get(random.random_range(0..=pending.len())).copied().unwrap_or(u64::MAX)
    }

    /// What each name stands for.
    fn names_after(&self, rules: &DiskRules, first_lost: u64, random: &mut impl Rng) -> HashMap<u32, Option<u32>> {
        let mut names = self.names.clone();
        let kept = random.random_range(0..=self.pending_names.len());
        // Of each name what happened before its first loss.
        let mut lost = Vec::new();
        for (place, NameChange { number, name, file }) in self.pending_names.iter().enumerate() {
            let stays = match rules.model {
                DiskModel::Sequential => *number < first_lost,
                DiskModel::JournaledNames => place < kept,
                DiskModel::Strict | DiskModel::PowerSafeOverwriteOff => {
                    !lost.contains(name) && random.random_bool(rules.keep)
                }
            };
            if stays {
                names.insert(*name, *file);
            } else {
                lost.push(*name);
            }
        }
        names
    }

    fn prefix(&self, inode: &Inode, first_lost: u64) -> io::Result<Vec<u8>> {
        let (mut content, mut bytes) = (inode.durable.clone(), Vec::new());
        for change in inode.pending.iter().filter(|change| change.number() < first_lost) {
            apply(self.log, *change, &mut content, &mut bytes)?;
        }
        Ok(content)
    }

    /// Each unit by itself: there, not there, or garbage.
    fn scattered(&self, inode: &Inode, rules: &DiskRules, random: &mut impl Rng) -> io::Result<Vec<u8>> {
        let (mut content, mut bytes) = (inode.durable.clone(), Vec::new());
        // What lies beyond the size of a truncation that was lost is lost with it.
        let mut floor = u64::MAX;
        for change in &inode.pending {
            match *change {
                Change::Truncated { bytes: size, .. } => {
                    if floor == u64::MAX && random.random_bool(rules.keep) {
                        resize(&mut content, size);
                    } else {
                        floor = floor.min(size);
                    }
                }
                Change::Written { at, bytes: place, .. } => {
                    let written = self.log.read(place, &mut bytes)?;
                    for unit in units(at, written, rules.granule_bytes) {
                        if unit.end() <= floor {
                            unit.arrive(&mut content, rules, random);
                        }
                    }
                }
            }
        }
        Ok(content)
    }
}

fn apply(log: &Log, change: Change, content: &mut Vec<u8>, bytes: &mut Vec<u8>) -> io::Result<()> {
    match change {
        Change::Written { at, bytes: place, .. } => put(content, at, log.read(place, bytes)?),
        Change::Truncated { bytes: size, .. } => resize(content, size),
    }
    Ok(())
}

fn resize(content: &mut Vec<u8>, bytes: u64) {
    content.resize(usize::try_from(bytes).unwrap_or(usize::MAX), 0);
}

fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let end = at.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

/// A part of a write that lies in one unit of the disk.
struct UnitWrite<'b> {
    at: u64,
    bytes: &'b [u8],
}

/// Cuts a write at the borders of units.
fn units(at: u64, bytes: &[u8], granule_bytes: u64) -> impl Iterator<Item = UnitWrite<'_>> {
    let mut rest = (at, bytes);
    std::iter::from_fn(move || {
        let (at, bytes) = rest;
        if bytes.is_empty() {
            return None;
        }
        let room = usize::try_from(granule_bytes - at % granule_bytes).unwrap_or(usize::MAX);
        let (unit, left) = bytes.split_at(room.min(bytes.len()));
        rest = (at + unit.len() as u64, left);
        Some(UnitWrite { at, bytes: unit })
    })
}

impl UnitWrite<'_> {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// What becomes of it.
    fn arrive(&self, content: &mut Vec<u8>, rules: &DiskRules, random: &mut impl Rng) {
        if random.random_bool(rules.keep) {
            return put(content, self.at, self.bytes);
        }
        if random.random_bool(rules.garbage) {
            let (at, length) = match rules.model {
                DiskModel::PowerSafeOverwriteOff => {
                    (self.at - self.at % rules.granule_bytes, usize::try_from(rules.granule_bytes).unwrap_or(0))
                }
                DiskModel::Strict | DiskModel::JournaledNames | DiskModel::Sequential => (self.at, self.bytes.len()),
            };
            let mut garbage = vec![0; length];
            random.fill(&mut garbage[..]);
            return put(content, at, &garbage);
        }
        let end = usize::try_from(self.end()).unwrap_or(usize::MAX);
        if content.len() < end && random.random_bool(GROWN) {
            content.resize(end, 0);
        }
    }
}

#[cfg(test)]
mod tests;
