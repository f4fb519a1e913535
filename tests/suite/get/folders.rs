//! Folders: the vectors of the stream, and what senders make of it.

use super::*;

/// A header of the stream.
pub(super) fn header(name: &str, size: usize, attr: u32) -> Vec<u8> {
    let fields = format!(":{}:{size:x}:{attr:x}:", name.replace(':', "::"));
    let mut header = format!("{:04x}", fields.len() + 4).into_bytes();
    header.extend_from_slice(fields.as_bytes());
    header
}

pub(super) fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, contents.len(), 1);
    bytes.extend_from_slice(contents);
    bytes
}

pub(super) fn folder(name: &str, inner: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = header(name, 0, 2);
    bytes.extend(inner.concat());
    bytes.extend(header(".", 0, 3));
    bytes
}

#[test]
fn every_stream_of_the_vectors_becomes_its_folder() {
    let vectors = include_str!("../../vectors/dirstreams.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).expect("vectors");
    let mut office = Office::new(OFFICIAL);
    let streams: Vec<Vec<u8>> =
        vectors.iter().map(|vector| unhex(vector["hex"].as_str().expect("hex"))).collect();
    let _sender = office.serve(move |asked, stream| {
        let id = usize::from_str_radix(&asked.fields[1], 16).expect("an id");
        put(stream, &streams[id]);
    });
    for (id, vector) in vectors.iter().enumerate() {
        if vector["expect"]["single"] == true {
            continue;
        }
        let name = vector["id"].as_str().expect("a name");
        let list = format!("{id}:top:0:65a0c3f0:2:\x07");
        let offer = office.offer(OFFER_UTF8, list.as_bytes());
        let folder = office.home.path(name);
        let (offer, into) = (offer.to_string(), folder.to_str().unwrap());
        let done = office.home.run(&["get", &offer, "--json", "-o", into]);
        let mut found = BTreeMap::new();
        collect(&folder, &folder, &mut found);
        if vector["expect"]["error"] == "type" && ended(&done)["outcome"] == "done" {
            // Links, devices and the like are passed over; the rest of the folder comes.
            assert_eq!(ended(&done)["skipped"], 1, "{name}");
            assert_eq!(found.len(), 1, "{name}: {found:?}");
        } else if vector["expect"]["error"].is_null() {
            assert_eq!(ended(&done)["outcome"], "done", "{name}");
            assert_eq!(found, expected(vector), "{name}");
        } else {
            assert_eq!(ended(&done)["outcome"], "broken", "{name}");
            assert!(found.is_empty(), "{name}: {found:?}");
            office.home.run(&["refuse", "--all"]).code(0);
        }
    }
}

/// What the events of a vector make below the offered name.
fn expected(vector: &Value) -> BTreeMap<String, Vec<u8>> {
    let mut path: Vec<String> = Vec::new();
    let mut found = BTreeMap::new();
    for event in vector["expect"]["events"].as_array().expect("events") {
        let name = || {
            let name = event["name"].as_str().expect("a name").replace(':', "_");
            if path.is_empty() { "top".to_owned() } else { format!("{}/{name}", path.join("/")) }
        };
        match event["ev"].as_str() {
            Some("dir") => {
                let name = name();
                found.insert(format!("{name}/"), Vec::new());
                path.push(name.rsplit('/').next().expect("a name").to_owned());
            }
            Some("file") => {
                let data = unhex(event["data_hex"].as_str().expect("data"));
                found.insert(name(), data);
            }
            Some("up") => drop(path.pop()),
            _ => {}
        }
    }
    found
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn the_junk_feiq_sends_first_is_passed_over() {
    let mut office = Office::new(FEIQ);
    let stream = folder("x", &[file("a.txt", b"hello"), folder("sub", &[file("b", b"")])]);
    let served = [b"0<".to_vec(), vec![0; 4_096], stream].concat();
    let sender = office.serve(move |_, stream| put(stream, &served));
    let offer = office.offer(OFFER, b"0:\xc4\xbf\xc2\xbc:0:65a0c3f0:2:\x07\0");
    let end = ended(&office.get(offer, &[]).code(0));
    assert_eq!((&end["done"], &end["kind"]), (&2.into(), &"folder".into()));
    assert_eq!(end["bytes"], 5, "junk and headers are none of the files' bytes");
    office.holds(&[
        ("目录/", b""),
        ("目录/a.txt", b"hello"),
        ("目录/sub/", b""),
        ("目录/sub/b", b""),
    ]);
    assert!(sender.asked()[0].contains(":98:"), "{:?}", sender.asked());
}

#[test]
fn large_and_small_files_come_whole_whatever_the_pieces() {
    let mut office = Office::new(OFFICIAL);
    let (large, small) = (noise(3_000_000), noise(700));
    let inner: Vec<_> = (0..500)
        .map(|number| file(&format!("s{number}"), &small[..number]))
        .chain([file("large", &large), header("link", 0, 4), file("last", b"z")])
        .collect();
    let served = folder("x", &inner);
    let _sender = office.serve(move |_, stream| {
        for piece in served.chunks(70_001) {
            put(stream, piece);
        }
    });
    let offer = office.offer(OFFER_UTF8, b"0:x:0:65a0c3f0:2:\x07");
    let end = ended(&office.get(offer, &[]).code(0));
    assert_eq!((&end["done"], &end["skipped"]), (&502.into(), &1.into()));
    assert_eq!(end["bytes"], 3_000_000 + (0..500).sum::<u64>() + 1);
    let received = office.received();
    assert_eq!(received.len(), 503);
    assert_eq!(received["x/large"], large);
    assert_eq!(received["x/last"], b"z");
    assert!((0..500).all(|n| received[&format!("x/s{n}")] == small[..n]));
}

#[test]
fn names_of_blanks_alone_become_safe_ones() {
    let mut office = Office::new(OFFICIAL);
    let deep = folder("\u{3000}", &[file("c", b"3")]);
    let served = folder("x", &[file(" ", b"1"), file("\u{3000}", b"2"), deep]);
    let _sender = office.serve(move |_, stream| put(stream, &served));
    let offer = office.offer(OFFER_UTF8, b"0:top:0:65a0c3f0:2:\x07");
    let end = ended(&office.get(offer, &[]).code(0));
    assert_eq!((&end["outcome"], &end["done"]), (&"done".into(), &3.into()), "{end}");
    office.holds(&[
        ("top/", b""),
        ("top/_", b"1"),
        ("top/_ (1)", b"2"),
        ("top/_ (2)/", b""),
        ("top/_ (2)/c", b"3"),
    ]);
}

#[test]
fn a_folder_that_broke_off_begins_anew() {
    let mut office = Office::new(FEIQ);
    let whole = folder("x", &[file("a", b"hello"), file("b", &noise(100_000))]);
    let served = whole.clone();
    let _sender = office.serve(move |asked, stream| {
        let end = if asked.turn == 0 { served.len() / 2 } else { served.len() };
        put(stream, &served[..end]);
    });
    let offer = office.offer(OFFER, b"0:x:0:65a0c3f0:2:\x07\0");
    let broken = ended(&office.get(offer, &[]).code(1));
    assert_eq!(broken["outcome"], "broken");
    let what = "the sender closed the connection in the middle of the folder";
    assert_eq!(broken["problem"]["what"], what);
    assert_eq!(broken["problem"]["hint"], "`feige get` fetches it anew");
    office.holds(&[]);
    ended(&office.get(offer, &[]).code(0));
    office.holds(&[("x/", b""), ("x/a", b"hello"), ("x/b", &noise(100_000))]);
}
