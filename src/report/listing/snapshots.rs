//! The figures of a snapshot: when it was taken, what it used, what it left, what the oracle says, and what was done with it.

use super::{
    List, Of,
    Unit::{Bytes, One, Seconds, Word},
    Value,
    files::counted,
    if_known, in_json,
};
use crate::{
    child::Resources,
    oracle::Difference,
    report::snapshots::is_silent_failure,
    results::{
        CopyCost, CopyCourse, CopyFiles, CopyRun, Evidence, LiveCached, ProgressPoint, Ruling, SnapshotResult,
        StepResult, WalResult,
    },
    snapshot::{
        PaceResult,
        protocol::{CopyFileIo, CopyIo, PartResult},
    },
};

/// All figures of a snapshot, but for its progress.
pub(super) fn snapshot(figures: &mut List, snapshot: &SnapshotResult) {
    let SnapshotResult { strategy: _, run: taking, progress, cost: used, copy: files, wal, after, ruling } = snapshot;
    run(figures, taking);
    course(figures, progress);
    cost(figures, used);
    copy(figures, files);
    if let Some(wal) = wal.found() {
        around(figures, wal);
    }
    for step in after.entries() {
        step_after(figures, step);
    }
    ruled(figures, ruling);
    evidence(figures, &ruling.evidence);
}

/// How far a snapshot was at an instant.
pub(super) fn progress(figures: &mut List, point: &ProgressPoint) {
    let ProgressPoint { t_s, bytes, done } = *point;
    figures.put("progress_time", Seconds, "From the beginning of the copy", t_s);
    figures.put("progress_size", Bytes, "Size of its main file", bytes);
    figures.put("progress_done_share", One, "Part of the copy that was done, from 0 to 1", if_known(done));
}

fn run(figures: &mut List, run: &CopyRun) {
    let CopyRun {
        started_s,
        late_s,
        duration_s,
        sync_s,
        sync_error: _,
        deadline_s,
        exit_status,
        error: _,
        stderr: _,
        commit_at_start,
        commit_at_end,
        commits_lost,
    } = run;
    figures.put("copy_started", Seconds, "When the copy began, from the start of the load", *started_s);
    figures.put("copy_late", Seconds, "By how much that was later than the schedule says", *late_s);
    figures.put("copy_duration", Seconds, "How long the copy took", *duration_s);
    figures.put("copy_sync", Seconds, "How long the sync of the copied files took", *sync_s);
    figures.put("deadline", Seconds, "When the copy would have been stopped, from its beginning", *deadline_s);
    figures.put("exit_status", One, "Status of the process that copied", exit_status.map(i64::from));
    figures.put("commit_at_start", One, "Last commit acknowledged before the copy began", *commit_at_start);
    figures.put("commit_at_end", One, "Last commit issued when the copy had ended", *commit_at_end);
    let lost = "Commits meanwhile that a tracker was asked for and never made";
    figures.put("commits_lost", One, lost, if_known(*commits_lost));
}

fn course(figures: &mut List, course: &CopyCourse) {
    let CopyCourse { parts, restarts, pages_in_vain, points: _ } = course;
    for PartResult { part, duration_s } in parts.entries() {
        figures.put_of("copy_part", Of::Named(in_json(part)), Seconds, "How long a part of the copy took", *duration_s);
    }
    figures.put("restarts", One, "How often the backup API began again", if_known(*restarts));
    let in_vain = "Pages that the backup API had copied before it began again";
    figures.put("pages_in_vain", One, in_vain, if_known(pages_in_vain.found().copied()));
}

fn cost(figures: &mut List, cost: &CopyCost) {
    let CopyCost { downtime_s, resources, writer_cpu_s, io, pace, live_cached } = cost;
    figures.put("downtime", Seconds, "How long no write was let through", *downtime_s);
    if let Some(resources) = resources.found() {
        let Resources {
            cpu_user_s,
            cpu_system_s,
            memory_peak_bytes,
            read_bytes,
            written_bytes,
            disk_read_bytes,
            disk_written_bytes,
        } = *resources;
        figures.put("cpu_user", Seconds, "Processor time of the copying programs' own code", cpu_user_s);
        figures.put("cpu_system", Seconds, "Processor time of the kernel for the copying programs", cpu_system_s);
        figures.put("memory_peak", Bytes, "Largest resident memory of one of the copying programs", memory_peak_bytes);
        figures.put("read", Bytes, "Read through system calls by the copying programs", read_bytes);
        figures.put("written", Bytes, "Written through system calls by the copying programs", written_bytes);
        figures.put("disk_read", Bytes, "Read from a disk for the copying programs", disk_read_bytes);
        figures.put("disk_written", Bytes, "Written for a disk to write by the copying programs", disk_written_bytes);
    }
    figures.put("writer_cpu", Seconds, "Processor time of the copy on the thread of the writer", *writer_cpu_s);
    if let Some(CopyIo { files, lock_waits, lock_wait_s }) = io {
        for CopyFileIo { file, counts } in files {
            counted(figures, &format!("copy {}", in_json(file)), counts);
        }
        figures.put("copy_lock_waits", One, "Times that the copying process slept because of a lock", *lock_waits);
        figures.put("copy_lock_wait_time", Seconds, "How long it slept because of locks", *lock_wait_s);
    }
    if let Some(LiveCached { before_bytes, after_bytes }) = *live_cached {
        figures.put(
            "live_cached_before",
            Bytes,
            "Of the live database, what was in memory before the copy",
            before_bytes,
        );
        figures.put(
            "live_cached_after",
            Bytes,
            "Of the live database, what was in memory after copy and sync",
            after_bytes,
        );
    }
    if let Some(pace) = pace {
        paced(figures, pace);
    }
}

fn paced(figures: &mut List, pace: &PaceResult) {
    let PaceResult {
        pieces,
        longest_piece_s,
        rested_s,
        pressed_s,
        wal_bytes_max,
        read_past_cache_bytes,
        read_through_cache_bytes,
        is_read_past_cache,
        is_written_past_cache,
    } = *pace;
    figures.put("pace_pieces", One, "Pieces that the database was copied in", pieces);
    figures.put(
        "pace_longest_piece",
        Seconds,
        "Longest that reading, writing and syncing a piece took",
        longest_piece_s,
    );
    figures.put("pace_rested", Seconds, "How long the copy rested", rested_s);
    figures.put("pace_pressed", Seconds, "How long it did not rest because of the WAL", pressed_s);
    figures.put("pace_wal_max", Bytes, "Largest size of the WAL that the copy saw", wal_bytes_max);
    let past = "Of the main file, what was read past the page cache";
    figures.put("pace_read_past_cache", Bytes, past, read_past_cache_bytes);
    let through = "Of the main file, what was taken from the page cache, or came through it";
    figures.put("pace_read_through_cache", Bytes, through, read_through_cache_bytes);
    let can_read = "Whether the live database's file system reads past the page cache, where that was asked";
    figures.put("pace_reads_past_cache", Word, can_read, is_read_past_cache);
    let written = "Whether the copy was written past the page cache";
    figures.put("pace_written_past_cache", Word, written, is_written_past_cache);
}

fn copy(figures: &mut List, copy: &CopyFiles) {
    let CopyFiles { bytes, files, copy_journal_mode, stands_alone } = copy;
    figures.put("size", Bytes, "Size of everything that was left", *bytes);
    for file in files {
        figures.put_of("file_size", Of::Named(file.name.clone()), Bytes, "Size of a file that was left", file.bytes);
    }
    let mode = copy_journal_mode.map(|mode| mode.map(Value::word));
    figures.put("copy_journal_mode", Word, "Journal mode that the header of the main file asks for", mode);
    figures.put("stands_alone", Word, "Whether the main file is all there is to the copy", *stands_alone);
}

/// The WAL around the snapshot.
fn around(figures: &mut List, wal: &WalResult) {
    let WalResult {
        start_bytes,
        peak_bytes,
        peak_after_bytes,
        start_used_bytes,
        peak_used_bytes,
        peak_after_used_bytes,
        baseline_peak_used_bytes,
        back_after_s,
        restarts,
        checkpoints,
        checkpointed_pages,
        main_file_changes,
    } = *wal;
    figures.put("wal_start", Bytes, "Size of the WAL when the copy began", start_bytes);
    figures.put("wal_peak", Bytes, "Largest size of the WAL during copy and sync", peak_bytes);
    figures.put("wal_peak_after", Bytes, "Largest size of the WAL after them", peak_after_bytes);
    figures.put("wal_start_used", Bytes, "The WAL in use when the copy began", start_used_bytes);
    figures.put("wal_peak_used", Bytes, "The WAL in use during copy and sync, at the most", peak_used_bytes);
    figures.put("wal_peak_after_used", Bytes, "The WAL in use after them, at the most", peak_after_used_bytes);
    let baseline = "The WAL in use in the baseline, at the most";
    figures.put("wal_baseline_peak_used", Bytes, baseline, baseline_peak_used_bytes);
    let back = "From the end until no more of the WAL was in use than in the baseline";
    figures.put("wal_back_after", Seconds, back, back_after_s);
    figures.put("wal_restarts", One, "How often the WAL was restarted during copy and sync", restarts);
    figures.put("wal_checkpoints", One, "Checkpoints of the checkpoint thread during the copy", checkpoints);
    figures.put("wal_checkpointed_pages", One, "Pages that those found moved to the main file", checkpointed_pages);
    figures.put("main_file_changes", One, "Looks that found the main file changed", main_file_changes);
}

fn step_after(figures: &mut List, result: &StepResult) {
    let StepResult {
        step,
        during_load,
        status,
        duration_s,
        answer: _,
        input_bytes,
        output_bytes,
        decompress_s,
        // Numbers of snapshots, and no figures.
        kept: _,
    } = result;
    let of = || Of::Named(in_json(step));
    figures.put_of("step_status", of(), Word, "How a step after the snapshot ended", Value::word(status));
    figures.put_of("step_during_load", of(), Word, "Whether the load ran when the step began", *during_load);
    figures.put_of("step_duration", of(), Seconds, "How long the step took", *duration_s);
    figures.put_of("step_input", of(), Bytes, "Size before the compression", *input_bytes);
    figures.put_of("step_output", of(), Bytes, "Size after the compression", *output_bytes);
    let decompress = "The part of a restore in which files were decompressed or copied";
    figures.put_of("step_decompress", of(), Seconds, decompress, *decompress_s);
}

fn ruled(figures: &mut List, ruling: &Ruling) {
    let Ruling {
        verdict,
        judge_error: _,
        evidence: _,
        silent_failure: _,
        integrity_check,
        integrity_check_s,
        quick_check,
        quick_check_s,
        commit,
    } = ruling;
    figures.put("verdict", Word, "What the snapshot is", verdict.map(Value::word));
    let silent = "Whether the copy was said to be good, passes integrity_check and is not exact";
    figures.put("silent_failure", Word, silent, is_silent_failure(ruling).map_or(Value::Unknown, Value::from));
    let passed = |answer: &Option<String>| {
        answer.as_ref().map(|answer| Value::Word(if answer == "ok" { "ok" } else { "not_ok" }.to_owned()))
    };
    figures.put("integrity_check", Word, "What SQLite's integrity_check says", passed(integrity_check));
    figures.put("integrity_check_duration", Seconds, "How long integrity_check took", *integrity_check_s);
    figures.put("quick_check", Word, "What SQLite's quick_check says", passed(quick_check));
    figures.put("quick_check_duration", Seconds, "How long quick_check took", *quick_check_s);
    figures.put("commit", One, "The commit after which the content is that of the database", *commit);
}

fn evidence(figures: &mut List, evidence: &Evidence) {
    let Evidence {
        reason: _,
        left_behind,
        age_commits,
        age_s,
        missing_commits,
        missing_s,
        downloads_lost,
        damage,
        difference,
        read_s,
        digest: _,
        progress,
    } = evidence;
    figures.put("left_behind", Word, "What the files of an unfinished snapshot are", left_behind.map(Value::word));
    figures.put("age_commits", One, "Commits issued by the end of the copy that it does not have", *age_commits);
    figures.put("age", Seconds, "From the last commit of the copy to the end of the copy", *age_s);
    figures.put(
        "missing_commits",
        One,
        "Commits acknowledged before a stale copy that it does not have",
        *missing_commits,
    );
    figures.put(
        "missing",
        Seconds,
        "From the last commit of a stale copy to the last one that it should have",
        *missing_s,
    );
    figures.put(
        "downloads_lost",
        One,
        "Downloads counted by the end of the copy that it does not have",
        *downloads_lost,
    );
    figures.put("damages", One, "Pages and rows of a corrupt copy that are wrong", damage.map(|damage| damage.count));
    if let Some(Difference { nearest_commit, rows, sample: _ }) = difference.found() {
        figures.put("nearest_commit", One, "The commit that a torn copy is nearest to", *nearest_commit);
        figures.put("rows_different", One, "Rows that differ from that commit", *rows);
    }
    figures.put("oracle_read", Seconds, "How long the oracle took to read every page", *read_s);
    figures.put("done_share", One, "Part of the copy that was done, from 0 to 1", if_known(*progress));
}
