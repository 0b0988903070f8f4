//! What a child process and its descendants used.

use std::{fs, io, path::Path, process::Child, time::Duration};

use rustix::process::Pid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wait4::Wait4;

/// What a child process used, and those of its descendants that were waited for: the `cp` of a script is among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Time of the processors in the programs' own code.
    pub cpu_user_s: f64,
    /// Time of the processors in the kernel.
    pub cpu_system_s: f64,
    /// Largest resident memory of any one of them. Where that is less than what this program itself has used it is the largest
    /// of samples, one each 10 ms, of a figure that never falls: what came in the last 10 ms may be missing.
    pub memory_peak_bytes: u64,
    /// Bytes that they read through system calls, from wherever.
    pub read_bytes: u64,
    /// Bytes that they wrote through system calls.
    pub written_bytes: u64,
    /// Bytes that were fetched from a disk for them: what was in memory already does not count.
    pub disk_read_bytes: u64,
    /// Bytes of the pages that they made for a disk to write.
    pub disk_written_bytes: u64,
}

impl Resources {
    /// Processor time in all.
    #[must_use]
    pub fn cpu_s(&self) -> f64 {
        self.cpu_user_s + self.cpu_system_s
    }

    /// Reaps a child that has ended.
    pub(super) fn reap(child: &mut Child) -> io::Result<(std::process::ExitStatus, Self)> {
        // While it is not reaped its figures stand, with those of the children that it has reaped itself.
        let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
        let used = child.wait4()?;
        let seconds = |time: Duration| time.as_secs_f64();
        let resources = Self {
            cpu_user_s: seconds(used.rusage.utime),
            cpu_system_s: seconds(used.rusage.stime),
            // Before it runs its program, a child counts with the memory of the process that it comes from.
            memory_peak_bytes: if used.rusage.maxrss > own_peak_bytes() { used.rusage.maxrss } else { 0 },
            read_bytes: number_of(&io, "rchar"),
            written_bytes: number_of(&io, "wchar"),
            disk_read_bytes: number_of(&io, "read_bytes"),
            disk_written_bytes: number_of(&io, "write_bytes"),
        };
        Ok((used.status, resources))
    }
}

/// The largest resident memory so far of a process or any of its descendants, as of now; 0 where it has ended.
pub(super) fn peak_bytes(process: Pid) -> u64 {
    let folder = format!("/proc/{}", process.as_raw_pid());
    let own = peak_of(Path::new(&folder));
    let threads = fs::read_dir(format!("{folder}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let descendants = children.flat_map(|children| {
        let children = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        children.map(peak_bytes).collect::<Vec<_>>()
    });
    descendants.fold(own, u64::max)
}

fn own_peak_bytes() -> u64 {
    peak_of(Path::new("/proc/self"))
}

fn peak_of(process: &Path) -> u64 {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    number_of(&status, "VmHWM") * 1024
}

/// The number in the line `name: number` of a file in `/proc`; 0 where there is none.
fn number_of(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
