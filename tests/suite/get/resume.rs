//! A file that broke off goes on, and never becomes another file by it.

use super::*;

/// A FeiQ that breaks off in the middle of the first answer, and then answers as `then` says.
fn broken_off(
    office: &mut Office,
    contents: Vec<u8>,
    then: impl Fn(&Asked, &[u8]) -> Vec<u8> + Send + 'static,
) -> (Filer, u64) {
    let list = format!("0:a.bin:{:x}:65a0c3f0:1:\x07", contents.len());
    let sender = office.serve(move |asked, stream| {
        if asked.turn == 0 {
            put(stream, &contents[..contents.len() / 2]);
        } else {
            put(stream, &then(asked, &contents));
        }
    });
    let offer = office.offer(OFFER, list.as_bytes());
    let end = ended(&office.get(offer, &[]).code(1));
    assert_eq!(end["outcome"], "broken");
    let parts = office.received();
    assert_eq!(parts.len(), 1);
    assert!(parts.keys().all(|name| name.starts_with(".feige-") && name.contains(".part")));
    (sender, offer)
}

#[test]
fn a_file_goes_on_where_it_was() {
    let mut office = Office::new(FEIQ);
    let contents = noise(1_000_000);
    let (sender, offer) = broken_off(&mut office, contents.clone(), |asked, contents| {
        contents[asked.offset()..].to_vec()
    });
    let end = ended(&office.get(offer, &["--digest"]).code(0));
    let resumed = end["resumed"].as_u64().unwrap();
    assert!((400_000..500_000).contains(&resumed), "{end}");
    assert_eq!(end["bytes"].as_u64().unwrap(), 1_000_000 - resumed);
    assert_eq!(end["sha256"], sha256(&contents));
    assert_eq!(sender.asked().len(), 2);
    office.holds(&[("a.bin", &contents)]);
}

#[test]
fn it_goes_on_after_the_receiver_was_killed_and_for_a_new_offer_of_the_same() {
    let mut office = Office::new(FEIQ);
    let contents = noise(600_000);
    let (_sender, _) = broken_off(&mut office, contents.clone(), |asked, contents| {
        contents[asked.offset()..].to_vec()
    });
    office.node.signal(rustix::process::Signal::KILL);
    office.node.exit();
    office.node = listen(&office.home);
    let list = format!("7:a.bin:{:x}:65a0c3f0:1:\x07", contents.len());
    let offer = office.offer(OFFER, list.as_bytes());
    let end = ended(&office.get(offer, &[]).code(0));
    assert!(end["resumed"].as_u64().unwrap() > 200_000, "{end}");
    office.holds(&[("a.bin", &contents)]);
}

#[test]
fn a_server_that_begins_at_the_first_byte_is_noticed() {
    let mut office = Office::new(FEIQ);
    let contents = noise(700_000);
    let (_sender, offer) = broken_off(&mut office, contents.clone(), |_, whole| whole.to_vec());
    let end = ended(&office.get(offer, &["--digest"]).code(0));
    assert_eq!((&end["resumed"], &end["sha256"]), (&0.into(), &sha256(&contents).into()));
    office.holds(&[("a.bin", &contents)]);
}

#[test]
fn one_that_looks_the_same_everywhere_is_noticed_by_what_it_sends_too_much() {
    let mut office = Office::new(FEIQ);
    let mut contents = vec![0; 600_000];
    contents.extend_from_slice(&noise(400_000));
    contents.truncate(1_000_000);
    let (sender, offer) = broken_off(&mut office, contents.clone(), |_, whole| whole.to_vec());
    ended(&office.get(offer, &[]).code(0));
    office.holds(&[("a.bin", &contents)]);
    assert_eq!(sender.asked().len(), 3, "all of it came again");
}

#[test]
fn a_file_that_changed_meanwhile_comes_anew() {
    let mut office = Office::new(FEIQ);
    let other: Vec<u8> = noise(500_000).into_iter().rev().collect();
    let served = other.clone();
    let (_sender, offer) =
        broken_off(&mut office, noise(500_000), move |asked, _| served[asked.offset()..].to_vec());
    ended(&office.get(offer, &[]).code(0));
    office.holds(&[("a.bin", &other)]);
}

#[test]
fn what_another_offer_left_is_not_joined_to_a_file_that_only_ends_alike() {
    // A server that begins where it is asked to, and one that always begins at the first byte.
    for honours in [true, false] {
        let mut office = Office::new(FEIQ);
        let first = noise(3_000_000);
        let mut second = first.clone();
        second[..1_000_000].reverse();
        let served = second.clone();
        let (sender, _) = broken_off(&mut office, first, move |asked, _| {
            served[if honours { asked.offset() } else { 0 }..].to_vec()
        });
        let list = format!("0:a.bin:{:x}:65a0c3f0:1:\x07", second.len());
        let offer = office.offer(OFFER, list.as_bytes());
        let end = ended(&office.get(offer, &["--digest"]).code(0));
        assert_eq!((&end["resumed"], &end["bytes"]), (&0.into(), &second.len().into()), "{end}");
        assert_eq!(end["sha256"], sha256(&second));
        office.holds(&[("a.bin", &second)]);
        assert_eq!(sender.asked().len(), 3, "what broke off, what was compared, and all of it");
    }
}

#[test]
fn a_new_offer_of_the_same_file_goes_on_whatever_its_server_can() {
    for honours in [true, false] {
        let mut office = Office::new(FEIQ);
        let contents = noise(1_000_000);
        let (sender, _) = broken_off(&mut office, contents.clone(), move |asked, contents| {
            contents[if honours { asked.offset() } else { 0 }..].to_vec()
        });
        let list = format!("3:a.bin:{:x}:65a0c3f0:1:\x07", contents.len());
        let offer = office.offer(OFFER, list.as_bytes());
        let end = ended(&office.get(offer, &["--digest"]).code(0));
        assert_eq!(end["resumed"].as_u64() > Some(400_000), honours, "{end}");
        assert_eq!(end["sha256"], sha256(&contents));
        office.holds(&[("a.bin", &contents)]);
        assert_eq!(sender.asked().len(), 3);
    }
}

#[test]
fn of_what_broke_off_and_is_refused_nothing_stays() {
    for runs in [true, false] {
        let mut office = Office::new(FEIQ);
        let (_sender, offer) = broken_off(&mut office, noise(400_000), |_, _| Vec::new());
        fs::write(office.folder().join(".feige-notes.part"), "mine").unwrap();
        if !runs {
            // Who refuses is a node of its own then.
            office.node.signal(rustix::process::Signal::KILL);
            office.node.exit();
        }
        office.home.run(&["refuse", &offer.to_string()]).code(0);
        if runs {
            until("an empty folder", || office.received().len() == 1);
        }
        office.holds(&[(".feige-notes.part", b"mine")]);
    }
}

#[test]
fn where_the_program_does_not_honour_offsets_it_is_asked_from_the_first_byte() {
    let mut office = Office::new(OFFICIAL);
    let contents = noise(400_000);
    let (_sender, offer) = broken_off(&mut office, contents.clone(), |asked, contents| {
        assert_eq!(asked.offset(), 0);
        contents.to_vec()
    });
    ended(&office.get(offer, &[]).code(0));
    office.holds(&[("a.bin", &contents)]);
}

#[test]
fn another_file_of_the_same_name_is_no_continuation() {
    let mut office = Office::new(FEIQ);
    let (_sender, _) = broken_off(&mut office, noise(400_000), |asked, _| {
        assert_eq!(asked.offset(), 0);
        b"other".to_vec()
    });
    let offer = office.offer(OFFER, b"0:a.bin:5:65a0c3f0:1:\x07");
    assert_eq!(ended(&office.get(offer, &[]).code(0))["resumed"], 0);
    assert_eq!(office.received()["a.bin"], b"other");
}

#[test]
fn a_transfer_goes_on_in_the_process_that_takes_the_port_over() {
    let mut office = Office::new(FEIQ);
    let contents = noise(2_500_000);
    let served = contents.clone();
    let sender = office.serve(move |asked, stream| put(stream, &served[asked.offset()..]));
    let list = format!("0:a.bin:{:x}:65a0c3f0:1:\x07", contents.len());
    let offer = office.offer(OFFER, list.as_bytes()).to_string();
    let heir = office.home.start(&["listen", "--json"]);
    // It has joined when it was told who is there.
    heir.out.event("peer_up", |_| true);
    let folder = office.folder();
    let args = ["get", &offer, "--json", "--limit", "1M", "-o", folder.to_str().unwrap()];
    let mut get = office.home.start(&args);
    get.out.event("progress", |moving| moving["bytes"].as_u64() > Some(500_000));
    office.node.signal(rustix::process::Signal::TERM);
    office.node.exit();
    let end = get.out.event("transferred", |_| true);
    assert_eq!(end["outcome"], "done", "{end}");
    assert!(end["resumed"].as_u64() > Some(400_000), "{end}");
    assert_eq!(get.exit(), Some(0));
    office.holds(&[("a.bin", &contents)]);
    assert!(sender.asked().len() >= 2);
    office.node = heir;
}
