//! What the types of a file's keys do not say is checked: ranges, lists without repetition, a rate that is said in one way.

use std::{fmt, sync::atomic::AtomicBool};

use super::{
    SNAPSHOTS_MOST, Scenario, TRIALS_MOST,
    file::{AfterKeys, ArrivalsKey, Keys, LoadKeys, Record, SnapshotKeys, default},
    from_keys::generated,
    kill, power_loss,
    steps::Step,
    target, thresholds,
};
use crate::{
    dataset::{self, IndexFill, ROWS_MOST, Size},
    snapshot::{OptionProblem, Strategy, WriterRole},
};

/// The key, what was found and what is allowed.
pub type Refusal = (&'static str, String, String);

/// A size takes a few nanoseconds a row to be turned into rows: minutes for this one.
const SIZE_MOST_BYTES: u64 = 1_000_000_000_000;

/// The most operations a second that are asked for.
pub(super) const RATE_OPS_MOST: f64 = 1e6;

/// How long a horizon is at most where a scenario does not say, in seconds.
pub(super) const HORIZON_S_MOST: f64 = 10.0;

/// Instants of snapshots, and stretches of the rate, that the trials of a scenario have together at most: each trial's plan
/// has its own.
const INSTANTS_MOST: usize = 1_000_000;

/// Fills in what a scenario's file leaves open and the results say: that no shell runs a command line, and how many rows a
/// dataset of a size has, which takes seconds for one of many gigabytes.
pub fn resolve_size(keys: &mut Keys) -> Result<(), Refusal> {
    let Keys { dataset, sqlite, snapshots, .. } = keys;
    let command = &mut snapshots.options.command;
    // Results do not come this way: those of an older version say nothing of a shell, and had one.
    command.shell = command.shell.or(command.line.as_ref().map(|_| false));
    if let Some(path) = &dataset.path {
        return if dataset.rows == 0
            && dataset.size.is_none()
            && dataset.seed == default::seed()
            && dataset.zero_share == 0.0
            && sqlite.page_size_bytes == default::page_size_bytes()
        {
            Ok(())
        } else {
            let allowed = "expected either this or dataset.rows, dataset.size, dataset.seed, dataset.zero_share and \
                sqlite.page_size_bytes: a database of your own has its rows and its page size";
            Err(("dataset.path", path.display().to_string(), allowed.to_owned()))
        };
    }
    match dataset.size.take() {
        None if dataset.rows == 0 => Err((
            "dataset.rows",
            "0".to_owned(),
            format!("expected 1 to {ROWS_MOST}, or dataset.size, as in \"17GB\", or dataset.path"),
        )),
        None => Ok(()),
        Some(size) if dataset.rows != 0 => {
            Err(("dataset.size", size.to_string(), "expected either this or dataset.rows".to_owned()))
        }
        Some(size) => {
            page_size(sqlite.page_size_bytes)?;
            check_size(size, sqlite.page_size_bytes)?;
            let (fill, never) = (IndexFill::default(), AtomicBool::new(false));
            let found = dataset::rows_for(size.bytes, generated(dataset, sqlite.page_size_bytes), fill, &never);
            let found = found.map_err(|error| ("dataset.size", size.to_string(), error.to_string()))?;
            dataset.rows = found.rows;
            Ok(())
        }
    }
}

/// A size is turned into rows by going through them, so it must end.
fn check_size(size: Size, page_size_bytes: u32) -> Result<(), Refusal> {
    let least = Size { bytes: dataset::least_bytes(page_size_bytes, IndexFill::default()) };
    let most = Size { bytes: SIZE_MOST_BYTES };
    if (least..=most).contains(&size) {
        return Ok(());
    }
    let allowed =
        format!("expected {least} to {most} with pages of {page_size_bytes} bytes; dataset.rows can say more");
    Err(("dataset.size", size.to_string(), allowed))
}

fn page_size(bytes: u32) -> Result<(), Refusal> {
    if bytes.is_power_of_two() && (512..=65_536).contains(&bytes) {
        return Ok(());
    }
    let allowed = "expected a power of two from 512 to 65536".to_owned();
    Err(("sqlite.page_size_bytes", bytes.to_string(), allowed))
}

/// Checks every value that its type alone does not.
pub fn check(keys: &Keys) -> Result<(), Refusal> {
    let Keys { repetitions, client_timeout_s, dataset, sqlite, load, snapshots, phases, disturbance, .. } = keys;
    within("repetitions", *repetitions, 1, 1_000)?;
    within("client_timeout_s", *client_timeout_s, 0.001, 100.0)?;
    if dataset.path.is_none() {
        within("dataset.rows", dataset.rows, 1, ROWS_MOST)?;
    }
    within("dataset.zero_share", dataset.zero_share, 0.0, 1.0)?;
    page_size(sqlite.page_size_bytes)?;
    within("sqlite.cache_size_kib", sqlite.cache_size_kib, 1, 1 << 30)?;
    within("sqlite.mmap_size_bytes", sqlite.mmap_size_bytes, 0, 0x7fff_0000)?;
    within("sqlite.wal_autocheckpoint_pages", sqlite.wal_autocheckpoint_pages, 0, i64::from(i32::MAX))?;
    within("sqlite.busy_timeout_ms", sqlite.busy_timeout_ms, 0, 600_000)?;
    within("load.announce_share", load.announce_share, 0.0, 1.0)?;
    within("load.completed_share", load.completed_share, 0.0, 1.0)?;
    within("load.new_torrent_share", load.new_torrent_share, 0.0, 1.0)?;
    within("load.zipf_exponent", load.zipf_exponent, 0.0, 10.0)?;
    within("load.scrape_hashes_max", load.scrape_hashes_max, 1, 74)?;
    for connections in &load.announce_connections {
        within("load.announce_connections", *connections, 1, 1_000)?;
    }
    distinct("load.announce_connections", &load.announce_connections)?;
    within("load.scrape_connections", load.scrape_connections, 1, 1_000)?;
    within("load.started_share", load.started_share, 0.0, 1.0)?;
    within("load.stopped_share", load.stopped_share, 0.0, 1.0)?;
    let completed_share = if load.completed_rate_ops.is_empty() { load.completed_share } else { 0.0 };
    let events = load.started_share + load.stopped_share + completed_share;
    within("load.started_share + stopped_share + completed_share", events, 0.0, 1.0 + 1e-9)?;
    within("load.pool_connections", load.pool_connections, 1, 1_000)?;
    within("load.batch_operations", load.batch_operations, 1, 100_000)?;
    within("load.long_reader_s", load.long_reader_s, 0.0, 1e6)?;
    within("load.batch_wait_ms", load.batch_wait_ms, 0, 60_000)?;
    within("sqlite.checkpoint_thread_ms", sqlite.checkpoint_thread_ms, 0, 3_600_000)?;
    within("sqlite.sync_delay_us", sqlite.sync_delay_us, 0, 10_000_000)?;
    if sqlite.sync_delay_us > 0 && !sqlite.count_io {
        let expected = "expected 0 where sqlite.count_io = false: the delay is made by what counts".to_owned();
        return Err(("sqlite.sync_delay_us", sqlite.sync_delay_us.to_string(), expected));
    }
    validate_rate(load)?;
    validate_completed_rate(load)?;
    within("snapshots.deadline_s", snapshots.deadline_s, 0.1, 1e6)?;
    validate_schedule(snapshots)?;
    validate_after(&snapshots.after)?;
    validate_options(keys)?;
    within("phases.warmup_s", phases.warmup_s, 0.0, 1e6)?;
    within("phases.baseline_s", phases.baseline_s, 0.1, 1e6)?;
    within("phases.recovery_s", phases.recovery_s, 0.0, 1e6)?;
    within("disturbance.steal_share_max", disturbance.steal_share_max, 0.0, 1.0)?;
    within("disturbance.pressure_share_max", disturbance.pressure_share_max, 0.0, 1.0)?;
    within("phases.horizon_s", phases.horizon_s.unwrap_or(HORIZON_S_MOST), 0.1, 1e6)?;
    distinct("sqlite.journal_mode", &sqlite.journal_mode)?;
    distinct("sqlite.synchronous", &sqlite.synchronous)?;
    distinct("snapshots.strategies", &snapshots.strategies)?;
    target::check(keys)?;
    power_loss::check(keys)?;
    kill::check(keys)?;
    thresholds::check(&keys.thresholds)
}

/// The rate is said in exactly one way.
fn validate_rate(load: &LoadKeys) -> Result<(), Refusal> {
    let given = [
        ("load.rate_ops", !load.rate_ops.is_empty()),
        ("load.steps", !load.steps.is_empty()),
        ("load.trace", load.trace.is_some()),
    ];
    let given: Vec<_> = given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| *key).collect();
    let allowed: &[&str] = match load.arrivals {
        ArrivalsKey::Constant | ArrivalsKey::Poisson => &["load.rate_ops", "load.steps"],
        ArrivalsKey::Trace => &["load.trace"],
        ArrivalsKey::Closed => &[],
    };
    match given.as_slice() {
        [] if allowed.is_empty() => {}
        [one] if allowed.contains(one) => {}
        found => {
            let found = if found.is_empty() { "no rate at all".to_owned() } else { found.join(" and ") };
            let allowed = match allowed {
                [] => "expected no rate with it".to_owned(),
                some => format!("expected exactly one of {} with it", some.join(", ")),
            };
            return Err(("load.arrivals", format!("{} with {found}", words(load.arrivals)), allowed));
        }
    }
    for rate_ops in &load.rate_ops {
        within("load.rate_ops", *rate_ops, 0.001, RATE_OPS_MOST)?;
    }
    for step in &load.steps {
        within("load.steps.duration_s", step.duration_s, 0.001, 1e9)?;
        within("load.steps.rate_ops", step.rate_ops, 0.0, RATE_OPS_MOST)?;
        within("load.steps.rate_end_ops", step.rate_end_ops.unwrap_or(0.0), 0.0, RATE_OPS_MOST)?;
    }
    within("load.trace_scale", load.trace_scale, 1e-9, 1e9)?;
    if load.rate_ops.is_empty() { Ok(()) } else { distinct("load.rate_ops", &load.rate_ops) }
}

/// How many announces complete a download is said in one way, and they are no more than there are.
fn validate_completed_rate(load: &LoadKeys) -> Result<(), Refusal> {
    const KEY: &str = "load.completed_rate_ops";
    let Some(most) = load.completed_rate_ops.iter().copied().max_by(f64::total_cmp) else { return Ok(()) };
    distinct(KEY, &load.completed_rate_ops)?;
    for rate_ops in &load.completed_rate_ops {
        within(KEY, *rate_ops, 0.0, 1e6)?;
    }
    let Some(least_rate) = load.rate_ops.iter().copied().min_by(f64::total_cmp) else {
        return Err((KEY, most.to_string(), "expected load.rate_ops with it".to_owned()));
    };
    // It is the very number that was filled in, or another one.
    if load.completed_share.to_bits() != default::completed_share().to_bits() {
        return Err((KEY, most.to_string(), "expected either this or load.completed_share".to_owned()));
    }
    let announces = least_rate * load.announce_share * (1.0 - load.started_share - load.stopped_share);
    if most > announces {
        let allowed = format!("expected at most {announces:.1}: of {least_rate} operations no more are left for it");
        return Err((KEY, most.to_string(), allowed));
    }
    Ok(())
}

/// The times of snapshots are said in one way, and ascend.
fn validate_schedule(snapshots: &SnapshotKeys) -> Result<(), Refusal> {
    let SnapshotKeys { at_s, every_s, count, .. } = snapshots;
    match (every_s, count) {
        (None, None) => {}
        (Some(every_s), Some(count)) if at_s.is_empty() => {
            within("snapshots.every_s", *every_s, 0.1, 1e6)?;
            within("snapshots.count", *count, 1, 10_000)?;
        }
        (Some(every_s), None) if at_s.is_empty() => {
            return Err(("snapshots.every_s", every_s.to_string(), "expected snapshots.count beside it".to_owned()));
        }
        (None, Some(count)) => {
            return Err(("snapshots.count", count.to_string(), "expected snapshots.every_s beside it".to_owned()));
        }
        (Some(every_s), _) => {
            return Err((
                "snapshots.every_s",
                every_s.to_string(),
                "expected either this or snapshots.at_s".to_owned(),
            ));
        }
    }
    if at_s.len() > SNAPSHOTS_MOST {
        return Err(("snapshots.at_s", format!("{} times", at_s.len()), format!("expected at most {SNAPSHOTS_MOST}")));
    }
    for at_s in at_s {
        within("snapshots.at_s", *at_s, 0.0, 1e6)?;
    }
    match at_s.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => {
            Err(("snapshots.at_s", format!("{}, {}", pair[0], pair[1]), "expected ascending times".to_owned()))
        }
        None => Ok(()),
    }
}

/// The steps after a snapshot, and what retention keeps.
fn validate_after(after: &AfterKeys) -> Result<(), Refusal> {
    if !after.steps.is_empty() {
        distinct("snapshots.after.steps", &after.steps)?;
    }
    let retention = after.steps.contains(&Step::Retention);
    match (after.keep_last, after.keep_days) {
        (None, None) if retention => {
            let allowed = "expected snapshots.after.keep_last or keep_days with it".to_owned();
            Err(("snapshots.after.steps", Step::Retention.to_string(), allowed))
        }
        (Some(keep_last), Some(_)) => {
            Err(("snapshots.after.keep_last", keep_last.to_string(), "expected either this or keep_days".to_owned()))
        }
        (Some(keep_last), None) if retention => within("snapshots.after.keep_last", keep_last, 1, 10_000),
        (None, Some(keep_days)) if retention => within("snapshots.after.keep_days", keep_days, 0.0, 36_500.0),
        (None, None) => Ok(()),
        (Some(_), None) | (None, Some(_)) => {
            let found = if after.keep_last.is_some() { "keep_last" } else { "keep_days" };
            Err(("snapshots.after", found.to_owned(), "expected the step retention with it".to_owned()))
        }
    }
}

/// The options of strategies.
fn validate_options(keys: &Keys) -> Result<(), Refusal> {
    let SnapshotKeys { strategies, options, .. } = &keys.snapshots;
    for strategy in Strategy::all() {
        let problem = strategy.check(options, strategies.contains(strategy));
        problem.map_err(|OptionProblem { key, found, allowed }| (key, found, allowed))?;
    }
    Ok(())
}

/// What the key is called in messages.
fn words(arrivals: ArrivalsKey) -> &'static str {
    match arrivals {
        ArrivalsKey::Constant => "open loop, constant arrivals",
        ArrivalsKey::Poisson => "open loop, Poisson arrivals",
        ArrivalsKey::Trace => "open loop, Poisson arrivals at the rate of a trace",
        ArrivalsKey::Closed => "closed loop",
    }
}

/// Checks what follows from several keys together.
pub fn check_scenario(scenario: &Scenario) -> Result<(), Refusal> {
    check_writers(scenario)?;
    check_extent(scenario)
}

/// The plans of all trials must fit into memory.
fn check_extent(scenario: &Scenario) -> Result<(), Refusal> {
    let trials = scenario.trial_count();
    if trials > TRIALS_MOST {
        let found = format!("{}, which makes {trials} trials", scenario.repetitions);
        return Err(("repetitions", found, format!("expected at most {TRIALS_MOST} trials")));
    }
    let Record { keys, trace_points, .. } = &scenario.record;
    let stretches = keys.load.steps.len() + trace_points.len();
    let snapshots = scenario.snapshots.times_s.len();
    if trials.saturating_mul(stretches + snapshots) > INSTANTS_MOST {
        let found = format!(
            "{}, which makes {trials} trials of {snapshots} snapshots and {stretches} stretches of the rate",
            scenario.repetitions
        );
        let allowed = format!("expected at most {INSTANTS_MOST} snapshots and stretches in all trials together");
        return Err(("repetitions", found, allowed));
    }
    Ok(())
}

/// A strategy that has the writer itself copy needs to be the only one that writes.
fn check_writers(scenario: &Scenario) -> Result<(), Refusal> {
    let load = &scenario.load;
    let is_only_writer = load.writing_connections() == 1 && !load.mix.write_profile.has_listener();
    let copies_in_writer = |strategy: &&Strategy| match strategy.definition().writers {
        WriterRole::Copies => true,
        WriterRole::None | WriterRole::Stopped => false,
    };
    let strategy = scenario.snapshots.strategies.iter().find(copies_in_writer);
    if let Some(strategy) = strategy.filter(|_| !is_only_writer) {
        let allowed = "expected without it, or one connection that writes (load.announce_connections = 1 in a profile \
            other than tracker-*): it would begin again at every commit of another";
        return Err(("snapshots.strategies", strategy.to_string(), allowed.to_owned()));
    }
    Ok(())
}

pub(super) fn within<T: PartialOrd + fmt::Display + Copy>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), Refusal> {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err((key, value.to_string(), format!("expected {least} to {most}")))
    }
}

pub(super) fn distinct<T: PartialEq + fmt::Display>(key: &'static str, list: &[T]) -> Result<(), Refusal> {
    if list.is_empty() {
        return Err((key, "[]".to_owned(), "expected at least one value".to_owned()));
    }
    if list.len() > TRIALS_MOST {
        return Err((key, format!("{} values", list.len()), format!("expected at most {TRIALS_MOST}")));
    }
    match list.iter().enumerate().find(|(n, value)| list[..*n].contains(value)) {
        Some((_, twice)) => Err((key, twice.to_string(), "expected every value once".to_owned())),
        None => Ok(()),
    }
}
