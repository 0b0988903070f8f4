//! The strategies, one a file: each says what it runs, what it is for and what it costs, and has its row of the table.
//!
//! What a strategy does in the copying child process is in its file as well. Which strategy is which, the table in
//! [`super::Strategy`] says; nothing here knows of it.

pub(super) mod backup;
pub(super) mod backup_in_writer;
pub(super) mod backup_one_step;
pub(super) mod cli_backup;
pub(super) mod cli_backup_timeout;
pub(super) mod command;
pub(super) mod cp;
pub(super) mod cp_all;
pub(super) mod cp_reflink;
pub(super) mod essential;
pub mod held_copy;
pub(super) mod held_copy_gentle;
pub(super) mod ionice_cp;
pub(super) mod none;
pub(super) mod rsync;
pub(super) mod sqlite3_rsync;
pub(super) mod stop_copy;
pub(super) mod vacuum_into;
