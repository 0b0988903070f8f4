//! SHA-256 of a file, as `sha256sum` prints it, in one pass that may copy it as well.
//!
//! What was read is dropped from the page cache every 64 MiB: the file may be larger than memory, and pages of the live
//! database are worth more there.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    num::NonZeroU64,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes after which the page cache is told to forget what was read.
const DROP_BYTES: u64 = 64 << 20;

/// A SHA-256 sum; in JSON 64 hexadecimal characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256Sum([u8; 32]);

/// A file that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// How long it is.
    pub bytes: u64,
    /// Of all its bytes.
    pub sha256: Sha256Sum,
}

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Sha256Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("a SHA-256 sum is 64 hexadecimal characters");
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair[0] << 4 | pair[1]).map_err(D::Error::custom)?;
        }
        Ok(Self(sum))
    }
}

/// A source whose bytes are hashed as they are read.
struct Hashing<'a> {
    file: File,
    hasher: Sha256,
    done: u64,
    dropped: u64,
    interrupted: &'a AtomicBool,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupted.load(Ordering::Relaxed) {
            // Not "interrupted", after which readers try again.
            return Err(io::Error::other("stopped on request"));
        }
        let bytes = self.file.read(buffer)?;
        self.hasher.update(&buffer[..bytes]);
        self.done += bytes as u64;
        if self.done - self.dropped >= DROP_BYTES || bytes == 0 {
            if let Some(length) = NonZeroU64::new(self.done - self.dropped) {
                // A hint: what it changes is who has to read again.
                let _ = fadvise(&self.file, self.dropped, Some(length), Advice::DontNeed);
            }
            self.dropped = self.done;
        }
        (self.progress)(self.done);
        Ok(bytes)
    }
}

/// Reads a file to its end, and hands it through `unpack`, which may change it, to `to`. `progress` is told how many bytes of
/// the file were read.
///
/// # Errors
/// As the operating system says; where `interrupted` was set; where it cannot be unpacked.
pub fn hash_while_copying(
    from: &Path,
    to: &mut dyn Write,
    unpack: bool,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Hashed> {
    let file = File::open(from)?;
    // A hint, too.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let mut source = Hashing { file, hasher: Sha256::new(), done: 0, dropped: 0, interrupted, progress };
    let mut buffer = vec![0; BUFFER_BYTES];
    if unpack {
        let mut unpacked = zstd::stream::read::Decoder::new(&mut source)?;
        pass_on(&mut unpacked, to, &mut buffer)?;
    }
    // Of what is unpacked, whatever stands behind its end is hashed, too.
    let mut nowhere = io::sink();
    pass_on(&mut source, if unpack { &mut nowhere } else { to }, &mut buffer)?;
    Ok(Hashed { bytes: source.done, sha256: Sha256Sum(source.hasher.finalize().into()) })
}

fn pass_on(from: &mut dyn Read, to: &mut dyn Write, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => to.write_all(&buffer[..bytes])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_as_sha256sum_does_it_packed_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let mut out = Vec::new();
        let hash =
            |out: &mut Vec<u8>, unpack| hash_while_copying(&path, out, unpack, &AtomicBool::new(false), &mut |_| ());
        let hashed = hash(&mut out, false).unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hashed.bytes, hashed.sha256.to_string().as_str(), out.as_slice()), (3, sum, &b"abc"[..]));
        let json = serde_json::to_string(&hashed.sha256).unwrap();
        assert_eq!(serde_json::from_str::<Sha256Sum>(&json).unwrap(), hashed.sha256);
        assert!(serde_json::from_str::<Sha256Sum>("\"ab\"").is_err());

        let long = vec![7; 3 << 20];
        std::fs::write(&path, zstd::encode_all(long.as_slice(), 1).unwrap()).unwrap();
        out.clear();
        let packed = hash(&mut out, true).unwrap();
        assert!(out == long && packed.bytes < 10_000);
        assert_eq!(hash(&mut Vec::new(), false).unwrap(), packed);
        std::fs::write(&path, "no frame").unwrap();
        assert!(hash(&mut Vec::new(), true).is_err());
    }
}
