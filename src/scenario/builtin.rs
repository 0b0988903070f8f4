//! The scenarios of `scenarios/`, in the program: it measures wherever it stands, without a checkout.
//!
//! Everything in that folder is in here as it is in there, the traces that scenarios name and the scripts among it. A built-in
//! scenario is the same as its file: results name it alike.

use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};

use super::{Scenario, ScenarioError, trace};

static FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// What the names of files of scenarios end with.
const EXTENSION: &str = "toml";

/// A name is taken for another one that is so much like it, from 0 to 1.
const LIKE_LEAST: f64 = 0.5;

/// A scenario of the program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name, as `run` takes it.
    pub name: &'static str,
    text: &'static str,
}

/// A file that belongs to the built-in scenarios, one of them or what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Relative to their folder.
    pub path: &'static Path,
    /// What is in it.
    pub contents: &'static [u8],
}

/// All of them, by name.
#[must_use]
pub fn all() -> Vec<BuiltIn> {
    let scenario = |file: &'static include_dir::File<'static>| {
        let path = file.path();
        let name = path.file_stem()?.to_str()?;
        (path.extension()? == EXTENSION).then_some(BuiltIn { name, text: file.contents_utf8()? })
    };
    let mut all: Vec<_> = FOLDER.files().filter_map(scenario).collect();
    all.sort_by_key(|scenario| scenario.name);
    all
}

/// Their files and what they need, by path.
#[must_use]
pub fn files() -> Vec<File> {
    fn add(folder: &Dir<'static>, files: &mut Vec<File>) {
        for entry in folder.entries() {
            match entry {
                DirEntry::Dir(inner) => add(inner, files),
                DirEntry::File(file) => files.push(File { path: file.path(), contents: file.contents() }),
            }
        }
    }
    let mut files = Vec::new();
    add(&FOLDER, &mut files);
    files.sort_by_key(|file| file.path);
    files
}

impl BuiltIn {
    /// Overrides and validates it, as [`Scenario::load`] does a file.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(&self, overrides: &[String]) -> Result<Scenario, ScenarioError> {
        // A trace that was named on the command line has an absolute path, and is none of these.
        let read_trace = |path: &Path| match FOLDER.get_file(path) {
            Some(file) => trace::parse(path, file.contents()),
            None => trace::read(path),
        };
        Scenario::parse_with(self.name, self.text, Path::new(self.name), overrides, &read_trace)
    }
}

impl Scenario {
    /// The scenario that somebody named: a file, or a built-in scenario where there is no such file and the name has neither a
    /// folder nor an extension. A folder is no scenario, so one of that name is in nobody's way.
    ///
    /// # Errors
    /// [`ScenarioError`], which names the built-in scenario that comes closest to one that there is not.
    pub fn named(named: &Path, overrides: &[String]) -> Result<Self, ScenarioError> {
        let is_file = named.exists() && !named.is_dir();
        let is_path = named.as_os_str().as_encoded_bytes().contains(&b'/') || named.extension().is_some();
        if is_file || is_path {
            return Self::load(named, overrides);
        }
        let all = all();
        match all.iter().find(|scenario| Path::new(scenario.name) == named) {
            Some(scenario) => scenario.load(overrides),
            // The error of a folder that was meant to be a scenario.
            None if named.is_dir() => Self::load(named, overrides),
            None => Err(ScenarioError::Unknown { name: named.to_owned(), nearest: nearest(named, &all) }),
        }
    }
}

/// The scenario whose name is most like this one, if any is.
fn nearest(named: &Path, all: &[BuiltIn]) -> Option<&'static str> {
    let named = named.to_string_lossy().to_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&named, name);
    let nearest =
        all.iter().map(|scenario| scenario.name).max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    nearest.filter(|name| likeness(name) >= LIKE_LEAST)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::work;

    /// The files in a folder and below it, relative to it.
    fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
        fn add(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
            for path in work::files_in(folder).unwrap() {
                if path.is_dir() { add(&path, files) } else { files.push(path) }
            }
        }
        let mut files = Vec::new();
        add(folder, &mut files);
        files.sort();
        files.iter().map(|path| path.strip_prefix(folder).unwrap().to_owned()).collect()
    }

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_program_as_it_is() {
        let paths: Vec<_> = files().iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(paths, files_below(&folder()));
        for file in files() {
            assert_eq!(file.contents, fs::read(folder().join(file.path)).unwrap(), "{:?}", file.path);
        }
        let mut names: Vec<_> = all().iter().map(|scenario| format!("{}.toml", scenario.name)).collect();
        // By file, as the others: "a-b" comes after "a", and "a-b.toml" before "a.toml".
        names.sort();
        let files: Vec<_> = paths
            .iter()
            .filter_map(|path| path.to_str())
            .filter(|path| Path::new(path).extension().is_some_and(|extension| extension == EXTENSION))
            .collect();
        assert_eq!(names, files, "those in a folder further below would be none");
    }

    #[test]
    fn each_is_the_scenario_of_its_file_and_runs_anywhere() {
        for scenario in all() {
            let built_in = scenario.load(&[]).unwrap();
            let file = Scenario::load(&folder().join(format!("{}.toml", scenario.name)), &[]).unwrap();
            assert_eq!(built_in, file);
            assert_eq!(serde_json::to_string(&built_in).unwrap(), serde_json::to_string(&file).unwrap());
            // What a command line names is looked for where the program was started.
            for needed in files() {
                let needed = needed.path.to_str().unwrap();
                let line = built_in.snapshots.options.command.line.as_deref().unwrap_or_default();
                assert!(!line.contains(needed), "{} needs {needed}, which is not there elsewhere", scenario.name);
            }
        }
    }

    #[test]
    fn a_trace_of_ones_own_takes_the_place_of_a_built_in_one() {
        let trace = tempfile::NamedTempFile::new().unwrap();
        fs::write(trace.path(), "t_s,ops_per_s\n0,7\n").unwrap();
        let day = all().into_iter().find(|scenario| scenario.name == "day").unwrap();
        let changed = day.load(&[format!("load.trace={}", trace.path().display())]).unwrap();
        assert_ne!(changed.load.arrivals, day.load(&[]).unwrap().load.arrivals);
        let error = day.load(&["load.trace=none.csv".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("none.csv: "), "{error}");
        for scale in ["0", "1000000000"] {
            let error = day.load(&[format!("load.trace_scale={scale}")]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("day: load.trace_scale = {scale}: expected")), "{error}");
        }
    }

    #[test]
    fn a_name_is_a_file_or_a_built_in_scenario() {
        let unknown = |name: &str| match Scenario::named(Path::new(name), &[]) {
            Err(error @ ScenarioError::Unknown { nearest, .. }) => (nearest, error.to_string()),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(Scenario::named(Path::new("quick"), &[]).unwrap().name, "quick");
        for (name, expected) in
            [("quik", Some("quick")), ("Quick", Some("quick")), ("tracker3", Some("tracker-3")), ("zzz", None)]
        {
            let (nearest, words) = unknown(name);
            assert_eq!(nearest, expected, "{name}");
            assert!(
                words.starts_with(&format!("{name}: no such file, ")) && words.contains("journalbench scenarios"),
                "{words}"
            );
            assert_eq!(words.contains("did you mean `"), expected.is_some(), "{words}");
        }
        // What looks like a path is one.
        for path in ["quick.toml", "./quick", "quick/", ".", "src"] {
            let error = Scenario::named(Path::new(path), &[]).unwrap_err();
            assert!(matches!(error, ScenarioError::Read { .. }), "{path}: {error}");
        }
    }
}
