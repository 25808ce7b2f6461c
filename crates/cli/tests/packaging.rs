//! What operators install: everything that the package names is there, and the unit says of the program what is so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Done, KEEPWELL, keepwell};
use serde_json::Value;

const UNIT: &str = include_str!("../../../packaging/systemd/keepwell-node.service");
/// What operators of a node with a token put beside the unit.
const TOKEN: &str = include_str!("../../../packaging/systemd/token.conf");
const IMAGE: &str = include_str!("../../../packaging/container/Containerfile");

fn home() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What the manifest says of the package.
fn package() -> toml::Value {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["package"]["metadata"]["deb"].clone()
}

/// The files of the package: where each is installed, and where it is here.
fn installed() -> BTreeMap<PathBuf, PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut installed = BTreeMap::new();
    for asset in package()["assets"].as_array().unwrap() {
        let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        let files = match from.split_once('*') {
            None => vec![here.join(from)],
            Some((folder, end)) => {
                let files = fs::read_dir(here.join(folder)).unwrap().map(|it| it.unwrap().path());
                files.filter(|it| it.to_str().unwrap().ends_with(end)).collect()
            }
        };
        for file in files {
            // As cargo-deb has it: what ends with a slash is a folder.
            let name = if to.ends_with('/') { file.file_name().unwrap() } else { "".as_ref() };
            installed.insert(Path::new("/").join(to).join(name).components().collect(), file);
        }
    }
    installed
}

/// A path from `folder`, without the steps back that are in it.
fn follow(folder: &Path, link: &str) -> PathBuf {
    let mut path = folder.to_path_buf();
    for step in link.split('/') {
        match step {
            "" | "." => {}
            ".." => assert!(path.pop(), "{link} leads out of the file system"),
            name => path.push(name),
        }
    }
    path
}

/// What follows `mark` each time, up to one of `ends`.
fn after<'a>(text: &'a str, mark: &'a str, ends: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(mark).skip(1).filter_map(move |it| it.split(ends).next())
}

#[test]
fn what_the_installed_documents_name_is_installed() {
    const HOME: &str = "/usr/share/doc/keepwell/";
    let installed = installed();
    // A link may be to a folder.
    let is_there = |path: &Path| installed.keys().any(|it| it.starts_with(path));
    let (mut links, mut paths) = (0, 0);
    for (at, file) in &installed {
        if at.extension().is_none_or(|it| it != "md") {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        for link in after(&text, "](", &[')', '#']) {
            let to = follow(at.parent().unwrap(), link);
            // What is for readers of the sources is not installed.
            let is_source = ["crates", "bench", "fuzz"]
                .iter()
                .any(|it| to.starts_with(Path::new(HOME).join(it)));
            if !link.starts_with("https://") && !is_source {
                assert!(is_there(&to), "{}: {link}", file.display());
                links += 1;
            }
        }
        for path in after(&text, HOME, &[' ', '`', '\n', ')']) {
            assert!(is_there(&follow(Path::new(HOME), path)), "{}: {path}", file.display());
            paths += 1;
        }
    }
    assert!(links > 100 && paths > 1, "{links} {paths}");
    let documentation = UNIT.lines().find_map(|it| it.strip_prefix("Documentation=file://"));
    assert!(installed.contains_key(Path::new(documentation.unwrap())), "{documentation:?}");
}

#[test]
fn the_package_names_files_that_exist() {
    let package = package();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for asset in package["assets"].as_array().unwrap() {
        let path = asset[0].as_str().unwrap();
        // What a release build makes, and `cargo xtask sbom`.
        if !path.starts_with("target/release/") && path != "../../target/keepwell.cdx.json" {
            let folder = here.join(path.split('*').next().unwrap());
            assert!(folder.exists(), "{path}");
            files += 1;
        }
    }
    assert!(files > 5);
    for folder in [&package["maintainer-scripts"], &package["systemd-units"]["unit-scripts"]] {
        assert!(here.join(folder.as_str().unwrap()).is_dir(), "{folder}");
    }
}

/// The commands that the unit and the image run, without their configurations, are commands of the program.
#[test]
fn what_is_started_is_a_command() {
    let lines = UNIT.lines().filter_map(|line| line.strip_prefix("ExecStart"));
    let started: Vec<_> = lines.filter_map(|line| line.split_once("/usr/bin/keepwell ")).collect();
    assert_eq!(started.len(), 2, "one looks, one runs");
    for (_, words) in started {
        let words: Vec<_> = words.split(' ').take_while(|it| !it.starts_with("--")).collect();
        let help = keepwell(&[&words[..], &["--help"]].concat()).ok();
        assert!(help.stdout.contains("--config <FILE>"), "{words:?}");
    }
    assert!(IMAGE.contains("ENTRYPOINT [\"/usr/bin/keepwell\"]"));
    assert!(IMAGE.contains("CMD [\"node\", \"--config\", \"/etc/keepwell/node.toml\"]"));
    let toolchain = fs::read_to_string(home().join("rust-toolchain.toml")).unwrap();
    let version = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let minor = version.rsplit_once('.').unwrap().0;
    assert!(IMAGE.contains(&format!("library/rust:{minor}-")), "the image builds with {version}");
}

/// Where systemd is at hand, it reads the unit and finds it well closed.
#[test]
fn systemd_takes_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("systemd-analyze is not here: the unit was not looked at");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("keepwell-node.service");
    fs::write(&unit, UNIT.replace("/usr/bin/keepwell", KEEPWELL)).unwrap();
    let unit = unit.to_str().unwrap();
    let verified = Done::of(&mut Command::new("systemd-analyze"), &["verify", unit]).ok();
    assert_eq!(verified.stderr, "");
    // 20 is 2.0 of 10, the most exposed.
    let closed = ["security", "--offline=true", "--threshold=20", unit];
    Done::of(&mut Command::new("systemd-analyze"), &closed).ok();

    // With a token, as it stands and with every line in force.
    let beside = folder.path().join("keepwell-node.service.d");
    fs::create_dir(&beside).unwrap();
    let all: Vec<_> = TOKEN
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(set) if set.split_once('=').is_some_and(|(name, _)| is_setting(name)) => set,
            Some(_) | None => line,
        })
        .collect();
    assert!(all.iter().filter(|it| it.starts_with("DeviceAllow=")).count() > 1);
    for text in [TOKEN, &all.join("\n")] {
        fs::write(beside.join("token.conf"), text).unwrap();
        let verified = Done::of(&mut Command::new("systemd-analyze"), &["verify", unit]).ok();
        assert_eq!(verified.stderr, "");
    }
}

/// Whether this can stand before the `=` of a unit's line.
fn is_setting(name: &str) -> bool {
    name.starts_with(|it: char| it.is_ascii_uppercase())
        && name.chars().all(|it| it.is_ascii_alphanumeric())
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(home());
    command
}

/// The bill of materials that goes into the package.
fn bill(folder: &Path) -> String {
    let path = folder.join("keepwell.cdx.json");
    let arguments = ["xtask", "sbom", "--to", path.to_str().unwrap()];
    Done::of(&mut cargo(), &arguments).ok();
    fs::read_to_string(path).unwrap()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Each crate of a bill.
fn named(bill: &Value) -> BTreeMap<String, &Value> {
    let components = bill["components"].as_array().unwrap().iter();
    components.map(|it| (word(&it["bom-ref"]).to_owned(), it)).collect()
}

#[test]
fn the_bill_of_materials_says_what_the_lock_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let text = bill(folder.path());
    assert_eq!(text, bill(folder.path()), "the same of the same");
    for place in [home().canonicalize().unwrap().to_str().unwrap(), "path+file", "(proc-macro)"] {
        assert!(!text.contains(place), "{place}");
    }
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let lock: toml::Table = fs::read_to_string(home().join("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let packages: BTreeMap<_, _> = packages
        .map(|it| {
            let word = |key: &str| it[key].as_str().unwrap();
            (format!("{}@{}", word("name"), word("version")), it)
        })
        .collect();
    let mut foreign = 0;
    for (id, component) in named(&bill) {
        let locked = packages[&id];
        let checksum = locked.get("checksum").and_then(toml::Value::as_str);
        assert_eq!(component["hashes"][0]["content"].as_str(), checksum, "{id}");
        assert_eq!(component["purl"].is_string(), locked.get("source").is_some(), "{id}");
        assert!(component["licenses"][0]["expression"].as_str().is_some_and(|it| it.len() > 2));
        foreign += usize::from(checksum.is_some());
    }
    assert!(foreign > 200, "{foreign}");
}

/// Cargo's other account of the same, which knows what is optional: all that is not, is in the bill; and nothing is
/// that the program does not use.
#[test]
fn the_bill_of_materials_is_whole_and_has_nothing_of_tests() {
    let folder = tempfile::tempdir().unwrap();
    let bill: Value = serde_json::from_str(&bill(folder.path())).unwrap();
    let target = word(&bill["metadata"]["properties"][0]["value"]);
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
    let metadata = Done::of(&mut cargo(), &arguments).ok().json();
    let packages: BTreeMap<_, _> =
        metadata["packages"].as_array().unwrap().iter().map(|it| (word(&it["id"]), it)).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let nodes: BTreeMap<_, _> = nodes.iter().map(|it| (word(&it["id"]), &it["deps"])).collect();

    let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
    let program = packages.values().find(|it| it["name"] == "keepwell-cli").unwrap();
    let program = word(&program["id"]);
    let mut next = vec![(program, true)];
    while let Some((id, is_must)) = next.pop() {
        let is_new = if is_must { must.insert(id) } else { may.insert(id) };
        if !is_new {
            continue;
        }
        for used in nodes[id].as_array().unwrap() {
            let kinds = used["dep_kinds"].as_array().unwrap();
            let mut kinds = kinds.iter().filter(|it| it["kind"] != "dev").peekable();
            if kinds.peek().is_some() {
                let used = word(&used["pkg"]);
                let name = &packages[used]["name"];
                let is_needed = kinds.any(|kind| is_needed(packages[id], name, kind));
                next.push((used, is_must && is_needed));
            }
        }
    }
    let reference = |id: &str| {
        let package = packages[id];
        format!("{}@{}", word(&package["name"]), word(&package["version"]))
    };
    let must: BTreeSet<_> = must.into_iter().map(reference).collect();
    let may: BTreeSet<_> = may.into_iter().map(reference).chain(must.iter().cloned()).collect();
    let mut named: BTreeSet<_> = named(&bill).into_keys().collect();
    named.insert(reference(program));
    assert!(must.len() > 150, "{}", must.len());
    let (lacks, made_up): (Vec<_>, Vec<_>) =
        (must.difference(&named).collect(), named.difference(&may).collect());
    assert!(lacks.is_empty() && made_up.is_empty(), "{lacks:?} {made_up:?}");
    for tool in ["proptest@", "s3s@", "s3s-fs@", "keepwell-sim@", "xtask@"] {
        assert!(!named.iter().any(|it| it.starts_with(tool)), "{tool}");
    }
}

/// Whether a package cannot do without a dependency of this kind.
fn is_needed(package: &Value, name: &Value, kind: &Value) -> bool {
    package["dependencies"].as_array().unwrap().iter().any(|it| {
        it["name"] == *name
            && it["kind"] == kind["kind"]
            && it["target"] == kind["target"]
            && it["optional"] == false
    })
}
