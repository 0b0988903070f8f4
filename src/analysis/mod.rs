//! What follows from results: pure functions, without a clock, a file or a random number.
//!
//! How it is said is the business of [`crate::report`].

mod caveats;
mod claims;
mod comparisons;
mod decision;
mod disturbance;
pub(crate) mod environment;
pub(crate) mod likeness;
pub mod limits;
mod pairs;
mod runs;
mod small_number;
mod snapshot_cost;
mod thresholds;

pub use caveats::warnings;
pub use claims::claims;
pub(crate) use comparisons::noise_floor;
pub use comparisons::{
    BaselineTime, PairTimes, SAME_MARGIN, baseline_times, change, comparisons, pair_times, timeout_us,
};
pub use decision::decision;
pub use disturbance::disturbances;
pub use environment::of_environment;
pub(crate) use pairs::{cannot_keep_up, neighbours, pairs};
pub use runs::{RunChange, RunComparison, RunOutcome, compare, differences};
pub(crate) use small_number::small_number;
pub(crate) use snapshot_cost::{CostWindow, cost_windows, has_several_costs};
pub use thresholds::thresholds;
