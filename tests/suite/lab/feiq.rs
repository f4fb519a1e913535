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
    assert_eq!(text, "好的 /:)[火箭]");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn groups_knocks_and_typing_cross_a_real_network() {
    let lab = Lab::up("3");
    lab.settle("h1", "小飞", "", "");
    let feige = lab.feige("h1", &["listen"]);
    let wang = lab.feiq("h2", "王小明", "080027090401");
    let li = lab.feiq("h3", "李四", "080027090402");
    feige.meets("王小明");
    feige.meets("李四");
    let at = wang.contact("小飞");
    li.contact("小飞");

    wang.act(|feiq| feiq.join_group("b4cc80e4", "开发群"));
    wang.act(|feiq| feiq.say_to_group("b4cc80e4", "大家好"));
    let message = feige.reads("大家好");
    assert_eq!(message["delivery"], "group");
    assert_eq!(message["chat"]["name"], "开发群");
    lab.run("h1", &["send", "--feiq-group", "开发群", "收到"]).succeeds();
    for feiq in [&wang, &li] {
        let text = feiq.wait("group text", |shown| match shown {
            Shown::Group { text, .. } if text == "收到" => Some(text.clone()),
            _ => None,
        });
        assert_eq!(text, "收到");
    }

    lab.run("h1", &["knock", "王小明"]).succeeds();
    wang.wait("shake", |shown| matches!(shown, Shown::Shake { .. }).then_some(()));
    wang.act(|feiq| feiq.knock(at));
    feige.event("knock", |event| event["direction"] == "in");
    wang.wait("answer", |shown| matches!(shown, Shown::Shaken { .. }).then_some(()));
    wang.act(|feiq| feiq.typing(at, true));
    feige.event("typing", |event| event["typing"] == true);
    wang.act(|feiq| feiq.probe(at));
    wang.wait("answer", |shown| matches!(shown, Shown::Probed { .. }).then_some(()));
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn an_encrypted_text_crosses_a_real_network_and_is_confirmed() {
    let lab = Lab::up("2");
    lab.settle("h1", "小飞", "", "");
    let feige = lab.feige("h1", &["listen"]);
    let wang = lab.feiq("h2", "王小明", "080027090401");
    feige.meets("王小明");
    let at = wang.contact("小飞");
    wang.act(|feiq| feiq.say_sealed(at, "工资条"));
    let message = feige.reads("工资条");
    assert_eq!(message["encryption"], "RSA-1024, Blowfish-128");
    wang.wait("receipt", |shown| matches!(shown, Shown::Confirmed { .. }).then_some(()));
}
