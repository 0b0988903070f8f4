//! What follows from a run, in sentences.

use super::{figure_text::number, figures::Block};
use crate::results::{BackupDecision, BackupStrategy, ModeDecision, Results};

/// The decision, with what it rests on and what is open; nothing where the results have none.
pub fn blocks(results: &Results) -> Vec<Block> {
    let Some(decision) = &results.decision else { return Vec::new() };
    let mut blocks = Vec::new();
    if let Some(mode) = &decision.journal_mode {
        blocks.push(Block::Heading(3, format!("Journal mode: {}", mode.outcome)));
        blocks.push(Block::List(of_mode(mode)));
    }
    for backup in &decision.backup {
        blocks.push(Block::Heading(3, format!("Backup under {}", backup.journal_mode)));
        blocks.push(Block::List(of_backup(backup)));
    }
    blocks
}

fn of_mode(mode: &ModeDecision) -> Vec<String> {
    let open = mode.open.iter().map(|open| format!("Open: {open}"));
    mode.because.iter().cloned().chain(open).chain([format!("The rule: {}", mode.rule)]).collect()
}

fn of_backup(backup: &BackupDecision) -> Vec<String> {
    let none = backup.strategies.is_empty().then(|| "No strategy was shown to be exact every time.".to_owned());
    let costs = backup.strategies.iter().map(cost);
    let open = backup.open.iter().map(|open| format!("Open: {open}"));
    none.into_iter().chain(backup.because.iter().cloned()).chain(costs).chain(open).collect()
}

fn cost(one: &BackupStrategy) -> String {
    let lost = match (one.lost_client_s, one.interval) {
        (Some(lost_s), Some(interval)) => {
            format!("{} client-seconds ({} to {})", number(lost_s), number(interval.low), number(interval.high))
        }
        (Some(lost_s), None) => format!("{} client-seconds", number(lost_s)),
        (None, _) => "an unknown number of client-seconds".to_owned(),
    };
    format!("{} took {} s and cost {lost} over the horizon, beyond the baseline.", one.strategy, number(one.duration_s))
}
