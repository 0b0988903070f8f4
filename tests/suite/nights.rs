//! Ten nights with faults among them, for the two backup scripts of `scenarios/scripts/` and for `journalbench snapshot`: what
//! each leaves and says. The second table of `docs/backup-scripts.md` is what this finds.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::scripts::{database, pass_a_day, restore};

/// What a night is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Night {
    Good,
    /// Somebody holds the database locked.
    Locked,
    /// No file may grow beyond a part of the database.
    Full,
    /// The job is killed in the middle of the copy, with all that it has started.
    Killed,
    /// A transaction has written pages to the file and not committed yet.
    HalfWritten,
    /// A page of the live database is damaged.
    Damaged,
    /// The database is not where the job looks.
    Missing,
}

const NIGHTS: [Night; 10] = [
    Night::Good,
    Night::Locked,
    Night::Good,
    Night::Full,
    Night::Killed,
    Night::Good,
    Night::HalfWritten,
    Night::Damaged,
    Night::Missing,
    Night::Good,
];

impl Night {
    fn words(self) -> &'static str {
        match self {
            Self::Good => "nothing",
            Self::Locked => "the database is locked",
            Self::Full => "there is no room for the copy",
            Self::Killed => "it is killed in the middle of the copy",
            Self::HalfWritten => "a transaction is half written",
            Self::Damaged => "a page of the database is damaged",
            Self::Missing => "the database is not there",
        }
    }
}

/// Who makes the copies.
#[derive(Clone, Copy)]
enum Job {
    Script(&'static str),
    /// `journalbench snapshot`, which keeps so many.
    Ours(u32),
}

/// A place with a database, copies of it, and programs that are killed while they copy.
struct Place {
    folder: tempfile::TempDir,
    live: PathBuf,
    copies: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = database(folder.path());
        let (copies, killing) = (folder.path().join("copies"), folder.path().join("killing"));
        fs::create_dir(&copies).unwrap();
        fs::create_dir(&killing).unwrap();
        for program in ["cp", "sqlite3"] {
            // The program ends by a signal where its file has reached the limit; then all of the job is killed.
            let shim = format!(
                "#!/bin/sh\n( ulimit -c 0; ulimit -f 512; PATH=/usr/bin:/bin exec {program} \"$@\" )\nkill -9 \"-$JOB\"\n"
            );
            fs::write(killing.join(program), shim).unwrap();
            fs::set_permissions(killing.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder, live, copies }
    }

    fn copy(&self, night: usize) -> PathBuf {
        self.copies.join(format!("night-{night:02}.db"))
    }

    /// Runs a job in a process group of its own; `None` where it was killed.
    fn run(&self, job: Job, night: usize, kind: Night) -> Option<i32> {
        let limit = match kind {
            // Where the signal is ignored, a write beyond the limit fails, as on a full disk.
            Night::Full => "trap '' XFSZ; ulimit -f 512; ",
            Night::Killed => "PATH=$KILLING:$PATH; ",
            Night::Good | Night::Locked | Night::HalfWritten | Night::Damaged | Night::Missing => "",
        };
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(r#"export JOB=$$; {limit}exec "$0" "$@""#)).process_group(0);
        match job {
            Job::Script(script) => {
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/scripts").join(script));
            }
            Job::Ours(keep) => {
                command.arg(env!("CARGO_BIN_EXE_journalbench")).args(["snapshot", "--verify", "--deadline-s", "2"]);
                command.args(["--keep-free", "0", "--keep", &keep.to_string()]);
            }
        }
        command.arg(&self.live).arg(self.copy(night)).env("KILLING", self.folder.path().join("killing"));
        let output = command.output().unwrap();
        self.wait_until_left();
        output.status.code()
    }

    /// What a killed job has started is ended within a second.
    fn wait_until_left(&self) {
        let begun = Instant::now();
        let is_at_work = || {
            let mut lines = fs::read_dir("/proc")
                .unwrap()
                .flatten()
                .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
            let copies = self.copies.to_str().unwrap();
            lines.any(|line| String::from_utf8_lossy(&line).contains(copies))
        };
        while is_at_work() {
            assert!(begun.elapsed() < Duration::from_secs(20), "something of a killed job is still there");
        }
    }

    /// Runs a job in a night of this kind, and makes all good again.
    fn night(&self, job: Job, night: usize, kind: Night) -> Option<i32> {
        let whole = fs::read(&self.live).unwrap();
        let aside = self.folder.path().join("aside.db");
        let connection = Connection::open(&self.live).unwrap();
        let sql = match kind {
            Night::Locked => "BEGIN EXCLUSIVE",
            // A cache of ten pages has to write to the file before the commit.
            Night::HalfWritten => "PRAGMA cache_size = 10; BEGIN; UPDATE torrents SET completed = 1",
            Night::Good | Night::Full | Night::Killed | Night::Damaged | Night::Missing => "BEGIN",
        };
        connection.execute_batch(sql).unwrap();
        if kind == Night::Damaged {
            let mut damaged = whole.clone();
            let middle = whole.len() / 4096 / 2 * 4096;
            damaged[middle..middle + 4096].fill(0);
            fs::write(&self.live, damaged).unwrap();
        } else if kind == Night::Missing {
            fs::rename(&self.live, &aside).unwrap();
        }
        let status = self.run(job, night, kind);
        connection.execute_batch("ROLLBACK").unwrap();
        drop(connection);
        if kind == Night::Damaged {
            fs::write(&self.live, &whole).unwrap();
        } else if kind == Night::Missing {
            fs::rename(&aside, &self.live).unwrap();
        }
        status
    }

    /// What restoring a copy finds: of the file alone, elsewhere, so that the copy stays as it is.
    fn restore(&self, copy: &Path) -> &'static str {
        let restored = self.folder.path().join("restored.db");
        let _ = fs::remove_file(&restored);
        if copy.exists() {
            fs::copy(copy, &restored).unwrap();
        }
        restore(&restored)
    }

    /// The numbers of the nights of which there are copies, and of those whose copies are good.
    fn found(&self) -> (Vec<usize>, Vec<usize>) {
        let all: Vec<_> = (1..=NIGHTS.len()).filter(|night| self.copy(*night).exists()).collect();
        let good = all.iter().copied().filter(|night| self.restore(&self.copy(*night)) == "the database").collect();
        (all, good)
    }
}

/// What a night came to.
struct Outcome {
    status: Option<i32>,
    /// The night of the newest copy, and what restoring it finds.
    newest: Option<(usize, &'static str)>,
    made_good: bool,
    /// A good copy was removed though the night has made none.
    lost: bool,
}

impl Outcome {
    /// A cell of the table.
    fn words(&self) -> String {
        let status = self.status.map_or_else(|| "killed".to_owned(), |status| status.to_string());
        let newest =
            self.newest.map_or_else(|| "none".to_owned(), |(night, found)| format!("of night {night}: {found}"));
        let lost = if self.lost { "; **a good copy was lost**" } else { "" };
        let silent = if !self.made_good && self.status == Some(0) { "; **it said nothing**" } else { "" };
        format!("{status}; {newest}{lost}{silent}")
    }
}

fn nights(job: Job) -> Vec<Outcome> {
    let place = Place::new();
    let mut before = Vec::new();
    let mut outcomes = Vec::new();
    for (night, kind) in (1..).zip(NIGHTS) {
        // By the times of modification the scripts know how old a copy is; ours knows it by the manifests, which name these times.
        if matches!(job, Job::Script(_)) {
            pass_a_day(&place.copies);
        }
        let status = place.night(job, night, kind);
        let (all, good) = place.found();
        let made_good = good.contains(&night);
        let lost = !made_good && before.iter().any(|night| !good.contains(night));
        let newest = all.last().map(|night| (*night, place.restore(&place.copy(*night))));
        outcomes.push(Outcome { status, newest, made_good, lost });
        before = good;
    }
    outcomes
}

#[test]
fn the_documented_table_is_what_ten_nights_come_to() {
    let jobs = [Job::Script("backup-today.sh"), Job::Script("backup-proposed.sh"), Job::Ours(7)];
    let found = jobs.map(nights);
    let mut rows = Vec::new();
    for (number, kind) in NIGHTS.into_iter().enumerate() {
        let cells: Vec<_> = found.iter().map(|outcomes| outcomes[number].words()).collect();
        rows.push(format!("| {} | {} | {} |", number + 1, kind.words(), cells.join(" | ")));
    }
    let table = rows.join("\n");
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backup-scripts.md")).unwrap();
    assert!(document.contains(&table), "docs/backup-scripts.md should say:\n{table}");
}

#[test]
fn ours_loses_no_good_copy_and_says_so_each_time_however_few_it_keeps() {
    for keep in [1, 7] {
        for (night, (outcome, kind)) in (1..).zip(nights(Job::Ours(keep)).into_iter().zip(NIGHTS)) {
            let words = outcome.words();
            assert_eq!(outcome.made_good, kind == Night::Good, "night {night}: {words}");
            assert_eq!(outcome.status == Some(0), kind == Night::Good, "night {night}: {words}");
            assert!(!outcome.lost, "night {night}: {words}");
            assert!(outcome.newest.is_some_and(|(_, found)| found == "the database"), "night {night}: {words}");
        }
    }
}
