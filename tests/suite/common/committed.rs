//! The results that are committed in `results/`, read once for all tests: there are many megabytes of them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use journalbench::results::Results;
use serde_json::Value;

/// One of them.
pub struct Committed {
    /// Its folder.
    pub folder: PathBuf,
    /// What this program reads.
    pub results: Results,
    /// What stands in the file.
    pub json: Value,
}

/// All of them, in the order of their names.
pub fn committed() -> &'static [Committed] {
    static ALL: OnceLock<Vec<Committed>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("results")).unwrap();
        let mut folders: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
        folders.retain(|folder| folder.join("results.json").exists());
        folders.sort();
        assert!(folders.len() >= 13, "{folders:?}");
        folders.into_iter().map(read).collect()
    })
}

fn read(folder: PathBuf) -> Committed {
    let path = folder.join("results.json");
    let results = Results::load(&path).unwrap();
    let json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    Committed { folder, results, json }
}
