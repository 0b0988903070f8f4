//! The report for whatever shows test results: a file in the format of `JUnit`, in which each trial and each threshold is a test.
//!
//! A verdict is a finding and no failure: what a run should have found is said by its thresholds.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::thresholds::sentence;
use crate::results::{Results, Status, ThresholdOutcome, ThresholdResult, TrialResult};

/// Renders the results as such a file.
#[must_use]
pub fn render(results: &Results) -> String {
    let mut suite = TestSuite::new(results.scenario.name.as_str());
    suite.add_test_cases(results.trials.iter().map(|trial| of_trial(&results.scenario.name, trial)));
    suite.add_test_cases(results.worst_thresholds().filter_map(of_threshold));
    let mut report = Report::new("journalbench");
    report.add_test_suite(suite);
    // It is written to memory, and characters that XML does not have are left out.
    report.to_string().unwrap_or_default()
}

fn of_trial(scenario: &str, trial: &TrialResult) -> TestCase {
    let complaints = trial.complaints().join("; ");
    let status = match trial.status {
        Status::Completed if complaints.is_empty() => TestCaseStatus::success(),
        Status::Completed | Status::Failed => not_whole(NonSuccessKind::Error, &complaints),
        Status::Interrupted => not_whole(NonSuccessKind::Error, "interrupted"),
        Status::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(complaints);
            status
        }
    };
    let mut case = TestCase::new(trial.id.as_str(), status);
    case.set_classname(format!("journalbench.{scenario}"));
    if let Some(last) = trial.phases.last() {
        case.set_time(Duration::try_from_secs_f64(last.started_s + last.duration_s).unwrap_or_default());
    }
    let verdicts = trial.snapshots.iter().map(|snapshot| {
        let verdict = snapshot.ruling.verdict.map_or_else(|| "not judged".to_owned(), |verdict| verdict.to_string());
        format!("{}: {verdict}\n", snapshot.strategy)
    });
    case.set_system_out(verdicts.collect::<String>());
    case
}

/// What an expression says of its groups, of which the worst stands first.
fn of_threshold(groups: &[ThresholdResult]) -> Option<TestCase> {
    let (worst, words) = (groups.first()?, sentence(groups)?);
    let status = match worst.outcome() {
        ThresholdOutcome::Held => TestCaseStatus::success(),
        ThresholdOutcome::Broken => not_whole(NonSuccessKind::Failure, &words),
        ThresholdOutcome::Inconclusive => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(words);
            status
        }
    };
    let mut case = TestCase::new(worst.expression.as_str(), status);
    case.set_classname("journalbench.thresholds");
    Some(case)
}

fn not_whole(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Problem, Stage, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    #[test]
    fn each_trial_is_a_test_and_a_bad_verdict_no_failure() {
        let mut trials: Vec<_> = [Strategy::Cp, Strategy::Backup, Strategy::VacuumInto, Strategy::None]
            .map(|strategy| samples::trial(JournalMode::Wal, strategy))
            .to_vec();
        trials[0].snapshots[0] = samples::snapshot(Strategy::Cp, crate::oracle::Verdict::Torn);
        trials[1].status = Status::Failed;
        trials[1].problems = vec![Problem { stage: Stage::Load, message: "no room <\u{1}>".to_owned() }];
        (trials[2].status, trials[2].reason) = (Status::Skipped, Some("no sqlite3".to_owned()));
        let mut results = samples::results(trials);
        results.thresholds = vec![ThresholdResult {
            expression: "lost_writes < 1".to_owned(),
            group: None,
            value: Some(2.0),
            limit: 1.0,
            interval: None,
            held: Some(false),
            because: "it was counted".to_owned(),
        }]
        .into();
        let text = render(&results);
        for words in [
            "tests=\"5\" disabled=\"1\" errors=\"1\" failures=\"1\"",
            "<failure message=\"threshold broken: lost_writes &lt; 1: value 2, limit 1",
            "name=\"wal-full-1000-cp-1\" classname=\"journalbench.sample\" time=\"10.000\"",
            "cp: torn",
            "under load: no room &lt;&gt;",
            "<skipped message=\"no sqlite3\"",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
