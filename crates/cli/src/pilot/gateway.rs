//! The gateways of a pilot's hospital and clinic: their configurations, and a system that may ask each.
//!
//! ```text
//! DIR/gateways/hospital/gateway.toml    the configuration
//! DIR/gateways/hospital/ehr/            the key of a system called `ehr`, which acts as the hospital's physician
//! DIR/gateways/clinic/                  the same of the clinic, where it acts as the clinician
//!
//! The hospital's takes HL7 v2 messages of a facility called `HOSPITAL` too, in the same name.
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use keepwell_node::ports;

use super::{
    founding::{AGENT, CLINIC_AGENT, CLINICIAN, PHYSICIAN},
    organisation_id, person_folder,
};
use crate::{
    commands::gateway::{Running, write_client},
    failure::Failure,
    founding::write_durably,
    output::Output,
};

/// The system that may ask.
const SYSTEM: &str = "ehr";

/// A gateway of the pilot.
struct Kind {
    /// Whose it is.
    organisation: &'static str,
    agent: &'static str,
    /// In whose name the system acts.
    member: &'static str,
    /// Where it serves, unless the pilot takes free ports.
    port: u16,
    /// Where it takes HL7 v2 messages, unless the pilot takes free ports: the port that is registered for them.
    feed_port: Option<u16>,
}

const KINDS: [Kind; 2] = [
    Kind {
        organisation: "hospital",
        agent: AGENT,
        member: PHYSICIAN,
        port: 7480,
        feed_port: Some(2575),
    },
    Kind {
        organisation: "clinic",
        agent: CLINIC_AGENT,
        member: CLINICIAN,
        port: 7481,
        feed_port: None,
    },
];

fn folder(dir: &Path, organisation: &str) -> PathBuf {
    dir.join("gateways").join(organisation)
}

/// Where the hospital's configuration is.
pub(super) fn config(dir: &Path) -> PathBuf {
    folder(dir, KINDS[0].organisation).join("gateway.toml")
}

/// Writes configurations and the systems' keys, as far as they are not there yet.
pub(super) fn prepare(dir: &Path, port: u16) -> Result<(), Failure> {
    KINDS.iter().try_for_each(|kind| kind.prepare(dir, port == 0))
}

/// Starts the gateways, and says how they are asked.
pub(super) async fn start(dir: &Path, output: &Output) -> Result<Vec<Running>, Failure> {
    let mut all = Vec::new();
    for kind in &KINDS {
        let folder = folder(dir, kind.organisation);
        let running = Running::of(&folder.join("gateway.toml"), output).await?;
        let key = folder.join(SYSTEM).join("key.pem");
        output.say(&asking(kind.organisation, running.base(), &key));
        all.push(running);
    }
    Ok(all)
}

/// What a person types in another terminal to ask a gateway.
fn asking(organisation: &str, base: &str, key: &Path) -> String {
    let (program, key) = (super::program(), super::word(key));
    format!(
        "\nThe {organisation}'s gateway serves {base}\n  TOKEN=$({program} gateway token --base {base} --id {SYSTEM} --key {key})\n  curl -H \"Authorization: Bearer $TOKEN\" '{base}/Patient?_count=3'"
    )
}

impl Kind {
    fn prepare(&self, dir: &Path, takes_free_ports: bool) -> Result<(), Failure> {
        let folder = folder(dir, self.organisation);
        let path = folder.join("gateway.toml");
        if path.exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
        if !folder.join(SYSTEM).join("keys.json").exists() {
            write_client(SYSTEM, &folder.join(SYSTEM))?;
        }
        let (port, feed_port) = if takes_free_ports {
            let free = ports::free(2).map_err(Failure::at("free ports on loopback"))?;
            (free[0], self.feed_port.map(|_| free[1]))
        } else {
            (self.port, self.feed_port)
        };
        let text = self.toml(dir, (port, feed_port))?;
        write_durably(&path, text.as_bytes()).map_err(Failure::at(path))
    }

    fn toml(&self, dir: &Path, (port, feed_port): (u16, Option<u16>)) -> Result<String, Failure> {
        let (own, laboratory) =
            (organisation_id(dir, self.organisation)?, organisation_id(dir, "laboratory")?);
        let [agent, member] = [self.agent, self.member]
            .map(|it| person_folder(Path::new("../.."), it).display().to_string());
        let mut text = format!(
            r#"listen = "127.0.0.1:{port}"
base = "http://127.0.0.1:{port}/fhir"
agent = "{agent}"
folder = "index"
custodians = ["{own}", "{laboratory}"]

[[clients]]
id = "{SYSTEM}"
keys = "{SYSTEM}/keys.json"
member = "{member}"
purpose = "TREAT"
scopes = ["system/*.cruds"]
"#
        );
        if let Some(port) = feed_port {
            text += &format!(
                r#"
[[feeds]]
listen = "127.0.0.1:{port}"
member = "{member}"
purpose = "TREAT"
senders = [{{ facility = "HOSPITAL", namespace = "https://hospital.example/v2" }}]
"#
            );
        }
        Ok(text)
    }
}
