//! What the machine did over time, point by point of the series.

use crate::{
    machine::Reading,
    results::{MachineUse, SeriesPoint},
};

/// Takes a reading a second, and makes of them what the machine did in each point.
pub struct MachineLog {
    /// Seconds that a point spans.
    width_s: u64,
    /// The points that have ended: their numbers, ascending, and what was done in them.
    ended: Vec<(u64, MachineUse)>,
    open: Open,
    /// The second of the last reading.
    noted_s: u64,
}

/// The point that readings are still added to.
struct Open {
    number: u64,
    /// At its beginning.
    from: Reading,
    /// The last.
    to: Reading,
    /// The most of what is no sum.
    most: Most,
}

#[expect(clippy::struct_field_names, reason = "a field has its unit last")]
#[derive(Default, Clone, Copy)]
struct Most {
    dirty_bytes: Option<u64>,
    writeback_bytes: Option<u64>,
    resident_bytes: Option<u64>,
}

impl MachineLog {
    /// Of a load that begins, in points that span so many seconds.
    pub fn begin(width_s: u64, reading: Reading) -> Self {
        let open = Open { number: 0, from: reading, to: reading, most: Most::default() };
        Self { width_s, ended: Vec::new(), open, noted_s: 0 }
    }

    /// Adds a reading, in a second of the load: the first in a second is of the end of the one before.
    pub fn note(&mut self, now_s: u64, read: impl FnOnce() -> Reading) {
        if now_s <= self.noted_s {
            return;
        }
        self.noted_s = now_s;
        let reading = read();
        let number = (now_s - 1) / self.width_s;
        if number > self.open.number {
            self.end_point();
            self.open = Open { number, from: self.open.to, to: reading, most: Most::default() };
        }
        self.open.to = reading;
        self.open.most.add(&reading);
    }

    /// Fills in the points of a trial that has ended.
    pub fn fill(mut self, points: &mut [SeriesPoint]) {
        self.end_point();
        let width_s = self.width_s;
        for (number, machine) in self.ended {
            if let Some(point) = points.iter_mut().find(|point| point.t_s == number * width_s) {
                point.machine = Some(machine);
            }
        }
    }

    fn end_point(&mut self) {
        // Nothing has been read in it.
        if self.open.from.at < self.open.to.at {
            self.ended.push((self.open.number, self.open.machine_use()));
        }
    }
}

impl Most {
    fn add(&mut self, reading: &Reading) {
        self.dirty_bytes = self.dirty_bytes.max(reading.dirty_bytes);
        self.writeback_bytes = self.writeback_bytes.max(reading.writeback_bytes);
        self.resident_bytes = self.resident_bytes.max(reading.resident_bytes);
    }
}

impl Open {
    fn machine_use(&self) -> MachineUse {
        let Self { from, to, most, .. } = self;
        MachineUse {
            dirty_bytes_max: most.dirty_bytes,
            writeback_bytes_max: most.writeback_bytes,
            resident_bytes_max: most.resident_bytes,
            ..MachineUse::between(from, to)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::machine::ProcessorTimes;

    /// At a time, with a hundred ticks a second, a tenth of them stolen from second 2 on.
    fn reading(start: Instant, second: u64) -> Reading {
        let stolen = second.saturating_sub(2) * 10;
        Reading {
            at: start + Duration::from_secs(second),
            processors: Some(ProcessorTimes {
                user: second * 50,
                system: second * 20,
                idle: second * 30 - stolen,
                steal: stolen,
            }),
            processor_pressure_us: Some(second * 250_000),
            io_pressure_us: None,
            memory_pressure_us: Some(0),
            page_faults: Some(second * second),
            read_bytes: Some(second * 4_096),
            written_bytes: Some(second * 8_192),
            dirty_bytes: Some(if second.is_multiple_of(3) { 5 } else { 11 - 2 * (second % 3) }),
            writeback_bytes: None,
            resident_bytes: Some(second),
            process_read_bytes: Some(0),
            process_written_bytes: Some(second * 16),
        }
    }

    fn points(width_s: u64, count: u64, looks: &[u64]) -> Vec<SeriesPoint> {
        let start = Instant::now();
        let mut log = MachineLog::begin(width_s, reading(start, 0));
        for look in looks {
            log.note(*look, || reading(start, *look));
        }
        let point = |number| SeriesPoint { t_s: number * width_s, duration_s: width_s, ..SeriesPoint::default() };
        let mut points: Vec<_> = (0..count).map(point).collect();
        log.fill(&mut points);
        points
    }

    #[test]
    fn each_point_has_what_was_done_in_it() {
        let points = points(1, 5, &[0, 1, 2, 2, 3, 4]);
        let uses: Vec<_> = points.iter().map_while(|point| point.machine).collect();
        assert_eq!((uses.len(), points[4].machine), (4, None), "nobody looked at the end of the last");
        let steal: Vec<_> = uses.iter().map(|machine| machine.steal_share).collect();
        assert_eq!(steal, [Some(0.0), Some(0.0), Some(0.1), Some(0.1)]);
        assert_eq!((uses[0].user_share, uses[0].system_share), (Some(0.5), Some(0.2)));
        assert_eq!((uses[3].processor_pressure_share, uses[3].io_pressure_share), (Some(0.25), None));
        assert_eq!(
            (uses[3].page_faults, uses[3].written_bytes, uses[3].process_written_bytes),
            (Some(7), Some(8_192), Some(16))
        );
        assert_eq!(uses.iter().map(|machine| machine.dirty_bytes_max).collect::<Vec<_>>(), [9, 7, 5, 9].map(Some));
    }

    #[test]
    fn a_long_point_has_all_of_its_seconds_and_a_missed_second_falls_to_the_next_look() {
        let long = points(3, 2, &[1, 2, 3, 4, 6]);
        let machine = long[0].machine.unwrap();
        assert_eq!((machine.dirty_bytes_max, machine.page_faults), (Some(9), Some(9)));
        assert_eq!((machine.steal_share, machine.resident_bytes_max), (Some(0.0333), Some(3)));
        assert_eq!(long[1].machine.unwrap().steal_share, Some(0.1));
        let missed = points(1, 4, &[1, 4]);
        assert_eq!(missed.iter().map(|point| point.machine.is_some()).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(missed[3].machine.unwrap().steal_share, Some(0.0667), "of the three seconds since the last look");
    }
}
