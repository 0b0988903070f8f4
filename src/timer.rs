//! Waking at an instant, as the load generator does, and how late that is here.

use std::{
    num::NonZeroU64,
    thread,
    time::{Duration, Instant},
};

/// Has the kernel wake this thread when its sleep ends: it may delay that by the timer slack, 50 us by default, to batch it with
/// others.
pub(crate) fn wake_on_time() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// How late a thread wakes from each of so many sleeps to an instant, which are a millisecond apart. `None` where no thread can be
/// started.
#[must_use]
pub(crate) fn late(sleeps: u32) -> Option<Vec<Duration>> {
    const APART: Duration = Duration::from_millis(1);
    // A thread of its own: children of this one would inherit its timer slack.
    let measure = move || {
        wake_on_time();
        let start = Instant::now();
        let late = (1..=sleeps).map(|number| {
            let due = start + APART * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due.elapsed()
        });
        late.collect()
    };
    thread::Builder::new().spawn(measure).ok()?.join().ok()
}

/// The least of these times that is not less than 99 of a hundred of them, in microseconds.
#[must_use]
pub(crate) fn p99_us(mut times: Vec<Duration>) -> Option<u64> {
    times.sort_unstable();
    let time = times.get((times.len() * 99).div_ceil(100).checked_sub(1)?)?;
    u64::try_from(time.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_times_one_is_later() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_micros).collect();
        for (count, expected) in [(0, None), (1, Some(1)), (99, Some(99)), (100, Some(99)), (200, Some(198))] {
            assert_eq!(p99_us(times(count)), expected, "of {count}");
        }
    }

    #[test]
    fn this_machine_wakes_some_time() {
        assert_eq!(late(20).map(|times| times.len()), Some(20));
    }
}
