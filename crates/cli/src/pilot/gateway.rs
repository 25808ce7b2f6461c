//! The hospital's gateway of a pilot: its configuration, and a system that may ask it. It is run by itself.
//!
//! ```text
//! DIR/gateway/gateway.toml    the configuration
//! DIR/gateway/ehr/            the key of a system called `ehr`, which acts as the hospital's physician
//!
//! It takes HL7 v2 messages of a facility called `HOSPITAL` too, in the same name.
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
/// Where it takes HL7 v2 messages, unless the pilot takes free ports: the port that is registered for them.
const FEED_PORT: u16 = 2575;
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
    let (port, feed_port) = match port {
        0 => {
            let free = ports::free(2).map_err(Failure::at("free ports on loopback"))?;
            (free[0], free[1])
        }
        _ => (PORT, FEED_PORT),
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

[[feeds]]
listen = "127.0.0.1:{feed_port}"
member = "{}"
purpose = "TREAT"
senders = [{{ facility = "HOSPITAL", namespace = "https://hospital.example/v2" }}]
"#,
        agent.display(),
        member.display(),
        member.display(),
    );
    write_durably(&path, text.as_bytes()).map_err(Failure::at(path))
}
