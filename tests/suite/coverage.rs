//! Simulations: how often the intervals hold what they are about, for distributions with heavy tails and machines that drift.

use journalbench::statistics::{ERROR_SHARE, median, median_interval, share_interval};
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};
use rand_distr::{Cauchy, Distribution as _, LogNormal, Normal};

/// Simulated runs of each case.
const RUNS: u32 = 4_000;

/// By how much a share of [`RUNS`] may be off by chance: four standard deviations of 5 %.
const CHANCE: f64 = 0.014;

fn random(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Draws the noise of one measurement.
type Noise = fn(&mut Xoshiro256PlusPlus) -> f64;

fn normal(random: &mut Xoshiro256PlusPlus) -> f64 {
    Normal::new(0.0, 0.1).unwrap().sample(random)
}

fn heavy(random: &mut Xoshiro256PlusPlus) -> f64 {
    Cauchy::new(0.0, 0.1).unwrap().sample(random)
}

/// Mostly quiet; one measurement in ten is disturbed, upwards.
fn disturbed(random: &mut Xoshiro256PlusPlus) -> f64 {
    let disturbance = if random.random_bool(0.1) { LogNormal::new(0.0, 1.0).unwrap().sample(random) } else { 0.0 };
    normal(random) + disturbance
}

/// How often the interval of the log ratio misses an effect, where pairs run A B B A on a machine that becomes slower by
/// `drift` from each trial to the next.
fn missed(noise: Noise, pairs: usize, drift: f64, seed: u64) -> f64 {
    const EFFECT: f64 = 0.2;
    let mut random = random(seed);
    let missed = (0..RUNS).filter(|_| {
        let ratio = |pair: usize| {
            let (first, second) = (2.0 * pair as f64 * drift, (2.0 * pair as f64 + 1.0) * drift);
            let (base_at, new_at) = if pair.is_multiple_of(2) { (first, second) } else { (second, first) };
            EFFECT + new_at + noise(&mut random) - base_at - noise(&mut random)
        };
        let ratios: Vec<f64> = (0..pairs).map(ratio).collect();
        let interval = median_interval(&ratios, ERROR_SHARE).unwrap();
        interval.is_above(EFFECT) || interval.is_below(EFFECT)
    });
    missed.count() as f64 / f64::from(RUNS)
}

#[test]
fn the_interval_of_pairs_misses_as_rarely_as_it_says() {
    let cases: [(&str, Noise); 3] = [("normal", normal), ("heavy tails", heavy), ("disturbed", disturbed)];
    for (name, noise) in cases {
        for pairs in [6, 9, 24] {
            for drift in [0.0, 0.02] {
                let share = missed(noise, pairs, drift, pairs as u64);
                assert!(share <= ERROR_SHARE + CHANCE, "{name}, {pairs} pairs, drift {drift}: {share}");
            }
        }
    }
}

#[test]
fn pairs_of_the_same_are_what_the_interval_of_one_block_after_the_other_is_not() {
    // Had all of A run before all of B, the drift would be an effect: the design matters, and the simulation can tell.
    let mut random = random(7);
    let missed = (0..RUNS).filter(|_| {
        let ratios: Vec<f64> = (0..9).map(|_| 9.0 * 0.02 + normal(&mut random) - normal(&mut random)).collect();
        let interval = median_interval(&ratios, ERROR_SHARE).unwrap();
        interval.is_above(0.0) || interval.is_below(0.0)
    });
    assert!(missed.count() as f64 / f64::from(RUNS) > 0.2);
}

#[test]
fn the_interval_of_a_share_misses_as_rarely_as_it_says() {
    for (of, share) in [(6_u64, 0.9), (20, 0.5), (51, 0.98), (51, 0.05), (300, 0.995)] {
        let mut random = random(of);
        let missed = (0..RUNS).filter(|_| {
            let hits = (0..of).filter(|_| random.random_bool(share)).count() as u64;
            let interval = share_interval(hits, of);
            interval.is_above(share) || interval.is_below(share)
        });
        let missed = missed.count() as f64 / f64::from(RUNS);
        // An interval that reaches an end spends all of its error on its only bound.
        assert!(missed <= 1.5 * ERROR_SHARE + CHANCE, "{share} of {of}: {missed}");
    }
}

#[test]
fn medians_of_many_are_in_the_middle() {
    let mut random = random(3);
    let values: Vec<f64> = (0..10_001).map(|_| heavy(&mut random)).collect();
    assert!(median(&values).unwrap().abs() < 0.01);
}
