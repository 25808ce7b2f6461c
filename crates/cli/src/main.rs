//! The `keepwell` program.

use std::process::ExitCode;

use keepwell_types::id::Protocol;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keepwell_cli::main(Protocol::NEWEST)
}
