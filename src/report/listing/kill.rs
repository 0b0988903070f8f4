//! The figures of kills.

use super::{List, Unit, Value, power_loss};
use crate::results::{KillResult, KilledCopies};

/// What kills left of a database and of its copies.
pub fn kill(figures: &mut List, found: &KillResult) {
    let KillResult { kills, in_transaction, in_checkpoint, in_copy, acknowledged, database, copies } = found;
    figures.at("kills", None);
    for (name, help, value) in [
        ("kills", "Kills of the process that commits", kills),
        ("kills_in_transaction", "Those while a transaction was under way", in_transaction),
        ("kills_in_checkpoint", "Those while a checkpoint ran", in_checkpoint),
        ("kills_in_copy", "Those while the strategy copied", in_copy),
        ("acknowledged_commits", "Commits that clients knew of", acknowledged),
    ] {
        figures.put(name, Unit::One, help, Value::from(*value));
    }
    power_loss::outcomes(figures, database);
    if let Some(copies) = copies {
        figures.at("kills copies", None);
        self::copies(figures, copies);
    }
}

fn copies(figures: &mut List, copies: &KilledCopies) {
    let KilledCopies { finished, exact, stale, torn, corrupt, unreadable, killed, failed, left_exact, errors: _ } =
        copies;
    for (name, help, value) in [
        ("copies_finished", "Copies of which the strategy said that all is well", finished),
        ("copies_exact", "Those that are exact", exact),
        ("copies_stale", "Those in an older state", stale),
        ("copies_torn", "Those in no state that the database ever had", torn),
        ("copies_corrupt", "Those that are damaged", corrupt),
        ("copies_unreadable", "Those that SQLite cannot read", unreadable),
        ("copies_killed", "Copies of which the process was killed", killed),
        ("copies_failed", "Copies that failed by themselves", failed),
        ("copies_left_exact", "Those of both that left exact files", left_exact),
    ] {
        figures.put(name, Unit::One, help, Value::from(*value));
    }
}
