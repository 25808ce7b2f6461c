//! `cargo xtask soak`: the simulator's scenarios, from many more seeds than a test run has time for.
//!
//! The scenarios are the tests of `keepwell-sim`. Their programs are built in release and set aside, so that nobody's
//! next build changes them; each is then run with a few seeds at a time, several at once, the scenario next that has come
//! least far. What has been run stands in [`crate::results`], and is not run again.
//!
//! # Invariants
//!
//! * A seed has passed only if the program said so of this very seed, and ended well or named another one that failed.
//!   One that ended, hung or was ended without a word has failed, and the seeds after it are run all the same.
//! * A failure stops nothing: it is told at once with the command that replays it, and again at the end of this soak and
//!   of each later one, none of which succeeds as long as the results have it.
//! * A test that never said a word of a seed knows none: it fails once, not once for each seed.
//!
//! Not here: what a scenario is, and what its checkers check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, BufRead as _, BufReader},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    arguments::Grammar,
    process::{Call, Failure, target},
    results::{Line, Results, range},
};

const SEEDS: Range<u64> = 0..10_000;
/// Seeds that one process runs: what it prepares once is worth it, and little is lost where it is stopped.
const BATCH: u64 = 25;
/// What the name of a program ends with that is not copied whole yet.
const NEW: &str = "new";
/// How long a seed may take before its process is ended.
const SEED_MAX: Duration = Duration::from_secs(600);

const GRAMMAR: Grammar = Grammar {
    help: "\
Run the simulator's scenarios from many seeds; go on where the last run stopped.

Usage: cargo xtask soak [OPTIONS] [SCENARIO]...

Options:
      --seeds A..B     which seeds [default: 0..10000]
      --jobs N         how many processes run at once [default: one for each core]
      --results FILE   where it stands what was run [default: <target>/soak/results.txt]
      --programs DIR   go on with the programs that an earlier soak set aside, instead of building
      --table          print what these programs have run so far, and stop
  -h, --help           print this

A scenario is named by its file and test; a part of the name is enough. The programs are set aside in a folder
beside the results. What another program passed, one built of other code, does not count. A seed that failed is not
run again by the same program, and no soak succeeds with it: to run it again, take its line out of the results.

Examples:
  cargo xtask soak
  nice -n 19 cargo xtask soak --seeds 0..500 epochs:: liars::
  cargo xtask soak --table",
    flags: &["--table"],
    options: &["--seeds", "--jobs", "--results", "--programs"],
    words: true,
};

/// A test of the simulator.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Scenario {
    /// Its file and its own name.
    name: String,
    test: String,
    program: PathBuf,
    digest: String,
}

/// What a soak works on.
struct Soak {
    scenarios: Vec<Scenario>,
    seeds: Range<u64>,
    revision: String,
    work: Mutex<Work>,
}

/// Where it stands.
struct Work {
    results: Results,
    /// The seeds that processes are running, by scenario.
    taken: BTreeMap<String, Vec<Range<u64>>>,
    /// Tests that know no seeds, by scenario.
    seedless: BTreeSet<String>,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some(given) = GRAMMAR.read(arguments)? else { return Ok(()) };
    let last = |option| given.all(option).last().copied();
    let seeds = match last("--seeds") {
        None => SEEDS,
        Some(text) => range(text)
            .ok_or_else(|| Failure::new(format!("`--seeds {text}` is no range such as 0..500")))?,
    };
    let jobs = jobs(last("--jobs"))?;
    let results = match last("--results") {
        Some(path) => std::path::absolute(path).map_err(|error| Failure::new(error.to_string()))?,
        None => target()?.join("soak").join("results.txt"),
    };
    let folder = results.parent().map(Path::to_path_buf).unwrap_or_default();
    let programs = match last("--programs") {
        Some(folder) => PathBuf::from(folder),
        None => set_aside(&build()?, &folder)?,
    };
    let scenarios = choose(scenarios(&programs_in(&programs)?)?, &given.words)?;
    let results = Results::open(&results)?;
    if given.has("--table") {
        print!("{}", table(&results, &scenarios, &seeds));
        return Ok(());
    }
    Soak::new(scenarios, seeds, revision_of(&programs), results).all(jobs)
}

fn jobs(given: Option<&str>) -> Result<usize, Failure> {
    let Some(text) = given else {
        return Ok(thread::available_parallelism().map_or(1, Into::into));
    };
    match text.parse() {
        Ok(jobs) if jobs > 0 => Ok(jobs),
        Ok(_) | Err(_) => Err(Failure::new(format!("`--jobs {text}` is no number of processes"))),
    }
}

/// Builds the simulator's tests, and says where they are.
fn build() -> Result<Vec<PathBuf>, Failure> {
    let arguments = "test --release --locked --package keepwell-sim --no-run";
    Call::cargo().args(arguments.split(' ')).run()?;
    let again = Call::cargo().args(arguments.split(' ')).args(["--message-format=json"]).output();
    let programs: Vec<_> = again.unwrap_or_default().lines().filter_map(executable).collect();
    if programs.is_empty() {
        return Err(Failure::new("cargo named no test program of keepwell-sim"));
    }
    Ok(programs)
}

/// The program that a message of cargo names.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, after) = message.split_once("\"executable\":\"")?;
    Some(PathBuf::from(after.split_once('"')?.0))
}

/// Copies programs to a folder beside the results, named by what they are and the revision that they were built of.
fn set_aside(programs: &[PathBuf], folder: &Path) -> Result<PathBuf, Failure> {
    let revision = Call::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]);
    let revision = revision.output().unwrap_or_else(|| String::from("unknown"));
    let digests: Vec<_> = programs.iter().map(|it| digest_of(it)).collect::<Result<_, _>>()?;
    let digests: String = digests.iter().map(|digest| &digest[..4]).collect();
    let to = folder.join("programs").join(format!("{digests}-{}", revision.trim()));
    let told = |error: io::Error| Failure::new(format!("{}: {error}", to.display()));
    fs::create_dir_all(&to).map_err(told)?;
    for program in programs {
        // cargo puts a digest of its own behind the name of a test.
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        let name = file.rsplit_once('-').map_or(&*file, |(name, _)| name);
        // Whoever runs one that stands there keeps it. One whose copy was cut off has another name.
        if !to.join(name).exists() {
            let new = to.join(format!("{name}.{NEW}"));
            fs::copy(program, &new).map_err(told)?;
            fs::rename(new, to.join(name)).map_err(told)?;
        }
    }
    println!("  the programs are in {}", to.display());
    Ok(to)
}

/// The revision in the name of a folder of programs.
fn revision_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.split_once('-').map_or("unknown", |(_, revision)| revision).into()
}

fn programs_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let told = |error: io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let folder = fs::canonicalize(folder).map_err(told)?;
    let entries = fs::read_dir(&folder).map_err(told)?;
    let mut programs: Vec<_> = entries.filter_map(|it| Some(it.ok()?.path())).collect();
    programs.retain(|it| it.extension().is_none_or(|end| end != NEW));
    programs.sort();
    Ok(programs)
}

/// The first 64 bits of the SHA-256 of a file, in hexadecimal.
fn digest_of(file: &Path) -> Result<String, Failure> {
    let sum = Call::new("sha256sum").args([file.to_string_lossy()]).output().unwrap_or_default();
    match sum.get(..16) {
        Some(digest) => Ok(digest.into()),
        None => Err(Failure::new(format!("sha256sum cannot read {}", file.display()))),
    }
}

/// The tests in programs.
fn scenarios(programs: &[PathBuf]) -> Result<Vec<Scenario>, Failure> {
    let mut scenarios = Vec::new();
    for program in programs {
        let file = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let listed = Call::new(program).args(["--list", "--format", "terse"]).output();
        let listed = listed.ok_or_else(|| Failure::new(format!("{file} lists no tests")))?;
        let digest = digest_of(program)?;
        let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        scenarios.extend(tests.map(|test| Scenario {
            name: format!("{file}::{test}"),
            test: test.into(),
            program: program.clone(),
            digest: digest.clone(),
        }));
    }
    Ok(scenarios)
}

fn choose(scenarios: Vec<Scenario>, words: &[String]) -> Result<Vec<Scenario>, Failure> {
    let names = |scenario: &Scenario, word: &String| scenario.name.contains(word);
    if let Some(word) = words.iter().find(|word| !scenarios.iter().any(|it| names(it, word))) {
        let known: Vec<_> = scenarios.iter().map(|it| it.name.as_str()).collect();
        let known = known.join("\n  ");
        return Err(Failure::new(format!("there is no scenario `{word}`; there are:\n  {known}")));
    }
    let is_chosen = |it: &Scenario| words.is_empty() || words.iter().any(|word| names(it, word));
    Ok(scenarios.into_iter().filter(is_chosen).collect())
}

impl Soak {
    fn new(
        scenarios: Vec<Scenario>,
        seeds: Range<u64>,
        revision: String,
        results: Results,
    ) -> Self {
        let work = Work { results, taken: BTreeMap::new(), seedless: BTreeSet::new() };
        Self { scenarios, seeds, revision, work: Mutex::new(work) }
    }

    /// Runs what has not been run.
    fn all(&self, jobs: usize) -> Result<(), Failure> {
        let ended: Vec<_> = thread::scope(|scope| {
            let job = || -> Result<(), Failure> {
                while let Some((scenario, seeds)) = self.take() {
                    let ended = self.batch(scenario, &seeds);
                    if let Some(taken) = self.work().taken.get_mut(&scenario.name) {
                        taken.retain(|it| *it != seeds);
                    }
                    ended?;
                }
                Ok(())
            };
            let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(job)).collect();
            jobs.into_iter().map(|it| it.join().expect("a job does not panic")).collect()
        });
        let work = self.work();
        print!("{}", table(&work.results, &self.scenarios, &self.seeds));
        let mut failed = 0;
        for scenario in &self.scenarios {
            let failures = work.results.failures(&scenario.digest, &scenario.name, &self.seeds);
            for (seed, why) in failures {
                println!("{}", replay(scenario, seed, why));
                failed += 1;
            }
        }
        ended.into_iter().collect::<Result<(), _>>()?;
        match failed {
            0 => Ok(()),
            1 => Err(Failure::new("a seed failed")),
            _ => Err(Failure::new(format!("{failed} seeds failed"))),
        }
    }

    fn work(&self) -> std::sync::MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next seeds of the scenario that has come least far.
    fn take(&self) -> Option<(&Scenario, Range<u64>)> {
        let mut work = self.work();
        let mut open: Vec<_> =
            self.scenarios.iter().filter(|it| !work.seedless.contains(&it.name)).collect();
        open.sort_by_cached_key(|it| work.come(it, &self.seeds));
        let (scenario, seeds) = open.into_iter().find_map(|scenario| {
            let standing = work.results.standing(&scenario.digest, &scenario.name);
            let taken = work.taken.get(&scenario.name).map_or(&[][..], Vec::as_slice);
            Some((scenario, standing.next(&self.seeds, taken, BATCH)?))
        })?;
        work.taken.entry(scenario.name.clone()).or_default().push(seeds.clone());
        Some((scenario, seeds))
    }

    /// Runs seeds of a scenario, however many processes it takes.
    fn batch(&self, scenario: &Scenario, seeds: &Range<u64>) -> Result<(), Failure> {
        let mut left = seeds.clone();
        while !left.is_empty() {
            let began = Instant::now();
            let told = one(scenario, &left, SEED_MAX)
                .map_err(|error| Failure::new(format!("{}: {error}", scenario.name)))?;
            let told = match told {
                Told::Seeds(seeds) => seeds,
                Told::Nothing(Some(failed)) if self.knows_seeds(scenario) => {
                    [(left.start, Some(failed))].into()
                }
                Told::Nothing(failed) => {
                    return self.leave(scenario, left.start, failed, began.elapsed().as_secs());
                }
            };
            left.start = told.keys().last().map_or(left.end, |seed| seed + 1);
            self.note(scenario, told, began.elapsed().as_secs())?;
        }
        Ok(())
    }

    fn knows_seeds(&self, scenario: &Scenario) -> bool {
        !self.work().results.standing(&scenario.digest, &scenario.name).passed.is_empty()
    }

    /// Runs a scenario no more that tells nothing of seeds. If it failed, that stands in the results once, whenever it is
    /// run.
    fn leave(
        &self,
        scenario: &Scenario,
        seed: u64,
        failed: Option<String>,
        seconds: u64,
    ) -> Result<(), Failure> {
        let is_new = {
            let mut work = self.work();
            let standing = work.results.standing(&scenario.digest, &scenario.name);
            work.seedless.insert(scenario.name.clone()) && standing.failed.is_empty()
        };
        match failed {
            None => println!("{}: no seeds", scenario.name),
            Some(failed) if is_new => {
                self.note(scenario, [(seed, Some(failed))].into(), seconds)?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Enters what was told of seeds that follow one another.
    fn note(&self, scenario: &Scenario, told: Verdicts, seconds: u64) -> Result<(), Failure> {
        let mut work = self.work();
        let mut seconds = Some(seconds);
        for (seeds, failed) in grouped(told) {
            if let Some(failed) = &failed {
                println!("{}", replay(scenario, seeds.start, failed));
            }
            let line = Line {
                program: scenario.digest.clone(),
                revision: self.revision.clone(),
                scenario: scenario.name.clone(),
                seeds,
                // Once for all lines of a process.
                seconds: seconds.take().unwrap_or_default(),
                failed,
            };
            work.results
                .add(line)
                .map_err(|error| Failure::new(format!("the results cannot be written: {error}")))?;
        }
        Ok(())
    }
}

impl Work {
    /// How many seeds of a scenario are run or running.
    fn come(&self, scenario: &Scenario, seeds: &Range<u64>) -> u64 {
        let standing = self.results.standing(&scenario.digest, &scenario.name);
        let taken = self.taken.get(&scenario.name).map_or(&[][..], Vec::as_slice);
        standing.next(seeds, taken, 1).map_or(u64::MAX, |it| it.start)
    }
}

/// Seeds in a row that passed together, and each that failed alone.
fn grouped(told: Verdicts) -> Vec<(Range<u64>, Option<String>)> {
    let mut grouped: Vec<(Range<u64>, Option<String>)> = Vec::new();
    for (seed, failed) in told {
        match grouped.last_mut() {
            Some((seeds, None)) if failed.is_none() && seeds.end == seed => seeds.end += 1,
            Some(_) | None => grouped.push((seed..seed + 1, failed)),
        }
    }
    grouped
}

fn replay(scenario: &Scenario, seed: u64, failed: &str) -> String {
    let (file, test) = (scenario.name.split("::").next().unwrap_or_default(), &scenario.test);
    format!(
        "{} failed: {failed}\n  SEED={seed} cargo test --release -p keepwell-sim --test {file} -- --exact {test}",
        scenario.name
    )
}

/// What became of each seed: why it failed, if it did.
type Verdicts = BTreeMap<u64, Option<String>>;

/// What a process told.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    /// Of its seeds, up to the last that it came to.
    Seeds(Verdicts),
    /// Not a word of seeds; and why it failed, if it did.
    Nothing(Option<String>),
}

/// Runs one process.
fn one(scenario: &Scenario, seeds: &Range<u64>, seed_max: Duration) -> io::Result<Told> {
    let mut child = Command::new(&scenario.program)
        .current_dir(scenario.program.parent().unwrap_or(Path::new("/")))
        .args(["--exact", &scenario.test, "--nocapture", "--quiet"])
        .env("KEEPWELL_SIM_SEEDS", format!("{}..{}", seeds.start, seeds.end))
        .env_remove("SEED")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut told = BTreeMap::new();
    let hung = listen(&mut child, seed_max, |seed, failed| drop(told.insert(seed, failed)));
    let status = child.wait()?;
    let why = if hung { String::from("it hung") } else { format!("it ended ({status})") };
    if told.is_empty() {
        return Ok(Told::Nothing((!status.success()).then_some(why)));
    }
    let all_passed = told.values().all(Option::is_none);
    match seeds.clone().find(|seed| !told.contains_key(seed)) {
        // It is the seed that was running when the process ended.
        Some(seed) => {
            told.retain(|it, _| *it < seed);
            told.insert(seed, Some(why));
        }
        // Something of what was run last was still to end.
        None if all_passed && !status.success() => drop(told.insert(seeds.end - 1, Some(why))),
        None => {}
    }
    Ok(Told::Seeds(told))
}

/// Hears what a process says of its seeds; ends it, and returns true, if it says nothing for too long.
fn listen(
    child: &mut Child,
    seed_max: Duration,
    mut hear: impl FnMut(u64, Option<String>),
) -> bool {
    let Some(stdout) = child.stdout.take() else { return false };
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).all(|line| said.send(line).is_ok())
    });
    loop {
        match heard.recv_timeout(seed_max) {
            Ok(line) => {
                if let Some((seed, failed)) = verdict(&line) {
                    hear(seed, failed);
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return false,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // The child is ours alone; if it cannot be ended it ends with us.
                let _ = child.kill();
                return true;
            }
        }
    }
}

/// What a line says of a seed: `seed 7 passed` and the state of its run, or `seed 7 failed: roots are equal: ...`.
fn verdict(line: &str) -> Option<(u64, Option<String>)> {
    let (seed, verdict) = line.strip_prefix("seed ")?.split_once(' ')?;
    let seed = seed.parse().ok()?;
    match verdict.strip_prefix("failed: ") {
        Some(failed) => Some((seed, Some(failed.into()))),
        None => verdict.starts_with("passed").then_some((seed, None)),
    }
}

/// What has been run.
fn table(results: &Results, scenarios: &[Scenario], seeds: &Range<u64>) -> String {
    let mut table =
        String::from("| scenario | seeds passed | failed | seconds each |\n|---|---|---|---|\n");
    for scenario in scenarios {
        let standing = results.standing(&scenario.digest, &scenario.name);
        let passed = standing.passed.iter().filter(|seed| seeds.contains(seed)).count();
        if standing.len() == 0 {
            continue;
        }
        let tenths = standing.seconds * 10 / standing.len() as u64;
        let failed = standing.failed.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let failed = if failed.is_empty() { String::from("none") } else { failed };
        let each = format!("{}.{}", tenths / 10, tenths % 10);
        table += &format!("| `{}` | {passed} | {failed} | {each} |\n", scenario.name);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of its own for each caller.
    fn file() -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};

        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("keepwell-soak-{}-{number}", std::process::id()))
    }

    /// A scenario whose program does this, and is removed by whoever asked for it.
    fn fake(program: &str) -> Scenario {
        let path = file();
        let text = format!("#!/bin/sh\n{program}\n");
        // Another process writes it: a file that this one has open, or a child of it, cannot be started.
        let write = "printf %s \"$1\" > \"$0\" && chmod +x \"$0\"";
        Call::new("sh").args(["-c", write, &path.to_string_lossy(), &text]).output().unwrap();
        Scenario {
            name: "faults::calm".into(),
            test: "calm".into(),
            program: path,
            digest: String::new(),
        }
    }

    /// What is told of seeds 3 to 6 by a program that does this.
    fn heard(program: &str) -> Told {
        let scenario = fake(program);
        let told = one(&scenario, &(3..7), Duration::from_secs(1)).unwrap();
        fs::remove_file(scenario.program).unwrap();
        told
    }

    /// The same where it tells something.
    fn told(program: &str) -> Vec<(u64, Option<String>)> {
        match heard(program) {
            Told::Seeds(told) => told.into_iter().collect(),
            Told::Nothing(why) => panic!("nothing was told: {why:?}"),
        }
    }

    /// Soaks seeds 3 to 6 of a program that does this twice, and says which failed in the end. No soak with a failure
    /// succeeds, and the second one fails as the first did, with as many lines.
    fn soaked_twice(program: &str) -> Vec<u64> {
        let (scenario, path) = (fake(program), file());
        let soak = || {
            let results = Results::open(&path).unwrap();
            let soak = Soak::new(vec![scenario.clone()], 3..7, "b25b85d".into(), results);
            let ended = soak.all(1);
            let standing = soak.work().results.standing(&scenario.digest, &scenario.name);
            let failed: Vec<_> = standing.failed.into_iter().collect();
            assert_eq!(ended.is_ok(), failed.is_empty(), "{failed:?}");
            (failed, fs::read_to_string(&path).unwrap())
        };
        let (first, again) = (soak(), soak());
        assert_eq!(first, again);
        fs::remove_file(&path).unwrap();
        fs::remove_file(&scenario.program).unwrap();
        first.0
    }

    fn passed(seeds: Range<u64>) -> Vec<(u64, Option<String>)> {
        seeds.map(|seed| (seed, None)).collect()
    }

    #[test]
    fn a_seed_has_passed_if_the_program_says_so() {
        assert_eq!(told("for i in 3 4 5 6; do echo \"seed $i passed 5f3c\"; done"), passed(3..7));
        assert_eq!(
            told("echo $KEEPWELL_SIM_SEEDS | grep -q ^3..7$ && echo seed 3 passed")[0],
            (3, None)
        );
    }

    #[test]
    fn a_failure_is_of_its_seed_alone() {
        let program = "echo seed 3 passed; echo seed 4 failed: no; echo seed 5 passed; echo seed 6 passed; exit 101";
        let mut expected = passed(3..7);
        expected[1].1 = Some("no".into());
        assert_eq!(told(program), expected);
        let grouped = grouped(expected.into_iter().collect());
        assert_eq!(grouped, [(3..4, None), (4..5, Some("no".into())), (5..7, None)]);
    }

    #[test]
    fn a_program_that_dies_or_hangs_fails_the_seed_it_was_at() {
        let died = told("echo seed 3 passed; kill -9 $$");
        assert_eq!(died.len(), 2);
        assert!(died[1].0 == 4 && died[1].1.as_ref().unwrap().contains("signal: 9"), "{died:?}");
        let hung = told("echo seed 3 passed; echo seed 4 passed; exec sleep 30");
        assert_eq!(hung.last(), Some(&(5, Some("it hung".into()))));
    }

    #[test]
    fn a_program_that_passes_without_a_word_of_its_seeds_passes_none() {
        assert_eq!(told("echo seed 3 passed; exit 0").last().unwrap().0, 4);
        assert_eq!(heard("exit 0"), Told::Nothing(None));
        assert!(matches!(heard("exit 1"), Told::Nothing(Some(why)) if why.contains("status: 1")));
    }

    #[test]
    fn a_program_that_ends_badly_after_its_last_word_fails_the_last_seed() {
        let all = "for i in 3 4 5 6; do echo \"seed $i passed 5f3c\"; done;";
        let ended = told(&format!("{all} kill -9 $$"));
        assert_eq!(ended[..3], passed(3..6));
        assert!(ended[3].1.as_ref().unwrap().contains("signal: 9"), "{ended:?}");
        let hung = told(&format!("{all} exec sleep 30"));
        assert_eq!(hung.last(), Some(&(6, Some("it hung".into()))));
    }

    #[test]
    fn a_soak_fails_as_long_as_its_results_have_a_failure() {
        let all = "for i in 3 4 5 6; do echo \"seed $i passed 5f3c\"; done";
        assert_eq!(soaked_twice(all), []);
        let one = "echo seed 3 passed; echo seed 4 failed: no; echo seed 5 passed; echo seed 6 passed; exit 101";
        assert_eq!(soaked_twice(one), [4]);
    }

    #[test]
    fn a_test_that_knows_no_seeds_fails_once() {
        assert_eq!(soaked_twice("exit 0"), []);
        assert_eq!(soaked_twice("exit 101"), [3]);
        // This one knows seeds: it named the first.
        let dies = "test \"${KEEPWELL_SIM_SEEDS%%..*}\" = 3 && echo seed 3 passed; kill -9 $$";
        assert_eq!(soaked_twice(dies), [4, 5, 6]);
    }

    #[test]
    fn a_copy_that_was_cut_off_is_no_program() {
        let (folder, built) = (file(), fake("exit 0").program);
        let aside = set_aside(std::slice::from_ref(&built), &folder).unwrap();
        let programs = programs_in(&aside).unwrap();
        assert_eq!(fs::read(&programs[0]).unwrap(), fs::read(&built).unwrap());
        // Whoever was stopped while copying left this.
        fs::rename(&programs[0], programs[0].with_extension(NEW)).unwrap();
        assert!(programs_in(&aside).unwrap().is_empty());
        assert_eq!(set_aside(std::slice::from_ref(&built), &folder).unwrap(), aside);
        assert_eq!(programs_in(&aside).unwrap(), programs);
        fs::remove_dir_all(folder).unwrap();
        fs::remove_file(built).unwrap();
    }

    #[test]
    fn only_a_verdict_is_one() {
        assert_eq!(verdict("seed 7 passed 5f3c"), Some((7, None)));
        assert_eq!(verdict("seed 7 failed: a: b"), Some((7, Some("a: b".into()))));
        for line in ["", "seed", "seed 7", "seed x passed", "seed 7 went on", "a seed 7 passed"] {
            assert_eq!(verdict(line), None, "{line} was taken");
        }
    }

    #[test]
    fn a_folder_of_programs_tells_its_revision() {
        assert_eq!(
            revision_of(Path::new("/soak/programs/5f3c77aa-b25b85d-dirty")),
            "b25b85d-dirty"
        );
        assert_eq!(revision_of(Path::new("/soak/mine")), "unknown");
    }

    #[test]
    fn cargo_names_its_programs() {
        let message =
            r#"{"reason":"compiler-artifact","executable":"/t/deps/liars-5f","fresh":true}"#;
        assert_eq!(executable(message), Some("/t/deps/liars-5f".into()));
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null}"#), None);
    }
}
