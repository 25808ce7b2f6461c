//! What the steps call: found, installed where cargo can, or named with the way to get it.

use std::{env, fs, path::Path};

use crate::process::{Call, Failure};

/// The series of cargo-deny whose configuration `deny.toml` is written in.
const DENY_VERSION: &str = "^0.20";
/// Where Debian's package `postgresql` has its programs, with which the gateway's index is tested.
const POSTGRESQL: &str = "/usr/lib/postgresql";
/// The PKCS#11 module and the tool of Debian's package `softhsm2`, with which keys in tokens are tested.
const SOFTHSM: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/bin/softhsm2-util"];

/// Debian's browser, in which an app is tried, and what runs the clients of others.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("chromium", "chromium", "no app is tried in a browser"),
    ("node", "nodejs", "clients written in JavaScript will be skipped"),
    ("npm", "npm", "clients written in JavaScript will be skipped"),
];

/// Checks the tools of every step, and installs cargo-deny, SoftHSM, PostgreSQL, Chromium and Node if they are missing.
pub(crate) fn run() -> Result<(), Failure> {
    compilers()?;
    if !has_deny() {
        println!(
            "  cargo-deny is missing; installing it beside cargo (about two minutes on two cores)"
        );
        excused(install("cargo-deny", DENY_VERSION), "the step `deny` will be skipped")?;
    }
    if SOFTHSM.iter().any(|it| !Path::new(it).exists()) {
        println!("  SoftHSM is missing; installing Debian's package softhsm2");
        excused(install_package("softhsm2"), "tests of keys in tokens will be skipped")?;
    }
    if !has_postgresql() {
        println!("  PostgreSQL is missing; installing Debian's package postgresql");
        excused(install_postgresql(), "tests of the index on PostgreSQL will be skipped")?;
    }
    for (program, package, then) in PROGRAMS {
        if Call::new(program).args(["--version"]).output().is_none() {
            println!("  {program} is missing; installing Debian's package {package}");
            excused(install_package(package), then)?;
        }
    }
    Ok(())
}

/// A developer without a network, or who may install nothing, can still run all the rest; CI has no such excuse.
fn excused(installed: Result<(), Failure>, then: &str) -> Result<(), Failure> {
    match installed {
        Err(failure) if env::var_os("CI").is_none() => {
            println!("  {failure}: {then}");
            Ok(())
        }
        Ok(()) | Err(_) => installed,
    }
}

/// Whether its server is there: the package of its clients has a folder in the same place.
fn has_postgresql() -> bool {
    let versions = fs::read_dir(POSTGRESQL).into_iter().flatten();
    versions.filter_map(Result::ok).any(|it| it.path().join("bin/initdb").exists())
}

/// Without the cluster that the package would make and run: tests make their own.
fn install_postgresql() -> Result<(), Failure> {
    let folder = Path::new("/etc/postgresql-common");
    let settings = folder.join("createcluster.conf");
    if !settings.exists() {
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&settings, "create_main_cluster = false\n"))
            .map_err(|error| Failure::new(format!("{}: {error}", settings.display())))?;
    }
    install_package("postgresql")
}

fn install_package(name: &str) -> Result<(), Failure> {
    Call::new("apt-get").args(["update", "-q"]).run()?;
    let words = ["install", "-q", "-y", "--no-install-recommends", name];
    Call::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive").run()
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
