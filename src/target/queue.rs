//! The queue of a newer tracker: downloads are counted off the response path, by one listener, which is told of every other event of a
//! client, too.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    io,
    measure::{Class, IoRole, Slice},
    target::{Background, Execution, LoadContext},
    torrents::Torrent,
};

/// Events that the queue holds at most.
const LENGTH_MAX: usize = 32_768;

/// How long the listener goes on after the load has stopped, with what is still queued.
const DRAIN: Duration = Duration::from_secs(10);

/// Writes that a download takes: that of its torrent and that of the aggregate.
pub(super) const WRITES_PER_DOWNLOAD: u64 = 2;

/// Something that a client said, which waits for the listener.
#[derive(Debug, Clone, Copy)]
pub struct QueuedEvent {
    /// Its torrent.
    pub torrent: Torrent,
    /// Whether it is a completed download, which is counted; others take a place in the queue, and nothing is done for them.
    pub is_download: bool,
    /// When it was queued.
    pub at: Instant,
}

/// An empty queue: its two ends.
#[must_use]
pub fn queue() -> (mpsc::SyncSender<QueuedEvent>, mpsc::Receiver<QueuedEvent>) {
    mpsc::sync_channel(LENGTH_MAX)
}

/// The listener: `count_download` is called for what is queued, one download at a time. What it cannot write is lost, and so
/// is what is still queued some seconds after the load has stopped.
pub fn listener(
    queue: mpsc::Receiver<QueuedEvent>,
    count_download: impl Fn(Torrent) -> Execution + Send + 'static,
) -> Background {
    Box::new(move |context: &dyn LoadContext| {
        io::count_here();
        let mut stopped: Option<Instant> = None;
        loop {
            if context.is_stopped() {
                stopped.get_or_insert_with(Instant::now);
            }
            if stopped.is_some_and(|at| at.elapsed() > DRAIN) {
                break;
            }
            let queued = match queue.recv_timeout(Duration::from_millis(50)) {
                Ok(queued) => queued,
                Err(mpsc::RecvTimeoutError::Timeout) if stopped.is_none() => continue,
                Err(_) => return,
            };
            if !queued.is_download {
                continue;
            }
            let execution = count_download(queued.torrent);
            context.report(Instant::now(), &mut |slice| {
                slice.background_statements = u64::from(execution.statements);
                slice.io_role = IoRole::Listener;
                io::take(&mut slice.io);
            });
            if execution.lost_writes > 0 {
                context.report(queued.at, &mut |slice| {
                    slice.lost_writes[Class::OtherAnnounce as usize] = execution.lost_writes;
                    slice.lost_to_full_disk = execution.lost_to_full_disk;
                });
            }
            if let Some(why) = execution.fatal {
                context.fail(why);
            }
        }
        for queued in queue.try_iter().filter(|queued| queued.is_download) {
            let fill = &mut |slice: &mut Slice| slice.lost_writes[Class::OtherAnnounce as usize] = WRITES_PER_DOWNLOAD;
            context.report(queued.at, fill);
        }
    })
}
