//! Ends children whose parent was killed.
//!
//! A program that is killed can end nothing any more, and a copying child would keep its lock on the live database. So the
//! program starts another process of its own binary before its first child, the watchdog, which waits for the end of a pipe:
//! the kernel closes it, however the parent ends. The watchdog then kills every process that has the parent's mark in its
//! environment, which all children are started with and which their own children inherit. Nothing of this is on the way of a
//! child while it runs.
//!
//! What a child has started with an environment of its own making is not found.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read},
    os::unix::{ffi::OsStringExt, process::CommandExt},
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process, setsid},
    thread::{NanosleepRelativeResult, Timespec, nanosleep, set_name},
};

/// The hidden subcommand of the binary that is the watchdog.
pub(crate) const COMMAND: &str = "watch-parent";

/// The variable that marks children: words, the last of which is their parent's mark.
const VARIABLE: &str = "JOURNALBENCH_PARENT";

/// How long nothing is found before the watchdog believes that all have ended: a child whose parent was killed as it started
/// it has its mark only when it runs its program.
const QUIET: Duration = Duration::from_millis(100);

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A watchdog that runs until the value is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Starts one, from this program's own file.
    ///
    /// # Errors
    /// As the operating system says.
    pub(crate) fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args([COMMAND, own_mark()]).current_dir("/");
        // A group of its own, so that no Ctrl-C ends it before its parent.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The program has ended its children by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Marks a child as one of this process. The marks that this process has itself stay before its own.
pub(crate) fn mark(command: &mut Command) {
    let mut words = env::var_os(VARIABLE).map(OsString::into_vec).unwrap_or_default();
    if !words.is_empty() {
        words.push(b' ');
    }
    words.extend_from_slice(own_mark().as_bytes());
    command.env(VARIABLE, OsString::from_vec(words));
}

/// What no other process has: the number of this one, and when it began.
fn own_mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name of the program, in brackets, may hold anything; the time is the 20th field after it.
        let began = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(19)).unwrap_or("0");
        format!("{}-{began}", process::id())
    })
}

/// The watchdog itself: waits until standard input ends, and kills what has this mark.
pub(crate) fn run(mark: &str) {
    // Where these fail it goes by its program's name, and ends with its terminal.
    let _ = set_name(c"child-watchdog");
    let _ = setsid();
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let mut quiet = Duration::ZERO;
    while quiet < QUIET {
        quiet = if kill_marked(mark) { Duration::ZERO } else { quiet + LOOK_EVERY };
        wait(LOOK_EVERY);
    }
}

/// Kills every process with this mark, and says whether there was one.
fn kill_marked(mark: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let mut found = false;
    for pid in pids {
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).unwrap_or_default();
        if is_marked(&environment, mark) {
            found |= kill_process(pid, Signal::KILL).is_ok();
        }
    }
    found
}

fn is_marked(environment: &[u8], mark: &str) -> bool {
    let mut variables = environment.split(|byte| *byte == 0);
    let words = variables.find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="));
    words.is_some_and(|words| words.split(|byte| *byte == b' ').any(|word| word == mark.as_bytes()))
}

fn wait(duration: Duration) {
    let mut rest = Timespec { tv_sec: 0, tv_nsec: i64::from(duration.subsec_nanos()) };
    while let NanosleepRelativeResult::Interrupted(left) = nanosleep(&rest) {
        rest = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_whole_word_of_its_variable() {
        for (environment, expected) in [
            (&b"HOME=/\0JOURNALBENCH_PARENT=7-1\0"[..], true),
            (b"JOURNALBENCH_PARENT=3-9 7-1", true),
            (b"JOURNALBENCH_PARENT=7-1 3-9\0", true),
            (b"JOURNALBENCH_PARENT=7-10\0", false),
            (b"JOURNALBENCH_PARENTS=7-1\0", false),
            (b"OTHER=JOURNALBENCH_PARENT=7-1\0", false),
            (b"", false),
        ] {
            assert_eq!(is_marked(environment, "7-1"), expected, "{}", String::from_utf8_lossy(environment));
        }
    }

    #[test]
    fn a_child_is_marked_as_ours() {
        let mut command = Command::new("sh");
        mark(command.args(["-c", "cat /proc/$$/environ"]));
        let environment = command.output().unwrap().stdout;
        assert!(is_marked(&environment, own_mark()));
    }
}
