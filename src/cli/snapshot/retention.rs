//! Which of the copies in a folder are removed once a new one stands.
//!
//! A note beside the copies, a hidden file in JSON, lists those that this program made, found sound with `integrity_check`, and
//! was asked to keep count of. Only these count, and only these are removed; a file that is not what the note says of it any
//! more (another size or time of modification) is nobody's business here. Copies of other databases in the same folder keep
//! their own count.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{results::write_atomically, work};

/// The name of the note.
const NOTE: &str = ".journalbench-copies.json";

/// The most that is read of a note: a million copies.
const NOTE_BYTES_MAX: u64 = 256 << 20;

/// Which copies are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    /// So many of the newest.
    Last(u32),
    /// Those that were made within so many days, and the newest in any case.
    Days(u32),
}

/// What a note says of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copy {
    /// Its name in the folder.
    name: String,
    /// What it is a copy of.
    live: String,
    /// When it got its name.
    made_at: Timestamp,
    bytes: u64,
    modified_ns: i64,
}

/// What the removal came to.
#[derive(Debug, Default)]
pub(super) struct Removal {
    pub(super) removed: Vec<PathBuf>,
    /// What could not be removed, in words.
    pub(super) problems: Vec<String>,
}

/// Notes a sound copy that stands under its name, and removes those that the rule does not keep.
///
/// # Errors
/// When the note cannot be read or written: then nothing was removed.
pub(super) fn apply(rule: Rule, live: &Path, out: &Path) -> Result<Removal> {
    let folder = out.parent().context("a copy without a folder")?;
    let note = folder.join(NOTE);
    let mut copies = read(&note)?;
    copies.retain(|copy| is_as_noted(folder, copy));
    let made = describe(live, out).with_context(|| format!("cannot look at {}", out.display()))?;
    copies.push(made);
    let outdated = outdated(rule, &copies, &live.display().to_string(), Timestamp::now());
    write(&note, &copies)?;
    let mut removal = Removal::default();
    for copy in &outdated {
        let path = folder.join(&copy.name);
        match fs::remove_file(&path) {
            Ok(()) => removal.removed.push(path),
            Err(error) => removal.problems.push(format!("cannot remove {}: {error}", path.display())),
        }
    }
    copies.retain(|copy| is_as_noted(folder, copy));
    write(&note, &copies)?;
    Ok(removal)
}

/// The copies of a database that the rule does not keep.
fn outdated(rule: Rule, copies: &[Copy], live: &str, now: Timestamp) -> Vec<Copy> {
    let mut of_live: Vec<_> = copies.iter().filter(|copy| copy.live == live).cloned().collect();
    of_live.sort_by_key(|copy| std::cmp::Reverse(copy.made_at));
    let newest_first = (0_u32..).zip(of_live);
    let is_outdated = |(place, copy): &(u32, Copy)| match rule {
        Rule::Last(most) => *place >= most,
        Rule::Days(days) => {
            let age = now.duration_since(copy.made_at);
            *place > 0 && age > SignedDuration::from_hours(24 * i64::from(days))
        }
    };
    newest_first.filter(is_outdated).map(|(_, copy)| copy).collect()
}

fn describe(live: &Path, out: &Path) -> io::Result<Copy> {
    let metadata = out.metadata()?;
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Copy {
        name,
        live: live.display().to_string(),
        made_at: Timestamp::now(),
        bytes: metadata.len(),
        modified_ns: modified_ns(&metadata),
    })
}

fn is_as_noted(folder: &Path, copy: &Copy) -> bool {
    // A name leads nowhere but into the folder.
    let is_name = Path::new(&copy.name).file_name().is_some_and(|name| name == copy.name.as_str());
    let metadata = folder.join(&copy.name).symlink_metadata();
    let is_it = |metadata: fs::Metadata| {
        metadata.is_file() && (metadata.len(), modified_ns(&metadata)) == (copy.bytes, copy.modified_ns)
    };
    is_name && metadata.is_ok_and(is_it)
}

fn modified_ns(metadata: &fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

fn read(note: &Path) -> Result<Vec<Copy>> {
    match work::read_regular(note, NOTE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", note.display())),
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!("{} is not what this program notes of its copies: move it away to begin anew", note.display())
        }),
    }
}

fn write(note: &Path, copies: &[Copy]) -> Result<()> {
    let json = serde_json::to_vec_pretty(copies).context("cannot note the copies")?;
    write_atomically(note, &json).with_context(|| format!("cannot write {}", note.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(name: &str, live: &str, day: i64) -> Copy {
        let made_at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day);
        Copy { name: name.to_owned(), live: live.to_owned(), made_at, bytes: 1, modified_ns: 1 }
    }

    #[test]
    fn a_rule_keeps_the_newest_of_its_own_database() {
        let copies =
            [copy("c", "/live", 30), copy("a", "/live", 10), copy("other", "/other", 1), copy("b", "/live", 20)];
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 40);
        for (rule, expected) in [
            (Rule::Last(4), &[][..]),
            (Rule::Last(2), &["a"]),
            (Rule::Last(1), &["b", "a"]),
            (Rule::Days(30), &[]),
            (Rule::Days(20), &["a"]),
            (Rule::Days(15), &["b", "a"]),
            (Rule::Days(1), &["b", "a"]),
        ] {
            let outdated = outdated(rule, &copies, "/live", now);
            let names: Vec<_> = outdated.iter().map(|copy| copy.name.as_str()).collect();
            assert_eq!(names, expected, "{rule:?}");
        }
    }

    #[test]
    fn only_what_is_as_it_was_noted_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let live = Path::new("/live.db");
        let (first, second) = (make("1.db"), make("2.db"));
        apply(Rule::Last(9), live, &first).unwrap();
        apply(Rule::Last(9), live, &second).unwrap();
        fs::write(&second, "somebody else's by now").unwrap();
        make("0.db");
        let third = make("3.db");
        let removal = apply(Rule::Last(1), live, &third).unwrap();
        assert_eq!((removal.removed, removal.problems), (vec![first], vec![]));
        let left = work::files_in(folder.path()).unwrap();
        assert_eq!(left, [folder.path().join(NOTE), folder.path().join("0.db"), second, third]);
    }

    #[test]
    fn a_note_that_names_a_file_elsewhere_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, precious) = (folder.path().join("inner"), folder.path().join("precious"));
        fs::create_dir(&inner).unwrap();
        fs::write(&precious, "x").unwrap();
        let mut noted = describe(Path::new("/live.db"), &precious).unwrap();
        noted.name = "../precious".to_owned();
        noted.made_at = Timestamp::UNIX_EPOCH;
        write(&inner.join(NOTE), &[noted]).unwrap();
        let out = inner.join("out.db");
        fs::write(&out, "y").unwrap();
        assert_eq!(apply(Rule::Last(1), Path::new("/live.db"), &out).unwrap().removed, [] as [PathBuf; 0]);
        assert!(precious.exists());
        fs::write(inner.join(NOTE), "nonsense").unwrap();
        assert!(apply(Rule::Last(1), Path::new("/live.db"), &out).is_err());
    }
}
