//! Licences, bans, sources and advisories of what we depend on; the rules are in `deny.toml`.

use std::time::Duration;

use crate::{
    process::{Call, Failure},
    steps::Done,
    tools,
};

/// How long the advisory database may take to arrive before it counts as out of reach.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Runs every check that needs no network, then advisories if their database can be had.
pub(crate) fn run() -> Result<Done, Failure> {
    if !tools::has_deny() {
        return Ok(Done::Skipped(
            "cargo-deny is not installed: `cargo install cargo-deny --locked`",
        ));
    }
    let offline = "deny --locked check --hide-inclusion-graph licenses bans sources";
    Call::cargo().args(offline.split(' ')).run()?;
    if !Call::cargo().args(["deny", "fetch", "db"]).succeeds_within(FETCH_LIMIT) {
        println!("  checked: licences, bans, sources");
        println!("  not checked: advisories, because their database is out of reach from here");
        return Ok(Done::Passed);
    }
    Call::cargo().args(["deny", "--locked", "check", "advisories"]).run()?;
    println!("  checked: licences, bans, sources, advisories");
    Ok(Done::Passed)
}
