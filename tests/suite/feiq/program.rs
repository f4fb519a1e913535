//! The real program and a simulated FeiQ on the loopback network.

use std::net::SocketAddr;

use serde_json::json;

use crate::json::Page;
use crate::support::feiq::program::Program;
use crate::support::feiq::{Feiq, Shown};
use crate::support::home::{Lan, TestHome};
use crate::support::process::Process;

/// A feige that listens, and a FeiQ that knows it.
struct Office {
    lan: Lan,
    home: TestHome,
    feige: Process,
    feiq: Program,
    /// Where the FeiQ sees us.
    at: SocketAddr,
}

impl Office {
    fn new(args: &[&str]) -> Self {
        let lan = Lan::new();
        let home = lan.home("小飞");
        let feige = home.start(&[&["--json", "listen"], args].concat());
        let feiq = Program::on_loopback(Feiq::new("王小明", "080027090471"), lan.addr(), lan.port);
        let at = feiq.contact("小飞");
        if args.is_empty() {
            feige.out.event("peer_up", |event| event["peer"]["nick"] == "王小明");
        }
        Self { lan, home, feige, feiq, at }
    }

    fn text(&self, encrypted: bool) -> String {
        self.feiq.wait("text", |shown| match shown {
            Shown::Text { text, encrypted: was, .. } if *was == encrypted => Some(text.clone()),
            _ => None,
        })
    }
}

#[test]
fn a_feiq_user_and_a_terminal_write_to_each_other() {
    let office = Office::new(&[]);
    office.feiq.act(|feiq| feiq.say(office.at, "下班一起吃饭？ /:)"));
    let message = office.feige.out.event("message", |event| event["direction"] == "in");
    assert_eq!(message["text"], "下班一起吃饭？ /:)");
    assert_eq!(message["shown"], "下班一起吃饭？ 🙂");
    assert_eq!(message["charset"], "gbk");
    assert_eq!(message["font"]["color"], "#004080");
    office.feiq.wait("receipt", |s| matches!(s, Shown::Confirmed { .. }).then_some(()));
    office.home.run(&["send", "王小明", "好的 👍🏽 {ok;}"]).code(0);
    assert_eq!(office.text(false), "好的 /:strong {ok;}");
}

#[test]
fn knocks_go_both_ways() {
    let office = Office::new(&[]);
    let done = office.home.run(&["knock", "王小明"]).code(0);
    assert!(done.out.contains("felt the knock"), "{done:?}");
    office.feiq.wait("shake", |s| matches!(s, Shown::Shake { .. }).then_some(()));
    let ended = office.feige.out.event("knock", |event| event["direction"] == "out");
    assert_eq!(ended["outcome"], "confirmed");
    assert!(ended["seq"].is_u64(), "part of the stream");
    office.feiq.act(|feiq| feiq.knock(office.at));
    office.feige.out.event("knock", |event| event["direction"] == "in");
    office.feiq.wait("answer", |s| matches!(s, Shown::Shaken { .. }).then_some(()));
    // Whoever knows no knock gets a message.
    let mut old = office.lan.stranger();
    old.broadcast(b"1:5:old:pc9:1:old\0");
    office.feige.out.event("peer_up", |event| event["peer"]["nick"] == "old");
    let knocking = office.home.start(&["knock", "old"]);
    let number = old.expect_number(0x20);
    old.send(format!("1:6:old:pc9:33:{number}\0").as_bytes(), office.home.addr);
    knocking.out.line("knows no knock, and got a message");
}

#[test]
fn a_knock_at_nobody_is_told_and_exits_with_1() {
    let office = Office::new(&[]);
    let done = office.home.run(&["knock", "127.8.0.200"]).code(1);
    assert!(done.out.contains("did not answer the knock"), "{done:?}");
}

#[test]
fn typing_is_heard() {
    let office = Office::new(&[]);
    office.feiq.act(|feiq| feiq.typing(office.at, true));
    let event = office.feige.out.event("typing", |event| event["typing"] == true);
    assert_eq!(event["peer"]["nick"], "王小明");
    assert!(event.get("seq").is_none(), "passing");
    office.feiq.act(|feiq| feiq.typing(office.at, false));
    office.feige.out.event("typing", |event| event["typing"] == false);
}

#[test]
fn a_verbose_listener_is_told_who_types_and_others_are_not() {
    let office = Office::new(&[]);
    let verbose = office.home.start(&["listen", "-v"]);
    let quiet = office.home.start(&["listen"]);
    for listener in [&verbose, &quiet] {
        listener.out.line("王小明");
    }
    office.feiq.act(|feiq| feiq.typing(office.at, true));
    verbose.out.line("is typing");
    office.feiq.act(|feiq| feiq.say(office.at, "fertig"));
    quiet.out.line("fertig");
    assert!(!quiet.out.all().iter().any(|line| line.contains("typing")));
}

#[test]
fn groups_are_heard_listed_and_written_to() {
    let office = Office::new(&["--group", "开发群"]);
    office.feiq.act(|feiq| feiq.join_group("b4cc80e4", "开发群"));
    office.feiq.act(|feiq| feiq.say_to_group("b4cc80e4", "大家好"));
    let message = office.feige.out.event("message", |event| event["direction"] == "in");
    assert_eq!((&message["delivery"], &message["text"]), (&json!("group"), &json!("大家好")));
    assert_eq!(message["chat"], json!({"id": "b4cc80e4", "name": "开发群"}));
    assert_eq!(message["encryption"], json!(null));
    let done = office.home.run(&["peers", "--feiq-groups"]).code(0);
    assert!(done.out.contains("b4cc80e4") && done.out.contains("开发群"), "{done:?}");
    let lines = office.home.run(&["peers", "--feiq-groups", "--json"]).code(0).lines();
    assert_eq!((lines.len(), &lines[0]["v"], &lines[0]["id"]), (1, &json!(1), &json!("b4cc80e4")));
    Page::read().describes("object", "group_line", lines[0].as_object().expect("an object"));
    let done = office.home.run(&["send", "--feiq-group", "开发群", "收到", "👌"]).code(0);
    assert!(done.out.contains("[开发群]") && done.err.contains("experimental"), "{done:?}");
    let (group, text) = office.feiq.wait("group text", |shown| match shown {
        Shown::Group { group, text, .. } => Some((group.clone(), text.clone())),
        _ => None,
    });
    assert_eq!((group.as_str(), text.as_str()), ("b4cc80e4", "收到 /:sayok"));
    let done = office.home.run(&["send", "--feiq-group", "nobody's", "x"]);
    assert_ne!(done.code, Some(0));
    assert!(done.err.contains("1 to 16 hexadecimal digits"), "{done:?}");
}

#[test]
fn encrypted_texts_are_read_also_after_a_restart() {
    let office = Office::new(&[]);
    office.feiq.act(|feiq| feiq.say_sealed(office.at, "工资条"));
    let message = office.feige.out.event("message", |event| event["text"] == "工资条");
    assert_eq!(message["encryption"], "RSA-1024, Blowfish-128");
    office.feiq.wait("receipt", |s| matches!(s, Shown::Confirmed { .. }).then_some(()));
    let Office { home, feige, feiq, at, .. } = office;
    drop(feige);
    let feige = home.start(&["--json", "listen"]);
    feige.out.event("peer_up", |event| event["peer"]["nick"] == "王小明");
    // FeiQ keeps our key and asks for no other.
    feiq.act(|feiq| feiq.say_sealed(at, "noch einmal"));
    feige.out.event("message", |event| event["text"] == "noch einmal");
}

#[test]
fn a_charset_is_fixed_shown_and_taken_back() {
    let office = Office::new(&[]);
    let tanaka = office.lan.stranger();
    tanaka.broadcast(b"1:5:tanaka:pc:1:tanaka\0");
    office.feige.out.event("peer_up", |event| event["peer"]["nick"] == "tanaka");
    let done = office.home.run(&["charset", "tanaka", "shift_jis"]).code(0);
    assert!(done.out.contains("shift_jis (pinned)"), "{done:?}");
    let text = [&b"1:6:tanaka:pc:32:"[..], b"\x89\xef\x8b\x63\0"].concat();
    tanaka.send(&text, office.home.addr);
    office.feige.out.event("message", |event| event["text"] == "会議");
    assert!(office.home.run(&["peers", "-v"]).code(0).out.contains("shift_jis (pinned)"));
    let done = office.home.run(&["charset", "tanaka", "auto"]).code(0);
    assert!(!done.out.contains("pinned"), "{done:?}");
    let done = office.home.run(&["charset", "tanaka", "klingon"]).code(2);
    assert!(done.err.contains("klingon"), "{done:?}");
}

#[test]
fn a_charset_is_fixed_for_those_who_are_remembered_with_and_without_a_node() {
    let lan = Lan::new();
    let home = lan.home("小飞");
    let tanaka = lan.stranger();
    let mut feige = home.start(&["--json", "listen"]);
    crate::support::process::until("a node", || home.run(&["node", "status"]).code == Some(0));
    tanaka.broadcast(b"1:5:tanaka:pc:1:tanaka\0");
    feige.out.event("peer_up", |event| event["peer"]["nick"] == "tanaka");
    let stop = |feige: &mut Process| {
        feige.signal(rustix::process::Signal::TERM);
        feige.exit();
    };
    stop(&mut feige);

    // Without a node: nobody enters the LAN for it.
    let done = home.run(&["charset", "tanaka"]).code(0);
    assert!(!done.out.contains("pinned"), "{done:?}");
    let done = home.run(&["charset", "tanaka", "shift_jis"]).code(0);
    assert!(done.out.contains("tanaka") && done.out.contains("shift_jis (pinned)"), "{done:?}");
    assert!(home.run(&["charset", "tanaka"]).code(0).out.contains("shift_jis (pinned)"));
    assert!(home.run(&["charset", &tanaka.addr().ip().to_string()]).code(0).out.contains("pinned"));
    // From its first packet on.
    let feige = home.start(&["--json", "listen"]);
    crate::support::process::until("a node", || home.run(&["node", "status"]).code == Some(0));
    let meeting = [&b"1:6:tanaka:pc:32:"[..], b"\x89\xef\x8b\x63\0"].concat();
    tanaka.send(&meeting, home.addr);
    feige.out.event("message", |event| event["text"] == "会議");
    drop(feige);

    // With a node that has not met it.
    let mut feige = home.start(&["--json", "listen"]);
    crate::support::process::until("a node", || home.run(&["node", "status"]).code == Some(0));
    let done = home.run(&["charset", "tanaka", "euc-kr"]).code(0);
    assert!(done.out.contains("euc-kr (pinned)"), "{done:?}");
    let listed = home.run(&["peers", "--all", "-v"]).code(0);
    assert!(listed.out.contains("euc-kr (pinned)"), "{listed:?}");
    let korean = [&b"1:7:tanaka:pc:32:"[..], b"\xc8\xb8\xc0\xc7\0"].concat();
    tanaka.send(&korean, home.addr);
    feige.out.event("message", |event| event["text"] == "회의");
    stop(&mut feige);
    let done = home.run(&["charset", "tanaka", "auto"]).code(0);
    assert!(!done.out.contains("pinned"), "{done:?}");
    assert!(!home.run(&["charset", "tanaka"]).code(0).out.contains("pinned"));
    let done = home.run(&["charset", "nobody", "gbk"]).code(3);
    assert!(done.err.contains("nobody"), "{done:?}");
}
