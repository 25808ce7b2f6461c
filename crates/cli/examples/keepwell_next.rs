//! `keepwell` as a later release is: its nodes know one version of the protocol more. Tests upgrade to it.
//!
//! The rules of that version are those of the newest one that there is; what differs is that they hold.

use std::process::ExitCode;

use keepwell_types::id::Protocol;

fn main() -> ExitCode {
    keepwell_cli::main(Protocol::NEWEST.next())
}
