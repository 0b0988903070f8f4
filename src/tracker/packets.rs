//! The packets of the UDP tracker protocol (BEP 15), to bytes and back. All numbers are big-endian.
//!
//! No socket, no clock: what is sent when is decided in [`super::client`].

/// What the first request of a client begins with, in place of a connection id.
const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// The codes of actions, in requests and in replies alike.
mod action {
    pub const CONNECT: u32 = 0;
    pub const ANNOUNCE: u32 = 1;
    pub const SCRAPE: u32 = 2;
    pub const ERROR: u32 = 3;
}

/// Info-hashes in a scrape at the most.
pub const SCRAPE_HASHES_MOST: usize = 74;

/// Bytes of the longest request: a scrape of so many.
pub const REQUEST_BYTES_MOST: usize = 16 + SCRAPE_HASHES_MOST * 20;

/// Bytes of a reply that are read at the most: an announce may list peers, which nobody here looks at.
pub const REPLY_BYTES_MOST: usize = 2_048;

/// The name of a client in a swarm.
pub type PeerId = [u8; 20];

/// What a client says in an announce, as BEP 15 numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// Nothing new.
    None = 0,
    /// It has the whole of it.
    Completed = 1,
}

/// An announce of a client that has the whole torrent.
#[derive(Debug, Clone, Copy)]
pub struct Announce<'a> {
    /// The torrent.
    pub info_hash: &'a [u8; 20],
    /// The client.
    pub peer_id: &'a PeerId,
    /// What it says.
    pub event: AnnounceEvent,
    /// The port that it is said to listen on.
    pub port: u16,
}

/// Writes a request for a connection id.
pub fn write_connect(bytes: &mut Vec<u8>, transaction: u32) {
    bytes.clear();
    bytes.extend(PROTOCOL_ID.to_be_bytes());
    bytes.extend(action::CONNECT.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
}

/// Writes an announce: nothing downloaded or uploaded, nothing left, no address but that of the packet, no peers wanted.
pub fn write_announce(bytes: &mut Vec<u8>, connection: u64, transaction: u32, announce: Announce<'_>) {
    const UNSAID: [u8; 8] = [0; 8];
    let Announce { info_hash, peer_id, event, port } = announce;
    bytes.clear();
    bytes.extend(connection.to_be_bytes());
    bytes.extend(action::ANNOUNCE.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    bytes.extend(info_hash);
    bytes.extend(peer_id);
    // Downloaded, left, uploaded.
    bytes.extend([UNSAID; 3].as_flattened());
    bytes.extend((event as u32).to_be_bytes());
    // Address and key.
    bytes.extend(UNSAID);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(port.to_be_bytes());
}

/// Writes a scrape of these torrents.
pub fn write_scrape(
    bytes: &mut Vec<u8>,
    connection: u64,
    transaction: u32,
    info_hashes: impl IntoIterator<Item = [u8; 20]>,
) {
    bytes.clear();
    bytes.extend(connection.to_be_bytes());
    bytes.extend(action::SCRAPE.to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    info_hashes.into_iter().take(SCRAPE_HASHES_MOST).for_each(|hash| bytes.extend(hash));
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The number that the request had.
    pub transaction: u32,
    /// What it says.
    pub body: Body<'a>,
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// The connection id to use.
    Connected(u64),
    /// An announce was taken: clients that have the whole torrent, and those that have not.
    Announced {
        /// With all of it.
        seeders: u32,
        /// With a part of it.
        leechers: u32,
    },
    /// Counts of so many torrents.
    Scraped(usize),
    /// Why nothing was done, as the tracker words it.
    Error(&'a [u8]),
}

/// Reads a reply; `None` where it is none.
#[must_use]
pub fn read_reply(bytes: &[u8]) -> Option<Reply<'_>> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [action, transaction] = [number(head, 0)?, number(head, 4)?];
    let body = match action {
        action::CONNECT => Body::Connected(u64::from_be_bytes(*rest.first_chunk()?)),
        // Before the counts, the interval.
        action::ANNOUNCE => Body::Announced { leechers: number(rest, 4)?, seeders: number(rest, 8)? },
        action::SCRAPE => Body::Scraped(rest.len() / 12),
        action::ERROR => Body::Error(rest),
        _ => return None,
    };
    Some(Reply { transaction, body })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = b"what was there before".to_vec();
        write(&mut bytes);
        bytes
    }

    #[test]
    fn requests_are_laid_out_as_the_protocol_says() {
        let connect = written(|bytes| write_connect(bytes, 0x0102_0304));
        assert_eq!(connect, [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4]);

        let (info_hash, peer_id) = ([0xaa; 20], [0xbb; 20]);
        let announce =
            Announce { info_hash: &info_hash, peer_id: &peer_id, event: AnnounceEvent::Completed, port: 0x1a2b };
        let announce = written(|bytes| write_announce(bytes, 0x1122_3344_5566_7788, 9, announce));
        assert_eq!(announce.len(), 98);
        assert_eq!(announce[..16], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!((&announce[16..36], &announce[36..56]), (&info_hash[..], &peer_id[..]));
        assert_eq!(announce[56..80], [0; 24], "downloaded, left, uploaded");
        assert_eq!(announce[80..84], [0, 0, 0, 1], "event");
        assert_eq!(announce[84..96], [0; 12], "address, key, peers wanted");
        assert_eq!(announce[96..], [0x1a, 0x2b], "port");

        let scrape = written(|bytes| write_scrape(bytes, 1, 2, [[3; 20], [4; 20]]));
        assert_eq!(scrape[..16], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]);
        assert_eq!(scrape[16..], [[3; 20], [4; 20]].concat());
        let longest = written(|bytes| write_scrape(bytes, 1, 2, vec![[3; 20]; 100]));
        assert_eq!(longest.len(), REQUEST_BYTES_MOST);
    }

    #[test]
    fn replies_are_read_and_what_is_none_is_none() {
        let of = |action: u8, rest: &[u8]| [&[0, 0, 0, action, 0, 0, 0, 7], rest].concat();
        for (bytes, expected) in [
            (of(0, &[0, 0, 0, 0, 0, 0, 1, 2]), Some(Body::Connected(0x0102))),
            (of(0, &[0, 0, 0, 0, 0, 0, 1]), None),
            (
                of(1, &[0, 0, 0, 120, 0, 0, 0, 5, 0, 0, 0, 6, 127, 0, 0, 1, 26, 225]),
                Some(Body::Announced { seeders: 6, leechers: 5 }),
            ),
            (of(1, &[0, 0, 0, 120, 0, 0, 0, 5]), None),
            (of(2, &[0; 36]), Some(Body::Scraped(3))),
            (of(3, b"no such torrent"), Some(Body::Error(b"no such torrent"))),
            (of(9, &[0; 36]), None),
        ] {
            let read = read_reply(&bytes);
            assert_eq!(read, expected.map(|body| Reply { transaction: 7, body }), "{bytes:?}");
        }
        assert_eq!(read_reply(&[0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(read_reply(&[]), None);
    }
}
