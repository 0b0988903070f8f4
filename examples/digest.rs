//! Reads a tracker's database as the oracle does: `cargo run --release --example digest FILE.db` prints the digest of its
//! content, or what is wrong with it, and how long that took.
//!
//! Nothing may have the file open meanwhile: a WAL or a hot journal beside it is recovered first.

use std::{env, path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use journalbench::oracle;

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: digest FILE.db");
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    let digest = oracle::content_digest(&path, &Arc::default());
    let seconds = begun.elapsed().as_secs_f64();
    match digest {
        Ok(digest) => {
            println!("{digest} in {seconds:.2} s");
            ExitCode::SUCCESS
        }
        Err(damage) => {
            println!("{damage:?} in {seconds:.2} s");
            ExitCode::from(3)
        }
    }
}
