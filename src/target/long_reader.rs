//! The long reader: a connection that holds a read transaction for long, again and again, as a report or a forgotten cursor does. In WAL
//! it keeps the log from being restarted, in a rollback mode it keeps everybody from committing.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    io,
    measure::IoRole,
    sqlite,
    target::{Background, LoadContext},
};

/// Takes a lock for reading, keeps it for `hold`, and begins again at once.
pub fn long_reader(connection: Connection, hold: Duration) -> Background {
    Box::new(move |context: &dyn LoadContext| {
        io::count_here();
        while !context.is_stopped() {
            match read(&connection, hold, context) {
                Ok(()) => {}
                // Others had the database for longer than the busy timeout.
                Err(error) if sqlite::is_busy(&error) => {}
                Err(error) => return context.fail(format!("the long reader cannot read: {error}")),
            }
            context.report(Instant::now(), &mut |slice| {
                slice.io_role = IoRole::LongReader;
                io::take(&mut slice.io);
            });
        }
    })
}

/// One transaction, which ends when it is dropped, whatever happens.
fn read(connection: &Connection, hold: Duration, context: &dyn LoadContext) -> rusqlite::Result<()> {
    const LONGEST: Duration = Duration::from_millis(50);
    let transaction = connection.unchecked_transaction()?;
    // Nothing is locked before something is read.
    transaction.query_row("SELECT count(*) FROM (SELECT 1 FROM torrents LIMIT 1)", [], |_| Ok(()))?;
    let end = Instant::now() + hold;
    while !context.is_stopped() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(LONGEST));
    }
    transaction.commit()
}
