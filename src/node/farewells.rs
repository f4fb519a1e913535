//! Who said goodbye just now: what they sent before it may be heard after it, because a broadcast
//! and a unicast overtake each other, on the air and in two sockets. It must not bring them back,
//! for nobody would say goodbye again.
//!
//! What was sent before has a lower packet number. Only answers and absences are ignored for it: who
//! enters may have started anew, with numbers from 1, and a message is taken whenever it comes. A
//! repeat of one is confirmed again and says nothing of where its sender is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::api::PeerId;
use super::handover::before;
use super::input::Tick;
use super::peer::Sighting;
use crate::wire::{Command, PacketNo};

/// The goodbyes of the last moments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Farewells(VecDeque<Farewell>);

#[derive(Debug)]
struct Farewell {
    at: Tick,
    from: SocketAddr,
    key: String,
    number: PacketNo,
    /// Who it was, where it was known there.
    peer: Option<PeerId>,
}

/// A goodbye, as one process tells the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FarewellNote {
    ago: Duration,
    from: SocketAddr,
    key: String,
    number: PacketNo,
    peer: Option<PeerId>,
}

/// How long something may be on its way: an access point holds broadcasts back for less than a
/// second.
const SPAN: Duration = Duration::from_secs(2);
/// Most goodbyes remembered.
const FAREWELLS_MAX: usize = 1_024;

impl Farewells {
    /// Somebody says goodbye; `peer` was known at this address.
    pub(crate) fn note(&mut self, now: Tick, seen: &Sighting<'_>, peer: Option<PeerId>) {
        self.forget(now);
        if self.0.len() >= FAREWELLS_MAX {
            self.0.pop_front();
        }
        let (from, key, number) = (seen.from, seen.key(), seen.packet.number);
        self.0.push_back(Farewell { at: now, from, key, number, peer });
    }

    /// What the next owner of the port is told of those that are not long past.
    pub(crate) fn notes(&self, now: Tick) -> Vec<FarewellNote> {
        let recent = self.0.iter().filter(|it| now - it.at < SPAN);
        let note = |it: &Farewell| FarewellNote {
            ago: now - it.at,
            from: it.from,
            key: it.key.clone(),
            number: it.number,
            peer: it.peer.clone(),
        };
        recent.map(note).collect()
    }

    /// Takes over what the process before this one heard.
    pub(crate) fn restore(&mut self, now: Tick, notes: Vec<FarewellNote>) {
        self.0.extend(notes.into_iter().map(|FarewellNote { ago, from, key, number, peer }| {
            Farewell { at: before(now, ago), from, key, number, peer }
        }));
    }

    /// Whether a packet shows somebody who said goodbye after sending it.
    pub(crate) fn is_late(&mut self, now: Tick, seen: &Sighting<'_>) -> bool {
        matches!(seen.packet.command, Command::ANSENTRY | Command::BR_ABSENCE)
            && self.after(now, seen).next().is_some()
    }

    /// Who sent this packet, if it said goodbye after that.
    pub(crate) fn late_sender(&mut self, now: Tick, seen: &Sighting<'_>) -> Option<&PeerId> {
        self.after(now, seen).find_map(|it| it.peer.as_ref())
    }

    /// Goodbyes of the sender of this packet that it said after sending it, the newest first.
    fn after(&mut self, now: Tick, seen: &Sighting<'_>) -> impl Iterator<Item = &Farewell> {
        self.forget(now);
        let (from, key, number) = (seen.from, seen.key(), seen.packet.number);
        let after = move |it: &&Farewell| it.from == from && number < it.number && it.key == key;
        self.0.iter().rev().filter(after)
    }

    fn forget(&mut self, now: Tick) {
        while self.0.front().is_some_and(|it| now - it.at >= SPAN) {
            self.0.pop_front();
        }
    }
}
