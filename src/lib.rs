//! Measures what it costs to copy a live SQLite database, and proves for every copy whether the database was ever in that
//! state.
//!
//! A run goes one way: a [`scenario`] expands into trials; each trial gets a copy of a generated [`dataset`]; [`load`]
//! replays a tracker's announces and scrapes against it, at times that [`pace`] says, while a strategy of [`snapshot`]
//! copies it from a child process; every commit goes through a [`ledger`]; afterwards the [`oracle`] compares each copy
//! with every state that the ledger proves; [`results`] keep all of it, and a [`report`] says it in words.
//!
//! ```text
//! cli       the commands                         workload  (seed, index) -> operation
//! run       a scenario, trial by trial           pace      index -> due time
//! progress  draws the events of run              measure   counts and histograms
//! report    results -> text, Markdown            torrents  (seed, id) <-> rank <-> info-hash
//! results   the JSON                             digest    hashes of rows and their sums
//! scenario  TOML -> trials                       sqlite    connections with explicit settings
//! load      workers: execute and record          env       machine, file system, versions
//! snapshot  the strategies                       work      the work folder
//! child     processes with a deadline            interrupt Ctrl-C as a value
//! oracle    snapshot + ledger -> verdict         random    seeded numbers
//! ledger    which commits, in which order        warning   what to know before believing a figure
//! dataset   the database at the start
//! ```
//!
//! The facts of SQLite that decide whether a measurement is true are in `docs/sqlite.md`.

pub mod child;
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
pub mod progress;
pub mod random;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod snapshot;
pub mod sqlite;
pub mod torrents;
pub mod warning;
pub mod work;
pub mod workload;
