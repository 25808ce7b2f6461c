//! Writes the seeds of each target into `fuzz/corpus/`, where the fuzzer begins.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (target, inputs) in keepwell_fuzz_targets::seeds::all() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (index, bytes) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index}")), bytes)?;
        }
    }
    Ok(())
}
