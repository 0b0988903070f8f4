//! A connection that commits downloads, one after another.

use journalbench::{
    dataset::DOWNLOADS_TOTAL,
    torrents::Torrent,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};
use rusqlite::{Connection, params};

use super::DATASET;

const MIX: Mix = Mix { new_torrent_share: 0.0, ..Mix::of(WriteProfile::EveryAnnounce) };

/// A connection that commits downloads, one after another.
pub struct Committer {
    /// To a copy of the dataset.
    pub connection: Connection,
    torrents: Vec<(Torrent, String)>,
    commits: usize,
}

impl Committer {
    /// Of this connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection, torrents: popular_torrents(), commits: 0 }
    }

    /// Commits the next download, of a torrent that is told first.
    pub fn download(&mut self, tell: impl FnOnce(Torrent)) {
        let (torrent, info_hash) = &self.torrents[self.commits % self.torrents.len()];
        self.commits += 1;
        tell(*torrent);
        commit(&self.connection, info_hash).expect("nobody else is at the database");
    }
}

fn commit(connection: &Connection, info_hash: &str) -> rusqlite::Result<()> {
    let prepare = |sql| connection.prepare_cached(sql);
    prepare("BEGIN IMMEDIATE")?.execute([])?;
    prepare(
        "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
        ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1",
    )?
    .execute(params![info_hash])?;
    prepare("UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = ?1")?
        .execute(params![DOWNLOADS_TOTAL])?;
    prepare("COMMIT")?.execute([])?;
    Ok(())
}

/// The torrents of the first operations of the workload.
fn popular_torrents() -> Vec<(Torrent, String)> {
    let workload = Workload::new(MIX, DATASET.torrents(), 310);
    let mut operation = Operation::default();
    let torrent = |index| {
        workload.operation(Kind::Announce, index, &mut operation);
        let torrent = *operation.torrents.first().unwrap_or(&Torrent::Known(1));
        (torrent, DATASET.torrents().info_hash(torrent).to_string())
    };
    (0..1 << 16).map(torrent).collect()
}
