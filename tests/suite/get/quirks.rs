//! What senders of other kinds do.

use super::*;
use crate::wire::vectors;

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
fn a_list_with_hexadecimal_ids_is_fetched_by_them() {
    let mut office = Office::new(OFFICIAL);
    let sender = office.serve(|asked, stream| {
        let file = u8::from_str_radix(&asked.fields[1], 16).expect("hexadecimal");
        put(stream, &[file; 3]);
    });
    // As feiq-cli writes them from the tenth on.
    let list = b"9:i:3:1:1:\x07a:j:3:1:1:\x0710:p:3:1:1:\x07";
    let offer = office.offer(OFFER, list);
    office.get(offer, &[]).code(0);
    office.holds(&[("i", &[9; 3]), ("j", &[10; 3]), ("p", &[16; 3])]);
    assert_eq!(sender.asked().len(), 3, "each asked for once");
}

#[test]
fn two_of_one_name_size_and_time_both_come() {
    let mut office = Office::new(FEIQ);
    let tree = folders::folder("x", &[folders::file("f", b"in it")]);
    let _sender = office.serve(move |asked, stream| {
        let folder = asked.command == 98;
        put(stream, if folder { &tree } else { b"hello" });
    });
    let list = b"0:a:5:1:1:\x071:a:5:1:1:\x072:a:5:1:1:\x073:d:5:1:2:\x074:d:5:1:2:\x07\0";
    let offer = office.offer(OFFER, list);
    office.get(offer, &[]).code(0);
    office.holds(&[
        ("a", b"hello"),
        ("a (1)", b"hello"),
        ("a (2)", b"hello"),
        ("d/", b""),
        ("d/f", b"in it"),
        ("d (1)/", b""),
        ("d (1)/f", b"in it"),
    ]);
}

#[test]
fn sizes_beyond_every_disk_are_told_and_nothing_ends() {
    let mut office = Office::new(OFFICIAL);
    let _sender = office.serve(|_, _| ());
    let size = "7fffffffffffffff";
    let list = format!("0:a:{size}:1:1:\x071:b:{size}:1:1:\x072:c:{size}:1:2:\x07");
    let offer = office.offer(OFFER_UTF8, list.as_bytes());
    let done = office.get(offer, &[]).code(1);
    let ends: Vec<_> =
        done.lines().into_iter().filter(|line| line["event"] == "transferred").collect();
    assert_eq!(ends.len(), 3, "{done:?}");
    assert!(ends.iter().all(|end| end["outcome"] == "broken"), "{done:?}");
    office.home.run(&["files"]).code(0);
}

/// The data of TCP streams in the recordings, with the request before each.
#[test]
fn every_recorded_answer_to_a_request_for_a_file_is_taken_as_it_is() {
    let recorded: Value =
        serde_json::from_str(include_str!("../../vectors/peer-captures.json")).expect("JSON");
    let answers: Vec<Vec<u8>> = recorded["cases"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|case| case["expected"]["file_data"] == true)
        .map(vectors::bytes)
        .collect();
    assert_eq!(answers.len(), 8);
    let mut office = Office::new(OFFICIAL);
    let served = answers.clone();
    let _sender = office.serve(move |asked, stream| {
        put(stream, &served[usize::from_str_radix(&asked.fields[1], 16).expect("an id")]);
    });
    let entry = |(id, bytes): (usize, &Vec<u8>)| format!("{id}:f{id}:{:x}:1:1:\x07", bytes.len());
    let list: String = answers.iter().enumerate().map(entry).collect();
    let offer = office.offer(OFFER_UTF8, list.as_bytes());
    office.get(offer, &[]).code(0);
    let received = office.received();
    for (id, bytes) in answers.iter().enumerate() {
        assert_eq!(received[&format!("f{id}")], *bytes, "{id}");
    }
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
    let all = office.home.run(&["get", "--all"]).code(3);
    assert!(all.err.contains("nothing is offered to you\n  what somebody shares"), "{all:?}");

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
