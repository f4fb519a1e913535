//! What faces ask, and where it goes.

use std::time::Duration;

use super::Parts;
use super::api::{Refusal, Reply, Request, Status};
use super::effect::BookRecord;
use super::input::{RequestId, UnixMillis};
use super::letters::Letter;
use super::pictures::PictureLetter;
use super::turn::{Turn, Voice};
use crate::wire::Command;

impl Parts {
    /// Does what a face asks, or has a part do it.
    pub(super) fn request(
        &mut self,
        turn: &mut Turn<'_>,
        id: RequestId,
        request: Request,
        since: UnixMillis,
    ) {
        let reply = match request {
            Request::Peers => Reply::Peers { peers: self.roster.views() },
            Request::Seen => Reply::Seen { seen: turn.base.remembered.seen().cloned().collect() },
            Request::RollCall if turn.base.voice == Voice::Passive => {
                Reply::Refused(Refusal::Passive)
            }
            Request::RollCall => {
                let Self { presence, roster, links, .. } = self;
                let wait = presence.call_roll(turn, roster, links);
                Reply::RollCall { wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
            }
            Request::Broadcast { text } => return self.broadcast(turn, id, &text),
            Request::Send { to, text, check, timeout_ms, wishes } => {
                let timeout = Duration::from_millis(timeout_ms);
                return self.send(turn, id, &Letter { to, text, check, timeout, wishes });
            }
            Request::Knock { to } => self.knock(turn, &to),
            Request::Typing { to, typing } => self.type_to(turn, &to, typing),
            Request::SetOffice { charset } => self.set_office(turn, charset),
            Request::SetCharset { peer, charset } => {
                return self.set_charset(turn, id, &peer, charset);
            }
            Request::Groups => Reply::Groups { groups: self.groups.views() },
            Request::SendToGroup { group, text } => {
                return self.send_to_group(turn, id, &group, &text);
            }
            Request::SendPicture { to, path, timeout_ms, wishes } => {
                let timeout = Duration::from_millis(timeout_ms);
                return self.send_picture(turn, id, PictureLetter { to, path, timeout, wishes });
            }
            Request::Cancel { number } => {
                self.cancel_picture(turn, number);
                self.outbox.cancel(turn, &self.roster, id, number);
                return self.serving.withdraw_all(turn, number);
            }
            Request::Outbox => Reply::Outbox { waiting: self.outbox.views(&self.roster) },
            Request::Retry { number } => {
                self.retry(turn, number).map_or_else(Reply::Refused, |()| Reply::Done)
            }
            Request::Rename { nick, group } => {
                let identity = &mut turn.base.own.identity;
                if identity.nick != nick || identity.group != group {
                    (identity.nick, identity.group) = (nick, group);
                    let Self { presence, roster, links, .. } = self;
                    presence.announce(turn, roster, links, Command::BR_ABSENCE, None);
                }
                Reply::Done
            }
            Request::Offers => {
                let mut offers = self.offers.views();
                offers.extend(self.serving.views());
                offers.sort_by_key(|offer| offer.offer);
                Reply::Offers { offers }
            }
            Request::Withdraw { offer } => match self.serving.withdraw(turn, offer) {
                Ok(()) => Reply::Done,
                Err(refusal) => Reply::Refused(refusal),
            },
            Request::Get(get) => return self.get(turn, id, &get),
            Request::Refuse { picks } => return self.refuse(turn, id, &picks),
            Request::FilesOf(of) => return self.files_of(turn, id, &of),
            Request::Open { seq } => return self.open(turn, id, seq),
            Request::Away { text } => return self.absent(turn, id, Some(text)),
            Request::Back => return self.absent(turn, id, None),
            Request::Book => self.book.view(),
            Request::SetAlias { alias } => {
                return self.change_book(turn, id, BookRecord::Named(alias));
            }
            Request::RemoveAlias { name } => {
                return self.change_book(turn, id, BookRecord::Unnamed { name });
            }
            Request::Block { peer } => {
                return self.change_book(turn, id, BookRecord::Blocked(peer));
            }
            Request::Unblock { peer } => {
                return self.change_book(turn, id, BookRecord::Unblocked { peer });
            }
            Request::Status => Reply::Status(Box::new(self.status(turn, since))),
            Request::Stop => Reply::Done,
        };
        turn.reply(id, reply);
    }

    fn status(&self, turn: &Turn<'_>, since: UnixMillis) -> Status {
        let own = &turn.base.own;
        Status {
            version: own.version(),
            nick: own.identity.nick.clone(),
            group: own.identity.group.clone(),
            user: own.identity.user.clone(),
            host: own.identity.host.clone(),
            identity: own.identity.mac.clone(),
            port: own.port,
            passive: turn.base.voice == Voice::Passive,
            away: own.away.clone(),
            keeps: turn.base.keeps,
            since,
            links: self.links.iter().cloned().collect(),
            peers: self.roster.len(),
            store_trouble: turn.base.store_fails.clone(),
            waiting: self.outbox.len() + self.pictures.sending(),
            counters: turn.base.counters,
            shell: None,
        }
    }
}
