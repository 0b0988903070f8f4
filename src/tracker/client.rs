//! The sockets of the clients of a tracker, and their connection ids.
//!
//! A tracker gives out a connection id for an address and port, and takes it for two minutes; it is renewed well before that, while
//! requests go on with the one before. [`Requester`] and [`Listener`] are the two halves of an open-loop stream over several sockets;
//! [`Caller`] is one client that waits for each answer. What answers come to is decided by whoever asked.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    packets::{
        Announce, AnnounceEvent, Body, REPLY_BYTES_MOST, REQUEST_BYTES_MOST, Reply, read_reply, write_announce,
        write_connect, write_scrape,
    },
    swarm::{Role, Swarm},
};
use crate::{
    measure::OperationFailure,
    target::{Answer, Answers, Requests},
    torrents::Torrent,
    workload::{Kind, Operation},
};

/// How old a connection id becomes before it is renewed. BEP 15: a client uses one for a minute.
const RENEW_AFTER: Duration = Duration::from_secs(50);

/// How long the first connection id of a socket is waited for.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long before a request for a connection id is sent again.
const CONNECT_AGAIN: Duration = Duration::from_millis(250);

/// The ports that clients say they listen on, by role: nobody asks them.
const RETURNING_PORT: u16 = 6_881;
const COMPLETING_PORT: u16 = 6_882;

/// How long before a request for another connection id is sent again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// A socket that is connected to the tracker, and its connection id.
struct Line {
    socket: UdpSocket,
    connection: AtomicU64,
    opened: Instant,
    /// When the connection id came, in milliseconds since it was opened.
    connected_ms: AtomicU64,
}

impl Line {
    /// Opens a socket, and waits for its connection id.
    fn open(tracker: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = if tracker.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(tracker)?;
        let begun = Instant::now();
        let line = Self { socket, connection: AtomicU64::new(0), opened: begun, connected_ms: AtomicU64::new(0) };
        line.socket.set_read_timeout(Some(CONNECT_AGAIN))?;
        let (mut request, mut reply) = (Vec::new(), [0; REPLY_BYTES_MOST]);
        while begun.elapsed() < CONNECT_WITHIN {
            write_connect(&mut request, 0);
            line.socket.send(&request)?;
            match line.socket.recv(&mut reply) {
                Ok(length) => {
                    if let Some(Reply { body: Body::Connected(connection), .. }) = read_reply(&reply[..length]) {
                        line.connected(connection);
                        return Ok(line);
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(at(tracker, &error)),
            }
        }
        let why = format!("the tracker at {tracker} gave no connection id in {} s", CONNECT_WITHIN.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }

    fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }

    /// Another connection id has come.
    fn connected(&self, connection: u64) {
        self.connection.store(connection, Ordering::Relaxed);
        let now_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.connected_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How old its connection id is.
    fn connection_age(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_millis(self.connected_ms.load(Ordering::Relaxed)))
    }

    /// Asks for another connection id; the answer comes with the others.
    fn renew(&self, request: &mut Vec<u8>) -> io::Result<()> {
        write_connect(request, 0);
        self.socket.send(request).map(|_| ())
    }
}

/// An error with the address that it is about.
fn at(tracker: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the tracker at {tracker}: {error}"))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Opens so many sockets to a tracker: the halves of a stream over them.
///
/// # Errors
/// As the operating system says, or that the tracker gave no connection id.
pub fn exchange(tracker: SocketAddr, sockets: u32, swarm: &Arc<Swarm>) -> io::Result<(Requester, Listener)> {
    let lines = (0..sockets.max(1)).map(|_| Line::open(tracker)).collect::<io::Result<Vec<_>>>()?;
    for line in &lines {
        line.socket.set_nonblocking(true)?;
    }
    let lines = Arc::new(lines);
    let requester = Requester {
        asked: vec![None; lines.len()],
        lines: Arc::clone(&lines),
        swarm: Arc::clone(swarm),
        request: Vec::with_capacity(REQUEST_BYTES_MOST),
    };
    Ok((requester, Listener { lines, reply: [0; REPLY_BYTES_MOST] }))
}

/// Sends the requests of a stream: announces of clients that the tracker knows, and scrapes.
pub struct Requester {
    lines: Arc<Vec<Line>>,
    /// When each line last asked for another connection id.
    asked: Vec<Option<Instant>>,
    swarm: Arc<Swarm>,
    request: Vec<u8>,
}

impl Requests for Requester {
    fn send(&mut self, number: u32, operation: &Operation) -> io::Result<()> {
        let place = number as usize % self.lines.len();
        let (line, request, swarm) = (&self.lines[place], &mut self.request, &self.swarm);
        let may_ask = self.asked[place].is_none_or(|asked| asked.elapsed() > RENEW_AGAIN);
        if may_ask && line.connection_age() > RENEW_AFTER {
            self.asked[place] = Some(Instant::now());
            line.renew(request)?;
        }
        match operation.kind {
            Kind::Announce => {
                let place = |torrent: &Torrent| swarm.place_in_role(*torrent, Role::Returning);
                let client = Client { swarm, member: operation.torrents.first().map_or(0, place) };
                client.write(request, line.connection(), number, AnnounceEvent::None);
            }
            Kind::Scrape => {
                let hashes = operation.torrents.iter().map(|torrent| *swarm.info_hash(swarm.place_of(*torrent)));
                write_scrape(request, line.connection(), number, hashes);
            }
        }
        line.socket.send(request).map(|_| ())
    }
}

/// A client of a torrent of the swarm.
#[derive(Clone, Copy)]
struct Client<'a> {
    swarm: &'a Swarm,
    member: usize,
}

impl Client<'_> {
    fn write(&self, request: &mut Vec<u8>, connection: u64, transaction: u32, event: AnnounceEvent) {
        let Self { swarm, member } = *self;
        let (info_hash, peer_id) = (swarm.info_hash(member), &Swarm::peer_id(member));
        let port = match Swarm::role_of(member) {
            Role::Returning => RETURNING_PORT,
            Role::Completing => COMPLETING_PORT,
        };
        write_announce(request, connection, transaction, Announce { info_hash, peer_id, event, port });
    }
}

/// Takes the answers to the requests of a stream.
pub struct Listener {
    lines: Arc<Vec<Line>>,
    reply: [u8; REPLY_BYTES_MOST],
}

impl Answers for Listener {
    fn receive(&mut self, until: Instant, take: &mut dyn FnMut(Answer)) -> io::Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let mut waiting: Vec<_> = self.lines.iter().map(|line| PollFd::new(&line.socket, PollFlags::IN)).collect();
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut waiting, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<bool> = waiting.iter().map(|line| !line.revents().is_empty()).collect();
            for (line, _) in self.lines.iter().zip(ready).filter(|(_, is_ready)| *is_ready) {
                take_answers(line, &mut self.reply, take)?;
            }
        }
    }
}

/// Takes what has come to a socket.
fn take_answers(line: &Line, reply: &mut [u8], take: &mut dyn FnMut(Answer)) -> io::Result<()> {
    loop {
        let length = match line.socket.recv(reply) {
            Ok(length) => length,
            Err(error) if is_timeout(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let at = Instant::now();
        let Some(Reply { transaction: number, body }) = read_reply(&reply[..length]) else { continue };
        match body {
            Body::Connected(connection) => line.connected(connection),
            Body::Announced { .. } | Body::Scraped(_) => take(Answer { number, at, failure: None }),
            Body::Error(_) => take(Answer { number, at, failure: Some(OperationFailure::Other) }),
        }
    }
}

/// One client that sends a request when the one before it was answered.
pub struct Caller {
    line: Line,
    swarm: Arc<Swarm>,
    /// The number of the last request: a reply to another one is none to this.
    transaction: u32,
    request: Vec<u8>,
    reply: Box<[u8; REPLY_BYTES_MOST]>,
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It was taken, after it had been sent so many times.
    Yes {
        /// From 1.
        times: u32,
    },
    /// The tracker says that it was not.
    Refused(String),
    /// There was no answer.
    No,
}

impl Caller {
    /// Opens a socket to a tracker.
    ///
    /// # Errors
    /// As the operating system says, or that the tracker gave no connection id.
    pub fn open(tracker: SocketAddr, swarm: &Arc<Swarm>) -> io::Result<Self> {
        Ok(Self {
            line: Line::open(tracker)?,
            swarm: Arc::clone(swarm),
            transaction: 0,
            request: Vec::with_capacity(REQUEST_BYTES_MOST),
            reply: Box::new([0; REPLY_BYTES_MOST]),
        })
    }

    /// Announces a client of the swarm, and waits for the answer until an instant. Without one the request is sent again after `retry`,
    /// and after twice that once more.
    ///
    /// # Errors
    /// As the operating system says; that nobody has the tracker's port open any more is no answer.
    pub fn announce(
        &mut self,
        member: usize,
        event: AnnounceEvent,
        retry: Duration,
        until: Instant,
    ) -> io::Result<Answered> {
        if self.line.connection_age() > RENEW_AFTER && !self.reconnect(until)? {
            return Ok(Answered::No);
        }
        self.transaction = self.transaction.wrapping_add(1);
        let swarm = Arc::clone(&self.swarm);
        let client = Client { swarm: &swarm, member };
        let mut patience = retry;
        let mut times = 0;
        while Instant::now() < until {
            times += 1;
            client.write(&mut self.request, self.line.connection(), self.transaction, event);
            match self.line.socket.send(&self.request) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            let again = until.min(Instant::now() + patience);
            match self.wait(again)? {
                None => patience = patience.saturating_mul(2),
                Some(Ok(())) => return Ok(Answered::Yes { times }),
                Some(Err(why)) => return Ok(Answered::Refused(why)),
            }
        }
        Ok(Answered::No)
    }

    /// Waits for another connection id; false where none came before an instant.
    fn reconnect(&mut self, until: Instant) -> io::Result<bool> {
        while Instant::now() < until {
            match self.line.renew(&mut self.request) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let again = until.min(Instant::now() + CONNECT_AGAIN);
            let is_connected = |reply: &Reply<'_>| matches!(reply.body, Body::Connected(_)).then_some(());
            if self.receive(again, is_connected)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The answer to the last request, where it comes before an instant.
    fn wait(&mut self, until: Instant) -> io::Result<Option<Result<(), String>>> {
        let own = self.transaction;
        self.receive(until, |reply| match reply.body {
            Body::Announced { .. } | Body::Scraped(_) if reply.transaction == own => Some(Ok(())),
            Body::Error(why) if reply.transaction == own => Some(Err(String::from_utf8_lossy(why).into_owned())),
            Body::Announced { .. } | Body::Scraped(_) | Body::Error(_) | Body::Connected(_) => None,
        })
    }

    /// Takes replies until one of them is what is waited for, or an instant has come.
    fn receive<T>(&mut self, until: Instant, wanted: impl Fn(&Reply<'_>) -> Option<T>) -> io::Result<Option<T>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.line.socket.set_read_timeout(Some(left))?;
            let length = match self.line.socket.recv(&mut self.reply[..]) {
                Ok(length) => length,
                Err(error) if is_timeout(&error) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    // It comes back at once, and would be asked again as often.
                    std::thread::sleep(left.min(CONNECT_AGAIN));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(reply) = read_reply(&self.reply[..length]) else { continue };
            if let Body::Connected(connection) = reply.body {
                self.line.connected(connection);
            }
            if let Some(found) = wanted(&reply) {
                return Ok(Some(found));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::torrents::{Seeded, Torrents};

    /// A tracker of a few lines: connection id 7, every announce and scrape is answered but for each third request.
    fn tracker(requests: usize) -> (SocketAddr, thread::JoinHandle<Vec<Vec<u8>>>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let serve = move || {
            let mut seen = Vec::new();
            let mut request = [0; REQUEST_BYTES_MOST];
            while seen.len() < requests {
                let (length, from) = socket.recv_from(&mut request).unwrap();
                let head = &request[8..16];
                if head[3] == 0 {
                    socket.send_to(&[head, &7_u64.to_be_bytes()].concat(), from).unwrap();
                } else {
                    seen.push(request[..length].to_vec());
                    if !seen.len().is_multiple_of(3) {
                        socket.send_to(&[head, &[0; 12]].concat(), from).unwrap();
                    }
                }
            }
            seen
        };
        (address, thread::spawn(serve))
    }

    fn swarm() -> Arc<Swarm> {
        Arc::new(Swarm::new(&Torrents::Seeded(Seeded::new(1_000, 1)), 10))
    }

    #[test]
    fn a_caller_asks_again_where_there_is_no_answer() {
        let (address, served) = tracker(4);
        let mut caller = Caller::open(address, &swarm()).unwrap();
        let mut times = Vec::new();
        for member in 0..3 {
            let until = Instant::now() + Duration::from_secs(20);
            let retry = Duration::from_millis(100);
            let answer = caller.announce(member, AnnounceEvent::Completed, retry, until).unwrap();
            let Answered::Yes { times: sent } = answer else { panic!("{answer:?}") };
            times.push(sent);
        }
        assert_eq!(times, [1, 1, 2]);
        let seen = served.join().unwrap();
        assert!(seen.iter().all(|request| request.len() == 98 && request[..8] == 7_u64.to_be_bytes()));
        assert_eq!(seen[2], seen[3], "the same request again");
    }

    #[test]
    fn nobody_at_the_port_is_no_answer() {
        let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let opened = Line::open(gone).map(|_| ()).unwrap_err();
        assert!([io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut].contains(&opened.kind()), "{opened}");
    }

    #[test]
    fn a_stream_sends_on_whether_or_not_it_is_answered() {
        let (address, served) = tracker(9);
        let (mut requester, mut listener) = exchange(address, 2, &swarm()).unwrap();
        let mut operation = Operation { kind: Kind::Announce, ..Operation::default() };
        operation.torrents.push(Torrent::Known(5));
        for number in 0..9 {
            operation.kind = if number % 2 == 0 { Kind::Announce } else { Kind::Scrape };
            requester.send(number, &operation).unwrap();
        }
        assert_eq!(served.join().unwrap().len(), 9);
        let mut answered = Vec::new();
        let begun = Instant::now();
        while answered.len() < 6 && begun.elapsed() < Duration::from_secs(20) {
            let until = Instant::now() + Duration::from_millis(20);
            listener.receive(until, &mut |answer| answered.push((answer.number, answer.failure))).unwrap();
        }
        answered.sort_unstable_by_key(|(number, _)| *number);
        assert_eq!(answered.len(), 6);
        assert!(answered.iter().all(|(_, failure)| failure.is_none()));
    }
}
