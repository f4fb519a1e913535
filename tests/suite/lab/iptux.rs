//! A real iptux on a host.

use std::path::PathBuf;

use super::lan::Lab;
use super::wire::{ANSENTRY, BR_ENTRY, Seen, Wire};

pub(super) struct Iptux<'a> {
    lab: &'a Lab,
    host: &'a str,
}

impl<'a> Iptux<'a> {
    /// Starts it with its preferred charset; returns when it listens.
    pub(super) fn start(
        lab: &'a Lab,
        host: &'a str,
        nick: &str,
        group: &str,
        charset: &str,
    ) -> Self {
        Self::sharing(lab, host, [nick, group, charset], &[])
    }

    /// As [`Self::start`] with nickname, group and charset; these files and folders are shared with
    /// everybody.
    pub(super) fn sharing(lab: &'a Lab, host: &'a str, who: [&str; 3], paths: &[&str]) -> Self {
        lab.script("iptux.sh", &[&["start", host], &who[..], paths].concat());
        Self { lab, host }
    }

    /// Waits until it has answered the second entry of a feige that started at `addr`, in both
    /// copies: to everybody, and to the subnet. Before that its windows are better left alone,
    /// for an entry whose sender's chat is open may crash it: the thread that receives rewrites the
    /// panel there that another one draws.
    #[track_caller]
    pub(super) fn settles(&self, wire: &Wire, addr: &str) {
        let here = format!("10.99.0.{}", self.host.trim_start_matches('h'));
        wire.seen.wait(&format!("the second entry of {addr} answered by iptux"), |seen| {
            let of_ours = |seen: &&Seen| seen.is(BR_ENTRY, addr);
            let first = seen.iter().find(of_ours)?.number();
            let again = seen.iter().position(|seen| of_ours(&seen) && seen.number() != first)?;
            let answers = seen[again..]
                .iter()
                .filter(|seen| seen.is(ANSENTRY, &here) && seen.to.ip().to_string() == addr);
            (answers.count() == 2).then_some(())
        });
    }

    /// Lets its user accept all that `addr` offers.
    pub(super) fn accept(&self, addr: &str) {
        self.lab.script("iptux.sh", &["accept", self.host, addr]);
    }

    /// Lets its user offer a file to `addr`.
    pub(super) fn offer(&self, addr: &str, path: &str) {
        self.lab.script("iptux.sh", &["offer", self.host, addr, path]);
    }

    /// Where it puts what it receives.
    pub(super) fn downloads(&self) -> PathBuf {
        self.lab.scripts_home(&format!("{}-iptux/download", self.lab.namespace(self.host)))
    }

    /// Types a text into its chat with `addr`, which must be open: it opens when `addr` writes.
    pub(super) fn say(&self, addr: &str, text: &str) {
        self.lab.script("iptux.sh", &["say", self.host, addr, text]);
    }

    /// Types a text into its window of a group in its list: `Broadcast` is everybody.
    pub(super) fn say_to_group(&self, group: &str, text: &str) {
        self.lab.script("iptux.sh", &["group", self.host, group, text]);
    }

    /// Lets it send `addr` the panel that shows its user who `addr` is.
    pub(super) fn tell_info(&self, addr: &str) {
        self.lab.script("iptux.sh", &["tell", self.host, addr, "info"]);
    }

    /// Lets it send `addr` the chat with it as its user sees it.
    pub(super) fn tell_history(&self, addr: &str) {
        self.lab.script("iptux.sh", &["tell", self.host, addr, "history"]);
    }

    /// Quits it by its own shortcut, with a goodbye.
    pub(super) fn quit(self) {
        self.lab.script("iptux.sh", &["quit", self.host]);
    }
}
