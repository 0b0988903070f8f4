//! Measures what it costs to copy a live SQLite database, and proves for every copy whether the database was ever in that
//! state.
//!
//! A run goes one way: a [`scenario`] expands into trials; each trial gets a copy of a [`dataset`]; [`load`]
//! replays a tracker's announces and scrapes against it, at times that [`pace`] says, while a strategy of [`snapshot`]
//! copies it from a child process; every commit goes through a [`ledger`]; afterwards the [`oracle`] compares each copy
//! with every state that the ledger proves; [`results`] keep all of it, and a [`report`] says it in words.
//!
//! ```text
//! cli       the commands                         workload  (seed, index) -> operation
//! run       a scenario, trial by trial           pace      index -> due time
//! progress  draws the events of run              measure   counts and histograms
//! report    results -> text, Markdown            torrents  (seed, id) <-> rank <-> info-hash
//! analysis  results -> what follows from them    digest    hashes of rows and their sums
//! results   the JSON                             sqlite    connections with explicit settings
//! scenario  TOML -> trials                       env       machine, file system, versions
//! load      workers: execute and record          work      the work folder
//! snapshot  the strategies                       interrupt Ctrl-C as a value
//! child     processes with a deadline            random    seeded numbers
//! oracle    snapshot + ledger -> verdict         dataset   the database at the start
//! ledger    which commits, in which order
//! ```
//!
//! A run in code, of two trials of a second and a half; with `--keep` in the program, or [`run::Options::keep_in`] here,
//! the files stay:
//!
//! ```
//! use journalbench::{interrupt::Interrupt, run, scenario::Scenario, snapshot::Programs};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scenario = r#"
//!     why = "Is cp of a live database a backup?"
//!     expect = "not under load"
//!     [dataset]
//!     rows = 5_000
//!     [sqlite]
//!     journal_mode = ["delete", "wal"]
//!     [load]
//!     rate_ops = 1_000
//!     [snapshots]
//!     strategies = "cp"
//!     deadline_s = 1
//!     [phases]
//!     warmup_s = 0.1
//!     baseline_s = 0.3
//!     recovery_s = 0.1
//! "#;
//! let scenario = Scenario::parse("example", scenario, "example.toml".as_ref(), &[])?;
//! let folder = tempfile::tempdir()?;
//! let options = run::Options {
//!     work_dir: folder.path().to_owned(),
//!     keep_in: None,
//!     out_dir: folder.path().to_owned(),
//!     programs: Programs::find("journalbench".into()),
//!     interrupt: Interrupt::default(),
//! };
//! let results = run::run(&scenario, &options, &mut |_event| ())?;
//! for trial in &results.trials {
//!     assert_eq!(trial.live_database_matches_ledger, Some(true));
//!     for snapshot in &trial.snapshots {
//!         println!("{}: {:?}, {}", trial.id, snapshot.ruling.verdict, snapshot.ruling.evidence.reason);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The facts of SQLite that decide whether a measurement is true are in `docs/sqlite.md`.

pub mod analysis;
mod child;
pub mod cli;
pub mod dataset;
pub mod digest;
pub mod env;
pub mod interrupt;
pub mod ledger;
pub mod load;
pub mod measure;
pub mod oracle;
pub mod pace;
pub mod pages;
mod progress;
mod random;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod snapshot;
pub mod sqlite;
pub mod torrents;
pub mod work;
pub mod workload;
