//! Work that blocks, away from the async threads.

use crate::error::StoreError;

/// Runs a closure on tokio's blocking pool and waits for it.
///
/// Dropping the future does not stop the closure: what it began it ends, so a transaction is
/// committed or rolled back as a whole.
///
/// # Errors
/// What the closure gives, or [`StoreError::Stopped`] when it panicked or the runtime is stopping.
pub async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "blocking work ended without an answer");
            Err(StoreError::Stopped.into())
        }
    }
}
