//! The `journalbench` program: parse, dispatch, print the error, exit status.

use std::process::ExitCode;

use clap::Parser;
use journalbench::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::print_usage(&error),
    };
    match cli::main(cli, interrupted_again) {
        Ok(code) => code,
        Err(failure) => {
            // The exit status stands even where nobody can read the words.
            cli::print_error(&failure);
            failure.exit_code()
        }
    }
}

/// At a second Ctrl-C the program goes at once; the next run removes what this one has left in the work folder.
fn interrupted_again() {
    std::process::exit(130);
}
