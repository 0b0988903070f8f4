//! Images of what a disk may hold after a power loss: made, recovered by plain SQLite, and judged by the oracle.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    thread,
};

use anyhow::{Context as _, Result};
use rand::{Rng, RngExt as _};

use super::{DATABASE, interrupted};
use crate::{
    dataset::Manifest,
    history::History,
    interrupt::Interrupt,
    oracle::{self, Claim, Evidence, JudgeError, Question, SqliteChecks, Verdict},
    power::{
        disk::{Disk, DiskRules, Image},
        log::Log,
    },
    random::generator,
    results::{Drawn, LossOutcome},
    torrents::Portion,
};

/// Images that lie on the disk at once.
const BATCH: usize = 200;

/// What images are made from and judged by.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// The recording.
    pub log: &'a Log,
    /// The commits.
    pub history: &'a dyn History,
    /// The database at the start.
    pub start: &'a Manifest,
    /// An empty folder for them.
    pub folder: &'a Path,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// An image that lies on the disk.
struct Written {
    database: PathBuf,
    claim: Claim,
    /// The instant, in nanoseconds since the recording began: that of the last event before it.
    at_ns: u64,
}

impl Images<'_> {
    /// Makes so many at instants that are drawn, has each recovered and judged, and passes on the instant, in nanoseconds since the recording
    /// began, and what became of it. The same seed gives the same images.
    ///
    /// # Errors
    /// When the log cannot be read, an image cannot be written, or the oracle cannot judge it; an interrupt.
    pub fn judge(
        &self,
        rules: DiskRules,
        images: u64,
        drawn: Drawn,
        seed: u64,
        take: &mut dyn FnMut(u64, LossOutcome),
    ) -> Result<()> {
        let log = self.log;
        let mut random = generator(seed, 0);
        let instants = instants(log, images, drawn, &mut random).context("cannot read the recording")?;
        let mut instants = instants.into_iter().peekable();
        let mut disk = Disk::new(log, &rules);
        let mut batch = Vec::new();
        let mut events = log.events().context("cannot read the recording")?;
        for number in 0..=log.events {
            while instants.next_if(|before| *before <= number).is_some() {
                let image = disk.image(&rules, &mut random).context("cannot read the recording")?;
                batch.push(self.write(batch.len(), image, &disk)?);
                if batch.len() == BATCH {
                    self.judge_batch(&mut batch, take)?;
                }
            }
            if let Some(event) = events.next() {
                event.and_then(|event| disk.advance(event)).context("cannot read the recording")?;
            }
        }
        self.judge_batch(&mut batch, take)
    }

    fn write(&self, place: usize, image: Image, disk: &Disk<'_>) -> Result<Written> {
        let own = self.folder.join(place.to_string());
        fs::create_dir(&own).with_context(|| format!("cannot create {}", own.display()))?;
        for (name, content) in image {
            let path = own.join(name);
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let claim = Claim {
            portion: Portion::Whole,
            finished: true,
            commit_at_start: disk.acknowledged,
            commit_at_end: disk.begun,
            ended_us: 0,
        };
        Ok(Written { database: own.join(DATABASE), claim, at_ns: disk.at_ns })
    }

    /// Judges what lies there, on as many threads as there are processors, and removes it.
    fn judge_batch(&self, batch: &mut Vec<Written>, take: &mut dyn FnMut(u64, LossOutcome)) -> Result<()> {
        if self.interrupt.is_set() {
            return Err(interrupted());
        }
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let shares: Vec<_> = batch.chunks(batch.len().div_ceil(threads).max(1)).collect();
        let judged: Vec<Vec<Result<LossOutcome, JudgeError>>> = thread::scope(|scope| {
            let workers: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| self.judge_share(share))).collect();
            // A thread that has panicked has judged nothing.
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
        });
        let judged: Vec<_> = judged.into_iter().flatten().collect();
        anyhow::ensure!(judged.len() == batch.len(), "not every image was judged");
        for (place, (image, outcome)) in batch.drain(..).zip(judged).enumerate() {
            take(image.at_ns, outcome?);
            let own = self.folder.join(place.to_string());
            fs::remove_dir_all(&own).with_context(|| format!("cannot remove {}", own.display()))?;
        }
        Ok(())
    }

    fn judge_share(&self, share: &[Written]) -> Vec<Result<LossOutcome, JudgeError>> {
        let pages_done = AtomicU64::new(0);
        let evidence = Evidence {
            start: self.start,
            history: self.history,
            sqlite_checks: SqliteChecks::LeaveOut,
            interrupted: self.interrupt.flag(),
            pages_done: &pages_done,
        };
        let questions: Vec<_> =
            share.iter().map(|image| Question { file: &image.database, claim: image.claim }).collect();
        let examined = oracle::examine(&evidence, &questions, |_| ());
        share.iter().zip(examined).map(|(image, examined)| Ok(outcome(&image.claim, &examined?.judgement))).collect()
    }
}

/// What a judgement says of a database that was recovered.
pub fn outcome(claim: &Claim, judgement: &oracle::Judgement) -> LossOutcome {
    match judgement.verdict {
        Verdict::Exact if judgement.commit > Some(claim.commit_at_start) => LossOutcome::Ahead,
        Verdict::Exact => LossOutcome::Kept,
        Verdict::Stale => LossOutcome::Lost(judgement.missing_commits.unwrap_or(0)),
        Verdict::Torn => LossOutcome::Torn,
        Verdict::Corrupt => LossOutcome::Corrupt,
        // Every image counts as finished.
        Verdict::Unreadable | Verdict::Unfinished => LossOutcome::Unreadable,
    }
}

/// So many instants of a recording, in order: each stands before the event of its number, from 0.
fn instants(log: &Log, images: u64, drawn: Drawn, random: &mut impl Rng) -> io::Result<Vec<u64>> {
    let latest = match drawn {
        Drawn::ByEvent => log.events,
        Drawn::ByTime => log.last_ns,
    };
    let mut instants: Vec<u64> = (0..images).map(|_| random.random_range(0..=latest)).collect();
    instants.sort_unstable();
    match drawn {
        Drawn::ByEvent => {}
        Drawn::ByTime => {
            let mut events = log.events()?;
            let (mut number, mut next) = (0, events.next().transpose()?);
            for instant in &mut instants {
                while next.is_some_and(|event| event.at_ns < *instant) {
                    (number, next) = (number + 1, events.next().transpose()?);
                }
                *instant = number;
            }
        }
    }
    Ok(instants)
}
