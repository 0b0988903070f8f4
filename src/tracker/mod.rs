//! A real tracker, driven over UDP: the program, its clients, and what becomes of the writes that they ask for.
//!
//! Facts about the program, with where each was seen: `docs/tracker.md`. Nothing of it is linked or copied; it is a program that is
//! started.
//!
//! ```text
//! writer     completed downloads, one at a time     swarm      the clients and torrents that it knows
//! client     sockets and connection ids             packets    BEP 15 to bytes and back
//! program    started, ready, ended, its log         drops      what the system dropped
//! checkpoints  when it makes them, seen from outside
//! ```

#[cfg(test)]
mod calibration;
pub mod checkpoints;
pub mod client;
pub mod drops;
pub mod packets;
pub mod program;
pub mod swarm;
pub mod writer;
