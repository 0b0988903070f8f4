//! The second room of a trial: everything that has the database open while the load runs.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Result;

use super::task_runner::Writers;
use crate::{
    history::ledger::Ledger,
    io,
    load::{ExchangeStream, Stream},
    scenario::{FilesPlan, TrialPlan},
    sqlite,
    target::Background,
    target::{
        checkpoint::{self, Checkpoints},
        long_reader::long_reader,
        queue,
        sqlite::SqliteTarget,
        tracker_memory::TrackerMemory,
    },
    workload::{Kind, Workload},
};

/// The connections of a trial, ready for the load.
pub struct Connections<T> {
    /// Operations, and what executes them.
    pub streams: Vec<Stream<T>>,
    /// Operations over a network.
    pub exchanges: Vec<ExchangeStream>,
    /// What works beside the operations.
    pub background: Vec<Background>,
    /// What the checkpoint thread does, where there is one.
    pub checkpoints: Option<Checkpoints>,
    /// Who can be asked to stop, or to copy.
    pub writers: Writers,
    /// The settings as SQLite reports them, by pragma.
    pub settings: BTreeMap<String, String>,
}

/// Opens every connection of the trial.
///
/// # Errors
/// What SQLite says of the database or of a setting.
pub fn connect(
    plan: &TrialPlan,
    live: &Path,
    ledger: &Arc<Ledger>,
    workload: &Workload,
) -> Result<Connections<SqliteTarget>> {
    let memory = TrackerMemory::default();
    let (queue, queued) = queue::queue();
    let has_listener = plan.mix.write_profile.has_listener();
    let (writers, mut copy_requests) = Writers::of(plan.strategy);
    let vfs = match plan.files {
        FilesPlan::Uncounted => None,
        FilesPlan::Counted { sync_delay } => Some(io::vfs_with_delay(sync_delay)?),
    };
    let open = || -> Result<SqliteTarget> {
        let mut connection = sqlite::open_through(live, &plan.settings, vfs)?;
        let session = ledger.attach(&mut connection)?;
        let target = SqliteTarget::new(connection, session, workload.torrents().clone(), plan.transaction_mode);
        Ok(target.of_tracker(&memory, has_listener.then(|| queue.clone())).behind(writers.gate.clone()))
    };
    let mut streams = Vec::new();
    for stream in &plan.streams {
        let mut targets = (0..stream.connections).map(|_| open()).collect::<Result<Vec<_>>>()?;
        // It is the only one that writes: the scenario was refused otherwise.
        if stream.kind != Some(Kind::Scrape)
            && let Some(requests) = copy_requests.take()
            && let Some(writer) = targets.pop()
        {
            targets.push(writer.with_copy_requests(requests));
        }
        streams.push(Stream { kind: stream.kind, pace: stream.pace.clone(), batch: stream.batch, targets });
    }
    let mut background = Vec::new();
    if has_listener {
        // The listener ends when every queue's sender is gone, its own among them.
        let listener = open()?.without_queue();
        background.push(queue::listener(queued, move |torrent| listener.count_download(torrent)));
    }
    let checkpoints = plan.checkpoint_interval.map(|_| Checkpoints::default());
    if let Some((interval, checkpoints)) = plan.checkpoint_interval.zip(checkpoints.as_ref()) {
        let connection = sqlite::open_through(live, &plan.settings, vfs)?;
        background.push(checkpoint::checkpointer(connection, interval, Arc::clone(checkpoints)));
    }
    if let Some(hold) = plan.long_reader {
        background.push(long_reader(sqlite::open_through(live, &plan.settings, vfs)?, hold));
    }
    let settings = sqlite::read_back(&sqlite::open(live, &plan.settings)?)?;
    Ok(Connections { streams, exchanges: Vec::new(), background, checkpoints, writers, settings })
}
