//! Tests of the library and of the program from outside, in one program so that they run beside each other: what most of them
//! do is wait, for loads and for child processes.

mod common;

mod adopt;
mod after;
mod bad_input;
mod cli;
mod compare;
mod coverage;
mod cron;
mod dataset;
mod disk_full;
mod disturbance;
mod essential;
mod exact;
mod first_minute;
mod formats;
mod gentle;
mod held_copy;
mod io;
mod ledger;
mod load;
mod locks;
mod monitoring;
mod mutations;
mod nights;
mod paths;
mod probe;
mod programs;
mod refusals;
mod reports;
mod restore;
mod schedule;
mod scripts;
mod seams;
mod shards;
mod snapshot;
mod stall;
mod stops;
mod strategies;
mod structure;
mod thresholds;
mod tracker;
mod verdicts;
mod verify;
