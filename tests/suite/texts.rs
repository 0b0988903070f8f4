//! What is made of several results: how many commits copies bear, and texts whose figures come from them.

use std::fs;

use crate::common::{
    committed,
    program::{names, output, text},
};

#[test]
fn limits_are_fitted_to_copies_that_began_again() {
    let folder = tempfile::tempdir().unwrap();
    let results = committed::of("limits-200mb").folder.join(committed::FILE);
    let results = results.to_str().unwrap();
    let found = output(folder.path(), &["limits", results, "--size", "17GB", "--format", "markdown"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let said = text(&found.stdout);
    assert!(said.contains("backup under wal: a database of 17.0 GB needs"), "{said}");
    assert!(said.contains("cli-backup under delete fails in another way: a lock of a commit ended"), "{said}");
    for (arguments, expected) in [
        (&["limits", results, "--deadline-s", "0"][..], "a number of seconds above 0"),
        (&["limits", results, "--size", "17 elephants"], "17 elephants"),
        (&["limits", "none.json"], "none.json"),
    ] {
        let refused = output(folder.path(), arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
    let kills = committed::of("kill").folder.join(committed::FILE);
    let refused = output(folder.path(), &["limits", kills.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}

#[test]
fn a_text_is_made_of_results_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("good.jinja"), "{{ run('quick').trials | length }} trials of {{ names | length }} results\n")
        .unwrap();
    fs::write(folder.join("bad.jinja"), "one\n{{ run('quick').trails | length }}\n").unwrap();
    let quick = folder.join("results/quick");
    fs::create_dir_all(&quick).unwrap();
    fs::copy(committed::of("quick").folder.join(committed::FILE), quick.join(committed::FILE)).unwrap();
    let render =
        |template: &str, more: &[&str]| output(folder, &[&["render", template, "--results", "results"], more].concat());
    let printed = render("good.jinja", &[]);
    assert_eq!(text(&printed.stdout), "12 trials of 1 results\n", "{}", text(&printed.stderr));
    assert!(render("good.jinja", &["-o", "good.md"]).status.success());
    assert_eq!(fs::read_to_string(folder.join("good.md")).unwrap(), text(&printed.stdout));
    let before = names(folder);
    for (template, more, code, expected) in [
        ("good.jinja", &["-o", "good.md"][..], 2, "good.md: exists"),
        ("bad.jinja", &["-o", "bad.md"], 2, "bad.jinja:2"),
        ("none.jinja", &[], 1, "none.jinja"),
    ] {
        let refused = render(template, more);
        let said = text(&refused.stderr);
        assert_eq!((refused.status.code(), names(folder)), (Some(code), before.clone()), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
