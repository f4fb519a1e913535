//! `feige history`.

use rustix::process::Signal;
use serde_json::Value;

use super::lan::up_by_status;
use super::picture_offers::picture;
use crate::json::Page;
use crate::support::feiq::Feiq;
use crate::support::feiq::program::Program;
use crate::support::home::{Lan, TestHome};
use crate::support::process::until;

/// What feiq-cli writes, and lines that nobody can read.
const FEIQ_CLI: &str = r#"{"time":"2026-11-18T09:00:00.123456789Z","direction":"in","peer_ip":"192.168.1.2","peer_name":"张三","kind":"msg","content":"服务器今晚重启"}
{"time":"2026-11-18T09:01:00Z","direction":"out","peer_ip":"192.168.1.2","kind":"msg","content":"收到\n第二行 OK"}
not JSON
{"time":"2026-11-19T10:00:00Z","direction":"in","peer_ip":"192.168.1.2","peer_name":"张三","kind":"file","content":"报表.xlsx","saved_path":"/home/x/报表.xlsx"}

{"time":"lunch","direction":"in","peer_ip":"192.168.1.2","peer_name":"张三","kind":"msg","content":"x"}
{"foo":1}
{"v":1,"event":"peer_up","peer":null}
"#;

fn imported() -> TestHome {
    let home = Lan::new().home("me");
    home.write("feiq.jsonl", FEIQ_CLI.as_bytes());
    home.run(&["history", "--import", "feiq.jsonl"]).code(1);
    home
}

/// Texts of JSON lines.
fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["text"].as_str()).collect()
}

#[test]
fn before_anything_is_stored_history_says_so() {
    let home = Lan::new().home("me");
    let done = home.run(&["history"]).code(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", "feige: nothing is stored yet\n"));
}

#[test]
fn lines_of_feiq_cli_are_imported_once_and_bad_ones_are_named() {
    let home = Lan::new().home("me");
    home.write("feiq.jsonl", FEIQ_CLI.as_bytes());
    let done = home.run(&["history", "--import", "feiq.jsonl"]).code(1);
    assert_eq!(done.out, "");
    insta::assert_snapshot!(done.err, @r"
    feige: line 3: it is no JSON: expected ident at column 2
    feige: line 6: 'lunch' is no time: premature end of input
    feige: line 7: it is no line of `history --export` nor of feiq-cli
    feige: line 8: it is a peer_up, no message
    feige: 3 messages imported, 0 were there already
    feige: 4 lines were left out; once mended, the file can be imported again
    ");
    let again = home.run_with(&["history", "--json", "--import", "-"], FEIQ_CLI.as_bytes()).code(1);
    let summary = again.lines().remove(0);
    Page::read().describes("object", "import", summary.as_object().expect("an object"));
    assert_eq!((&summary["imported"], &summary["known"]), (&0.into(), &3.into()));
    insta::assert_snapshot!(home.run(&["history"]).code(0).out, @r"
    2026-11-18
    09:00:00 <  张三            服务器今晚重启
    09:01:00 >  张三            收到
             |                  第二行 OK
    2026-11-19
    10:00:00 <  张三            报表.xlsx
             |                  /home/x/报表.xlsx
             *                  offers 1 file
    ");
}

#[test]
fn lines_of_json_come_back_with_what_they_say_of_the_message() {
    // As `listen --json` prints it: without the option word and the bytes. An editor put a mark
    // before it.
    let line = r#"{"v":1,"seq":1,"at":"2026-11-18T10:36:18.814+00:00","event":"message","peer":{"id":"ann@ann-pc","nick":"安娜","user":"ann","host":"ANN-PC","group":"组","addr":"10.0.0.9","port":2425,"addrs":["10.0.0.9:2425"],"dialect":"ipmsg","charset":"utf-8","charset_sure":"declared","version":null,"absent":false,"fingerprint":null},"direction":"in","delivery":"direct","number":1795948581,"text":"开会","shown":null,"charset":"utf-8","charset_sure":"declared","sealed":false,"locked":false,"closed":false,"automatic":true,"cut":false,"files":0,"several":true,"recipients":[{"user":"root","host":"PC-1"},{"user":"王五","host":"PC-2"}],"recipients_cut":false,"chat":null,"font":null,"encryption":null}"#;
    let home = Lan::new().home("me");
    let input = format!("\u{feff}{line}\n{line}\n\u{feff}{line}\nnull\n[]\n");
    let done = home.run_with(&["history", "--import", "-"], input.as_bytes()).code(1);
    insta::assert_snapshot!(done.err, @r"
    feige: line 3: it is no JSON: expected value at column 1
    feige: line 4: it is no message: invalid type: null, expected an object at column 4
    feige: line 5: it is no message: invalid length 0, expected an object at column 2
    feige: 1 message imported, 1 were there already
    feige: 3 lines were left out; once mended, the file can be imported again
    ");
    let shown = home.run(&["history"]).code(0).out;
    assert!(shown.contains("to root, 王五"), "{shown}");
    let back = home.run(&["history", "--json"]).code(0).lines().remove(0);
    let given: Value = serde_json::from_str(line).expect("JSON");
    for (key, value) in given.as_object().expect("an object") {
        assert!(key == "seq" || back[key] == *value, "{key}: {} for {value}", back[key]);
    }
}

#[test]
fn words_and_filters_narrow() {
    let home = imported();
    let found = |args: &[&str]| {
        let done = home.run(&[&["history", "--json"], args].concat()).code(0);
        done.lines()
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&["重启"]), ["服务器今晚重启"]);
    assert_eq!(found(&["ｏｋ", "收"]), ["收到\n第二行 OK"]);
    assert_eq!(found(&["重启", "ok"]), [""; 0]);
    assert_eq!(found(&["--with", "张三", "--limit", "1"]), ["报表.xlsx\n/home/x/报表.xlsx"]);
    assert_eq!(found(&["--with", "192.168.1.2", "--until", "2026-11-18"]).len(), 2);
    assert_eq!(found(&["--since", "2026-11-19"]).len(), 1);
    assert_eq!(found(&["--since", "2026-11-18 09:00:30", "--all"]).len(), 2);
    assert_eq!(found(&["--with", "@all"]), [""; 0]);
    assert_eq!(found(&["--unread"]), [""; 0], "what is imported was read elsewhere");

    let done = home.run(&["history", "--limit", "1"]).code(0);
    assert!(done.err.contains("the newest 1 are shown; --all"), "{done:?}");
    let done = home.run(&["history", "--with", "nobody"]).code(3);
    assert!(done.err.contains("no messages with nobody; there are some with 1 other"), "{done:?}");
    let done = home.run(&["history", "--since", "lunch"]).code(2);
    assert!(done.err.contains("'lunch' is no time; write 2d"), "{done:?}");
    home.run(&["history", "--no-store"]).code(2);
    home.run(&["history", "--fix"]).code(2);
}

#[test]
fn what_arrives_while_nobody_looks_is_unread_until_it_was_shown() {
    let lan = Lan::new();
    let (me, bob) = (lan.home("me"), lan.home("bob"));
    let mut node = me.start(&["node"]);
    up_by_status(&me);
    bob.run(&["send", "me", "first 第一"]).code(0);
    node.signal(Signal::TERM);
    node.exit();

    // Over a restart, and not read by an export.
    assert_eq!(texts(&me.run(&["history", "--json", "--export", "-"]).code(0).lines()).len(), 1);
    let shown = me.run(&["history", "--unread"]).code(0);
    assert!(shown.out.contains("<  bob             first 第一\n"), "{shown:?}");
    assert!(shown.out.ends_with("         *                  unread\n"), "{shown:?}");
    let done = me.run(&["history", "--unread"]).code(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", "feige: nothing is unread\n"));
    let all = me.run(&["history", "--json"]).code(0).lines();
    assert_eq!((texts(&all), &all[0]["unread"]), (vec!["first 第一"], &false.into()));

    // What a listener prints is read, also when it is ended by a signal at once.
    let mut listens = me.start(&["listen"]);
    up_by_status(&me);
    bob.run(&["send", "me", "second 第二"]).code(0);
    listens.out.line("second 第二");
    until("the mark", || me.run(&["history", "--unread"]).out.is_empty());
    bob.run(&["send", "me", "third"]).code(0);
    listens.out.line("third");
    listens.signal(Signal::INT);
    listens.exit();
    assert_eq!(me.run(&["history", "--unread"]).code(0).out, "");
}

#[test]
fn a_sent_message_tells_its_receipt_and_every_field_is_described() {
    let lan = Lan::new();
    let (me, bob) = (lan.home("me"), lan.home("bob"));
    let _node = bob.start(&["node"]);
    up_by_status(&bob);
    me.run(&["send", "bob", "hello"]).code(0);
    me.run(&["send", "127.8.0.99", "--timeout", "2s", "--", "nobody hears"]).code(1);
    let lines = me.run(&["history", "--json"]).code(0).lines();
    assert_eq!(texts(&lines), ["hello", "nobody hears"]);
    assert_eq!(lines[0]["receipt"]["outcome"], "confirmed");
    assert_eq!(lines[1]["receipt"]["outcome"], "not_confirmed");
    let page = Page::read();
    let mut described = page.keys("object", "line");
    described.extend(page.keys("event", "message"));
    described.extend(page.keys("object", "past"));
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, keys(&lines[0]));
    page.describes("object", "outcome", lines[0]["receipt"].as_object().unwrap());
    let exported = me.run(&["history", "--export", "-"]).code(0).lines();
    described.extend(page.keys("object", "export"));
    assert_eq!(described, keys(&exported[0]));

    let words = me.run(&["history"]).code(0).out;
    assert!(!words.contains("* confirmed") && words.contains("not confirmed after"), "{words}");
    let words = me.run(&["history", "-v"]).code(0).out;
    assert!(words.contains("confirmed after"), "{words}");
}

#[test]
fn an_export_comes_back_whole() {
    let lan = Lan::new();
    let (me, bob, other) = (lan.home("me"), lan.home("bob"), lan.home("me"));
    let _node = me.start(&["node"]);
    up_by_status(&me);
    bob.run(&["send", "me", "line one\nline two 谢谢 \u{1b}[31m"]).code(0);
    bob.run(&["broadcast", "to all"]).code(0);
    until("the broadcast", || me.run(&["history", "to all"]).out.contains("to all"));
    let done = me.run(&["history", "--export", "all.jsonl"]).code(0);
    assert!(done.err.contains("2 messages written to all.jsonl"), "{done:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(me.path("all.jsonl")).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "what was said is nobody else's business");

    other.write("all.jsonl", me.read("all.jsonl").as_bytes());
    let done = other.run(&["history", "--import", "all.jsonl"]).code(0);
    assert!(done.err.contains("2 messages imported, 0 were there already"), "{done:?}");
    let done = other.run(&["history", "--import", "all.jsonl"]).code(0);
    assert!(done.err.contains("0 messages imported, 2 were there already"), "{done:?}");
    // There and back: it is known where it came from, too.
    let back = other.run(&["history", "--export", "-"]).code(0).out;
    let done = me.run_with(&["history", "--import", "-"], back.as_bytes()).code(0);
    assert!(done.err.contains("0 messages imported, 2 were there already"), "{done:?}");
    // The same, but for its place in the one event stream.
    let lines = |text: &str| -> Vec<Value> {
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            let object = line.as_object_mut().expect("an object");
            object.remove("seq");
            object.remove("unread");
            line
        };
        text.lines().map(line).collect()
    };
    assert_eq!(lines(&back), lines(&me.read("all.jsonl")));

    other.run(&["history", "--export", "all.txt"]).code(0);
    let text = other.read("all.txt");
    assert!(text.contains("line one\n         |") && !text.contains('\u{1b}'), "{text}");
    let plain = other.run(&["history", "--export", "-", "--text"]).code(0);
    assert_eq!(plain.out, text);
    let done = other.run(&["history", "--export", "no/such/folder"]).code(1);
    let missing = "cannot write no/such/folder: No such file or directory (os error 2)\n";
    assert!(done.err.ends_with(missing), "{done:?}");
    let done = other.run(&["history", "--import", "no.jsonl"]).code(2);
    assert!(done.err.contains("cannot read no.jsonl"), "{done:?}");
}

#[test]
fn a_limit_holds_for_exports_and_other_charsets_too() {
    let home = imported();
    let newest = home.run(&["history", "--export", "-", "--limit", "1"]).code(0).lines();
    assert_eq!(texts(&newest), ["报表.xlsx\n/home/x/报表.xlsx"]);
    assert_eq!(home.run(&["history", "--export", "-"]).code(0).lines().len(), 3);
    let look = ["history", "--with", "192.168.1.2", "--charset", "gbk"];
    let done = home.run(&[&look[..], &["--limit", "1"]].concat()).code(0);
    assert!(done.err.contains("none of 1 message"), "{done:?}");
    let done = home.run(&look).code(0);
    assert!(done.err.contains("none of 2 messages"), "{done:?}");
}

#[test]
fn a_sealed_message_stays_closed_in_search_and_export() {
    let lan = Lan::new();
    let (me, bob) = (lan.home("me"), lan.home("bob"));
    let _node = me.start(&["node"]);
    up_by_status(&me);
    bob.run(&["send", "--sealed", "me", "the secret plan"]).code(0);
    assert_eq!(me.run(&["history", "secret"]).code(0).out, "");
    let shown = me.run(&["history"]).code(0).out;
    assert!(shown.contains("sent a sealed message: feige history --open 1"), "{shown}");
    let exported = me.run(&["history", "--export", "-"]).code(0);
    let line = &exported.lines()[0];
    assert_eq!(
        (&line["closed"], &line["text"], &line["raw"]),
        (&true.into(), &"".into(), &Value::Null)
    );
    let import = me.run_with(&["history", "--import", "-"], exported.out.as_bytes()).code(0);
    assert!(import.err.contains("1 were sealed and not opened: left out"), "{import:?}");

    me.run(&["history", "--open", "1"]).code(0);
    let found = me.run(&["history", "--json", "SECRET"]).code(0).lines();
    assert_eq!(texts(&found), ["the secret plan"]);
}

#[test]
fn the_charset_of_what_was_received_can_be_mended() {
    let lan = Lan::new();
    let (me, stranger) = (lan.home("me"), lan.stranger());
    let _node = me.start(&["node"]);
    up_by_status(&me);
    let (korean, _, _) = encoding_rs::EUC_KR.encode("안녕하세요 회의");
    let send = |number: u64, word: u32, text: &[u8]| {
        let head = format!("1:{number}:park:seoul:{word}:");
        stranger.send(&[head.as_bytes(), text].concat(), me.addr);
    };
    send(1_795_000_001, 32, &korean);
    send(1_795_000_002, 32, b"plain ASCII");
    send(1_795_000_003, 0x0080_0020, "안녕, 你好".as_bytes());
    send(1_795_000_004, 32, "早安 😀".as_bytes());
    until("all", || me.run(&["history", "--json"]).lines().len() == 4);
    assert_eq!(me.run(&["history", "회의"]).code(0).out, "", "read as GBK");
    let fix = ["history", "--with", "park@seoul", "--charset", "euc-kr"];
    let done = me.run(&fix).code(0);
    assert!(done.out.contains("  + 안녕하세요 회의\n"), "{done:?}");
    assert!(done.err.contains("1 of 4 messages would read so; --fix"), "{done:?}");
    let kept = me.run(&["history", "--json"]).code(0).lines();
    assert_eq!(me.run(&["history", "회의"]).code(0).out, "", "nothing is changed yet");
    let lines = me.run(&[&fix[..], &["--json", "--fix"]].concat()).code(0).lines();
    Page::read().describes("object", "reread", lines[0].as_object().expect("an object"));
    let found = me.run(&["history", "--json", "회의"]).code(0).lines();
    assert_eq!(texts(&found), ["안녕하세요 회의"]);
    assert_eq!(
        (&found[0]["charset"], &found[0]["charset_sure"]),
        (&"euc-kr".into(), &"pinned".into())
    );
    let done = me.run(&[&fix[..], &["--fix"]].concat()).code(0);
    assert!(done.err.contains("none of 4 messages reads differently in euc-kr"), "{done:?}");
    // What was read right, and what would not be read better, is as it was.
    assert!(
        done.err.contains("1 left as they are: they say that they are UTF-8, and are"),
        "{done:?}"
    );
    assert!(
        done.err.contains("1 left as they are: not all of their bytes mean something in euc-kr")
    );
    let now = me.run(&["history", "--json"]).code(0).lines();
    assert_eq!(texts(&now)[1..], texts(&kept)[1..]);
    assert_eq!(texts(&now)[2], "안녕, 你好");
}

#[test]
fn what_feiq_and_we_show_inside_a_text_is_shown_and_found_in_the_history() {
    let lan = Lan::new();
    let me = lan.home("me");
    let node = me.start(&["listen", "--json"]);
    up_by_status(&me);
    let feiq = Program::on_loopback(Feiq::new("wang", "080027090401"), lan.addr(), lan.port);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "wang");
    let at = feiq.contact("me");
    feiq.act(|feiq| feiq.say(at, "看这个 /:) /~#>ca37a4e0<B~ http://8-)x"));
    node.out.event("message", |event| event["direction"] == "in");
    let shown = "看这个 🙂 [picture ca37a4e0] http://8-)x";
    let printed = me.run(&["history"]).code(0);
    assert!(
        printed.out.ends_with(&format!("{shown}\n         *                  unread\n")),
        "{printed:?}"
    );
    let text = me.run(&["history", "--export", "-", "--text"]).code(0).out;
    assert!(text.ends_with(&format!("<  wang            {shown}\n")), "{text}");
    // Machines get what was written, too.
    for args in [&["history", "--json"][..], &["history", "--export", "-"]] {
        let lines = me.run(args).code(0).lines();
        assert_eq!(lines[0]["text"], "看这个 /:) /~#>ca37a4e0<B~ http://8-)x");
        assert_eq!(lines[0]["shown"], "看这个 🙂 /~#>ca37a4e0<B~ http://8-)x");
    }
    let finds = |words: &str| me.run(&["history", "--json", words]).code(0).lines().len();
    let all = ["🙂", "[picture", "picture ca37a4e0", "个 🙂 [", "/:)", "/~#>ca37a4e0", "看这"];
    // Before and after it is in the index.
    assert_eq!(all.map(finds), [1; 7]);
    until("an index", || {
        let path = me.path("data/feige/feige.db");
        let db = rusqlite::Connection::open(path).expect("a store");
        let behind = "SELECT (SELECT max(id) FROM message) >
            (SELECT value FROM meta WHERE key = 'indexed')";
        !db.query_row(behind, (), |row| row.get::<_, bool>(0)).expect("it can be read")
    });
    assert_eq!(all.map(finds), [1; 7]);
    // No phrase reaches from the one form into the other.
    assert_eq!(finds("8-)x 看这个"), 0);
    // What we write is ours, whatever it looks like to a FeiQ.
    me.run(&["send", "wang", "/:) ours"]).code(0);
    let printed = me.run(&["history", "ours"]).code(0).out;
    assert!(printed.contains("/:) ours"), "{printed}");
}

#[test]
fn a_picture_of_ours_is_named_in_the_history() {
    let lan = Lan::new();
    let me = lan.home("me");
    let node = me.start(&["listen", "--json"]);
    up_by_status(&me);
    let _feiq = Program::on_loopback(Feiq::new("wang", "080027090401"), lan.addr(), lan.port);
    node.out.event("peer_up", |event| event["peer"]["nick"] == "wang");
    let (_, png) = picture(20, 10, image::ImageFormat::Png);
    me.write("a.png", &png);
    me.run(&["send", "wang", "--picture", "a.png"]).code(0);
    let raw = me.run(&["history", "--json"]).code(0).lines()[0]["text"].clone();
    let id = raw.as_str().and_then(|text| text.get(4..12)).expect("a reference").to_owned();
    assert_eq!(raw, format!("/~#>{id}<B~"));
    let printed = me.run(&["history", &format!("[picture {id}]")]).code(0).out;
    assert!(printed.ends_with(&format!(">  wang            [picture {id}]\n")), "{printed}");
}
