//! Calling other programs: each call is printed, and a failure names the call that failed.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What went wrong, as the person who ran the command should read it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One call of a program, in the root of the repository.
pub(crate) struct Call {
    command: Command,
    line: String,
}

impl Call {
    pub(crate) fn new(program: impl AsRef<Path>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(root());
        Self { command, line: quoted(&program.to_string_lossy()) }
    }

    /// The cargo that runs us.
    pub(crate) fn cargo() -> Self {
        Self::new("cargo")
    }

    pub(crate) fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.line += " ";
            self.line += &quoted(arg.as_ref());
            self.command.arg(arg.as_ref());
        }
        self
    }

    /// Adds a variable to the program's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.line = format!("{name}={} {}", quoted(value), self.line);
        self.command.env(name, value);
        self
    }

    /// Prints the call, makes it, and fails if it does.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        println!("  $ {}", self.line);
        let status = self
            .command
            .status()
            .map_err(|error| Failure::new(format!("`{}` could not start: {error}", self.line)))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("`{}` failed ({status})", self.line)))
    }

    /// Prints the call, makes it, and returns what it printed on its standard output; fails if it does.
    pub(crate) fn read(mut self) -> Result<String, Failure> {
        println!("  $ {}", self.line);
        let output =
            self.command.stderr(Stdio::inherit()).output().map_err(|error| {
                Failure::new(format!("`{}` could not start: {error}", self.line))
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure::new(format!("`{}` failed ({})", self.line, output.status)))
    }

    /// Makes the call and returns what it printed, or nothing if it failed.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.command.stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints the call and makes it; false if it fails or has not ended when `limit` has passed.
    pub(crate) fn succeeds_within(mut self, limit: Duration) -> bool {
        println!("  $ {}", self.line);
        let Ok(mut child) = self.command.stdin(Stdio::null()).spawn() else { return false };
        let started = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if started.elapsed() < limit => thread::sleep(Duration::from_millis(50)),
                Ok(None) | Err(_) => {
                    // The child is ours alone; if it cannot be ended it ends with us.
                    let _ = child.kill();
                    let _ = child.wait();
                    return false;
                }
            }
        }
    }

    /// Prints the call and becomes the program, so that Ctrl-C reaches it and nobody else.
    pub(crate) fn replace(mut self) -> Failure {
        use std::os::unix::process::CommandExt as _;

        println!("  $ {}", self.line);
        let error = self.command.exec();
        Failure::new(format!("`{}` could not start: {error}", self.line))
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    match Path::new(env!("CARGO_MANIFEST_DIR")).parent() {
        Some(root) => root.to_path_buf(),
        None => unreachable!("xtask is a folder of the repository"),
    }
}

/// Where cargo puts what it builds: this program lies in `<target>/<profile>/`.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .ok()
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::parent)
        .map(Path::to_path_buf)
        .ok_or_else(|| Failure::new("the target folder was not found; run this as `cargo xtask`"))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        String::from(word)
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_call_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("--workspace"), "--workspace");
        assert_eq!(quoted("a folder/ä"), "'a folder/ä'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_failing_program_is_named() {
        let failure = Call::new("false").run().unwrap_err();
        assert!(failure.to_string().starts_with("`false` failed"), "{failure}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let started = Instant::now();
        assert!(!Call::new("sleep").args(["30"]).succeeds_within(Duration::from_millis(100)));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
