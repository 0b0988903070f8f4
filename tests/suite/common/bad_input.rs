//! What is done with bytes that may be anything: one function for each kind of input, which the property tests of
//! `tests/bad_input.rs` and the targets of `fuzz/` both call. It returns where the bytes were refused or used in every way that
//! the program has; a panic, a hang or an allocation without a bound is what the callers look for.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    sync::{OnceLock, atomic::AtomicBool},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::ValueEnum as _;
use flate2::{Compression, read::ZlibEncoder};
use journalbench::{
    analysis,
    dataset::{Manifest, Size},
    history::{
        ledger::LedgerFile,
        replay::{self, State},
    },
    load::Pace,
    oracle::{self, Claim, Findings, Inspection},
    report::{self, Format},
    results::{Distribution, Results},
    scenario::Scenario,
    torrents::Portion,
};
use rustix::fs::{MemfdFlags, memfd_create};

/// A dataset of 60 rows, what is known of it, and commits to it; and the same of an adopted database.
const PAGES: &[u8] = include_bytes!("../../corpus/pages/seed-dataset");
const MANIFEST: &[u8] = include_bytes!("../../corpus/manifest/seed-generated");
const ADOPTED: &[u8] = include_bytes!("../../corpus/manifest/seed-adopted");
const LEDGER: &[u8] = include_bytes!("../../corpus/ledger/seed-downloads");

/// Sizes of a dataset above this are left out: to find the rows of one takes a time that grows with it.
const SIZE_MOST_BYTES: u64 = 2_000_000;

/// Memory of the second replay, so that a small ledger takes several passes.
const REPLAY_BYTES: u64 = 2_000;

/// What one kind of input is put to.
pub type Harness = fn(&[u8]);

/// Every kind of input, by the name of its folder in `tests/corpus`.
pub const KINDS: [(&str, Harness); 8] = [
    ("scenario", scenario),
    ("trace", trace),
    ("results", results),
    ("histogram", histogram),
    ("ledger", ledger),
    ("manifest", manifest),
    ("claim", claim),
    ("pages", pages),
];

/// A scenario: its trials are planned, and it is kept as results keep it.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("size") && has_large_size(text) {
        return;
    }
    let Ok(scenario) = Scenario::parse("scenario", text, Path::new("/nowhere/scenario.toml"), &[]) else { return };
    plan(&scenario);
    let json = serde_json::to_vec(&scenario).unwrap();
    serde_json::from_slice::<Scenario>(&json).unwrap();
}

fn has_large_size(text: &str) -> bool {
    let table: Option<toml::Table> = text.parse().ok();
    let size = table.as_ref().and_then(|table| table.get("dataset")?.get("size")?.as_str());
    size.and_then(|size| size.parse::<Size>().ok()).is_some_and(|size| size.bytes > SIZE_MOST_BYTES)
}

/// The trials of a scenario, and the times at which the first operations of a few of them are due.
fn plan(scenario: &Scenario) {
    let trials = scenario.trials();
    for trial in trials.into_iter().take(3) {
        assert!(!trial.id().contains('/'));
        for stream in trial.streams {
            if let Pace::Open(mut schedule) = stream.pace {
                for index in 0..50 {
                    let _ = schedule.due_ns(index);
                }
            }
        }
    }
}

/// The trace of a scenario.
pub fn trace(bytes: &[u8]) {
    const SCENARIO: &str = r#"
        why = "a trace"
        expect = "words"
        dataset.rows = 1
        sqlite.journal_mode = "wal"
        load.arrivals = "trace"
        snapshots.strategies = "none"
    "#;

    with_file(bytes, |path| {
        let set = format!("load.trace={}", path.display());
        if let Ok(scenario) = Scenario::parse("scenario", SCENARIO, Path::new("scenario.toml"), &[set]) {
            plan(&scenario);
        }
    });
}

/// Results: they are reported in every format.
pub fn results(bytes: &[u8]) {
    let Ok(results) = Results::parse(bytes, Path::new("results.json")) else { return };
    let _ = analysis::warnings(&results);
    let _ = analysis::thresholds(&results);
    for format in Format::value_variants() {
        assert!(!report::render(&results, *format).is_empty());
    }
}

/// The counts of a histogram, as they are before they are deflated: a mutation of what was deflated fails at its checksum.
pub fn histogram(bytes: &[u8]) {
    let mut deflated = Vec::new();
    ZlibEncoder::new(bytes, Compression::none()).read_to_end(&mut deflated).unwrap();
    let mut whole = 0x1c84_9314_u32.to_be_bytes().to_vec();
    whole.extend(u32::try_from(deflated.len()).unwrap().to_be_bytes());
    whole.extend(deflated);
    let read = Distribution { histogram: BASE64_STANDARD.encode(whole), ..Distribution::default() };
    let Ok(histogram) = read.histogram() else { return };
    for total in [0, histogram.len(), u64::MAX] {
        let _ = Distribution::new(&histogram, total);
    }
}

/// A ledger: it is replayed, in one pass and in several, from a generated and from an adopted dataset.
pub fn ledger(bytes: &[u8]) {
    with_file(bytes, |path| {
        let Ok(history) = LedgerFile::open(path) else { return };
        for start in starts() {
            let last = replay::replay(&history, start, |_| ());
            let again = replay::replay_within(&history, start, REPLAY_BYTES, |_| ());
            assert_eq!(last.as_ref().ok(), again.as_ref().ok());
            judge(&history, start, &any_time(last.ok()));
        }
    });
}

/// A manifest: the ledger and the pages of another are held against it.
pub fn manifest(bytes: &[u8]) {
    let Ok(start) = Manifest::parse(bytes) else { return };
    with_file(LEDGER, |ledger| {
        let history = LedgerFile::open(ledger).unwrap();
        judge(&history, &start, &any_time(None));
    });
    with_file(PAGES, |file| read_pages(file, &start));
}

/// What was noted of a snapshot: one is judged by it.
pub fn claim(bytes: &[u8]) {
    let Ok(claim) = serde_json::from_slice(bytes) else { return };
    with_file(LEDGER, |ledger| judge(&LedgerFile::open(ledger).unwrap(), &starts()[0], &claim));
}

/// The pages of a database.
pub fn pages(bytes: &[u8]) {
    with_file(bytes, |file| read_pages(file, &starts()[0]));
}

/// What the oracle reads of the pages of a file. It catches a panic of its threads, and says so.
fn read_pages(file: &Path, start: &Manifest) {
    let (_, findings) = oracle::read_pages(file, start, &AtomicBool::new(false));
    assert!(findings.sample.iter().all(|finding| !finding.what.contains("panicked")), "{findings:?}");
}

fn starts() -> &'static [Manifest; 2] {
    static STARTS: OnceLock<[Manifest; 2]> = OnceLock::new();
    STARTS.get_or_init(|| [MANIFEST, ADOPTED].map(|json| Manifest::parse(json).unwrap()))
}

fn any_time(last: Option<State>) -> Claim {
    let (commit_at_end, ended_us) = last.map_or((u64::MAX, u64::MAX), |last| (last.commit, last.at_us));
    Claim { portion: Portion::Whole, finished: true, commit_at_start: 0, commit_at_end, ended_us }
}

/// Judges the untouched dataset and something else.
fn judge(history: &LedgerFile, start: &Manifest, claim: &Claim) {
    let digests = [start.digest, starts()[0].digest];
    let inspections = digests.map(|digest| Inspection {
        content: Ok(digest),
        findings: Findings::default(),
        pages: 1,
        read_s: 0.0,
        integrity_check: None,
        quick_check: None,
    });
    let questions: Vec<_> = inspections.iter().map(|inspection| (*claim, inspection)).collect();
    let _ = oracle::judge(history, start, &questions);
}

/// Gives a file with these bytes a name, in memory.
fn with_file(bytes: &[u8], work: impl FnOnce(&Path)) {
    let mut file = File::from(memfd_create("bad-input", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    work(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())));
}
