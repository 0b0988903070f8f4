//! Kills of the process that commits, and of the one that copies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    file::Keys,
    power_loss::refuse_load,
    validate::{Refusal, within},
};
use crate::snapshot::{Strategy, WriterRole};

/// `[kill]`: trials have no load over time. A process commits transactions one after another until it is killed, and a strategy copies the
/// database meanwhile; what is left is recovered and judged, again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KillKeys {
    /// Kills of a trial. At every second one the process that copies is killed as well.
    pub kills: u64,
    /// The kill comes so long after the first commit, in seconds, or earlier: each moment is as likely as another one.
    pub after_s_max: f64,
}

impl Default for KillKeys {
    fn default() -> Self {
        Self { kills: 25, after_s_max: 0.5 }
    }
}

/// Kills that checked keys ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct KillPlan {
    /// How many.
    pub kills: u64,
    /// The latest moment, in seconds after the first commit.
    pub after_s_max: f64,
}

impl KillPlan {
    /// How long a trial takes, in seconds, at the most. Assumed: a second to prepare and to judge each.
    pub(super) fn duration_s_max(&self, deadline_s: f64) -> f64 {
        self.kills as f64 * (self.after_s_max + deadline_s + 1.0)
    }
}

/// Checks the keys, and that the others ask for nothing that such trials do not do.
pub(super) fn check(keys: &Keys) -> Result<(), Refusal> {
    let Some(kill) = &keys.kill else { return Ok(()) };
    within("kill.kills", kill.kills, 1, 100_000)?;
    within("kill.after_s_max", kill.after_s_max, 0.001, 3_600.0)?;
    if keys.power_loss.is_some() {
        let allowed = "expected either this or [power_loss]".to_owned();
        return Err(("kill", "both".to_owned(), allowed));
    }
    let needs_writer = |strategy: &&Strategy| match strategy.definition().writers {
        WriterRole::None => false,
        WriterRole::Stopped | WriterRole::Copies => true,
    };
    if let Some(strategy) = keys.snapshots.strategies.iter().find(needs_writer) {
        let allowed =
            "expected without it with [kill]: the process that commits is killed, and answers nobody".to_owned();
        return Err(("snapshots.strategies", strategy.to_string(), allowed));
    }
    refuse_load(keys)
}

/// The plan that checked keys ask for.
pub(super) fn plan(keys: &KillKeys) -> KillPlan {
    let KillKeys { kills, after_s_max } = *keys;
    KillPlan { kills, after_s_max }
}
