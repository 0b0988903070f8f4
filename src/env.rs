//! The machine, the file system and the versions of SQLite that a run used.
//!
//! Read from `/proc` and from the programs themselves; what cannot be found out is left empty, never guessed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    probe::{self, DiskProbe, Effort, Latencies, SqliteFound},
    snapshot::Programs,
    timer, work,
};

/// Where a run was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Processor model.
    pub processor: String,
    /// Processors that this program may use.
    pub processors: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Operating system kernel and its release.
    pub kernel: String,
    /// Type of the file system of the work folder.
    pub file_system: String,
    /// Its mount options.
    pub mount_options: String,
    /// Median time of an fsync after overwriting 4 KiB in the work folder, in microseconds; `None` where there were too few for
    /// one.
    pub fsync_us_p50: Option<u64>,
    /// Version of the SQLite that this program is built with.
    pub sqlite_version: String,
    /// The system call that this SQLite syncs with: fsync or fdatasync.
    pub sqlite_sync_call: String,
    /// Version of the `sqlite3` program, where there is one.
    pub sqlite3_program_version: Option<String>,
    /// Version of `cp`, where it tells.
    pub cp_version: Option<String>,
    /// Whether the program was built with optimisation.
    pub optimised_build: bool,
    /// What the program was built of; `None` where an older one did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// The revision of SQLite's sources that this program is built with; `None` where an older one did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite_source_id: Option<String>,
    /// The programs that strategies may run; `None` where an older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programs: Option<Vec<Program>>,
    /// What chooses the clock of the processors, each name once; `None` where the kernel does not tell, as in most virtual
    /// machines, and where an older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_governors: Option<Vec<String>>,
    /// How late a thread wakes that slept until an instant, in microseconds: of a hundred times, one is later. `None` where an
    /// older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer_late_us_p99: Option<u64>,
    /// How late these wake, in percentiles; `None` where an older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer_late: Option<Latencies>,
    /// What the disk of the work folder does; `None` where an older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_probe: Option<DiskProbe>,
    /// The SQLite libraries that there are: the built-in one first, then those of the programs; `None` where an older program did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite_found: Option<Vec<SqliteFound>>,
}

/// What this program was built of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// The commit of its sources; `None` where it was built outside its repository, without git or not for release.
    pub revision: Option<String>,
    /// Whether the sources were changed since; `None` where the revision is not known.
    pub modified: Option<bool>,
    /// What it was built for, as in `x86_64-unknown-linux-gnu`.
    pub target: Option<String>,
    /// The profile of Cargo, or what it is like: `debug` or `release`.
    pub profile: Option<String>,
    /// The compiler and its version.
    pub rustc: Option<String>,
}

/// A program that strategies run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Program {
    /// What it is called by.
    pub name: String,
    /// Where it was found; `None` where it is not installed.
    pub path: Option<PathBuf>,
    /// What it says of its version, in one line: `sqlite3` names the revision of SQLite's sources there.
    pub version: Option<String>,
}

impl Build {
    /// Of this program.
    #[must_use]
    pub fn this() -> Self {
        let owned = |value: Option<&str>| value.map(str::to_owned);
        Self {
            revision: owned(option_env!("JOURNALBENCH_BUILD_REVISION")),
            modified: option_env!("JOURNALBENCH_BUILD_MODIFIED").map(|modified| modified == "true"),
            target: owned(option_env!("JOURNALBENCH_BUILD_TARGET")),
            profile: owned(option_env!("JOURNALBENCH_BUILD_PROFILE")),
            rustc: owned(option_env!("JOURNALBENCH_BUILD_RUSTC")),
        }
    }
}

impl Program {
    /// One that may be installed. It is asked for its version, where there is an argument to ask it with.
    fn read(name: &str, path: Option<&Path>, version_argument: Option<&str>) -> Self {
        let version = path.zip(version_argument).and_then(|(path, argument)| {
            let output = Command::new(path).arg(argument).stdin(Stdio::null()).output().ok()?;
            String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
        });
        Self { name: name.to_owned(), path: path.map(Path::to_owned), version }
    }
}

impl Environment {
    /// Looks around, and measures what the disk and the timer do; `work_dir` must exist. It ends soon after `interrupted` is
    /// set, with less measured.
    #[must_use]
    pub fn read(work_dir: &Path, programs: &Programs, effort: Effort, interrupted: &AtomicBool) -> Self {
        let (file_system, mount_options) = mount_of(work_dir).unwrap_or_default();
        let disk = DiskProbe::measure(work_dir, &file_system, &mount_options, effort, interrupted);
        let late = timer::late(effort.sleeps()).unwrap_or_default();
        let cp = Program::read("cp", programs.cp.as_deref(), Some("--version"));
        let sqlite3 = Program::read("sqlite3", programs.sqlite3.as_deref(), Some("--version"));
        // It has no such argument, and shows how it is used.
        let sqlite3_rsync = Program::read("sqlite3_rsync", programs.sqlite3_rsync.as_deref(), None);
        let ionice = Program::read("ionice", programs.ionice.as_deref(), Some("--version"));
        let rsync = Program::read("rsync", programs.rsync.as_deref(), Some("--version"));
        let sh = Program::read("sh", programs.sh.as_deref(), None);
        Self {
            processor: field_of("/proc/cpuinfo", "model name").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory("MemTotal").unwrap_or_default(),
            kernel: kernel(),
            file_system,
            mount_options,
            fsync_us_p50: disk.fsync.and_then(|fsync| fsync.p50_us),
            sqlite_version: rusqlite::version().to_owned(),
            sqlite_sync_call: sync_call(),
            sqlite3_program_version: sqlite3
                .version
                .as_ref()
                .and_then(|line| line.split_whitespace().next().map(str::to_owned)),
            cp_version: cp.version.clone(),
            optimised_build: !cfg!(debug_assertions),
            build: Some(Build::this()),
            sqlite_source_id: sqlite_source_id(),
            programs: Some(vec![cp, sqlite3, sqlite3_rsync, ionice, rsync, sh]),
            cpu_governors: cpu_governors(Path::new("/sys/devices/system/cpu")),
            timer_late: Latencies::of(late.clone()),
            timer_late_us_p99: timer::p99_us(late),
            disk_probe: Some(disk),
            sqlite_found: Some(probe::found(programs.sqlite3.as_deref(), programs.sqlite3_rsync.as_deref())),
        }
    }
}

/// The bundled SQLite calls fdatasync only where it was built to.
fn sync_call() -> String {
    let built_with = || {
        let connection = rusqlite::Connection::open_in_memory()?;
        connection.query_row("SELECT sqlite_compileoption_used('HAVE_FDATASYNC')", [], |row| row.get::<_, bool>(0))
    };
    if built_with().unwrap_or(false) { "fdatasync" } else { "fsync" }.to_owned()
}

fn sqlite_source_id() -> Option<String> {
    let connection = rusqlite::Connection::open_in_memory().ok()?;
    connection.query_row("SELECT sqlite_source_id()", [], |row| row.get(0)).ok()
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy())
}

/// Bytes of memory that programs can have without anything being swapped: what the machine has left, or what the group of
/// processes is allowed, where that is less. `None` where the kernel does not tell.
#[must_use]
pub(crate) fn available_memory_bytes() -> Option<u64> {
    // In a container this is the container's; outside, the root has no such file.
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    memory("MemAvailable").map(|available| available.min(limit.unwrap_or(u64::MAX)))
}

/// A size that the kernel tells of the memory, in bytes.
fn memory(name: &str) -> Option<u64> {
    let kib: u64 = field_of("/proc/meminfo", name)?.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The governors in the folder of the processors; `None` where it names none.
fn cpu_governors(processors: &Path) -> Option<Vec<String>> {
    let folders = work::files_in(processors).ok()?;
    let governor = |folder: &PathBuf| {
        let text = fs::read_to_string(folder.join("cpufreq/scaling_governor")).ok()?;
        Some(text.trim().to_owned()).filter(|name| !name.is_empty())
    };
    let mut governors: Vec<_> = folders.iter().filter_map(governor).collect();
    governors.sort();
    governors.dedup();
    (!governors.is_empty()).then_some(governors)
}

/// The value of the first `name : value` line of a file in `/proc`.
fn field_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Type and options of the mount that a folder is on: the longest mount point that it lies under.
fn mount_of(folder: &Path) -> Option<(String, String)> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        // Spaces in a mount point are written as \040.
        let point = fields.next()?.replace("\\040", " ");
        Some((point, fields.next()?.to_owned(), fields.next()?.to_owned()))
    });
    let on = fields.filter(|(point, ..)| folder.starts_with(point)).max_by_key(|(point, ..)| point.len())?;
    Some((on.1, on.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn governors_are_named_once_and_unknown_where_there_are_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("cpuidle")).unwrap();
        assert_eq!(cpu_governors(folder.path()), None);
        assert_eq!(cpu_governors(&folder.path().join("none")), None);
        for (processor, governor) in [("cpu0", "schedutil\n"), ("cpu1", "performance\n"), ("cpu10", "schedutil\n")] {
            let cpufreq = folder.path().join(processor).join("cpufreq");
            fs::create_dir_all(&cpufreq).unwrap();
            fs::write(cpufreq.join("scaling_governor"), governor).unwrap();
        }
        assert_eq!(cpu_governors(folder.path()).unwrap(), ["performance", "schedutil"]);
    }

    #[test]
    fn the_environment_of_this_machine_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::read(
            folder.path(),
            &Programs::find("journalbench".into()),
            Effort::InRun,
            &AtomicBool::new(false),
        );
        assert!(!environment.file_system.is_empty());
        assert!(environment.fsync_us_p50.is_some());
        assert!(environment.memory_bytes > 0);
        assert!(available_memory_bytes().is_some_and(|bytes| bytes <= environment.memory_bytes));
        assert!(environment.timer_late_us_p99.is_some() && environment.timer_late.is_some());
        let fsync = environment.disk_probe.unwrap().fsync.unwrap();
        assert_eq!(environment.fsync_us_p50, fsync.p50_us, "measured once");
        let source = environment.sqlite_source_id.unwrap();
        assert!(source.starts_with("20") && source.len() > 64, "{source}");
        let programs = environment.programs.unwrap();
        let cp = programs.iter().find(|program| program.name == "cp").unwrap();
        assert!(cp.path.is_some() && cp.version == environment.cp_version, "{cp:?}");
        let build = environment.build.unwrap();
        assert!(build.target.is_some() && build.profile.is_some() && build.rustc.is_some(), "{build:?}");
        assert_eq!(build.revision.is_some(), build.modified.is_some(), "{build:?}");
    }
}
