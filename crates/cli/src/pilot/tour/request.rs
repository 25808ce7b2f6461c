//! The step of the tour in which a clinician asks and the patient answers with less.

use keepwell_client::{grant::Recipient, open::Opened};
use keepwell_types::{
    access::Purpose,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee, RequestReason},
    id::RequestId,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::Window,
};

use super::{Scene, THIRTY_DAYS_MS, Tour, fault, meaning, quoted};
use crate::failure::Failure;

const SEVEN_DAYS_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

impl Tour<'_> {
    /// The clinician asks for normal and psychiatric records; the patient gives the normal ones, for a week.
    pub(super) async fn ask_and_answer(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step += 1;
        let step = scene.step;
        self.title(step, "The clinician asks for more, and the patient answers with less");
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let psychiatry = meaning(&scene.patient, scene.chart, "psychiatry")?;
        let request = self.ask(scene, CompartmentSet::EMPTY.with(normal).with(psychiatry)).await?;
        let opened = self.answer(scene, request, CompartmentSet::EMPTY.with(normal)).await?;
        let actor = scene.clinician.member()?.actor();
        if scene.clinician.client.request(&actor, scene.chart, request).await?.end.is_none() {
            return Err(fault(step, "the request still waits"));
        }
        self.result(&format!(
            "the request is answered; what is granted is the normal records, for seven days\nthe clinician opens {} records at once, with the new key",
            opened.records.len()
        ));
        Ok(())
    }

    async fn ask(&self, scene: &Scene, wanted: CompartmentSet) -> Result<RequestId, Failure> {
        let numbers: Vec<_> =
            wanted.iter().map(|it| format!("--compartment {}", it.index())).collect();
        self.command(&format!(
            "grant request --as {} --chart {} {} --purpose TREAT --days 30 --reason referral",
            self.person("clinician"),
            scene.chart,
            numbers.join(" ")
        ));
        let member = scene.clinician.member()?;
        let now = scene.clinician.client.tip().await?.header().time;
        let terms = GrantTerms {
            effect: Effect::Allow,
            grantee: Grantee::Member(member.member()),
            compartments: wanted,
            kinds: KindSet::all(),
            records: List::new(),
            purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
            window: Window { from: now, until: now.plus_ms(THIRTY_DAYS_MS) },
            accesses_max: None,
            separate_consent: false,
            onward: false,
        };
        let until = now.plus_ms(SEVEN_DAYS_MS);
        let (client, actor) = (&scene.clinician.client, member.actor());
        let reason = RequestReason::Referral;
        Ok(client.request_grant(&actor, scene.chart, terms, reason, until).await?.0)
    }

    /// What the clinician opens with the answer.
    async fn answer(
        &self,
        scene: &mut Scene,
        request: RequestId,
        given: CompartmentSet,
    ) -> Result<Opened, Failure> {
        self.command(&format!(
            "grant answer --as {} --chart {} {request} --compartment normal --days 7",
            quoted(&self.wallet_folder(scene.chart)),
            scene.chart
        ));
        let holder = scene.patient.holder(scene.chart)?;
        let client = &scene.patient.client;
        let entry = client.request(&holder.actor(), scene.chart, request).await?;
        let now = client.tip().await?.header().time;
        let mut terms = entry.terms;
        terms.compartments = given;
        terms.window.until = now.plus_ms(SEVEN_DAYS_MS);
        let member = scene.clinician.member()?;
        let to = Recipient { member: entry.member, key: member.sealing_public() };
        let meanings = scene.patient.meanings(scene.chart).cloned().unwrap_or_default();
        let answered = client.grant_request(&holder, request, terms, &to, &meanings).await?;
        scene.patient.remember()?;
        let (actor, key) = (member.actor(), member.sealing());
        let (at, terms) = ((scene.chart, answered.grant), Some(&answered.notice.terms));
        let (_, seeds) = scene.clinician.client.accept_grant(&actor, &key, at, terms).await?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let opened = self.open(scene, normal, &seeds).await?;
        if opened.records.is_empty() {
            return Err(fault(scene.step, "nothing was opened with the answer"));
        }
        Ok(opened)
    }
}
