//! `cargo xtask pilot`: the program in release, running the pilot.

use crate::process::{Call, Failure, target};

const HELP: &str = "\
Build Keepwell in release and start the pilot: four organisations on this machine.

Usage: cargo xtask pilot [ARGUMENTS OF `keepwell pilot`]

Examples:
  cargo xtask pilot                        patients from the generator, data in ./pilot
  cargo xtask pilot --bundles ./patients   patients from a folder of FHIR R4 JSON
  cargo xtask pilot --tour                 only the guided tour, then stop
  cargo xtask pilot -- --help              everything that `keepwell pilot` understands";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if matches!(arguments.first().map(String::as_str), Some("-h" | "--help")) {
        println!("{HELP}");
        return Ok(());
    }
    let passed_on = match arguments.split_first() {
        Some((first, rest)) if first == "--" => rest,
        Some(_) | None => arguments,
    };
    Call::cargo().args(["build", "--release", "--locked", "--package", "keepwell-cli"]).run()?;
    let program = target()?.join("release").join("keepwell");
    Err(Call::new(program).args(["pilot"]).args(passed_on).replace())
}
