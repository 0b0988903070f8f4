//! What a report needs of the scenario, and the groups of trials that it tells apart: all that it reads of a scenario is here
//! and in [`super::conditions`].

use super::figure_text::{count, number, sentence};
use crate::{
    results::{Claim, Comparison, Results, TrialResult},
    scenario::{Arrivals, Conditions, FilesPlan, OfferedRate, Scenario},
    sqlite::JournalMode,
    workload::WriteProfile,
};

/// What was planned.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    scenario: &'a Scenario,
}

impl<'a> Context<'a> {
    /// Of the scenario of these results.
    pub fn new(results: &'a Results) -> Self {
        Self { scenario: &results.scenario }
    }

    /// Why the scenario exists.
    pub fn why(self) -> String {
        sentence(&self.scenario.why)
    }

    /// The question that the scenario asks, and what its author expects.
    pub fn question(self) -> String {
        format!("Question: {} Expected: {}", sentence(&self.scenario.why), sentence(&self.scenario.expect))
    }

    /// That a slower disk was emulated, where it was.
    pub fn emulation(self) -> Option<String> {
        match self.scenario.sqlite.files {
            FilesPlan::Counted { sync_delay } if !sync_delay.is_zero() => Some(format!(
                "A slower disk is emulated: every sync takes {} ms more than it does here, that of a folder, too. Where synchronous is \
                off nothing is synced, and so nothing is slower.",
                number(sync_delay.as_secs_f64() * 1e3)
            )),
            FilesPlan::Counted { .. } | FilesPlan::Uncounted => None,
        }
    }

    /// What a title says of figures that are of an emulated disk.
    pub fn mark(self) -> &'static str {
        if self.emulation().is_some() { " (emulated disk)" } else { "" }
    }

    /// Whether SQLite's checks were asked for.
    pub fn has_sqlite_checks(self) -> bool {
        self.scenario.snapshots.sqlite_checks
    }

    fn journal_modes(self) -> &'a [JournalMode] {
        &self.scenario.sqlite.journal_modes
    }

    fn arrivals(self) -> &'a Arrivals {
        &self.scenario.load.arrivals
    }

    fn write_profile(self) -> WriteProfile {
        self.scenario.load.mix.write_profile
    }
}

/// Trials that may be compared.
pub struct Group<'a> {
    context: Context<'a>,
    /// What they have in common.
    pub conditions: Conditions,
    /// By journal mode, then in the order in which they ran.
    pub trials: Vec<&'a TrialResult>,
}

impl<'a> Group<'a> {
    /// Rate, profile and `synchronous`, in words.
    pub fn title(&self) -> String {
        let Conditions { synchronous, .. } = self.conditions;
        let others = self.conditions.others(", ");
        format!("{}, {}, synchronous {synchronous}{others}", self.rate(), self.context.write_profile())
    }

    /// The offered rate in words.
    pub fn rate(&self) -> String {
        match (self.conditions.offered_rate_ops, self.context.arrivals()) {
            (Some(1.0), _) => "1 operation a second".to_owned(),
            (Some(rate_ops), _) => format!("{} operations a second", count(rate_ops)),
            (None, Arrivals::Closed) => "as fast as the database answers".to_owned(),
            (None, Arrivals::Open { rate: OfferedRate::Trace(_), .. }) => "the rate of the trace".to_owned(),
            (None, Arrivals::Open { .. }) => "a rate in steps".to_owned(),
        }
    }

    /// The journal modes, in the order of the scenario.
    pub fn modes(&self) -> impl Iterator<Item = JournalMode> + use<'a> {
        self.context.journal_modes().iter().copied()
    }

    /// The trials of a journal mode.
    pub fn of_mode(&self, mode: JournalMode) -> impl Iterator<Item = &'a TrialResult> {
        self.trials.iter().copied().filter(move |trial| trial.journal_mode == mode)
    }

    /// Whether a comparison is of its trials.
    pub fn has(&self, one: &Comparison) -> bool {
        self.conditions == one.conditions
    }

    /// Whether a claim was tested on its trials.
    pub fn has_claim(&self, claim: &Claim) -> bool {
        self.conditions == claim.conditions
    }

    /// Whether a client waits for its answer before it asks again.
    pub fn is_closed_loop(&self) -> bool {
        self.context.arrivals().is_closed()
    }

    /// Whether the results file does not say where the generator was late.
    pub fn has_unknown_marks(&self) -> bool {
        let phases = self.trials.iter().flat_map(|trial| &trial.phases);
        phases.flat_map(|phase| &phase.operations).any(|operation| operation.generator_bound.is_unknown())
    }
}

/// The groups of these results that have trials.
pub fn groups(results: &Results) -> Vec<Group<'_>> {
    let context = Context::new(results);
    let group = |conditions: Conditions| {
        let of_mode = |mode: &JournalMode| {
            let mode = *mode;
            results.trials.iter().filter(move |trial| trial.is_of(conditions) && trial.journal_mode == mode)
        };
        Group { context, conditions, trials: context.journal_modes().iter().flat_map(of_mode).collect() }
    };
    let groups = results.scenario.conditions().into_iter().map(group);
    // What has no load has nothing that these compare.
    groups.filter(|group| results.scenario.experiment.has_load() && !group.trials.is_empty()).collect()
}
