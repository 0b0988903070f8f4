//! What a trial looked like over time: points of equal length, and windows of the baseline that are as long as a snapshot.
//!
//! A short load has a point a second. Beyond [`POINTS_MOST`] seconds each point spans as many whole seconds as it takes to stay
//! below that many, so that neither the results nor the memory of a trial grow with its length. That is decided before the
//! load begins: percentiles cannot be put together from percentiles, so what is to share a point shares its histogram.

use std::{collections::BTreeMap, time::Instant};

use hdrhistogram::Histogram;

use crate::{
    measure::{self, Class, OperationKind, Outcome, Percentile, SLICE_NS, SeenCheckpoint, Slice},
    results::{FilesBeside, Placement, SeriesPoint},
};

/// Slices of time that make a second.
pub const SLICES_PER_SECOND: u64 = 1_000_000_000 / SLICE_NS;

/// Seconds that are kept open for operations that are handed over late.
const OPEN_SECONDS: u64 = 30;

/// Points of a trial at most.
const POINTS_MOST: u64 = 1_000;

/// Makes the points of a trial, of equal length but for the last, which is cut off where the load ends.
pub struct Points {
    /// When the first begins.
    start: Instant,
    /// Seconds that a point spans.
    width_s: u64,
    /// The whole second in which the load has ended: what comes later is in no point.
    end_s: u64,
    closed: Vec<SeriesPoint>,
    /// By their number.
    open: BTreeMap<u64, OpenPoint>,
    /// The second of the last look.
    noted_s: u64,
}

/// A point that operations are still added to.
struct OpenPoint {
    point: SeriesPoint,
    /// Of the operations that were served; none before the first.
    response: Option<Histogram<u64>>,
}

impl Points {
    /// Those of a load that begins at an instant and is planned to end before a slice.
    pub fn new(start: Instant, end_slice: u64) -> Self {
        let end_s = end_slice.div_ceil(SLICES_PER_SECOND);
        let width_s = end_s.div_ceil(POINTS_MOST).max(1);
        Self { start, width_s, end_s, closed: Vec::new(), open: BTreeMap::new(), noted_s: 0 }
    }

    /// Seconds that a point spans.
    pub fn width_s(&self) -> u64 {
        self.width_s
    }

    /// The load ends before this slice, where it does so earlier than planned.
    pub fn end(&mut self, end_slice: u64) {
        self.end_s = self.end_s.min(end_slice.div_ceil(SLICES_PER_SECOND));
    }

    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        let (dropped, never): (u64, u64) = (slice.dropped.iter().sum(), slice.never_served.iter().sum());
        let late = slice.samples.iter().filter(|sample| sample.outcome != Outcome::Served).count() as u64;
        if let Some(OpenPoint { point, .. }) = self.at(slice.index / SLICES_PER_SECOND) {
            point.due += slice.samples.len() as u64 + dropped + never;
            point.errors += late + dropped + never;
        }
        slice.checkpoints().for_each(|checkpoint| self.add_checkpoint(checkpoint));
        for sample in slice.samples.iter().filter(|sample| sample.outcome == Outcome::Served) {
            if let Some(OpenPoint { point, response }) = self.at(sample.ended_slice() / SLICES_PER_SECOND) {
                point.served += 1;
                measure::record(response.get_or_insert_with(measure::histogram), sample.response_us);
            }
        }
    }

    /// Adds a checkpoint to each point that it lies in.
    fn add_checkpoint(&mut self, checkpoint: SeenCheckpoint) {
        let from_s = checkpoint.begun.saturating_duration_since(self.start).as_secs_f64();
        let to_s = from_s + checkpoint.duration.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a load, not negative")]
        let (first, last) = (from_s as u64, to_s as u64);
        for second in first..=last {
            if let Some(OpenPoint { point, .. }) = self.at(second) {
                let checkpoints = point.checkpoints.get_or_insert_default();
                checkpoints.count += u64::from(second == first);
                checkpoints.duration_s += to_s.min((second + 1) as f64) - from_s.max(second as f64);
            }
        }
    }

    /// Notes what one look saw of the files beside the database.
    pub fn note_files(&mut self, now_slice: u64, seen: FilesBeside) {
        if let Some(OpenPoint { point, .. }) = self.at(now_slice / SLICES_PER_SECOND) {
            let files = point.files_beside.get_or_insert_default();
            files.journal_bytes_max = files.journal_bytes_max.max(seen.journal_bytes_max);
            files.wal_used_bytes_max = files.wal_used_bytes_max.max(seen.wal_used_bytes_max);
            files.shm_bytes_max = files.shm_bytes_max.max(seen.shm_bytes_max);
            files.disk_bytes = files.disk_bytes.max(seen.disk_bytes);
        }
    }

    /// Notes what only the present knows: the first look in a second is the end of the one before.
    pub fn note(&mut self, now_slice: u64, wal_bytes: u64, backlog: impl FnOnce() -> u64) {
        let now_s = now_slice / SLICES_PER_SECOND;
        if now_s <= self.noted_s {
            return;
        }
        self.noted_s = now_s;
        let backlog = backlog();
        if let Some(OpenPoint { point, .. }) = self.at(now_s - 1) {
            point.wal_bytes = point.wal_bytes.max(wal_bytes);
            point.backlog = point.backlog.max(backlog);
        }
    }

    /// Notes the same at the end of the load, in the middle of its last second.
    pub fn note_end(&mut self, wal_bytes: u64, backlog: u64) {
        if let Some(OpenPoint { point, .. }) = self.end_s.checked_sub(1).and_then(|last_s| self.at(last_s)) {
            point.wal_bytes = point.wal_bytes.max(wal_bytes);
            point.backlog = point.backlog.max(backlog);
        }
    }

    /// All points, once nothing is added any more. Their commits are not filled in.
    pub fn finish(mut self) -> Vec<SeriesPoint> {
        let count = self.end_s.div_ceil(self.width_s);
        self.close(u64::MAX);
        // What lay ahead when the load was ended early is not part of it, and a point in which nothing happened is.
        self.closed.retain(|point| point.t_s < self.end_s);
        self.fill(count);
        if let Some(last) = self.closed.last_mut() {
            last.duration_s = self.end_s - last.t_s;
        }
        self.closed
    }

    /// The point that a second lies in, none after the end. Where that is closed it is the oldest that is open.
    fn at(&mut self, second: u64) -> Option<&mut OpenPoint> {
        if second >= self.end_s {
            return None;
        }
        self.close(second.saturating_sub(OPEN_SECONDS) / self.width_s);
        let number = (second / self.width_s).max(self.closed.len() as u64);
        let empty = Self::empty(number, self.width_s);
        Some(self.open.entry(number).or_insert_with(|| OpenPoint { point: empty, response: None }))
    }

    /// Closes the points before a number.
    fn close(&mut self, before: u64) {
        while let Some(oldest) = self.open.first_entry().filter(|oldest| *oldest.key() < before) {
            let (number, OpenPoint { mut point, response }) = oldest.remove_entry();
            if let Some(response) = response {
                let percentile = |quantile| measure::percentile(&response, response.len(), quantile);
                (point.p50_us, point.p99_us, point.max_us) = (percentile(0.5), percentile(0.99), percentile(1.0));
            }
            self.fill(number);
            self.closed.push(point);
        }
    }

    /// Adds the points before a number in which nothing at all happened.
    fn fill(&mut self, before: u64) {
        let width_s = self.width_s;
        self.closed.extend((self.closed.len() as u64..before).map(|number| Self::empty(number, width_s)));
    }

    fn empty(number: u64, width_s: u64) -> SeriesPoint {
        SeriesPoint { t_s: number * width_s, duration_s: width_s, ..SeriesPoint::default() }
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
    class: Class,
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
                class: sample.class,
                response_us: if served { sample.response_us } else { u32::MAX },
            });
        }
        for class in Class::ALL {
            for _ in 0..slice.dropped[class as usize] + slice.never_served[class as usize] {
                self.push(Entry { slice: index, class, response_us: u32::MAX });
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
    pub fn place(
        &self,
        kind: OperationKind,
        (first, end): (u64, u64),
        length: u64,
        p99_us: Option<u64>,
    ) -> Option<Placement> {
        let count = (end - first).checked_div(length)?;
        let mut windows: Vec<Vec<u32>> = vec![Vec::new(); usize::try_from(count).ok()?];
        for entry in self.entries.iter().filter(|entry| kind.includes(entry.class)) {
            let window = u64::from(entry.slice).saturating_sub(first) / length;
            if let Some(window) = usize::try_from(window).ok().and_then(|window| windows.get_mut(window)) {
                window.push(entry.response_us);
            }
        }
        let mut p99s: Vec<u64> = windows.iter_mut().filter_map(|window| ranked_99th(window)).collect();
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
fn ranked_99th(window: &mut [u32]) -> Option<u64> {
    let rank = measure::nearest_rank(Percentile::P99.quantile(), window.len() as u64);
    let place = usize::try_from(rank - 1).ok().filter(|place| *place < window.len())?;
    Some(u64::from(*window.select_nth_unstable(place).1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;

    fn slice(index: u64, responses_us: &[u32]) -> Slice {
        let sample = |response_us: &u32| Sample {
            class: Class::ReadingAnnounce,
            outcome: Outcome::Served,
            response_us: *response_us,
            service_us: 1,
            lag_us: None,
            ended_us: index * 10_000 + u64::from(*response_us),
            committed: false,
            carried_checkpoint: false,
            statements: 1,
        };
        Slice { index, samples: responses_us.iter().map(sample).collect(), ..Slice::default() }
    }

    #[test]
    fn a_point_a_second_even_where_nothing_happens() {
        let mut points = Points::new(Instant::now(), 600);
        points.add(&slice(0, &[10, 20, 30]));
        // Due in second 1, ended in second 3.
        points.add(&slice(150, &[2_000_000]));
        points.add(&Slice { dropped: [4, 0, 0, 1], ..slice(150, &[]) });
        for now in [0, 50, 100, 101, 200, 300, 401] {
            points.note(now, now * 7, || now);
        }
        let points = points.finish();
        assert_eq!(points.iter().map(|point| point.t_s).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(points.iter().all(|point| point.duration_s == 1), "{points:?}");
        assert_eq!(points.iter().map(|point| point.due).collect::<Vec<_>>(), [3, 6, 0, 0, 0, 0]);
        assert_eq!(points.iter().map(|point| point.served).collect::<Vec<_>>(), [3, 0, 0, 1, 0, 0]);
        assert_eq!(points.iter().map(|point| point.errors).collect::<Vec<_>>(), [0, 5, 0, 0, 0, 0]);
        assert_eq!(points.iter().map(|point| point.backlog).collect::<Vec<_>>(), [100, 200, 300, 401, 0, 0]);
        assert_eq!((points[0].p50_us, points[0].max_us), (Some(20), Some(30)));
        assert_eq!(points[1].p99_us, None);
    }

    /// The points of a load that was planned to last so long, with `of_second` served in each second.
    fn load_of(planned_s: u64, of_second: impl Fn(u64) -> Vec<u32>) -> Points {
        let mut points = Points::new(Instant::now(), planned_s * SLICES_PER_SECOND);
        for second in 0..planned_s {
            points.add(&slice(second * SLICES_PER_SECOND, &of_second(second)));
            points.note((second + 1) * SLICES_PER_SECOND, 1_000 + second % 5, || second % 3);
        }
        points
    }

    #[test]
    fn the_length_of_a_load_decides_how_long_its_points_are() {
        for (planned_s, points, duration_s, last_s) in [
            (1, 1, 1, 1),
            (999, 999, 1, 1),
            (1_000, 1_000, 1, 1),
            (1_001, 501, 2, 1),
            (2_000, 1_000, 2, 2),
            (2_001, 667, 3, 3),
            (3_600, 900, 4, 4),
            (3_601, 901, 4, 1),
            (86_400, 994, 87, 9),
            (4_000_000, 1_000, 4_000, 4_000),
        ] {
            let found = Points::new(Instant::now(), planned_s * SLICES_PER_SECOND).finish();
            assert_eq!(found.len(), points, "{planned_s} s");
            assert_eq!((found[0].t_s, found[0].duration_s), (0, duration_s), "{planned_s} s");
            assert_eq!(found[points - 1].duration_s, last_s, "{planned_s} s");
            let is_whole = found.windows(2).all(|pair| pair[0].t_s + pair[0].duration_s == pair[1].t_s);
            assert!(is_whole && found.iter().map(|point| point.duration_s).sum::<u64>() == planned_s, "{planned_s} s");
        }
        assert_eq!(Points::new(Instant::now(), 0).finish(), []);
    }

    #[test]
    fn a_long_point_counts_all_of_its_seconds_and_ranks_their_operations_together() {
        // In every second 99 operations of 100 us and one that takes as many milliseconds as the second's number, from 1 to 4.
        let of_second = |second: u64| {
            let slow_us = u32::try_from(second % 4 + 1).unwrap() * 1_000;
            [vec![100; 99], vec![slow_us]].concat()
        };
        let points = load_of(3_600, of_second).finish();
        assert_eq!(points.len(), 900);
        for (number, point) in points.iter().enumerate() {
            assert_eq!((point.due, point.served, point.errors), (400, 400, 0), "{point:?}");
            // Of 400 operations the 396th is the last of the fast ones; the p99 of the four seconds are 100, as well.
            assert_eq!((point.p50_us, point.p99_us), (Some(100), Some(100)), "{point:?}");
            assert_eq!(point.max_us, Some(4_001), "the largest of four, in the histogram's digits: {point:?}");
            let seconds = number as u64 * 4..number as u64 * 4 + 4;
            let most = |rest| seconds.clone().map(|second| second % rest).max().unwrap();
            assert_eq!((point.wal_bytes, point.backlog), (1_000 + most(5), most(3)), "{point:?}");
        }
        // Two of a hundred in one second of four only: its own p99 is 9 ms, that of the point is not.
        let uneven = |second: u64| {
            if second.is_multiple_of(4) { [vec![100; 98], vec![9_000; 2]].concat() } else { vec![100; 100] }
        };
        let (short, long) = (load_of(100, uneven).finish(), load_of(3_600, uneven).finish());
        assert_eq!((short[0].p99_us, long[0].p99_us), (short[0].max_us, Some(100)));
    }

    #[test]
    fn what_comes_after_the_end_is_in_no_point() {
        let late = |points: &mut Points| {
            for second in [3_599, 3_600, 3_700, 40_000_000] {
                points.add(&slice(second * SLICES_PER_SECOND, &[100]));
                points.note(second * SLICES_PER_SECOND, 5_000, || 5);
            }
            assert!(points.open.len() <= 9 && points.closed.len() <= 900, "memory is as bounded as the results");
        };
        let mut points = load_of(3_600, |_| vec![100]);
        late(&mut points);
        let found = points.finish();
        assert_eq!((found.len(), found[899].served), (900, 5));
        // One that was ended in the middle of its sixth second.
        let mut points = Points::new(Instant::now(), 3_600 * SLICES_PER_SECOND);
        (0..6).for_each(|second| points.add(&slice(second * SLICES_PER_SECOND, &[100])));
        points.end(550);
        points.add(&slice(560, &[100]));
        late(&mut points);
        let found = points.finish();
        assert_eq!(found.iter().map(|point| (point.t_s, point.duration_s)).collect::<Vec<_>>(), [(0, 4), (4, 2)]);
        assert_eq!(found.iter().map(|point| point.served).collect::<Vec<_>>(), [4, 3]);
    }

    #[test]
    fn operations_that_are_handed_over_late_still_find_their_point() {
        let mut points = Points::new(Instant::now(), 3_600 * SLICES_PER_SECOND);
        // The third is in time. The point of the fourth, from second 48 on, was closed when second 100 came.
        for second in [50, 100, 71, 49] {
            points.add(&slice(second * SLICES_PER_SECOND, &[100]));
        }
        let served = points.finish().into_iter().filter(|point| point.served > 0);
        let served: Vec<_> = served.map(|point| (point.t_s, point.served)).collect();
        assert_eq!(served, [(48, 1), (52, 1), (68, 1), (100, 1)]);
    }

    #[test]
    fn a_phase_is_placed_among_windows_of_its_length() {
        let mut log = WindowLog::default();
        // Ten slices, whose slowest operations take 1 to 10 ms; in the last one is never served.
        for index in 0..10_u32 {
            log.add(&slice(100 + u64::from(index), &[100, 200, (index + 1) * 1_000]));
        }
        log.add(&Slice { never_served: [0, 1, 0, 0], ..slice(109, &[]) });
        let place = |length, p99_us| log.place(OperationKind::Read, (100, 110), length, p99_us);
        let windows_of_one = place(1, Some(4_500)).unwrap();
        assert_eq!((windows_of_one.windows, windows_of_one.windows_below), (10, 4));
        assert_eq!((windows_of_one.p99_least_us, windows_of_one.p99_most_us), (Some(1_000), None));
        let windows_of_three = place(3, Some(4_500)).unwrap();
        assert_eq!((windows_of_three.windows, windows_of_three.windows_below), (3, 1));
        assert_eq!(windows_of_three.p99_median_us, Some(6_000));
        assert_eq!(place(3, None).unwrap().windows_below, 3, "no answer is later than every time");
        assert_eq!(place(11, Some(1)), None, "the baseline is shorter");
        assert_eq!(log.place(OperationKind::Commit, (100, 110), 1, Some(1)), None);
    }
}
