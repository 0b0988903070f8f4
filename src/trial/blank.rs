//! The result of a trial before it has begun.

use std::collections::BTreeMap;

use crate::{
    results::{Recorded, Status, TrialResult},
    scenario::{TargetPlan, TrialPlan},
    workload::Kind,
};

fn announce_connections(plan: &TrialPlan) -> Option<u32> {
    let has_own = plan.target == TargetPlan::Sqlite;
    plan.streams.iter().find(|stream| has_own && stream.kind == Some(Kind::Announce)).map(|stream| stream.connections)
}

/// The result of a trial that has not begun: failed, unless something else is said of it.
pub fn blank(plan: &TrialPlan) -> TrialResult {
    TrialResult {
        id: plan.id(),
        journal_mode: plan.settings.journal_mode,
        synchronous: plan.settings.synchronous,
        strategy: plan.strategy,
        strategy_options: plan.strategy.options(&plan.strategy_options),
        write_profile: plan.mix.write_profile,
        repetition: plan.repetition,
        offered_rate_ops: plan.offered_rate_ops,
        announce_connections: announce_connections(plan).into(),
        completed_rate_ops: plan.conditions.completed_rate_ops,
        achieved_rate_ops: 0.0,
        status: Status::Failed,
        reason: None,
        problems: Vec::new(),
        kept_in: None,
        page_cache: plan.page_cache,
        settings: BTreeMap::new(),
        wal_bytes_max: 0,
        disk_use: None,
        live_database_matches_ledger: None,
        phases: Vec::new(),
        horizons: Vec::new().into(),
        snapshots: Vec::new(),
        snapshots_not_taken: Recorded::Known(0),
        silences: Recorded::Unknown,
        disturbed: Recorded::Unknown,
        tracker: None,
        power_loss: None,
        copy_durability: None,
        kill: None,
        series: Vec::new(),
    }
}
