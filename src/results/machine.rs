//! What the machine did in a stretch of a trial, and whether that was too much of what is not the trial's own.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::{ProcessorTimes, Reading};

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
    /// Bytes that this program read from block devices; processes that copy are not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_read_bytes: Option<u64>,
    /// Bytes that the kernel charged this program with writing to block devices, the ledger's among them; processes that copy are
    /// not in it. It charges a whole large folio of the page cache where a page of it is written (`docs/sqlite.md`, 43).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_written_bytes: Option<u64>,
}

impl MachineUse {
    /// What was done from one reading of the counters to a later one. Of what is no sum, nothing is said.
    #[must_use]
    pub fn between(from: &Reading, to: &Reading) -> Self {
        let of_processors = |ticks: fn(&ProcessorTimes) -> u64| {
            let (from, to) = (from.processors?, to.processors?);
            let total = to.total().checked_sub(from.total()).filter(|total| *total > 0)?;
            // The kernel's own sums may go back by a tick.
            Some(rounded(ticks(&to).saturating_sub(ticks(&from)) as f64 / total as f64))
        };
        let elapsed_us = to.at.saturating_duration_since(from.at).as_micros() as f64;
        let of_time = |us: fn(&Reading) -> Option<u64>| {
            let waited_us = us(to)?.saturating_sub(us(from)?) as f64;
            Some(rounded((waited_us / elapsed_us).min(1.0)))
        };
        let count = |of: fn(&Reading) -> Option<u64>| Some(of(to)?.saturating_sub(of(from)?));
        Self {
            user_share: of_processors(|times| times.user),
            system_share: of_processors(|times| times.system),
            steal_share: of_processors(|times| times.steal),
            processor_pressure_share: of_time(|reading| reading.processor_pressure_us),
            io_pressure_share: of_time(|reading| reading.io_pressure_us),
            memory_pressure_share: of_time(|reading| reading.memory_pressure_us),
            page_faults: count(|reading| reading.page_faults),
            read_bytes: count(|reading| reading.read_bytes),
            written_bytes: count(|reading| reading.written_bytes),
            process_read_bytes: count(|reading| reading.process_read_bytes),
            process_written_bytes: count(|reading| reading.process_written_bytes),
            ..Self::default()
        }
    }
}

/// To a hundredth of a percent: ticks are no finer.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
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
