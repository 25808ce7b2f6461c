//! `cargo xtask sbom`: what is in the `keepwell` program, as a software bill of materials (CycloneDX 1.6, JSON).
//!
//! ```text
//!  cargo tree   which crates are built into the program, for its target and features, and their licences
//!  Cargo.lock   where each comes from, and its checksum
//! ```
//!
//! # Invariants
//!
//! * The same lock file, target and toolchain give the same bytes: no time, no random serial, no path of a machine.
//! * A crate without a licence, or a foreign one without a checksum, gives no bill.
//! * What only tests use is not named. What runs while the program is built, and is not in it, has the scope
//!   `excluded`.
//!
//! Not here: C sources that crates bring along, which go under the crate's own name; and the system's libraries,
//! which the Debian package names as its dependencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crate::{
    arguments::Grammar,
    process::{Call, Failure, root, target},
};

const GRAMMAR: Grammar = Grammar {
    help: "\
Write what is in the `keepwell` program: a software bill of materials, CycloneDX 1.6 in JSON.

Usage: cargo xtask sbom [OPTIONS]

Options:
      --target TRIPLE   for which system the program is built (default: this one)
      --to FILE         where it is written (default: target/keepwell.cdx.json)
      --built           build the program in release first, and compare what cargo compiled
  -h, --help            print this

Examples:
  cargo xtask sbom
  cargo xtask sbom --built && cargo deb --package keepwell-cli",
    flags: &["--built"],
    options: &["--target", "--to"],
    words: false,
};

/// The package of the program.
const PROGRAM: &str = "keepwell-cli";
/// Where foreign crates come from, as the lock file has it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate and its version.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Id {
    name: String,
    version: String,
}

/// What cargo says of a crate in the program.
#[derive(Debug, Default, Eq, PartialEq)]
struct Crate {
    licence: String,
    repository: String,
    uses: BTreeSet<Id>,
}

/// What the lock file says of a crate: none has a source that is ours.
#[derive(Debug, Default, Eq, PartialEq)]
struct Locked {
    source: Option<String>,
    checksum: Option<String>,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some(given) = GRAMMAR.read(arguments)? else { return Ok(()) };
    let system = match given.all("--target").last() {
        Some(triple) => (*triple).to_owned(),
        None => host()?,
    };
    let path = match given.all("--to").last() {
        Some(path) => PathBuf::from(path),
        None => target()?.join("keepwell.cdx.json"),
    };
    let all = tree(&system, "normal,build")?;
    let inside: BTreeSet<Id> = tree(&system, "normal,no-proc-macro")?.into_keys().collect();
    let lock = root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock)
        .map_err(|error| Failure::new(format!("{}: {error}", lock.display())))?;
    let bill = bill(&system, &all, &inside, &read_lock(&lock))?;
    if given.has("--built") {
        compare_with_build(&system, given.all("--target").last().is_some(), all.keys())?;
    }
    let unwritable = |error| Failure::new(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    fs::write(&path, bill).map_err(unwritable)?;
    println!("{}: {} crates, {} of them in the program", path.display(), all.len(), inside.len());
    Ok(())
}

/// The system that cargo builds for by itself.
fn host() -> Result<String, Failure> {
    let version = Call::new("rustc").args(["-vV"]).output().unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("`rustc -vV` names no host; install Rust with rustup"))
}

/// The crates that the program is built of, by cargo's own account of features and targets. `cargo metadata`, on
/// which most tools build, joins the features of the whole workspace: it would name what only tests bring in.
fn tree(system: &str, edges: &str) -> Result<BTreeMap<Id, Crate>, Failure> {
    let arguments =
        ["tree", "--locked", "--package", PROGRAM, "--target", system, "--edges", edges];
    let format = ["--prefix", "depth", "--format", "\t{p}\t{l}\t{r}"];
    let text = Call::cargo().args(arguments).args(format).output();
    let text = text.ok_or_else(|| {
        Failure::new(format!(
            "`cargo tree` failed; see what `cargo tree --locked --target {system}` says"
        ))
    })?;
    read_tree(&text)
}

/// Reads lines of `<depth> <name> v<version> ...`, `<licence>` and `<repository>`, with tabs between them.
fn read_tree(text: &str) -> Result<BTreeMap<Id, Crate>, Failure> {
    let mut crates: BTreeMap<Id, Crate> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in text.lines() {
        let unread =
            || Failure::new(format!("`cargo tree` says {line:?}, which is not understood"));
        let fields: Vec<_> = line.split('\t').collect();
        let [depth, package, licence, repository] = fields[..] else { return Err(unread()) };
        let depth: usize = depth.parse().map_err(|_| unread())?;
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            return Err(unread());
        };
        let version = version.strip_prefix('v').ok_or_else(unread)?;
        let id = Id { name: name.to_owned(), version: version.to_owned() };
        above.truncate(depth);
        if let Some(user) = above.last() {
            crates.entry(user.clone()).or_default().uses.insert(id.clone());
        }
        let entry = crates.entry(id.clone()).or_default();
        // A crate that was listed before ends in a star.
        entry.licence = without_star(licence).replace(" / ", " OR ").replace('/', " OR ");
        entry.repository = without_star(repository).to_owned();
        above.push(id);
    }
    Ok(crates)
}

fn without_star(field: &str) -> &str {
    field.strip_suffix(" (*)").unwrap_or(field)
}

/// Reads the lock file, whose form is fixed: tables of lines `key = "value"`.
fn read_lock(text: &str) -> BTreeMap<Id, Locked> {
    let tables = text.split("[[package]]").skip(1);
    tables
        .filter_map(|table| {
            let value = |key: &str| {
                let line = table.lines().find_map(|line| line.strip_prefix(key))?;
                Some(line.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
            };
            let id = Id { name: value("name")?, version: value("version")? };
            Some((id, Locked { source: value("source"), checksum: value("checksum") }))
        })
        .collect()
}

/// Compares with what cargo compiles: it says so of what it finds done as well.
fn compare_with_build<'a>(
    system: &str,
    is_named: bool,
    named: impl Iterator<Item = &'a Id>,
) -> Result<(), Failure> {
    let build = ["build", "--release", "--locked", "--package", PROGRAM];
    let cross: &[&str] = if is_named { &["--target", system] } else { &[] };
    Call::cargo().args(build).args(cross).run()?;
    let told = Call::cargo().args(build).args(cross).args(["--message-format", "json"]).output();
    let told = told.ok_or_else(|| Failure::new("cargo did not say what it built; try again"))?;
    let (compiled, named) = (read_compiled(&told), named.cloned().collect::<BTreeSet<_>>());
    let apart: Vec<_> = compiled.symmetric_difference(&named).collect();
    if apart.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the bill and the build differ in {apart:?}; one of them is wrong")))
}

/// The crates of cargo's messages, one JSON value a line: `...#name@version`, or `.../name#version`.
fn read_compiled(told: &str) -> BTreeSet<Id> {
    let artifacts = told.lines().filter(|it| it.contains("\"reason\":\"compiler-artifact\""));
    let packages = artifacts.filter_map(|it| {
        let (place, id) =
            it.split("\"package_id\":\"").nth(1)?.split('"').next()?.split_once('#')?;
        let folder = place.rsplit('/').next()?;
        let (name, version) = id.split_once('@').unwrap_or((folder, id));
        Some(Id { name: name.to_owned(), version: version.to_owned() })
    });
    packages.collect()
}

/// The bill's text. Its order follows from names and versions.
fn bill(
    system: &str,
    all: &BTreeMap<Id, Crate>,
    inside: &BTreeSet<Id>,
    lock: &BTreeMap<Id, Locked>,
) -> Result<String, Failure> {
    let program = all.keys().find(|it| it.name == PROGRAM);
    let program = program.ok_or_else(|| Failure::new("`cargo tree` did not name the program"))?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (id, about) in all {
        let locked = lock.get(id).ok_or_else(|| {
            Failure::new(format!("{} {} is not in Cargo.lock", id.name, id.version))
        })?;
        if id != program {
            components.push(component(id, about, locked, inside.contains(id))?);
        }
        let uses: Vec<_> = about.uses.iter().map(|it| quoted(&reference(it))).collect();
        let (of, uses) = (quoted(&reference(id)), uses.join(","));
        dependencies.push(format!("{{\"ref\":{of},\"dependsOn\":[{uses}]}}"));
    }
    let (reference, version) = (quoted(&reference(program)), quoted(&program.version));
    Ok(format!(
        "{{\n\"$schema\":\"http://cyclonedx.org/schema/bom-1.6.schema.json\",\n\
         \"bomFormat\":\"CycloneDX\",\n\"specVersion\":\"1.6\",\n\"version\":1,\n\
         \"metadata\":{{\"component\":{{\"type\":\"application\",\"bom-ref\":{reference},\"name\":\"keepwell\",\
         \"version\":{version},\"licenses\":[{{\"expression\":\"Apache-2.0\"}}]}},\n\
         \"properties\":[{{\"name\":\"keepwell:target\",\"value\":{system}}},\
         {{\"name\":\"keepwell:rust\",\"value\":{rust}}}]}},\n\
         \"components\":[\n{components}\n],\n\"dependencies\":[\n{dependencies}\n]\n}}\n",
        system = quoted(system),
        rust = quoted(&toolchain()?),
        components = components.join(",\n"),
        dependencies = dependencies.join(",\n"),
    ))
}

fn component(id: &Id, about: &Crate, locked: &Locked, is_inside: bool) -> Result<String, Failure> {
    let Id { name, version } = id;
    if about.licence.is_empty() {
        return Err(Failure::new(format!(
            "{name} {version} names no licence; ask whether it may be used"
        )));
    }
    let mut fields = vec![
        "\"type\":\"library\"".to_owned(),
        format!("\"bom-ref\":{}", quoted(&reference(id))),
        format!("\"name\":{}", quoted(name)),
        format!("\"version\":{}", quoted(version)),
        format!("\"scope\":\"{}\"", if is_inside { "required" } else { "excluded" }),
    ];
    if let Some(source) = &locked.source {
        let checksum = locked.checksum.as_deref().filter(|_| source == CRATES_IO);
        let checksum = checksum.ok_or_else(|| {
            Failure::new(format!(
                "{name} {version} comes from {source}, without a checksum; only crates.io will do"
            ))
        })?;
        fields
            .push(format!("\"hashes\":[{{\"alg\":\"SHA-256\",\"content\":{}}}]", quoted(checksum)));
    }
    fields.push(format!("\"licenses\":[{{\"expression\":{}}}]", quoted(&about.licence)));
    if locked.source.is_some() {
        fields.push(format!("\"purl\":{}", quoted(&purl(id))));
        let file = format!("https://static.crates.io/crates/{name}/{name}-{version}.crate");
        let mut places = vec![format!("{{\"type\":\"distribution\",\"url\":{}}}", quoted(&file))];
        if !about.repository.is_empty() {
            places.push(format!("{{\"type\":\"vcs\",\"url\":{}}}", quoted(&about.repository)));
        }
        fields.push(format!("\"externalReferences\":[{}]", places.join(",")));
    }
    Ok(format!("{{{}}}", fields.join(",")))
}

/// How the bill names a crate within itself. Ours are on no registry, where somebody else's may have their names.
fn reference(id: &Id) -> String {
    format!("{}@{}", id.name, id.version)
}

/// How scanners for vulnerabilities name a crate.
fn purl(id: &Id) -> String {
    format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B"))
}

/// The Rust whose standard library is in the program.
fn toolchain() -> Result<String, Failure> {
    let file = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap_or_default();
    let channel = file.lines().find_map(|line| line.strip_prefix("channel = \""));
    let channel = channel.and_then(|it| it.strip_suffix('"')).map(str::to_owned);
    channel.ok_or_else(|| Failure::new("rust-toolchain.toml names no channel"))
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0\tkeepwell-cli v0.1.0 (/home/me/keepwell/crates/cli)\tApache-2.0\t\n\
        1\taxum v0.8.9\tMIT\thttps://example.org/axum\n\
        2\tbytes v1.12.1+x\tMIT/Apache-2.0\t\n\
        1\tbytes v1.12.1+x\tMIT/Apache-2.0\t (*)\n";
    const LOCK: &str = "version = 4\n\n\
        [[package]]\nname = \"axum\"\nversion = \"0.8.9\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"aa\"\ndependencies = [\n \"bytes\",\n]\n\n\
        [[package]]\nname = \"bytes\"\nversion = \"1.12.1+x\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"bb\"\n\n\
        [[package]]\nname = \"keepwell-cli\"\nversion = \"0.1.0\"\n";

    fn id(name: &str, version: &str) -> Id {
        Id { name: name.to_owned(), version: version.to_owned() }
    }

    fn bill_of(tree: &str, lock: &str) -> Result<String, String> {
        let all = read_tree(tree).map_err(|it| it.to_string())?;
        let inside = BTreeSet::from([id("axum", "0.8.9")]);
        bill("x", &all, &inside, &read_lock(lock)).map_err(|it| it.to_string())
    }

    #[test]
    fn crates_have_licences_users_and_checksums() {
        let crates = read_tree(TREE).unwrap();
        let (axum, bytes) = (id("axum", "0.8.9"), id("bytes", "1.12.1+x"));
        assert_eq!(crates[&bytes].licence, "MIT OR Apache-2.0");
        assert_eq!(crates[&axum].uses, BTreeSet::from([bytes.clone()]));
        assert_eq!(crates[&id(PROGRAM, "0.1.0")].uses, BTreeSet::from([axum, bytes]));
        let bill = bill_of(TREE, LOCK).unwrap();
        for words in [
            "\"name\":\"axum\",\"version\":\"0.8.9\",\"scope\":\"required\",\"hashes\":[{\"alg\":\"SHA-256\",\"content\":\"aa\"}]",
            "\"name\":\"bytes\",\"version\":\"1.12.1+x\",\"scope\":\"excluded\"",
            "\"purl\":\"pkg:cargo/bytes@1.12.1%2Bx\"",
            "{\"ref\":\"axum@0.8.9\",\"dependsOn\":[\"bytes@1.12.1+x\"]}",
        ] {
            assert!(bill.contains(words), "nothing of {words} in {bill}");
        }
        assert!(!bill.contains("/home/me"), "{bill}");
    }

    #[test]
    fn what_is_not_known_gives_no_bill() {
        let elsewhere = LOCK.replace("registry+https://github.com", "git+https://github.com");
        for (tree, lock, expected) in [
            (&TREE.replace("MIT\t", "\t"), &LOCK.to_owned(), "names no licence"),
            (&TREE.to_owned(), &LOCK.replace("checksum = \"bb\"", ""), "without a checksum"),
            (&TREE.to_owned(), &elsewhere, "only crates.io will do"),
            (&TREE.to_owned(), &LOCK.replace("0.8.9", "0.8.8"), "not in Cargo.lock"),
            (&"0 keepwell-cli v0.1.0\n".to_owned(), &LOCK.to_owned(), "not understood"),
            (&String::new(), &LOCK.to_owned(), "did not name the program"),
        ] {
            let error = bill_of(tree, lock).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_cargo_compiled_is_read_from_its_messages() {
        let told = "{\"reason\":\"compiler-artifact\",\"package_id\":\"registry+https://github.com/rust-lang/crates.io-index#axum@0.8.9\",\"x\":1}\n\
            {\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///home/me/xtask#0.1.0\"}\n\
            {\"reason\":\"build-script-executed\",\"package_id\":\"path+file:///a#b@1.0.0\"}\n";
        let expected = BTreeSet::from([id("axum", "0.8.9"), id("xtask", "0.1.0")]);
        assert_eq!(read_compiled(told), expected);
    }

    #[test]
    fn text_stays_one_string() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
