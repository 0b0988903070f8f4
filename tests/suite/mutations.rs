//! Exact snapshots broken on purpose: each fault must get a verdict other than `exact`, or be proved to have left the
//! content as it was.
//!
//! The proof does not ask the oracle: SQLite reads every value with its type from a fresh copy of the broken file, through
//! the tables and through their indexes, and finds the same as in the whole one, and `integrity_check` says `ok`.
//!
//! A few of each fault by default. The table in `docs/oracle.md` is of 200 of each, printed by
//! `JOURNALBENCH_FAULTS=200 cargo test --release --test mutations -- --nocapture`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use journalbench::{
    dataset::{Dataset, Manifest, generate},
    history::ledger::{Ledger, LedgerFile, Session},
    oracle::{self, Claim, Inspection, Judgement, SqliteChecks, Verdict},
    pages::{PageKind, read::get_u32},
    sqlite::{self, JournalMode, Settings},
    target::Target as _,
    torrents::{Portion, Torrent},
    tracker::{
        client::Caller,
        program::{Start, Tracker},
        swarm::Swarm,
        writer::{Completer, Doubts},
    },
    workload::{Kind, Operation},
};
use rusqlite::Connection;

use crate::common::{
    database::{download, settings},
    tracker,
};

const PAGE: usize = 1024;
const DATASET: Dataset = Dataset { rows: 4_000, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };
const EARLY: u64 = 150;
const LATE: u64 = 250;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) % bound as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// What a restore would find.
#[derive(Clone, Default)]
struct Files {
    main: Vec<u8>,
    wal: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
}

impl Files {
    fn read(path: &Path) -> Self {
        let beside = |suffix| fs::read(sqlite::side_file(path, suffix)).ok();
        Self { main: fs::read(path).unwrap(), wal: beside("-wal"), journal: beside("-journal") }
    }

    fn write(&self, path: &Path) {
        for suffix in ["-wal", "-journal", "-shm"] {
            let _ = fs::remove_file(sqlite::side_file(path, suffix));
        }
        fs::write(path, &self.main).unwrap();
        for (suffix, content) in [("-wal", &self.wal), ("-journal", &self.journal)] {
            if let Some(content) = content {
                fs::write(sqlite::side_file(path, suffix), content).unwrap();
            }
        }
    }
}

/// A database with a history, and exact snapshots of it.
struct Base {
    folder: tempfile::TempDir,
    manifest: Manifest,
    ledger: PathBuf,
    last: u64,
    /// S(0), S(EARLY) and S(LATE), each in one file.
    start: Vec<u8>,
    early: Vec<u8>,
    whole: Vec<u8>,
    /// S(LATE) as a main file of S(EARLY) with a WAL beside it, and that WAL after each commit from there on.
    with_wal: Option<(Files, Vec<Vec<u8>>)>,
    /// S(LATE) with a hot journal: main files in which transactions had begun to write, and what rolls them back.
    hot: Vec<Files>,
    /// Pages of `whole`: table leaves, index leaves, interior pages, pages on the freelist.
    table_leaves: Vec<usize>,
    index_leaves: Vec<usize>,
    interior: Vec<usize>,
    freelist: Vec<usize>,
    dump: String,
}

fn is_ok(check: Option<&oracle::Check>) -> bool {
    check.is_some_and(|check| check.answer == "ok")
}

/// Copies a database that is open here, in a child process, so that no lock is lost.
fn cp(live: &Path, to: &Path) -> Files {
    for suffix in ["", "-wal", "-journal"] {
        let from = sqlite::side_file(live, suffix);
        if from.exists() {
            let status = Command::new("cp").args([&from, &sqlite::side_file(to, suffix)]).status().unwrap();
            assert!(status.success());
        }
    }
    let files = Files::read(to);
    for suffix in ["", "-wal", "-journal"] {
        let _ = fs::remove_file(sqlite::side_file(to, suffix));
    }
    files
}

/// Who commits to the database of a base.
enum Committer<'a> {
    Connection(Connection, Session),
    Tracker { tracker: Tracker, completer: Completer, torrents: Vec<Torrent>, live: &'a Path },
}

impl<'a> Committer<'a> {
    fn connect(live: &'a Path, journal_mode: JournalMode, ledger: &Arc<Ledger>) -> Self {
        let mut connection = sqlite::open(live, &settings(journal_mode)).unwrap();
        let session = ledger.attach(&mut connection).unwrap();
        Self::Connection(connection, session)
    }

    /// The real tracker, whose clients are announced: those are commits, too.
    fn start(program: &Path, live: &'a Path, ledger: &Arc<Ledger>, manifest: &Manifest) -> Self {
        let (folder, config) = (live.parent().unwrap(), toml::Table::new());
        let tracker = Tracker::start(Start { program, config: &config, live, folder }).unwrap();
        let swarm = Arc::new(Swarm::new(&manifest.torrents(), 50));
        let torrents = (0..swarm.count()).map(|place| swarm.torrent(place)).collect();
        let caller = Caller::open(tracker.address, &swarm).unwrap();
        let completer = Completer::warm(caller, ledger.session(), &swarm, &Doubts::default(), &|| false).unwrap();
        Self::Tracker { tracker, completer, torrents, live }
    }

    fn commit(&self, manifest: &Manifest, random: &mut Random, number: u64) {
        match self {
            Self::Connection(connection, session) => {
                let torrent = match random.below(3) {
                    0 => Torrent::Unseen(number),
                    _ => Torrent::Known(random.below(4_000) as u64 + 1),
                };
                download(connection, session, manifest, torrent);
            }
            Self::Tracker { completer, torrents, .. } => {
                let mut operation = Operation { kind: Kind::Announce, ..Operation::default() };
                operation.torrents.push(random.pick(torrents));
                let execution = completer.execute(&operation, Instant::now() + Duration::from_secs(4));
                assert!(execution.failure.is_none() && execution.fatal.is_none());
            }
        }
    }

    fn checkpoint(&self) {
        let truncate = |connection: &Connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        };
        match self {
            Self::Connection(connection, _) => truncate(connection),
            // Another process has the database open, and nobody else in this one does.
            Self::Tracker { live, .. } => truncate(&Connection::open(live).unwrap()),
        }
    }

    fn end(self) {
        match self {
            Self::Connection(connection, session) => drop((connection, session)),
            Self::Tracker { mut tracker, .. } => assert!(!tracker.stop().unwrap().was_killed),
        }
    }
}

impl Base {
    /// With commits of a connection, or of the real tracker, where that is given.
    fn new(journal_mode: JournalMode, tracker: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (live, aside) = (folder.path().join("live.db"), folder.path().join("aside.db"));
        let manifest = generate(&DATASET, &live, &Arc::default(), &mut |_| ()).unwrap();
        let start = fs::read(&live).unwrap();
        // Pages for the freelist.
        let connection = sqlite::open(&live, &settings(journal_mode)).unwrap();
        let fill = "CREATE TABLE filler (x); INSERT INTO filler SELECT zeroblob(900) FROM torrents LIMIT 60; DROP TABLE filler";
        connection.execute_batch(fill).unwrap();
        drop(connection);
        let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
        let mut random = Random(7);
        let mut early = Vec::new();
        let mut wals = Vec::new();
        let committer = match tracker {
            Some(program) => Committer::start(program, &live, &ledger, &manifest),
            None => Committer::connect(&live, journal_mode, &ledger),
        };
        for commit in 1..=LATE {
            committer.commit(&manifest, &mut random, commit);
            if commit == EARLY {
                committer.checkpoint();
                early = cp(&live, &aside).main;
            } else if commit > EARLY && journal_mode == JournalMode::Wal {
                wals.extend(cp(&live, &aside).wal);
            }
        }
        let with_wal = (journal_mode == JournalMode::Wal).then(|| (cp(&live, &aside), wals));
        committer.end();
        let whole = fs::read(&live).unwrap();
        let hot = if journal_mode == JournalMode::Delete { hot_journals(&live, &aside) } else { Vec::new() };
        let mut base = Self {
            manifest,
            ledger: ledger.path().to_owned(),
            last: ledger.issued(),
            start,
            early,
            whole,
            with_wal,
            hot,
            table_leaves: Vec::new(),
            index_leaves: Vec::new(),
            interior: Vec::new(),
            freelist: Vec::new(),
            dump: String::new(),
            folder,
        };
        base.sort_pages();
        base.dump = base.dump(&Files { main: base.whole.clone(), ..Files::default() }).unwrap();
        base
    }

    fn sort_pages(&mut self) {
        let page = |number: u32| &self.whole[(number as usize - 1) * PAGE..][..PAGE];
        let mut trunk = get_u32(&self.whole, 32);
        while trunk != 0 {
            self.freelist.push(trunk as usize - 1);
            let count = get_u32(page(trunk), 4) as usize;
            self.freelist.extend((0..count).map(|leaf| get_u32(page(trunk), 8 + 4 * leaf) as usize - 1));
            trunk = get_u32(page(trunk), 0);
        }
        for number in (1..self.whole.len() / PAGE).filter(|number| !self.freelist.contains(number)) {
            match PageKind::from_byte(self.whole[number * PAGE]).unwrap() {
                PageKind::TableLeaf => self.table_leaves.push(number),
                PageKind::IndexLeaf => self.index_leaves.push(number),
                PageKind::TableInterior | PageKind::IndexInterior => self.interior.push(number),
            }
        }
        for pages in [&self.table_leaves, &self.index_leaves, &self.interior, &self.freelist] {
            assert!(pages.len() > 3, "{pages:?}");
        }
    }

    fn claim(&self) -> Claim {
        Claim {
            portion: Portion::Whole,
            finished: true,
            commit_at_start: self.last,
            commit_at_end: self.last,
            ended_us: u64::MAX,
        }
    }

    fn judge(&self, files: &Files) -> (Judgement, Inspection) {
        let path = self.folder.path().join("judged.db");
        files.write(&path);
        let inspection =
            oracle::inspect(&path, &self.manifest, SqliteChecks::Ask, &Arc::default(), &AtomicU64::new(0)).unwrap();
        let history = LedgerFile::open(&self.ledger).unwrap();
        let judged = oracle::judge(&history, &self.manifest, &[(self.claim(), &inspection)]);
        let judgement = judged.unwrap().pop().unwrap().unwrap();
        (judgement, inspection)
    }

    /// Every value with its type, through tables and through indexes, as SQLite reads it.
    fn dump(&self, files: &Files) -> rusqlite::Result<String> {
        let path = self.folder.path().join("dumped.db");
        files.write(&path);
        let connection = Connection::open(&path)?;
        let mut dump = sqlite::pragma_text(&connection, "integrity_check")?;
        let mut add = |sql: String| -> rusqlite::Result<()> {
            let mut statement = connection.prepare(&sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    let _ = write!(dump, "{:?}|", row.get_ref(column)?);
                }
            }
            Ok(())
        };
        add("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name".into())?;
        for table in ["torrents", "whitelist", "keys", "torrent_aggregate_metrics", "sqlite_sequence"] {
            add(format!("SELECT * FROM {table} NOT INDEXED"))?;
        }
        for (table, column) in [
            ("torrents", "info_hash"),
            ("whitelist", "info_hash"),
            ("keys", "key"),
            ("torrent_aggregate_metrics", "metric_name"),
        ] {
            add(format!("SELECT {column}, id FROM {table} INDEXED BY sqlite_autoindex_{table}_1 ORDER BY {column}"))?;
        }
        // A restore is written to.
        connection.execute("UPDATE torrents SET completed = completed + 1 WHERE id = 1", [])?;
        Ok(dump)
    }

    fn main(&self) -> Files {
        Files { main: self.whole.clone(), ..Files::default() }
    }

    /// The whole file after some SQL.
    fn after(&self, sql: &str) -> Files {
        let path = self.folder.path().join("changed.db");
        self.main().write(&path);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        Files::read(&path)
    }

    /// Pages among `pages` that differ between S(EARLY) and S(LATE).
    fn changed(&self, pages: &[usize]) -> Vec<usize> {
        let page = |file: &[u8], number: usize| file.get(number * PAGE..(number + 1) * PAGE).map(<[u8]>::to_vec);
        let changed =
            |number: &usize| page(&self.early, *number).is_some_and(|old| Some(old) != page(&self.whole, *number));
        pages.iter().copied().filter(changed).collect()
    }
}

/// Main files that a transaction had written to before it was rolled back, each with its journal.
fn hot_journals(live: &Path, aside: &Path) -> Vec<Files> {
    let connection = sqlite::open(live, &Settings { cache_size_kib: 4, ..settings(JournalMode::Delete) }).unwrap();
    let mut random = Random(11);
    let hot = (0..20).map(|_| {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..40 {
            let id = i64::try_from(random.below(4_000)).unwrap() + 1;
            connection.execute("UPDATE torrents SET completed = completed + 1 WHERE id = ?1", [id]).unwrap();
        }
        let files = cp(live, aside);
        connection.execute_batch("ROLLBACK").unwrap();
        assert!(files.journal.is_some());
        files
    });
    hot.collect()
}

type Fault = (&'static str, fn(&Base, &mut Random) -> Option<Files>);

fn flip(mut files: Files, at: usize, random: &mut Random) -> Files {
    files.main[at] ^= 1 << random.below(8);
    files
}

fn flip_on(pages: &[usize], base: &Base, random: &mut Random) -> Files {
    let at = random.pick(pages) * PAGE + random.below(PAGE);
    flip(base.main(), at, random)
}

fn put(files: &mut Files, number: usize, page: &[u8]) {
    files.main[number * PAGE..][..PAGE].copy_from_slice(page);
}

fn swap(pages: &[usize], others: &[usize], base: &Base, random: &mut Random) -> Option<Files> {
    let (one, other) = (random.pick(pages), random.pick(others));
    let mut files = base.main();
    put(&mut files, one, &base.whole[other * PAGE..][..PAGE]);
    put(&mut files, other, &base.whole[one * PAGE..][..PAGE]);
    (one != other).then_some(files)
}

/// Nothing where no such page was changed: the tracker inserts no rows, so that its index stays.
fn earlier(groups: &[&[usize]], base: &Base, random: &mut Random) -> Option<Files> {
    let mut files = base.main();
    for pages in groups {
        let changed = base.changed(pages);
        let number = (!changed.is_empty()).then(|| random.pick(&changed))?;
        put(&mut files, number, &base.early[number * PAGE..][..PAGE]);
    }
    Some(files)
}

/// One byte of a record header, in the table and in the index: TEXT becomes BLOB.
fn as_blob(base: &Base, random: &mut Random) -> Option<Files> {
    let hash = DATASET.torrents().info_hash(Torrent::Known(random.below(4_000) as u64 + 1));
    let mut files = base.main();
    let places: Vec<_> = (0..files.main.len() - 40).filter(|at| &files.main[*at..at + 40] == hash.as_bytes()).collect();
    for at in &places {
        assert_eq!(std::mem::replace(&mut files.main[at - 2], 92), 93);
    }
    (places.len() == 2).then_some(files)
}

fn wal(base: &Base, change: impl FnOnce(&mut Files, &[Vec<u8>])) -> Option<Files> {
    let (files, wals) = base.with_wal.as_ref()?;
    let mut files = files.clone();
    change(&mut files, wals);
    Some(files)
}

const HEADER_FIELDS: [(&str, usize, usize); 22] = [
    ("header: magic", 0, 16),
    ("header: page size", 16, 2),
    ("header: write version", 18, 1),
    ("header: read version", 19, 1),
    ("header: reserved bytes", 20, 1),
    ("header: maximum fraction", 21, 1),
    ("header: minimum fraction", 22, 1),
    ("header: leaf fraction", 23, 1),
    ("header: change counter", 24, 4),
    ("header: pages", 28, 4),
    ("header: first freelist trunk", 32, 4),
    ("header: freelist pages", 36, 4),
    ("header: schema cookie", 40, 4),
    ("header: schema format", 44, 4),
    ("header: default cache size", 48, 4),
    ("header: largest root page", 52, 4),
    ("header: text encoding", 56, 4),
    ("header: user version", 60, 4),
    ("header: incremental vacuum", 64, 4),
    ("header: application id", 68, 4),
    ("header: version valid for", 92, 4),
    ("header: SQLite version", 96, 4),
];

const FAULTS: [Fault; 32] = [
    ("bit flipped in a table leaf", |base, random| Some(flip_on(&base.table_leaves, base, random))),
    ("bit flipped in an index leaf", |base, random| Some(flip_on(&base.index_leaves, base, random))),
    ("bit flipped in an interior page", |base, random| Some(flip_on(&base.interior, base, random))),
    ("bit flipped in the freelist", |base, random| Some(flip_on(&base.freelist, base, random))),
    ("bit flipped in the schema's page", |base, random| {
        Some(flip(base.main(), 100 + random.below(PAGE - 100), random))
    }),
    ("TEXT made BLOB in table and index", as_blob),
    ("a page zeroed", |base, random| {
        let mut files = base.main();
        let number = random.below(base.whole.len() / PAGE);
        put(&mut files, number, &[0; PAGE]);
        Some(files)
    }),
    ("an earlier page in the table", |base, random| earlier(&[&base.table_leaves], base, random)),
    ("an earlier page in the index", |base, random| earlier(&[&base.index_leaves], base, random)),
    ("an earlier page in both", |base, random| earlier(&[&base.table_leaves, &base.index_leaves], base, random)),
    ("two table leaves swapped", |base, random| swap(&base.table_leaves, &base.table_leaves, base, random)),
    ("two index leaves swapped", |base, random| swap(&base.index_leaves, &base.index_leaves, base, random)),
    ("two other pages swapped", |base, random| {
        let all = [&base.interior[..], &base.freelist, &base.table_leaves, &base.index_leaves].concat();
        swap(&base.interior, &all, base, random)
    }),
    ("file cut short at a page", |base, random| {
        let mut files = base.main();
        files.main.truncate(random.below(base.whole.len() / PAGE) * PAGE);
        Some(files)
    }),
    ("file cut short inside a page", |base, random| {
        let mut files = base.main();
        files.main.truncate(random.below(base.whole.len() / PAGE) * PAGE + 1 + random.below(PAGE - 1));
        Some(files)
    }),
    ("a count changed by one", |base, random| {
        let id = random.below(4_000) + 1;
        Some(base.after(&format!("UPDATE torrents SET completed = completed + 1 WHERE id = {id}")))
    }),
    ("two counts changed, their sum kept", |base, random| {
        let (one, other) = (random.below(2_000) + 1, random.below(2_000) + 2_001);
        let change = format!("completed + CASE id WHEN {one} THEN 1 ELSE -1 END");
        Some(base.after(&format!("UPDATE torrents SET completed = {change} WHERE id IN ({one}, {other})")))
    }),
    ("a row deleted", |base, random| {
        Some(base.after(&format!("DELETE FROM torrents WHERE id = {}", random.below(4_000) + 1)))
    }),
    ("a row added", |base, random| {
        let number = random.below(1 << 30);
        Some(base.after(&format!("INSERT INTO torrents (info_hash) VALUES ('{number:040x}')")))
    }),
    ("a row added, the sequence kept", |base, random| {
        let number = random.below(1 << 30);
        Some(base.after(&format!(
            "INSERT INTO torrents (info_hash) VALUES ('{number:040x}');
             UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'torrents'"
        )))
    }),
    ("the aggregate changed", |base, random| {
        let by = random.below(9) + 1;
        Some(base.after(&format!("UPDATE torrent_aggregate_metrics SET value = value - {by}")))
    }),
    ("the sequence changed", |base, random| {
        let by = random.below(9) + 1;
        Some(base.after(&format!("UPDATE sqlite_sequence SET seq = seq - {by} WHERE name = 'torrents'")))
    }),
    ("the whitelist's row removed", |base, _| Some(base.after("DELETE FROM whitelist"))),
    ("a key removed", |base, random| {
        Some(base.after(&format!("DELETE FROM keys WHERE id = {}", random.below(10) + 1)))
    }),
    ("an empty database", |base, random| {
        let path = base.folder.path().join("empty.db");
        let _ = fs::remove_file(&path);
        if random.below(2) == 0 {
            return Some(Files::default());
        }
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        for row in base.manifest.schema.iter().filter(|row| row.name != "sqlite_sequence") {
            connection.execute_batch(row.sql.as_deref().unwrap_or("")).unwrap();
        }
        drop(connection);
        Some(Files::read(&path))
    }),
    ("a copy from before the start", |base, _| Some(Files { main: base.start.clone(), ..Files::default() })),
    ("the WAL dropped", |base, _| wal(base, |files, _| files.wal = None)),
    ("the WAL cut", |base, random| {
        wal(base, |files, _| {
            let wal = files.wal.as_mut().unwrap();
            wal.truncate(random.below(wal.len()));
        })
    }),
    ("a WAL from another moment", |base, random| {
        wal(base, |files, wals| files.wal = Some(wals[random.below(wals.len() - 1)].clone()))
    }),
    ("bit flipped in the WAL", |base, random| {
        wal(base, |files, _| {
            let wal = files.wal.as_mut().unwrap();
            let at = random.below(wal.len());
            wal[at] ^= 1 << random.below(8);
        })
    }),
    ("a stale WAL beside a whole copy", |base, random| {
        wal(base, |files, wals| {
            files.main.clone_from(&base.whole);
            files.wal = Some(wals[random.below(wals.len() - 1)].clone());
        })
    }),
    ("the journal dropped", |base, random| {
        let hot = (!base.hot.is_empty()).then(|| random.below(base.hot.len()))?;
        Some(Files { journal: None, ..base.hot[hot].clone() })
    }),
];

#[derive(Default)]
struct Tally {
    verdicts: BTreeMap<String, u64>,
    integrity_ok: u64,
    quick_ok: u64,
    silent: u64,
}

fn suite(journal_mode: JournalMode, tracker: Option<&Path>) {
    let count: usize = std::env::var("JOURNALBENCH_FAULTS").map_or(3, |text| text.parse().unwrap());
    let base = Base::new(journal_mode, tracker);
    let exact = |files: &Files, what: &str| {
        let (judgement, inspection) = base.judge(files);
        assert_eq!(judgement.verdict, Verdict::Exact, "{what}: {judgement:?} {:?}", inspection.findings);
    };
    exact(&base.main(), "the whole file");
    base.with_wal.iter().for_each(|(files, _)| exact(files, "with its WAL"));
    base.hot.iter().for_each(|files| exact(files, "with its hot journal"));

    let mut random = Random(310);
    let mut tallies = Vec::new();
    let try_one = |name: &'static str, tally: &mut Tally, files: &Files| {
        let (judgement, inspection) = base.judge(files);
        let mut verdict = judgement.verdict.to_string();
        if judgement.verdict == Verdict::Exact {
            let dump = base.dump(files);
            assert!(
                dump.as_ref().is_ok_and(|dump| *dump == base.dump),
                "{journal_mode}, {name}: called exact, and it is not"
            );
            verdict = "unchanged".into();
        }
        *tally.verdicts.entry(verdict).or_default() += 1;
        tally.integrity_ok += u64::from(is_ok(inspection.integrity_check.as_ref()));
        tally.quick_ok += u64::from(is_ok(inspection.quick_check.as_ref()));
        let is_silent = judgement.is_silent_failure(&base.claim(), inspection.integrity_check.as_ref());
        let is_broken = judgement.verdict != Verdict::Exact;
        assert_eq!(is_silent, is_broken && is_ok(inspection.integrity_check.as_ref()), "{journal_mode}, {name}");
        tally.silent += u64::from(is_silent);
    };
    for (name, fault) in FAULTS {
        let mut tally = Tally::default();
        for _ in 0..count {
            if let Some(files) = fault(&base, &mut random) {
                try_one(name, &mut tally, &files);
            }
        }
        tallies.push((name, tally));
    }
    let mut place = Random(311);
    for (name, at, bytes) in HEADER_FIELDS {
        let mut tally = Tally::default();
        for _ in 0..count {
            let at = at + place.below(bytes);
            try_one(name, &mut tally, &flip(base.main(), at, &mut place));
        }
        tallies.push((name, tally));
    }
    let all = ["corrupt", "torn", "stale", "unreadable", "unchanged"];
    let mut table =
        format!("\n{journal_mode}\n| fault | {} | integrity_check ok | quick_check ok | silent |\n", all.join(" | "));
    for (name, tally) in tallies.iter().filter(|(_, tally)| !tally.verdicts.is_empty()) {
        let counts: Vec<_> = all.iter().map(|verdict| tally.verdicts.get(*verdict).unwrap_or(&0).to_string()).collect();
        let Tally { integrity_ok, quick_ok, silent, .. } = tally;
        let _ = writeln!(table, "| {name} | {} | {integrity_ok} | {quick_ok} | {silent} |", counts.join(" | "));
    }
    println!("{table}");
    // SQLite's check looks for damage, not for wrong rows: no change of a row is noticed by it, every cut file is.
    for (name, tally) in &tallies {
        let broken: u64 = tally.verdicts.values().sum();
        if broken == 0 && tracker.is_some() {
            continue;
        }
        if ALWAYS_SILENT.contains(name) {
            assert_eq!((tally.silent, broken > 0), (broken, true), "{journal_mode}, {name}: {:?}", tally.verdicts);
        } else if NEVER_SILENT.contains(name) {
            assert_eq!((tally.silent, broken > 0), (0, true), "{journal_mode}, {name}: {:?}", tally.verdicts);
        }
    }
}

/// Faults of which `integrity_check` says ok, every time.
const ALWAYS_SILENT: [&str; 6] = [
    "a count changed by one",
    "two counts changed, their sum kept",
    "a row deleted",
    "the aggregate changed",
    "a key removed",
    "a copy from before the start",
];

/// Faults that `integrity_check` notices, every time.
const NEVER_SILENT: [&str; 3] =
    ["file cut short at a page", "file cut short inside a page", "an earlier page in the index"];

#[test]
fn no_broken_snapshot_of_a_rollback_mode_is_called_exact() {
    suite(JournalMode::Delete, None);
}

#[test]
fn no_broken_snapshot_of_wal_is_called_exact() {
    suite(JournalMode::Wal, None);
}

#[test]
fn no_broken_snapshot_of_a_real_trackers_database_is_called_exact() {
    let Some(program) = tracker::program() else { return };
    for journal_mode in [JournalMode::Delete, JournalMode::Wal] {
        suite(journal_mode, Some(&program));
    }
}

#[test]
fn any_bytes_get_a_verdict() {
    let base = Base::new(JournalMode::Delete, None);
    let mut random = Random(5);
    for round in 0..150 {
        let mut files = base.main();
        match round % 5 {
            0 => files.main = (0..random.below(9_000)).map(|_| random.below(256).to_le_bytes()[0]).collect(),
            1 => {
                // A header that SQLite takes, and nonsense behind it.
                let length = files.main.len();
                files.main[100..].iter_mut().for_each(|byte| *byte = random.below(256).to_le_bytes()[0]);
                files.main.truncate(100 + random.below(length - 100));
            }
            2 => files.main[28..32].copy_from_slice(&u32::MAX.to_be_bytes()),
            3 => (0..200).for_each(|_| {
                let at = random.below(files.main.len());
                files.main[at] = random.below(256).to_le_bytes()[0];
            }),
            _ => {
                let sql = [
                    "CREATE TABLE other (a, b, c)",
                    "DROP TABLE whitelist",
                    "CREATE VIEW v AS SELECT 1",
                    "DROP TABLE torrents",
                ];
                files = base.after(random.pick(&sql));
            }
        }
        let (judgement, _) = base.judge(&files);
        assert_ne!(judgement.verdict, Verdict::Exact, "round {round}: {judgement:?}");
    }
}
