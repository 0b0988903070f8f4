//! Response and service times by percentile: the journal modes in the baseline, and the baseline beside the snapshots.

use hdrhistogram::Histogram;

use super::{Picture, Section, strategies};
use crate::{
    measure::{OperationKind, Percentile},
    report::{
        context::Group,
        distinct,
        figures::{Column, Table, Unit, Value},
        page::plot::{Axis, Ink, Line, Plot, Stroke},
    },
    results::{OperationResult, PhaseName, TrialResult},
    snapshot::Strategy,
};

/// Points of a line from one power of ten to the next.
const STEPS: u32 = 12;

/// Which of the two times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Response,
    Service,
}

/// The times of several trials together.
struct Spectrum {
    label: String,
    ink: Ink,
    stroke: Stroke,
    histogram: Histogram<u64>,
    /// Operations that the percentiles rank over.
    total: u64,
}

/// Of a group.
pub fn section(group: &Group<'_>) -> Section {
    let kinds = [OperationKind::Commit, OperationKind::Read, OperationKind::Scrape];
    let mut pictures: Vec<_> = kinds.into_iter().filter_map(|kind| of_modes(group, kind)).collect();
    let with_snapshots = group.trials.iter().filter(|trial| !trial.snapshots.is_empty());
    let strategies = distinct(with_snapshots.map(|trial| trial.strategy));
    pictures.extend(strategies.into_iter().filter_map(|strategy| of_strategy(group, strategy)));
    Section {
        title: "How long did clients wait?".to_owned(),
        note: "Read a line at 99 %: one operation in a hundred took longer. Further to the right are ever fewer operations, and the \
            last points rest on one. Response times begin when an operation was due, service times when a connection took it up. \
            All trials together; an operation without an answer is later than every time, so its line ends before."
            .to_owned(),
        pictures,
    }
}

fn of_modes(group: &Group<'_>, kind: OperationKind) -> Option<Picture> {
    let mut all = Vec::new();
    for mode in group.modes() {
        for (time, stroke, word) in
            [(Time::Response, Stroke::Solid, "response"), (Time::Service, Stroke::Dashed, "service")]
        {
            let trials = group.of_mode(mode);
            let label = format!("{mode}, {word} time");
            let ink = strategies::ink(group, mode);
            all.extend(spectrum(label, (ink, stroke), trials, PhaseName::Baseline, kind, time));
        }
    }
    picture(format!("{kind}s in the baseline"), &all)
}

fn of_strategy(group: &Group<'_>, strategy: Strategy) -> Option<Picture> {
    let mut all = Vec::new();
    for mode in group.modes() {
        let of_it = |phase, stroke, word: &str| {
            let trials = group.of_mode(mode).filter(|trial| trial.strategy == strategy);
            let label = format!("{mode}, {word}");
            spectrum(
                label,
                (strategies::ink(group, mode), stroke),
                trials,
                phase,
                OperationKind::Announce,
                Time::Response,
            )
        };
        all.extend(of_it(PhaseName::Snapshot, Stroke::Solid, "while it ran"));
        all.extend(of_it(PhaseName::Baseline, Stroke::Dashed, "before"));
    }
    picture(format!("announces while {strategy} copied"), &all)
}

fn spectrum<'a>(
    label: String,
    (ink, stroke): (Ink, Stroke),
    trials: impl Iterator<Item = &'a TrialResult>,
    phase: PhaseName,
    kind: OperationKind,
    time: Time,
) -> Option<Spectrum> {
    let mut histogram = crate::measure::histogram();
    let mut total = 0_u64;
    let phases = trials.flat_map(|trial| &trial.phases).filter(|one| one.name == phase);
    for operation in phases.filter_map(|one| one.operation(kind)) {
        let of = match time {
            Time::Response => &operation.response,
            Time::Service => &operation.service,
        };
        // What a file has that is no histogram is missing here, as it is in the table.
        let one = of.histogram().ok()?;
        total = total.saturating_add(match time {
            Time::Response => operation.due,
            Time::Service => begun(operation),
        });
        histogram.add(&one).ok()?;
    }
    (!histogram.is_empty()).then_some(Spectrum { label, ink, stroke, histogram, total })
}

fn begun(operation: &OperationResult) -> u64 {
    operation.due.saturating_sub(operation.counts.dropped.saturating_add(operation.counts.never_served))
}

fn picture(title: String, all: &[Spectrum]) -> Option<Picture> {
    let most = all.iter().map(|one| one.total).max()?;
    let lines: Vec<Line> = all.iter().map(line).collect();
    let values = lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y);
    let y = Axis::log("ms", values.collect::<Vec<_>>().into_iter());
    let plot = Plot {
        title: title.clone(),
        x: Axis::percentiles(most),
        y,
        bands: Vec::new(),
        lines,
        dots: Vec::new(),
        reference: None,
    };
    let mut columns = vec![Column::words("line"), Column::of("operations", Unit::One)];
    let shown = [Percentile::P50, Percentile::P90, Percentile::P99, Percentile::P999, Percentile::Max];
    columns.extend(shown.map(|percentile| Column::of(&percentile.to_string(), Unit::Milliseconds)));
    let row = |one: &Spectrum| {
        let value = |percentile: Percentile| match percentile.of(&one.histogram, one.total) {
            _ if one.total < percentile.least() => Value::Few,
            Some(us) => Value::Response(us),
            None => Value::NoAnswer,
        };
        let cells = [Value::text(one.label.clone()), Value::Count(one.total)];
        cells.into_iter().chain(shown.map(value)).map(Into::into).collect()
    };
    let rows = all.iter().map(row).collect();
    Some(Picture { title, caption: String::new(), plots: vec![(plot, 230)], table: Table { columns, rows } })
}

/// From the median outwards, at even distances of the axis, as far as one operation lies beyond.
fn line(one: &Spectrum) -> Line {
    let served = one.histogram.len();
    let last = f64::from(STEPS) * (one.total.max(1) as f64).log10();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred points at most")]
    let steps = (0..=last.ceil() as u32).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / f64::from(STEPS)));
    let point = |share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among them")]
        let rank = ((share * one.total as f64).ceil() as u64).clamp(1, one.total.max(1));
        let value = (rank <= served).then(|| one.histogram.value_at_quantile(rank as f64 / served as f64));
        (share, value.map(|us| us.max(1) as f64 / 1e3))
    };
    Line { label: one.label.clone(), ink: one.ink, stroke: one.stroke, points: steps.map(point).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::context::groups, results::samples, sqlite::JournalMode};

    #[test]
    fn a_line_rises_with_its_percentiles_and_ends_where_nobody_was_served() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        trial.phases[0].operations = OperationKind::ALL.map(|kind| samples::operation(kind, 900, 100)).to_vec();
        let results = samples::results(vec![trial]);
        let group = &groups(&results)[0];
        let picture = of_modes(group, OperationKind::Read).unwrap();
        let response = &picture.plots[0].0.lines[0];
        let values: Vec<_> = response.points.iter().map_while(|(_, y)| *y).collect();
        assert!(values.len() > 10 && values.is_sorted(), "{values:?}");
        assert!(response.points.last().unwrap().1.is_none(), "one in ten has no answer");
        assert_eq!(picture.table.rows[0][4].value, Value::NoAnswer);
        assert!(picture.plots[0].0.lines[1].points.last().unwrap().1.is_some(), "what was begun has a service time");
    }
}
