//! What arrives, when, and over which connections.

use std::{fmt, time::Duration};

use crate::{
    load::Batch,
    pace::{Rate, Spread},
    workload::{Kind, Mix},
};

/// The traffic of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadPlan {
    /// When operations are due.
    pub arrivals: Arrivals,
    /// The streams of operations that the write profile asks for: one for each kind, or one for both.
    pub streams: Vec<StreamPlan>,
    /// Connections for announces, a trial for each number; none where a pool serves announces and scrapes.
    pub announce_connections: Vec<u32>,
    /// Announces that complete a download, a second: a trial for each number; none where the mix has their share.
    pub completed_rates_ops: Vec<f64>,
    /// The shares and sizes of the workload, the write profile among them.
    pub mix: Mix,
    /// How long a connection of its own holds a read transaction, again and again, where there is one.
    pub long_reader: Option<Duration>,
    /// What the operations follow from.
    pub seed: u64,
}

/// When operations are due.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrivals {
    /// Open loop: at times of their own, however fast the database answers.
    Open {
        /// How gaps are spread around the rate.
        spread: Spread,
        /// How many arrive.
        rate: OfferedRate,
    },
    /// Closed loop: as fast as the database answers. Finds the ceiling; its response times hide every stall.
    Closed,
}

/// How many operations arrive, a second.
#[derive(Debug, Clone, PartialEq)]
pub enum OfferedRate {
    /// One number for a whole trial; a trial for each number.
    Constant(Vec<f64>),
    /// A rate that changes in steps.
    Steps(Rate),
    /// The rate of a trace file.
    Trace(Rate),
}

/// One stream of operations, with workers of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamPlan {
    /// The kind of every operation in it; `None` where the workload chooses for each.
    pub kind: Option<Kind>,
    /// The part of all operations that comes in it, from 0 to 1.
    pub share: f64,
    /// Connections, each with a thread of its own; of announces, the most of all trials.
    pub connections: u32,
    /// Writes that go into one transaction, in the batched profile.
    pub batch: Option<Batch>,
}

impl Arrivals {
    /// The offered rates that trials are made for; `None` stands for a rate that is not one number.
    #[must_use]
    pub(crate) fn rates_ops(&self) -> Vec<Option<f64>> {
        match self {
            Self::Open { rate: OfferedRate::Constant(rates), .. } => rates.iter().copied().map(Some).collect(),
            Self::Open { rate: OfferedRate::Steps(_) | OfferedRate::Trace(_), .. } | Self::Closed => vec![None],
        }
    }

    /// Whether an operation is due only when the one before it has ended.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Open { .. } => false,
            Self::Closed => true,
        }
    }
}

impl LoadPlan {
    /// The numbers of announce connections that trials are made for; `None` stands for the only one there is.
    #[must_use]
    pub(crate) fn connection_choices(&self) -> Vec<Option<u32>> {
        match self.announce_connections.as_slice() {
            [] | [_] => vec![None],
            several => several.iter().copied().map(Some).collect(),
        }
    }

    /// The numbers of completed downloads a second that trials are made for; `None` stands for the share of the mix.
    #[must_use]
    pub(crate) fn completed_choices(&self) -> Vec<Option<f64>> {
        match self.completed_rates_ops.as_slice() {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        }
    }

    /// The mix of a trial: with so many completed downloads among so many operations a second, where both are numbers.
    #[must_use]
    pub(crate) fn mix_of(&self, rate_ops: Option<f64>, completed_rate_ops: Option<f64>) -> Mix {
        let share = |(rate_ops, completed_rate_ops): (f64, f64)| match completed_rate_ops {
            // Also where nothing announces.
            0.0 => 0.0,
            _ => completed_rate_ops / (rate_ops * self.mix.announce_share),
        };
        let completed_share = rate_ops.zip(completed_rate_ops).map_or(self.mix.completed_share, share);
        Mix { completed_share, ..self.mix }
    }

    /// Connections that write: only one of them can copy the database by itself.
    #[must_use]
    pub(crate) fn writing_connections(&self) -> u32 {
        let in_stream = |stream: &StreamPlan| match stream.kind {
            None | Some(Kind::Announce) => stream.connections,
            Some(Kind::Scrape) => 0,
        };
        // A listener writes for all connections of its pool, on one of its own.
        if self.mix.write_profile.has_listener() { 1 } else { self.streams.iter().map(in_stream).sum() }
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed loop",
            Self::Open { rate: OfferedRate::Trace(_), .. } => "open loop, Poisson arrivals at the rate of a trace",
            Self::Open { spread: Spread::Constant, .. } => "open loop, constant arrivals",
            Self::Open { spread: Spread::Poisson, .. } => "open loop, Poisson arrivals",
        })
    }
}
