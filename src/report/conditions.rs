//! How it was measured: dataset, load, SQLite, programs and machine, and what the results file does not hold.

use std::collections::BTreeSet;

use super::{
    context::Context,
    figure_text::{count, number, range},
};
use crate::{
    dataset::Source,
    env::{Build, Program},
    probe::{DiskProbe, Latencies},
    results::{DisturbedBy, Evidence, OperationResult, Results, SnapshotResult, TrialResult},
    scenario::{Experiment, LoadPlan, RequestsPlan, StreamPlan, TargetPlan, shards_named},
    workload::Kind,
};

/// A sentence for each thing.
pub fn sentences(results: &Results) -> Vec<String> {
    let mut sentences =
        vec![dataset(results), load(results), sqlite(results), programs(results), machine(results), program(results)];
    sentences.extend(disk(results));
    sentences.extend(disturbance(results));
    sentences.extend(Context::new(results).emulation());
    sentences.extend(merged(results));
    sentences.extend(unknown(results));
    sentences
}

/// Of what, how much of it, and on which machine: what a reader has to know before any figure.
pub fn in_a_sentence(results: &Results) -> String {
    let environment = &results.environment;
    let database = results.dataset.found().map_or_else(
        || "a database of unknown size".to_owned(),
        |dataset| format!("a database of {} MB", count(dataset.bytes as f64 / 1e6)),
    );
    let fsync = environment.fsync_us_p50.map_or_else(|| "unknown".to_owned(), |us| format!("{us} us"));
    // Where a part of the scenario has run, those of that part.
    let has_run = |rate_ops: &f64| {
        results.trials.is_empty() || results.trials.iter().any(|trial| trial.offered_rate_ops == Some(*rate_ops))
    };
    let rates = || results.scenario.rates_ops().into_iter().flatten().filter(has_run);
    let load = match (rates().reduce(f64::min), rates().reduce(f64::max)) {
        (Some(least), Some(most)) => format!("{} operations a second", range(&count(least), &count(most))),
        _ => results.scenario.load.arrivals.to_string(),
    };
    let load = match &results.scenario.experiment {
        Experiment::Load => load,
        Experiment::PowerLoss(power_loss) => format!("{} transactions each", count(power_loss.commits as f64)),
        Experiment::Kill(kill) => format!("{} kills each", count(kill.kills as f64)),
    };
    format!(
        "{} trials on {database}, {load}, on {} processors ({}), {}, an fsync of {fsync}.",
        count(results.trials.len() as f64),
        environment.processors,
        environment.processor,
        environment.file_system
    )
}

fn dataset(results: &Results) -> String {
    let described = results.dataset.found();
    let (planned, origin) = match &results.scenario.dataset.source {
        Source::Generated(dataset) => (Some(*dataset), format!("seed {}", dataset.seed)),
        Source::Adopted(_) => (None, "adopted".to_owned()),
    };
    let known = |found: Option<u64>, planned: Option<u64>| {
        found.or(planned).map_or_else(|| "unknown".to_owned(), |number| count(number as f64))
    };
    let rows = known(described.map(|dataset| dataset.rows), planned.map(|dataset| dataset.rows));
    let page_size_bytes = described.map(|dataset| dataset.page_size_bytes);
    let page_size_bytes = page_size_bytes.or(planned.map(|dataset| dataset.page_size_bytes));
    let page_size_bytes = page_size_bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    let size = described
        .map_or_else(|| "size unknown".to_owned(), |dataset| format!("{} MB", count(dataset.bytes as f64 / 1e6)));
    let origin = match described.and_then(|dataset| dataset.sampled_rows) {
        Some(sampled) => format!("{origin}, with operations on {} of them", count(sampled as f64)),
        None => origin,
    };
    format!(
        "Dataset: {rows} torrents, {size}, {origin}, pages of {page_size_bytes} bytes; page cache {}.",
        results.scenario.sqlite.page_cache
    )
}

fn load(results: &Results) -> String {
    if !results.scenario.experiment.has_load() {
        return "Transactions: one after another on one connection; every 25th counts 200 downloads, the others one; before every 10th one is \
            rolled back."
            .to_owned();
    }
    let (load, mix) = (&results.scenario.load, &results.scenario.load.mix);
    let long_reader = load.long_reader.map_or_else(String::new, |hold| {
        format!(", and one that holds a read transaction for {} s, again and again", hold.as_secs_f64())
    });
    format!(
        "Load: {}, {}; {}{long_reader}; {} % announces, Zipf exponent {}, scrapes of 1 to {} hashes; a client gives up after {} s.",
        load.arrivals,
        mix.write_profile,
        clients(results),
        number(mix.announce_share * 100.0),
        mix.zipf_exponent,
        mix.scrape_hashes_max,
        results.scenario.client_timeout.as_secs_f64()
    )
}

fn clients(results: &Results) -> String {
    let scenario = &results.scenario;
    match scenario.target.requests() {
        None => connections(&scenario.load),
        Some(RequestsPlan { torrents, sockets, .. }) => format!(
            "to the tracker itself over UDP, about {torrents} torrents: completed downloads one at a time, everything else from {sockets} \
            sockets"
        ),
    }
}

fn connections(load: &LoadPlan) -> String {
    let words = |stream: &StreamPlan| match (stream.kind, load.announce_connections.as_slice()) {
        (None, _) => format!("{} connections for both kinds", stream.connections),
        (Some(kind @ Kind::Announce), [_, _, ..]) => {
            let numbers: Vec<_> = load.announce_connections.iter().map(u32::to_string).collect();
            format!("{} {kind}", numbers.join(" or "))
        }
        (Some(kind), _) => format!("{} {kind}", stream.connections),
    };
    match load.streams.as_slice() {
        [pool] => words(pool),
        several => format!("{} connections", several.iter().map(words).collect::<Vec<_>>().join(" and ")),
    }
}

fn sqlite(results: &Results) -> String {
    let (keys, environment) = (&results.scenario.sqlite, &results.environment);
    if results.scenario.target != TargetPlan::Sqlite {
        return "SQLite as the tracker has it built in, with its defaults but for the journal mode.".to_owned();
    }
    let checkpoints = match keys.checkpoint_interval {
        None => "no checkpoint thread".to_owned(),
        Some(interval) => format!("a checkpoint thread every {} ms", interval.as_millis()),
    };
    format!(
        "SQLite {}{} ({}), cache {} KiB a connection, mmap {} bytes, autocheckpoint at {} pages, {checkpoints}, transactions {}, busy \
        timeout {} ms.",
        environment.sqlite_version,
        environment.sqlite_source_id.as_ref().map(|id| format!(" of {id}")).unwrap_or_default(),
        environment.sqlite_sync_call,
        keys.cache_size_kib,
        keys.mmap_size_bytes,
        keys.wal_autocheckpoint_pages,
        keys.transaction_mode,
        keys.busy_timeout_ms
    )
}

fn programs(results: &Results) -> String {
    let environment = &results.environment;
    let words = |program: &Program| match (&program.path, &program.version) {
        (None, _) => format!("no {}", program.name),
        (Some(path), None) => path.display().to_string(),
        (Some(path), Some(version)) => format!("{} ({version})", path.display()),
    };
    let all = if let Some(programs) = &environment.programs {
        programs.iter().map(words).collect::<Vec<_>>().join(", ")
    } else {
        let sqlite3 = environment.sqlite3_program_version.as_deref().unwrap_or("not installed");
        let cp = environment.cp_version.as_deref().unwrap_or("cp of unknown version");
        format!("sqlite3 {sqlite3}, {cp}")
    };
    format!("Programs: {all}.")
}

/// What the strategies ran with that they have a choice of.
pub fn strategy_options(results: &Results) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    for trial in &results.trials {
        let options = trial.strategy_options.as_object().into_iter().flatten();
        let options: Vec<_> = options.map(|(name, value)| format!("{name} {value}")).collect();
        let text = format!("{}: {}", trial.strategy, options.join(", "));
        if !options.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }
    (!all.is_empty()).then(|| format!("Options: {}.", all.join("; ")))
}

fn machine(results: &Results) -> String {
    let environment = &results.environment;
    // In what like machines may differ.
    let times = || results.environments().filter_map(|environment| environment.fsync_us_p50);
    let fsync = match (times().min(), times().max()) {
        (Some(least), Some(most)) => range(&format!("{least} us"), &format!("{most} us")),
        _ => "unknown".to_owned(),
    };
    let kernels: BTreeSet<_> = results.environments().map(|environment| environment.kernel.as_str()).collect();
    format!(
        "{}: {} x {}, {} GB of memory, {}, {} ({}), median fsync {fsync}.",
        if results.merged.is_empty() { "Machine" } else { "Machines of one kind" },
        environment.processors,
        environment.processor,
        environment.memory_bytes / 1_000_000_000,
        kernels.into_iter().collect::<Vec<_>>().join(" and "),
        environment.file_system,
        environment.mount_options
    )
}

/// What was measured of a disk by calling it again and again.
type Call = fn(&DiskProbe) -> Option<Latencies>;

/// How long the disk took before the first trial; nothing where no machine said so.
fn disk(results: &Results) -> Option<String> {
    let probes: Vec<_> = results.environments().filter_map(|environment| environment.disk_probe.as_ref()).collect();
    let calls: [(&str, Call); 4] = [
        ("fsync", |disk| disk.fsync),
        ("fdatasync", |disk| disk.fdatasync),
        ("sync of a folder", |disk| disk.folder_sync),
        ("read of 4 KiB at a random place", |disk| disk.random_read),
    ];
    let words = |(name, call): (&str, Call)| {
        let of = |percentile: fn(Latencies) -> Option<u64>| {
            let times = || probes.iter().filter_map(|disk| percentile(call(disk)?));
            Some(range(&format!("{} us", times().min()?), &format!("{} us", times().max()?)))
        };
        let p99 = of(|times| times.p99_us).map_or_else(String::new, |time| format!(" (p99 {time})"));
        Some(format!("{name} {}{p99}", of(|times| times.p50_us)?))
    };
    let all: Vec<_> = calls.into_iter().filter_map(words).collect();
    (!all.is_empty()).then(|| format!("Disk before the first trial, medians: {}.", all.join(", ")))
}

/// That the results were joined from those of shards.
fn merged(results: &Results) -> Option<String> {
    let first = results.merged.first()?.shard;
    let numbers: Vec<_> = results.merged.iter().map(|run| run.shard.number()).collect();
    Some(format!(
        "Merged from the runs of {}; both trials of a pair are always of one run.",
        shards_named(&numbers, first.of())
    ))
}

fn program(results: &Results) -> String {
    format!(
        "journalbench {}{}, begun {}, {} s in all; schema version {}.",
        results.journalbench_version,
        results.environment.build.as_ref().map(build).unwrap_or_default(),
        results.started_at,
        number(results.duration_s),
        results.schema_version
    )
}

/// What the program was built of.
fn build(build: &Build) -> String {
    let revision = match (&build.revision, build.modified) {
        (None, _) => "of unknown revision".to_owned(),
        (Some(revision), Some(false)) => format!("revision {revision}"),
        (Some(revision), _) => format!("revision {revision} with changes"),
    };
    let unknown = || "unknown".to_owned();
    format!(
        " ({revision}, built for {}, {}, {})",
        build.target.clone().unwrap_or_else(unknown),
        build.profile.clone().unwrap_or_else(unknown),
        build.rustc.clone().unwrap_or_else(unknown)
    )
}

/// How busy the machine was with something else, and how busy it was at all.
fn disturbance(results: &Results) -> Option<String> {
    let words = |by: DisturbedBy| {
        let shares: Vec<_> = results.trials.iter().filter_map(|trial| trial.disturbed_share(by)).collect();
        let (least, most) = (shares.iter().copied().reduce(f64::min)?, shares.iter().copied().reduce(f64::max)?);
        let percent = |share: f64| number(share * 100.0);
        Some(format!("{by} {} %", range(&percent(least), &percent(most))))
    };
    let all: Vec<_> = DisturbedBy::ALL.into_iter().filter_map(words).collect();
    let limits = &results.scenario.disturbance;
    (!all.is_empty()).then(|| {
        format!(
            "While trials ran: {}. Steal is processor time that the hypervisor gave to other machines; pressure is the time in \
            which some task waited, those of the trial among them. A trial counts as disturbed beyond {} % of steal, or with a \
            pressure that is by more than {} points above the median of its repetitions.{}",
            all.join(", "),
            number(limits.steal_share_max * 100.0),
            number(limits.pressure_share_max * 100.0),
            rerun(results)
        )
    })
}

/// How many trials were run again because of it.
fn rerun(results: &Results) -> String {
    match results.trials.iter().filter(|trial| results.is_replaced(trial)).count() {
        0 => String::new(),
        replaced => format!(
            " {replaced} trials of such pairs were run again at the end: the figures of their first run are in no comparison, \
            and what their snapshots were counts all the same."
        ),
    }
}

/// What the results file does not hold, because an older program wrote it.
fn unknown(results: &Results) -> Option<String> {
    let mut missing: Vec<&str> = Vec::new();
    let mut note = |name: &'static str, is_unknown: bool| {
        if is_unknown {
            missing.push(name);
        }
    };
    note("the size of the dataset", results.dataset.is_unknown());
    let is_any = |is: fn(&SnapshotResult) -> bool| results.trials.iter().flat_map(|trial| &trial.snapshots).any(is);
    let is_any_of = |is: fn(&Evidence) -> bool| {
        results.trials.iter().flat_map(|trial| &trial.snapshots).any(|snapshot| is(&snapshot.ruling.evidence))
    };
    let mut operations = results.trials.iter().flat_map(|trial| &trial.phases).flat_map(|phase| &phase.operations);
    note(
        "for which operations the load generator itself was late (the mark *)",
        operations.any(|operation: &OperationResult| operation.generator_bound.is_unknown()),
    );
    let mut phases = results.trials.iter().flat_map(|trial| &trial.phases);
    note("how long writes were stalled", phases.any(|phase| phase.stalled_s.is_unknown()));
    let is_any_trial = |is: fn(&TrialResult) -> bool| results.trials.iter().any(is);
    note("when nobody was served", is_any_trial(|trial| trial.silences.is_unknown()));
    note("what snapshots cost over a horizon", is_any_trial(|trial| trial.horizons.is_unknown()));
    note("how the journal modes compare pair by pair", results.comparisons.is_unknown());
    let not_taken = "how many snapshots of the schedule were not taken";
    note(not_taken, is_any_trial(|trial| trial.snapshots_not_taken.is_unknown()));
    note("the revision and the build of the program", results.environments().any(|one| one.build.is_none()));
    note(
        "where the programs were found, and their revisions",
        results.environments().any(|one| one.programs.is_none()),
    );
    note("how busy the machine was with something else", is_any_trial(|trial| trial.disturbed.is_unknown()));
    note("how late snapshots began", is_any(|snapshot| snapshot.run.late_s.is_unknown()));
    note(
        "how long their sync took",
        is_any(|snapshot| snapshot.run.sync_s.is_unknown() || snapshot.run.sync_error.is_unknown()),
    );
    note("what was written to standard error", is_any(|snapshot| snapshot.run.stderr.is_unknown()));
    note("the parts of the copying", is_any(|snapshot| snapshot.progress.parts.is_unknown()));
    note("pages that were copied in vain", is_any(|snapshot| snapshot.progress.pages_in_vain.is_unknown()));
    note("how far a copy was over time", is_any(|snapshot| snapshot.progress.points.is_unknown()));
    note(
        "the processor time, memory and bytes that were used",
        is_any(|snapshot| snapshot.cost.resources.is_unknown() || snapshot.cost.writer_cpu_s.is_unknown()),
    );
    note("how long writers were stopped", is_any(|snapshot| snapshot.cost.downtime_s.is_unknown()));
    note("the journal mode of a copy", is_any(|snapshot| snapshot.copy.copy_journal_mode.is_unknown()));
    note("whether a copy needs other files beside it", is_any(|snapshot| snapshot.copy.stands_alone.is_unknown()));
    note("the WAL around a snapshot", is_any(|snapshot| snapshot.wal.is_unknown()));
    note("the steps after a snapshot", is_any(|snapshot| snapshot.after.is_unknown()));
    note(
        "how much a stale copy lacks",
        is_any_of(|evidence| {
            evidence.missing_commits.is_unknown()
                || evidence.missing_s.is_unknown()
                || evidence.downloads_lost.is_unknown()
        }),
    );
    note(
        "which pages and rows of a bad copy are wrong",
        is_any_of(|evidence| evidence.damage.is_unknown() || evidence.difference.is_unknown()),
    );
    note("how long the oracle read", is_any_of(|evidence| evidence.read_s.is_unknown()));
    (!missing.is_empty()).then(|| {
        format!(
            "Unknown, because the version of journalbench that wrote this results file did not record it: {}.",
            missing.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{MergedRun, Recorded, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    #[test]
    fn merged_runs_are_named_with_what_like_machines_may_differ_in() {
        let mut results = samples::results(Vec::new());
        assert_eq!(merged(&results), None);
        let alone = "Machine: 2 x a processor, 16 GB of memory, Linux 6.0, ext4 (rw), median fsync 100 us.";
        assert_eq!(machine(&results), alone);
        results.merged = vec![samples::merged_run(1, 4), samples::merged_run(3, 4)];
        let same = "Machines of one kind: 2 x a processor, 16 GB of memory, Linux 6.0, ext4 (rw), median fsync 100 us.";
        assert_eq!(machine(&results), same);
        results.merged[1].environment.kernel = "Linux 6.0.9".to_owned();
        results.merged[1].environment.fsync_us_p50 = Some(140);
        let words = machine(&results);
        assert!(words.contains("Linux 6.0 and Linux 6.0.9, ext4") && words.ends_with("100 us to 140 us."), "{words}");
        assert!(merged(&results).unwrap().starts_with("Merged from the runs of shards 1 and 3 of 4; both"));
    }

    #[test]
    fn what_the_disk_took_is_said_where_it_is_known() {
        let mut results = samples::results(Vec::new());
        let known = "Disk before the first trial, medians: fsync 100 us (p99 300 us), fdatasync 90 us (p99 270 us), sync of a \
            folder 200 us, read of 4 KiB at a random place 60 us (p99 180 us).";
        assert_eq!(disk(&results).unwrap(), known);
        assert!(sentences(&results).contains(&known.to_owned()));
        let probe = results.environment.disk_probe.as_mut().unwrap();
        (probe.fdatasync, probe.folder_sync, probe.random_read) = (None, None, None);
        let shard = samples::merged_run(1, 2);
        results.merged = vec![MergedRun { environment: results.environment.clone(), ..shard.clone() }, shard];
        let slower = results.merged[0].environment.disk_probe.as_mut().unwrap();
        slower.fsync.as_mut().unwrap().p50_us = Some(140);
        let words = disk(&results).unwrap();
        assert!(words.contains("medians: fsync 100 us to 140 us (p99 300 us), fdatasync 90 us"), "{words}");
        assert_eq!(disk(&samples::of_before(&results)), None);
    }

    #[test]
    fn what_an_older_file_does_not_hold_is_named_once() {
        let results = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp)]);
        assert_eq!(unknown(&results), None);
        let old = samples::of_before(&results);
        let sentence = unknown(&old).unwrap();
        for name in ["the size of the dataset", "the mark *", "were not taken", "the WAL around", "the parts of"] {
            assert_eq!(sentence.matches(name).count(), 1, "{name} in {sentence}");
        }
        assert!(dataset(&old).contains("1,000 torrents, size unknown, seed"), "{}", dataset(&old));
        let mut one = results;
        one.trials[0].snapshots[0].wal = Recorded::Unknown;
        assert!(unknown(&one).unwrap().ends_with("did not record it: the WAL around a snapshot."));
    }
}
