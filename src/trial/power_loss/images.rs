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
        IMAGES_BYTES_MOST,
        disk::{Disk, DiskRules, Image},
        log::Log,
    },
    random::generator,
    results::{Drawn, LossOutcome},
    torrents::Portion,
};

/// Images that lie on the disk at once, where they are small.
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
    /// Of all its files.
    bytes: u64,
    claim: Claim,
    /// The instant, in nanoseconds since the recording began.
    at_ns: u64,
}

/// An instant of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instant {
    /// The number, from 0, of the event that it stands before.
    before: u64,
    /// When it is, in nanoseconds since the recording began. Where it was drawn by event it has no time of its own: it is as soon as
    /// the event before it has happened.
    at_ns: Option<u64>,
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
            while let Some(instant) = instants.next_if(|instant| instant.before <= number) {
                let image = disk.image(&rules, &mut random).context("cannot read the recording")?;
                batch.push(self.write(batch.len(), image, &disk, instant)?);
                if is_full(&batch) {
                    self.judge_batch(&mut batch, take)?;
                }
            }
            if let Some(event) = events.next() {
                event.and_then(|event| disk.advance(event)).context("cannot read the recording")?;
            }
        }
        self.judge_batch(&mut batch, take)
    }

    fn write(&self, place: usize, image: Image, disk: &Disk<'_>, instant: Instant) -> Result<Written> {
        let own = self.folder.join(place.to_string());
        fs::create_dir(&own).with_context(|| format!("cannot create {}", own.display()))?;
        let bytes = image.iter().map(|(_, content)| content.len() as u64).sum();
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
        Ok(Written { database: own.join(DATABASE), bytes, claim, at_ns: instant.at_ns.unwrap_or(disk.at_ns) })
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

/// Whether no more images are to lie beside these.
fn is_full(batch: &[Written]) -> bool {
    let bytes: u64 = batch.iter().map(|image| image.bytes).sum();
    batch.len() >= BATCH || bytes >= IMAGES_BYTES_MOST
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

/// So many instants of a recording, in order.
fn instants(log: &Log, images: u64, drawn: Drawn, random: &mut impl Rng) -> io::Result<Vec<Instant>> {
    let latest = match drawn {
        Drawn::ByEvent => log.events,
        Drawn::ByTime => log.last_ns,
    };
    let mut places: Vec<u64> = (0..images).map(|_| random.random_range(0..=latest)).collect();
    places.sort_unstable();
    match drawn {
        Drawn::ByEvent => Ok(places.into_iter().map(|before| Instant { before, at_ns: None }).collect()),
        Drawn::ByTime => {
            let mut events = log.events()?;
            let (mut before, mut next) = (0, events.next().transpose()?);
            let mut instants = Vec::with_capacity(places.len());
            for at_ns in places {
                // What happens at the instant has happened, for who counts the acknowledged commits by their times, too.
                while next.is_some_and(|event| event.at_ns <= at_ns) {
                    (before, next) = (before + 1, events.next().transpose()?);
                }
                instants.push(Instant { before, at_ns: Some(at_ns) });
            }
            Ok(instants)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        io::{FileEvent, Recorder as _},
        power::log::create,
    };

    /// A recording of some commits, of which the last took a while.
    fn recording(folder: &Path) -> Log {
        let database = folder.join(DATABASE);
        fs::write(&database, b"as it was").unwrap();
        let (mut writer, ended) = create(&folder.join("log"), &database).unwrap();
        for commit in 1..=20 {
            if commit == 20 {
                thread::sleep(Duration::from_millis(5));
            }
            writer.note(FileEvent::Begun(commit));
            writer.note(FileEvent::Acknowledged(commit));
        }
        ended.log().unwrap()
    }

    #[test]
    fn an_instant_that_was_drawn_by_time_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = recording(folder.path());
        let times: Vec<_> = log.events().unwrap().map(|event| event.unwrap().at_ns).collect();
        let by_time = instants(&log, 500, Drawn::ByTime, &mut generator(1, 0)).unwrap();
        assert_eq!(by_time.len(), 500);
        assert!(by_time.is_sorted_by_key(|instant| instant.at_ns));
        let mut latest_after_us = 0;
        for Instant { before, at_ns } in by_time {
            let at_ns = at_ns.unwrap();
            assert_eq!(times.partition_point(|time_ns| *time_ns <= at_ns) as u64, before, "{at_ns} ns");
            let last_ns = before.checked_sub(1).map_or(0, |last| times[usize::try_from(last).unwrap()]);
            latest_after_us = latest_after_us.max((at_ns - last_ns) / 1_000);
        }
        assert!(latest_after_us > 2_500, "the wait of 5 ms is in the times: {latest_after_us} us");
        let by_event = instants(&log, 500, Drawn::ByEvent, &mut generator(1, 0)).unwrap();
        assert!(by_event.iter().all(|instant| instant.before <= log.events && instant.at_ns.is_none()));
    }

    #[test]
    fn a_batch_is_full_by_number_or_by_bytes() {
        let claim =
            Claim { portion: Portion::Whole, finished: true, commit_at_start: 0, commit_at_end: 0, ended_us: 0 };
        for (images, bytes, expected) in [
            (0, 0, false),
            (199, 4_096, false),
            (200, 4_096, true),
            (1, IMAGES_BYTES_MOST - 1, false),
            (1, IMAGES_BYTES_MOST, true),
            (1, 17_000_000_000, true),
            (4, IMAGES_BYTES_MOST / 4, true),
            (3, IMAGES_BYTES_MOST / 4, false),
        ] {
            let image = || Written { database: PathBuf::new(), bytes, claim, at_ns: 0 };
            let batch: Vec<_> = (0..images).map(|_| image()).collect();
            assert_eq!(is_full(&batch), expected, "{images} of {bytes} bytes");
        }
    }
}
