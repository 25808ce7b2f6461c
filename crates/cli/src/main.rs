//! The `keepwell` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    keepwell_cli::main()
}
