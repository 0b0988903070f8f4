//! The figures of what SQLite asked of its files.

use super::{
    List, Of,
    Unit::{Bytes, One, Seconds},
    in_json,
    operations::{distribution, times},
};
use crate::{
    io::FileCounts,
    results::{CheckpointsResult, FileIo, IoResult, LockWaits, SyncTimes},
};

/// The figures of a phase.
pub(super) fn io(figures: &mut List, io: &IoResult) {
    let IoResult { commits, files, lock_waits, syncs, checkpoints } = io;
    figures.put("sqlite_commits", One, "Commits that wrote something, as SQLite counts them", *commits);
    for FileIo { role, file, counts } in files {
        counted(figures, &format!("{} {}", in_json(role), in_json(file)), counts);
    }
    for LockWaits { role, count, duration_s } in lock_waits {
        let of = || Of::Named(in_json(role));
        figures.put_of("lock_waits", of(), One, "Times that a connection slept because of a lock", *count);
        figures.put_of("lock_wait_time", of(), Seconds, "How long connections slept because of locks", *duration_s);
    }
    for SyncTimes { file, count, latency: _ } in syncs {
        figures.put_of("timed_syncs", Of::Named(in_json(file)), One, "Syncs that were timed", *count);
    }
    // One distribution has one name: that of the kind of file that is synced most.
    if let Some(most) = syncs.iter().max_by_key(|syncs| syncs.count) {
        distribution(
            figures,
            "sync_time",
            "How long syncs of the kind of file took that is synced most",
            &most.latency,
            0,
        );
    }
    checkpointed(figures, checkpoints);
}

fn counted(figures: &mut List, of: &str, counts: &FileCounts) {
    let FileCounts { opens, reads, read_bytes, writes, written_bytes, syncs, truncates, deletes } = *counts;
    let mut put = |name, unit, help, value: u64| figures.put_of(name, Of::Named(of.to_owned()), unit, help, value);
    put("file_opens", One, "Times that SQLite opened a file, by who and which", opens);
    put("file_reads", One, "Times that SQLite read from a file, by who and which", reads);
    put("file_read", Bytes, "Bytes that SQLite read from a file, by who and which", read_bytes);
    put("file_writes", One, "Times that SQLite wrote to a file, by who and which", writes);
    put("file_written", Bytes, "Bytes that SQLite wrote to a file, by who and which", written_bytes);
    put("file_syncs", One, "Times that SQLite made a file durable, by who and which", syncs);
    put("file_truncates", One, "Times that SQLite cut a file to a length, by who and which", truncates);
    put("file_deletes", One, "Times that SQLite deleted a file, by who and which", deletes);
}

fn checkpointed(figures: &mut List, checkpoints: &CheckpointsResult) {
    let CheckpointsResult { count, pages, wal_sync_s, copy_s, main_sync_s, longest_s, commits, commit_response } =
        checkpoints;
    figures.put("checkpoints", One, "Checkpoints that moved pages", *count);
    figures.put("checkpointed_pages", One, "Pages that checkpoints moved", *pages);
    figures.put("checkpoint_wal_sync", Seconds, "Syncs of the WAL before pages were moved, in all", *wal_sync_s);
    figures.put("checkpoint_copy", Seconds, "Moving pages, in all", *copy_s);
    figures.put("checkpoint_main_sync", Seconds, "Syncs of the database after pages were moved, in all", *main_sync_s);
    figures.put("checkpoint_longest", Seconds, "How long the longest checkpoint took", *longest_s);
    figures.put("commits_with_checkpoint", One, "Commits that ran a checkpoint", *commits);
    times(figures, "response_with_checkpoint", "Response times of commits that ran a checkpoint", commit_response, 0);
}
