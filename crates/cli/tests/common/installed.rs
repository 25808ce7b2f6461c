//! What others publish, installed for the tests by `pip` and `npm`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The lists of what is installed, and the scripts that use it.
pub const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const INSTALLED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/clients");

/// Where the Python packages that `requirements.txt` names are.
pub fn python() -> Option<PathBuf> {
    python_of("requirements.txt")
}

/// Where the Python packages that `list` names are.
pub fn python_of(list: &str) -> Option<PathBuf> {
    installed(list, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
        let pip = ["-m", "pip", "install", "--quiet", "--requirement"];
        run(Command::new(folder.join("venv/bin/python")).args(pip).arg(list))
    })
}

/// Where the Node packages that `list` names are.
pub fn node(list: &str) -> Option<PathBuf> {
    installed(list, |folder| {
        let npm = ["install", "--silent", "--no-audit", "--no-fund"];
        fs::copy(Path::new(SCRIPTS).join(list), folder.join("package.json"))
            .map_err(|it| it.to_string())?;
        run(Command::new("npm").args(npm).current_dir(folder))
    })
}

/// Where the sources of the Python packages that `list` names are.
pub fn sources(list: &str) -> Option<PathBuf> {
    installed(list, |folder| {
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--requirement"];
        run(Command::new("python3").args(pip).arg(list).arg("--dest").arg(folder))?;
        for archive in fs::read_dir(folder).map_err(|it| it.to_string())? {
            let archive = archive.map_err(|it| it.to_string())?.path();
            run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder))?;
        }
        Ok(())
    })
}

/// Where what `list` names is installed; nothing if it cannot be.
fn installed(list: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Option<PathBuf> {
    let folder = Path::new(INSTALLED).join(list);
    let (wanted, stamp) =
        (fs::read(Path::new(SCRIPTS).join(list)).unwrap(), folder.join("installed"));
    if fs::read(&stamp).is_ok_and(|it| it == wanted) {
        return Some(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    if let Err(why) = install(&folder) {
        println!("SKIPPED: what {list} names cannot be installed: {why}");
        return None;
    }
    fs::write(stamp, wanted).unwrap();
    Some(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    if command.get_current_dir().is_none() {
        command.current_dir(SCRIPTS);
    }
    let done = command.output().map_err(|error| error.to_string())?;
    if done.status.success() { Ok(()) } else { Err(said(&done)) }
}

pub fn said(done: &Output) -> String {
    String::from_utf8_lossy(&[done.stdout.clone(), done.stderr.clone()].concat()).into_owned()
}
