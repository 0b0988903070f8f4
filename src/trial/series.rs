//! What a trial looked like over time: a point a second, and windows of the baseline that are as long as a snapshot.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::{
    measure::{self, Outcome, SLICE_NS, Slice},
    results::{Placement, SeriesPoint},
    workload::Kind,
};

const SLICES_PER_SECOND: u64 = 1_000_000_000 / SLICE_NS;

/// Seconds that are kept open for operations that are handed over late.
const OPEN_SECONDS: u64 = 30;

/// Makes one point of each second. Memory grows by the points, some 100 bytes a second.
#[derive(Default)]
pub struct Seconds {
    points: Vec<SeriesPoint>,
    open: BTreeMap<u64, (SeriesPoint, Option<Histogram<u64>>)>,
    /// The second of the last look.
    noted: u64,
}

impl Seconds {
    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        let (dropped, never): (u64, u64) = (slice.dropped.iter().sum(), slice.never_served.iter().sum());
        let late = slice.samples.iter().filter(|sample| sample.outcome != Outcome::Served).count() as u64;
        let (point, _) = self.second(slice.index / SLICES_PER_SECOND);
        point.due += slice.samples.len() as u64 + dropped + never;
        point.errors += late + dropped + never;
        for sample in slice.samples.iter().filter(|sample| sample.outcome == Outcome::Served) {
            let (point, response) = self.second(u64::from(sample.ended_slice) / SLICES_PER_SECOND);
            point.served += 1;
            response.get_or_insert_with(measure::histogram).saturating_record(u64::from(sample.response_us));
        }
    }

    /// Notes what only the present knows: the first look in a second is the end of the one before.
    pub fn note(&mut self, now_slice: u64, wal_bytes: u64, backlog: impl FnOnce() -> u64) {
        let now = now_slice / SLICES_PER_SECOND;
        if now <= self.noted {
            return;
        }
        self.noted = now;
        let backlog = backlog();
        let (point, _) = self.second(now - 1);
        (point.wal_bytes, point.backlog) = (wal_bytes, backlog);
    }

    /// All points of a load that ended before a slice.
    pub fn finish(mut self, end_slice: u64) -> Vec<SeriesPoint> {
        let seconds = end_slice.div_ceil(SLICES_PER_SECOND);
        if seconds > 0 {
            self.second(seconds - 1);
        }
        self.close(u64::MAX);
        self.points.retain(|point| point.t_s < seconds);
        self.points
    }

    /// A second that is open; one that is not any more is the oldest that is.
    fn second(&mut self, second: u64) -> &mut (SeriesPoint, Option<Histogram<u64>>) {
        self.close(second.saturating_sub(OPEN_SECONDS));
        let second = second.max(self.points.len() as u64);
        self.open.entry(second).or_insert_with(|| (SeriesPoint { t_s: second, ..SeriesPoint::default() }, None))
    }

    /// Closes the seconds before one.
    fn close(&mut self, before: u64) {
        while let Some(mut oldest) = self.open.first_entry().filter(|oldest| *oldest.key() < before) {
            let second = *oldest.key();
            let (point, response) = oldest.get_mut();
            if let Some(response) = response {
                let percentile = |quantile| measure::percentile(response, response.len(), quantile);
                (point.p50_us, point.p99_us, point.max_us) = (percentile(0.5), percentile(0.99), percentile(1.0));
            }
            // A second in which nothing at all happened has a point as well.
            for t_s in self.points.len() as u64..second {
                self.points.push(SeriesPoint { t_s, ..SeriesPoint::default() });
            }
            let (point, _) = oldest.remove();
            self.points.push(point);
        }
    }
}

/// Every operation of the baseline in a few bytes, up to a limit: 32 MB, four minutes at 17,000 a second.
#[derive(Default)]
pub struct WindowLog {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    slice: u32,
    kind: Kind,
    /// In microseconds; `u32::MAX` where it was not served.
    response_us: u32,
}

impl WindowLog {
    const MOST: usize = 32 * 1024 * 1024 / size_of::<Entry>();

    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        let index = u32::try_from(slice.index).unwrap_or(u32::MAX);
        for sample in &slice.samples {
            let served = sample.outcome == Outcome::Served;
            self.push(Entry {
                slice: index,
                kind: sample.kind,
                response_us: if served { sample.response_us } else { u32::MAX },
            });
        }
        for kind in Kind::ALL {
            for _ in 0..slice.dropped[kind as usize] + slice.never_served[kind as usize] {
                self.push(Entry { slice: index, kind, response_us: u32::MAX });
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() < Self::MOST {
            self.entries.push(entry);
        }
    }

    /// Cuts the slices from `first` to `end` into windows of a length and places a 99th percentile among theirs. Windows
    /// without an operation of the kind do not count; no window, no placement.
    pub fn place(&self, kind: Kind, (first, end): (u64, u64), length: u64, p99_us: Option<u64>) -> Option<Placement> {
        let count = (end - first).checked_div(length)?;
        let mut windows: Vec<Vec<u32>> = vec![Vec::new(); usize::try_from(count).ok()?];
        for entry in self.entries.iter().filter(|entry| entry.kind == kind) {
            let window = u64::from(entry.slice).saturating_sub(first) / length;
            if let Some(window) = usize::try_from(window).ok().and_then(|window| windows.get_mut(window)) {
                window.push(entry.response_us);
            }
        }
        let mut p99s: Vec<u64> = windows.iter_mut().filter_map(|window| nearest_rank(window)).collect();
        p99s.sort_unstable();
        let known = |time: Option<&u64>| time.copied().filter(|time| *time != u64::from(u32::MAX));
        let own = p99_us.unwrap_or(u64::MAX);
        (!p99s.is_empty()).then(|| Placement {
            window_s: (length * SLICE_NS) as f64 / 1e9,
            windows: p99s.len() as u64,
            p99_least_us: known(p99s.first()),
            p99_median_us: known(p99s.get(p99s.len() / 2)),
            p99_most_us: known(p99s.last()),
            windows_below: p99s.partition_point(|p99| *p99 < own) as u64,
        })
    }
}

/// The 99th percentile of a window, or nothing if it is empty.
fn nearest_rank(window: &mut [u32]) -> Option<u64> {
    let rank = (window.len() * 99).div_ceil(100).checked_sub(1)?;
    Some(u64::from(*window.select_nth_unstable(rank).1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;

    fn slice(index: u64, responses_us: &[u32]) -> Slice {
        let sample = |response_us: &u32| Sample {
            kind: Kind::Announce,
            outcome: Outcome::Served,
            response_us: *response_us,
            service_us: 1,
            lag_us: None,
            ended_slice: u32::try_from(index).unwrap() + response_us / 10_000,
            statements: 1,
        };
        Slice { index, samples: responses_us.iter().map(sample).collect(), ..Slice::default() }
    }

    #[test]
    fn a_point_a_second_even_where_nothing_happens() {
        let mut seconds = Seconds::default();
        seconds.add(&slice(0, &[10, 20, 30]));
        // Due in second 1, ended in second 3.
        seconds.add(&slice(150, &[2_000_000]));
        seconds.add(&Slice { dropped: [4, 1], ..slice(150, &[]) });
        for now in [0, 50, 100, 101, 200, 300, 401] {
            seconds.note(now, now * 7, || now);
        }
        let points = seconds.finish(600);
        assert_eq!(points.iter().map(|point| point.t_s).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(points.iter().map(|point| point.due).collect::<Vec<_>>(), [3, 6, 0, 0, 0, 0]);
        assert_eq!(points.iter().map(|point| point.served).collect::<Vec<_>>(), [3, 0, 0, 1, 0, 0]);
        assert_eq!(points.iter().map(|point| point.errors).collect::<Vec<_>>(), [0, 5, 0, 0, 0, 0]);
        assert_eq!(points.iter().map(|point| point.backlog).collect::<Vec<_>>(), [100, 200, 300, 401, 0, 0]);
        assert_eq!((points[0].p50_us, points[0].max_us), (Some(20), Some(30)));
        assert_eq!(points[1].p99_us, None);
    }

    #[test]
    fn a_phase_is_placed_among_windows_of_its_length() {
        let mut log = WindowLog::default();
        // Ten slices, whose slowest operations take 1 to 10 ms; in the last one is never served.
        for index in 0..10_u32 {
            log.add(&slice(100 + u64::from(index), &[100, 200, (index + 1) * 1_000]));
        }
        log.add(&Slice { never_served: [1, 0], ..slice(109, &[]) });
        let place = |length, p99_us| log.place(Kind::Announce, (100, 110), length, p99_us);
        let windows_of_one = place(1, Some(4_500)).unwrap();
        assert_eq!((windows_of_one.windows, windows_of_one.windows_below), (10, 4));
        assert_eq!((windows_of_one.p99_least_us, windows_of_one.p99_most_us), (Some(1_000), None));
        let windows_of_three = place(3, Some(4_500)).unwrap();
        assert_eq!((windows_of_three.windows, windows_of_three.windows_below), (3, 1));
        assert_eq!(windows_of_three.p99_median_us, Some(6_000));
        assert_eq!(place(3, None).unwrap().windows_below, 3, "no answer is later than every time");
        assert_eq!(place(11, Some(1)), None, "the baseline is shorter");
        assert_eq!(log.place(Kind::Scrape, (100, 110), 1, Some(1)), None);
    }
}
