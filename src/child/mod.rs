//! Runs a child process to its end, or until a limit is reached, and says what became of it and what it used.
//!
//! The child gets a process group of its own, so that a script and everything it started are killed together; dropping
//! the future of [`run`] kills them too. Its own end is what counts: what it has left running then is killed. Standard output
//! is passed on line by line, standard error is kept (its first part), standard input is empty. Where this program is killed
//! itself, a [`watchdog`] ends them. Knows nothing of strategies.

mod resources;
pub(crate) mod watchdog;

use std::{
    fmt, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, ChildStdout},
    sync::oneshot,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

pub use resources::Resources;

use crate::work;

/// Bytes of standard error that are kept.
const STDERR_KEPT_BYTES: usize = 4096;

/// Bytes of a line of standard output that are passed on; a longer line is cut.
const LINE_BYTES_MOST: usize = 64 << 10;

/// How often memory and free space are looked at.
const TICK: Duration = Duration::from_millis(10);

/// How long what is still in the pipes may take once the child has ended.
const GRACE: Duration = Duration::from_millis(200);

/// When a child is killed.
#[derive(Debug, Clone)]
pub struct Limits {
    /// After this time.
    pub deadline: Duration,
    /// When too little space is left.
    pub room: Option<Room>,
}

/// Space that is to stay free.
#[derive(Debug, Clone)]
pub struct Room {
    /// On the file systems of these folders.
    pub folders: Vec<PathBuf>,
    /// So many bytes, on each.
    pub least_free_bytes: u64,
}

impl Limits {
    /// A deadline and nothing else.
    #[must_use]
    pub fn deadline(deadline: Duration) -> Self {
        Self { deadline, room: None }
    }
}

impl Room {
    /// Where it is not kept.
    fn missing(&self) -> Option<Exit> {
        let least_free_bytes = self.least_free_bytes;
        self.folders.iter().find_map(|folder| {
            let free_bytes = work::free_bytes(folder).filter(|free| *free < least_free_bytes)?;
            Some(Exit::NoRoom { folder: folder.clone(), free_bytes, least_free_bytes })
        })
    }
}

/// How a child process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Status(ExitStatus),
    /// It was killed at its deadline.
    Deadline,
    /// It was killed because too little space was left.
    NoRoom {
        /// On the file system of this folder.
        folder: PathBuf,
        /// So much.
        free_bytes: u64,
        /// So much was to stay.
        least_free_bytes: u64,
    },
    /// It could not be started.
    NotStarted(String),
}

/// What is known of a child process that has ended.
#[derive(Debug, Clone)]
pub struct ChildOutcome {
    /// How it ended.
    pub exit: Exit,
    /// From before it was started to its end.
    pub duration: Duration,
    /// The beginning of what it wrote to standard error.
    pub stderr: String,
    /// What it used; `None` where it could not be started.
    pub resources: Option<Resources>,
}

impl ChildOutcome {
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
            Exit::Deadline | Exit::NoRoom { .. } | Exit::NotStarted(_) => None,
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
            Self::NoRoom { folder, free_bytes, least_free_bytes } => write!(
                f,
                "given up: {} MB were free in {}, and {} MB were to stay free",
                free_bytes / 1_000_000,
                folder.display(),
                least_free_bytes / 1_000_000
            ),
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// A process group, as long as its first process has not been reaped: then the number may become another's.
#[derive(Clone)]
struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    fn kill(&self) {
        if let Some(pid) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Kills a group when dropped.
struct KillOnDrop(Group);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// A child that was reaped.
struct Reaped {
    at: Instant,
    how: io::Result<(ExitStatus, Resources)>,
}

/// Runs `command` until it ends or a limit is reached. `on_line` is given the lines of its standard output.
pub async fn run(mut command: Command, limits: &Limits, mut on_line: impl FnMut(&str)) -> ChildOutcome {
    let begun = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    watchdog::mark(&mut command);
    let not_started = |error: &io::Error| {
        let exit = Exit::NotStarted(error.to_string());
        ChildOutcome { exit, duration: begun.elapsed(), stderr: String::new(), resources: None }
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return not_started(&error),
    };
    let mut pipes = match Pipes::of(&mut child) {
        Ok(pipes) => pipes,
        Err(error) => return not_started(&error),
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = KillOnDrop(Group(Arc::new(Mutex::new(pid))));
    let mut reaped = reap_in_thread(child, group.0.clone());
    let mut deadline = Box::pin(sleep(limits.deadline));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut killed = None;
    let mut sampled_bytes = 0;
    let reaped = loop {
        tokio::select! {
            biased;
            reaped = &mut reaped => break reaped,
            () = pipes.next(&mut on_line), if pipes.are_open() => {}
            () = &mut deadline, if killed.is_none() => killed = Some(Exit::Deadline),
            _ = ticks.tick() => {
                sampled_bytes = pid.map_or(0, resources::peak_bytes).max(sampled_bytes);
                if killed.is_none() {
                    killed = limits.room.as_ref().and_then(Room::missing);
                }
            }
        }
        if killed.is_some() {
            group.0.kill();
        }
    };
    let _ = timeout(GRACE, async {
        while pipes.are_open() {
            pipes.next(&mut on_line).await;
        }
    })
    .await;
    let stderr = String::from_utf8_lossy(&pipes.kept).into_owned();
    let Ok(Reaped { at, how }) = reaped else {
        let exit = Exit::NotStarted("the thread that waits for it has gone".to_owned());
        return ChildOutcome { exit, duration: begun.elapsed(), stderr, resources: None };
    };
    let duration = at.saturating_duration_since(begun);
    let (exit, mut resources) = match how {
        Ok((status, resources)) => (killed.unwrap_or(Exit::Status(status)), Some(resources)),
        Err(error) => (Exit::NotStarted(error.to_string()), None),
    };
    if let Some(resources) = &mut resources {
        resources.memory_peak_bytes = resources.memory_peak_bytes.max(sampled_bytes);
    }
    ChildOutcome { exit, duration, stderr, resources }
}

/// Waits for the child on a thread of its own, kills what it has left running, and reaps it.
fn reap_in_thread(mut child: Child, group: Group) -> oneshot::Receiver<Reaped> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // It stays a zombie, whose number is nobody else's, until all that it did was read. Where this fails, the reaping
            // itself waits.
            let wait = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            while wait().is_err_and(|error| error == Errno::INTR) {}
        }
        let at = Instant::now();
        group.kill();
        let mut pid = group.0.lock().unwrap_or_else(PoisonError::into_inner);
        let how = Resources::reap(&mut child);
        *pid = None;
        drop(pid);
        // Nobody waits for it where it was given up.
        let _ = sender.send(Reaped { at, how });
    });
    receiver
}

/// The child's standard output and standard error.
struct Pipes {
    stdout: Option<Lines>,
    stderr: Option<ChildStderr>,
    /// The beginning of standard error.
    kept: Vec<u8>,
}

impl Pipes {
    fn of(child: &mut Child) -> io::Result<Self> {
        let stdout = child.stdout.take().map(ChildStdout::from_std).transpose()?;
        let stderr = child.stderr.take().map(ChildStderr::from_std).transpose()?;
        Ok(Self { stdout: stdout.map(Lines::of), stderr, kept: Vec::new() })
    }

    fn are_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Waits for a line, a part of standard error, or an end. Loses nothing where it is given up.
    async fn next(&mut self, on_line: &mut impl FnMut(&str)) {
        let mut buffer = [0; 4096];
        let Self { stdout, stderr, kept } = self;
        tokio::select! {
            line = next_line(stdout), if stdout.is_some() => match line {
                Some(line) => on_line(&line),
                None => *stdout = None,
            },
            read = next_bytes(stderr, &mut buffer), if stderr.is_some() => match read {
                // Read to the end, so that the child never blocks on a full pipe.
                length @ 1.. => {
                    let room = STDERR_KEPT_BYTES.saturating_sub(kept.len());
                    kept.extend_from_slice(&buffer[..length.min(room)]);
                }
                0 => *stderr = None,
            },
        }
    }
}

async fn next_line(stdout: &mut Option<Lines>) -> Option<String> {
    stdout.as_mut()?.next().await
}

/// The lines of a program that may write anything: of any bytes, and without an end.
struct Lines {
    from: BufReader<ChildStdout>,
    /// What has come of the line that has not ended.
    line: Vec<u8>,
}

impl Lines {
    fn of(stdout: ChildStdout) -> Self {
        Self { from: BufReader::new(stdout), line: Vec::new() }
    }

    /// The next line; the last one may lack its end. Loses nothing where it is given up.
    async fn next(&mut self) -> Option<String> {
        loop {
            let bytes = self.from.fill_buf().await.ok()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let room = LINE_BYTES_MOST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let (read, is_last) = (part.len() + usize::from(end.is_some()), bytes.is_empty());
            self.from.consume(read);
            if end.is_some() || is_last && !self.line.is_empty() {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                return Some(line);
            }
            if is_last {
                return None;
            }
        }
    }
}

async fn next_bytes(stderr: &mut Option<ChildStderr>, buffer: &mut [u8]) -> usize {
    match stderr {
        Some(stderr) => stderr.read(buffer).await.unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_script(script: &str, deadline_ms: u64) -> (ChildOutcome, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deadline = Duration::from_millis(deadline_ms);
        let limits = Limits::deadline(deadline);
        let ended = runtime.block_on(run(command, &limits, |line| lines.push(line.to_owned())));
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
        let (ended, lines) = run_script("sleep 600 & echo $!; wait", 2_000);
        assert!(ended.exit == Exit::Deadline && ended.duration < Duration::from_secs(300), "{ended:?}");
        let status = format!("/proc/{}/status", lines.first().expect("two seconds are enough to write a line"));
        // Killed processes that nobody has waited for yet are still listed, as zombies.
        let goes_on = || std::fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ"));
        let given_up = Instant::now() + Duration::from_secs(10);
        while goes_on() {
            assert!(Instant::now() < given_up, "the grandchild went on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_a_result() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(run(Command::new("/no/such"), &Limits::deadline(Duration::from_secs(1)), |_| ()));
        assert!(matches!(ended.exit, Exit::NotStarted(_)), "{ended:?}");
    }

    #[test]
    fn standard_error_is_kept_in_part_and_never_blocks() {
        let (ended, _) = run_script("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", 10_000);
        assert_eq!(ended.stderr.len(), STDERR_KEPT_BYTES);
    }

    #[test]
    fn lines_of_any_length_and_bytes_are_passed_on_in_part() {
        let script = r"head -c 10000000 /dev/zero; printf '\n\377\n\nlast'";
        let (ended, lines) = run_script(script, 10_000);
        assert!(ended.succeeded(), "{ended:?}");
        assert_eq!(lines[0].len(), LINE_BYTES_MOST);
        assert_eq!(lines[1..], ["\u{fffd}", "", "last"]);
    }

    fn resources_of(script: &str) -> Resources {
        let (ended, _) = run_script(script, 20_000);
        assert!(ended.succeeded(), "{ended:?}");
        ended.resources.unwrap()
    }

    #[test]
    fn its_own_end_counts_and_what_it_leaves_running_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 2; touch {0}) & echo done", mark.display());
        let (ended, lines) = run_script(&script, 10_000);
        assert!(ended.succeeded(), "{ended:?}");
        assert_eq!(lines, ["done"]);
        assert!(ended.duration < Duration::from_millis(1_500), "{:?}", ended.duration);
        std::thread::sleep(Duration::from_millis(2_500).saturating_sub(ended.duration));
        assert!(!mark.exists(), "the grandchild went on");
    }

    #[test]
    fn what_descendants_use_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zeros");
        let script = format!("sh -c 'head -c 3000000 /dev/zero > {0}; cat {0} > /dev/null'; true", file.display());
        let io = resources_of(&script);
        // There is no disk below a tmpfs.
        assert!(io.disk_written_bytes == 0 || (3_000_000..4_000_000).contains(&io.disk_written_bytes), "{io:?}");
        assert!((6_000_000..7_000_000).contains(&io.written_bytes), "{io:?}");
        assert!((6_000_000..7_000_000).contains(&io.read_bytes), "{io:?}");

        let busy = resources_of("sh -c 'n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done'; true");
        let idle = resources_of("sh -c 'sleep 0.3'; true");
        assert!(busy.cpu_s() > 0.02 && busy.cpu_s() > 3.0 * idle.cpu_s(), "{busy:?}, {idle:?}");
    }

    #[test]
    fn memory_is_the_childs_and_not_that_of_the_process_it_comes_from() {
        let large = std::hint::black_box(vec![1_u8; 200_000_000]);
        // tail keeps all of its input.
        let tail = resources_of("head -c 50000000 /dev/zero | (tail -c 50000000; sleep 0.1) > /dev/null");
        assert!((45_000_000..90_000_000).contains(&tail.memory_peak_bytes), "{tail:?}");
        let tiny = resources_of("sleep 0.1");
        assert!((100_000..20_000_000).contains(&tiny.memory_peak_bytes), "{tiny:?}");
        drop(large);
    }

    #[test]
    fn too_little_free_space_ends_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folders = vec![std::env::temp_dir()];
        let run_with = |least_free_bytes, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let room = Some(Room { folders: folders.clone(), least_free_bytes });
            let limits = Limits { deadline: Duration::from_secs(20), room };
            runtime.block_on(run(command, &limits, |_| ()))
        };
        assert!(run_with(0, "sleep 0.1").succeeded());
        let ended = run_with(u64::MAX, "sleep 15");
        assert!(matches!(&ended.exit, Exit::NoRoom { folder, .. } if *folder == folders[0]), "{ended:?}");
        assert!(ended.duration < Duration::from_secs(10));
        assert!(ended.error().unwrap().contains("MB were to stay free"), "{ended:?}");
    }

    #[test]
    fn a_killed_child_has_used_something_and_is_no_zombie() {
        let (ended, lines) = run_script("echo $$; head -c 1000000 /dev/zero | cat > /dev/null; sleep 20", 2_000);
        assert_eq!(ended.exit, Exit::Deadline);
        assert!(ended.resources.unwrap().written_bytes > 1_000_000, "{ended:?}");
        assert!(!std::path::Path::new("/proc").join(&lines[0]).exists());
    }
}
