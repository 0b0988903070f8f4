//! The thresholds of a scenario, read against what it runs.

use super::{file::Keys, validate::Refusal};
use crate::threshold::{Scope, THRESHOLDS_MOST, Threshold, ThresholdError};

/// Why one of `thresholds` is refused.
#[derive(Debug, thiserror::Error)]
#[error("thresholds[{number}] = \"{expression}\": {error}")]
pub struct ThresholdProblem {
    /// Its place in the list, from 0.
    number: usize,
    /// As it stands there.
    expression: String,
    /// Where in it, and why.
    error: ThresholdError,
}

/// The thresholds of checked keys.
pub(super) fn read(keys: &Keys) -> Result<Vec<Threshold>, ThresholdProblem> {
    let scope = Scope { journal_modes: &keys.sqlite.journal_mode, strategies: &keys.snapshots.strategies };
    let read = |(number, expression): (usize, &String)| {
        let problem = |error| ThresholdProblem { number, expression: expression.clone(), error };
        Threshold::parse(expression, scope).map_err(problem)
    };
    keys.thresholds.iter().enumerate().map(read).collect()
}

/// Refuses more of them than a report has room for, and one that is there twice.
pub(super) fn check(thresholds: &[String]) -> Result<(), Refusal> {
    let refuse = |found, allowed: String| Err(("thresholds", found, allowed));
    if thresholds.len() > THRESHOLDS_MOST {
        return refuse(format!("{} values", thresholds.len()), format!("expected at most {THRESHOLDS_MOST}"));
    }
    match thresholds.iter().enumerate().find(|(number, one)| thresholds[..*number].contains(one)) {
        Some((_, twice)) => refuse(twice.clone(), "expected every value once".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Scenario;

    const SCENARIO: &str = r#"
        why = "a question"
        expect = "an answer"
        [dataset]
        rows = 1000
        [sqlite]
        journal_mode = ["delete", "wal"]
        [load]
        rate_ops = 8000
        [snapshots]
        strategies = ["none", "cp"]
    "#;

    fn parse(text: &str, overrides: &[&str]) -> Result<Scenario, String> {
        let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
        Scenario::parse("test", text, Path::new("test.toml"), &overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn thresholds_are_read_and_refused_by_their_place() {
        let list = r#"thresholds=["silent_failures <= 0", "wal.commit.service.p99_us < 5000"]"#;
        let scenario = parse(SCENARIO, &[list]).unwrap();
        assert_eq!(scenario.thresholds.len(), 2);
        let json = serde_json::to_value(&scenario).unwrap();
        assert_eq!(serde_json::from_value::<Scenario>(json.clone()).unwrap(), scenario, "as results keep it");
        assert_eq!(
            parse(SCENARIO, &["thresholds=lost_writes == 0"]).unwrap().thresholds[0].expression,
            "lost_writes == 0"
        );
        let many = format!("thresholds={:?}", (0..101).map(|n| format!("lost_writes < {n}")).collect::<Vec<_>>());
        for (set, expected) in [
            (
                r#"thresholds=["lost_writes < 1", "wal.comit.service.p99_us < 5"]"#,
                "test.toml: thresholds[1] = \"wal.comit.service.p99_us < 5\": column 5: `comit` is unknown here, did you mean \
                `commit`? Expected one of commit, ",
            ),
            (
                "thresholds=1 > truncate.commits_per_s",
                "thresholds[0] = \"1 > truncate.commits_per_s\": column 5: `truncate`: no trial of the scenario runs under",
            ),
            ("thresholds=wal.commits_per_s", "column 18: the expression ends, expected one of + - * / < <= > >= == !="),
            ("thresholds=wal.commits_per_s == 5", "column 19: `==` of a measured figure"),
            (
                r#"thresholds=["lost_writes < 1", "lost_writes < 1"]"#,
                "thresholds = lost_writes < 1: expected every value once",
            ),
            ("thresholds=5", "test.toml: thresholds: invalid type: integer `5`, expected a string"),
            (&many, "thresholds = 101 values: expected at most 100"),
        ] {
            let error = parse(SCENARIO, &[set]).unwrap_err();
            assert!(error.contains(expected), "--set {set}:\n{error}");
        }
        let mut other = json;
        other["thresholds"][0] = "wall.commits_per_s < 1".into();
        let error = serde_json::from_value::<Scenario>(other).unwrap_err().to_string();
        assert!(error.contains("scenario.thresholds[0] = \"wall.commits_per_s < 1\": column 1: `wall` is"), "{error}");
    }
}
