//! `command`: a command line of the user's own, run as it is or, where the scenario says so, by `sh`.
//!
//! **What it is for:** to put a backup script to the test as it is, or a way to copy that is not among the strategies.
//!
//! **What it costs:** what the command costs; nothing here knows what it does. It is believed to have succeeded where it ends
//! with status 0.
//!
//! **What it finds around it:** the environment and the working folder of this program, as they are; nothing is added or taken
//! away. What is the same for every child process is the business of [`crate::child`]: standard input is empty, and the
//! command has a process group of its own, in which it is killed with all that it started when its deadline comes.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::Path, process};

use serde_json::json;

use crate::{
    snapshot::{
        definition::{self, Definition, Isolation, LiveCopy, Procedure, Site, WriterRole},
        options::{CommandOptions, OptionProblem, StrategyOptions},
    },
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Unknown,
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure,
    options: |options| json!(options.command),
    check,
    live_copy: |_| LiveCopy::Refused("is your own: run it yourself"),
};

fn procedure(site: &Site<'_>) -> Procedure {
    let CommandOptions { line, shell } = &site.options.command;
    let Some(line) = line else {
        return Procedure::Unavailable(format!("{LINE} does not say what to run"));
    };
    let places = Places { live: site.live, out: &site.out() };
    if shell.unwrap_or(true) {
        return Procedure::child(by_shell(line, places));
    }
    match directly(line, places) {
        Ok(command) => Procedure::child(command),
        Err(why) => Procedure::Unavailable(format!("{LINE}: {why}")),
    }
}

/// The key of the command line.
const LINE: &str = "snapshots.options.command.line";

/// A line that no trial runs may be anything.
fn check(options: &StrategyOptions, is_used: bool) -> Result<(), OptionProblem> {
    let CommandOptions { line, shell } = &options.command;
    let line = line.clone().unwrap_or_default();
    let refuse = |allowed| Err(OptionProblem { key: LINE, found: format!("{line:?}"), allowed });
    if !is_used {
        return Ok(());
    }
    if !(line.contains("{db}") && line.contains("{out}")) {
        return refuse("expected the command line of the strategy `command`, with {db} and {out} in it".to_owned());
    }
    match words(&line) {
        Err(why) if *shell == Some(false) => refuse(format!(
            "{why}; expected a program and its arguments, or snapshots.options.command.shell = true, to have sh run the line"
        )),
        // What sh makes of it is its own affair.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What the places in a line stand for.
#[derive(Clone, Copy)]
struct Places<'a> {
    /// `{db}`
    live: &'a Path,
    /// `{out}`
    out: &'a Path,
}

impl Places<'_> {
    /// The text with the paths in their places, each as `write` writes it.
    fn fill(self, text: &str, write: impl Fn(&[u8]) -> Vec<u8>) -> OsString {
        let places: [(&str, &Path); 2] = [("{db}", self.live), ("{out}", self.out)];
        let mut filled = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.extend_from_slice(before.as_bytes());
            let place = places.iter().find(|(place, _)| from.starts_with(place));
            filled.extend(place.map_or_else(|| b"{".to_vec(), |(_, path)| write(path.as_os_str().as_encoded_bytes())));
            rest = &from[place.map_or(1, |(place, _)| place.len())..];
        }
        filled.extend_from_slice(rest.as_bytes());
        OsString::from_vec(filled)
    }
}

/// The program of a line, with its arguments. The line is split before the paths come in, so that nothing in them splits it.
fn directly(line: &str, places: Places<'_>) -> Result<process::Command, String> {
    let mut words = words(line)?.into_iter().map(|word| places.fill(&word, <[u8]>::to_vec));
    let program = words.next().ok_or("it names no program")?;
    Ok(definition::command(Path::new(&program), words))
}

/// `sh`, with a line in which the paths are quoted.
fn by_shell(line: &str, places: Places<'_>) -> process::Command {
    definition::command(Path::new("sh"), ["-c".into(), places.fill(line, quoted)])
}

/// The words of a line that needs no shell, without their quotes; or what in it needs one.
fn words(line: &str) -> Result<Vec<String>, String> {
    if let Some(found) = shell_syntax(line) {
        return Err(format!("{found:?} is shell syntax"));
    }
    let words = shlex::split(line).ok_or("a quote is not closed")?;
    match words.first().and_then(|first| first.split_once('=')) {
        Some((name, _)) if name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') => {
            Err(format!("\"{name}=\" sets a variable, which is shell syntax"))
        }
        Some(_) | None => Ok(words),
    }
}

/// The first character of a line that a shell would take for more than itself, where it stands.
fn shell_syntax(line: &str) -> Option<char> {
    let mut quote = None;
    let mut begins_word = true;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let is_syntax = match quote {
            Some('\'') => false,
            Some(_) => matches!(letter, '$' | '`'),
            None => match letter {
                '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | '\n' => true,
                '~' | '#' => begins_word,
                _ => false,
            },
        };
        if is_syntax {
            return Some(letter);
        }
        begins_word = quote.is_none() && letter.is_whitespace();
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            // The next one stands for itself.
            (None | Some('"'), '\\') => _ = letters.next(),
            _ => {}
        }
    }
    None
}

/// A path in single quotes, so that the shell takes it as it is.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in path {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsStr, os::unix::ffi::OsStrExt, time::Duration};

    use super::*;
    use crate::{
        child::{self, Limits},
        snapshot::{Programs, Task},
    };

    const LIVE: &str = "/a b/it's.db";
    const OUT: &str = "/c/$HOME.db";

    fn places<'a>() -> Places<'a> {
        Places { live: Path::new(LIVE), out: Path::new(OUT) }
    }

    #[test]
    fn a_shell_gets_its_paths_quoted() {
        for (line, expected) in [
            ("cp {db} {out}", r"cp '/a b/it'\''s.db' '/c/$HOME.db'"),
            ("{out}{db}", r"'/c/$HOME.db''/a b/it'\''s.db'"),
            ("awk '{print}' {d}", "awk '{print}' {d}"),
            ("", ""),
        ] {
            let command = by_shell(line, places());
            let arguments: Vec<_> = command.get_args().collect();
            assert_eq!(arguments, [OsStr::new("-c"), expected.as_ref()]);
        }
    }

    #[test]
    fn without_a_shell_a_line_is_words_by_table() {
        let (live, out) = (LIVE, OUT);
        let option = format!("--to={OUT}.new");
        for (line, expected) in [
            ("cp {db} {out}", &["cp", live, out][..]),
            ("cp -- {db}  --to={out}.new", &["cp", "--", live, &option]),
            (r#"cp '{db}' "{out}""#, &["cp", live, out]),
            (
                r#"x 'a b;|$*' "a;b 'c'" d\ e\;f "\$5 \"q\"" {db}{ {}"#,
                &["x", "a b;|$*", "a;b 'c'", "d e;f", "$5 \"q\"", &format!("{LIVE}{{"), "{}"],
            ),
            ("x a~b a#b --a=b {db} ''", &["x", "a~b", "a#b", "--a=b", live, ""]),
            ("./a=b {db}", &["./a=b", live]),
        ] {
            let command = directly(line, places()).unwrap();
            let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
            assert_eq!(words, expected, "{line}");
        }
    }

    #[test]
    fn shell_syntax_is_refused_unless_there_is_a_shell() {
        for (rest, found) in [
            ("| gzip", "'|' is shell syntax"),
            ("&& true", "'&' is shell syntax"),
            ("; true", "';' is shell syntax"),
            ("> log", "'>' is shell syntax"),
            ("< in", "'<' is shell syntax"),
            ("$HOME", "'$' is shell syntax"),
            ("\"$HOME\"", "'$' is shell syntax"),
            ("`date`", "'`' is shell syntax"),
            ("\"`date`\"", "'`' is shell syntax"),
            ("*", "'*' is shell syntax"),
            ("a?", "'?' is shell syntax"),
            ("[ab]", "'[' is shell syntax"),
            ("(true)", "'(' is shell syntax"),
            ("~/copies", "'~' is shell syntax"),
            ("# and so on", "'#' is shell syntax"),
            ("\ntrue", "'\\n' is shell syntax"),
            ("'open", "a quote is not closed"),
            ("\"open", "a quote is not closed"),
        ] {
            let line = format!("cp {{db}} {{out}} {rest}");
            let checked = |shell, is_used| {
                let command = CommandOptions { line: Some(line.clone()), shell };
                check(&StrategyOptions { command, ..StrategyOptions::default() }, is_used)
            };
            let problem = checked(Some(false), true).unwrap_err();
            assert_eq!((problem.key, problem.found), (LINE, format!("{line:?}")));
            let allowed = &problem.allowed;
            assert!(allowed.starts_with(found) && allowed.contains("command.shell = true"), "{line}: {allowed}");
            assert_eq!(checked(Some(false), false), Ok(()), "no trial runs it");
            assert_eq!(checked(Some(true), true), Ok(()), "{line}");
            assert_eq!(checked(None, true), Ok(()), "as an older version recorded it: {line}");
        }
        assert!(words("TZ=UTC cp {db} {out}").unwrap_err().contains("\"TZ=\" sets a variable"));
    }

    #[test]
    fn a_shell_runs_what_asks_for_one_and_what_an_older_version_recorded() {
        let programs = Programs::find("journalbench".into());
        for (shell, expected) in [(Some(false), "cp"), (Some(true), "sh"), (None, "sh")] {
            let command = CommandOptions { line: Some("cp {db} {out}".to_owned()), shell };
            let options = StrategyOptions { command, ..StrategyOptions::default() };
            let (live, folder) = (Path::new(LIVE), Path::new("/c"));
            let site = Site { programs: &programs, options: &options, live, folder, counted_sync_delay: None };
            match procedure(&site) {
                Procedure::Run(Task::Child(command)) => assert_eq!(command.get_program(), expected, "{shell:?}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn paths_of_any_bytes_arrive_as_they_are_both_ways() {
        for name in
            [&b"a b"[..], b"it's", b"a\"b", b"a\nb", b"-rf", b"a\xff\xfeb", b"$HOME`x`*?;|&", b"{out}", b"\\ #~"]
        {
            let live = Path::new("/f").join(OsStr::from_bytes(name));
            let out = Path::new("/g h").join(OsStr::from_bytes(name));
            let places = Places { live: &live, out: &out };
            let expected = [live.as_os_str().as_bytes(), b"|", out.as_os_str().as_bytes(), b".new|"].concat();
            let printing = "printf '%s|' {db} {out}.new";
            for mut command in [directly(printing, places).unwrap(), by_shell(printing, places)] {
                let printed = command.output().unwrap().stdout;
                assert_eq!(printed, expected, "{:?}: {}", command, String::from_utf8_lossy(&printed));
            }
        }
    }

    fn run(line: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut lines = Vec::new();
        let limits = Limits::deadline(Duration::from_secs(60));
        let outcome = runtime.block_on(child::run(directly(line, places()).unwrap(), &limits, |line| {
            lines.push(line.to_owned());
        }));
        assert!(outcome.succeeded(), "{outcome:?}");
        lines
    }

    #[test]
    fn what_a_command_finds_around_it() {
        let printed = directly("env -0", places()).unwrap().output().unwrap().stdout;
        let variables = printed.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
        let name_of = |variable: &[u8]| variable.iter().position(|byte| *byte == b'=').unwrap();
        let found: BTreeMap<_, _> = variables
            .map(|variable| (variable[..name_of(variable)].to_vec(), variable[name_of(variable) + 1..].to_vec()))
            .collect();
        let own = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
        assert_eq!(found, own, "the environment is this program's, no more and no less");
        assert_eq!(run("pwd -P"), [std::env::current_dir().unwrap().canonicalize().unwrap().display().to_string()]);
        assert_eq!(run("wc -c"), ["0"], "standard input is empty");
        let ids = run("cut -d ' ' -f 1,5 /proc/self/stat").remove(0);
        let (process, group) = ids.split_once(' ').unwrap();
        assert_eq!(process, group, "it leads a process group of its own");
    }
}
