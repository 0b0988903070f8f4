//! The claims that people made about WAL and about `.backup`, and what the run says of each: a row a claim.

use super::{
    context::Group,
    distinct,
    figure_text::number,
    figures::{Block, Cell, Column, Table, Value},
    notes::Note,
};
use crate::results::{Claim, ClaimFigure, ClaimOutcome, Results, Stance};

/// Claims that do not hold and are named in the answer, at the most.
const NAMED_MOST: usize = 4;

fn note() -> Note {
    Note::new(
        "The claims of issues #85 and #86 of torrust-demo, tested",
        "Figures are medians of trials with their 95 % interval, or shares of copies with that of Clopper and Pearson; of what \
        can be, the most. \"holds\": in pairs of trials, all of the interval is on the side that the claim says, and beyond what \
        trials alike differ by; or every copy is so, of six at least under each mode. \"does not hold\": it is on the other side, \
        or they are the same; or a copy is not so. \"open\": the run does not decide it.",
    )
}

/// The table of a group, and how each claim was tested; nothing where the run decides none of them.
pub fn blocks(group: &Group<'_>, results: &Results) -> Vec<Block> {
    let claims: Vec<_> = results.claims.entries().iter().filter(|claim| group.has_claim(claim)).collect();
    if claims.iter().all(|claim| claim.outcome == ClaimOutcome::Open) {
        return Vec::new();
    }
    let how = claims.iter().map(|claim| format!("{} ({}): {}.", claim.claim, claim.source, claim.how));
    vec![Block::Note(note()), Block::Table(table(&claims)), Block::List(how.collect())]
}

/// How many claims hold, and which do not; nothing where the run decides none of them.
pub fn sentence(results: &Results) -> Option<String> {
    let of = |outcome| results.claims.entries().iter().filter(move |claim| claim.outcome == outcome);
    let (hold, fail) = (of(ClaimOutcome::Holds).count(), of(ClaimOutcome::DoesNotHold).count());
    if hold + fail == 0 {
        return None;
    }
    let failed = distinct(of(ClaimOutcome::DoesNotHold).map(|claim| claim.claim.as_str()));
    let failed = match failed.len() {
        1..=NAMED_MOST => format!(" ({})", failed.join("; ")),
        _ => String::new(),
    };
    let open = of(ClaimOutcome::Open).count();
    Some(format!("Claims of issues #85 and #86: {hold} hold, {fail} do not{failed}, {open} are open here."))
}

fn table(claims: &[&Claim]) -> Table {
    let titles = ["claim", "speaks", "delete", "wal", "unit", "outcome", "because"];
    let columns = titles.map(Column::words).to_vec();
    let row = |claim: &&Claim| {
        let speaks = match claim.stance {
            Stance::For => "for",
            Stance::Against => "against",
        };
        let texts = [
            claim.claim.clone(),
            speaks.to_owned(),
            figure(claim.delete),
            figure(claim.wal),
            claim.unit.clone(),
            claim.outcome.to_string(),
            claim.because.clone(),
        ];
        texts.map(|text| Cell::from(Value::Text(text))).to_vec()
    };
    Table { columns, rows: claims.iter().map(row).collect() }
}

fn figure(figure: Option<ClaimFigure>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(ClaimFigure { value, interval: None, .. }) => number(value),
        Some(ClaimFigure { value, interval: Some(interval), .. }) => {
            format!("{} ({} to {})", number(value), number(interval.low), number(interval.high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::context::groups,
        results::samples,
        run,
        snapshot::Strategy,
        sqlite::JournalMode::{Delete, Wal},
    };

    #[test]
    fn a_run_that_decides_a_claim_has_the_table_and_one_that_decides_none_has_not() {
        let of = |repetitions: u32| {
            let trials = (1..=repetitions).flat_map(|repetition| {
                [Delete, Wal].map(|mode| {
                    let mut trial = samples::trial(mode, Strategy::None);
                    trial.repetition = repetition;
                    let syncs = if mode.has_wal() { 1.0 } else { 4.0 };
                    trial.phases[0].io.as_mut().unwrap().syncs_per_commit = Some(syncs);
                    trial.disk_use = None;
                    trial
                })
            });
            let mut results = samples::results(trials.collect());
            run::derive(&mut results);
            results
        };
        let results = of(6);
        let blocks = blocks(&groups(&results)[0], &results);
        let Block::Table(table) = &blocks[1] else { panic!("{blocks:?}") };
        let fewer = table.rows.iter().find(|row| row[0].value == Value::text("WAL has fewer fsync calls")).unwrap();
        let texts: Vec<_> = fewer[1..].iter().map(|cell| cell.value.clone()).collect();
        let expected = [
            "for",
            "4.00 (4.00 to 4.00)",
            "1.00 (1.00 to 1.00)",
            "a commit",
            "holds",
            "0.25 times (0.25 to 0.25) in 6 pairs",
        ];
        assert_eq!(texts, expected.map(Value::text));
        let sentence = sentence(&results).unwrap();
        assert!(sentence.starts_with("Claims of issues #85 and #86: 1 hold, "), "{sentence}");
        let few = of(1);
        assert_eq!(super::sentence(&few), None);
        assert_eq!(super::blocks(&groups(&few)[0], &few), []);
    }
}
