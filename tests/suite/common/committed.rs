//! The results that are committed in `results/`, read once for all tests: there are many megabytes of them.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use flate2::read::GzDecoder;
use journalbench::{results::Results, run::derive};
use serde_json::Value;

/// What gzip has made of what `run` wrote.
pub const FILE: &str = "results.json.gz";

/// One of them.
pub struct Committed {
    /// Its folder.
    pub folder: PathBuf,
    /// What this program reads.
    pub results: Results,
    /// The same, with what follows from it as this program works it out: what is reported.
    pub derived: Results,
    /// What stands in the file.
    pub json: Value,
}

/// All of them, in the order of their names.
pub fn committed() -> &'static [Committed] {
    static ALL: OnceLock<Vec<Committed>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("results")).unwrap();
        let mut folders: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
        folders.retain(|folder| folder.join(FILE).exists());
        folders.sort();
        assert!(folders.len() >= 13, "{folders:?}");
        folders.into_iter().map(read).collect()
    })
}

fn read(folder: PathBuf) -> Committed {
    let path = folder.join(FILE);
    let results = Results::load(&path).unwrap();
    let mut json = Vec::new();
    GzDecoder::new(fs::File::open(&path).unwrap()).read_to_end(&mut json).unwrap();
    let mut derived = results.clone();
    derive(&mut derived);
    Committed { folder, results, derived, json: serde_json::from_slice(&json).unwrap() }
}

/// The results of a name.
pub fn of(name: &str) -> &'static Committed {
    committed().iter().find(|one| one.folder.ends_with(name)).unwrap()
}
