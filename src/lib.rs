//! Measures what it costs to copy a live SQLite database, and proves for every copy whether the database was ever in that
//! state.
//!
//! A run goes one way: a [`scenario`] expands into trials; each trial gets a copy of a [`dataset`]; [`load`] replays a
//! tracker's announces and scrapes against a [`target`], at times that [`pace`] says, while a strategy of [`snapshot`]
//! copies the database from a child process; every commit goes into a [`history`]; afterwards the [`oracle`] compares
//! each copy with every state that the history proves; [`results`] keep all of it, and a [`report`] says it in words.
//!
//! ```text
//! cli        the commands
//! progress   draws the events of run              report    results -> text, Markdown
//! doctor     what a measurement here is worth
//! run        a scenario, trial by trial           analysis  results -> what to know before believing them
//! trial      one trial: prepare, connect,         results   the JSON
//!            conduct, evaluate, judge             copies    of anybody's database: sound or not, manifests
//!
//! scenario   TOML -> one plan for each trial      oracle    snapshot + history -> verdict
//! threshold  text -> what a figure must keep      history   which commits, in which order; the ledger
//! load       workers: execute and record          dataset   the database at the start
//! target     what executes operations: SQLite
//! snapshot   the strategies, a file each
//! power      what a power loss leaves of files
//!
//! workload   (seed, index) -> operation           pages     SQLite's pages, read and written
//! pace       index -> due time                    sqlite    connections with explicit settings
//! torrents   (seed, id) <-> rank <-> info-hash    env       machine, file system, versions
//! measure    counts, histograms, percentiles      probe     what a disk does; which SQLite libraries there are
//! digest     hashes of rows and their sums        child     processes with a deadline
//! random     seeded numbers                       own_folder   the work folder, and what killed runs left
//! work       files: read, copied, counted         lock_file    one process at a time
//! io         what SQLite asks of its files        lock_holders which process has a lock
//! statistics how sure a figure is                 machine      what the kernel counts
//! printable  text that a terminal may have        timer     waking at an instant
//!                                                 interrupt    Ctrl-C as a value
//! ```
//!
//! Imports point down this list, from a line to its own part or a lower one.
//!
//! A run in code, of two trials of a second and a half; with `--keep` in the program, or [`run::Options::keep_in`] here,
//! the files stay:
//!
//! ```
//! use journalbench::{interrupt::Interrupt, machine::Machine, run, scenario::Scenario, snapshot::Programs};
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
//!     only: run::Only::default(),
//!     machine: Machine::default(),
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
pub mod copies;
pub mod dataset;
mod digest;
mod doctor;
pub mod env;
pub mod history;
pub mod interrupt;
pub mod io;
pub mod load;
mod lock_file;
mod lock_holders;
pub mod machine;
pub mod measure;
pub mod oracle;
mod own_folder;
pub mod pace;
pub mod pages;
pub mod power;
mod printable;
pub mod probe;
mod progress;
mod random;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod snapshot;
pub mod sqlite;
pub mod statistics;
pub mod target;
pub mod threshold;
mod timer;
pub mod torrents;
pub mod tracker;
mod trial;
pub mod work;
pub mod workload;
