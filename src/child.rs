//! Runs a child process to its end, to its deadline, or until it is given up, and says what became of it.
//!
//! The child gets a process group of its own, so that a script and everything it started are killed together; dropping
//! the future of [`run`] kills them too. Standard output is passed on line by line, standard error is kept (its first
//! part), standard input is empty. Knows nothing of strategies.

use std::{
    fmt,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process,
    time::timeout,
};

/// Bytes of standard error that are kept.
const STDERR_KEPT_BYTES: usize = 4096;

/// How a child process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Status(ExitStatus),
    /// It was killed at its deadline.
    Deadline,
    /// It could not be started.
    NotStarted(String),
}

/// A child process that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// From before it was started to its end.
    pub duration: Duration,
    /// The beginning of what it wrote to standard error.
    pub stderr: String,
}

impl Ended {
    /// Whether it ended in time with status 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.exit, Exit::Status(status) if status.success())
    }

    /// Its exit status, if it has one: a killed process has none.
    #[must_use]
    pub fn exit_status(&self) -> Option<i32> {
        match self.exit {
            Exit::Status(status) => status.code(),
            Exit::Deadline | Exit::NotStarted(_) => None,
        }
    }

    /// What went wrong, in words; nothing where nothing did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let stderr = self.stderr.trim();
        match (&self.exit, stderr) {
            (Exit::Status(status), _) if status.success() => None,
            (exit, "") => Some(exit.to_string()),
            (exit, stderr) => Some(format!("{exit}: {stderr}")),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exit status {code}"),
                (None, Some(signal)) => write!(f, "killed by signal {signal}"),
                (None, None) => f.write_str("ended"),
            },
            Self::Deadline => f.write_str("stopped at the deadline"),
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// Kills a process group when dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` for at most `deadline`.
pub async fn run(command: Command, deadline: Duration, mut on_line: impl FnMut(&str)) -> Ended {
    let begun = Instant::now();
    let mut command = process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let exit = Exit::NotStarted(error.to_string());
            return Ended { exit, duration: begun.elapsed(), stderr: String::new() };
        }
    };
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut kept = Vec::new();
    let finished = timeout(deadline, async {
        let (status, (), ()) =
            tokio::join!(child.wait(), pass_lines(stdout, &mut on_line), keep_start(stderr, &mut kept));
        status
    })
    .await;
    let duration = begun.elapsed();
    let exit = match finished {
        Ok(Ok(status)) => Exit::Status(status),
        Ok(Err(error)) => Exit::NotStarted(error.to_string()),
        Err(_) => {
            group.kill();
            let _ = child.wait().await;
            Exit::Deadline
        }
    };
    // Its number may by now be another's.
    group.0 = None;
    Ended { exit, duration, stderr: String::from_utf8_lossy(&kept).into_owned() }
}

async fn pass_lines(stdout: Option<impl AsyncRead + Unpin>, on_line: &mut impl FnMut(&str)) {
    let Some(stdout) = stdout else { return };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        on_line(&line);
    }
}

/// Reads to the end, so that the child never blocks on a full pipe, and keeps the start.
async fn keep_start(stderr: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        let room = STDERR_KEPT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..length.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_script(script: &str, deadline_ms: u64) -> (Ended, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deadline = Duration::from_millis(deadline_ms);
        let ended = runtime.block_on(run(command, deadline, |line| lines.push(line.to_owned())));
        (ended, lines)
    }

    #[test]
    fn lines_and_status_arrive() {
        let (ended, lines) = run_script("echo one; echo two; echo oh no >&2; exit 3", 10_000);
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(ended.exit_status(), Some(3));
        assert_eq!(ended.error().unwrap(), "exit status 3: oh no");
        assert!(!ended.succeeded());
        let (ended, _) = run_script("echo noise >&2", 10_000);
        assert!(ended.succeeded());
        assert_eq!(ended.error(), None);
    }

    #[test]
    fn a_deadline_kills_what_the_child_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 0.5; touch {0}) & echo started; wait", mark.display());
        let (ended, lines) = run_script(&script, 100);
        assert_eq!((ended.exit.clone(), lines), (Exit::Deadline, vec!["started".to_owned()]));
        assert!(ended.duration < Duration::from_millis(450), "{:?}", ended.duration);
        std::thread::sleep(Duration::from_millis(700));
        assert!(!mark.exists(), "the grandchild went on");
    }

    #[test]
    fn a_program_that_is_not_there_is_a_result() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(run(Command::new("/no/such"), Duration::from_secs(1), |_| ()));
        assert!(matches!(ended.exit, Exit::NotStarted(_)), "{ended:?}");
    }

    #[test]
    fn standard_error_is_kept_in_part_and_never_blocks() {
        let (ended, _) = run_script("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", 10_000);
        assert_eq!(ended.stderr.len(), STDERR_KEPT_BYTES);
    }
}
