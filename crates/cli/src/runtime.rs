//! Runtimes: an ordinary one for clients, the engine's own for validators.

use std::{panic, path::Path, sync::Once};

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
    explain_panics(folder);
    let config = engine::Config::new()
        .with_worker_threads(threads)
        .with_catch_panics(false)
        .with_storage_directory(folder.to_path_buf());
    engine::Runner::new(config).start(work)
}

/// The engine and the stores below it end a validator over a disk that fails by panicking. Whoever runs it
/// is told what to do; where in the program it happened is for the log.
fn explain_panics(folder: &Path) {
    let (folder, told) = (folder.to_path_buf(), Once::new());
    panic::set_hook(Box::new(move |panicked| {
        tracing::debug!("{panicked}");
        told.call_once(|| {
            eprintln!(
                "keepwell: stopped over a fault: {}\nThe disk under {} is full or fails, or a file of the node is damaged: make room, or find the damage with `keepwell fsck` and restore the node from a backup or a peer. KEEPWELL_LOG=keepwell=debug shows where it happened.",
                panicked.payload_as_str().unwrap_or("of no known kind"),
                folder.display()
            );
        });
    }));
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
