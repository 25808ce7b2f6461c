//! What the steps call: found, installed where cargo can, or named with the way to get it.

use std::env;

use crate::process::{Call, Failure};

/// The series of cargo-deny whose configuration `deny.toml` is written in.
const DENY_VERSION: &str = "^0.20";

/// Checks the tools of every step and installs cargo-deny if it is missing.
pub(crate) fn run() -> Result<(), Failure> {
    compilers()?;
    if has_deny() {
        return Ok(());
    }
    println!(
        "  cargo-deny is missing; installing it beside cargo (about two minutes on two cores)"
    );
    let installed = install("cargo-deny", DENY_VERSION);
    match installed {
        Ok(()) => Ok(()),
        // A developer without a network can still run all the rest; CI has no such excuse.
        Err(_) if env::var_os("CI").is_none() => {
            println!("  cargo-deny could not be installed: the step `deny` will be skipped");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

fn compilers() -> Result<(), Failure> {
    let needed: [(&str, &[&str], &str); 4] = [
        ("cargo", &["--version"], "install Rust with rustup"),
        ("cargo", &["fmt", "--version"], "run `rustup component add rustfmt`"),
        ("cargo", &["clippy", "--version"], "run `rustup component add clippy`"),
        // aws-lc-sys, blst and zstd-sys build C; no other system package is needed.
        (
            "cc",
            &["--version"],
            "install a C compiler: `apt-get install gcc` on Debian and Ubuntu, `dnf install gcc` \
             on Fedora, `xcode-select --install` on macOS",
        ),
    ];
    for (program, arguments, remedy) in needed {
        let name = [&[program], arguments].concat().join(" ");
        let Some(version) = Call::new(program).args(arguments).output() else {
            return Err(Failure::new(format!("`{name}` does not work; {remedy}")));
        };
        println!("  {}", version.lines().next().unwrap_or(&name));
    }
    Ok(())
}

/// Whether cargo-deny is at hand.
pub(crate) fn has_deny() -> bool {
    Call::cargo().args(["deny", "--version"]).output().is_some()
}

/// Installs a program of crates.io beside cargo. Unoptimised: it is built for minutes less, and runs for seconds.
pub(crate) fn install(package: &str, version: &str) -> Result<(), Failure> {
    Call::cargo().args(["install", package, "--debug", "--locked", "--version", version]).run()
}
