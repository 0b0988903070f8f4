//! What trials have in common that are compared with each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scenario;
use crate::sqlite::Synchronous;

/// The conditions of trials that differ in journal mode, strategy and repetition alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// When SQLite called fsync.
    pub synchronous: Synchronous,
    /// Operations that were offered, a second; `None` where that is not one number.
    pub offered_rate_ops: Option<f64>,
    /// Connections for announces, where trials of the run differ in it.
    pub announce_connections: Option<u32>,
    /// Announces that complete a download, a second, where the scenario says their number and not their share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_rate_ops: Option<f64>,
}

impl Scenario {
    /// The conditions that it has trials of, in the order of these.
    #[must_use]
    pub(crate) fn conditions(&self) -> Vec<Conditions> {
        let mut conditions = Vec::new();
        for offered_rate_ops in self.rates_ops() {
            for announce_connections in self.load.connection_choices() {
                for completed_rate_ops in self.load.completed_choices() {
                    conditions.extend(self.sqlite.synchronous.iter().map(|&synchronous| Conditions {
                        synchronous,
                        offered_rate_ops,
                        announce_connections,
                        completed_rate_ops,
                    }));
                }
            }
        }
        conditions
    }
}

impl Conditions {
    /// What they say beside rate and `synchronous`, each part with `before` in front; nothing, where that is all.
    pub(crate) fn others(&self, before: &str) -> String {
        let connections = self.announce_connections.map(|number| match number {
            1 => "1 announce connection".to_owned(),
            several => format!("{several} announce connections"),
        });
        let completed = self.completed_rate_ops.map(|rate_ops| format!("{rate_ops} completed downloads a second"));
        let parts: Vec<_> = connections.into_iter().chain(completed).map(|part| format!("{before}{part}")).collect();
        parts.concat()
    }

    /// All of them, with `last` between `synchronous` and the rest: "8000 operations a second and synchronous full".
    pub(crate) fn in_words(&self, last: &str) -> String {
        let rate = self
            .offered_rate_ops
            .map_or_else(|| "the rate of the load".to_owned(), |rate_ops| format!("{rate_ops} operations a second"));
        format!("{rate}{}{last}synchronous {}", self.others(", "), self.synchronous)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::TrialPlan;

    fn parse(load: &str) -> Result<Scenario, String> {
        let text = format!(
            "why = \"\"\nexpect = \"\"\n[dataset]\nrows = 10\n[sqlite]\njournal_mode = \"wal\"\n\
            [snapshots]\nstrategies = \"none\"\n[load]\nwrite_profile = \"completed-only\"\n{load}"
        );
        Scenario::parse("test", &text, Path::new("test.toml"), &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_of_completed_downloads_becomes_their_share_at_each_rate() {
        let scenario = parse("rate_ops = [8000, 17000]\nannounce_share = 0.5\ncompleted_rate_ops = [0, 20]").unwrap();
        let trials = scenario.trials();
        let ids: Vec<_> = trials.iter().map(TrialPlan::id).collect();
        assert_eq!(
            ids,
            [
                "wal-full-8000-0-completed-none-1",
                "wal-full-8000-20-completed-none-1",
                "wal-full-17000-0-completed-none-1",
                "wal-full-17000-20-completed-none-1"
            ]
        );
        let shares: Vec<_> = trials.iter().map(|trial| trial.mix.completed_share).collect();
        for (share, expected) in shares.iter().zip([0.0, 0.005, 0.0, 20.0 / 8_500.0]) {
            assert!((share - expected).abs() < 1e-12, "{shares:?}");
        }
        let words: Vec<_> = scenario.conditions().iter().map(|conditions| conditions.in_words(", ")).collect();
        assert_eq!(words[1], "8000 operations a second, 20 completed downloads a second, synchronous full");
    }

    #[test]
    fn completed_downloads_are_said_in_one_way_and_are_no_more_than_there_can_be() {
        for (load, expected) in [
            ("completed_rate_ops = 5\narrivals = \"closed\"", "expected load.rate_ops with it"),
            ("rate_ops = 100\ncompleted_rate_ops = [5, 5]", "expected every value once"),
            ("rate_ops = 100\ncompleted_rate_ops = -1", "load.completed_rate_ops = -1: expected 0 to"),
            ("rate_ops = 100\ncompleted_rate_ops = 5\ncompleted_share = 0.1", "either this or load.completed_share"),
            ("rate_ops = [100, 1000]\ncompleted_rate_ops = [1, 82]", "82: expected at most 81.0: of 100 operations"),
        ] {
            let error = parse(load).unwrap_err();
            assert!(error.contains(expected), "{load}\n{error}");
        }
        assert!(parse("rate_ops = [100, 1000]\ncompleted_rate_ops = [1, 80]").is_ok());
    }
}
