//! Power losses, of which images are made from a recording of what was done to the files of a database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    file::{ArrivalsKey, Keys},
    one_or_many::{OneOrMany, one_or_many},
    validate::{Refusal, distinct, within},
};
use crate::{
    power::disk::{DiskModel, DiskRules, SyncOf},
    snapshot::{Strategy, WriterRole},
    workload::WriteProfile,
};

/// The sector size that SQLite's VFS for Unix tells of every file, and the recording one with it.
const SECTOR_BYTES: u64 = 4096;

/// `[power_loss]`: trials have no load over time. With the strategy none so many transactions are committed and recorded, one after another,
/// and images are made of what a power loss would leave of the database; with another strategy it is found out what syncs cover of its copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PowerLossKeys {
    /// Transactions that are committed. Every 25th counts 200 downloads, the others one; before every 10th one is rolled back.
    pub commits: u64,
    /// Images of each model and granule, half of them at instants drawn by event, half by time.
    pub images: u64,
    /// What the disk may do.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<DiskModel>")]
    pub models: Vec<DiskModel>,
    /// Units of the disk that arrive or do not, in bytes: powers of two from 512 to 65536, and up to 4096 with `power-safe-overwrite-off`.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<u64>")]
    pub granule_bytes: Vec<u64>,
    /// Chance that a unit arrived which no sync covers.
    pub keep_share: f64,
    /// Chance that one that did not holds garbage.
    pub garbage_share: f64,
    /// Syncs that the disk answers and does not carry out: none, where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored_sync: Option<SyncOf>,
}

impl Default for PowerLossKeys {
    fn default() -> Self {
        Self {
            commits: 300,
            images: 1_000,
            models: vec![DiskModel::Strict, DiskModel::JournaledNames],
            granule_bytes: vec![512, 4096],
            keep_share: 0.5,
            garbage_share: 0.1,
            ignored_sync: None,
        }
    }
}

/// Power losses that checked keys ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerLossPlan {
    /// Transactions that are committed.
    pub commits: u64,
    /// Images of each of the rules.
    pub images: u64,
    /// What the disk may do.
    pub rules: Vec<DiskRules>,
}

impl PowerLossPlan {
    /// Images of a trial, those that say what no sync covers not counted.
    #[must_use]
    pub fn images_in_all(&self) -> u64 {
        self.images.saturating_mul(self.rules.len() as u64)
    }

    /// How long a trial takes, in seconds, at the most. Assumed: 100 commits a second, three times, and 20 images.
    pub(super) fn duration_s_max(&self) -> f64 {
        self.commits as f64 * 3.0 / 100.0 + self.images_in_all() as f64 / 20.0
    }
}

/// Checks the keys, and that the others ask for nothing that such trials do not do.
pub(super) fn check(keys: &Keys) -> Result<(), Refusal> {
    let Some(power_loss) = &keys.power_loss else { return Ok(()) };
    within("power_loss.commits", power_loss.commits, 1, 1_000_000)?;
    within("power_loss.images", power_loss.images, 2, 1_000_000)?;
    within("power_loss.keep_share", power_loss.keep_share, 0.0, 1.0)?;
    within("power_loss.garbage_share", power_loss.garbage_share, 0.0, 1.0)?;
    distinct("power_loss.models", &power_loss.models)?;
    distinct("power_loss.granule_bytes", &power_loss.granule_bytes)?;
    for granule_bytes in &power_loss.granule_bytes {
        if !granule_bytes.is_power_of_two() || !(512..=65_536).contains(granule_bytes) {
            let allowed = "expected a power of two from 512 to 65536".to_owned();
            return Err(("power_loss.granule_bytes", granule_bytes.to_string(), allowed));
        }
    }
    refuse_unknown_sectors(power_loss)?;
    refuse_others(keys)
}

/// Refuses damage that SQLite was not told of: without a safe overwrite it protects what shares a sector with a write, and no more.
fn refuse_unknown_sectors(power_loss: &PowerLossKeys) -> Result<(), Refusal> {
    let Some(model) = power_loss.models.iter().find(|model| !model.has_safe_overwrite()) else { return Ok(()) };
    match power_loss.granule_bytes.iter().find(|granule_bytes| **granule_bytes > SECTOR_BYTES) {
        None => Ok(()),
        Some(granule_bytes) => {
            let allowed = format!(
                "expected at most {SECTOR_BYTES} with the model {model}: SQLite is told of sectors of {SECTOR_BYTES} bytes"
            );
            Err(("power_loss.granule_bytes", granule_bytes.to_string(), allowed))
        }
    }
}

/// What cannot be recorded, and what is no copy of a database.
fn refuse_others(keys: &Keys) -> Result<(), Refusal> {
    if keys.sqlite.mmap_size_bytes != 0 {
        let allowed = "expected 0 with [power_loss]: what is written through a mapping is not recorded".to_owned();
        return Err(("sqlite.mmap_size_bytes", keys.sqlite.mmap_size_bytes.to_string(), allowed));
    }
    let has_process = |strategy: &&Strategy| match strategy.definition().writers {
        WriterRole::None => true,
        WriterRole::Stopped | WriterRole::Copies => false,
    };
    if let Some(strategy) = keys.snapshots.strategies.iter().find(|strategy| !has_process(strategy)) {
        let allowed = "expected without it with [power_loss]: it needs those who write, and nobody writes".to_owned();
        return Err(("snapshots.strategies", strategy.to_string(), allowed));
    }
    refuse_load(keys)
}

/// Refuses what trials cannot do that commit transactions one after another and have no load over time.
pub(super) fn refuse_load(keys: &Keys) -> Result<(), Refusal> {
    if !keys.target.is_default() {
        let allowed = "expected none with [power_loss] or [kill]: transactions are of this program's own";
        return Err(("target.kind", "torrust-tracker".to_owned(), allowed.to_owned()));
    }
    if keys.load.arrivals != ArrivalsKey::Closed {
        let allowed = "expected \"closed\" with [power_loss] or [kill]: transactions come one after another".to_owned();
        return Err(("load.arrivals", "open loop".to_owned(), allowed));
    }
    if keys.load.write_profile != WriteProfile::CompletedOnly {
        let allowed = "expected completed-only with [power_loss] or [kill]".to_owned();
        return Err(("load.write_profile", keys.load.write_profile.to_string(), allowed));
    }
    Ok(())
}

/// The plan that checked keys ask for.
pub(super) fn plan(keys: &PowerLossKeys) -> PowerLossPlan {
    let PowerLossKeys { commits, images, models, granule_bytes, keep_share, garbage_share, ignored_sync } = keys;
    let rules = models.iter().flat_map(|model| {
        granule_bytes.iter().map(|granule_bytes| DiskRules {
            model: *model,
            granule_bytes: *granule_bytes,
            keep: *keep_share,
            garbage: *garbage_share,
            ignored_sync: *ignored_sync,
        })
    });
    PowerLossPlan { commits: *commits, images: *images, rules: rules.collect() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::scenario::Scenario;

    #[test]
    fn a_unit_that_sqlite_does_not_know_of_is_refused_where_all_of_it_may_be_damaged() {
        let off = r#"power_loss.models=["strict", "power-safe-overwrite-off"]"#;
        let refused = |found: &str| {
            Some(format!(
                "power_loss.granule_bytes = {found}: expected at most 4096 with the model power-safe-overwrite-off: SQLite is told \
                of sectors of 4096 bytes"
            ))
        };
        for (models, granule_bytes, expected) in [
            (off, "[512, 4096]", None),
            (off, "[4096, 8192]", refused("8192")),
            (off, "65536", refused("65536")),
            (r#"power_loss.models=["strict", "journaled-names", "sequential"]"#, "65536", None),
        ] {
            let set = [models.to_owned(), format!("power_loss.granule_bytes={granule_bytes}")];
            let error = Scenario::named(Path::new("power-loss"), &set).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{set:?}: {error:?}");
            assert!(error.unwrap_or_default().ends_with(&expected.unwrap_or_default()), "{set:?}");
        }
    }
}
