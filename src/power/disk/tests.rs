use std::{ffi::CString, fs, path::PathBuf};

use super::*;
use crate::{
    io::{FileEvent, Recorder as _},
    power::log,
    random::generator,
};

const RULES: DiskRules =
    DiskRules { model: DiskModel::Strict, granule_bytes: 512, keep: 0.5, garbage: 0.0, ignored_sync: None };

/// The log of a database of 1,024 bytes of `a` and of what happens to it, with its journal.
fn recorded(happens: impl FnOnce(&mut dyn FnMut(FileEvent<'_>) -> u32, &CString)) -> (tempfile::TempDir, Log) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("live.db");
    fs::write(&database, [b'a'; 1024]).unwrap();
    let (mut writer, ended) = log::create(&folder.path().join("log"), &database).unwrap();
    let journal = CString::new(format!("{}-journal", database.display())).unwrap();
    happens(&mut |event| writer.note(event), &journal);
    let log = ended.log().unwrap();
    (folder, log)
}

fn at_end<'a>(log: &'a Log, rules: &DiskRules) -> Disk<'a> {
    let mut disk = Disk::new(log, rules);
    for event in log.events().unwrap() {
        disk.advance(event.unwrap()).unwrap();
    }
    disk
}

fn images(disk: &Disk<'_>, rules: &DiskRules) -> Vec<Image> {
    (0..200).map(|number| disk.image(rules, &mut generator(7, number)).unwrap()).collect()
}

fn of<'i>(image: &'i Image, name: &str) -> Option<&'i [u8]> {
    image.iter().find(|(path, _)| path.as_path() == Path::new(name)).map(|(_, content)| content.as_slice())
}

#[test]
fn what_a_sync_covers_is_there_and_each_unit_of_the_rest_may_be() {
    let (_folder, log) = recorded(|note, _| {
        note(FileEvent::Written { file: 0, at: 0, bytes: &[b'b'; 512] });
        note(FileEvent::Synced { file: 0, with_folder: false });
        note(FileEvent::Written { file: 0, at: 0, bytes: &[b'c'; 1024] });
    });
    let disk = at_end(&log, &RULES);
    let mut found: Vec<_> = images(&disk, &RULES)
        .iter()
        .map(|image| {
            let content = of(image, "live.db").unwrap();
            assert!(content[..512].iter().all(|byte| *byte == content[0]), "units are whole");
            (char::from(content[0]), char::from(content[1023]))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, [('b', 'a'), ('b', 'c'), ('c', 'a'), ('c', 'c')]);
    let rules = DiskRules { model: DiskModel::Sequential, ..RULES };
    let sequential = images(&at_end(&log, &rules), &rules);
    assert!(sequential.iter().all(|image| {
        let content = of(image, "live.db").unwrap();
        [(b'b', b'a'), (b'c', b'c')].contains(&(content[0], content[1023]))
    }));
}

#[test]
fn a_truncation_that_is_lost_takes_later_writes_beyond_it_along() {
    let (_folder, log) = recorded(|note, _| {
        note(FileEvent::Truncated { file: 0, bytes: 512 });
        note(FileEvent::Written { file: 0, at: 512, bytes: &[b'c'; 512] });
    });
    let mut found: Vec<_> = images(&at_end(&log, &RULES), &RULES)
        .iter()
        .map(|image| of(image, "live.db").unwrap()[512..].first().copied().map(char::from))
        .collect();
    found.sort_unstable();
    found.dedup();
    // Never "c" in a file that was not cut; zeros where it grew again and the content did not come.
    assert_eq!(found, [None, Some('\0'), Some('a'), Some('c')]);
}

#[test]
fn names_are_lost_by_themselves_or_from_the_first_one_on() {
    let (_folder, log) = recorded(|note, journal| {
        let file = note(FileEvent::Opened { name: journal });
        note(FileEvent::Written { file, at: 0, bytes: b"header" });
        note(FileEvent::Synced { file, with_folder: false });
        note(FileEvent::Written { file: 0, at: 0, bytes: b"new" });
        note(FileEvent::Synced { file: 0, with_folder: false });
    });
    let has_journal = |rules: &DiskRules| {
        let images = images(&at_end(&log, rules), rules);
        images.iter().filter(|image| of(image, "live.db-journal").is_some()).count()
    };
    let strict = has_journal(&RULES);
    assert!(strict > 50 && strict < 150, "its name is covered by no sync: {strict}");
    let journaled = DiskRules { model: DiskModel::JournaledNames, ..RULES };
    assert_eq!(has_journal(&journaled), 200, "any sync makes names durable");
    let ignored = DiskRules { ignored_sync: Some(SyncOf::Journal), ..RULES };
    let lost = images(&at_end(&log, &ignored), &ignored);
    assert!(lost.iter().any(|image| of(image, "live.db-journal") == Some(b"")), "its content was not synced");
    assert!(lost.iter().all(|image| of(image, "live.db").unwrap().starts_with(b"new")));
}

#[test]
fn garbage_stays_within_what_was_written_unless_the_model_says_otherwise() {
    let (_folder, log) = recorded(|note, _| {
        note(FileEvent::Written { file: 0, at: 100, bytes: &[b'c'; 50] });
    });
    let spoilt_beside = |model| {
        let rules = DiskRules { model, keep: 0.0, garbage: 1.0, ..RULES };
        let images = images(&at_end(&log, &rules), &rules);
        images.iter().any(|image| of(image, "live.db").unwrap()[..100] != [b'a'; 100])
    };
    assert!(!spoilt_beside(DiskModel::Strict));
    assert!(spoilt_beside(DiskModel::PowerSafeOverwriteOff));
}

#[test]
fn a_file_without_a_name_is_forgotten_and_the_whole_is_what_was_asked() {
    let (_folder, log) = recorded(|note, journal| {
        for _ in 0..3 {
            let file = note(FileEvent::Opened { name: journal });
            note(FileEvent::Written { file, at: 0, bytes: &[1; 4096] });
            note(FileEvent::Synced { file, with_folder: true });
            note(FileEvent::Deleted { name: journal, with_folder: true });
        }
        note(FileEvent::Begun(3));
        note(FileEvent::Acknowledged(2));
    });
    let disk = at_end(&log, &RULES);
    assert_eq!(disk.inodes.iter().map(|inode| inode.durable.len()).collect::<Vec<_>>(), [1024, 0, 0, 0]);
    assert_eq!(disk.whole().unwrap(), [(PathBuf::from("live.db"), vec![b'a'; 1024])]);
    assert_eq!((disk.begun, disk.acknowledged), (3, 2));
}
