//! The matrix of a page: strategies by journal modes, coloured by verdict and named by it, each cell with its evidence behind it.

use maud::{Markup, html};

use super::shown;
use crate::{
    report::{
        distinct,
        figure_text::number,
        matrix::{self, Entry, Wait},
        summary::share,
    },
    results::{Results, SnapshotResult, TrialResult},
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// The matrix of a run; nothing where no snapshot was taken.
pub fn section(results: &Results) -> Markup {
    let entries = matrix::entries(results);
    let modes = distinct(entries.iter().map(|entry| entry.journal_mode));
    let strategies = distinct(entries.iter().map(|entry| entry.strategy));
    let find = |strategy: &Strategy, mode: &JournalMode| {
        entries.iter().find(|entry| (entry.strategy, entry.journal_mode) == (*strategy, *mode))
    };
    html! {
        @if !entries.is_empty() {
            h2 { "Which copy is a backup?" }
            div class="table" tabindex="0" role="region" aria-label="Verdicts by strategy and journal mode" {
                table class="matrix" {
                    thead {
                        tr {
                            th scope="col" { "copied with" }
                            @for mode in &modes { th scope="col" { "under " (mode.to_string()) } }
                        }
                    }
                    tbody {
                        @for strategy in &strategies {
                            tr {
                                th scope="row" { (strategy.to_string()) }
                                @for mode in &modes {
                                    @match find(strategy, mode) {
                                        Some(entry) => (cell(entry)),
                                        None => td { "-" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
            p class="note" { (matrix::note().explanation) }
        }
    }
}

fn cell(entry: &Entry<'_>) -> Markup {
    let (exact, judged) = (entry.exact(), entry.judged());
    let (class, word) = match entry.bad() {
        _ if judged == 0 => ("open", "not judged".to_owned()),
        None => ("good", "exact".to_owned()),
        Some(bad) => ("bad", bad.to_string()),
    };
    let silent = match entry.silent_failures() {
        0 => String::new(),
        several => format!("; integrity_check said ok to {several} bad"),
    };
    let time = entry.duration_s().map_or_else(String::new, |time_s| format!("took {} s", number(time_s)));
    let wait = match entry.wait() {
        None => String::new(),
        Some(Wait::NoAnswer) => ", a client had no answer".to_owned(),
        Some(Wait::Us(us)) => format!(", a client waited up to {} s", number(us as f64 / 1e6)),
    };
    html! {
        td class=(class) {
            details {
                summary {
                    strong { (word) } " " (exact) " of " (judged) " exact (" (share(exact, judged)) ")" (silent)
                    br;
                    (time) (wait)
                }
                ul { @for (trial, snapshot) in &entry.snapshots { (evidence(trial, snapshot)) } }
            }
        }
    }
}

fn evidence(trial: &TrialResult, snapshot: &SnapshotResult) -> Markup {
    let verdict = snapshot.ruling.verdict.map_or_else(|| "not judged".to_owned(), |verdict| verdict.to_string());
    let check = snapshot.ruling.integrity_check.as_deref().map(|answer| format!(" integrity_check: {answer}."));
    html! {
        li {
            (shown(&trial.id)) ": " strong { (verdict) } ", " (shown(&snapshot.ruling.evidence.reason)) "."
            (shown(&check.unwrap_or_default()))
            " " (number(snapshot.run.duration_s)) " s, " (snapshot.commits_meanwhile()) " commits meanwhile."
        }
    }
}
