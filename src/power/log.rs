//! The recording of what was done to files, in a file of its own: so that its length costs no memory.
//!
//! An event is a head of 40 bytes, little-endian, and behind that of a write its bytes. Names are few and stay in memory.

use std::{
    collections::HashMap,
    ffi::CString,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::io::{FileEvent, Recorder};

/// A recording of so many bytes is held in memory when it is read; a longer one is read from its file.
const IN_MEMORY_BYTES_MOST: u64 = 256 << 20;

/// Bytes of the head of an event.
const HEAD_BYTES: usize = 40;

/// Something that happened, as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A name came to stand for a new, empty file.
    Created {
        /// The name.
        name: u32,
        /// The file.
        file: u32,
    },
    /// Bytes were written.
    Written {
        /// The file.
        file: u32,
        /// Where.
        at: u64,
        /// What.
        bytes: Bytes,
    },
    /// A file was cut, or grew by zeros.
    Truncated {
        /// The file.
        file: u32,
        /// Its size afterwards.
        bytes: u64,
    },
    /// A file was made durable, and its folder after it.
    Synced {
        /// The file.
        file: u32,
        /// Whether its folder was.
        with_folder: bool,
    },
    /// A name was removed.
    Deleted {
        /// The name.
        name: u32,
        /// Whether its folder was made durable after that.
        with_folder: bool,
    },
    /// A transaction begins to commit.
    Begun(u64),
    /// The client of a transaction was told that it is committed.
    Acknowledged(u64),
}

/// Bytes that stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// Where in the log.
    pub place: u64,
    /// How many.
    pub length: u32,
}

/// An event and when it happened, in nanoseconds since the recording began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamped {
    /// When.
    pub at_ns: u64,
    /// What.
    pub event: Event,
}

/// Where a recording is taken down.
pub struct Writer {
    state: Arc<Mutex<State>>,
}

/// Takes the log out, once its recording has ended.
pub struct Ended {
    state: Arc<Mutex<State>>,
}

struct State {
    path: PathBuf,
    begun: Instant,
    out: BufWriter<File>,
    /// Where the next event stands.
    place: u64,
    events: u64,
    last_ns: u64,
    names: Vec<CString>,
    /// How many files there have been.
    count: u32,
    /// The files that names stand for now.
    files: HashMap<u32, u32>,
    /// What is there at the beginning.
    base: Vec<Base>,
    error: Option<io::Error>,
}

/// A file that is there, whole and durable, when the recording begins.
#[derive(Debug, Clone)]
struct Base {
    name: u32,
    content: Vec<u8>,
}

/// Begins a log in a new file, of a database that is durable as it stands.
///
/// # Errors
/// As the operating system says.
pub fn create(path: &Path, database: &Path) -> io::Result<(Writer, Ended)> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = CString::new(database.as_os_str().as_bytes())?;
    let state = State {
        path: path.to_owned(),
        begun: Instant::now(),
        out: BufWriter::with_capacity(1 << 20, File::create_new(path)?),
        place: 0,
        events: 0,
        last_ns: 0,
        names: vec![name],
        count: 1,
        files: HashMap::from([(0, 0)]),
        base: vec![Base { name: 0, content: std::fs::read(database)? }],
        error: None,
    };
    let state = Arc::new(Mutex::new(state));
    Ok((Writer { state: Arc::clone(&state) }, Ended { state }))
}

impl Recorder for Writer {
    fn note(&mut self, event: FileEvent<'_>) -> u32 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).note(event)
    }
}

impl State {
    fn note(&mut self, event: FileEvent<'_>) -> u32 {
        let (event, bytes): (Event, &[u8]) = match event {
            FileEvent::Opened { name } => {
                let name = self.name(name);
                if let Some(file) = self.files.get(&name) {
                    return *file;
                }
                let file = self.count;
                self.count += 1;
                self.files.insert(name, file);
                self.put(Event::Created { name, file }, &[]);
                return file;
            }
            FileEvent::Written { file, at, bytes } => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let place = self.place + HEAD_BYTES as u64;
                (Event::Written { file, at, bytes: Bytes { place, length } }, bytes)
            }
            FileEvent::Truncated { file, bytes } => (Event::Truncated { file, bytes }, &[]),
            FileEvent::Synced { file, with_folder } => (Event::Synced { file, with_folder }, &[]),
            FileEvent::Deleted { name, with_folder } => {
                let name = self.name(name);
                self.files.remove(&name);
                (Event::Deleted { name, with_folder }, &[])
            }
            FileEvent::Begun(commit) => (Event::Begun(commit), &[]),
            FileEvent::Acknowledged(commit) => (Event::Acknowledged(commit), &[]),
        };
        self.put(event, bytes);
        0
    }

    fn name(&mut self, name: &std::ffi::CStr) -> u32 {
        let known = self.names.iter().position(|known| known.as_c_str() == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    fn put(&mut self, event: Event, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.last_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let head = encode(Stamped { at_ns: self.last_ns, event });
        let written = self.out.write_all(&head).and_then(|()| self.out.write_all(bytes));
        self.error = written.err();
        self.place += (HEAD_BYTES + bytes.len()) as u64;
        self.events += 1;
    }
}

impl Ended {
    /// The log of a recording that has ended.
    ///
    /// # Errors
    /// What went wrong while it was written.
    pub fn log(self) -> io::Result<Log> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.out.flush()?;
        let is_small = state.place <= IN_MEMORY_BYTES_MOST;
        Ok(Log {
            in_memory: if is_small { Some(std::fs::read(&state.path)?) } else { None },
            file: File::open(&state.path)?,
            events: state.events,
            last_ns: state.last_ns,
            names: std::mem::take(&mut state.names),
            files: state.count as usize,
            base: std::mem::take(&mut state.base),
        })
    }
}

/// A recording.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// All of it, where it is small: an image reads each of its parts again.
    in_memory: Option<Vec<u8>>,
    /// How many events it has.
    pub events: u64,
    /// When the last one happened, in nanoseconds since the recording began.
    pub last_ns: u64,
    names: Vec<CString>,
    /// How many files it speaks of.
    pub files: usize,
    base: Vec<Base>,
}

impl Log {
    /// The events in order.
    ///
    /// # Errors
    /// As the operating system says; each event, as it is read.
    pub fn events(&self) -> io::Result<impl Iterator<Item = io::Result<Stamped>> + use<>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Events { reader: BufReader::with_capacity(1 << 20, file), place: 0, left: self.events })
    }

    /// Bytes that stand in it; in `buffer`, unless all of it is in memory.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn read<'b>(&'b self, bytes: Bytes, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let length = bytes.length as usize;
        if let Some(all) = &self.in_memory {
            let from = usize::try_from(bytes.place).unwrap_or(usize::MAX);
            let there = from.checked_add(length).and_then(|to| all.get(from..to));
            return there.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        buffer.resize(length, 0);
        self.file.read_exact_at(buffer, bytes.place)?;
        Ok(buffer)
    }

    /// The file name, without its folder, that a number stands for.
    #[must_use]
    pub fn name(&self, name: u32) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let name = self.names.get(name as usize).map(CString::as_bytes).unwrap_or_default();
        Path::new(std::ffi::OsStr::from_bytes(name)).file_name().map(PathBuf::from).unwrap_or_default()
    }

    /// What was there when it began: name, number of the file, content.
    pub fn base(&self) -> impl Iterator<Item = (u32, u32, &[u8])> {
        (0..).zip(&self.base).map(|(file, base)| (base.name, file, base.content.as_slice()))
    }
}

struct Events {
    reader: BufReader<File>,
    place: u64,
    left: u64,
}

impl Iterator for Events {
    type Item = io::Result<Stamped>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut head = [0; HEAD_BYTES];
        if let Err(error) = self.reader.read_exact(&mut head) {
            self.left = 0;
            return Some(Err(error));
        }
        self.place += HEAD_BYTES as u64;
        let Some(stamped) = decode(&head, self.place) else {
            self.left = 0;
            return Some(Err(io::Error::new(io::ErrorKind::InvalidData, "the recording is damaged")));
        };
        if let Event::Written { bytes, .. } = stamped.event {
            self.place += u64::from(bytes.length);
            if let Err(error) = self.reader.seek_relative(i64::from(bytes.length)) {
                return Some(Err(error));
            }
        }
        Some(Ok(stamped))
    }
}

/// Kind, flag, length, file or name, place or commit, file of a name, time.
fn encode(stamped: Stamped) -> [u8; HEAD_BYTES] {
    let (kind, flag, length, number, at, other) = match stamped.event {
        Event::Created { name, file } => (0_u8, false, 0, name, 0, file),
        Event::Written { file, at, bytes } => (1, false, bytes.length, file, at, 0),
        Event::Truncated { file, bytes } => (2, false, 0, file, bytes, 0),
        Event::Synced { file, with_folder } => (3, with_folder, 0, file, 0, 0),
        Event::Deleted { name, with_folder } => (4, with_folder, 0, name, 0, 0),
        Event::Begun(commit) => (5, false, 0, 0, commit, 0),
        Event::Acknowledged(commit) => (6, false, 0, 0, commit, 0),
    };
    let mut head = [0; HEAD_BYTES];
    head[0] = kind;
    head[1] = u8::from(flag);
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..12].copy_from_slice(&number.to_le_bytes());
    head[12..16].copy_from_slice(&other.to_le_bytes());
    head[16..24].copy_from_slice(&at.to_le_bytes());
    head[24..32].copy_from_slice(&stamped.at_ns.to_le_bytes());
    head
}

/// `place` is where the bytes of a write stand.
fn decode(head: &[u8; HEAD_BYTES], place: u64) -> Option<Stamped> {
    let small = |at: usize| head[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let large = |at: usize| head[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (flag, length, number, other) = (head[1] == 1, small(4)?, small(8)?, small(12)?);
    let (at, at_ns) = (large(16)?, large(24)?);
    let event = match head[0] {
        0 => Event::Created { name: number, file: other },
        1 => Event::Written { file: number, at, bytes: Bytes { place, length } },
        2 => Event::Truncated { file: number, bytes: at },
        3 => Event::Synced { file: number, with_folder: flag },
        4 => Event::Deleted { name: number, with_folder: flag },
        5 => Event::Begun(at),
        6 => Event::Acknowledged(at),
        _ => return None,
    };
    Some(Stamped { at_ns, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_down_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.db");
        std::fs::write(&database, b"as it was").unwrap();
        let (mut writer, ended) = create(&folder.path().join("log"), &database).unwrap();
        let name = CString::new(format!("{}-journal", database.display())).unwrap();
        let open = |writer: &mut Writer| writer.note(FileEvent::Opened { name: &name });
        let journal = open(&mut writer);
        assert_eq!(open(&mut writer), journal, "the same file");
        writer.note(FileEvent::Written { file: journal, at: 512, bytes: b"header" });
        writer.note(FileEvent::Synced { file: journal, with_folder: true });
        writer.note(FileEvent::Begun(7));
        writer.note(FileEvent::Written { file: 0, at: 0, bytes: b"AS" });
        writer.note(FileEvent::Truncated { file: journal, bytes: 0 });
        writer.note(FileEvent::Deleted { name: &name, with_folder: false });
        writer.note(FileEvent::Acknowledged(7));
        assert_ne!(open(&mut writer), journal, "a new one of that name");
        let mut log = ended.log().unwrap();
        let events: Vec<_> = log.events().unwrap().map(|event| event.unwrap().event).collect();
        let Event::Written { bytes, .. } = events[1] else { panic!("{events:?}") };
        assert_eq!(log.read(bytes, &mut Vec::new()).unwrap(), b"header");
        assert_eq!(events[0], Event::Created { name: 1, file: 1 });
        assert_eq!(events[2..4], [Event::Synced { file: 1, with_folder: true }, Event::Begun(7)]);
        assert_eq!(events[5], Event::Truncated { file: 1, bytes: 0 });
        assert_eq!(
            events[6..],
            [
                Event::Deleted { name: 1, with_folder: false },
                Event::Acknowledged(7),
                Event::Created { name: 1, file: 2 }
            ]
        );
        assert_eq!((log.events, log.files), (9, 3));
        assert_eq!(log.name(1), Path::new("live.db-journal"));
        assert_eq!(log.base().collect::<Vec<_>>(), [(0, 0, &b"as it was"[..])]);
        log.in_memory = None;
        assert_eq!(log.read(bytes, &mut Vec::new()).unwrap(), b"header", "from the file");
    }
}
