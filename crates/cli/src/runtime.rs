//! Runtimes: an ordinary one for clients, the engine's own for validators.

use std::path::Path;

use commonware_runtime::{Runner as _, tokio as engine};

use crate::failure::Failure;

/// Runs a client's work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::at("the system's threads"))?
        .block_on(work)
}

/// Runs validators whose engines store in `folder`, until `work` ends.
pub(crate) fn run_engine<W, F, T>(folder: &Path, threads: usize, work: W) -> T
where
    W: FnOnce(engine::Context) -> F,
    F: Future<Output = T>,
{
    let config = engine::Config::new()
        .with_worker_threads(threads)
        .with_catch_panics(false)
        .with_storage_directory(folder.to_path_buf());
    engine::Runner::new(config).start(work)
}

/// Resolves when the person or the system asks the program to end.
pub(crate) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
