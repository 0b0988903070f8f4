//! What other programs read: results, by their JSON Schema, and the formats of `report` that list every figure.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use journalbench::{
    report::{self, Format},
    results::{self, Results},
};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::common::{
    committed::{self, Committed, committed},
    program::{output, text},
    run_kept,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn schema() -> Value {
    serde_json::to_value(results::schema()).unwrap()
}

/// What is wrong with results, by the schema.
fn faults(validator: &Validator, results: &Value) -> Vec<String> {
    validator.iter_errors(results).take(5).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_committed_result_and_a_fresh_one_keep_to_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let set = ["snapshots.after.steps=[\"quick_check\"]", "thresholds=lost_writes < 1", "load.rate_ops=500"];
    run_kept(folder.path(), &set);
    let check = |path: &Path, json: &Value| {
        let faults = faults(&validator, json);
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
    };
    for Committed { folder, json, .. } in committed() {
        check(folder, json);
    }
    let corpus = ["seed-least", "seed-rich", "seed-small"].map(|name| root().join("tests/corpus/results").join(name));
    for path in [folder.path().join("out/results.json")].iter().chain(&corpus) {
        check(path, &json_of(path));
    }
}

#[test]
fn what_the_reader_refuses_the_schema_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = committed::of("quick").json.clone();
    assert!(faults(&validator, &good).is_empty());
    let trial = |rest: &str| format!("/trials/1{rest}");
    let operation = |rest: &str| trial(&format!("/phases/0/operations/0{rest}"));
    for (pointer, value) in [
        ("/schema_version".to_owned(), json!(2)),
        ("/duration_s".to_owned(), json!("long")),
        ("/scenario/sqlite/journal_mode/0".to_owned(), json!("undo")),
        ("/scenario/load/rate".to_owned(), json!(5)),
        ("/environment/processors".to_owned(), json!(-1)),
        (trial("/journal_mode"), json!("undo")),
        (trial("/snapshots/0/verdict"), json!("fine")),
        (trial("/snapshots/0/evidence/digest"), json!("no number")),
        (trial("/snapshots/0/silent_failure"), json!(null)),
        (trial("/snapshots_not_taken"), json!(null)),
        (operation("/due"), json!(1.5)),
        (operation("/failures"), json!({"tired": 1})),
        (operation("/response/histogram"), json!(7)),
        (operation("/lag"), json!(null)),
    ] {
        let mut bad = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = bad.pointer_mut(parent).unwrap();
        match parent {
            Value::Object(fields) => drop(fields.insert(name.to_owned(), value)),
            _ => parent[name.parse::<usize>().unwrap()] = value,
        }
        assert!(!faults(&validator, &bad).is_empty(), "{pointer}");
        let bytes = serde_json::to_vec(&bad).unwrap();
        assert!(Results::parse(&bytes, Path::new("bad.json")).is_err(), "{pointer}");
    }
}

#[test]
fn the_schema_says_what_it_is_and_describes_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let printed = output(folder.path(), &["schema"]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let schema: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$id"], "urn:journalbench:results:1");
    assert_eq!(schema["properties"]["schema_version"]["const"], 1);
    assert!(schema["title"].is_string());
    let mut names = 0;
    check_described(&schema, "", &mut names);
    assert!(names > 300, "{names}");
}

/// Every property in a schema has a description.
fn check_described(schema: &Value, at: &str, names: &mut usize) {
    match schema {
        Value::Object(fields) => {
            for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let is_described = property["description"].is_string() || !property["const"].is_null();
                assert!(is_described, "{at}/{name}: {property}");
                *names += 1;
            }
            for (name, inner) in fields {
                check_described(inner, &format!("{at}/{name}"), names);
            }
        }
        Value::Array(items) => items.iter().for_each(|inner| check_described(inner, at, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A row of the long table that says a figure.
struct Row {
    trial: String,
    part: String,
    kind: String,
    figure: String,
    value: String,
    unit: String,
}

fn rows(results: &Results) -> Vec<Row> {
    let table = report::render(results, Format::Csv);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let place = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let places = ["trial", "part", "kind", "figure", "value", "unit"].map(place);
    let rows = reader.records().map(Result::unwrap).map(|row| {
        let [trial, part, kind, figure, value, unit] = places.map(|place| row[place].to_owned());
        Row { trial, part, kind, figure, value, unit }
    });
    rows.collect()
}

#[test]
fn the_long_table_has_every_number_of_every_trial_once() {
    for Committed { folder, results, json, .. } in committed() {
        let mut numbers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut verdicts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for Row { trial, part, kind, figure, value, unit } in rows(results) {
            let at = format!("{} {trial}, {part}, {kind}, {figure}", folder.display());
            assert!(["us", "s", "bytes", "1/s", "1", ""].contains(&unit.as_str()), "{at}: {unit}");
            let number = value.parse::<f64>().ok();
            assert!(value == "none" || number.is_some() != unit.is_empty(), "{at}: {value} {unit}");
            assert!(!value.contains(' ') && !value.is_empty(), "{at}: {value}");
            // In the JSON a second says its length only where it is another.
            let is_of_second = part.starts_with("second ") && figure == "duration";
            if let Some(number) = number.filter(|_| !is_of_second) {
                numbers.entry(trial.clone()).or_default().push(number);
            }
            if figure == "verdict" {
                verdicts.entry(trial.clone()).or_default().push(value);
            }
            assert!(seen.insert((trial, part, kind, figure)), "{at}: twice");
        }
        for trial in json["trials"].as_array().unwrap() {
            let id = trial["id"].as_str().unwrap();
            let judged = trial["snapshots"].as_array().unwrap().iter();
            let judged: Vec<_> = judged.map(|snapshot| snapshot["verdict"].as_str().unwrap_or("none")).collect();
            assert_eq!(verdicts.remove(id).unwrap_or_default(), judged, "{} {id}", folder.display());
            let mut expected = Vec::new();
            numbers_of(trial, "", &mut expected);
            let found = numbers.entry(id.to_owned()).or_default();
            for list in [&mut expected, found] {
                list.sort_by(f64::total_cmp);
            }
            let (inner, table) = (expected.len(), found.len());
            let other = expected.iter().zip(&*found).find(|(number, written)| number.total_cmp(written).is_ne());
            assert!(
                inner == table && other.is_none(),
                "{} {id}: {inner} numbers, and {table} in the table; in order they are others from {other:?} on",
                folder.display()
            );
        }
    }
}

/// Every number in a trial that is a figure: not what the table has in a column, nor samples, nor what was set.
fn numbers_of(value: &Value, at: &str, found: &mut Vec<f64>) {
    const NO_FIGURES: [&str; 11] = [
        "/repetition",
        "/offered_rate_ops",
        "/announce_connections",
        "/completed_rate_ops",
        "/strategy_options",
        "/power_loss/models/granule_bytes",
        "/snapshots/evidence/damage/sample",
        "/snapshots/evidence/difference/sample",
        "/snapshots/after/kept",
        "/tracker/lost",
        "/series/duration_s",
    ];
    if NO_FIGURES.contains(&at) {
        return;
    }
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| numbers_of(inner, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|inner| numbers_of(inner, at, found)),
        Value::Number(number) => found.push(number.as_f64().unwrap()),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn openmetrics_keeps_to_the_rules_of_the_format() {
    for Committed { folder, results, .. } in committed() {
        let page = report::render(results, Format::OpenMetrics);
        let body = page.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("{}: no end", folder.display()));
        let (mut families, mut series) = (HashSet::new(), HashSet::new());
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) =
                line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{line}")).split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} stands in two places");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            assert!(!help.contains('\\') && help.ends_with('.'), "{help}");
            assert_eq!(lines.next().unwrap(), format!("# TYPE {name} gauge"));
            if let Some(line) = lines.next_if(|line| line.starts_with("# UNIT ")) {
                let unit = line.strip_prefix(&format!("# UNIT {name} ")).unwrap();
                assert!(name.ends_with(&format!("_{unit}")), "{line}");
            }
            let mut samples = 0;
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (labels, value) = line.strip_prefix(&format!("{name}{{")).unwrap().rsplit_once("} ").unwrap();
                check_labels(labels);
                assert!(!value.parse::<f64>().unwrap().is_nan(), "{line}");
                assert!(series.insert(format!("{name} {labels}")), "{line} is there twice");
                samples += 1;
            }
            assert!(samples > 0, "{name} has no sample");
        }
        assert!(series.len() > 100, "{}: {}", folder.display(), series.len());
    }
}

/// Labels are names and quoted values, in which quotes and backslashes are escaped; no name is there twice.
fn check_labels(labels: &str) {
    let mut names = HashSet::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{labels}");
        assert!(names.insert(name), "{labels}");
        let mut escaped = false;
        let end = value.find(|character| {
            let is_end = character == '"' && !escaped;
            assert!(!escaped || ['"', '\\', 'n'].contains(&character), "{labels}");
            escaped = character == '\\' && !escaped;
            is_end
        });
        rest = &value[end.unwrap() + 1..];
        rest = if rest.is_empty() { rest } else { rest.strip_prefix(',').unwrap() };
    }
    for name in ["scenario", "trial", "journal_mode", "synchronous", "strategy", "part"] {
        assert!(names.contains(name), "{labels}");
    }
}

#[test]
fn both_formats_are_written_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    // What gzip has made of results is read as they are.
    let results = committed::of("day").folder.join(committed::FILE);
    for (format, begins) in [("csv", "trial,journal_mode,"), ("openmetrics", "# HELP journalbench_status ")] {
        let written = output(folder.path(), &["report", results.to_str().unwrap(), "--format", format, "-o", format]);
        assert!(written.status.success(), "{}", text(&written.stderr));
        let report = fs::read_to_string(folder.path().join(format)).unwrap();
        assert!(report.starts_with(begins), "{}", &report[..200]);
    }
}
