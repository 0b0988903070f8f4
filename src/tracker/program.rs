//! The tracker as a process: started on a database and a port of its own, ready when that port is its own, ended, and what its log says.
//! That it answers there is seen by its first client ([`super::client`]).

use std::{
    env,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use toml::Table;

use crate::{child::watchdog, work};

/// What the variables begin with that a tracker reads.
const VARIABLES: &[u8] = b"TORRUST_TRACKER_";

/// The variable that names the file of a tracker's configuration.
const CONFIG_VARIABLE: &str = "TORRUST_TRACKER_CONFIG_TOML_PATH";

/// How long it may take until it answers: it loads nothing.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end by itself: 1 to 2 s of 3.0.0.
const END_WITHIN: Duration = Duration::from_secs(15);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What its log says of a request that it gives up.
const ABORTED: &str = "aborting";

/// Lines of its log that an error quotes.
const LAST_LINES: usize = 10;

/// What a tracker is started with.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The program.
    pub program: &'a Path,
    /// Keys that go before ours.
    pub config: &'a Table,
    /// The database.
    pub live: &'a Path,
    /// The folder of its configuration and its log.
    pub folder: &'a Path,
}

/// A tracker that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Tracker {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: PathBuf,
}

impl Tracker {
    /// Starts one, and waits until it has a port.
    ///
    /// # Errors
    /// That it cannot be started, has ended, or does not answer, with the last lines of its log.
    pub fn start(start: Start<'_>) -> Result<Self> {
        Self::start_at(start, free_address()?)
    }

    /// Starts one at a port, and waits until it has that.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_at(start: Start<'_>, address: SocketAddr) -> Result<Self> {
        let Start { program, config, live, folder } = start;
        let path = folder.join("tracker.toml");
        let text = configuration(config, live, address)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let log = folder.join("tracker.log");
        let out = File::create_new(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = Command::new(program);
        // What the user's own tracker is configured by would go before the file, and could name another database.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(VARIABLES)) {
            command.env_remove(name);
        }
        // Its last words are to be what went wrong, and no backtrace.
        command.env(CONFIG_VARIABLE, &path).env("RUST_BACKTRACE", "0").current_dir(folder).stdin(Stdio::null());
        // In a group of its own: Ctrl-C is for this program, which ends it when the load has ended.
        command.stdout(out.try_clone()?).stderr(out).process_group(0);
        watchdog::mark(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut tracker = Self { child, address, log };
        tracker.wait_until_ready()?;
        Ok(tracker)
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(why) = self.ended() {
                bail!("the tracker {why}");
            }
            // Somebody else may answer at the port; then this one ends, since it cannot have it.
            if owner_has(self.id(), self.address).unwrap_or(false) {
                return Ok(());
            }
            if begun.elapsed() > READY_WITHIN {
                let within_s = READY_WITHIN.as_secs();
                bail!("the tracker did not open {} within {within_s} s{}", self.address, self.last_words());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// How it ended, with its last words; `None` while it runs.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("has ended ({status}){}", self.last_words()))
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        if last.is_empty() { "; it said nothing".to_owned() } else { format!("; its last words: {}", last.join(" / ")) }
    }

    /// Asks it to end, and kills it where it does not. Says how it ended, and whether it had to be killed.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn stop(&mut self) -> io::Result<Stopped> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // One that has ended needs no signal.
            let _ = kill_process(pid, Signal::INT);
        }
        let begun = Instant::now();
        while begun.elapsed() < END_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                return Ok(self.stopped(status, false));
            }
            thread::sleep(LOOK_EVERY);
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        Ok(self.stopped(status, true))
    }

    fn stopped(&self, status: ExitStatus, was_killed: bool) -> Stopped {
        let log = fs::read(&self.log).unwrap_or_default();
        let aborted_requests = String::from_utf8_lossy(&log).matches(ABORTED).count() as u64;
        Stopped { status, was_killed, aborted_requests }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // Both fail only where it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a tracker ended that was asked to.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// What the system says.
    pub status: ExitStatus,
    /// Whether it did not end by itself.
    pub was_killed: bool,
    /// Requests of which its log says that it gave them up, because more than it serves at once were under way.
    pub aborted_requests: u64,
}

/// The program that is named here, by `JOURNALBENCH_TRACKER`, or found on the `PATH`.
///
/// # Errors
/// Where there is none, how to install it.
pub fn find(named: Option<&Path>) -> Result<PathBuf> {
    let by_variable = || env::var_os(PROGRAM_VARIABLE).map(PathBuf::from);
    if let Some(program) = named.map(Path::to_owned).or_else(by_variable) {
        if program.is_file() {
            // It is started in another folder.
            return std::path::absolute(&program).with_context(|| format!("cannot find {}", program.display()));
        }
        bail!("{}: there is no such program; {HOW_TO_INSTALL}", program.display());
    }
    let program = work::on_path("torrust-tracker")
        .with_context(|| format!("there is no torrust-tracker on the PATH; {HOW_TO_INSTALL}"))?;
    std::path::absolute(&program).with_context(|| format!("cannot find {}", program.display()))
}

/// The version of a program that `cargo install` has put where it is: it is noted in the folder above. `None` where it came otherwise.
#[must_use]
pub fn installed_version(program: &Path) -> Option<String> {
    let root = program.parent()?.parent()?;
    let noted: Table = toml::from_str(&fs::read_to_string(root.join(".crates.toml")).ok()?).ok()?;
    let name = program.file_name()?.to_str()?;
    let is_of = |programs: &toml::Value| {
        programs.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)))
    };
    let package = noted.get("v1")?.as_table()?.iter().find(|(_, programs)| is_of(programs))?.0;
    // As in "torrust-tracker 3.0.0 (registry+https://...)".
    package.split_whitespace().nth(1).map(str::to_owned)
}

/// The variable that names the program.
const PROGRAM_VARIABLE: &str = "JOURNALBENCH_TRACKER";

const HOW_TO_INSTALL: &str = "install it with `cargo install torrust-tracker --version 3.0.0 --locked`, or name it in \
    JOURNALBENCH_TRACKER or target.program";

/// A port of this machine that nobody has, at this moment.
fn free_address() -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a port on loopback")?;
    Ok(socket.local_addr()?)
}

/// Ours, with the user's keys before it, and what makes a trial what it is before both.
fn configuration(users: &Table, live: &Path, address: SocketAddr) -> Result<String> {
    let Some(live) = live.to_str() else {
        bail!("{} is no text in UTF-8, which the tracker's configuration must be", live.display());
    };
    let mut config: Table = toml::from_str(OURS)?;
    merge(&mut config, users);
    let of_trial = format!(
        "[core.database]\ndriver = \"sqlite3\"\npath = {}\n[[udp_trackers]]\nbind_address = \"{address}\"\n",
        toml::Value::from(live)
    );
    merge(&mut config, &toml::from_str(&of_trial)?);
    Ok(toml::to_string(&config)?)
}

/// Nothing but UDP is served, and nothing but a count of completed downloads is kept; peers and torrents stay as they are announced.
const OURS: &str = r#"
[metadata]
app = "torrust-tracker"
purpose = "configuration"
schema_version = "2.0.0"
[logging]
threshold = "warn"
[core]
listed = false
private = false
tracker_usage_statistics = false
inactive_peer_cleanup_interval = 0
[core.tracker_policy]
persistent_torrent_completed_stat = true
remove_peerless_torrents = false
[health_check_api]
bind_address = "127.0.0.1:0"
"#;

fn merge(config: &mut Table, over: &Table) {
    for (key, value) in over {
        match (config.get_mut(key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over),
            _ => drop(config.insert(key.clone(), value.clone())),
        }
    }
}

/// The process that has a UDP socket open at this address; `None` where it is not found, or is none of this user's.
#[must_use]
pub fn owner(address: SocketAddr) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|process| owner_has(*process, address).unwrap_or(false))
}

/// Whether a process has a UDP socket open at this address.
fn owner_has(process: u32, address: SocketAddr) -> io::Result<bool> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/net/{file}"));
    // A system without IPv6 has no file of it.
    let sockets = read("udp")? + &read("udp6").unwrap_or_default();
    let inodes: Vec<_> = sockets.lines().filter_map(|line| inode_at(line, address.port())).collect();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        if inode.is_some_and(|inode| inodes.contains(&inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The inode of the socket in a line of `/proc/net/udp` or `udp6`, where it listens at this port.
fn inode_at(line: &str, port: u16) -> Option<&str> {
    let mut words = line.split_whitespace();
    let (_, local_port) = words.nth(1)?.split_once(':')?;
    let is_it = u16::from_str_radix(local_port, 16) == Ok(port);
    // After the local address: remote, state, queues, timer, retransmissions, user, timeout.
    words.nth(7).filter(|_| is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_ports_that_it_opened_and_no_others() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let own = std::process::id();
        assert!(owner_has(own, address).unwrap());
        assert_eq!(owner(address), Some(own));
        drop(socket);
        assert!(!owner_has(own, address).unwrap());
    }

    #[test]
    fn the_users_keys_go_before_ours_and_the_trials_before_both() {
        let users = toml::from_str(
            "[core]\nlisted = true\nown = 5\n[core.database]\npath = \"other.db\"\n[[udp_trackers]]\nbind_address = \"0.0.0.0:1\"",
        )
        .unwrap();
        let address = "127.0.0.1:6969".parse().unwrap();
        let text = configuration(&users, Path::new("/tmp/a \"b\".db"), address).unwrap();
        let config: Table = toml::from_str(&text).unwrap();
        assert_eq!(config["core"]["listed"], true.into());
        assert_eq!(config["core"]["own"], 5.into());
        assert_eq!(config["core"]["private"], false.into());
        assert_eq!(config["core"]["database"]["path"], "/tmp/a \"b\".db".into());
        assert_eq!(config["udp_trackers"][0]["bind_address"], "127.0.0.1:6969".into());
        assert_eq!(config["udp_trackers"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_version_is_what_cargo_has_noted() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bin/tracker");
        assert_eq!(installed_version(&program), None);
        let noted = "[v1]\n\"other 1.0.0 (a)\" = [\"other\"]\n\"the-tracker 3.0.0 (registry+b)\" = [\"checker\", \"tracker\"]\n";
        fs::write(folder.path().join(".crates.toml"), noted).unwrap();
        assert_eq!(installed_version(&program).as_deref(), Some("3.0.0"));
        assert_eq!(installed_version(&folder.path().join("bin/third")), None);
        fs::write(folder.path().join(".crates.toml"), "no table").unwrap();
        assert_eq!(installed_version(&program), None);
    }

    #[test]
    fn a_program_that_ends_is_an_error_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("tracker");
        fs::write(&script, "#!/bin/sh\necho thinking\necho no such database >&2\nexit 3\n").unwrap();
        rustix::fs::chmod(&script, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        let (live, none) = (folder.path().join("live.db"), Table::new());
        let start = Start { program: &script, config: &none, live: &live, folder: folder.path() };
        let error = Tracker::start(start).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("thinking / no such database"), "{error}");
        let missing = Start { program: Path::new("/nowhere/tracker"), folder: &folder.path().join("b"), ..start };
        fs::create_dir(missing.folder).unwrap();
        assert!(Tracker::start(missing).unwrap_err().to_string().contains("cannot start /nowhere/tracker"));
    }
}
