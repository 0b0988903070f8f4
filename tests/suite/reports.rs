//! The results that are committed in `results/`: each is read, loses nothing when it is written again, has percentiles that its
//! histograms bear out, and is reported in the words that stand beside it.
//!
//! Where a report changes on purpose, `JOURNALBENCH_BLESS=1 cargo test --test suite reports::` writes the committed ones again.

use std::{collections::BTreeSet, fs, path::Path};

use journalbench::{
    measure::Percentile,
    report::{self, Format},
    results::{Distribution, Results},
};
use serde_json::Value;

use crate::common::committed::{self, Committed, committed};

/// Set to write the committed reports again.
const BLESS: &str = "JOURNALBENCH_BLESS";

/// GitHub's limit for the text of an issue.
const REPORT_MOST: usize = 65_536;

#[test]
fn committed_reports_are_what_their_results_say() {
    for Committed { folder, derived: results, .. } in committed() {
        let report = report::render(results, Format::Markdown);
        assert!(report.chars().count() < REPORT_MOST, "{}: {}", folder.display(), report.chars().count());
        let path = folder.join("report.md");
        if std::env::var_os(BLESS).is_some() {
            fs::write(&path, &report).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        if let Some((now, then)) = report.lines().zip(committed.lines()).find(|(now, then)| now != then) {
            panic!(
                "{} says\n{then}\nand now it would be\n{now}\nIf that is meant, run with {BLESS}=1.",
                path.display()
            );
        }
        assert!(report == committed, "{}: another length", path.display());
        let picture = folder.join("picture.svg");
        if picture.exists() {
            assert_text(&picture, &report::render(results, Format::Svg));
        }
    }
}

/// What stands in a text before and after a part that is made from committed results. Between the two of the first line is its template.
const PART_BEGINS: &str = "<!-- journalbench render ";
const PART_ENDS: &str = "<!-- end -->";

#[test]
fn parts_of_the_documents_say_what_committed_results_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut templates = BTreeSet::new();
    for document in documents.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&document).unwrap();
        let mut made = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(PART_BEGINS) {
            let (template, after) = after.split_once(" -->\n").expect("the comment ends its line");
            let (_, after) = after.split_once(PART_ENDS).expect("the part has an end");
            made.extend([before, PART_BEGINS, template, " -->\n", &rendered(&root.join(template)), PART_ENDS]);
            templates.insert(root.join(template));
            rest = after;
        }
        assert_text(&document, &(made + rest));
    }
    let there = fs::read_dir(root.join("docs/parts")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(there.collect::<BTreeSet<_>>(), templates, "every template is a part of a document");
}

#[test]
fn texts_beside_the_results_are_made_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let mut texts = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jinja") {
            let text = path.with_extension("");
            assert_text(&text, &rendered(&path));
            texts.push(text);
        }
    }
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for Committed { folder, .. } in committed() {
        let name = folder.file_name().unwrap().to_string_lossy();
        assert!(index.contains(&format!("({name}/report.md)")), "results/README.md has no line for {name}");
    }
    for text in texts.iter().filter(|text| text.file_name().unwrap() != "README.md") {
        let issue = fs::read_to_string(text).unwrap();
        assert!(issue.lines().count() <= SCREEN, "{} is longer than a screen", text.display());
    }
}

/// Lines of what is under a screen.
const SCREEN: usize = 60;

/// What a template in `results/` says.
fn rendered(template: &Path) -> String {
    let names: Vec<_> =
        committed().iter().map(|one| one.folder.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let text = fs::read_to_string(template).unwrap();
    let load = |name: &str| Ok(committed::of(name).derived.clone());
    report::render_template(&template.display().to_string(), &text, &names, Box::new(load)).unwrap()
}

/// A committed text is what is made of it now.
fn assert_text(path: &Path, made: &str) {
    if std::env::var_os(BLESS).is_some() {
        fs::write(path, made).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    assert!(committed == made, "{}: if that is meant, run with {BLESS}=1", path.display());
}

#[test]
fn a_terminal_has_room_for_every_report() {
    for Committed { folder, derived: results, .. } in committed() {
        let is_within = |text: &str, columns: usize| {
            let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= columns, "{}: {widest}", folder.display());
        };
        is_within(&report::render_details(results), 120);
        let screen = report::render(results, Format::Text);
        is_within(&screen, 80);
        let lines = screen.lines().count();
        assert!((8..=41).contains(&lines), "{}: {lines} lines, and four for the files:\n{screen}", folder.display());
    }
}

#[test]
fn committed_results_lose_nothing_when_they_are_saved() {
    let scratch = tempfile::tempdir().unwrap();
    for Committed { folder, results, json: before, .. } in committed() {
        let copy = scratch.path().join("results.json");
        results.save(&copy).unwrap();
        let after: Value = serde_json::from_slice(&fs::read(&copy).unwrap()).unwrap();
        same(before, &after, &folder.display().to_string());
        assert_eq!(Results::load(&copy).unwrap(), *results);
    }
}

/// Every name and value of `before` stands in `after`, which has nothing more but what has a default.
fn same(before: &Value, after: &Value, at: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let found = after.get(name).unwrap_or_else(|| panic!("{at}.{name} is gone"));
                same(value, found, &format!("{at}.{name}"));
            }
            // Keys of a scenario have defaults, which are what was done before there was the key.
            let is_new = |name: &str| name == "problems" || at.contains(".scenario");
            let more: Vec<_> = after.keys().filter(|name| !before.contains_key(*name) && !is_new(name)).collect();
            assert!(more.is_empty(), "{at} now says {more:?}");
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{at}");
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                same(before, after, &format!("{at}[{number}]"));
            }
        }
        _ => assert_eq!(before, after, "{at}"),
    }
}

#[test]
fn histograms_bear_out_the_percentiles_beside_them() {
    let mut checked = 0;
    for Committed { folder, results, .. } in committed() {
        for trial in &results.trials {
            for phase in &trial.phases {
                let at = format!("{} {} {}", folder.display(), trial.id, phase.name);
                check(&phase.lag, None, &format!("{at} lag"));
                checked += 1;
                for operation in &phase.operations {
                    check(&operation.service, None, &format!("{at} {} service", operation.kind));
                    check(&operation.response, Some(operation.due), &format!("{at} {} response", operation.kind));
                    let served = operation.response.histogram().unwrap().len();
                    assert_eq!(served, operation.counts.served, "{at} {}", operation.kind);
                    checked += 2;
                }
            }
        }
    }
    assert!(checked > 1_000, "{checked}");
}

/// The percentiles of a distribution are those of its histogram, ranked over `total` or else over its own length.
fn check(distribution: &Distribution, total: Option<u64>, at: &str) {
    let histogram = distribution.histogram().unwrap_or_else(|error| panic!("{at}: {error}"));
    let total = total.unwrap_or(histogram.len());
    assert_eq!(&Distribution::new(&histogram, total), distribution, "{at}: written again it is another");
    for percentile in [Percentile::P50, Percentile::P90, Percentile::P99, Percentile::Max] {
        assert_eq!(percentile.of(&histogram, total), distribution.get(percentile), "{at} {percentile:?}");
    }
    let p999_us = Percentile::P999.of(&histogram, total).filter(|_| total >= 10_000);
    assert_eq!(p999_us, distribution.p999_us, "{at} p99.9");
}
