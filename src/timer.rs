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

/// How late a thread wakes from a sleep to an instant, in microseconds: of a hundred times, one is later. It takes a fifth of a
/// second. `None` where no thread can be started.
#[must_use]
pub(crate) fn late_us_p99() -> Option<u64> {
    const TIMES: u32 = 200;
    const APART: Duration = Duration::from_millis(1);
    // A thread of its own: children of this one would inherit its timer slack.
    let measure = || {
        wake_on_time();
        let start = Instant::now();
        let late = (1..=TIMES).map(|number| {
            let due = start + APART * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due.elapsed()
        });
        p99(late.collect())
    };
    let late = thread::Builder::new().spawn(measure).ok()?.join().ok()??;
    u64::try_from(late.as_micros()).ok()
}

/// The least time that is not less than 99 of a hundred of them.
fn p99(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_times_one_is_later() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_micros).collect();
        for (count, expected) in [(0, None), (1, Some(1)), (99, Some(99)), (100, Some(99)), (200, Some(198))] {
            assert_eq!(p99(times(count)), expected.map(Duration::from_micros), "of {count}");
        }
    }

    #[test]
    fn this_machine_wakes_some_time() {
        assert!(late_us_p99().is_some());
    }
}
