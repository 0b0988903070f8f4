//! The report for a run of GitHub's Actions: workflow commands, which become annotations.
//!
//! The whole report is the step summary, which is [`super::Format::Markdown`] in the file that `GITHUB_STEP_SUMMARY` names.

use super::thresholds::sentence;
use crate::results::{ModeOutcome, Results, ThresholdOutcome, ThresholdResult};

/// How an annotation looks.
#[derive(Clone, Copy)]
enum Level {
    Notice,
    Warning,
    Error,
}

/// Renders what a reader of a workflow should see first, a line for each annotation.
#[must_use]
pub fn render(results: &Results) -> String {
    let mut lines = Vec::new();
    for trial in results.trials.iter().filter(|trial| !trial.status.is_whole()) {
        let complaints = trial.complaints().join("; ");
        lines.push(line(Level::Error, &format!("{} {}", trial.id, trial.status), &complaints));
    }
    for groups in results.worst_thresholds() {
        let level = match groups.first().map(ThresholdResult::outcome) {
            Some(ThresholdOutcome::Broken) => Level::Error,
            Some(ThresholdOutcome::Inconclusive) => Level::Warning,
            Some(ThresholdOutcome::Held) | None => continue,
        };
        lines.extend(sentence(groups).map(|words| line(level, "journalbench threshold", &words)));
    }
    let warnings = results.warnings.iter().map(ToString::to_string);
    lines.extend(warnings.map(|warning| line(Level::Warning, "journalbench", &warning)));
    if let Some(mode) = results.decision.as_ref().and_then(|decision| decision.journal_mode.as_ref()) {
        let reasons = match mode.outcome {
            ModeOutcome::KeepWal | ModeOutcome::RevertToDelete => &mode.because,
            ModeOutcome::Open => &mode.open,
        };
        lines.push(line(Level::Notice, &format!("Journal mode: {}", mode.outcome), &reasons.join(" ")));
    }
    lines.concat()
}

/// A workflow command. Its text ends with the line, and its title with a comma or a colon, unless they are escaped.
fn line(level: Level, title: &str, text: &str) -> String {
    let level = match level {
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = escape(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Status, Warning, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    #[test]
    fn what_is_wrong_is_annotated_and_cannot_break_out_of_its_line() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        (trial.status, trial.reason) = (Status::Failed, Some("100 % full\n::error::no".to_owned()));
        let mut results = samples::results(vec![trial]);
        results.warnings = vec![Warning::DebugBuild];
        let text = render(&results);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "::error title=wal-full-1000-cp-1 failed::100 %25 full%0A::error::no");
        assert!(lines[1].starts_with("::warning title=journalbench::"), "{text}");
        assert_eq!(lines.len(), 2);
        assert_eq!(line(Level::Notice, "a: b, c", ""), "::notice title=a%3A b%2C c::\n");
    }
}
