//! The tour as a test: the whole product end to end, with patients made up and with real bundles.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::process::{Call, Failure, root, target};

/// How many of the real patients are loaded; set it to 1000 for all of them.
const PATIENTS: &str = "KEEPWELL_TOUR_PATIENTS";
/// Synthea's bundles, beside the repository where a developer or CI has them.
const BUNDLES: &str = "../shared/data/synthea";

/// Runs the tour with the generator, and with the bundles if they are there.
pub(crate) fn run() -> Result<(), Failure> {
    // The program that the tests have run: built by itself, it would be built with other features of the
    // libraries beneath it, and with it the engine.
    Call::cargo().args(["test", "--locked", "--workspace", "--no-run", "--quiet"]).run()?;
    let program = target()?.join("debug").join("keepwell");
    tour(&program, "generated", &["--port", "0"])?;

    let bundles = root().join(BUNDLES);
    if !bundles.is_dir() {
        println!("  skipped with real bundles: {BUNDLES} is not there");
        return Ok(());
    }
    let patients = env::var(PATIENTS).unwrap_or_else(|_| "2".to_owned());
    let bundles = bundles.to_string_lossy();
    tour(&program, "bundles", &["--port", "0", "--bundles", &bundles, "--patients", &patients])
}

fn tour(program: &Path, name: &str, arguments: &[&str]) -> Result<(), Failure> {
    let folder = Scratch::new(name)?;
    let dir = folder.0.to_string_lossy();
    Call::new(program).args(["pilot", "--tour", "--dir", &dir]).args(arguments).run()
}

/// A folder that is removed when the step ends, however it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("keepwell-tour-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| {
            Failure::new(format!("{} could not be made: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the folder for temporary files, where the system removes it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
