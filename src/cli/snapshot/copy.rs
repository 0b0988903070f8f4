//! The copying itself: a child process in the hidden folder, its progress, and whom it waits for.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{Arguments, Order};
use crate::{
    child::{self, Limits, Room},
    interrupt::Interrupt,
    lock_holders,
    progress::{self, print_line},
    snapshot::{
        PaceResult, Procedure, Programs, SNAPSHOT_FILE, Site, StrategyOptions, Task, held_copy,
        protocol::{ChildMessage, PartResult},
    },
    work,
};

/// How long nothing is copied before it is said for whom the copy waits.
const SAY_AFTER: Duration = Duration::from_secs(1);

/// How often the copy is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A copy that was made.
pub(super) struct Copied {
    pub(super) duration_s: f64,
    pub(super) parts: Vec<PartResult>,
    /// What its pace was, where it had one.
    pub(super) pace: Option<PaceResult>,
}

/// Copies into the hidden folder, where one file is to be afterwards.
pub(super) fn copy(arguments: &Arguments, order: &Order, folder: &Path, interrupt: &Interrupt) -> Result<Copied> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let (programs, options) = (Programs::find(this), StrategyOptions::default());
    let site = Site { programs: &programs, options: &options, live: &order.live, folder, counted_sync_delay: None };
    let procedure = match arguments.pace.hold(arguments.strategy()) {
        Some(options) => held_copy::compressing(&site, options, arguments.pace.zstd),
        None => arguments.strategy().procedure(&site),
    };
    let command = match procedure {
        Procedure::Run(Task::Child(command)) => command,
        Procedure::Unavailable(reason) => bail!(reason),
        Procedure::Nothing | Procedure::Run(Task::WhileStopped(_) | Task::InWriter { .. }) => {
            bail!("it takes no copy by itself")
        }
    };
    let beside = order.live.parent().unwrap_or(Path::new("/")).to_owned();
    let room = Room { folders: vec![folder.to_owned(), beside], least_free_bytes: arguments.keep_free.0 };
    let limits = Limits { deadline: Duration::from_secs_f64(arguments.deadline_s), room: Some(room) };
    let (mut parts, mut pace) = (Vec::new(), None);
    let mut display = progress::Bytes::new("copying");
    let out = folder.join(SNAPSHOT_FILE);
    let mut waiting = Waiting { live: &order.live, begun: Instant::now(), for_whom: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let ended = child::run(command, &limits, |line| match serde_json::from_str(line) {
            Ok(ChildMessage::Part(part)) => parts.push(part),
            Ok(ChildMessage::Pace(told)) => pace = Some(told),
            Ok(ChildMessage::Progress(_) | ChildMessage::Io(_)) | Err(_) => {}
        });
        let mut ended = std::pin::pin!(ended);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ended = &mut ended => return Some(ended),
                () = interrupt.wait() => return None,
                _ = looks.tick() => {
                    let copied_bytes = work::file_bytes(&out);
                    waiting.look(copied_bytes);
                    display.show(copied_bytes, order.bytes);
                }
            }
        }
    });
    display.finish();
    let Some(ended) = ended else { bail!("interrupted") };
    if let Some(error) = ended.error() {
        bail!("{error}{}", waiting.explain(work::file_bytes(&out)));
    }
    let left = work::files_in(folder)?;
    if left != [out] {
        bail!("the strategy left {} files instead of one", left.len());
    }
    Ok(Copied { duration_s: ended.duration.as_secs_f64(), parts, pace })
}

/// For whom a copy waits that has not begun.
struct Waiting<'a> {
    live: &'a Path,
    begun: Instant,
    /// The last that was seen, and whether it was said.
    for_whom: Option<(String, bool)>,
}

impl Waiting<'_> {
    fn look(&mut self, copied_bytes: u64) {
        if copied_bytes > 0 {
            self.for_whom = None;
            return;
        }
        let Some(blocker) = lock_holders::blockers(self.live).first().map(ToString::to_string) else { return };
        let was_said = self.for_whom.as_ref().is_some_and(|(_, said)| *said);
        let is_to_say = !was_said && self.begun.elapsed() >= SAY_AFTER;
        if is_to_say {
            print_line(&format!("waiting for a lock on {}: {blocker}", self.live.display()));
        }
        self.for_whom = Some((blocker, was_said || is_to_say));
    }

    /// What is to be added to the words of a copy that failed.
    fn explain(&mut self, copied_bytes: u64) -> String {
        // A strategy that does not wait fails before the first look.
        self.look(copied_bytes);
        let blocker = self.for_whom.as_ref().map(|(blocker, _)| blocker);
        blocker.map_or_else(String::new, |blocker| {
            format!("; it could not get its lock on {}: {blocker}", self.live.display())
        })
    }
}
