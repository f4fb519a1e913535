//! Senders who mean harm: nothing outside the folder changes, and nothing partial looks whole.

use std::os::unix::fs::{MetadataExt, symlink};

use super::folders::{file, folder, header};
use super::*;

/// Everything in the home but the program's own files, with what it looks like.
fn surroundings(home: &TestHome) -> BTreeMap<PathBuf, (u64, u32, Vec<u8>)> {
    fn look(path: &Path, seen: &mut BTreeMap<PathBuf, (u64, u32, Vec<u8>)>) {
        for entry in fs::read_dir(path).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let found = fs::symlink_metadata(&path).expect("it is there");
            let bytes = if found.is_file() { fs::read(&path).expect("bytes") } else { Vec::new() };
            seen.insert(path.clone(), (found.ino(), found.mode(), bytes));
            if found.is_dir() {
                look(&path, seen);
            }
        }
    }
    let mut seen = BTreeMap::new();
    look(&home.path("around"), &mut seen);
    seen
}

fn plant(office: &Office) -> BTreeMap<PathBuf, (u64, u32, Vec<u8>)> {
    office.home.write("around/passwd", b"root");
    office.home.write("around/deep/keys", b"secret");
    fs::create_dir(office.folder()).unwrap();
    symlink(office.home.path("around"), office.folder().join("link")).unwrap();
    symlink(office.home.path("around/passwd"), office.folder().join("file")).unwrap();
    symlink(office.home.path("around/new"), office.folder().join("dangling")).unwrap();
    surroundings(&office.home)
}

#[test]
fn no_stream_leads_out_of_the_folder() {
    let mut office = Office::new(OFFICIAL);
    let before = plant(&office);
    let up = header(".", 0, 3);
    let evil = file("passwd", b"evil");
    let deep = || {
        let mut bytes: Vec<u8> = Vec::new();
        (0..70).for_each(|_| bytes.extend(header("d", 0, 2)));
        bytes
    };
    let many = || {
        let mut bytes = header("top", 0, 2);
        // Under one name they would break off sooner.
        (0..100_001)
            .for_each(|at| bytes.extend_from_slice(format!("000f:{at:05x}:0:1:").as_bytes()));
        bytes
    };
    let streams: Vec<(&str, Vec<u8>)> = vec![
        ("..", folder("top", &[folder("..", std::slice::from_ref(&evil))])),
        ("slash", folder("top", &[file("../around/passwd", b"evil")])),
        ("absolute", folder("top", &[file("/tmp/feige-evil", b"evil")])),
        ("backslash", folder("top", &[file("..\\passwd", b"evil")])),
        ("nul", folder("top", &[file("a\0b", b"evil")])),
        ("dot", folder("top", &[file(".", b"evil")])),
        ("empty", folder("top", &[file("", b"evil")])),
        ("up first", [up.clone(), evil.clone()].concat()),
        ("file first", evil.clone()),
        ("unknown kind", [header("top", 0, 2), header("x", 0, 9)].concat()),
        ("size lies", b"000d:top:0:2:0007:a.txt:5:1:hello000b:.:0:3:".to_vec()),
        ("size zero", b"0000:top:0:2:".to_vec()),
        ("size huge", b"ffff:top:0:2:".to_vec()),
        ("size negative", b"000d:top:0:2:0010:a.txt:-5:1:hello".to_vec()),
        ("size overflows", b"000d:top:0:2:001b:a:ffffffffffffffff:1:hello".to_vec()),
        ("not a header", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ("cut", [header("top", 0, 2), header("a", 100, 1), b"half".to_vec()].concat()),
        ("too deep", deep()),
        ("too many", many()),
    ];
    let served: Vec<_> = streams.iter().map(|(_, stream)| stream.clone()).collect();
    let _sender = office.serve(move |asked, stream| {
        let id = usize::from_str_radix(&asked.fields[1], 16).expect("an id");
        put(stream, &served[id]);
    });
    for (id, (what, _)) in streams.iter().enumerate() {
        let list = format!("{id}:top:0:65a0c3f0:2:\x07");
        let offer = office.offer(OFFER_UTF8, list.as_bytes());
        let done = office.get(offer, &[]);
        let end = ended(&done);
        assert_eq!((&end["outcome"], done.code), (&"broken".into(), Some(1)), "{what}: {end}");
        assert_eq!(end["problem"]["side"], "theirs", "{what}: {end}");
        office.home.run(&["refuse", "--all"]).code(0);
        assert_eq!(surroundings(&office.home), before, "{what}");
        let mut names: Vec<_> = fs::read_dir(office.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["dangling", "file", "link"], "{what}");
    }
}

#[test]
fn no_offered_name_leads_out_of_the_folder() {
    let mut office = Office::new(OFFICIAL);
    let before = plant(&office);
    let _sender = office.serve(|_, stream| put(stream, b"evil!"));
    // Names the list's reader lets through, dangerous elsewhere or to a terminal.
    let names = [
        ("link", "link (1)"),
        ("file", "file (1)"),
        ("dangling", "dangling (1)"),
        ("C::x", "C_x"),
        (".bashrc", "_bashrc"),
        ("CON.txt", "_CON.txt"),
        ("a\u{1b}[2J", "a_[2J"),
        ("x\u{202e}txt.exe", "x_txt.exe"),
        ("trailing. ", "trailing"),
        ("...", "_"),
    ];
    for (id, (name, expected)) in names.iter().enumerate() {
        let list = format!("{id}:{name}:5:65a0c3f0:1:\x07");
        let offer = office.offer(OFFER_UTF8, list.as_bytes());
        let end = ended(&office.get(offer, &[]).code(0));
        assert_eq!(end["path"], office.folder().join(expected).to_str().unwrap(), "{name:?}");
        assert_eq!(fs::read(office.folder().join(expected)).unwrap(), b"evil!");
    }
    for name in ["../around/passwd", "/etc/passwd", "..\\x", "..", "."] {
        office.number += 1;
        let list =
            format!("{}:{}:bob:pc:{OFFER_UTF8}:\00:{name}:5:1:1:\x07", OFFICIAL, office.number);
        office.peer.send(list.as_bytes(), office.home.addr);
    }
    let last = office.offer(OFFER_UTF8, b"0:last:5:1:1:\x07");
    let listed = office.home.run(&["files", "--json"]).lines();
    assert_eq!(listed.len(), 1, "a name that is a path is no offer: {listed:#?}");
    assert_eq!(listed[0]["offer"], last);
    assert_eq!(surroundings(&office.home), before);
}

#[test]
fn an_endless_folder_ends_at_what_was_offered_and_memory_stays() {
    let mut office = Office::new(OFFICIAL);
    let before = plant(&office);
    let _sender = office.serve(|_, stream| {
        let mut go_on = flows(stream, &header("top", 0, 2));
        let piece = file("f", &[b'x'; 9_000]);
        while go_on {
            go_on = flows(stream, &piece);
        }
    });
    // It says 2,000,000 bytes.
    let offer = office.offer(OFFER_UTF8, b"0:top:1e8480:65a0c3f0:2:\x07");
    let end = ended(&office.get(offer, &[]).code(1));
    assert!(end["problem"]["what"].as_str().unwrap().contains("more contents than"), "{end}");
    assert_eq!(surroundings(&office.home), before);
    let memory = fs::read_to_string(format!("/proc/{}/status", office.node.pid().as_raw_nonzero()));
    let peak = memory.unwrap().lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    assert!(peak.unwrap() < 96 * 1024, "resident at most {peak:?} KiB in a debug build");
}

#[test]
fn more_offers_than_fit_push_out_the_oldest() {
    let mut office = Office::new(OFFICIAL);
    for _ in 0..66 {
        office.offer(OFFER_UTF8, b"0:a:5:1:1:\x07");
    }
    let listed = office.home.run(&["files", "--json"]).lines();
    assert_eq!((listed.len(), &listed[0]["offer"]), (64, &Value::from(3)));
    office.node.out.event("notice", |notice| notice["code"] == "offer_dropped");
}
