//! The figures of what SQLite asked of its files.

use super::{
    List, Of,
    Unit::{Bytes, One, PerSecond, Seconds},
    if_known, in_json,
    operations::{distribution, times},
};
use crate::{
    io::{FileCounts, FileKind},
    results::{CheckpointsResult, DeviceIo, DiskUse, FileIo, FilesBeside, IoResult, LockWaits, SyncTimes},
};

/// The figures of a phase.
pub(super) fn io(figures: &mut List, io: &IoResult) {
    let IoResult {
        commits,
        files,
        syncs_per_commit,
        written_bytes_per_commit,
        reads_per_s,
        syncs_per_s,
        written_bytes_per_s,
        changed_row_bytes,
        write_amplification,
        device,
        sync,
        syncs,
        roles,
        lock_waits,
        checkpoints,
        wal_restarts,
        longest_wal_read_s,
    } = io;
    figures.put("sqlite_commits", One, "Commits that wrote something, as SQLite counts them", *commits);
    figures.put("syncs_per_commit", One, "Syncs of all files for each commit", *syncs_per_commit);
    figures.put("written_per_commit", Bytes, "Bytes that SQLite wrote for each commit", *written_bytes_per_commit);
    figures.put("reads_per_second", PerSecond, "Reads of all files a second", *reads_per_s);
    figures.put("syncs_per_second", PerSecond, "Syncs of all files a second", *syncs_per_s);
    figures.put("written_per_second", PerSecond, "Bytes that SQLite wrote a second", *written_bytes_per_s);
    figures.put("changed_rows", Bytes, "Bytes of the rows that commits changed", *changed_row_bytes);
    let amplification = "Bytes that SQLite wrote for each byte of the rows that commits changed";
    figures.put("write_amplification", One, amplification, *write_amplification);
    if let Some(device) = device {
        written_to_device(figures, device);
    }
    for kind in FileKind::ALL {
        counted(figures, &in_json(&kind), files.of(kind));
    }
    for FileIo { role, file, counts } in roles {
        counted(figures, &format!("{} {}", in_json(role), in_json(file)), counts);
    }
    for LockWaits { role, count, duration_s } in lock_waits {
        let of = || Of::Named(in_json(role));
        figures.put_of("lock_waits", of(), One, "Times that a connection slept because of a lock", *count);
        figures.put_of("lock_wait_time", of(), Seconds, "How long connections slept because of locks", *duration_s);
    }
    for SyncTimes { file, count, latency } in syncs {
        figures.put_of("timed_syncs", Of::Named(in_json(file)), One, "Syncs that were timed", *count);
        distribution(figures, sync_time(*file), "How long syncs of one kind of file took", latency, 0);
    }
    distribution(figures, "sync_time", "How long syncs took", sync, 0);
    checkpointed(figures, checkpoints);
    figures.put("wal_begun_anew", One, "Times that a writer began the WAL at its front", *wal_restarts);
    let longest = "How long the longest read transaction held the WAL";
    figures.put("longest_wal_read", Seconds, longest, *longest_wal_read_s);
}

/// What the time of a sync is called, by what was made durable.
fn sync_time(file: FileKind) -> &'static str {
    match file {
        FileKind::Main => "main_sync_time",
        FileKind::Journal => "journal_sync_time",
        FileKind::Wal => "wal_sync_time",
        FileKind::Shm => "shm_sync_time",
        FileKind::Temp => "temp_sync_time",
        FileKind::Folder => "folder_sync_time",
    }
}

fn written_to_device(figures: &mut List, device: &DeviceIo) {
    let DeviceIo { duration_s, commits, written_bytes, written_bytes_per_commit, write_amplification, charged_bytes } =
        device;
    figures.put("device_time", Seconds, "The seconds in which writes to devices were counted", *duration_s);
    figures.put("device_commits", One, "Commits in these seconds", *commits);
    figures.put("device_written", Bytes, "Bytes that were written to devices in them, by whomever", *written_bytes);
    let help = "The same for each commit";
    figures.put("device_written_per_commit", Bytes, help, *written_bytes_per_commit);
    let help = "The same for each byte of the rows that commits changed";
    figures.put("device_write_amplification", One, help, *write_amplification);
    let help = "Bytes that the kernel charged the program with, whole folios among them";
    figures.put("device_charged", Bytes, help, if_known(*charged_bytes));
}

/// The most that the files of a trial took.
pub(super) fn disk_use(figures: &mut List, disk_use: &DiskUse) {
    let DiskUse { files_max, journal_bytes_max, wal_used_bytes_max, shm_bytes_max, disk_bytes_max } = *disk_use;
    figures.put("files_max", One, "Files that the database consisted of at most", files_max);
    figures.put("journal_max", Bytes, "Largest size of the rollback journal that was seen", journal_bytes_max);
    figures.put("wal_used_max", Bytes, "Most of the WAL that was seen in use", wal_used_bytes_max);
    figures.put("shm_max", Bytes, "Largest size of the shared memory's file that was seen", shm_bytes_max);
    figures.put("disk_max", Bytes, "The most that everything took of the disk", disk_bytes_max);
}

/// The files beside the database in a second.
pub(super) fn files_beside(figures: &mut List, files: &FilesBeside) {
    let FilesBeside { journal_bytes_max, wal_used_bytes_max, shm_bytes_max, disk_bytes } = *files;
    figures.put("journal", Bytes, "Largest size of the rollback journal that was seen", journal_bytes_max);
    figures.put("wal_used", Bytes, "Most of the WAL that was seen in use", wal_used_bytes_max);
    figures.put("shm", Bytes, "Largest size of the shared memory's file that was seen", shm_bytes_max);
    figures.put("disk", Bytes, "What everything took of the disk", disk_bytes);
}

pub(super) fn counted(figures: &mut List, of: &str, counts: &FileCounts) {
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
    let CheckpointsResult {
        count,
        pages,
        wal_sync_s,
        copy_s,
        main_sync_s,
        longest_s,
        commits,
        commit_response,
        busy,
        incomplete,
        frames_left_most,
    } = checkpoints;
    figures.put("checkpoints", One, "Checkpoints that moved pages", *count);
    figures.put("checkpointed_pages", One, "Pages that checkpoints moved", *pages);
    figures.put("checkpoint_wal_sync", Seconds, "Syncs of the WAL before pages were moved, in all", *wal_sync_s);
    figures.put("checkpoint_copy", Seconds, "Moving pages, in all", *copy_s);
    figures.put("checkpoint_main_sync", Seconds, "Syncs of the database after pages were moved, in all", *main_sync_s);
    figures.put("checkpoint_longest", Seconds, "How long the longest checkpoint took", *longest_s);
    figures.put("checkpoints_busy", One, "Checkpoints that were not begun, since another was under way", *busy);
    let help = "Checkpoints that did not come to the end of the WAL";
    figures.put("checkpoints_incomplete", One, help, *incomplete);
    figures.put("frames_left_most", One, "Frames that one of these left in the WAL", *frames_left_most);
    figures.put("commits_with_checkpoint", One, "Commits that ran a checkpoint", *commits);
    times(figures, "response_with_checkpoint", "Response times of commits that ran a checkpoint", commit_response, 0);
}
