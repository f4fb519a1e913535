//! Lists of files that iptux shares with everybody (iptux dialect: command 0xff). Asked for, read
//! and fetched from; none is offered by us, and a list nobody asked for is ignored.

use std::net::SocketAddr;

use super::OfferRecord;
use crate::node::Parts;
use crate::node::api::files::FilesOf;
use crate::node::api::{PeerView, Refusal, Reply, Target};
use crate::node::input::RequestId;
use crate::node::peer::{Sighting, view_of_stranger};
use crate::node::timers::Timer;
use crate::node::turn::Turn;
use crate::wire::Command;
use crate::wire::body::Message;

/// A list that was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    requests: Vec<RequestId>,
    peer: PeerView,
    tries: u32,
}

impl Asked {
    fn ask(&mut self, turn: &mut Turn<'_>, addr: SocketAddr) {
        self.tries += 1;
        let number = turn.number();
        let bytes = turn.base.own.ascii(number, Command::IPTUX_ASK_SHARED, "");
        turn.transmit(None, addr, bytes, None);
        let wait = turn.base.policy.list_wait;
        turn.arm(Timer::SharedList(addr), wait);
    }
}

impl Parts {
    /// Does what `Request::FilesOf` asks for.
    pub(crate) fn files_of(&mut self, turn: &mut Turn<'_>, id: RequestId, of: &FilesOf) {
        let Self { roster, links, offers, .. } = self;
        let form = turn.base.own.form_for_strangers();
        let found = match &of.peer {
            Target::Peer(peer) => roster
                .find(peer)
                .and_then(|no| roster.get(no))
                .and_then(|peer| Some((peer.places.first()?.addr, peer.view())))
                .ok_or_else(|| Refusal::UnknownPeer { peer: peer.clone() }),
            Target::Addr(addr) => {
                let known = roster.place(*addr).map(|(peer, _)| peer.view());
                Ok((*addr, known.unwrap_or_else(|| view_of_stranger(*addr, form))))
            }
        };
        let found = found.and_then(|found| match turn.speaks() {
            true if links.is_empty() => Err(Refusal::NoLink),
            true => Ok(found),
            false => Err(Refusal::Passive),
        });
        let (addr, peer) = match found {
            Ok(found) => found,
            Err(refusal) => return turn.reply(id, Reply::Refused(refusal)),
        };
        let asked = offers.asked.entry(addr);
        let asked = asked.or_insert_with(|| Asked { requests: Vec::new(), peer, tries: 0 });
        asked.requests.push(id);
        asked.ask(turn, addr);
    }

    /// A list came. Only one that was asked for counts; it takes the place of an older one.
    pub(crate) fn shared_listed(
        &mut self,
        turn: &mut Turn<'_>,
        seen: &Sighting<'_>,
        body: &Message,
    ) {
        let Self { offers, .. } = self;
        if body.files.files.is_empty() {
            return;
        }
        let Some(Asked { requests, peer, .. }) = offers.asked.remove(&seen.from) else { return };
        turn.base.timers.disarm(Timer::SharedList(seen.from));
        let older = offers
            .open
            .values()
            .filter(|offer| offer.view.shared && offer.from == seen.from && offer.is_untouched());
        let older: Vec<_> = older.map(|offer| offer.view.offer).collect();
        for id in older {
            offers.open.remove(&id);
        }
        let id = offers.add(turn, OfferRecord::new(turn, peer, seen, body));
        for request in requests {
            let listed = offers.open.get(&id).map(|offer| offer.view.clone());
            turn.reply(request, Reply::Offers { offers: listed.into_iter().collect() });
        }
    }

    /// No list came in time: asked again, or told.
    pub(crate) fn no_list(&mut self, turn: &mut Turn<'_>, addr: SocketAddr) {
        let Some(asked) = self.offers.asked.get_mut(&addr) else { return };
        if asked.tries < turn.base.policy.list_tries {
            return asked.ask(turn, addr);
        }
        let Some(Asked { requests, peer, .. }) = self.offers.asked.remove(&addr) else { return };
        for request in requests {
            let refusal = Refusal::NoList { peer: Box::new(peer.clone()) };
            turn.reply(request, Reply::Refused(refusal));
        }
    }
}
