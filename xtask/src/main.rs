//! `cargo xtask pilot`, `cargo xtask test`, and what else a developer repeats.
//!
//! Everything here calls the same tools that a person would call by hand, and prints each call
//! before it is made. CI has no steps of its own: `.ci/run` is `cargo xtask test`.
//!
//! # Invariants
//!
//! * Standard library only: the tool that checks the dependencies has none.
//! * Nothing outside the repository is changed without being announced in one line.
//!
//! Not here: any test. Tests live in the crates; this program says which of them run, and in what
//! order.

mod arguments;
mod deny;
mod fuzz;
mod pilot;
mod process;
mod programs;
mod purity;
mod results;
mod sbom;
mod soak;
mod source;
mod steps;
mod tools;
mod tour;

use std::process::ExitCode;

use crate::process::Failure;

const HELP: &str = "\
What a developer of Keepwell repeats.

Usage: cargo xtask <COMMAND> [ARGUMENTS]

Commands:
  pilot   build in release and start a consortium of four organisations on this machine
  test    run every check that CI runs, in the same order
  purity  prove that the pure crates touch no clock, disk, network or randomness
  fuzz    run every decoder's fuzz target for a while
  sbom    write what is in the program: a software bill of materials
  soak    run the simulator's scenarios from thousands of seeds, and go on where the last run stopped

`cargo xtask <COMMAND> --help` says more.

Example:
  cargo xtask pilot --dir ./pilot";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_deref() {
        Some("pilot") => pilot::run(&rest),
        Some("test") => steps::run(&rest),
        Some("purity") => purity::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("sbom") => sbom::run(&rest),
        Some("soak") => soak::run(&rest),
        Some("help" | "-h" | "--help") | None => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => Err(Failure::new(format!(
            "there is no command `{other}`; `cargo xtask --help` lists those there are"
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}
