//! The figures of power losses.

use super::{List, Unit, Value};
use crate::results::{CopyDurability, Exposure, Outcomes, PowerLossModel, PowerLossResult};

/// What became of a database when the power went.
pub fn power_loss(figures: &mut List, found: &PowerLossResult) {
    let PowerLossResult { commits, events, commits_per_s, syncs_per_commit, models, exposure } = found;
    figures.at("power loss", None);
    figures.put("recorded_commits", Unit::One, "Transactions that were recorded", *commits);
    figures.put("recorded_events", Unit::One, "What was done to files meanwhile", *events);
    figures.put("commits_per_s", Unit::PerSecond, "Transactions a second, while nobody recorded", *commits_per_s);
    figures.put("syncs_per_commit", Unit::One, "Syncs a transaction", *syncs_per_commit);
    self::exposure(figures, exposure);
    for PowerLossModel { model, granule_bytes, drawn, outcomes } in models {
        figures.at(format!("power loss {model} {granule_bytes} {drawn}"), None);
        self::outcomes(figures, outcomes);
    }
}

/// What of a copy is there after a power loss.
pub fn copy(figures: &mut List, copy: &CopyDurability) {
    figures.at("power loss copy", None);
    figures.put("copy_verdict", Unit::Word, "What the copy is while the power stays", Value::word(copy.verdict));
    let survives = "Whether syncs cover all of the copy and its name";
    figures.put("copy_survives", Unit::Word, survives, copy.survives());
    let journaled = "Whether they do where any sync makes names durable";
    figures.put("copy_survives_where_journaled", Unit::Word, journaled, copy.survives_where_journaled());
}

fn exposure(figures: &mut List, exposure: &Exposure) {
    let Exposure { instants, commits_p50, commits_p99, commits_max, age_p50_us, age_p99_us, age_max_us } = exposure;
    figures.put("exposure_instants", Unit::One, "Instants at which it was looked what no sync covers", *instants);
    let commits = "Commits that a client knew of and no sync covered";
    for (name, value) in [
        ("exposed_commits_p50", commits_p50),
        ("exposed_commits_p99", commits_p99),
        ("exposed_commits_max", commits_max),
    ] {
        figures.put(name, Unit::One, commits, *value);
    }
    let age = "How long a client had known of the oldest of them";
    for (name, value) in [("exposed_p50", age_p50_us), ("exposed_p99", age_p99_us), ("exposed_max", age_max_us)] {
        figures.put(name, Unit::Microseconds, age, *value);
    }
}

/// What became of a database.
pub(super) fn outcomes(figures: &mut List, outcomes: &Outcomes) {
    let Outcomes { images, kept, ahead, lost, lost_most, torn, corrupt, unreadable } = outcomes;
    for (name, help, value) in [
        ("images", "Images of what a disk may hold", images),
        ("images_kept", "Those with every commit that a client knew of", kept),
        ("images_ahead", "Those with one more", ahead),
        ("images_lost", "Those in an earlier state", lost),
        ("commits_lost_max", "The most commits that one of these had lost", lost_most),
        ("images_torn", "Those in no state that the database ever had", torn),
        ("images_corrupt", "Those whose structure is damaged", corrupt),
        ("images_unreadable", "Those that SQLite could not read", unreadable),
    ] {
        figures.put(name, Unit::One, help, Value::from(*value));
    }
}
