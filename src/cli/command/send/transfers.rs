//! What becomes of offered files with each recipient, beside what becomes of the message.

use std::collections::BTreeMap;

use crate::cli::bars::Bars;
use crate::cli::client::{Awaited, Client};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::files;
use crate::io::Stamped;
use crate::node::{
    Direction, Event, ItemState, OfferId, OfferView, PacketNo, PeerId, PeerView, Request,
    TransferOutcome, Transferred,
};

use super::super::get;
use super::report::Report;

/// Follows the transfers of one message's files until each recipient has fetched or refused all of
/// them.
pub(super) struct Transfers {
    number: PacketNo,
    /// Offers still to be told of: one for each recipient.
    missing: usize,
    /// Offers that ended before anybody told of them.
    untold: usize,
    offers: BTreeMap<OfferId, Offer>,
    /// Something in a folder that was fetched could not be read.
    lacking: bool,
    /// The message is kept for those who are away.
    later: bool,
    bars: Bars,
}

struct Offer {
    label: String,
    peer: PeerId,
    /// Its recipient is away: it waits with the message.
    queued: bool,
    /// How each item ended; none while it may still be fetched.
    items: Vec<Option<TransferOutcome>>,
}

impl Transfers {
    pub(super) fn new(
        report: &mut Report,
        number: PacketNo,
        recipients: usize,
        later: bool,
    ) -> Self {
        let bars = Bars::new(report.feed().style());
        let (missing, untold, offers, lacking) = (recipients, 0, BTreeMap::new(), false);
        Self { number, missing, untold, offers, lacking, later, bars }
    }

    /// Until nothing more can come: of the message, nor, unless `detach`ed, of its files.
    pub(super) async fn watch(
        &mut self,
        client: &mut Client,
        report: &mut Report,
        detach: bool,
    ) -> Result<(), CliError> {
        let mut said = false;
        loop {
            let receipts = report.is_settled();
            if receipts && self.missing == 0 && (detach || self.is_settled()) {
                return Ok(());
            }
            if receipts && !detach && !said {
                said = true;
                report.feed().style().say(if self.later {
                    "on offer until it is fetched or refused; after Ctrl-C, by the node that runs"
                } else {
                    client.waits_for(Some(Awaited::Fetches(self.number)));
                    "on offer until it is fetched or refused; Ctrl-C takes it back"
                });
            }
            let Some(stamped) = client.next_event().await? else {
                report.feed().style().say(
                    "the node was stopped; what was not fetched stays on \
                                           offer when it starts again",
                );
                return Ok(());
            };
            if let Event::Progress(moving) = &stamped.event
                && moving.number == self.number
                && !report.feed().style().json
            {
                self.bars.show(moving);
                continue;
            }
            if matches!(stamped.event, Event::Lagged { .. }) && !client.catch_up() {
                self.look(&get::offers(client, Request::Offers).await?, report);
            }
            self.bars.hide();
            report.hear(&stamped).await?;
            self.hear(&stamped, report).await?;
            report.feed().flush().await?;
            self.bars.redraw();
        }
    }

    fn is_settled(&self) -> bool {
        let settled = |offer: &Offer| offer.queued || offer.items.iter().all(Option::is_some);
        self.offers.values().all(settled)
    }

    /// Its recipient is away, or came.
    fn queue(&mut self, peer: &PeerView, queued: bool) {
        for offer in self.offers.values_mut().filter(|offer| offer.peer == peer.id) {
            offer.queued = queued;
        }
    }

    async fn hear(&mut self, stamped: &Stamped, report: &mut Report) -> Result<(), CliError> {
        match &stamped.event {
            Event::Offer(offer) if offer.number == self.number => self.offered(offer, report),
            Event::Progress(moving) if moving.number == self.number => {}
            Event::Queued { number, peer, .. } if *number == self.number => {
                self.queue(peer, true);
                return Ok(());
            }
            Event::Delivered { number, peer, .. } if *number == self.number => {
                self.queue(peer, false);
                return Ok(());
            }
            Event::Transferred(end) if end.number == self.number => {
                let label = self.ended(end);
                self.bars.hide();
                if !report.feed().style().json {
                    let words = format!("{label}  {}", files::transferred(end));
                    return report.feed().line(words).await;
                }
            }
            _ => return Ok(()),
        }
        if report.feed().style().json {
            report.feed().event(stamped.seq, stamped.at, &stamped.event).await?;
        }
        Ok(())
    }

    /// Events were missed and nothing is kept: what is on offer no more ended, nobody says how.
    fn look(&mut self, listed: &[OfferView], report: &mut Report) {
        let ours =
            |offer: &&OfferView| offer.direction == Direction::Out && offer.number == self.number;
        let listed: Vec<&OfferView> = listed.iter().filter(ours).collect();
        for offer in &listed {
            if !self.offers.contains_key(&offer.offer) {
                self.offered(offer, report);
            }
        }
        self.untold += std::mem::take(&mut self.missing);
        for (id, offer) in &mut self.offers {
            let listed = listed.iter().find(|listed| listed.offer == *id);
            let state = |at: usize| listed.and_then(|listed| listed.items.get(at)).map(|i| i.state);
            for (at, item) in offer.items.iter_mut().enumerate().filter(|(_, i)| i.is_none()) {
                *item = match state(at) {
                    Some(ItemState::Waiting | ItemState::Queued | ItemState::Moving) => None,
                    Some(ItemState::Done) => Some(TransferOutcome::Done),
                    Some(ItemState::Over) | None => Some(TransferOutcome::Withdrawn),
                };
            }
        }
    }

    /// Finds out what is on offer still: to those who did not confirm nothing is, which is told only
    /// after their message failed.
    pub(super) async fn look_again(
        &mut self,
        client: &mut Client,
        report: &mut Report,
    ) -> Result<(), CliError> {
        let before = self.open().len();
        if before > 0 {
            self.look(&get::offers(client, Request::Offers).await?, report);
        }
        if self.open().len() < before {
            report.feed().style().say("nothing is on offer to those who did not confirm");
        }
        Ok(())
    }

    fn offered(&mut self, offer: &OfferView, report: &mut Report) {
        let bytes = offer.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.size));
        let label = report.feed().human().label(&offer.peer);
        self.bars.begin(offer.offer, &label, bytes);
        let known = |state| (state == ItemState::Done).then_some(TransferOutcome::Done);
        let items = offer.items.iter().map(|item| known(item.state)).collect();
        let own = Offer { label, peer: offer.peer.id.clone(), queued: false, items };
        if self.offers.insert(offer.offer, own).is_none() {
            self.missing = self.missing.saturating_sub(1);
        }
    }

    /// Notes how an item ended; who it was.
    fn ended(&mut self, end: &Transferred) -> String {
        self.bars.note(end.offer, end.item, end.resumed + end.bytes);
        self.lacking |= end.unreadable > 0 && end.outcome == TransferOutcome::Done;
        let Some(offer) = self.offers.get_mut(&end.offer) else { return end.peer.nick.clone() };
        let place = usize::try_from(end.item).unwrap_or(usize::MAX).wrapping_sub(1);
        // What broke off may be asked for again.
        if let Some(item) = offer.items.get_mut(place)
            && end.outcome != TransferOutcome::Broken
        {
            *item = Some(end.outcome);
        }
        if offer.items.iter().all(Option::is_some) {
            self.bars.end(end.offer);
        }
        offer.label.clone()
    }

    /// Short numbers of what is on offer still.
    pub(super) fn open(&self) -> Vec<OfferId> {
        let open = self.offers.iter().filter(|(_, offer)| offer.items.iter().any(Option::is_none));
        open.map(|(&id, _)| id).collect()
    }

    /// Whether everybody has everything.
    pub(super) fn exit(&self) -> Exit {
        let done =
            |offer: &Offer| offer.items.iter().all(|item| *item == Some(TransferOutcome::Done));
        let told = self.missing + self.untold == 0;
        if told && !self.lacking && self.offers.values().all(done) {
            Exit::Done
        } else {
            Exit::Partly
        }
    }
}
