//! Proxies: who acts for a patient in a chart, how far and until when; and minors.
//!
//! ```text
//!           add              until: from that instant on it may do nothing
//!  (none) --------> Named ------------------------------------------------> Over
//!                     | end, by the controller or by the proxy itself
//!                     +-----> (none)
//! ```
//!
//! # Invariants
//!
//! * A proxy signs with a key that it made for this chart, so nothing tells whose proxy it is elsewhere.
//! * What a proxy does stands in the chart's log under its own name, never under the patient's.
//! * What a proxy grants ends with its own terms at the latest: of a minor, at majority.
//! * A proxy names no proxy, and gets no power that only the controller has.
//! * Of a patient who is a minor no proxy lasts longer than to majority, and from then on the organisation
//!   that opened the chart names none: the patient claims it.
//!
//! Not here: what a proxy does. The families ask for the power that they need ([`crate::signer`]).

use keepwell_types::{
    id::ChartId,
    limits::{PROXIES_MAX, PROXY_MS_MAX},
    outcome::Rejection,
    proxy::{ChartMinor, Power, ProxyAdd, ProxyEnd, ProxyTerms},
    set::PowerSet,
    time::BlockTime,
};

use crate::{
    decide::{Case, Changes, Halt},
    signer::known_proxy,
    state::{Key, Proxies, Proxy},
};

pub(crate) fn add(case: &Case<'_>, it: &ProxyAdd) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    check_terms(&it.terms, case.now())?;
    let mut proxies = proxies(case, it.chart)?;
    if let Some(at) = proxies.of_age_at.filter(|at| *at < it.terms.window.until) {
        let of_agent = chart.claim.is_some();
        // Whoever is of age and has claimed the chart names whom they like.
        if of_agent || case.now() < at {
            return Err(Rejection::OfAge { at }.into());
        }
    }
    if proxies.all.iter().any(|known| known.proxy == it.proxy) {
        return Err(Rejection::ProxyExists(it.proxy).into());
    }
    proxies.all.retain(|known| case.now() < known.terms.window.until);
    let ProxyAdd { chart: id, proxy, signing, sealing, terms } = *it;
    let max = PROXIES_MAX as u32;
    let proxy = Proxy { proxy, signing, sealing, terms };
    proxies.all.push(proxy).map_err(|_| Rejection::TooManyProxies { max })?;
    Ok(put(id, proxies))
}

/// Whether the terms can ever do anything, and end. A veto alone needs no compartment.
fn check_terms(terms: &ProxyTerms, now: BlockTime) -> Result<(), Rejection> {
    let elsewhere = terms.powers.without(PowerSet::EMPTY.with(Power::Veto));
    let idle = terms.powers.is_empty() || terms.window.is_empty();
    if idle || (!elsewhere.is_empty() && terms.compartments.is_empty()) {
        return Err(Rejection::EmptyTerms);
    }
    let until = terms.window.until;
    if until <= now {
        return Err(Rejection::WindowPassed { until, now });
    }
    check_not_too_long(until, now)
}

fn check_not_too_long(until: BlockTime, now: BlockTime) -> Result<(), Rejection> {
    if until.ms_since(now) > PROXY_MS_MAX {
        return Err(Rejection::TooLong { max_ms: PROXY_MS_MAX });
    }
    Ok(())
}

pub(crate) fn end(case: &Case<'_>, it: &ProxyEnd) -> Result<Changes, Halt> {
    // Whoever acts for the patient may always stop doing so.
    if !case.is_of_proxy(it.chart, it.proxy)? {
        case.acting_controller(it.chart)?;
        known_proxy(case.view, it.chart, it.proxy)?;
    }
    let mut proxies = proxies(case, it.chart)?;
    proxies.all.retain(|known| known.proxy != it.proxy);
    Ok(put(it.chart, proxies))
}

/// Says until when the patient is a minor: by the organisation, before the patient has claimed the chart.
pub(crate) fn minor(case: &Case<'_>, it: &ChartMinor) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    if chart.claim.is_none() {
        return Err(Rejection::NotClaimable(it.chart).into());
    }
    if it.until <= case.now() {
        return Err(Rejection::WindowPassed { until: it.until, now: case.now() }.into());
    }
    check_not_too_long(it.until, case.now())?;
    let mut proxies = proxies(case, it.chart)?;
    // Majority comes once, and no later than was said.
    if let Some(at) = proxies.of_age_at.filter(|at| *at < it.until) {
        return Err(Rejection::OfAge { at }.into());
    }
    proxies.of_age_at = Some(it.until);
    for proxy in proxies.all.iter_mut() {
        proxy.terms.window.until = proxy.terms.window.until.min(it.until);
    }
    Ok(put(it.chart, proxies))
}

fn proxies(case: &Case<'_>, chart: ChartId) -> Result<Proxies, Halt> {
    Ok(case.view.proxies(chart)?.cloned().unwrap_or_default())
}

fn put(chart: ChartId, proxies: Proxies) -> Changes {
    let key = Key::Proxies(chart);
    if proxies == Proxies::default() {
        return Changes::NONE.remove(key);
    }
    Changes::NONE.put(key, proxies)
}
