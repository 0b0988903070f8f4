//! Looks around on this machine. It takes two seconds at rest, some more where an fsync is slow, and never ten.

use std::{path::Path, sync::atomic::AtomicBool, thread, time::Duration};

use super::{Demand, Facts};
use crate::{
    dataset::cache,
    env::{self, Environment},
    machine::Machine,
    own_folder::OwnFolder,
    probe::Effort,
    results::MachineUse,
    run,
    scenario::Scenario,
    snapshot::Programs,
    work,
};

/// How long nothing is done but to see what others do: some hundred ticks of a processor.
const REST: Duration = Duration::from_secs(2);

/// Reads what there is to know of the machine, the folder and what the scenario asks of them. Files are written into the
/// folder, or beside its place where it is not there yet, and removed again.
pub(crate) fn read(folder: &Path, scenario: &Scenario, machine: &Machine, programs: &Programs) -> Facts {
    // First, since all that follows makes work.
    let before = machine.read();
    thread::sleep(REST);
    let at_rest = MachineUse::between(&before, &machine.read());
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let look = |folder: &Path| Environment::read(folder, programs, Effort::InRun, &AtomicBool::new(false));
    let (environment, refused) = match OwnFolder::under(existing) {
        Ok(own) => (look(own.path()), None),
        Err(error) => (look(existing), Some(format!("{error:#}"))),
    };
    let (database_bytes, _) = cache::bytes(folder, &scenario.dataset.source).unwrap_or_default();
    Facts {
        folder: folder.to_owned(),
        refused,
        environment,
        at_rest,
        free_bytes: work::free_bytes(folder),
        available_memory_bytes: env::available_memory_bytes(),
        demand: Demand {
            scenario: scenario.name.clone(),
            database_bytes,
            room_bytes: run::bytes_needed(scenario, &scenario.trials(), folder, false),
            steal_share_max: scenario.disturbance.steal_share_max,
        },
    }
}
