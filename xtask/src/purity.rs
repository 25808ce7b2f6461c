//! Proof that floors 0 and 1 are pure: no clock, disk, network, environment or randomness of their own.
//!
//! Four checks, from cheap to conclusive:
//!
//! 1. Each crate's `Cargo.toml` takes the workspace's lints (which forbid `unsafe`), and its `lib.rs`
//!    says `#![no_std]` without conditions.
//! 2. Edges between crates point down, for every crate of the workspace.
//! 3. No word in the source of a pure crate names what it must not have: floats, hash maps, `std`.
//! 4. All pure crates are built into a probe that defines its own panic handler. The compiler accepts
//!    it only if nothing beneath, third-party crates included, links `std`: there can be one panic
//!    handler, and `std` brings one. Without `std` there is no clock, disk, network or environment.
//!    What could still ask the system itself (`getrandom` and the like) is refused by name.
//!
//! Not here: what the code does with its arguments. That is for the crates' own tests.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    arguments::Grammar,
    process::{Call, Failure, root, target},
    source::{product, tokens},
};

const GRAMMAR: Grammar = Grammar {
    help: "\
Prove that the pure crates touch no clock, disk, network, environment or randomness.

Usage: cargo xtask purity",
    flags: &[],
    options: &[],
    words: false,
};

/// Which of our crates each may stand on. A line names only lines above it: edges point down.
const HOUSE: [(&str, &[&str]); 14] = [
    ("types", &[]),
    ("crypto", &["types"]),
    ("merkle", &["types", "crypto"]),
    ("ledger", &["types", "crypto", "merkle"]),
    ("fhir", &["types"]),
    ("hl7v2", &["types", "fhir"]),
    ("ccda", &["types", "fhir", "hl7v2"]),
    ("engine", &["types", "crypto", "merkle", "ledger"]),
    ("node", &["types", "crypto", "merkle", "ledger", "fhir", "engine"]),
    ("client", &["types", "crypto", "merkle", "ledger", "fhir"]),
    ("gateway", &["types", "crypto", "merkle", "ledger", "fhir", "hl7v2", "ccda", "client"]),
    ("sim", &["types", "crypto", "merkle", "ledger", "fhir", "engine", "node", "client"]),
    (
        "cli",
        &["types", "crypto", "merkle", "ledger", "fhir", "engine", "node", "client", "gateway"],
    ),
    (
        "fuzz-targets",
        &[
            "types", "crypto", "merkle", "ledger", "fhir", "hl7v2", "ccda", "engine", "node",
            "client",
        ],
    ),
];

/// Floors 0 and 1.
const PURE: [&str; 7] = ["types", "crypto", "merkle", "ledger", "fhir", "hl7v2", "ccda"];

/// Words that pure code has no use for, and why.
const FORBIDDEN: [(&str, &str); 14] = [
    ("std", "the crate is no_std; use core or alloc"),
    ("unsafe", "the workspace forbids it"),
    ("f32", "floats do not compute the same everywhere"),
    ("f64", "floats do not compute the same everywhere"),
    ("HashMap", "its order differs between runs; use BTreeMap"),
    ("HashSet", "its order differs between runs; use BTreeSet"),
    ("hashbrown", "its order differs between runs; use BTreeMap"),
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("getrandom", "randomness is an argument"),
    ("SysRng", "randomness is an argument"),
    ("env", "configuration is an argument"),
    ("option_env", "configuration is an argument"),
    ("asm", "what the compiler cannot read is not pure"),
];

/// Crates that reach the system without `std`, or that only a shell has a use for.
const SYSTEM_CRATES: [&str; 12] = [
    "async-std",
    "futures-executor",
    "getrandom",
    "hyper",
    "libc-print",
    "mio",
    "rand",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "tokio",
];

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if GRAMMAR.read(arguments)?.is_none() {
        return Ok(());
    }
    check()?;
    println!("floors 0 and 1 are pure");
    Ok(())
}

pub(crate) fn check() -> Result<(), Failure> {
    let crates = root().join("crates");
    let mut faults = Vec::new();
    for name in folders(&crates)? {
        let manifest = crates.join(&name).join("Cargo.toml");
        faults.extend(manifest_faults(&name, &read(&manifest)?));
    }
    for name in PURE {
        faults.extend(tree_faults(name)?);
        let source = crates.join(name).join("src");
        faults.extend(root_faults(name, &read(&source.join("lib.rs"))?));
        source_faults(&source, &mut faults)?;
    }
    if !faults.is_empty() {
        return Err(Failure::new(format!("not pure:\n  {}", faults.join("\n  "))));
    }
    println!("  manifests, edges and sources are as they must be");
    probe()
}

/// A crate stands on crates below it only, and takes the workspace's lints.
fn manifest_faults(name: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = HOUSE.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "crates/{name}: the crate has no floor; give it one in xtask's HOUSE"
        )];
    };
    let mut faults = Vec::new();
    let mut section = "";
    let mut lints = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        }
        lints |= section == "lints" && line.replace(' ', "") == "workspace=true";
        // What only tests use may come from anywhere: it is not in the product.
        let built_in = section.ends_with("dependencies") && !section.contains("dev-");
        let Some(other) = line.strip_prefix("keepwell-").filter(|_| built_in) else { continue };
        let other = other.split([' ', '.', '=']).next().unwrap_or(other);
        if !allowed.contains(&other) {
            faults.push(format!("crates/{name}/Cargo.toml: `{name}` must not stand on `{other}`"));
        }
    }
    if !lints {
        faults.push(format!("crates/{name}/Cargo.toml: `[lints] workspace = true` is missing"));
    }
    faults
}

/// Nothing beneath a pure crate may be one that reaches the system.
fn tree_faults(name: &str) -> Result<Vec<String>, Failure> {
    let package = format!("keepwell-{name}");
    let line =
        "tree --locked --edges normal,no-proc-macro --prefix none --format {p}|{f} --package";
    let tree = Call::cargo()
        .args(line.split(' '))
        .args([&package])
        .output()
        .ok_or_else(|| Failure::new(format!("`cargo {line} {package}` failed")))?;
    Ok(system_crates(name, &tree))
}

/// The faults in lines of `name version ...|feature,feature`.
fn system_crates(name: &str, tree: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for line in tree.lines() {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let package = package.split(' ').next().unwrap_or(package);
        let features = features.trim_end_matches(" (*)");
        if SYSTEM_CRATES.contains(&package) {
            faults.push(format!("crates/{name}: `{package}` is beneath it and reaches the system"));
        }
        if features.split(',').any(|feature| feature == "std") {
            faults.push(format!("crates/{name}: `{package}` is beneath it with its feature `std`"));
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

/// A pure crate is `no_std` without conditions.
fn root_faults(name: &str, lib: &str) -> Vec<String> {
    let tokens = tokens(lib);
    let found = tokens
        .windows(5)
        .any(|window| window.iter().map(|token| token.text).eq(["#", "!", "[", "no_std", "]"]));
    if found { vec![] } else { vec![format!("crates/{name}/src/lib.rs: `#![no_std]` is missing")] }
}

/// Scans every file under `folder` that is built into the product.
fn source_faults(folder: &Path, faults: &mut Vec<String>) -> Result<(), Failure> {
    let mut files = rust_files(folder)?;
    files.sort();
    let mut only_tests = Vec::new();
    let mut found = Vec::new();
    for file in files {
        let source = read(&file)?;
        let (faults, test_modules) = words_faults(&source);
        let beside = match file.file_name().and_then(|name| name.to_str()) {
            Some("lib.rs" | "mod.rs") | None => file.with_file_name(""),
            Some(_) => file.with_extension(""),
        };
        only_tests.extend(test_modules.iter().map(|module| beside.join(module)));
        found.push((file, faults));
    }
    for (file, words) in found {
        if only_tests.iter().any(|test| file.with_extension("").starts_with(test)) {
            continue;
        }
        let shown = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
        faults.extend(words.into_iter().map(|(line, text)| format!("{shown}:{line}: {text}")));
    }
    Ok(())
}

/// Forbidden words and floats in one file, with their lines, and the modules that only tests have.
fn words_faults(source: &str) -> (Vec<(usize, String)>, Vec<String>) {
    let tokens = tokens(source);
    let (product, test_modules) = product(&tokens);
    let mut faults = Vec::new();
    for token in product {
        if let Some((word, why)) = FORBIDDEN.iter().find(|(word, _)| *word == token.text) {
            faults.push((token.line, format!("`{word}`: {why}")));
        } else if is_float(token.text) {
            faults.push((token.line, format!("`{}`: floats differ between machines", token.text)));
        }
    }
    (faults, test_modules.into_iter().map(String::from).collect())
}

fn is_float(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && !text.starts_with("0x")
        && (text.contains('.') || text.ends_with("f32") || text.ends_with("f64"))
}

/// Compiles all pure crates into a crate that can have no `std` beneath it.
fn probe() -> Result<(), Failure> {
    let folder = target()?.join("purity");
    let mut manifest = String::from(
        "[package]\nname = \"purity-probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\npath = \"lib.rs\"\n\n[workspace]\n\n[dependencies]\n",
    );
    for name in PURE {
        let path = root().join("crates").join(name);
        // Writing to a string cannot fail.
        let _ =
            writeln!(manifest, "keepwell-{name} = {{ path = {:?} }}", path.display().to_string());
    }
    write(&folder.join("Cargo.toml"), &manifest)?;
    write(&folder.join("lib.rs"), &probe_source(&PURE.map(|name| format!("keepwell_{name}"))))?;
    // The same versions as the product has.
    write(&folder.join("Cargo.lock"), &read(&root().join("Cargo.lock"))?)?;
    let manifest = folder.join("Cargo.toml");
    Call::cargo()
        .args(["check", "--quiet", "--manifest-path", &manifest.to_string_lossy()])
        .env("CARGO_TARGET_DIR", &target()?.to_string_lossy())
        .run()
        .map_err(|failure| {
            Failure::new(format!(
                "{failure}\n`duplicate lang item panic_impl` means that a crate named above links std"
            ))
        })?;
    println!("  nothing beneath {} links std", PURE.join(", "));
    Ok(())
}

fn probe_source(crates: &[String]) -> String {
    let mut source = String::from("#![no_std]\n");
    for name in crates {
        // Writing to a string cannot fail.
        let _ = writeln!(source, "extern crate {name} as _;");
    }
    source + "#[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! {\n    loop {}\n}\n"
}

fn folders(parent: &Path) -> Result<Vec<String>, Failure> {
    let entries = entries(parent)?.into_iter().filter(|path| path.join("Cargo.toml").is_file());
    let mut names: Vec<String> =
        entries.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", folder.display())))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn planted_words_are_found_with_their_line() {
        let cases = [
            ("use std::fs;", 1, "std"),
            ("fn a() {}\nfn b(x: f64) {}", 2, "f64"),
            ("let x = 1.5;", 1, "1.5"),
            ("let x = 1_f32;", 1, "1_f32"),
            ("let now = Instant::now();", 1, "Instant"),
            ("let m: HashMap<u8, u8>;", 1, "HashMap"),
            ("let r = getrandom::fill(&mut b);", 1, "getrandom"),
            ("const A: &str = env!(\"HOME\");", 1, "env"),
            ("#[cfg(feature = \"std\")]\nuse std::io;", 2, "std"),
            ("#[cfg(not(test))] fn a() { unsafe {} }", 1, "unsafe"),
        ];
        for (source, line, word) in cases {
            let (faults, _) = words_faults(source);
            assert!(
                faults.iter().any(|(at, text)| *at == line && text.contains(&format!("`{word}`"))),
                "{word} was not found in {source:?}: {faults:?}"
            );
        }
    }

    #[test]
    fn pure_code_has_no_fault() {
        let sources = [
            "/// Not `std`, not f64.\nfn a(standard: u64, t: (u8, (u8, u8))) { t.1.0; 0..5; 0xf64; }",
            "#[cfg(test)] extern crate std;\n#[cfg(test)] mod tests { use std::fs; }",
            "const A: &str = \"std::time::Instant 1.5\";",
        ];
        for source in sources {
            assert_eq!(words_faults(source).0, [], "{source}");
        }
    }

    #[test]
    fn a_crate_that_is_no_std_only_at_times_is_refused() {
        assert_eq!(root_faults("a", "//! Doc.\n#![no_std]\n"), Vec::<String>::new());
        for lib in ["", "// #![no_std]", "#![cfg_attr(not(test), no_std)]"] {
            assert_eq!(root_faults("a", lib).len(), 1, "{lib}");
        }
    }

    #[test]
    fn edges_point_down() {
        const LINTS: &str = "[lints]\nworkspace = true\n";
        let cases = [
            ("merkle", "[dependencies]\nkeepwell-crypto = { workspace = true }", 0),
            ("crypto", "[dependencies]\nkeepwell-merkle = { workspace = true }", 1),
            ("ledger", "[dependencies]\nkeepwell-node.workspace = true", 1),
            ("client", "[dependencies]\nkeepwell-node = { path = \"../node\" }", 1),
            ("types", "[build-dependencies]\nkeepwell-crypto = \"1\"", 1),
            ("types", "[target.'cfg(unix)'.dependencies]\nkeepwell-crypto = \"1\"", 1),
            ("types", "[dev-dependencies]\nkeepwell-crypto = \"1\"", 0),
            ("portal", "", 1),
        ];
        for (name, manifest, faults) in cases {
            let found = manifest_faults(name, &format!("{LINTS}{manifest}"));
            assert_eq!(found.len(), faults, "{name}: {manifest}: {found:?}");
        }
        assert_eq!(manifest_faults("types", "[dependencies]").len(), 1, "lints may be missing");
    }

    #[test]
    fn the_house_has_no_cycle() {
        for (at, (name, below)) in HOUSE.iter().enumerate() {
            for other in *below {
                let place = HOUSE.iter().position(|(known, _)| known == other);
                assert!(place.is_some_and(|place| place < at), "{name} stands on {other}");
            }
        }
    }

    #[test]
    fn what_reaches_the_system_is_found_in_the_tree() {
        let tree = "keepwell-types v0.1.0 (/x)|\nminicbor v2.3.1|alloc,derive\n";
        assert_eq!(system_crates("types", tree), Vec::<String>::new());
        assert_eq!(system_crates("types", &format!("{tree}getrandom v0.4.0|")).len(), 1);
        assert_eq!(system_crates("types", &format!("{tree}serde v1.0.0|alloc,std (*)")).len(), 1);
    }

    /// The conclusive check can fail: a crate that links `std` cannot be beneath the probe.
    #[test]
    fn a_crate_that_links_std_cannot_be_beneath_the_probe() {
        let folder = std::env::temp_dir().join(format!("purity-probe-{}", std::process::id()));
        let source = probe_source(&[String::from("beneath")]);
        write(&folder.join("probe.rs"), &source).unwrap();
        let compile = |file: &str| {
            let mut rustc = Command::new("rustc");
            rustc.current_dir(&folder).args(["--edition=2024", "--crate-type=lib"]);
            let output = rustc.args(["--emit=metadata", "-L.", file]).output().unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        for (beneath, accepted) in [("#![no_std]", true), ("pub fn now() {}", false)] {
            write(&folder.join("beneath.rs"), beneath).unwrap();
            assert!(compile("beneath.rs").0);
            let (compiled, errors) = compile("probe.rs");
            assert_eq!(compiled, accepted, "{errors}");
            assert!(accepted || errors.contains("panic_impl"), "{errors}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
