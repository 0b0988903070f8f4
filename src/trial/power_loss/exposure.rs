//! What clients know of and no sync has covered yet, at instants of a recording.

use std::io;

use crate::{
    measure::nearest_rank,
    power::log::{Event, Log, Stamped},
    results::Exposure,
};

/// When each commit was acknowledged, in order, in nanoseconds since the recording began.
///
/// # Errors
/// As the operating system says of the log.
pub fn acknowledged_ns(log: &Log) -> io::Result<Vec<u64>> {
    let mut times_ns = Vec::new();
    for stamped in log.events()? {
        let Stamped { at_ns, event } = stamped?;
        if let Event::Acknowledged(_) = event {
            times_ns.push(at_ns);
        }
    }
    Ok(times_ns)
}

/// Of instants, each with the commits that are lost there where only what was synced is left: all of which clients know, where that is no
/// state at all (`None`). An instant is the one that was drawn, and not the event before it: while a long sync is under way, a commit
/// that waits for it grows older.
pub fn of(instants: &[(u64, Option<u64>)], acknowledged_ns: &[u64]) -> Exposure {
    let (mut commits, mut ages_us) = (Vec::new(), Vec::new());
    for (at_ns, lost) in instants {
        let known = acknowledged_ns.partition_point(|time_ns| time_ns <= at_ns) as u64;
        let lost = lost.unwrap_or(known).min(known);
        let oldest = usize::try_from(known - lost).ok().filter(|_| lost > 0);
        let oldest_ns = oldest.and_then(|place| acknowledged_ns.get(place));
        commits.push(lost);
        ages_us.push(oldest_ns.map_or(0, |oldest_ns| (at_ns - oldest_ns) / 1_000));
    }
    commits.sort_unstable();
    ages_us.sort_unstable();
    Exposure {
        instants: instants.len() as u64,
        commits_p50: ranked(&commits, 0.5),
        commits_p99: ranked(&commits, 0.99),
        commits_max: ranked(&commits, 1.0),
        age_p50_us: ranked(&ages_us, 0.5),
        age_p99_us: ranked(&ages_us, 0.99),
        age_max_us: ranked(&ages_us, 1.0),
    }
}

/// The smallest value that a share of all, from 0 to 1, are not above; 0 of none. `sorted` ascends.
fn ranked(sorted: &[u64], share: f64) -> u64 {
    let place = usize::try_from(nearest_rank(share, sorted.len() as u64) - 1);
    place.ok().and_then(|place| sorted.get(place)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_stake_is_as_old_as_its_first_commit() {
        // Commits were acknowledged at 1, 2, 3 and 4 ms.
        let acknowledged_ns = [1, 2, 3, 4].map(|ms| ms * 1_000_000);
        let at = |ms: u64, lost| (ms * 1_000_000, lost);
        for (instants, commits, ages_us) in [
            (vec![], [0, 0, 0], [0, 0, 0]),
            (vec![at(5, Some(0))], [0, 0, 0], [0, 0, 0]),
            (vec![at(5, Some(1))], [1, 1, 1], [1_000, 1_000, 1_000]),
            (vec![at(5, Some(4))], [4, 4, 4], [4_000, 4_000, 4_000]),
            (vec![at(3, None)], [3, 3, 3], [2_000, 2_000, 2_000]),
            (vec![at(0, Some(2)), at(0, None)], [0, 0, 0], [0, 0, 0]),
            (vec![at(5, Some(2)), at(5, Some(0)), at(2, Some(1))], [1, 2, 2], [0, 2_000, 2_000]),
        ] {
            let Exposure { commits_p50, commits_p99, commits_max, age_p50_us, age_p99_us, age_max_us, .. } =
                of(&instants, &acknowledged_ns);
            assert_eq!([commits_p50, commits_p99, commits_max], commits, "{instants:?}");
            assert_eq!([age_p50_us, age_p99_us, age_max_us], ages_us, "{instants:?}");
        }
    }
}
