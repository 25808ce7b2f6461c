//! The end of step 6: why the clinician may read, by which grant it did, and what is to be accounted for.

use std::collections::BTreeSet;

use keepwell_client::{
    explain::{About, Subject},
    grant::GivenGrant,
    report::{
        accounting::{LeftOut, Scope, account},
        looks::By,
    },
    verify::LogMark,
};
use keepwell_ledger::consent::{Decision, Origin};
use keepwell_types::{
    access::Purpose,
    member::Party,
    record::RecordKind,
    time::{BlockTime, Window},
};

use super::{Scene, Tour, fault, meaning, quoted};
use crate::failure::Failure;

impl Tour<'_> {
    pub(super) async fn why(&self, scene: &Scene, given: &GivenGrant) -> Result<(), Failure> {
        let wallet = quoted(&self.wallet_folder(scene.chart));
        let member = scene.clinician.member()?.member();
        self.command(&format!(
            "explain --as {wallet} --chart {} --member {member} --compartment normal --kind document",
            scene.chart
        ));
        let actor = scene.patient.actor(scene.chart)?;
        let client = &scene.patient.client;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let about = About::Compartment(normal, Some(RecordKind::Document));
        let mut rules = client.rules(&actor, scene.chart, LogMark::START).await?;
        let why = rules.explain(Subject::Member(member), about, Purpose::Treatment, None).await?;
        let by_grant = Origin::Grant(given.grant);
        let [explained] = &why.traces[..] else {
            return Err(fault(6, &format!("one kind has one explanation, not {:?}", why.traces)));
        };
        if explained.trace.decision != Decision::Allowed(by_grant) {
            return Err(fault(6, &format!("the grant was to decide: {}", explained.trace)));
        }
        self.result(&explained.trace.to_string());

        self.command(&format!("report accounting --as {wallet} {}", scene.chart));
        let looks = client.looks(&actor, scene.chart, LogMark::START).await?.looks;
        let of_clinician =
            looks.looks.iter().filter(|look| looks.reader(look) == Party::Member(member));
        let by: Vec<_> = of_clinician.map(|look| looks.by(look).clone()).collect();
        if by != [By::Rules(vec![by_grant]), By::Refused] {
            return Err(fault(6, &format!("one access by the grant, one refused; not {by:?}")));
        }
        let authorised = BTreeSet::new();
        let scope = Scope {
            window: Window { from: BlockTime(0), until: BlockTime(u64::MAX) },
            now: why.time,
            all: false,
            authorised: &authorised,
            suspensions: &[],
        };
        let totals = account(&looks, &scope, |_, _| {}, |_| {});
        let treatment = totals.left_out.get(&LeftOut::Treatment).copied().unwrap_or_default();
        if (totals.listed, treatment) != (0, 1) {
            return Err(fault(6, &format!("one access for treatment is not listed: {totals:?}")));
        }
        self.result(&format!(
            "0 disclosures are listed\nnot listed, since they need not be: {treatment} {}; `report looked` lists all {}",
            LeftOut::Treatment.text(),
            totals.looks
        ));
        Ok(())
    }
}
