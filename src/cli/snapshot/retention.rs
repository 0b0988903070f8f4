//! Which of the copies in a folder are removed once a new one stands.
//!
//! Only verified copies count, and only these are removed: those with a manifest beside them that is of the same live database,
//! and whose file is still what the manifest says of it (size and time of modification). Whatever else lies in the folder is
//! nobody's business here. Earlier versions listed their copies in a hidden note, `.journalbench-copies.json`: what is on it
//! counts in the same way, and leaves it when it is removed.
//!
//! To remove a copy, its manifest is first renamed to a hidden name, then the copy is removed, then the renamed manifest: so no
//! manifest ever claims a copy that is gone, and what a kill in between has left is finished by the next one.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    copies::{LivePath, Manifest, manifest_path, modified_ns},
    results::write_atomically,
    work,
};

/// The name of the note of earlier versions.
const NOTE: &str = ".journalbench-copies.json";

/// The most that is read of a note: a million copies.
const NOTE_BYTES_MAX: u64 = 256 << 20;

/// What the name of a manifest ends with whose copy is being removed, behind a dot and the name of the copy.
const REMOVING: &str = ".removing.json";

/// Which copies are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// So many of the newest.
    Last(u32),
    /// Those that were made within so many days, and the newest in any case.
    Days(u32),
}

/// What the note of an earlier version says of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    /// Its name in the folder.
    name: String,
    /// What it is a copy of.
    live: String,
    /// When it got its name.
    made_at: Timestamp,
    bytes: u64,
    modified_ns: i64,
}

/// A verified copy of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copy {
    path: PathBuf,
    made_at: Timestamp,
    /// Whether a manifest says so, or an earlier version's note.
    has_manifest: bool,
}

/// What the removal came to.
#[derive(Debug, Default)]
pub(super) struct Removal {
    pub(super) removed: Vec<PathBuf>,
    /// What could not be removed or read, in words.
    pub(super) problems: Vec<String>,
}

/// Removes the copies that the rule does not keep, of the same database as one that has just been made at `out`, and in the
/// same folder. The new one stays, even where a clock that was wrong has dated others later.
///
/// # Errors
/// When the folder, or an earlier version's note in it, cannot be read: then nothing was removed.
pub(super) fn apply(rule: Rule, out: &Path, newest: &Manifest) -> Result<Removal> {
    let folder = out.parent().context("a copy without a folder")?;
    let note = folder.join(NOTE);
    let noted = read_note(&note)?;
    let files = work::files_in(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut removal = Removal::default();
    for file in &files {
        finish_removal(file, &mut removal);
    }
    let mut copies = with_manifests(&files, newest, &mut removal.problems);
    copies.extend(of_note(folder, &noted, &newest.live));
    for copy in outdated(rule, copies, Timestamp::now()).into_iter().filter(|copy| copy.path != out) {
        match remove(&copy) {
            Ok(()) => removal.removed.push(copy.path),
            Err(error) => removal.problems.push(format!("cannot remove {}: {error}", copy.path.display())),
        }
    }
    let left: Vec<_> = noted.iter().filter(|copy| is_as_noted(folder, copy)).cloned().collect();
    if left.len() != noted.len() {
        write_note(&note, &left)?;
    }
    Ok(removal)
}

/// The copies that have a manifest, are still what it says, and are of the same database as another one and of as much of it: a
/// copy of a part takes the place of no whole one.
fn with_manifests(files: &[PathBuf], newest: &Manifest, problems: &mut Vec<String>) -> Vec<Copy> {
    let of = |manifest: &Manifest| (manifest.live.clone(), manifest.strategy.definition().portion);
    let mut copies = Vec::new();
    for file in files {
        let Some(path) = Manifest::copy_of(file) else { continue };
        match Manifest::read(file) {
            Ok(Some(manifest)) if of(&manifest) == of(newest) && manifest.is_of(&path) => {
                copies.push(Copy { path, made_at: manifest.made_at, has_manifest: true });
            }
            Ok(Some(_) | None) => {}
            Err(error) => problems.push(format!("{error}: its copy does not count")),
        }
    }
    copies
}

fn of_note(folder: &Path, noted: &[Noted], live: &LivePath) -> Vec<Copy> {
    let is_of_live = |copy: &&Noted| LivePath::Path(copy.live.clone()) == *live && is_as_noted(folder, copy);
    let found = noted.iter().filter(is_of_live);
    let copy = |copy: &Noted| Copy { path: folder.join(&copy.name), made_at: copy.made_at, has_manifest: false };
    found.map(copy).filter(|copy| !manifest_path(&copy.path).exists()).collect()
}

/// The copies that the rule does not keep; never the newest.
fn outdated(rule: Rule, mut copies: Vec<Copy>, now: Timestamp) -> Vec<Copy> {
    copies.sort_by_key(|copy| std::cmp::Reverse(copy.made_at));
    let newest_first = (0_u32..).zip(copies);
    let is_outdated = |(place, copy): &(u32, Copy)| match rule {
        Rule::Last(most) => *place >= most.max(1),
        Rule::Days(days) => {
            let age = now.duration_since(copy.made_at);
            *place > 0 && age > SignedDuration::from_hours(24 * i64::from(days))
        }
    };
    newest_first.filter(is_outdated).map(|(_, copy)| copy).collect()
}

fn remove(copy: &Copy) -> io::Result<()> {
    if !copy.has_manifest {
        return fs::remove_file(&copy.path);
    }
    let removing = removing_path(&copy.path);
    fs::rename(manifest_path(&copy.path), &removing)?;
    // On the disk before the copy goes.
    copy.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    fs::remove_file(&copy.path)?;
    fs::remove_file(&removing)
}

fn removing_path(copy: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(copy.file_name().unwrap_or_default());
    name.push(REMOVING);
    copy.with_file_name(name)
}

/// The copy that a removal was begun of, by the hidden name of its manifest.
fn copy_being_removed(removing: &Path) -> Option<PathBuf> {
    let name = removing.file_name()?.as_bytes();
    let name = name.strip_prefix(b".")?.strip_suffix(REMOVING.as_bytes())?;
    (!name.is_empty()).then(|| removing.with_file_name(OsStr::from_bytes(name)))
}

/// Finishes what a killed one has begun, where the copy is still what its manifest says, and nobody made a new one of that name.
fn finish_removal(removing: &Path, removal: &mut Removal) {
    let Some(copy) = copy_being_removed(removing) else { return };
    let Ok(Some(manifest)) = Manifest::read(removing) else { return };
    let is_it = manifest.is_of(&copy) && !manifest_path(&copy).exists();
    let removed = if is_it { fs::remove_file(&copy) } else { Ok(()) };
    match removed.and_then(|()| fs::remove_file(removing)) {
        Ok(()) if is_it => removal.removed.push(copy),
        Ok(()) => {}
        Err(error) => removal.problems.push(format!("cannot remove {}: {error}", copy.display())),
    }
}

fn is_as_noted(folder: &Path, copy: &Noted) -> bool {
    // A name leads nowhere but into the folder.
    let is_name = Path::new(&copy.name).file_name().is_some_and(|name| name == copy.name.as_str());
    let metadata = folder.join(&copy.name).symlink_metadata();
    let is_it = |metadata: fs::Metadata| {
        metadata.is_file() && (metadata.len(), modified_ns(&metadata)) == (copy.bytes, copy.modified_ns)
    };
    is_name && metadata.is_ok_and(is_it)
}

fn read_note(note: &Path) -> Result<Vec<Noted>> {
    match work::read_regular(note, NOTE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", note.display())),
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is not what this program noted of its copies: move it away to go on without", note.display())
        }),
    }
}

/// Writes what is left on a note, and removes one that is empty.
fn write_note(note: &Path, copies: &[Noted]) -> Result<()> {
    let describe = || format!("cannot write {}", note.display());
    if copies.is_empty() {
        return fs::remove_file(note).with_context(describe);
    }
    let json = serde_json::to_vec_pretty(copies).context("cannot note the copies")?;
    write_atomically(note, &json).with_context(describe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copies::{self, HeaderFacts, Verified, VerifiedBy};
    use crate::pages::header::Header;
    use crate::snapshot::Strategy;

    fn day(day: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day)
    }

    /// A copy with a manifest, made on a day.
    fn make(folder: &Path, name: &str, live: &str, made: i64) -> Manifest {
        let path = folder.join(name);
        fs::write(&path, name).unwrap();
        let mut none = |_| ();
        let hashed = copies::hash_while_copying(&path, &mut io::sink(), false, &false.into(), &mut none).unwrap();
        let manifest = Manifest {
            format: Manifest::FORMAT,
            bytes: hashed.bytes,
            modified_ns: modified_ns(&path.metadata().unwrap()),
            sha256: hashed.sha256,
            compression: None,
            uncompressed_bytes: hashed.bytes,
            content_digest: None,
            header: HeaderFacts::of(&Header([0; 100])),
            made_at: day(made),
            live: LivePath::Path(live.to_owned()),
            strategy: Strategy::HeldCopy,
            journalbench_version: "0".to_owned(),
            verified: Verified { by: VerifiedBy::Walk, at: day(made), duration_s: 0.0 },
        };
        manifest.write(&manifest_path(&path)).unwrap();
        manifest
    }

    fn note(folder: &Path, name: &str, made: i64) {
        let path = folder.join(name);
        fs::write(&path, name).unwrap();
        let metadata = path.metadata().unwrap();
        let mut noted = read_note(&folder.join(NOTE)).unwrap();
        let live = "/live".to_owned();
        let (bytes, modified_ns) = (metadata.len(), modified_ns(&metadata));
        noted.push(Noted { name: name.to_owned(), live, made_at: day(made), bytes, modified_ns });
        write_note(&folder.join(NOTE), &noted).unwrap();
    }

    /// The names in a folder, but for those of manifests that stand beside their copies.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = work::files_in(folder).unwrap();
        let all = names.clone();
        names.retain(|path| Manifest::copy_of(path).is_none_or(|copy| !all.contains(&copy)));
        names.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_rule_keeps_the_newest() {
        let copy = |name: &str, made: i64| Copy { path: name.into(), made_at: day(made), has_manifest: true };
        for (rule, expected) in [
            (Rule::Last(4), &[][..]),
            (Rule::Last(2), &["a"]),
            (Rule::Last(1), &["b", "a"]),
            (Rule::Days(30), &[]),
            (Rule::Days(20), &["a"]),
            (Rule::Days(15), &["b", "a"]),
            (Rule::Days(1), &["b", "a"]),
        ] {
            let outdated = outdated(rule, vec![copy("c", 30), copy("a", 10), copy("b", 20)], day(40));
            let names: Vec<_> = outdated.iter().map(|copy| copy.path.to_str().unwrap()).collect();
            assert_eq!(names, expected, "{rule:?}");
        }
    }

    #[test]
    fn only_what_is_as_its_manifest_says_counts_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, live: &str, made| make(folder.path(), name, live, made);
        make("1.db", "/live", 1);
        make("2.db", "/live", 2);
        make("3.db", "/other", 3);
        let newest = make("4.db", "/live", 4);
        fs::write(folder.path().join("2.db"), "somebody else's by now").unwrap();
        fs::write(folder.path().join("0.db"), "never verified").unwrap();
        fs::write(folder.path().join("5.db.manifest.json"), "{}").unwrap();
        let removal = apply(Rule::Last(1), &folder.path().join("4.db"), &newest).unwrap();
        assert_eq!(removal.removed, [folder.path().join("1.db")]);
        assert!(removal.problems[0].contains("5.db.manifest.json is no manifest"), "{:?}", removal.problems);
        assert_eq!(names(folder.path()), ["0.db", "2.db", "3.db", "4.db", "5.db.manifest.json"]);
        assert!(!folder.path().join("1.db.manifest.json").exists());
    }

    #[test]
    fn what_an_earlier_version_noted_counts_and_leaves_the_note_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        note(folder.path(), "1.db", 1);
        note(folder.path(), "2.db", 2);
        note(folder.path(), "mine.db", 1);
        fs::write(folder.path().join("mine.db"), "somebody else's by now").unwrap();
        let newest = make(folder.path(), "3.db", "/live", 3);
        let out = folder.path().join("3.db");
        let removal = apply(Rule::Last(2), &out, &newest).unwrap();
        assert_eq!(removal.removed, [folder.path().join("1.db")]);
        assert_eq!(names(folder.path()), [NOTE, "2.db", "3.db", "mine.db"]);
        assert_eq!(apply(Rule::Days(1), &out, &newest).unwrap().removed, [folder.path().join("2.db")]);
        assert_eq!(names(folder.path()), ["3.db", "mine.db"]);
        fs::write(folder.path().join(NOTE), "nonsense").unwrap();
        assert!(apply(Rule::Last(1), &out, &newest).is_err());
    }

    #[test]
    fn a_note_that_names_a_file_elsewhere_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        note(folder.path(), "precious", 1);
        let mut noted = read_note(&folder.path().join(NOTE)).unwrap();
        noted[0].name = "../precious".to_owned();
        write_note(&inner.join(NOTE), &noted).unwrap();
        let newest = make(&inner, "out.db", "/live", 2);
        assert_eq!(apply(Rule::Last(1), &inner.join("out.db"), &newest).unwrap().removed, [] as [PathBuf; 0]);
        assert!(folder.path().join("precious").exists());
    }

    #[test]
    fn the_copy_that_was_just_made_stays_whatever_the_clock_said_before() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), "future.db", "/live", 9);
        let newest = make(folder.path(), "new.db", "/live", 4);
        let removal = apply(Rule::Last(1), &folder.path().join("new.db"), &newest).unwrap();
        assert_eq!((removal.removed, names(folder.path()).len()), (vec![], 2));
    }

    #[test]
    fn a_removal_that_was_cut_short_is_finished_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["1.db", "2.db", "3.db"] {
            make(folder.path(), name, "/live", 1);
            fs::rename(path(&format!("{name}.manifest.json")), removing_path(&path(name))).unwrap();
        }
        // Killed before the copy was removed; after it; and a new copy of the name has been made meanwhile.
        fs::remove_file(path("2.db")).unwrap();
        make(folder.path(), "3.db", "/live", 2);
        let newest = make(folder.path(), "4.db", "/live", 4);
        let removal = apply(Rule::Last(9), &path("4.db"), &newest).unwrap();
        assert_eq!((removal.removed, removal.problems), (vec![path("1.db")], vec![]));
        assert_eq!(names(folder.path()), ["3.db", "4.db"]);
    }
}
