//! A pilot and its nodes as processes of their own, and the program run by hand beside them.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod desk;
pub mod founders;
pub mod installed;
pub mod nodes;
pub mod receiver;
pub mod writer;

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The program that is tested.
pub const KEEPWELL: &str = env!("CARGO_BIN_EXE_keepwell");
/// What the pilot says last when it is up.
const UP: &str = "Ctrl-C stops it; nothing is lost.";
/// Longest wait for a pilot to be founded, or for anything that takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// What a folder in memory must have left: custodians keep 2 GiB free.
const SCRATCH_KIB: u64 = 4 * 1024 * 1024;
pub const POLL: Duration = Duration::from_millis(20);

/// Runs the program to its end.
pub fn keepwell<S: AsRef<OsStr>>(arguments: &[S]) -> Done {
    Done::of(&mut Command::new(KEEPWELL), arguments)
}

/// As a later release is: its nodes know one version of the protocol more.
pub fn keepwell_next() -> String {
    let program = Path::new(KEEPWELL).with_file_name("examples").join("keepwell_next");
    assert!(
        program.exists(),
        "no {}: run `cargo build -p keepwell-cli --example keepwell_next`",
        program.display()
    );
    program.to_str().unwrap().to_owned()
}

/// A program, and before it what puts it into a network. `nsenter` becomes the program, as `setpriv` does.
fn words_before((namespace, program): (Option<&str>, &str)) -> Vec<String> {
    let enter = namespace.map(|name| {
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{name}"), "--".to_owned()]
    });
    let mut words = enter.unwrap_or_default();
    words.push(program.to_owned());
    words
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Done {
    pub line: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Runs a program to its end in a network of its own, if one is named.
    pub fn in_namespace<S: AsRef<OsStr>>(program: (Option<&str>, &str), arguments: &[S]) -> Self {
        let mut before = words_before(program).into_iter();
        let mut command = Command::new(before.next().unwrap());
        Self::of(command.args(before), arguments)
    }

    pub fn of<S: AsRef<OsStr>>(command: &mut Command, arguments: &[S]) -> Self {
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<_> = arguments.iter().map(|it| it.as_ref().to_string_lossy()).collect();
        Self {
            line: words.join(" "),
            status: output.status,
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Panics unless it did what it was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }

    /// Panics unless it failed as a program should, and said all of `words`: whose fault it is, and what
    /// to do.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self:#?}");
        for crash in ["panicked at", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(crash), "{self:#?}");
        }
        for word in words {
            assert!(self.stderr.contains(word), "nothing of {word:?}: {self:#?}");
        }
        self
    }

    /// Panics unless it failed as a program should that prints JSON.
    #[track_caller]
    pub fn refused_in_json(&self) {
        assert!(self.status.code().is_some_and(|code| code != 0), "{self:#?}");
        assert!(self.json()["error"].is_string(), "{self:#?}");
    }

    /// What stands after `words` in the text; the last word of all where there are none.
    #[track_caller]
    pub fn word_after(&self, words: &str) -> String {
        let rest = match words {
            "" => self.stdout.split_whitespace().next_back(),
            words => {
                self.stdout.split_once(words).and_then(|(_, rest)| rest.split_whitespace().next())
            }
        };
        let word = rest.unwrap_or_else(|| panic!("nothing after {words:?}: {self:#?}"));
        word.trim_end_matches([',', '.', ';', ':']).to_owned()
    }

    /// The one JSON value that it printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A process that ends with this value, and with the thread that started it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub log: PathBuf,
}

impl Process {
    /// Starts the program, its output going to `log`.
    pub fn start<S: AsRef<OsStr>>(arguments: &[S], log: &Path) -> Self {
        Self::start_in((None, KEEPWELL), arguments, log)
    }

    /// Starts a program in a network of its own, if one is named.
    pub fn start_in<S: AsRef<OsStr>>(
        program: (Option<&str>, &str),
        arguments: &[S],
        log: &Path,
    ) -> Self {
        let output = File::create(log).unwrap();
        let errors = output.try_clone().unwrap();
        // `setpriv` becomes the program, so its number is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(words_before(program)).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
        Self { child, log: log.to_path_buf() }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said `words`; panics if it ends before.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) {
        let start = Instant::now();
        loop {
            let ended = self.has_ended();
            let said = self.said();
            if said.contains(words) {
                return;
            }
            assert!(ended.is_none(), "it ended: {said}");
            assert!(start.elapsed() < PATIENCE, "it never said {words:?}: {said}");
            thread::sleep(POLL);
        }
    }

    /// The most memory that it ever had, in KiB; nothing once it has ended.
    pub fn memory_peak_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        wait_until(|| self.has_ended().is_some());
        self.child.wait().unwrap()
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.end()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running pilot.
#[derive(Debug)]
pub struct Pilot {
    pub dir: PathBuf,
    pub process: Process,
}

impl Pilot {
    /// Starts a pilot with free ports and few patients, and waits until it is up.
    #[track_caller]
    pub fn start(dir: &Path) -> Self {
        Self::begin(dir).until_up()
    }

    /// Waits until it is up.
    #[track_caller]
    pub fn until_up(mut self) -> Self {
        self.process.wait_for(UP);
        self
    }

    /// Starts a pilot and does not wait.
    pub fn begin(dir: &Path) -> Self {
        Self::begin_with(dir, &["--patients", "2"])
    }

    /// Starts a pilot with free ports and these arguments, and does not wait.
    pub fn begin_with(dir: &Path, arguments: &[&str]) -> Self {
        let log = dir.with_extension("log");
        let arguments = [&["pilot", "--port", "0"], arguments, &["--dir"]].concat();
        let mut arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        arguments.push(dir.as_os_str());
        Self { dir: dir.to_path_buf(), process: Process::start(&arguments, &log) }
    }

    pub fn place(&self) -> Place<'_> {
        Place { dir: &self.dir }
    }
}

/// Where things are in the folder of a pilot.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub dir: &'a Path,
}

impl Place<'_> {
    pub fn path(&self, below: &str) -> String {
        self.dir.join(below).to_str().unwrap().to_owned()
    }

    pub fn genesis(&self) -> String {
        self.path("genesis.cbor")
    }

    pub fn person(&self, name: &str) -> String {
        self.path(&format!("people/{name}"))
    }

    pub fn node_config(&self, slug: &str) -> String {
        self.path(&format!("organisations/{slug}/node.toml"))
    }

    /// The chart that the tour claimed, and the profile of its patient's wallet.
    pub fn claimed(&self) -> (String, String) {
        let patients = self.toml("pilot.toml");
        let patients = patients["patients"].as_array().unwrap();
        let claimed = patients.iter().find(|it| it.get("letter").is_none()).unwrap();
        let chart = claimed["chart"].as_str().unwrap().to_owned();
        let wallet = self.person(&format!("patient-{}", &chart[..8]));
        (chart, wallet)
    }

    /// The id of an organisation.
    pub fn organisation(&self, slug: &str) -> String {
        self.toml("organisations.toml")[slug].as_str().unwrap().to_owned()
    }

    pub fn toml(&self, below: &str) -> toml::Table {
        fs::read_to_string(self.dir.join(below)).unwrap().parse().unwrap()
    }

    /// Adds a file to a chart and says at which position.
    #[track_caller]
    pub fn add(&self, who: &str, chart: &str, file: &Path) -> Done {
        let file = file.to_str().unwrap();
        keepwell(&["--json", "record", "add", "--as", who, "--chart", chart, file])
    }

    /// Reads a record back.
    #[track_caller]
    pub fn get(&self, who: &str, chart: &str, position: &str, to: &Path) -> Done {
        let to = to.to_str().unwrap();
        keepwell(&[
            "record",
            "get",
            "--as",
            who,
            "--chart",
            chart,
            "--position",
            position,
            "--to",
            to,
        ])
    }
}

/// A folder that vanishes with its test. In memory where there is enough of it: what these tests end are
/// processes, never the machine, so nothing rests on what a disk has synced.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place =
        if free_kib(memory) > SCRATCH_KIB { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("keepwell-").tempdir_in(place).unwrap()
}

/// What the file system of a folder has left; 0 if there is no such folder.
fn free_kib(folder: &Path) -> u64 {
    let df = Command::new("df").args(["-k", "--output=avail"]).arg(folder).output().unwrap();
    let text = String::from_utf8_lossy(&df.stdout).into_owned();
    text.split_whitespace().next_back().and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// Repeats a command until it succeeds.
#[track_caller]
pub fn wait_for(mut run: impl FnMut() -> Done) -> Done {
    let start = Instant::now();
    loop {
        let done = run();
        if done.status.success() {
            return done;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {done:#?}");
        thread::sleep(POLL);
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(1));
    }
}
