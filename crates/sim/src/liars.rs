//! Validators that do not keep to the protocol: two that act as one, one that sends garbage, one that nobody hears.
//!
//! A liar has the place of an honest validator and its keys. What it does to messages is done where they enter and leave
//! its part of the network, so that everything behind that is the product, as with honest ones.
//!
//! What it says when validators change is altered before it is signed.

use std::time::Duration;

use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_glue::simulate::engine::ChannelPair;
use commonware_p2p::{
    Message, Receiver as _, Recipients, Sender as _,
    simulated::{
        Receiver, Sender, SplitForwarder, SplitOrigin, SplitRouter, SplitSender, SplitTarget,
    },
};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::channel::mpsc;
use keepwell_engine::{
    block::EngineKey,
    sync::{Ask, ChartPage},
};
use keepwell_ledger::state::Changing;
use keepwell_types::{
    command::Payload,
    encoding::{Blob, List},
    id::ChartId,
    validators::{Complaint, KeyUse, ReshareCheck, ReshareDeal},
};
use rand_core::Rng as _;

/// How often garbage is sent on some channel.
const GARBAGE_PACE: Duration = Duration::from_millis(15);
/// Bytes of a piece of garbage, at most.
const GARBAGE_BYTES_MAX: usize = 2_048;
/// The channel on which new validators ask for the state.
const SYNC: usize = 5;
/// Messages of others that are kept, to be sent again or altered.
const KEPT_MAX: usize = 64;

/// What one validator does instead of what it should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lie {
    /// Two validators act with its keys, each towards some of the others: as leader they propose different blocks, and
    /// they vote for different ones.
    Twins,
    /// Beside doing its part it sends bytes that mean nothing, and what it got from others, again or altered.
    Garbage,
    /// Nobody hears it: as leader it proposes nothing. It hears the others.
    Silence,
    /// Each time it starts it has forgotten everything: its disk is a new one.
    Forgetting,
    /// When validators change, what it deals to the last of the others is wrong, and it opens no right share.
    Dealing,
    /// When validators change, it complains about every dealer.
    Accusing,
    /// When validators change, it loses the key to which shares are dealt, as a host does that is restored in between.
    Losing,
    /// It misleads those who begin from its state: it says that there are no charts.
    Misleading,
    /// It holds up those who begin from its state: it names no chart, and says that there are more.
    Dripping,
}

/// What a validator says in a change, if it says anything, who should say `said`.
pub(crate) fn said(lie: Lie, said: Vec<Payload>, changing: &Changing) -> Option<Vec<Payload>> {
    let altered = said.into_iter().map(|payload| match (lie, payload) {
        (Lie::Dealing, Payload::ReshareDeal(deal)) => {
            // What is sealed to the last receiver stands at the end.
            let mut dealing = deal.dealing.to_vec();
            *dealing.last_mut()? ^= 1;
            let dealing = Blob::from_vec(dealing).ok()?;
            Some(Payload::ReshareDeal(ReshareDeal { dealing, ..deal }))
        }
        (Lie::Dealing, Payload::ReshareOpen(_)) => None,
        (Lie::Accusing, Payload::ReshareCheck(check)) => {
            let dealers = changing.dealt.iter();
            let wrong = dealers.map(|dealer| Complaint { key: KeyUse::Release, dealer });
            let wrong = List::from_vec(wrong.collect()).ok()?;
            Some(Payload::ReshareCheck(ReshareCheck { wrong, ..check }))
        }
        (_, payload) => Some(payload),
    });
    altered.collect()
}

/// An end of a channel behind which a liar is.
pub(crate) type LyingPair<F> = (SplitSender<EngineKey, Context, F>, Receiver<EngineKey>);

/// To which of two twins another validator speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    One,
    Other,
    Both,
}

/// The ends of all channels for each of two twins. Each of the others is on a side, which lots decide.
pub(crate) fn twins(
    context: &mut Context,
    participants: &[EngineKey],
    channels: Vec<ChannelPair<EngineKey>>,
) -> [Vec<LyingPair<impl SplitForwarder<EngineKey> + use<>>>; 2] {
    let sides: Vec<_> = participants
        .iter()
        .map(|key| {
            let side = match context.next_u32() % 3 {
                0 => Side::One,
                1 => Side::Other,
                _ => Side::Both,
            };
            (key.clone(), side)
        })
        .collect();
    let hears = move |origin: SplitOrigin, key: &EngineKey| {
        let side = sides.iter().find(|(of, _)| of == key).map(|(_, side)| *side);
        let deaf = match origin {
            SplitOrigin::Primary => Side::Other,
            SplitOrigin::Secondary => Side::One,
        };
        side.is_some_and(|side| side != deaf)
    };
    let (to, from) = (hears.clone(), hears);
    let everyone = participants.to_vec();
    let forward = move |origin: SplitOrigin, recipients: &Recipients<EngineKey>, _: &_| {
        let named = match recipients {
            Recipients::All => everyone.clone(),
            Recipients::Some(keys) => keys.clone(),
            Recipients::One(key) => vec![key.clone()],
        };
        let heard: Vec<_> = named.into_iter().filter(|key| to(origin, key)).collect();
        (!heard.is_empty()).then_some(Recipients::Some(heard))
    };
    let route = move |message: &Message<EngineKey>| {
        let one = from(SplitOrigin::Primary, &message.0);
        match (one, from(SplitOrigin::Secondary, &message.0)) {
            (true, true) => SplitTarget::Both,
            (true, false) => SplitTarget::Primary,
            (false, true) => SplitTarget::Secondary,
            (false, false) => SplitTarget::None,
        }
    };
    split(context, channels, forward, route)
}

/// The ends of all channels of a validator that nobody hears.
pub(crate) fn unheard(
    context: &mut Context,
    channels: Vec<ChannelPair<EngineKey>>,
) -> Vec<LyingPair<impl SplitForwarder<EngineKey> + use<>>> {
    let nobody = |_: SplitOrigin, _: &Recipients<EngineKey>, _: &_| None;
    let [silent, _] = split(context, channels, nobody, |_: &_| SplitTarget::Primary);
    silent
}

/// The ends of all channels of a validator beside which somebody sends garbage in its name.
pub(crate) fn noisy(
    context: &mut Context,
    channels: Vec<ChannelPair<EngineKey>>,
) -> Vec<LyingPair<impl SplitForwarder<EngineKey> + use<>>> {
    let as_is =
        |_: SplitOrigin, recipients: &Recipients<EngineKey>, _: &_| Some(recipients.clone());
    let [honest, noise] = split(context, channels, as_is, |_: &_| SplitTarget::Both);
    for (sender, receiver) in noise {
        context.child("noise").spawn(move |runtime| make_noise(runtime, sender, receiver));
    }
    honest
}

/// The ends of all channels of a validator in whose place somebody tells those who begin from its state what charts there
/// are.
pub(crate) fn misleading(
    context: &Context,
    mut channels: Vec<ChannelPair<EngineKey>>,
    drips: bool,
) -> Vec<LyingPair<impl SplitForwarder<EngineKey> + use<>>> {
    let as_is =
        |_: SplitOrigin, recipients: &Recipients<EngineKey>, _: &_| Some(recipients.clone());
    let after = channels.split_off(SYNC + 1);
    let sync = channels.split_off(SYNC);
    let [mut honest, _] = split(context, channels, as_is, |_: &_| SplitTarget::Primary);
    let [told, misled] = split(context, sync, as_is, |message: &Message<EngineKey>| {
        match charts_asked(message.1.as_ref()) {
            Some(_) => SplitTarget::Secondary,
            None => SplitTarget::Primary,
        }
    });
    let [rest, _] = split(context, after, as_is, |_: &_| SplitTarget::Primary);
    honest.extend(told.into_iter().chain(rest));
    for (sender, receiver) in misled {
        context.child("misled").spawn(move |_| mislead(sender, receiver, drips));
    }
    honest
}

/// The number of a question for charts, and the chart after which they are asked for.
fn charts_asked(message: &[u8]) -> Option<(&[u8], Option<ChartId>)> {
    // A question: its number, 0, and what is asked. An answer: the same number, 1, and the answer.
    let (number, [0, ask @ ..]) = message.split_at_checked(8)? else { return None };
    match Ask::decode(Bytes::copy_from_slice(ask)) {
        Ok(Ask::Charts { after, .. }) => Some((number, after)),
        Ok(Ask::Tip { .. } | Ask::Steps(_) | Ask::Log { .. }) | Err(_) => None,
    }
}

async fn mislead<F: SplitForwarder<EngineKey>>(
    mut sender: SplitSender<EngineKey, Context, F>,
    mut receiver: Receiver<EngineKey>,
    drips: bool,
) {
    while let Ok((from, message)) = receiver.recv().await {
        let Some((number, after)) = charts_asked(message.as_ref()) else { continue };
        let next = drips.then(|| following(after));
        let answer = keepwell_types::encode(&ChartPage { charts: List::new(), next });
        let answer = Bytes::from(answer).encode();
        let message = [number, &[1], &answer].concat();
        sender.send(Recipients::One(from), message, false);
    }
}

/// The lowest id above another one.
fn following(after: Option<ChartId>) -> ChartId {
    let mut next = after.map_or([0; 32], |it| it.0);
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    ChartId(next)
}

async fn make_noise<F: SplitForwarder<EngineKey>>(
    mut runtime: Context,
    mut sender: SplitSender<EngineKey, Context, F>,
    mut receiver: Receiver<EngineKey>,
) {
    let (hear, mut heard) = mpsc::channel::<Vec<u8>>(KEPT_MAX);
    runtime.child("ear").spawn(move |_| async move {
        while let Ok((_, message)) = receiver.recv().await {
            // What does not fit is not needed.
            let _ = hear.try_send(message.as_ref().to_vec());
        }
    });
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        runtime.sleep(GARBAGE_PACE).await;
        while let Ok(message) = heard.try_recv() {
            if kept.len() == KEPT_MAX {
                kept.remove(0);
            }
            kept.push(message);
        }
        let mut below = |max: usize| runtime.next_u32() as usize % max.max(1);
        let mut message = match kept.get(below(kept.len())) {
            Some(message) => message.clone(),
            None => vec![0; below(GARBAGE_BYTES_MAX)],
        };
        match below(4) {
            // Again, as it was.
            0 => {}
            1 => message.truncate(below(message.len())),
            2 if !message.is_empty() => {
                let at = below(message.len());
                message[at] ^= 1 << below(8);
            }
            _ => message = (0..below(GARBAGE_BYTES_MAX)).map(|_| below(256) as u8).collect(),
        }
        sender.send(Recipients::All, message, false);
    }
}

fn split<F, R>(
    context: &Context,
    channels: Vec<ChannelPair<EngineKey>>,
    forward: F,
    route: R,
) -> [Vec<LyingPair<F>>; 2]
where
    F: SplitForwarder<EngineKey>,
    R: SplitRouter<EngineKey> + Clone,
{
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (sender, receiver) in channels {
        let sender: Sender<EngineKey, Context> = sender;
        let (one, other) = sender.split_with(forward.clone());
        let (to_one, to_other) = receiver.split_with(context.child("split"), route.clone());
        first.push((one, to_one));
        second.push((other, to_other));
    }
    [first, second]
}
