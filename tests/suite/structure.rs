//! The oracle's reading of the structure of any database, beside `integrity_check`: of sound files of many kinds, and of the same
//! ones broken on purpose.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use journalbench::{
    dataset::{Dataset, generate},
    oracle::{self, Reading, Structure},
    sqlite,
};
use rusqlite::Connection;

/// Numbers from 1, as a table of a query.
const NUMBERS: &str = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) ";

/// Tables and indexes of many kinds, and rows in them.
const KINDS: [&str; 10] = [
    "CREATE TABLE t (a, b TEXT, c REAL, d BLOB); CREATE INDEX i ON t (b, c DESC); CREATE UNIQUE INDEX j ON t (d);
        #INSERT INTO t SELECT i % 7, hex(randomblob(i % 40)), i * 0.5, randomblob(12) FROM n;",
    "CREATE TABLE t (k TEXT PRIMARY KEY, v, w) WITHOUT ROWID; CREATE INDEX i ON t (w COLLATE NOCASE, v);
        #INSERT INTO t SELECT hex(randomblob(9)), i, char(65 + i % 26) || char(97 + i % 11) FROM n;",
    "CREATE TABLE t (x INTEGER, y INTEGER, z, PRIMARY KEY (y DESC, x)) WITHOUT ROWID;
        #INSERT INTO t SELECT i, i % 50, zeroblob(30) FROM n;",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, big BLOB, text TEXT COLLATE RTRIM); CREATE INDEX i ON t (text, big);
        #INSERT INTO t SELECT i, randomblob(i * 7), substr(hex(randomblob(4)), 1, i % 6) || '  ' FROM n WHERE i < 400;",
    "CREATE TABLE t (a INTEGER PRIMARY KEY DESC, b); CREATE INDEX i ON t (b);
        #INSERT INTO t SELECT i * 3, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN i WHEN 2 THEN i / 3.0 ELSE 'x' || i END FROM n;
        ALTER TABLE t ADD COLUMN c INTEGER DEFAULT '12'; ALTER TABLE t ADD COLUMN d DEFAULT NULL;
        ALTER TABLE t ADD COLUMN e REAL DEFAULT 5; CREATE INDEX j ON t (c, d, e); INSERT INTO t (a, b, c, e) VALUES (1, 2, 3, 4.5);",
    "CREATE TABLE t (a, b AS (a + 1) VIRTUAL, c AS (a * 2) STORED, d); CREATE INDEX i ON t (c, d);
        #INSERT INTO t (a, d) SELECT i, hex(i) FROM n;",
    "CREATE TABLE t (a, b); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT a FROM t;
        CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END; #INSERT INTO t SELECT i, zeroblob(200) FROM n;
        DELETE FROM t WHERE a % 3 > 0; ANALYZE;",
    "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, r REAL UNIQUE, s TEXT UNIQUE COLLATE NOCASE) STRICT;
        #INSERT INTO t (r, s) SELECT i * 1e14, printf('%c%d', 64 + i % 60, i) FROM n; UPDATE t SET r = 1e300 WHERE id = 7;",
    "CREATE TABLE t (a, b); #INSERT INTO t SELECT i, hex(randomblob(i % 40)) FROM n;",
    "CREATE TABLE empty (a PRIMARY KEY, b);",
];

fn make(path: &Path, page_bytes: u32, kind: &str) {
    let sql = kind.replace('#', NUMBERS);
    Connection::open(path).unwrap().execute_batch(&format!("PRAGMA page_size = {page_bytes}; {sql}")).unwrap();
}

fn structure(path: &Path) -> Structure {
    oracle::read_structure(path, &Arc::default(), &AtomicU64::new(0)).unwrap()
}

fn reading(path: &Path) -> Reading {
    match structure(path) {
        Structure::Read(reading) => reading,
        other => panic!("{other:?}"),
    }
}

fn integrity_check(path: &Path) -> String {
    let ask = || sqlite::check(&Connection::open(path)?, "integrity_check");
    ask().unwrap_or_else(|error| error.to_string())
}

#[test]
fn sound_files_of_many_kinds_are_found_sound() {
    for (number, kind) in KINDS.into_iter().enumerate() {
        for page_bytes in [512, 1024, 4096, 65_536] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.db");
            make(&path, page_bytes, kind);
            let reading = reading(&path);
            assert_eq!(reading.findings.count, 0, "{number}, {page_bytes}: {:?}", reading.findings);
            assert_eq!((reading.content, reading.left_to_sqlite), (None, vec![]), "{number}");
        }
    }
}

#[test]
fn what_is_not_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let of = |sql: &str| {
        let _ = fs::remove_file(&path);
        make(&path, 4096, sql);
        structure(&path)
    };
    for (sql, words) in [
        ("PRAGMA auto_vacuum = FULL; CREATE TABLE t (x);", "auto_vacuum"),
        ("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (x);", "not UTF-8"),
    ] {
        let Structure::NotUnderstood(why) = of(sql) else { panic!("{sql} was read") };
        assert!(why.contains(words), "{why}");
    }
    of("CREATE TABLE t (x);");
    let mut bytes = fs::read(&path).unwrap();
    // The schema format, at byte 44 of the header.
    bytes[47] = 1;
    fs::write(&path, bytes).unwrap();
    let Structure::NotUnderstood(why) = structure(&path) else { panic!("an old schema format was read") };
    assert!(why.contains("older than 4"), "{why}");
    let partly = "CREATE TABLE t (a, b); CREATE INDEX i ON t (a) WHERE b > 1; CREATE TABLE u (a); CREATE INDEX j ON u (lower(a));
        CREATE TABLE w (a, b AS (a + 1)); CREATE INDEX k ON w (b); CREATE TABLE x (a, b); CREATE INDEX l ON x (b);
        #INSERT INTO t SELECT i, i % 3 FROM n; INSERT INTO u SELECT a FROM t; INSERT INTO w SELECT a FROM t;
        INSERT INTO x VALUES (zeroblob(20000000), 1); CREATE TABLE y (a, b TEXT DEFAULT \"active\"); CREATE INDEX m ON y (b);
        INSERT INTO y (a) VALUES (1); CREATE TABLE z (a); INSERT INTO z VALUES (zeroblob(20000000));";
    let Structure::Read(reading) = of(partly) else { panic!("it was not read") };
    let left = ["t", "u", "w", "x", "y", "z"].map(String::from).to_vec();
    assert_eq!((reading.findings.count, reading.left_to_sqlite), (0, left));
    fs::write(&path, "no database").unwrap();
    assert!(matches!(structure(&path), Structure::Unreadable(_)));
}

#[test]
fn of_a_trackers_database_it_says_the_oracles_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    generate(
        &Dataset { rows: 3_000, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 },
        &path,
        &Arc::default(),
        &mut |_| (),
    )
    .unwrap();
    let expected = oracle::content_digest(&path, &Arc::default()).unwrap();
    assert_eq!(reading(&path).content, Some(expected));
    // What a tracker notes its migrations in is no part of it; anything else makes it another database.
    let add = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    add(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, note TEXT); INSERT INTO _sqlx_migrations VALUES (1, 'x')",
    );
    assert_eq!(reading(&path).content, Some(expected));
    add("UPDATE torrents SET completed = completed + 1 WHERE id = 5");
    assert_ne!(reading(&path).content, Some(expected));
    add("CREATE TABLE mine (x)");
    assert_eq!(reading(&path).content, None);
}

#[test]
fn an_index_that_lacks_an_entry_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    make(&path, 4096, KINDS[0]);
    let run = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let root: u32 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'i'", [], |row| row.get(0))
        .unwrap();
    // While SQLite does not know of the index, a value changes.
    run("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'i'");
    run("UPDATE t SET b = 'other' WHERE rowid = 100");
    run(&format!(
        "PRAGMA writable_schema = ON;
        INSERT INTO sqlite_schema VALUES ('index', 'i', 't', {root}, 'CREATE INDEX i ON t (b, c DESC)')"
    ));
    assert_ne!(integrity_check(&path), "ok");
    let findings = reading(&path).findings;
    assert!(findings.sample[0].what.contains("does not hold the entries of its table t"), "{findings:?}");
}

/// A generator of numbers that are the same in each run.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

/// One fault: a page of another moment, of zeros or of another place, or some changed bytes.
fn break_it(bytes: &mut [u8], older: &[u8], page: usize, state: &mut u64) {
    let pages = bytes.len() / page;
    let at = next(state) % pages * page;
    match next(state) % 5 {
        0 if at > 0 => bytes[at..at + page].fill(0),
        1 if at > 0 => {
            let from = (1 + next(state) % (pages - 1)) * page;
            bytes.copy_within(from..from + page, at);
        }
        2 if at + page <= older.len() => bytes[at..at + page].copy_from_slice(&older[at..at + page]),
        3 => bytes[at + next(state) % 16.min(page)] ^= 1 << (next(state) % 8),
        _ => bytes[at + next(state) % page] ^= 1 << (next(state) % 8),
    }
}

#[test]
fn what_integrity_check_finds_broken_is_found_broken() {
    let mut state = 310;
    let (mut broken, mut more) = (0, 0);
    for kind in &KINDS[..9] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        make(&path, 512, kind);
        let older = fs::read(&path).unwrap();
        let change = "DELETE FROM t WHERE rowid % 5 = 0";
        let by_key = "DELETE FROM t WHERE abs(random()) % 5 = 0";
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(change).or_else(|_| connection.execute_batch(by_key)).unwrap();
        drop(connection);
        let whole = fs::read(&path).unwrap();
        assert_eq!(reading(&path).findings.count, 0);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            break_it(&mut bytes, &older, 512, &mut state);
            fs::write(&path, &bytes).unwrap();
            let found = match structure(&path) {
                Structure::Read(Reading { findings, left_to_sqlite, .. }) => {
                    assert!(findings.sample.iter().all(|finding| !finding.what.contains("panicked")), "{findings:?}");
                    findings.count > 0 || !left_to_sqlite.is_empty()
                }
                Structure::NotUnderstood(_) | Structure::Unreadable(_) => true,
            };
            let said = integrity_check(&path);
            assert!(found || said == "ok", "{kind}: integrity_check says {said}");
            broken += u32::from(said != "ok");
            more += u32::from(found && said == "ok");
        }
    }
    println!("{broken} of 540 broken by integrity_check, {more} more by the reading");
    assert!(broken > 100);
}
