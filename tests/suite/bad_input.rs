//! Bytes that may be anything: every reader refuses them in words or uses them, and never panics.
//!
//! `tests/corpus/` has a folder for each kind of input. What begins with `seed-` is valid, and everything else once was a
//! finding. Each file is read as it is, and mutated; the numbers behind the mutations are the same in each run. The targets of
//! `fuzz/` do the same for as long as they are let to (`docs/robustness.md`).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use crate::common::bad_input::{Harness, KINDS};
use journalbench::{
    dataset::Manifest,
    history::ledger::LedgerFile,
    oracle::{self, Claim, Evidence, Question, SqliteChecks, Verdict},
    results::Results,
    scenario::Scenario,
    torrents::Portion,
};
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    test_runner::{Config, RngAlgorithm, RngSeed, TestRunner},
};

/// The files of a kind, by name.
fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> = paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect();
    assert!(files.iter().any(|(name, _)| name.starts_with("seed-")), "{kind} has no seed");
    files
}

/// One file of a kind.
fn file(kind: &str, name: &str) -> Vec<u8> {
    corpus(kind).into_iter().find(|(found, _)| found == name).unwrap().1
}

/// A change to bytes. Places are shares of the length, so that it fits any.
#[derive(Debug, Clone)]
enum Mutation {
    Flip {
        at: u16,
        bit: u8,
    },
    Put {
        at: u16,
        byte: u8,
    },
    /// One of the numbers at which ranges end, as text and as bytes.
    PutText {
        at: u16,
        which: u8,
    },
    PutNumber {
        at: u16,
        which: u8,
        bytes: u8,
    },
    Cut {
        at: u16,
        most: u8,
    },
    Repeat {
        at: u16,
        most: u8,
    },
    Truncate {
        at: u16,
    },
}

const TEXTS: [&str; 12] = [
    "-1",
    "0",
    "1e308",
    "-1e308",
    "nan",
    "inf",
    "18446744073709551615",
    "9223372036854775808",
    "null",
    "[]",
    "{}",
    "\"\u{1b}\"",
];
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, u32::MAX as u64, i64::MAX as u64, u64::MAX];

fn mutation() -> impl Strategy<Value = Mutation> {
    (0..7_u8, any::<u16>(), any::<u8>(), any::<u8>()).prop_map(|(kind, at, which, more)| match kind {
        0 => Mutation::Flip { at, bit: which },
        1 => Mutation::Put { at, byte: which },
        2 => Mutation::PutText { at, which },
        3 => Mutation::PutNumber { at, which, bytes: more },
        4 => Mutation::Cut { at, most: which },
        5 => Mutation::Repeat { at, most: which },
        _ => Mutation::Truncate { at },
    })
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: u16| usize::from(at) * bytes.len() / (usize::from(u16::MAX) + 1);
        let stretch = |at: u16, most: u8| place(at)..(place(at) + usize::from(most)).min(bytes.len());
        match *self {
            _ if bytes.is_empty() => {}
            Self::Flip { at, bit } => {
                let at = place(at);
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Put { at, byte } => {
                let at = place(at);
                bytes[at] = byte;
            }
            Self::PutText { at, which } => {
                // A number of the text is replaced whole, where there is one after the place.
                let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
                let from = place(at);
                let from = bytes[from..].iter().position(u8::is_ascii_digit).map_or(from, |digit| from + digit);
                let to = from + bytes[from..].iter().take_while(|byte| is_number(byte)).count();
                bytes.splice(from..to, TEXTS[usize::from(which) % TEXTS.len()].bytes());
            }
            Self::PutNumber { at, which, bytes: length } => {
                let number = NUMBERS[usize::from(which) % NUMBERS.len()];
                let length = [1, 2, 4, 8][usize::from(length) % 4];
                let number = if which >= 128 {
                    number.to_le_bytes()[..length].to_vec()
                } else {
                    number.to_be_bytes()[8 - length..].to_vec()
                };
                let range = stretch(at, u8::try_from(length).unwrap());
                let number = number[..range.len()].to_vec();
                bytes.splice(range, number);
            }
            Self::Cut { at, most } => drop(bytes.drain(stretch(at, most))),
            Self::Repeat { at, most } => {
                let range = stretch(at, most);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Self::Truncate { at } => {
                let at = place(at);
                bytes.truncate(at);
            }
        }
    }
}

/// The same cases in each run; what fails is made small, and printed.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(310), ..Config::default() };
    assert_eq!(config.rng_algorithm, RngAlgorithm::ChaCha);
    TestRunner::new(config)
}

/// Any bytes, and the files of the corpus with up to eight changes.
fn try_mutated(kind: &str, cases: u32, harness: impl Fn(&[u8])) {
    let files: Vec<Vec<u8>> = corpus(kind).into_iter().map(|(_, bytes)| bytes).collect();
    let mutated = (0..files.len(), vec(mutation(), 1..8));
    runner(cases)
        .run(&mutated, |(number, mutations)| {
            let mut bytes = files[number].clone();
            for mutation in &mutations {
                mutation.apply(&mut bytes);
            }
            harness(&bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{kind}: {error}"));
    let bytes = vec(any::<u8>(), 0..600);
    runner(cases / 4)
        .run(&bytes, |bytes| {
            harness(&bytes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{kind}: {error}"));
}

fn harness(kind: &str) -> Harness {
    KINDS.iter().find(|(name, _)| *name == kind).unwrap().1
}

#[test]
fn everything_that_once_failed_is_read_or_refused() {
    for (kind, harness) in KINDS {
        for (name, bytes) in corpus(kind) {
            println!("{kind}/{name}");
            assert!(bytes.len() < 100_000, "{kind}/{name}: {} bytes", bytes.len());
            harness(&bytes);
        }
    }
}

#[test]
fn seeds_are_valid() {
    let here = Path::new("seed");
    for (kind, _) in KINDS {
        for (name, bytes) in corpus(kind).into_iter().filter(|(name, _)| name.starts_with("seed-")) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            fs::write(&path, &bytes).unwrap();
            let text = || std::str::from_utf8(&bytes).unwrap();
            let trace =
                || [format!("load.trace={}", path.display()), "load.arrivals=trace".into(), "load.rate_ops=[]".into()];
            let refused = match kind {
                "scenario" => Scenario::parse("seed", text(), here, &[]).err().map(|error| error.to_string()),
                "trace" => {
                    let text = String::from_utf8(file("scenario", "seed-small")).unwrap();
                    Scenario::parse("seed", &text, here, &trace()).err().map(|error| error.to_string())
                }
                "results" => Results::parse(&bytes, here).err().map(|error| error.to_string()),
                "ledger" => LedgerFile::open(&path).err().map(|error| error.to_string()),
                "manifest" => Manifest::parse(&bytes).err().map(|error| error.to_string()),
                "histogram" => continue,
                "claim" => serde_json::from_slice::<Claim>(&bytes).err().map(|error| error.to_string()),
                _ => oracle::content_digest(&path, &Arc::default()).err().map(|damage| damage.to_string()),
            };
            assert_eq!(refused, None, "{kind}/{name}");
        }
    }
}

#[test]
fn mutated_scenarios() {
    try_mutated("scenario", 10_000, harness("scenario"));
}

#[test]
fn mutated_traces() {
    try_mutated("trace", 4_000, harness("trace"));
}

#[test]
fn mutated_results() {
    try_mutated("results", 8_000, harness("results"));
}

#[test]
fn mutated_histograms() {
    try_mutated("histogram", 8_000, harness("histogram"));
}

#[test]
fn mutated_ledgers() {
    try_mutated("ledger", 6_000, harness("ledger"));
}

#[test]
fn mutated_manifests_and_claims() {
    try_mutated("manifest", 2_000, harness("manifest"));
    try_mutated("claim", 2_000, harness("claim"));
}

#[test]
fn mutated_pages() {
    try_mutated("pages", 8_000, harness("pages"));
}

/// All that the oracle does with a snapshot, SQLite's recovery and checks and the comparison of rows with it. A mutated file is
/// never called exact where its content is another.
#[test]
fn mutated_snapshots_are_examined() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    fs::write(&ledger, file("ledger", "seed-downloads")).unwrap();
    let manifest = file("manifest", "seed-generated");
    let (start, history) = (Manifest::parse(&manifest).unwrap(), LedgerFile::open(&ledger).unwrap());
    let path = folder.path().join("snapshot.db");
    try_mutated("pages", 200, |bytes| {
        for beside in ["-wal", "-journal", "-shm"] {
            let _ = fs::remove_file(journalbench::sqlite::side_file(&path, beside));
        }
        fs::write(&path, bytes).unwrap();
        let evidence = Evidence {
            start: &start,
            history: &history,
            sqlite_checks: SqliteChecks::Ask,
            interrupted: &Arc::default(),
            pages_done: &AtomicU64::new(0),
        };
        let claim = Claim {
            portion: Portion::Whole,
            finished: true,
            commit_at_start: 0,
            commit_at_end: u64::MAX,
            ended_us: u64::MAX,
        };
        let examined = oracle::examine(&evidence, &[Question { file: &path, claim }], |_| ()).remove(0).unwrap();
        let findings = &examined.inspection.findings;
        assert!(findings.sample.iter().all(|finding| !finding.what.contains("panicked")), "{findings:?}");
        if examined.judgement.verdict == Verdict::Exact {
            let said = examined.inspection.integrity_check.map(|check| check.answer);
            assert_eq!(said.as_deref(), Some("ok"));
        }
    });
}
