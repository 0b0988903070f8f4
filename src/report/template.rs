//! Texts whose figures come from results: templates in the language of Jinja, in which no figure has to be written by hand.
//!
//! A template sees results as they are in `results.json`, and writes figures as reports do. What is not there is an error, never an
//! empty place. Where results come from is the caller's business.
//!
//! | in a template | is |
//! | --- | --- |
//! | `names` | the names of all results |
//! | `run("quick")` | those results |
//! | `answer("quick")` | the first sentences of their report: `question`, `setting`, `sentences`, `open` |
//! | `matrix("quick")` | their verdicts by journal mode and strategy, as a table in Markdown |
//! | `limits(["a", "b"], bytes, deadline_s)` | what `journalbench limits` finds in them: `copies` and `limits` |
//! | `rate_that_ends(share, gap_s, deadline_s)` | up to how many commits a second so many copies end that begin again at each |
//! | `longest_gap_s(rate, duration_s)` | the longest gap to expect between commits that come at random at that rate |
//! | `judged("cp", journal_mode="wal")` | in all results, copies that were reported as done and have a verdict: `exact`, `judged` |
//! | `share(hits, of)` | how large the share of all is with 95 % confidence, in words |
//! | `modes("quick", "commit", "p50_us", completed_rate_ops=1)` | a response time of the baselines in pairs: `ratio`, `interval`, `pairs`, `outcome`, `delete_ms`, `wal_ms`; of trials with fewer operations than the percentile takes only where `least` says so |
//! | `unserved_pairs("quick", completed_rate_ops=1)` | in how many pairs of baselines more requests were not served under wal than under delete: `more`, `fewer`, `same` |
//! | `check(condition, "what holds then")` | nothing, or an error: what words rest on that no figure writes |
//! | <code>trials \| requests("baseline")</code> | announces and scrapes in that phase of these trials: `due`, `unserved` |
//! | <code>trials \| unserved("baseline")</code> | the same in words, as in 12 of 207,648; `-` where nothing was due |
//! | <code>list \| where(key=value)</code> | those of a list that have these values; a key of another object is `a__b` |
//! | <code>list \| the_one</code> | the only one of a list |
//! | <code>list \| median</code> | the median of numbers |
//! | <code>number \| digits</code> | three significant digits |
//! | <code>number \| thousands</code> | all digits, with the thousands apart |
//! | <code>comparison \| factor</code> | as in 0.44 (0.31 to 0.48, 10 pairs) |
//! | <code>value \| fitted</code> | what `limits` has with its interval, as in 35.2 (21.6 to 55.0) |

use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use clap::ValueEnum as _;
use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, context,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde, Value},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{answer, figure_text, figures::Block, markdown, matrix, summary};
use crate::{
    analysis::{
        self,
        limits::{self, Asked, Fitted},
    },
    measure::{OperationKind, Percentile},
    results::{PhaseName, Results, TrialResult},
    snapshot::Strategy,
    sqlite::JournalMode,
    statistics,
};

/// Reads results by their name.
pub type Load = Box<dyn Fn(&str) -> anyhow::Result<Results> + Send + Sync>;

/// Renders a template, which has a name for its errors.
///
/// # Errors
/// What is wrong in the template, with its line; results that cannot be read.
pub fn render(name: &str, template: &str, names: &[String], load: Load) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build()?);
    let library = Arc::new(Library { load, read: Mutex::default() });
    add_results(&mut environment, &library);
    add_comparisons(&mut environment, &library, names.to_vec());
    add_lists(&mut environment);
    add_figures(&mut environment);
    let rendered = environment.render_named_str(name, template, context! { names => Serde(names) });
    rendered.map_err(|error| anyhow::anyhow!("{:#}", in_words(&error)))
}

/// What an error says, with all that led to it.
fn in_words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// Results, each read once.
struct Library {
    load: Load,
    read: Mutex<HashMap<String, Arc<Results>>>,
}

impl Library {
    fn results(&self, name: &str) -> Result<Arc<Results>, Error> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(results) = read.get(name) {
            return Ok(Arc::clone(results));
        }
        let results = (self.load)(name).map_err(|error| invalid(format!("{error:#}")))?;
        let results = Arc::new(results);
        read.insert(name.to_owned(), Arc::clone(&results));
        Ok(results)
    }
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

fn add_results(environment: &mut Environment<'_>, library: &Arc<Library>) {
    let of = Arc::clone(library);
    let known: Mutex<HashMap<String, Value>> = Mutex::default();
    environment.add_function("run", move |name: String| -> Result<Value, Error> {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(&name) {
            return Ok(value.clone());
        }
        let value = Value::from(Serde(of.results(&name)?.as_ref()));
        known.insert(name, value.clone());
        Ok(value)
    });
    let of = Arc::clone(library);
    environment.add_function("answer", move |name: &str| -> Result<Value, Error> {
        let answer::Answer { question, setting, sentences, open } = answer::answer(of.results(name)?.as_ref());
        Ok(context! { question, setting, sentences, open })
    });
    let of = Arc::clone(library);
    environment.add_function("matrix", move |name: &str| -> Result<String, Error> {
        Ok(markdown::render(&[Block::Table(matrix::table(of.results(name)?.as_ref()))]).trim_end().to_owned())
    });
}

/// What follows from several trials, or from several results.
fn add_comparisons(environment: &mut Environment<'_>, library: &Arc<Library>, names: Vec<String>) {
    let of = Arc::clone(library);
    environment.add_function(
        "modes",
        move |name: &str, kind: &str, figure: &str, rates: Kwargs| -> Result<Value, Error> {
            let kind: OperationKind = named("kind", kind)?;
            let figure = Percentile::from_str(figure, false).map_err(|_| invalid(format!("{figure} is no figure")))?;
            let least = rates.get::<Option<u64>>("least")?.unwrap_or(figure.least());
            let wanted = Rates::of(&rates)?;
            Ok(modes(of.results(name)?.as_ref(), kind, (figure, least), wanted))
        },
    );
    let of = Arc::clone(library);
    environment.add_function("unserved_pairs", move |name: &str, rates: Kwargs| -> Result<Value, Error> {
        let wanted = Rates::of(&rates)?;
        Ok(unserved_pairs(of.results(name)?.as_ref(), wanted))
    });
    let of = Arc::clone(library);
    environment.add_function(
        "limits",
        move |names: Vec<String>, bytes: u64, deadline_s: f64| -> Result<Value, Error> {
            let all = names.iter().map(|name| of.results(name).map(|results| results.as_ref().clone()));
            Ok(limits_of(&all.collect::<Result<Vec<_>, _>>()?, Asked { bytes, deadline_s }))
        },
    );
    let of = Arc::clone(library);
    environment.add_function("judged", move |strategy: &str, modes: Kwargs| -> Result<Value, Error> {
        let strategy: Strategy = named("strategy", strategy)?;
        let mode = modes.get::<Option<&str>>("journal_mode")?.map(|mode| named("journal_mode", mode)).transpose()?;
        modes.assert_all_used()?;
        let all = names.iter().map(|name| of.results(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(judged(&all, strategy, mode))
    });
}

/// How many copies with a strategy, under one journal mode or under all, were reported as done and have a verdict, and how many of them
/// are exact.
fn judged(all: &[Arc<Results>], strategy: Strategy, mode: Option<JournalMode>) -> Value {
    let trials = all
        .iter()
        .flat_map(|results| &results.trials)
        .filter(|trial| mode.is_none_or(|mode| mode == trial.journal_mode));
    let (mut exact, mut judged) = (0, 0);
    for snapshot in trials.flat_map(|trial| &trial.snapshots).filter(|snapshot| snapshot.strategy == strategy) {
        if snapshot.run.exit_status == Some(0) && snapshot.ruling.verdict.is_some() {
            judged += 1;
            exact += u64::from(snapshot.is_exact());
        }
    }
    Value::from(Serde(json!({ "exact": exact, "judged": judged })))
}

/// A word of the JSON.
fn named<T: DeserializeOwned>(what: &str, word: &str) -> Result<T, Error> {
    serde_json::from_value(json!(word)).map_err(|error| invalid(format!("{what}: {error}")))
}

/// The rates of trials that are asked for; `None` where that is the same.
#[derive(Clone, Copy)]
struct Rates {
    offered_rate_ops: Option<f64>,
    completed_rate_ops: Option<f64>,
}

impl Rates {
    /// What is left of the arguments of a function.
    fn of(rates: &Kwargs) -> Result<Self, Error> {
        let wanted = Self {
            offered_rate_ops: rates.get("offered_rate_ops")?,
            completed_rate_ops: rates.get("completed_rate_ops")?,
        };
        rates.assert_all_used()?;
        Ok(wanted)
    }

    /// The whole trials at these rates that were not run again.
    fn trials(self, results: &Results) -> Vec<&TrialResult> {
        let is_at = |wanted: Option<f64>, rate: Option<f64>| wanted.is_none() || wanted == rate;
        let is_of = |trial: &&TrialResult| {
            let is_at_rates = is_at(self.offered_rate_ops, trial.offered_rate_ops)
                && is_at(self.completed_rate_ops, trial.completed_rate_ops);
            is_at_rates && trial.status.is_whole() && !results.is_replaced(trial)
        };
        results.trials.iter().filter(is_of).collect()
    }
}

/// The pairs of trials under delete and wal.
fn of_modes<'a>(trials: &[&'a TrialResult]) -> Vec<(&'a TrialResult, &'a TrialResult)> {
    let is_under = |mode: JournalMode| move |trial: &TrialResult| trial.journal_mode == mode;
    analysis::pairs(trials, is_under(JournalMode::Delete), is_under(JournalMode::Wal))
}

/// In how many pairs of trials more announces and scrapes of the baseline were not served under wal than under delete.
fn unserved_pairs(results: &Results, rates: Rates) -> Value {
    let unserved = |trial: &TrialResult| {
        let counts = trial.phase(PhaseName::Baseline)?.counts();
        Some(counts.due().saturating_sub(counts.served))
    };
    let pairs = of_modes(&rates.trials(results));
    let orders = pairs.iter().filter_map(|(base, new)| Some(unserved(new)?.cmp(&unserved(base)?)));
    let orders: Vec<_> = orders.collect();
    let count = |wanted: Ordering| orders.iter().filter(|order| **order == wanted).count();
    Value::from(Serde(json!({
        "more": count(Ordering::Greater),
        "fewer": count(Ordering::Less),
        "same": count(Ordering::Equal),
    })))
}

/// A response time of the baselines under wal as a multiple of that under delete: pairs of trials of the same strategy and repetition,
/// at a rate of operations and of completed downloads where these are named. A baseline of fewer operations than a percentile takes at
/// least has none; a time that has no answer is that after which clients give up.
fn modes(results: &Results, kind: OperationKind, (figure, least): (Percentile, u64), rates: Rates) -> Value {
    let trials = rates.trials(results);
    let timeout_us = analysis::timeout_us(results);
    let time_us = |trial: &TrialResult| {
        let operation = trial.phase(PhaseName::Baseline)?.operation(kind)?;
        operation.response_us(figure, least, timeout_us).map(|us| us.max(1) as f64)
    };
    let pairs = of_modes(&trials);
    let times: Vec<_> = pairs.iter().filter_map(|(base, new)| Some((time_us(base)?, time_us(new)?))).collect();
    let same = analysis::neighbours(&trials);
    let same: Vec<_> = same.iter().filter_map(|(one, next)| Some(time_us(next)? / time_us(one)?)).collect();
    let ratios: Vec<_> = times.iter().map(|(base, new)| new / base).collect();
    let change = analysis::change(&ratios, analysis::noise_floor(&same));
    let median_ms = |of: fn(&(f64, f64)) -> f64| statistics::median(&times.iter().map(of).collect::<Vec<_>>());
    Value::from(Serde(json!({
        "ratio": change.ratio,
        "interval": change.interval,
        "pairs": change.pairs,
        "outcome": change.outcome,
        "delete_ms": median_ms(|(base, _)| base / 1e3),
        "wal_ms": median_ms(|(_, new)| new / 1e3),
    })))
}

fn limits_of(all: &[Results], asked: Asked) -> Value {
    let copies = limits::copies(all);
    let fitted = |Fitted { value, interval }: Fitted| json!({ "value": value, "interval": interval });
    let found = limits::limits(&copies, asked).into_iter().map(|limit| {
        json!({
            "journal_mode": limit.journal_mode,
            "strategy": limit.strategy,
            "gap_s": fitted(limit.gap_s),
            "half_end_at": limit.half_end_at.map(fitted),
            "most_end_at": limit.most_end_at.map(fitted),
        })
    });
    let found: Vec<_> = found.collect();
    let copies = copies.into_iter().map(|copies| {
        json!({
            "journal_mode": copies.journal_mode,
            "strategy": copies.strategy,
            "bytes": copies.bytes,
            "rate": copies.rate,
            "copies": copies.count(),
            "ended": copies.ended_s.len(),
            "locked": copies.locked,
            "stopped": copies.stopped,
            "begun_again": copies.begun_again,
            "commits_meanwhile": copies.commits_meanwhile,
        })
    });
    Value::from(Serde(json!({ "limits": found, "copies": copies.collect::<Vec<_>>() })))
}

fn add_lists(environment: &mut Environment<'_>) {
    environment.add_filter("where", |list: Vec<Value>, wanted: Kwargs| -> Result<Vec<Value>, Error> {
        let names: Vec<String> = wanted.args().map(str::to_owned).collect();
        let mut all = list;
        for name in names {
            let value: Value = wanted.get(&name)?;
            let mut left = Vec::new();
            for one in all {
                if at(&one, &name)? == value {
                    left.push(one);
                }
            }
            all = left;
        }
        Ok(all)
    });
    environment.add_filter("the_one", |list: Vec<Value>| -> Result<Value, Error> {
        match <[Value; 1]>::try_from(list) {
            Ok([one]) => Ok(one),
            Err(list) => Err(invalid(format!("expected one, and there are {}", list.len()))),
        }
    });
    environment
        .add_filter("requests", |trials: Vec<Value>, phase: &str| Ok(Value::from(Serde(requests(&trials, phase)?))));
    environment.add_filter("unserved", |trials: Vec<Value>, phase: &str| -> Result<String, Error> {
        let Requests { due, unserved } = requests(&trials, phase)?;
        let count = |requests: u64| figure_text::count(requests as f64);
        Ok(if due == 0 { "-".to_owned() } else { format!("{} of {}", count(unserved), count(due)) })
    });
    environment.add_filter("median", |list: Vec<f64>| -> Result<f64, Error> {
        statistics::median(&list).ok_or_else(|| invalid("there is no median of nothing"))
    });
}

/// Announces and scrapes.
#[derive(Serialize)]
struct Requests {
    due: u64,
    /// Of these, what was not served in time.
    unserved: u64,
}

/// What was due in a phase of all of some trials.
fn requests(trials: &[Value], phase: &str) -> Result<Requests, Error> {
    let (mut due, mut served) = (0, 0);
    for trial in trials {
        for one in trial.get_attr("phases")?.try_iter()? {
            let is_of = one.get_attr("name")?.as_str() == Some(phase);
            for operation in one.get_attr("operations")?.try_iter()?.filter(|_| is_of) {
                // What commits and what reads are parts of the announces.
                if matches!(operation.get_attr("kind")?.as_str(), Some("announce" | "scrape")) {
                    due = u64::saturating_add(due, operation.get_attr("due")?.try_into()?);
                    served = u64::saturating_add(served, operation.get_attr("served")?.try_into()?);
                }
            }
        }
    }
    Ok(Requests { due, unserved: due.saturating_sub(served) })
}

/// What a value has at `a__b`; nothing where it does not say, as results leave out what is not known.
fn at(value: &Value, path: &str) -> Result<Value, Error> {
    path.split("__").try_fold(value.clone(), |value, name| value.get_attr(name))
}

fn add_figures(environment: &mut Environment<'_>) {
    environment.add_filter("digits", figure_text::number);
    environment.add_filter("thousands", figure_text::count);
    environment.add_function("share", summary::share);
    environment.add_function("rate_that_ends", |share: f64, gap_s: f64, deadline_s: f64| -> Result<f64, Error> {
        let rate = limits::rate_that_ends(share, gap_s, deadline_s);
        rate.ok_or_else(|| invalid(format!("{gap_s} s are more than the deadline of {deadline_s}")))
    });
    environment.add_function("longest_gap_s", limits::longest_gap_s);
    environment.add_function("check", |holds: bool, words: &str| {
        if holds { Ok("") } else { Err(invalid(format!("it does not hold that {words}"))) }
    });
    let number = |value: Value| f64::try_from(value).map(figure_text::number);
    let range = move |interval: Value| -> Result<String, Error> {
        let (low, high) = (interval.get_item_by_index(0)?, interval.get_item_by_index(1)?);
        Ok(format!("{} to {}", number(low)?, number(high)?))
    };
    environment.add_filter("fitted", move |value: Value| -> Result<String, Error> {
        Ok(format!("{} ({})", number(value.get_attr("value")?)?, range(value.get_attr("interval")?)?))
    });
    environment.add_filter("factor", move |comparison: Value| -> Result<String, Error> {
        let (ratio, pairs) = (number(comparison.get_attr("ratio")?)?, comparison.get_attr("pairs")?);
        let interval = comparison.get_attr("interval")?;
        if interval.is_none() || interval.is_undefined() {
            return Ok(format!("{ratio} ({pairs} pairs)"));
        }
        Ok(format!("{ratio} ({}, {pairs} pairs)", range(interval)?))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle::Verdict, results::samples};

    fn rendered(template: &str) -> anyhow::Result<String> {
        let load = |name: &str| {
            anyhow::ensure!(name == "quick", "there are no results of the name {name}");
            let mut delete = samples::trial(JournalMode::Delete, Strategy::Cp);
            delete.phases[0].operations = OperationKind::ALL.map(|kind| samples::operation(kind, 900, 100)).to_vec();
            delete.snapshots[0].ruling.verdict = Some(Verdict::Torn);
            Ok(samples::results(vec![delete, samples::trial(JournalMode::Wal, Strategy::Cp)]))
        };
        render("test", template, &["quick".to_owned()], Box::new(load))
    }

    #[test]
    fn figures_come_from_results() {
        for (template, expected) in [
            ("{{ run('quick').trials | length }} trials\n", "2 trials\n"),
            ("{{ run('quick').trials | where(journal_mode='wal') | map(attribute='strategy') | join }}", "cp"),
            ("{{ (run('quick').trials | where(journal_mode='wal', strategy='cp') | the_one).repetition }}", "1"),
            ("{% for name in names %}[{{ name }}]{% endfor %}", "[quick]"),
            ("{{ 1234567 | thousands }} {{ 0.123456 | digits }} {{ [3, 1, 2] | median }}", "1,234,567 0.12 2.0"),
            ("{{ rate_that_ends(0.5, 60, 3600) | digits }}", "0.10"),
            ("{{ longest_gap_s(1, 10) | digits }}", "2.93"),
            ("{{ share(0, 20) }}", "at most 14 %"),
            ("{{ check(1 < 2, 'one is less') }}it is", "it is"),
            ("{{ {'ratio': 0.5, 'interval': [0.25, 0.75], 'pairs': 6} | factor }}", "0.50 (0.25 to 0.75, 6 pairs)"),
            ("{{ {'ratio': 0.5, 'interval': none, 'pairs': 2} | factor }}", "0.50 (2 pairs)"),
            ("{{ answer('quick').question is string }} {{ '| cp |' in matrix('quick') }}", "True True"),
            (
                "{% set one = modes('quick', 'commit', 'p50_us') %}{{ one.pairs }}: {{ one.delete_ms | digits }} {{ one.wal_ms | digits }} {{ one.ratio | digits }}",
                "1: 6.00 5.00 0.83",
            ),
            ("{{ modes('quick', 'commit', 'p50_us', completed_rate_ops=7).pairs }}", "0"),
            ("{{ modes('quick', 'commit', 'p50_us').outcome }}", "inconclusive"),
            ("{% set all = unserved_pairs('quick') %}{{ all.more }} {{ all.fewer }} {{ all.same }}", "0 1 0"),
            ("{{ unserved_pairs('quick', completed_rate_ops=7).fewer }}", "0"),
            (
                "{% set one = modes('quick', 'commit', 'max_us') %}{{ one.pairs }}: {{ one.delete_ms | digits }}",
                "1: 15,000",
            ),
            ("{{ modes('quick', 'commit', 'p999_us').pairs }}", "0"),
            ("{{ modes('quick', 'commit', 'p999_us', least=1).pairs }}", "1"),
            (
                "{% set all = run('quick').trials | requests('baseline') %}{{ all.unserved }} of {{ all.due }}",
                "200 of 4000",
            ),
            (
                "{{ run('quick').trials | unserved('baseline') }}, {{ run('quick').trials | unserved('drain') }}",
                "200 of 4,000, -",
            ),
            ("{{ {'value': 2, 'interval': [1, 4]} | fitted }}", "2.00 (1.00 to 4.00)"),
            ("{% set cp = judged('cp') %}{{ cp.exact }} of {{ cp.judged }}", "1 of 2"),
            ("{{ judged('cp', journal_mode='wal').judged }} {{ judged('vacuum-into').judged }}", "1 0"),
            ("{{ limits(['quick'], 17000000000, 3600).copies | length }}", "0"),
        ] {
            assert_eq!(rendered(template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_where() {
        for (template, expected) in [
            ("one\n{{ run('quick').trails }}", "test:2"),
            ("{{ run('slow') }}", "no results of the name slow"),
            ("{{ run('quick').trials | where(journal_mode='truncate') | the_one }}", "expected one, and there are 0"),
            ("{{ run('quick').trials | the_one }}", "there are 2"),
            ("{{ [] | median }}", "no median"),
            ("{{ check(2 < 1, 'two is less') }}", "it does not hold that two is less"),
            ("{% for %}", "syntax error"),
            ("{{ rate_that_ends(0.5, 60, 30) }}", "60 s are more than the deadline of 30"),
            ("{{ modes('quick', 'commit', 'p51_us') }}", "p51_us is no figure"),
            ("{{ modes('quick', 'commits', 'p50_us') }}", "kind: unknown variant"),
            ("{{ modes('quick', 'commit', 'p50_us', rate=1) }}", "unknown keyword argument 'rate'"),
        ] {
            let error = rendered(template).unwrap_err().to_string();
            assert!(error.contains(expected), "{template}: {error}");
        }
    }
}
