//! What senders of other kinds do.

use super::*;
use crate::support::filer::flows;

#[test]
fn feiq_is_asked_in_its_form_and_again_when_it_closes_too_soon() {
    let mut office = Office::new(FEIQ);
    let sender = office.serve(|asked, stream| {
        if asked.turn == 2 {
            put(stream, b"hello");
        }
    });
    let offer = office.offer(OFFER, b"12:\xb1\xa8\xb8\xe6.txt:05:65a0c3f0:1:\x07\0");
    let end = ended(&office.get(offer, &[]).code(0));
    assert_eq!(end["outcome"], "done");
    office.holds(&[("报告.txt", b"hello")]);
    let asked = sender.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].ends_with(":3e9:c:0:"), "no NUL: {asked:?}");
}

#[test]
fn an_id_that_means_nothing_in_hex_is_tried_in_decimal_and_remembered() {
    let mut office = Office::new(OFFICIAL);
    let sender = office.serve(|asked, stream| {
        if asked.fields[1] == "12" || asked.fields[1] == "13" {
            put(stream, b"hello");
        }
    });
    let offer = office.offer(OFFER_UTF8, b"12:a:5:1:1:\x0713:b:5:1:1:\x07");
    office.get(offer, &[]).code(0);
    office.holds(&[("a", b"hello"), ("b", b"hello")]);
    let before = sender.asked().len();
    let offer = office.offer(OFFER_UTF8, b"12:c:5:1:1:\x07");
    office.get(offer, &[]).code(0);
    assert_eq!(sender.asked().len(), before + 1, "the form that worked is tried first");
}

#[test]
fn an_empty_file_needs_no_byte() {
    let mut office = Office::new(FEIQ);
    let _sender = office.serve(|_, _| ());
    let offer = office.offer(OFFER, b"0:empty:00:65a0c3f0:1:\x07\0");
    assert_eq!(ended(&office.get(offer, &[]).code(0))["outcome"], "done");
    office.holds(&[("empty", b"")]);
}

#[test]
fn more_than_was_offered_is_not_taken() {
    let mut office = Office::new(OFFICIAL);
    let _sender = office.serve(|_, stream| while flows(stream, &[b'x'; 4_096]) {});
    let offer = office.offer(OFFER_UTF8, b"0:a:3:1:1:\x07");
    assert_eq!(ended(&office.get(offer, &[]).code(0))["bytes"], 3);
    office.holds(&[("a", b"xxx")]);
}

#[test]
fn less_than_was_offered_is_no_file() {
    let mut office = Office::new(OFFICIAL);
    let _sender = office.serve(|_, stream| put(stream, b"hel"));
    let offer = office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    let end = ended(&office.get(offer, &[]).code(1));
    assert_eq!(end["outcome"], "broken");
    assert_eq!(end["problem"]["side"], "theirs");
    assert_eq!(end["problem"]["what"], "the sender closed the connection after 3 of 5 bytes");
    assert!(office.received().keys().all(|name| name.starts_with(".feige-")));
}

#[test]
fn a_shared_list_of_iptux_is_read_and_fetched_from() {
    let mut office = Office::new(IPTUX);
    let _sender = office.serve(|asked, stream| {
        assert_eq!(asked.fields[1], "1");
        put(stream, b"hello world");
    });
    let ask = {
        let addr = office.peer.addr().to_string();
        let home = &office.home;
        let process = home.start(&["files", "--of", &addr, "--json"]);
        (process, addr)
    };
    let (mut listing, _) = ask;
    // It answers nobody whom it has not met yet, so it is asked again.
    office.peer.expect(0xff);
    office.peer.expect(0xff);
    // Recorded from iptux 0.8.3 (vector iptux-core-0.8.3-052).
    let list = "1_iptux 0.8.3:19:bob:pc:2149580832:\x001:a.txt:b:0:1:\x072:目录:138f:0:2:\x07\0";
    office.peer.send(list.as_bytes(), office.home.addr);
    let listed = listing.out.event("offer", |offer| offer["shared"] == true);
    assert_eq!(listing.exit(), Some(0));
    assert_eq!(listed["items"][1]["name"], "目录");
    assert_eq!(listed["items"][1]["kind"], "folder");
    let item = format!("{}.1", listed["offer"]);
    let folder = office.folder();
    office.home.run(&["get", &item, "-o", folder.to_str().unwrap()]).code(0);
    office.holds(&[("a.txt", b"hello world")]);

    // Nobody asked for this one.
    office.peer.send(list.replace(":19:", ":20:").as_bytes(), office.home.addr);
    office.offer(OFFER, b"0:x:5:1:1:\x07");
    let listed = office.home.run(&["files", "--json"]).lines();
    assert_eq!(listed.iter().filter(|offer| offer["shared"] == true).count(), 1);
}

#[test]
fn who_shares_nothing_sends_no_list() {
    let mut office = Office::new(OFFICIAL);
    let done = office.home.run(&["files", "--of", &office.peer.addr().to_string()]).code(1);
    assert!(done.err.contains("sent no list of shared files"), "{done:?}");
    let asked = [(); 3].map(|()| office.peer.expect_number(0xff));
    assert!(asked[0] < asked[1] && asked[1] < asked[2], "{asked:?}");
}
