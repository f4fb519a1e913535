//! Three of ours and an iptux in one office.

use rustix::process::Signal;
use serde_json::Value;

use super::iptux::Iptux;
use super::lan::{Feige, Lab};
use super::wire::{BR_EXIT, RECVMSG, SENDMSG, Seen, Wire};

/// A person at a desk.
struct Who {
    host: &'static str,
    addr: &'static str,
    nick: &'static str,
    group: &'static str,
}

const WANG: Who = Who { host: "h1", addr: "10.99.0.1", nick: "王小二", group: "研发部" };
const LI: Who = Who { host: "h2", addr: "10.99.0.2", nick: "李雷", group: "测试组" };
const ZHANG: Who = Who { host: "h3", addr: "10.99.0.3", nick: "张伟", group: "财务部" };
/// This one uses iptux.
const MING: Who = Who { host: "h4", addr: "10.99.0.4", nick: "小明", group: "财务部" };
const STAFF: [Who; 3] = [WANG, LI, ZHANG];

/// The GBK bytes of the first two are valid UTF-8 as well, and read as something else; the emoji
/// is in GB18030 but not in GBK.
const TEXTS: [&str; 3] = ["谢谢", "目录", "下班了 😀"];

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn everyone_sees_everyone_with_an_iptux_in_utf_8() {
    everyone_sees_everyone("utf-8");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn everyone_sees_everyone_with_an_iptux_in_gb18030() {
    everyone_sees_everyone("gb18030");
}

fn everyone_sees_everyone(charset: &str) {
    let lab = Lab::up("4");
    let wire = lab.wire();
    let (staff, iptux) = open(&lab, &wire, charset);
    for me in &STAFF {
        let mut seen: Vec<_> = lab.peers(me.host).iter().map(card).collect();
        let others = STAFF.iter().filter(|who| who.nick != me.nick).map(|who| (who, "feige"));
        let mut there: Vec<_> = others.chain([(&MING, "iptux")]).map(Who::card).collect();
        seen.sort();
        there.sort();
        assert_eq!(seen, there, "what {} sees", me.nick);
    }
    // What iptux shows of each, in its own words; its window opens when somebody writes.
    for (who, feige) in STAFF.iter().zip(&staff) {
        lab.run(who.host, &["send", MING.nick, "在吗"]).succeeds();
        iptux.tell_info(who.addr);
        let name = format!("Nickname: {}@{}\n", who.nick, who.group);
        let info = feige.event("message", |event| text(event).contains("System coding"));
        assert!(text(&info).contains(&name), "{name} in {info}");
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn texts_read_right_and_are_confirmed_with_an_iptux_in_utf_8() {
    texts_read_right_and_are_confirmed("utf-8");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn texts_read_right_and_are_confirmed_with_an_iptux_in_gb18030() {
    texts_read_right_and_are_confirmed("gb18030");
}

fn texts_read_right_and_are_confirmed(charset: &str) {
    let lab = Lab::up("4");
    let wire = lab.wire();
    let ([wang, li, zhang], iptux) = open(&lab, &wire, charset);
    // Exit code 0 is a receipt from the addressee.
    for text in TEXTS {
        lab.run(WANG.host, &["send", LI.nick, text]).succeeds();
        li.reads(text);
        lab.run(LI.host, &["send", ZHANG.nick, text]).succeeds();
        zhang.reads(text);
        lab.run(WANG.host, &["send", MING.nick, text]).succeeds();
    }
    iptux.tell_history(WANG.addr);
    let shown = shown(&wang);
    for text in TEXTS {
        assert!(shown.contains(&format!("\n{text}\n")), "{text} in {shown}");
    }
    for text in TEXTS {
        iptux.say(WANG.addr, text);
        let message = wang.reads(text);
        assert_eq!(message["peer"]["nick"], MING.nick);
        confirmed(&wire, &message, &WANG);
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_broadcast_reaches_all_and_none_of_ours_confirms_it() {
    const TEXT: &str = "大家好，三点开会 😀";
    let lab = Lab::up("4");
    let wire = lab.wire();
    let ([wang, li, zhang], iptux) = open(&lab, &wire, "utf-8");
    lab.run(WANG.host, &["broadcast", TEXT]).succeeds();
    for feige in [&li, &zhang] {
        assert_eq!(feige.reads(TEXT)["delivery"], "broadcast");
    }
    let sent = wire.first(SENDMSG, WANG.addr);
    assert_eq!(sent.chinese(), TEXT);
    // A receipt of ours would have left before these.
    for who in [&LI, &ZHANG] {
        lab.run(WANG.host, &["send", who.nick, "收到了吗"]).succeeds();
        let confirmed = |seen: &Seen| {
            seen.from.ip().to_string() == who.addr && seen.confirms() == Some(sent.number())
        };
        assert!(!wire.all(RECVMSG).iter().any(confirmed), "{} confirmed a broadcast", who.nick);
    }
    iptux.tell_history(WANG.addr);
    let shown = shown(&wang);
    assert_eq!(shown.matches(TEXT).count(), 1, "{shown}");
    for feige in [&li, &zhang] {
        assert_eq!(feige.texts(), [TEXT, "收到了吗"], "each once");
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn texts_to_several_read_right_both_ways_with_an_iptux_in_utf_8() {
    texts_to_several_read_right_both_ways("utf-8");
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn texts_to_several_read_right_both_ways_with_an_iptux_in_gb18030() {
    texts_to_several_read_right_both_ways("gb18030");
}

fn texts_to_several_read_right_both_ways(charset: &str) {
    let lab = Lab::up("4");
    let wire = lab.wire();
    let ([wang, li, zhang], iptux) = open(&lab, &wire, charset);
    // Ours: one number, confirmed by each; to people by name, and to a group.
    let ways = [vec![LI.nick, MING.nick], vec![MING.nick, ZHANG.nick], vec!["@财务部"]];
    for (to, text) in ways.iter().zip(TEXTS) {
        let done = lab.run(WANG.host, &[&["send"], &to[..], &["--", text]].concat()).succeeds();
        assert!(done.talk.contains("2 of 2 confirmed"), "{done:?}");
        assert_eq!(done.out.matches("  confirmed  ").count(), 2, "{done:?}");
    }
    for (feige, texts) in [(&li, &TEXTS[..1]), (&zhang, &TEXTS[1..])] {
        for text in texts {
            assert_eq!(feige.reads(text)["several"], true);
        }
        assert_eq!(feige.texts(), texts);
    }
    iptux.tell_history(WANG.addr);
    let shown = shown(&wang);
    for text in TEXTS {
        assert_eq!(shown.matches(&format!("\n{text}\n")).count(), 1, "{text} in {shown}");
    }
    // Its groups: a datagram and a number for each, without a wish for receipts.
    for (group, text) in [("Broadcast", "三点开会 😀"), ("10.0.0.0~10.255.255.255", "谢谢 目录")]
    {
        iptux.say_to_group(group, text);
        for (who, feige) in STAFF.iter().zip([&wang, &li, &zhang]) {
            let message = feige.reads(text);
            assert_eq!(message["peer"]["nick"], MING.nick);
            assert_eq!(message["delivery"], "broadcast");
            let number = message["number"].as_u64();
            let confirms = |seen: &Seen| {
                seen.from.ip().to_string() == who.addr && seen.confirms().map(u64::from) == number
            };
            // A receipt of its own would have left before this.
            lab.run(WANG.host, &["send", LI.nick, text]).succeeds();
            assert!(!wire.all(RECVMSG).iter().any(confirms), "{} confirmed it", who.nick);
        }
        let times = zhang.texts().iter().filter(|heard| *heard == text).count();
        assert_eq!(times, 1, "each once");
    }
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_goodbye_is_seen_by_all() {
    let lab = Lab::up("4");
    let wire = lab.wire();
    let ([wang, mut li, mut zhang], iptux) = open(&lab, &wire, "utf-8");
    for (feige, who, signal) in [(&mut li, &LI, Signal::INT), (&mut zhang, &ZHANG, Signal::TERM)] {
        feige.program.signal(signal);
        feige.program.exit();
        wire.first(BR_EXIT, who.addr);
        leaves(&wang, who);
    }
    assert_eq!(li.program.exit(), Some(130), "interrupted");
    iptux.quit();
    leaves(&wang, &MING);
    assert_eq!(lab.peers(WANG.host), [] as [Value; 0]);
}

#[test]
#[ignore = "needs root and network namespaces; .ci/run runs it"]
fn a_peer_that_is_gone_does_not_confirm() {
    let lab = Lab::up("2");
    for who in &STAFF[..2] {
        lab.settle(who.host, who.nick, who.group, "");
    }
    let wang = lab.feige(WANG.host, &["listen"]);
    let li = lab.feige(LI.host, &["listen"]);
    wang.meets(LI.nick);
    lab.ip(LI.host, "link set eth0 down");
    let done = lab.run(WANG.host, &["send", "--timeout", "3s", LI.nick, "还在吗"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(format!("{}{}", done.out, done.talk).contains("not confirmed"), "{done:?}");
    assert_eq!(li.texts(), [] as [&str; 0]);
}

/// All at their desks, everyone has seen the others come, and no more entries are under way.
fn open<'lab>(lab: &'lab Lab, wire: &Wire, charset: &str) -> ([Feige; 3], Iptux<'lab>) {
    for who in &STAFF {
        lab.settle(who.host, who.nick, who.group, "");
    }
    let wang = lab.feige(WANG.host, &["listen"]);
    let li = lab.feige(LI.host, &["listen"]);
    let iptux = Iptux::start(lab, MING.host, MING.nick, MING.group, charset);
    let zhang = lab.feige(ZHANG.host, &["listen"]);
    let staff = [wang, li, zhang];
    for (me, feige) in STAFF.iter().zip(&staff) {
        for other in STAFF.iter().chain([&MING]).filter(|other| other.nick != me.nick) {
            feige.meets(other.nick);
        }
    }
    for who in &STAFF {
        iptux.settles(wire, who.addr);
    }
    (staff, iptux)
}

/// The chat with this one as iptux shows it: the time in brackets, who, a colon, the text.
#[track_caller]
fn shown(feige: &Feige) -> String {
    let chat = |event: &Value| text(event).starts_with('(') && text(event).contains(":\n");
    text(&feige.event("message", chat)).into()
}

/// The receipt for a received message left for its sender.
#[track_caller]
fn confirmed(wire: &Wire, message: &Value, by: &Who) {
    let number = message["number"].as_u64();
    wire.seen.first("a receipt", |seen| {
        seen.mode() == RECVMSG
            && seen.from.ip().to_string() == by.addr
            && seen.confirms().map(u64::from) == number
    });
}

#[track_caller]
fn leaves(feige: &Feige, who: &Who) {
    let down = feige.event("peer_down", |event| event["peer"]["nick"] == who.nick);
    assert_eq!(down["reason"], "exit", "{down}");
}

fn text(event: &Value) -> &str {
    event["text"].as_str().unwrap_or_default()
}

impl Who {
    fn card((who, dialect): (&Who, &str)) -> [String; 4] {
        [who.nick, who.group, who.addr, dialect].map(String::from)
    }
}

/// What a peer list says of somebody.
fn card(peer: &Value) -> [String; 4] {
    ["nick", "group", "addr", "dialect"].map(|key| peer[key].as_str().unwrap_or_default().into())
}
