//! The hospital's gateway of a pilot: its configuration, and a system that may ask it. It is run by itself.
//!
//! ```text
//! DIR/gateway/gateway.toml    the configuration
//! DIR/gateway/ehr/            the key of a system called `ehr`, which acts as the hospital's physician
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use keepwell_node::ports;

use super::{founding::PHYSICIAN, organisation_id, person_folder};
use crate::{commands::gateway::write_client, failure::Failure, founding::write_durably};

/// Where it serves, unless the pilot takes free ports.
const PORT: u16 = 7480;
/// The system that may ask.
const SYSTEM: &str = "ehr";

/// Where the configuration is.
pub(super) fn config(dir: &Path) -> PathBuf {
    dir.join("gateway").join("gateway.toml")
}

/// Writes the configuration and the system's key, if they are not there yet.
pub(super) fn prepare(dir: &Path, port: u16) -> Result<(), Failure> {
    let path = config(dir);
    if path.exists() {
        return Ok(());
    }
    let folder = dir.join("gateway");
    fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
    if !folder.join(SYSTEM).join("keys.json").exists() {
        write_client(SYSTEM, &folder.join(SYSTEM))?;
    }
    let port = match port {
        0 => ports::free(1).map_err(Failure::at("a free port on loopback"))?[0],
        _ => PORT,
    };
    let (hospital, laboratory) =
        (organisation_id(dir, "hospital")?, organisation_id(dir, "laboratory")?);
    let [agent, member] = ["agent", PHYSICIAN].map(|it| person_folder(Path::new(".."), it));
    let text = format!(
        r#"listen = "127.0.0.1:{port}"
base = "http://127.0.0.1:{port}/fhir"
agent = "{}"
folder = "index"
custodians = ["{hospital}", "{laboratory}"]

[[clients]]
id = "{SYSTEM}"
keys = "{SYSTEM}/keys.json"
member = "{}"
purpose = "TREAT"
scopes = ["system/*.cruds"]
"#,
        agent.display(),
        member.display(),
    );
    write_durably(&path, text.as_bytes()).map_err(Failure::at(path))
}
