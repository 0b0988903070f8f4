//! Runs the task of a strategy until it ends or its deadline comes: a child process, with the writers stopped where the
//! strategy asks for that, or the writer's own copy.

use std::{
    cell::Cell,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc::unbounded_channel, time::timeout};

use crate::{
    child::{self, Exit, Limits, Resources},
    history::ledger::Ledger,
    snapshot::{
        CopyProgress, PaceResult, Strategy, Task, WriterRole,
        in_writer::{CopyRequest, WriterMessage},
        protocol::{ChildMessage, CopyIo, PartResult},
    },
    target::sqlite::Gate,
};

/// Parts of a copy that are kept. A strategy of this program has five at most; a command may print what looks like one as often
/// as it likes.
const PARTS_MOST: usize = 64;

/// How long a writer that is given up may take to end its step.
const STEP_PATIENCE: Duration = Duration::from_secs(2);

/// What snapshots can ask of those who write.
#[derive(Debug, Default)]
pub struct Writers {
    /// Closed to stop them, where the strategy does.
    pub gate: Option<Gate>,
    /// Where the one that writes is asked for a copy, where the strategy does.
    pub copy_requests: Option<mpsc::Sender<CopyRequest>>,
}

impl Writers {
    /// What a strategy asks of them; and where requests for copies arrive, for the connection that is to make them.
    pub fn of(strategy: Strategy) -> (Self, Option<mpsc::Receiver<CopyRequest>>) {
        match strategy.definition().writers {
            WriterRole::None => (Self::default(), None),
            WriterRole::Stopped => (Self { gate: Some(Gate::default()), copy_requests: None }, None),
            WriterRole::Copies => {
                let (copy_requests, received) = mpsc::channel();
                (Self { gate: None, copy_requests: Some(copy_requests) }, Some(received))
            }
        }
    }
}

/// How the task of a strategy ended.
#[derive(Debug, Clone, Default)]
pub struct TaskOutcome {
    /// From before it was begun to its end.
    pub duration: Duration,
    /// Whether it said that all is well.
    pub finished: bool,
    /// Status of its process, if it had one and that was not killed.
    pub exit_status: Option<i32>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The beginning of what its process wrote to standard error.
    pub stderr: String,
    /// How long its parts took, as far as it said.
    pub parts: Vec<PartResult>,
    /// What it asked of files, where it counts.
    pub io: Option<CopyIo>,
    /// What its pace was, where it had one.
    pub pace: Option<PaceResult>,
    /// How long no write was let through, where it stops the writers.
    pub downtime: Option<Duration>,
    /// The last commit before they were let through again, where it stops them: no later one can be in its copy.
    pub commit_while_stopped: Option<u64>,
    /// What its process used, where it has one.
    pub resources: Option<Resources>,
    /// What it took of the writer's thread, where that copies.
    pub writer_cpu: Option<Duration>,
}

/// Runs a task. `progress` becomes what it last said of its progress.
pub async fn run(
    task: Task,
    limits: &Limits,
    writers: &Writers,
    ledger: &Ledger,
    progress: &Cell<Option<CopyProgress>>,
) -> TaskOutcome {
    match task {
        Task::Child(command) => run_child(command, limits, progress).await,
        Task::WhileStopped(command) => while_stopped(command, limits, writers, ledger, progress).await,
        Task::InWriter { out, options, counted_sync_delay } => {
            let cancelled = Cancel(Arc::default());
            let (listener, messages) = unbounded_channel();
            let cancelled_too = Arc::clone(&cancelled.0);
            let request = CopyRequest { out, options, counted_sync_delay, listener, cancelled: cancelled_too };
            let is_asked = writers.copy_requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
            if is_asked {
                follow_writer(messages, limits.deadline, &cancelled, progress).await
            } else {
                failed("there is no writer to ask")
            }
        }
    }
}

async fn run_child(command: Command, limits: &Limits, progress: &Cell<Option<CopyProgress>>) -> TaskOutcome {
    let (mut parts, mut io, mut pace) = (Vec::new(), None, None);
    let ended = child::run(command, limits, |line| match serde_json::from_str(line) {
        Ok(ChildMessage::Progress(now)) => progress.set(Some(now)),
        Ok(ChildMessage::Part(part)) if parts.len() < PARTS_MOST => parts.push(part),
        Ok(ChildMessage::Io(counted)) => io = Some(counted),
        Ok(ChildMessage::Pace(told)) => pace = Some(told),
        // A script says what it likes.
        Ok(ChildMessage::Part(_)) | Err(_) => {}
    })
    .await;
    TaskOutcome {
        duration: ended.duration,
        finished: ended.succeeded(),
        exit_status: ended.exit_status(),
        error: ended.error(),
        stderr: ended.stderr,
        parts,
        io,
        pace,
        resources: ended.resources,
        downtime: None,
        commit_while_stopped: None,
        writer_cpu: None,
    }
}

/// Closes the gate, which takes as long as the writes that are under way, runs the child, and opens it again.
async fn while_stopped(
    command: Command,
    limits: &Limits,
    writers: &Writers,
    ledger: &Ledger,
    progress: &Cell<Option<CopyProgress>>,
) -> TaskOutcome {
    let begun = Instant::now();
    let Some(gate) = &writers.gate else { return failed("there are no writers to stop") };
    let Ok(closed) = timeout(limits.deadline, gate.write()).await else {
        let (duration, error) = (begun.elapsed(), "the writers did not stop before the deadline".to_owned());
        return TaskOutcome { duration, error: Some(error), downtime: Some(duration), ..TaskOutcome::default() };
    };
    let left = Limits { deadline: limits.deadline.saturating_sub(begun.elapsed()), ..limits.clone() };
    let outcome = run_child(command, &left, progress).await;
    let commit_while_stopped = Some(ledger.issued());
    drop(closed);
    let duration = begun.elapsed();
    TaskOutcome { duration, downtime: Some(duration), commit_while_stopped, ..outcome }
}

/// Sets its flag when the copy is no longer waited for, whatever the reason.
struct Cancel(Arc<AtomicBool>);

impl Cancel {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.set();
    }
}

/// Listens to the writer that was asked for a copy.
async fn follow_writer(
    mut messages: tokio::sync::mpsc::UnboundedReceiver<WriterMessage>,
    deadline: Duration,
    cancelled: &Cancel,
    progress: &Cell<Option<CopyProgress>>,
) -> TaskOutcome {
    let begun = Instant::now();
    let mut to_the_end = async || loop {
        match messages.recv().await {
            Some(WriterMessage::Progress(now)) => progress.set(Some(now)),
            Some(WriterMessage::Ended { result, cpu }) => return (result, Some(cpu)),
            None => return (Err("the writer has gone".to_owned()), None),
        }
    };
    let (result, writer_cpu) = if let Ok(ended) = timeout(deadline, to_the_end()).await {
        ended
    } else {
        cancelled.set();
        // Until then it still writes to the copy.
        let cpu = timeout(STEP_PATIENCE, to_the_end()).await.map_or(None, |(_, cpu)| cpu);
        (Err(Exit::Deadline.to_string()), cpu)
    };
    TaskOutcome {
        duration: begun.elapsed(),
        finished: result.is_ok(),
        error: result.err(),
        writer_cpu,
        ..TaskOutcome::default()
    }
}

fn failed(why: &str) -> TaskOutcome {
    TaskOutcome { error: Some(why.to_owned()), ..TaskOutcome::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_chatty_command_the_first_parts_are_kept() {
        let mut command = Command::new("sh");
        let part = r#"{"part":{"part":"fold","duration_s":1}}"#;
        command.args(["-c", &format!("yes '{part}' | head -n 5000; echo not one of them")]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let progress = Cell::new(None);
        let outcome = runtime.block_on(run_child(command, &Limits::deadline(Duration::from_secs(60)), &progress));
        assert!(outcome.finished, "{outcome:?}");
        assert_eq!(outcome.parts.len(), PARTS_MOST);
    }
}
