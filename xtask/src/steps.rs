//! `cargo xtask test`: every check that a contributor and CI run, one after the other.

use std::time::{Duration, Instant};

use crate::{
    arguments::Grammar,
    deny,
    process::{Call, Failure},
    programs, purity, tools, tour,
};

const GRAMMAR: Grammar = Grammar {
    help: "\
Run every check that CI runs, in the same order; stop at the first that fails.

Usage: cargo xtask test [OPTIONS]

Options:
      --only STEP   run only this step (may be repeated)
      --skip STEP   leave this step out (may be repeated)
      --list        list the steps and stop
  -h, --help        print this

The test programs run one after the other, or so many at once as KEEPWELL_TESTS_AT_ONCE says.

Examples:
  cargo xtask test
  cargo xtask test --only clippy
  cargo xtask test --skip tour --skip deny",
    flags: &["--list"],
    options: &["--only", "--skip"],
    words: false,
};

/// How a step ended that did not fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Done {
    Passed,
    /// It could not run here, and that is no fault of the code.
    Skipped(&'static str),
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Done, Failure>,
}

/// From the quickest answer to the slowest.
const STEPS: [Step; 7] = [
    Step { name: "tools", what: "compilers and tools are at hand", run: || passed(tools::run()) },
    Step { name: "fmt", what: "code is formatted", run: fmt },
    Step { name: "purity", what: "floors 0 and 1 are pure", run: || passed(purity::check()) },
    Step { name: "clippy", what: "no lint in any target", run: clippy },
    Step {
        name: "tests",
        what: "unit, property, vector, simulation, fuzz seed and CLI tests",
        run: tests,
    },
    Step { name: "tour", what: "the life of a record, end to end", run: || passed(tour::run()) },
    Step { name: "deny", what: "licences, bans, sources, advisories", run: deny::run },
];

fn fmt() -> Result<Done, Failure> {
    Call::cargo().args(["fmt", "--all", "--check"]).run()?;
    passed(Call::cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]).run())
}

fn clippy() -> Result<Done, Failure> {
    let arguments = "clippy --locked --workspace --all-targets -- -D warnings";
    passed(Call::cargo().args(arguments.split(' ')).run())
}

fn tests() -> Result<Done, Failure> {
    programs::run()?;
    passed(Call::cargo().args(["test", "--locked", "--workspace", "--doc"]).run())
}

fn passed(result: Result<(), Failure>) -> Result<Done, Failure> {
    result.map(|()| Done::Passed)
}

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some(given) = GRAMMAR.read(arguments)? else { return Ok(()) };
    if given.has("--list") {
        STEPS.iter().for_each(|step| println!("{:<8}{}", step.name, step.what));
        return Ok(());
    }
    let chosen = choose(&given.all("--only"), &given.all("--skip"))?;
    let started = Instant::now();
    let mut skipped = 0;
    for (index, step) in chosen.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", index + 1, chosen.len(), step.name, step.what);
        skipped += usize::from(run_one(step)? != Done::Passed);
    }
    let passed = chosen.len() - skipped;
    println!("\nall in {}", text(started.elapsed()));
    println!("steps: {passed} passed, 0 failed, {skipped} skipped");
    Ok(())
}

fn run_one(step: &Step) -> Result<Done, Failure> {
    let started = Instant::now();
    match (step.run)() {
        Ok(Done::Passed) => {
            println!("  passed in {}", text(started.elapsed()));
            Ok(Done::Passed)
        }
        Ok(Done::Skipped(why)) => {
            println!("  skipped: {why}");
            Ok(Done::Skipped(why))
        }
        Err(failure) => Err(Failure::new(format!(
            "step `{name}` failed after {}: {failure}\n\
             run it alone with: cargo xtask test --only {name}",
            text(started.elapsed()),
            name = step.name,
        ))),
    }
}

/// The steps to run, in their order.
fn choose(only: &[&str], skip: &[&str]) -> Result<Vec<&'static Step>, Failure> {
    for name in only.iter().chain(skip) {
        if !STEPS.iter().any(|step| step.name == *name) {
            let known = STEPS.map(|step| step.name).join(", ");
            return Err(Failure::new(format!("there is no step `{name}`; there are: {known}")));
        }
    }
    let chosen: Vec<_> = STEPS
        .iter()
        .filter(|step| only.is_empty() || only.contains(&step.name))
        .filter(|step| !skip.contains(&step.name))
        .collect();
    if chosen.is_empty() {
        return Err(Failure::new("nothing is left to run"));
    }
    Ok(chosen)
}

fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{seconds}.{} s", duration.subsec_millis() / 100)
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        choose(only, skip).unwrap().iter().map(|step| step.name).collect()
    }

    #[test]
    fn steps_keep_their_order() {
        assert_eq!(names(&["deny", "fmt"], &[]), ["fmt", "deny"]);
        assert_eq!(names(&["deny", "fmt"], &["deny"]), ["fmt"]);
        assert_eq!(names(&[], &[]).len(), STEPS.len());
    }

    #[test]
    fn a_misspelt_step_is_refused_rather_than_passed() {
        assert!(choose(&["clipy"], &[]).is_err());
        assert!(choose(&[], &["clipy"]).is_err());
        assert!(choose(&["fmt"], &["fmt"]).is_err());
    }

    #[test]
    fn a_failing_step_says_how_to_repeat_it() {
        let step = Step { name: "fmt", what: "", run: || Err(Failure::new("badly formatted")) };
        let text = run_one(&step).unwrap_err().to_string();
        assert!(text.contains("badly formatted"), "{text}");
        assert!(text.ends_with("cargo xtask test --only fmt"), "{text}");
    }
}
