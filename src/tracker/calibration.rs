//! The profile `tracker-3` beside the real program: for the same requests, both write the same pages of the same database, byte for byte and
//! commit by commit, as their WALs say.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use toml::Table;

use super::{
    packets::{Announce, AnnounceEvent, Body, REPLY_BYTES_MOST, read_reply, write_announce, write_connect},
    program::{self, Start, Tracker},
};
use crate::{
    dataset::{Dataset, generate},
    history::ledger::Ledger,
    sqlite::{self, JournalMode, Settings, Synchronous, TransactionMode},
    target::{Target as _, sqlite::SqliteTarget, tracker_memory::TrackerMemory},
    torrents::Torrent,
    workload::{Event, Kind, Mix, Operation, Workload, WriteProfile},
};

const DATASET: Dataset = Dataset { rows: 2_000, seed: 320, page_size_bytes: 4_096, zero_share_ppm: 0 };
const SETTINGS: Settings = Settings {
    journal_mode: JournalMode::Wal,
    synchronous: Synchronous::Full,
    cache_size_kib: 2_000,
    mmap_size_bytes: 0,
    wal_autocheckpoint_pages: 1_000,
    busy_timeout_ms: 5_000,
};

/// What clients say, one after another: who, of which torrent, what.
const SAID: [(u8, u64, Event); 16] = [
    (1, 7, Event::Started),
    (1, 7, Event::None),
    (2, 7, Event::Started),
    (1, 7, Event::Completed),
    (1, 7, Event::None),
    (2, 7, Event::Completed),
    (2, 7, Event::None),
    (1, 7, Event::Stopped),
    (3, 1_500, Event::Started),
    (3, 1_500, Event::Completed),
    (3, 1_500, Event::Stopped),
    (4, 12, Event::Started),
    (4, 12, Event::Stopped),
    (2, 7, Event::Stopped),
    (5, 7, Event::Started),
    (5, 7, Event::Completed),
];

/// A page that a commit wrote.
#[derive(PartialEq, Eq)]
struct Frame {
    page: u32,
    /// Whether the commit ends with it.
    ends: bool,
    content: Vec<u8>,
}

/// The frames of a WAL behind so many of its first bytes, and how long it is now.
fn frames(wal: &Path, from: usize) -> (Vec<Frame>, usize) {
    const HEAD: usize = 24;
    let bytes = fs::read(wal).unwrap_or_default();
    let from = from.max(32).min(bytes.len());
    let word = |frame: &[u8], at: usize| u32::from_be_bytes(*frame[at..].first_chunk().unwrap());
    let frame =
        |frame: &[u8]| Frame { page: word(frame, 0), ends: word(frame, 4) > 0, content: frame[HEAD..].to_vec() };
    let whole = bytes[from..].chunks_exact(HEAD + DATASET.page_size_bytes as usize);
    (whole.map(frame).collect(), bytes.len())
}

/// Has a client say something to the tracker, and waits for the answer.
struct Client {
    socket: UdpSocket,
    connection: u64,
}

impl Client {
    fn of(tracker: &Tracker) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(tracker.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut request = Vec::new();
        write_connect(&mut request, 1);
        let reply = ask(&socket, &request);
        let Body::Connected(connection) = read_reply(&reply).unwrap().body else { panic!("no connection id") };
        Self { socket, connection }
    }

    fn say(&self, client: u8, info_hash: &[u8; 20], event: Event, left_bytes: u64) {
        let mut request = Vec::new();
        let announce = Announce { info_hash, peer_id: &[client; 20], event: AnnounceEvent::None, port: client.into() };
        write_announce(&mut request, self.connection, 2, announce);
        // Bytes left, and the event, as BEP 15 has them.
        let number: u32 = match event {
            Event::None => 0,
            Event::Completed => 1,
            Event::Started => 2,
            Event::Stopped => 3,
        };
        request[64..72].copy_from_slice(&left_bytes.to_be_bytes());
        request[80..84].copy_from_slice(&number.to_be_bytes());
        assert!(matches!(read_reply(&ask(&self.socket, &request)).unwrap().body, Body::Announced { .. }));
    }
}

fn ask(socket: &UdpSocket, request: &[u8]) -> Vec<u8> {
    socket.send(request).unwrap();
    let mut reply = vec![0; REPLY_BYTES_MOST];
    let length = socket.recv(&mut reply).unwrap();
    reply.truncate(length);
    reply
}

#[test]
fn the_profile_of_version_3_writes_what_the_real_program_writes() {
    let program = match program::find(None) {
        Ok(program) => program,
        Err(error) => return println!("skipped: {error:#}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let (real, simulated) = (folder.path().join("real.db"), folder.path().join("simulated.db"));
    for path in [&real, &simulated] {
        generate(&DATASET, path, &Arc::default(), &mut |_| ()).unwrap();
        drop(sqlite::open(path, &SETTINGS).unwrap());
    }
    let (torrents, config) = (DATASET.torrents(), Table::new());
    let tracker =
        Tracker::start(Start { program: &program, config: &config, live: &real, folder: folder.path() }).unwrap();
    let client = Client::of(&tracker);
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&simulated, &SETTINGS).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    let target = SqliteTarget::new(connection, session, DATASET.torrents(), TransactionMode::Immediate)
        .of_tracker(&TrackerMemory::default(), None);
    let workload = Workload::new(Mix::of(WriteProfile::Tracker3), DATASET.torrents(), 1);
    let wals = [real, simulated].map(|path| sqlite::side_file(&path, "-wal"));
    let mut lengths = wals.each_ref().map(|wal| frames(wal, 0).1);
    let mut writes = 0;
    for (number, (who, torrent, event)) in SAID.into_iter().enumerate() {
        let has_completed = SAID[..=number].contains(&(who, torrent, Event::Completed));
        let torrent = Torrent::Known(torrent);
        client.say(who, &torrents.info_hash(torrent).to_binary(), event, u64::from(!has_completed));
        let action = workload.action(Kind::Announce, event);
        let operation = Operation { kind: Kind::Announce, event, action, torrents: vec![torrent] };
        assert_eq!(target.execute(&operation, Instant::now()).failure, None);
        let [of_real, of_simulated] = [0, 1].map(|place: usize| {
            let (frames, length) = frames(&wals[place], lengths[place]);
            lengths[place] = length;
            frames
        });
        let pages = |frames: &[Frame]| frames.iter().map(|frame| (frame.page, frame.ends)).collect::<Vec<_>>();
        assert_eq!(pages(&of_real), pages(&of_simulated), "request {number}, {event:?}");
        assert!(of_real == of_simulated, "request {number}, {event:?}: the same pages with other bytes");
        assert_eq!(of_real.is_empty(), event == Event::None, "request {number}");
        writes += usize::from(!of_real.is_empty());
    }
    assert_eq!(writes, SAID.iter().filter(|(.., event)| *event != Event::None).count());
}
