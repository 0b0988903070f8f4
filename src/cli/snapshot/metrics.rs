//! What became of a snapshot, for Prometheus: a file for the text-file collector of its node exporter.
//!
//! The collector reads the text format of Prometheus, in which nothing but gauges is written here, and in which units are a part
//! of the names: so the page is the one of `OpenMetrics` without its end mark. The file is replaced as a whole, by a rename in its
//! folder, because the collector may read at any time. What a run that failed does not know (when the last one succeeded, how
//! large its copy is) is taken over from the file that is there.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::text,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::make::Ending;
use crate::{cli::CommandError, results::write_atomically, work};

/// The most that is read of the file that is there.
const FILE_BYTES_MOST: u64 = 1 << 20;

/// What all names begin with.
const PREFIX: &str = "journalbench_snapshot";

type Labels = Vec<(&'static str, String)>;

/// A gauge for each database, of which a file has one.
type DatabaseGauge = Family<Labels, Gauge<f64, AtomicU64>>;

/// What became of a run.
#[derive(Debug)]
pub(super) struct Run {
    database: String,
    at_s: f64,
    duration_s: f64,
    /// Of the copy, where one was made.
    bytes: Option<f64>,
    is_verified: bool,
    stop_s: Option<f64>,
    wal_bytes: Option<f64>,
}

/// Refuses a name that the collector does not read.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|extension| extension == "prom") {
        Ok(path)
    } else {
        Err("the collector reads only files whose names end in .prom".to_owned())
    }
}

impl Run {
    /// Of a run that has just ended, and took so long.
    pub fn new(live: &Path, ended: &Result<Ending, CommandError>, duration: Duration) -> Self {
        // As it was named: where it is not there, nobody knows what a link of that name led to.
        let database = std::path::absolute(live).unwrap_or_else(|_| live.to_owned()).display().to_string();
        let made = match ended {
            Ok(Ending::Made(made)) => Some(made),
            Ok(Ending::Planned(_) | Ending::Unsound(_) | Ending::Interrupted) | Err(_) => None,
        };
        Self {
            database,
            at_s: Timestamp::now().as_duration().as_secs_f64(),
            duration_s: duration.as_secs_f64(),
            bytes: made.map(|made| made.bytes as f64),
            is_verified: made.is_some_and(|made| made.manifest.is_some()),
            stop_s: made.and_then(|made| made.stop_s),
            wal_bytes: made.and_then(|made| made.copied.pace).map(|pace| pace.wal_bytes_max as f64),
        }
    }

    /// Writes the file, with what it takes over from the one that is there.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let before = work::read_regular(file, FILE_BYTES_MOST).unwrap_or_default();
        let page = self.page(&String::from_utf8_lossy(&before));
        write_atomically(file, page.as_bytes())
    }

    fn page(&self, before: &str) -> String {
        let success = self.bytes.is_some();
        let kept = |name: &str, now: Option<f64>| now.or_else(|| earlier(before, name, &self.database));
        // Of a copy that was made, what is not known is not that of the one before.
        let of_copy = |name: &str, now: Option<f64>| if success { now } else { earlier(before, name, &self.database) };
        let (at, bytes) = (Some(self.at_s), self.bytes);
        let gauges = [
            ("last_run_timestamp_seconds", "When the last run ended, whatever came of it", at),
            (
                "last_success_timestamp_seconds",
                "When a copy was made last",
                kept("last_success_timestamp_seconds", at.filter(|_| success)),
            ),
            (
                "last_verified_timestamp_seconds",
                "When a copy was made last that was found sound and has a manifest",
                kept("last_verified_timestamp_seconds", at.filter(|_| self.is_verified)),
            ),
            ("success", "Whether the last run made a copy", Some(f64::from(u8::from(success)))),
            ("verified", "Whether the last run made a verified copy", Some(f64::from(u8::from(self.is_verified)))),
            ("duration_seconds", "How long the last run took", Some(self.duration_s)),
            (
                "commit_stop_seconds",
                "How long nobody could commit while the copy was made that was made last",
                of_copy("commit_stop_seconds", self.stop_s),
            ),
            (
                "wal_peak_bytes",
                "Largest size of the WAL while the copy was made that was made last",
                of_copy("wal_peak_bytes", self.wal_bytes),
            ),
            ("bytes", "Size of the file of the copy that was made last", of_copy("bytes", bytes)),
        ];
        let mut registry = Registry::with_prefix(PREFIX);
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = DatabaseGauge::default();
            gauge.get_or_create(&vec![("database", self.database.clone())]).set(value);
            registry.register(name, help, gauge);
        }
        let mut page = String::new();
        // Writing to memory does not fail.
        if text::encode_registry(&mut page, &registry).is_err() { String::new() } else { page }
    }
}

/// The value of a gauge in a file that was written before, of the same database.
fn earlier(before: &str, name: &str, database: &str) -> Option<f64> {
    let escaped = database.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let sample = format!("{PREFIX}_{name}{{database=\"{escaped}\"}} ");
    let value = before.lines().find_map(|line| line.strip_prefix(&sample))?;
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(at_s: f64, bytes: Option<f64>, is_verified: bool) -> Run {
        Run {
            database: "/a \"b\"\\\n.db".to_owned(),
            at_s,
            duration_s: 1.5,
            bytes,
            is_verified,
            stop_s: None,
            wal_bytes: bytes,
        }
    }

    #[test]
    fn a_run_that_fails_keeps_when_the_last_one_succeeded() {
        let made = run(1e9, Some(4096.0), true).page("");
        for line in [
            "# HELP journalbench_snapshot_bytes Size of the file of the copy that was made last.",
            "# TYPE journalbench_snapshot_bytes gauge",
            r#"journalbench_snapshot_bytes{database="/a \"b\"\\\n.db"} 4096.0"#,
            r#"journalbench_snapshot_last_verified_timestamp_seconds{database="/a \"b\"\\\n.db"} 1000000000.0"#,
            r#"journalbench_snapshot_success{database="/a \"b\"\\\n.db"} 1.0"#,
        ] {
            assert!(made.lines().any(|found| found == line), "{line}\n{made}");
        }
        assert!(!made.contains("# EOF") && !made.contains("# UNIT"), "{made}");
        let unverified = run(2e9, Some(8192.0), false).page(&made);
        let failed = run(3e9, None, false).page(&unverified);
        let value = |name: &str| earlier(&failed, name, &run(0.0, None, false).database);
        assert_eq!(value("last_run_timestamp_seconds"), Some(3e9));
        assert_eq!(value("last_success_timestamp_seconds"), Some(2e9));
        assert_eq!(value("last_verified_timestamp_seconds"), Some(1e9));
        assert_eq!((value("success"), value("verified"), value("bytes")), (Some(0.0), Some(0.0), Some(8192.0)));
        assert_eq!(earlier(&failed, "bytes", "/other.db"), None);
        assert_eq!(value("wal_peak_bytes"), Some(8192.0));
        let unknown = Run { wal_bytes: None, ..run(4e9, Some(1.0), false) }.page(&failed);
        assert_eq!(earlier(&unknown, "wal_peak_bytes", &run(0.0, None, false).database), None, "that of this copy");
        assert!(!run(1.0, None, false).page("nonsense").contains("last_success"), "there was none");
    }

    #[test]
    fn only_names_that_the_collector_reads_are_taken() {
        assert!(file("/a/tracker.prom").is_ok() && file("/a/tracker.txt").is_err() && file("prom").is_err());
    }
}
