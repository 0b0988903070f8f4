//! journalbench
#![warn(missing_docs)]
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
