//! FeiQ users on a real network: the simulated FeiQ of `support/feiq` on hosts of the lab.

use super::lan::Lab;
use crate::support::feiq::program::Program;
use crate::support::feiq::{Feiq, Shown};

impl Lab {
    /// A FeiQ on this host.
    pub(super) fn feiq(&self, host: &str, nick: &str, mac: &str) -> Program {
        Program::in_namespace(Feiq::new(nick, mac), &self.namespace(host), feige::node::PORT)
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_feiq_and_we_write_to_each_other() {
    let lab = Lab::up("2");
    lab.settle("h1", "小飞", "", "");
    let feige = lab.feige("h1", &["listen"]);
    let feiq = lab.feiq("h2", "王小明", "080027090401");
    feige.meets("王小明");
    let at = feiq.contact("小飞");
    feiq.act(|feiq| feiq.say(at, "下班一起吃饭？"));
    let message = feige.reads("下班一起吃饭？");
    assert_eq!(message["peer"]["dialect"], "feiq");
    feiq.wait("receipt", |shown| matches!(shown, Shown::Confirmed { .. }).then_some(()));
    lab.run("h1", &["send", "王小明", "好的 🙂🚀"]).succeeds();
    let text = feiq.wait("text", |shown| match shown {
        Shown::Text { text, .. } => Some(text.clone()),
        _ => None,
    });
    assert_eq!(text, "好的 /:)[U+1F680]");
}
