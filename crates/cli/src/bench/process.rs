//! One child process, and what the kernel counts about it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Serialize;
use tokio::time::sleep;

use super::BenchError;

/// Ticks of the kernel's CPU accounting per second: the same on every Linux that Rust runs on.
const TICKS_PER_S: f64 = 100.0;
const KIB: u64 = 1_024;
/// How often a process that ends by itself is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Runs `keepwell ARGUMENTS` until it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts this very program again, its output going to `log`.
    pub(super) fn start(arguments: &[&str], log: &Path) -> Result<Self, BenchError> {
        let program = std::env::current_exe()?;
        let output = File::create(log)?;
        let errors = output.try_clone()?;
        let spawn = |command: &mut Command| {
            command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(errors).spawn()
        };
        // The kernel ends the child with us even if we are killed. `setpriv` becomes the child, so that
        // its process is the one we measure.
        let setpriv = Path::new("/usr/bin/setpriv");
        let child = if setpriv.exists() {
            spawn(Command::new(setpriv).args(["--pdeathsig", "KILL", "--"]).arg(program))?
        } else {
            spawn(&mut Command::new(program))?
        };
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(BenchError::Ended {
                status: status.to_string(),
                last_words: last_lines(&self.log),
            }),
        }
    }

    /// Waits until it has done what it was started for; an error if that failed.
    pub(super) async fn end(mut self) -> Result<(), BenchError> {
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                _ => self.check()?,
            }
            sleep(POLL).await;
        }
    }

    /// What it has used so far.
    pub(super) fn usage(&self) -> Result<Usage, BenchError> {
        Usage::of_process(self.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; there is nothing left to do about it then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Usage {
    /// Seconds of CPU, of all its threads.
    pub cpu_s: f64,
    /// Memory that is resident now.
    pub rss_bytes: u64,
    /// The most that ever was.
    pub rss_peak_bytes: u64,
    /// Bytes that it caused to be written to storage.
    pub written_bytes: u64,
}

impl Usage {
    /// Of this process.
    pub(super) fn of_self() -> Result<Self, BenchError> {
        Self::of("self")
    }

    /// Of the process with this number.
    pub(super) fn of_process(pid: u32) -> Result<Self, BenchError> {
        Self::of(&pid.to_string())
    }

    fn of(process: &str) -> Result<Self, BenchError> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}"));
        let status = read("status")?;
        Ok(Self {
            cpu_s: cpu_seconds(&read("stat")?).ok_or(BenchError::Kernel("stat"))?,
            rss_bytes: KIB * field(&status, "VmRSS:").ok_or(BenchError::Kernel("status"))?,
            rss_peak_bytes: KIB * field(&status, "VmHWM:").ok_or(BenchError::Kernel("status"))?,
            written_bytes: field(&read("io")?, "write_bytes:").ok_or(BenchError::Kernel("io"))?,
        })
    }

    /// What was used since `earlier`; memory is what it is now.
    #[must_use]
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s - earlier.cpu_s,
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            ..*self
        }
    }
}

/// User and system time: the 14th and 15th field. The second is the program's name in brackets, which
/// may have spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some((f64::from(ticks(11)?) + f64::from(ticks(12)?)) / TICKS_PER_S)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words() {
        let stat = "4242 (keep (well) x) S 1 1 1 0 -1 4194560 10 0 0 0 250 50 0 0 20 0 9 0 100";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(field("VmHWM:\t  20 kB\nVmRSS:\t    12 kB\n", "VmRSS:"), Some(12));
        assert!(Usage::of_self().unwrap().rss_bytes > 0);
    }
}
