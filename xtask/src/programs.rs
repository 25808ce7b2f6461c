//! The workspace's test programs, several at once where that is asked for: most of them wait for nodes and disks longer
//! than they compute, but what waits for a time may wait in vain where there are few processors.
//!
//! # Invariants
//!
//! * All are run, also after one has failed: a failure hides no other.
//! * What a program prints is printed whole, when it has ended.
//! * A program runs where `cargo test` would run it: in the folder of its crate.
//!
//! Not here: the examples in the documentation, which cargo alone can run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::Instant,
};

use crate::process::{Call, Failure};

/// A test program.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Program {
    path: PathBuf,
    folder: PathBuf,
}

/// How many programs run at once, if not one.
const AT_ONCE: &str = "KEEPWELL_TESTS_AT_ONCE";

/// Builds all test programs and runs them.
pub(crate) fn run() -> Result<(), Failure> {
    let build = "test --locked --workspace --no-run --message-format=json-render-diagnostics";
    let built = Call::cargo().args(build.split(' ')).read()?;
    let mut waiting: Vec<_> = built.lines().filter_map(Program::parse).collect();
    if waiting.is_empty() {
        return Err(Failure::new(
            "cargo named no test program; does its output read otherwise now?",
        ));
    }
    let count = waiting.len();
    let at_once = env::var(AT_ONCE).ok().and_then(|it| it.parse().ok()).unwrap_or(1_usize).max(1);
    println!("  {count} test programs, {at_once} at once ({AT_ONCE})");
    let waiting = Mutex::new(&mut waiting);
    let failed = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.pop();
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(program) = next() {
                    if !program.passes() {
                        let mut failed = failed.lock().expect("no thread panics with it");
                        failed.push(program.name());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics with it");
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} of {count} programs: {}", failed.len(), failed.join(", "))))
}

impl Program {
    /// The program that a line of cargo's messages names, if it is one of tests.
    fn parse(line: &str) -> Option<Self> {
        let profile = line.split_once(r#""profile":{"#)?.1.split_once('}')?.0;
        let text = |field: &str| {
            let value = line.split_once(&format!(r#""{field}":""#))?.1.split_once('"')?.0;
            // A path with an escape in it would have to be read by a parser.
            (!value.contains('\\')).then(|| PathBuf::from(value))
        };
        let is_test = profile.contains(r#""test":true"#);
        let folder = text("manifest_path")?.parent().map(Path::to_path_buf)?;
        is_test.then_some(Self { path: text("executable")?, folder })
    }

    /// Its name, without the digest that cargo puts after it.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let plain = name.rsplit_once('-').map_or(&*name, |(plain, _)| plain);
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy();
        format!("{folder}/{plain}")
    }

    /// Runs it, and prints what it printed.
    fn passes(&self) -> bool {
        let started = Instant::now();
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        let (passed, status, printed) = match command.stdin(Stdio::null()).output() {
            Ok(it) => (it.status.success(), it.status.to_string(), [it.stdout, it.stderr].concat()),
            Err(error) => (false, error.to_string(), Vec::new()),
        };
        let (seconds, printed) = (started.elapsed().as_secs(), String::from_utf8_lossy(&printed));
        println!("  $ {} ({status}, {seconds} s)\n{printed}", self.name());
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"reason":"compiler-artifact","manifest_path":"/k/crates/node/Cargo.toml","target":{"kind":["test"],"test":true},"profile":{"opt_level":"0","test":true},"executable":"/k/target/debug/deps/consortium-0a1b","fresh":true}"#;

    #[test]
    fn cargo_names_the_test_programs() {
        let program = Program::parse(LINE).unwrap();
        assert_eq!(program.path, Path::new("/k/target/debug/deps/consortium-0a1b"));
        assert_eq!(program.folder, Path::new("/k/crates/node"));
        assert_eq!(program.name(), "node/consortium");
        // A library, and a program that is no test, are named as well.
        let library = LINE.replace(r#""/k/target/debug/deps/consortium-0a1b""#, "null");
        assert_eq!(Program::parse(&library), None);
        let binary = LINE.replace(r#"0","test":true"#, r#"0","test":false"#);
        assert_eq!(Program::parse(&binary), None);
        assert_eq!(Program::parse(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn a_program_that_fails_or_is_not_there_has_not_passed() {
        let program = |path: &str| Program { path: path.into(), folder: "/".into() };
        assert!(program("/bin/true").passes());
        assert!(!program("/bin/false").passes());
        assert!(!program("/nowhere/at-all").passes());
    }
}
