//! What the machine did in a stretch of a trial, and whether that was too much of what is not the trial's own.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What all that runs on the machine did in a stretch of time: shares of it from 0 to 1, `None` for what the kernel does not
/// tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineUse {
    /// Of the time of all processors, what programs had.
    pub user_share: Option<f64>,
    /// Of the time of all processors, what the kernel had.
    pub system_share: Option<f64>,
    /// Of the time of all processors, what the hypervisor gave to other machines.
    pub steal_share: Option<f64>,
    /// Of the time, that in which some task waited for a processor: pressure stall information, `some`.
    pub processor_pressure_share: Option<f64>,
    /// The same for a block device.
    pub io_pressure_share: Option<f64>,
    /// The same for memory.
    pub memory_pressure_share: Option<f64>,
    /// Page faults that read from a block device.
    pub page_faults: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub written_bytes: Option<u64>,
    /// Memory that was still to be written to a block device: the most at the end of one of its seconds.
    pub dirty_bytes_max: Option<u64>,
    /// Memory that was being written to one: the most at the end of one of its seconds.
    pub writeback_bytes_max: Option<u64>,
    /// Memory of this program: the most at the end of one of its seconds.
    pub resident_bytes_max: Option<u64>,
}

/// What may disturb a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisturbedBy {
    /// The hypervisor gave processors to other machines.
    Steal,
    /// Something else wanted the processors.
    ProcessorPressure,
    /// Something else wanted the block devices.
    IoPressure,
}

/// That a trial was disturbed beyond the limit that its scenario sets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disturbance {
    /// By what.
    pub by: DisturbedBy,
    /// The share of the time, from 0 to 1.
    pub share: f64,
    /// What it was at most to be.
    pub limit_share: f64,
}

impl DisturbedBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Steal, Self::ProcessorPressure, Self::IoPressure];

    /// Its share of a stretch of time.
    #[must_use]
    pub fn share(self, machine: &MachineUse) -> Option<f64> {
        match self {
            Self::Steal => machine.steal_share,
            Self::ProcessorPressure => machine.processor_pressure_share,
            Self::IoPressure => machine.io_pressure_share,
        }
    }
}

impl fmt::Display for DisturbedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steal => "steal",
            Self::ProcessorPressure => "processor pressure",
            Self::IoPressure => "I/O pressure",
        })
    }
}
