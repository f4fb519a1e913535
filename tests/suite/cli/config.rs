//! `feige config`.

use std::os::unix::fs::PermissionsExt;

use feige::wire::Charset;

use super::lan::up_by_status;
use crate::support::home::Lan;

#[test]
fn settings_are_printed_with_where_they_came_from() {
    let home = Lan::new().home("张三");
    home.write("config/feige/config.toml", "group = '研发部' # ours\n".as_bytes());
    let done = home.run(&["config", "--json", "--host", "pc"]).code(0);
    let lines = done.lines();
    let setting = |key: &str| {
        let line = lines.iter().find(|line| line["key"] == key).expect(key);
        (line["value"].clone(), line["source"].clone())
    };
    assert_eq!(setting("nick"), ("张三".into(), "env".into()));
    assert_eq!(setting("group"), ("研发部".into(), "user".into()));
    assert_eq!(setting("host"), ("pc".into(), "flag".into()));
    assert_eq!(setting("charset"), ("auto".into(), "default".into()));
    let page = crate::json::Page::read();
    for line in &lines {
        let object = line.as_object().expect("an object");
        let name = if object.contains_key("key") { "setting" } else { "used_link" };
        page.describes("object", name, object);
    }
    let words = home.run(&["config"]).code(0).out;
    assert!(words.lines().any(|line| line.contains("研发部") && line.contains("config.toml")));
    assert!(words.lines().any(|line| line.contains("张三") && line.contains("FEIGE_NICK")));
}

#[test]
fn every_setting_can_be_a_flag() {
    let home = Lan::new().home("a");
    home.write("config/feige/config.toml", b"charset = 'gbk'\n");
    let line = |args: &[&str], key: &str| {
        let lines = home.run(&[&["config", "--json"], args].concat()).code(0).lines();
        lines.into_iter().find(|line| line["key"] == key).expect("it is there")
    };
    let charset = line(&["--set", "charset=shift_jis", "--set", "ipv6=false"], "charset");
    assert_eq!((&charset["value"], &charset["source"]), (&"shift_jis".into(), &"flag".into()));
    let words = home.run(&["config", "--set", "skip_links=wg0,docker*"]).code(0).out;
    let skip = words.lines().find(|line| line.starts_with("skip_links")).expect("it is there");
    assert!(skip.contains("wg0") && skip.ends_with("--set skip_links"), "{skip}");
    for (wrong, says) in [
        ("charset", "KEY=VALUE is meant"),
        ("nick=x", "--nick"),
        ("charset=x", "--set charset"),
        ("nonsense=1", "nonsense"),
    ] {
        let done = home.run(&["config", "--set", wrong]).code(2);
        assert!(done.err.contains(says), "{wrong}: {done:?}");
    }
}

#[test]
fn links_are_named_with_whether_they_are_used() {
    let home = Lan::new().home("a");
    let link = |env: &[(&str, &str)]| {
        let done = home.feige(&["config", "--json"]).envs(env.iter().copied()).output();
        let out = String::from_utf8(done.expect("it runs").stdout).expect("UTF-8");
        let lines = out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.into_iter().find(|line: &serde_json::Value| line["kind"] == "loopback")
    };
    let lo = link(&[("FEIGE_BIND", "")]).expect("there is a loopback");
    assert_eq!((&lo["link"], &lo["used"]), (&"lo".into(), &true.into()));
    assert_eq!(lo["up"], true);
    let lo = link(&[("FEIGE_SKIP_LINKS", "lo")]).expect("it is listed all the same");
    assert_eq!(lo["used"], false);
}

#[test]
fn setting_a_key_keeps_comments_and_order() {
    let home = Lan::new().home("a");
    home.write("config/feige/config.toml", b"# mine\nport = 2426 # odd\nnick = 'old'\n");
    home.run(&["config", "set", "nick", "李四"]).code(0);
    let text = home.read("config/feige/config.toml");
    assert_eq!(text, "# mine\nport = 2426 # odd\nnick = \"李四\"\n");
    let done = home.run(&["config", "set", "nick", "a\nb"]).code(2);
    assert!(done.err.contains("nick"), "{done:?}");
    home.run(&["config", "set", "nonsense", "1"]).code(2);
    assert_eq!(home.read("config/feige/config.toml"), text);
}

#[test]
fn the_path_is_printed_and_the_editor_opened_on_it() {
    let home = Lan::new().home("a");
    let path = home.run(&["config", "path"]).code(0).out;
    assert!(path.ends_with("config/feige/config.toml\n"), "{path}");
    let editor = home.write("editor", b"#!/bin/sh\nprintf 'nick = \"%s\"\\n' \"$1\" > \"$2\"\n");
    std::fs::set_permissions(&editor, PermissionsExt::from_mode(0o755)).expect("it is ours");
    let edit = |name: &str| {
        let mut command = home.feige(&["config", "edit"]);
        command.env("EDITOR", format!("{} {name}", editor.display()));
        command.output().expect("it runs").status.code()
    };
    assert_eq!(edit("edited"), Some(0));
    assert!(home.read("config/feige/config.toml").contains("nick = \"edited\""));
    assert_eq!(edit("''"), Some(2), "an empty nickname is refused");
}

#[test]
fn the_charset_of_the_office_takes_effect_in_the_node_that_runs() {
    for (charset, nick, text) in [
        (Charset::EUC_KR, "김철수", "안녕하세요, 회의 시작합니다"),
        (Charset::BIG5, "王大明", "會議改到下午三點"),
        (Charset::SHIFT_JIS, "田中", "会議は三時からです"),
    ] {
        let lan = Lan::new();
        let home = lan.home("a");
        let mut client = lan.stranger();
        let packet = |number: u64, word: u32, text: &str| {
            let packet = format!("1:{number}:u:pc:{word}:{text}\0");
            charset.encode(&packet, |c| panic!("{c} is not in {charset}"))
        };
        let node = home.start(&["listen", "--json"]);
        up_by_status(&home);
        client.send(&packet(1, 1, nick), home.addr);
        node.out.event("peer_up", |_| true);
        let done = home.run(&["config", "set", "charset", &charset.to_string()]).code(0);
        assert!(done.err.contains("from now on"), "{done:?}");
        // Asked for its names again, and then it writes.
        client.expect(0x01);
        client.send(&packet(2, 3, nick), home.addr);
        client.send(&packet(3, 288, text), home.addr);
        let heard = node.out.event("message", |_| true);
        assert_eq!((&heard["text"], &heard["peer"]["nick"]), (&text.into(), &nick.into()));
        let sender = home.start(&["send", nick, text]);
        let sent = client.expect_datagram(0x20);
        let main = charset.encode(text, |c| panic!("{c}"));
        assert!(sent.windows(main.len()).any(|part| part == main), "{charset}");
        drop(sender);
    }
}
