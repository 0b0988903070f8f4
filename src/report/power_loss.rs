//! What power losses would have left of a database, by journal mode and synchronous level, and what each of them costs.

use super::{
    distinct,
    figure_text::{count, number},
    figures::{Block, Cell, Column, Table, Unit, Value},
    notes::Note,
    of_tables,
};
use crate::{
    results::{CopyDurability, Outcomes, PowerLossResult, Results, TrialResult},
    sqlite::{JournalMode, Synchronous},
    statistics::{median, share_interval},
};

/// The trials of a journal mode at a synchronous level.
pub struct Level<'a> {
    /// The journal mode.
    pub journal_mode: JournalMode,
    /// When SQLite syncs.
    pub synchronous: Synchronous,
    found: Vec<&'a PowerLossResult>,
}

/// Every journal mode at every level, in the order of the scenario, where power losses were asked for.
pub fn levels(results: &Results) -> Vec<Level<'_>> {
    let sqlite = &results.scenario.sqlite;
    let all = sqlite.journal_modes.iter().flat_map(|mode| sqlite.synchronous.iter().map(|level| (*mode, *level)));
    let levels = all.map(|(journal_mode, synchronous)| {
        let is_of = |trial: &&TrialResult| trial.journal_mode == journal_mode && trial.synchronous == synchronous;
        let found = results.trials.iter().filter(is_of).filter_map(|trial| trial.power_loss.as_ref()).collect();
        Level { journal_mode, synchronous, found }
    });
    levels.filter(|level| !level.found.is_empty()).collect()
}

impl Level<'_> {
    /// What became of the images of all fair models.
    pub fn outcomes(&self) -> Outcomes {
        let models = self.found.iter().flat_map(|found| &found.models);
        let fair = models.filter(|model| model.model.is_fair());
        fair.fold(Outcomes::default(), |sum, model| sum.plus(&model.outcomes))
    }

    /// Transactions a second: the median of the trials.
    pub fn commits_per_s(&self) -> f64 {
        self.median(|found| found.commits_per_s)
    }

    fn median(&self, of: impl Fn(&PowerLossResult) -> f64) -> f64 {
        median(&self.found.iter().map(|found| of(found)).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    }

    fn exposure_most(&self, of: impl Fn(&PowerLossResult) -> u64) -> u64 {
        self.found.iter().map(|found| of(found)).max().unwrap_or(0)
    }

    /// As in "wal normal".
    pub fn name(&self) -> String {
        format!("{} {}", self.journal_mode, self.synchronous)
    }
}

/// What a reader who has to decide wants first.
pub fn sentences(results: &Results) -> Vec<String> {
    let levels = levels(results);
    let named = |is_meant: fn(&Outcomes) -> bool, words: fn(&Outcomes) -> String| {
        let meant = levels.iter().map(|level| (level, level.outcomes())).filter(|(_, outcomes)| is_meant(outcomes));
        meant.map(|(level, outcomes)| format!("{} ({})", level.name(), words(&outcomes))).collect::<Vec<_>>().join(", ")
    };
    let of = |part: u64, outcomes: &Outcomes| format!("{} of {}", count(part as f64), count(outcomes.images as f64));
    let damaged = levels.iter().map(|level| (level, level.outcomes())).filter(|(_, outcomes)| outcomes.damaged() > 0);
    let damaged: Vec<_> =
        damaged.map(|(level, outcomes)| format!("{} ({})", level.name(), of(outcomes.damaged(), &outcomes))).collect();
    let lost = named(
        |outcomes| outcomes.lost > 0,
        |outcomes| match outcomes.lost_most {
            1 => "the last one".to_owned(),
            most => format!("up to {}", count(most as f64)),
        },
    );
    let kept = named(
        |outcomes| outcomes.lost == 0 && outcomes.damaged() == 0,
        |outcomes| format!("none of {} images", count(outcomes.images as f64)),
    );
    let mut sentences = copies_in_words(results);
    if !damaged.is_empty() {
        sentences.push(format!("A power loss left databases that are torn or damaged under {}.", damaged.join(", ")));
    }
    if !lost.is_empty() {
        sentences.push(format!("It lost commits that clients knew of under {lost}."));
    }
    if !kept.is_empty() {
        sentences.push(format!("It lost nothing and damaged nothing under {kept}."));
    }
    sentences
}

/// Which copies are there when the power goes after "done", and which may not be.
fn copies_in_words(results: &Results) -> Vec<String> {
    let all = || {
        results.trials.iter().filter_map(|trial| Some((trial.strategy.to_string(), trial.copy_durability.as_ref()?)))
    };
    let named = |is_meant: &dyn Fn(&CopyDurability) -> bool| {
        distinct(all().filter(|(_, copy)| is_meant(copy)).map(|(strategy, _)| strategy)).join(", ")
    };
    let (whole, lost) = (named(&CopyDurability::survives), named(&|copy| !copy.survives()));
    let mut sentences = Vec::new();
    if !whole.is_empty() {
        sentences.push(format!("When they say that they are done, all of the copy and its name is synced by {whole}."));
    }
    if !lost.is_empty() {
        sentences.push(format!(
            "A power loss just after \"done\" may take the copy, or a part of it, of {lost}, unless it is synced."
        ));
    }
    sentences
}

/// The tables, where power losses were asked for.
pub fn blocks(results: &Results) -> Vec<Block> {
    let levels = levels(results);
    let has_copies = results.trials.iter().any(|trial| trial.copy_durability.is_some());
    let heading = (!levels.is_empty() || has_copies).then(|| Block::Heading(2, "What a power loss leaves".to_owned()));
    let tables = of_tables([
        (levels_note(), table(&levels)),
        (exposure_note(), exposure(&levels)),
        (models_note(), models(&levels)),
        (copies_note(), copies(results)),
    ]);
    heading.into_iter().chain(tables).collect()
}

fn levels_note() -> Note {
    Note::new(
        "What is left, and what that costs",
        "An image is what a disk may hold at an instant of a recording of transactions, under a stated model of the disk; SQLite has \
        recovered it. \"kept\": every commit that a client knew of is there. \"ahead\": and one more. \"lost\": one earlier state; \
        \"most lost\": so many commits were missing. \"torn\": no state that the database ever had. \"damaged at most\": with 95 % \
        confidence no more of such images are torn, corrupt or unreadable. These are counts of images and no probabilities: half of \
        the instants are drawn by event, to find what is short and rare. Commits a second: the same transactions without a recording, \
        one after another, on the disk of this machine; the median of the trials.",
    )
}

/// One row a journal mode and level.
pub fn table(levels: &[Level<'_>]) -> Table {
    let mut columns = vec![Column::words("mode"), Column::words("synchronous")];
    let counts = ["images", "kept", "ahead", "lost", "most lost", "torn", "corrupt", "unreadable"];
    columns.extend(counts.map(|title| Column::of(title, Unit::One)));
    columns.push(Column::words("damaged at most"));
    columns.extend(["commits/s", "syncs/commit"].map(|title| Column::of(title, Unit::One)));
    let row = |level: &Level<'_>| {
        let outcomes = level.outcomes();
        let Outcomes { images, kept, ahead, lost, lost_most, torn, corrupt, unreadable } = outcomes;
        let most = share_interval(outcomes.damaged(), images).high * 100.0;
        let mut row = vec![Value::text(level.journal_mode.to_string()), Value::text(level.synchronous.to_string())];
        row.extend([images, kept, ahead, lost, lost_most, torn, corrupt, unreadable].map(Value::Count));
        row.push(Value::Text(format!("{} %", number(most))));
        row.push(Value::Rate(level.commits_per_s()));
        row.push(Value::Rate(level.median(|found| found.syncs_per_commit)));
        row.into_iter().map(Cell::from).collect()
    };
    Table { columns, rows: levels.iter().map(row).collect() }
}

fn exposure_note() -> Note {
    Note::new(
        "What no sync covers",
        "Commits that a client knows of and that are gone if only what was synced is left, at instants each as likely as another one \
        while transactions come one after another without a pause; and how long before the instant the client knew of the oldest of \
        them. Of several trials the largest. A WAL holds so many as come between two checkpoints (1,000 pages, where nothing else \
        is set), whatever time they take.",
    )
}

fn exposure(levels: &[Level<'_>]) -> Table {
    let mut columns = vec![Column::words("mode"), Column::words("synchronous"), Column::of("instants", Unit::One)];
    columns.extend(["commits p50", "commits p99", "commits most"].map(|title| Column::of(title, Unit::One)));
    columns.extend(["age p50", "age p99", "age most"].map(|title| Column::of(title, Unit::Milliseconds)));
    let row = |level: &Level<'_>| {
        let most = |of: fn(&PowerLossResult) -> u64| level.exposure_most(of);
        let mut row = vec![
            Value::text(level.journal_mode.to_string()),
            Value::text(level.synchronous.to_string()),
            Value::Count(level.found.iter().map(|found| found.exposure.instants).fold(0, u64::saturating_add)),
            Value::Count(most(|found| found.exposure.commits_p50)),
            Value::Count(most(|found| found.exposure.commits_p99)),
            Value::Count(most(|found| found.exposure.commits_max)),
        ];
        let ages: [fn(&PowerLossResult) -> u64; 3] =
            [|found| found.exposure.age_p50_us, |found| found.exposure.age_p99_us, |found| found.exposure.age_max_us];
        row.extend(ages.map(|age_us| Value::Response(most(age_us))));
        row.into_iter().map(Cell::from).collect()
    };
    Table { columns, rows: levels.iter().map(row).collect() }
}

fn models_note() -> Note {
    Note::new(
        "By model of the disk",
        "\"strict\": whatever no sync of its own covers may be lost by itself, each name and each unit of each write, and some of what is \
        lost is garbage within the bytes that were written. \"journaled-names\": as that, but any sync makes names durable, as on ext4 \
        and XFS. \"power-safe-overwrite-off\": as strict, but garbage covers whole units, and SQLite is told so. \"sequential\": nothing \
        arrives before what was asked earlier; it hides every tear, and is in no other table.",
    )
}

fn models(levels: &[Level<'_>]) -> Table {
    let mut columns: Vec<_> = ["mode", "synchronous", "model", "drawn"].map(Column::words).into();
    columns.insert(3, Column::of("unit, bytes", Unit::One));
    let counts = ["images", "lost", "most lost", "torn", "corrupt", "unreadable"];
    columns.extend(counts.map(|title| Column::of(title, Unit::One)));
    let rows = levels.iter().flat_map(|level| {
        level.found.iter().flat_map(|found| &found.models).map(|model| {
            let Outcomes { images, lost, lost_most, torn, corrupt, unreadable, .. } = model.outcomes;
            let mut row = vec![
                Value::text(level.journal_mode.to_string()),
                Value::text(level.synchronous.to_string()),
                Value::text(model.model.to_string()),
                Value::Count(model.granule_bytes),
                Value::text(model.drawn.to_string()),
            ];
            row.extend([images, lost, lost_most, torn, corrupt, unreadable].map(Value::Count));
            row.into_iter().map(Cell::from).collect()
        })
    });
    Table { columns, rows: rows.collect() }
}

fn copies_note() -> Note {
    Note::new(
        "The copy, when the power goes after \"done\"",
        "What syncs cover of each file of a copy when its strategy says that it is done, as strace saw them. \"content\": all that was written. \
        \"name\": a sync of the folder came after it. \"name on ext4, XFS\": any sync came after it, which is enough where names have one \
        journal. What is not covered is written by the kernel when it comes to it, within about half a minute; until then a power loss may \
        take it.",
    )
}

/// One row a file of a copy.
fn copies(results: &Results) -> Table {
    let titles = ["mode", "strategy", "verdict", "file", "content", "name", "name on ext4, XFS", "survives"];
    let columns = titles.map(Column::words).into();
    let yes = |is_so: bool| Value::text(if is_so { "yes" } else { "no" });
    let rows = results.trials.iter().flat_map(|trial| {
        trial.copy_durability.iter().flat_map(move |copy| {
            copy.files.iter().map(move |file| {
                let survives = match (copy.survives(), copy.survives_where_journaled()) {
                    (true, _) => "yes",
                    (false, true) => "on ext4, XFS",
                    (false, false) => "no",
                };
                let row = [
                    Value::text(trial.journal_mode.to_string()),
                    Value::text(trial.strategy.to_string()),
                    Value::text(copy.verdict.to_string()),
                    Value::text(file.name.clone()),
                    yes(file.content_synced),
                    yes(file.name_synced),
                    yes(file.name_synced_where_journaled),
                    Value::text(survives),
                ];
                row.into_iter().map(Cell::from).collect()
            })
        })
    });
    Table { columns, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        power::disk::DiskModel,
        results::{FileDurability, LossOutcome, samples},
        snapshot::Strategy,
    };

    fn trial(journal_mode: JournalMode, synchronous: Synchronous, outcomes: &[LossOutcome]) -> TrialResult {
        let mut trial = samples::trial(journal_mode, Strategy::None);
        (trial.phases, trial.snapshots) = (Vec::new(), Vec::new());
        trial.synchronous = synchronous;
        let mut found = samples::power_loss();
        for outcome in outcomes {
            found.models[0].outcomes.add(*outcome);
        }
        trial.power_loss = Some(found);
        trial
    }

    #[test]
    fn each_level_is_told_by_its_worst_and_the_kind_model_is_left_out() {
        use LossOutcome::{Ahead, Kept, Lost, Torn};
        let mut results = samples::results(vec![
            trial(JournalMode::Delete, Synchronous::Full, &[Kept, Lost(1)]),
            trial(JournalMode::Wal, Synchronous::Full, &[Kept, Ahead]),
            trial(JournalMode::Wal, Synchronous::Full, &[Kept]),
            trial(JournalMode::Wal, Synchronous::Normal, &[Lost(3), Lost(12)]),
            trial(JournalMode::Wal, Synchronous::Off, &[Lost(3), Torn]),
        ]);
        results.scenario = samples::scenario(&["sqlite.synchronous=[\"off\", \"normal\", \"full\"]"]);
        let mut kind = results.trials[1].power_loss.as_ref().unwrap().models[0].clone();
        kind.model = DiskModel::Sequential;
        kind.outcomes.add(Lost(99));
        results.trials[1].power_loss.as_mut().unwrap().models.push(kind);
        assert_eq!(
            sentences(&results),
            [
                "A power loss left databases that are torn or damaged under wal off (1 of 2).",
                "It lost commits that clients knew of under delete full (the last one), wal off (up to 3), wal normal (up to 12).",
                "It lost nothing and damaged nothing under wal full (none of 3 images).",
            ]
        );
        let levels = levels(&results);
        let rows = table(&levels).rows;
        assert_eq!(rows.len(), 4);
        let full = &rows[3];
        assert_eq!((&full[2].value, &full[4].value), (&Value::Count(3), &Value::Count(1)));
        assert_eq!(full[10].value, Value::text("63.2 %"), "of three images none");
        assert_eq!(models(&levels).rows.len(), 6);
        assert_eq!(exposure(&levels).rows.len(), 4);
        let copy = |name_synced| CopyDurability {
            verdict: crate::oracle::Verdict::Exact,
            files: vec![FileDurability {
                name: "snapshot.db".to_owned(),
                content_synced: true,
                name_synced,
                name_synced_where_journaled: true,
            }],
        };
        let of_copies = [(Strategy::Cp, false), (Strategy::VacuumInto, true)].map(|(strategy, name_synced)| {
            let mut trial = samples::trial(JournalMode::Wal, strategy);
            trial.copy_durability = Some(copy(name_synced));
            trial
        });
        let of_copies = samples::results(of_copies.to_vec());
        assert_eq!(
            self::sentences(&of_copies),
            [
                "When they say that they are done, all of the copy and its name is synced by vacuum-into.",
                "A power loss just after \"done\" may take the copy, or a part of it, of cp, unless it is synced.",
            ]
        );
        assert_eq!(copies(&of_copies).rows[0][7].value, Value::text("on ext4, XFS"));
        let plain = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp)]);
        assert!(blocks(&plain).is_empty() && sentences(&plain).is_empty());
    }
}
