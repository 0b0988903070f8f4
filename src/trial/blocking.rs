//! Work that blocks, away from the task that conducts a trial.

use std::thread;

use anyhow::{Result, anyhow};
use tokio::sync::oneshot;

/// Does `work` on a thread of its own and waits for it. Not a task of the runtime: where the wait is given up, nobody waits
/// for the thread either.
///
/// # Errors
/// What `work` returned, or that it panicked.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (send, receive) = oneshot::channel();
    thread::spawn(move || {
        // Nobody listens after an interrupt.
        let _ = send.send(work());
    });
    receive.await.unwrap_or_else(|_| Err(anyhow!("the thread that did it panicked")))
}
