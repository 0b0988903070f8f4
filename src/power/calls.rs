//! Which files a program has made durable, from what `strace -f -y` says of its system calls.
//!
//! Whatever was written to a file after its last sync may be lost, and so may a name after the last sync of its folder. What is written
//! through a mapping is not seen.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// The system calls that are to be traced, as strace takes them. Those that a system has not are passed over.
pub const TRACED: &str = "?open,?creat,openat,write,pwrite64,writev,pwritev,?pwritev2,?copy_file_range,?splice,sendfile,?truncate,ftruncate,fallocate,\
    fsync,fdatasync,sync,syncfs,?sync_file_range,?rename,renameat,?renameat2,?link,linkat,?unlink,unlinkat";

/// What syncs cover of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// All that was written to it.
    pub content: bool,
    /// Its name, by a sync of its folder.
    pub name: bool,
    /// Its name, where any sync makes earlier changes of names durable.
    pub name_where_journaled: bool,
}

/// What is known of files so far.
#[derive(Debug, Default)]
pub struct Calls {
    files: BTreeMap<PathBuf, Coverage>,
    /// Calls that have begun and not ended, by process.
    unfinished: HashMap<String, String>,
}

impl Calls {
    /// Reads a line of the trace.
    pub fn read(&mut self, line: &str) {
        let (process, call) = line.split_once(' ').unwrap_or(("", line));
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            self.unfinished.insert(process.to_owned(), begun.trim_end().to_owned());
        } else if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|call| call.split_once("resumed>")) {
            let begun = self.unfinished.remove(process).unwrap_or_default();
            self.take(&format!("{begun}{rest}"));
        } else {
            self.take(call);
        }
    }

    /// What syncs cover of each file that was created or written.
    pub fn files(&self) -> impl Iterator<Item = (&Path, Coverage)> {
        self.files.iter().map(|(path, coverage)| (path.as_path(), *coverage))
    }

    /// A whole call with its result.
    fn take(&mut self, call: &str) -> Option<()> {
        let (name, rest) = call.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        if result.starts_with('-') {
            return None;
        }
        match name {
            "open" | "openat" | "creat" => {
                let path = PathBuf::from(between(result, '<', '>')?);
                if name == "creat" || arguments.contains("O_CREAT") {
                    self.files.entry(path.clone()).or_default();
                }
                if name == "creat" || arguments.contains("O_TRUNC") {
                    self.dirty(&path);
                }
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "sendfile" | "ftruncate" | "fallocate" => {
                self.dirty(Path::new(between(arguments, '<', '>')?));
            }
            "copy_file_range" | "splice" => {
                // From the first descriptor to the second one.
                let (_, rest) = arguments.split_once('>')?;
                self.dirty(Path::new(between(rest, '<', '>')?));
            }
            "truncate" => self.dirty(&self.known(strings(arguments).first()?)),
            "fsync" | "fdatasync" => self.synced(Path::new(between(arguments, '<', '>')?)),
            "sync" | "syncfs" => self.files.values_mut().for_each(|coverage| {
                *coverage = Coverage { content: true, name: true, name_where_journaled: true };
            }),
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => self.renamed(name, arguments)?,
            "unlink" | "unlinkat" => drop(self.files.remove(&self.known(strings(arguments).first()?))),
            _ => {}
        }
        Some(())
    }

    fn dirty(&mut self, path: &Path) {
        self.files.entry(path.to_owned()).or_default().content = false;
    }

    /// A file or a folder is durable, and with it, on file systems that have one journal, all earlier names.
    fn synced(&mut self, synced: &Path) {
        for (path, coverage) in &mut self.files {
            coverage.content |= path == synced;
            coverage.name |= path.parent() == Some(synced);
            coverage.name_where_journaled = true;
        }
    }

    fn renamed(&mut self, call: &str, arguments: &str) -> Option<()> {
        let names = strings(arguments);
        let (from, to) = (self.known(names.first()?), Path::new(names.get(1)?));
        // Relative to the same folder as the old name, where both are relative.
        let to = from.parent().map_or_else(|| to.to_owned(), |folder| folder.join(to.strip_prefix("./").unwrap_or(to)));
        let before = if call.starts_with("rename") { self.files.remove(&from) } else { self.files.get(&from).copied() };
        // What was there before the trace is durable.
        let content = before.is_none_or(|before| before.content);
        self.files.insert(to, Coverage { content, ..Coverage::default() });
        Some(())
    }

    /// The whole path of a file that a program names, as far as it is one that it has opened: those are known by their whole paths.
    fn known(&self, named: &str) -> PathBuf {
        let named = Path::new(named.strip_prefix("./").unwrap_or(named));
        let found = self.files.keys().find(|path| path.ends_with(named));
        found.map_or_else(|| named.to_owned(), Clone::clone)
    }
}

fn between(text: &str, from: char, to: char) -> Option<&str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(inside, _)| inside)
}

/// What stands between quotes. A path with a quote in it is cut, and then is none of those that are asked for.
fn strings(arguments: &str) -> Vec<&str> {
    arguments.split('"').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str, path: &str) -> Option<(bool, bool, bool)> {
        let mut calls = Calls::default();
        lines.lines().for_each(|line| calls.read(line.trim()));
        let found = calls.files().find(|(found, _)| *found == Path::new(path)).map(|(_, coverage)| coverage);
        found.map(|Coverage { content, name, name_where_journaled }| (content, name, name_where_journaled))
    }

    #[test]
    fn what_no_sync_follows_is_not_covered() {
        let cp = r#"7 openat(AT_FDCWD</w>, "/w/out.db", O_WRONLY|O_CREAT|O_EXCL, 0644) = 4</w/out.db>
            7 copy_file_range(3</w/live.db>, NULL, 4</w/out.db>, NULL, 9223372035781033984, 0) = 4096"#;
        assert_eq!(of(cp, "/w/out.db"), Some((false, false, false)));
        assert_eq!(of(cp, "/w/live.db"), None, "it was read");
        for (then, expected) in [
            ("7 fsync(4</w/out.db>) = 0", (true, false, true)),
            ("7 fdatasync(4</w/out.db>) = -1 EIO (Input/output error)", (false, false, false)),
            ("7 fsync(4</w/out.db>) = 0\n7 fsync(5</w>) = 0", (true, true, true)),
            ("7 fsync(4</w/out.db>) = 0\n7 pwrite64(4</w/out.db>, \"x\"..., 4096, 0) = 4096", (false, false, true)),
            ("8 sync() = 0", (true, true, true)),
            (
                "7 fsync(4</w/out.db> <unfinished ...>\n8 write(1</dev/null>, \"x\", 1) = 1\n7 <... fsync resumed>) = 0",
                (true, false, true),
            ),
        ] {
            assert_eq!(of(&format!("{cp}\n{then}"), "/w/out.db"), Some(expected), "{then}");
        }
    }

    #[test]
    fn a_file_takes_its_content_to_its_new_name_and_not_what_covers_that() {
        let lines = |then: &str| {
            format!(
                r#"7 openat(AT_FDCWD</w>, "/w/new", O_WRONLY|O_CREAT, 0644) = 4</w/new>
                7 write(4</w/new>, "x"..., 10) = 10
                7 fsync(4</w/new>) = 0
                7 fsync(5</w>) = 0
                7 renameat2(AT_FDCWD</w>, "/w/new", AT_FDCWD</w>, "/w/out.db", 0) = 0
                {then}"#
            )
        };
        assert_eq!(of(&lines(""), "/w/out.db"), Some((true, false, false)));
        assert_eq!(of(&lines("7 fsync(5</w>) = 0"), "/w/out.db"), Some((true, true, true)));
        assert_eq!(of(&lines(""), "/w/new"), None);
        let relative = "7 rename(\"out.db\", \"./last.db\") = 0";
        assert_eq!(of(&lines(relative), "/w/last.db"), Some((true, false, false)), "as rsync does");
        assert_eq!(of(&lines(r#"7 unlinkat(AT_FDCWD</w>, "/w/out.db", 0) = 0"#), "/w/out.db"), None);
    }
}
