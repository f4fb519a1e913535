//! The folder stream against recorded and hand-written streams (`tests/vectors/`), in any pieces,
//! and its laws.

use feige::wire::Charset;
use feige::wire::attach::{FOLDER, REGULAR};
use feige::wire::tree::{
    DEPTH_MAX, ENTRIES_MAX, READ_ONLY, Times, TreeEntry, TreeError, TreeEvent, TreeReader,
    TreeWriter, UP,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::wire::vectors::{self, bytes, named, text};

fn dirstreams() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/dirstreams.json")).unwrap()
}

/// What a stream says, with the contents of each file in one piece.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Item {
    Folder(TreeEntry<'static>),
    File(TreeEntry<'static>, Vec<u8>),
    Other(TreeEntry<'static>),
    Up(u32, Times),
}

fn owned(entry: TreeEntry<'_>) -> TreeEntry<'static> {
    TreeEntry { name: entry.name.into_owned().into(), ..entry }
}

/// All that a reader finds, how many bytes it left, and how it ended.
fn read<'a>(
    mut reader: TreeReader,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Item>, usize, Result<(), TreeError>) {
    let (mut items, mut unread) = (Vec::new(), 0);
    for mut piece in pieces {
        loop {
            let event = match reader.next(&mut piece) {
                Ok(event) => event,
                Err(error) => {
                    assert_eq!(reader.finish(), Err(error));
                    assert_eq!(reader.next(&mut &b"000d:top:0:2:"[..]), Err(error));
                    return (items, unread, Err(error));
                }
            };
            match event {
                TreeEvent::Folder(entry) => items.push(Item::Folder(owned(entry))),
                TreeEvent::File(entry) => items.push(Item::File(owned(entry), Vec::new())),
                TreeEvent::Other(entry) => items.push(Item::Other(owned(entry))),
                TreeEvent::Up { attr, times } => items.push(Item::Up(attr, times)),
                TreeEvent::Content(content) => {
                    assert!(!content.is_empty());
                    let Some(Item::File(entry, data)) = items.last_mut() else { panic!() };
                    data.extend_from_slice(content);
                    assert_eq!(reader.content_left(), entry.size - data.len() as u64);
                }
                TreeEvent::More => {
                    assert!(piece.is_empty());
                    break;
                }
                TreeEvent::End => {
                    unread += piece.len();
                    break;
                }
            }
        }
    }
    (items, unread, reader.finish())
}

fn whole(reader: TreeReader, stream: &[u8]) -> (Vec<Item>, usize, Result<(), TreeError>) {
    read(reader, [stream])
}

fn json(items: &[Item]) -> Value {
    let item = |item: &Item| match item {
        Item::Folder(TreeEntry { name, times, .. }) => json!({
            "ev": "dir", "name": name, "mtime": times.modified, "ctime": times.created,
        }),
        Item::File(TreeEntry { name, size, attr, times }, data) => json!({
            "ev": "file", "name": name, "size": size, "attr": attr,
            "data_hex": vectors::hex(data),
            "mtime": times.modified, "ctime": times.created,
        }),
        Item::Up(_, times) => {
            json!({ "ev": "up", "mtime": times.modified, "ctime": times.created })
        }
        Item::Other(entry) => panic!("{entry:?}"),
    };
    items.iter().map(item).collect()
}

fn error(name: &str) -> TreeError {
    match name {
        "eof" => TreeError::Eof,
        "header_size" => TreeError::HeaderSize,
        "fields" => TreeError::Fields,
        "order" => TreeError::Order,
        "path" => TreeError::Path,
        "type" => TreeError::Type,
        "number" => TreeError::Number,
        other => panic!("{other}"),
    }
}

fn reader_for(vector: &Value) -> TreeReader {
    if vector["expect"]["single"] == true {
        TreeReader::single_file(Charset::UTF_8)
    } else {
        TreeReader::folder(Charset::UTF_8)
    }
}

/// Bytes that do not belong to the stream.
fn left_over(vector: &Value) -> usize {
    usize::try_from(vector["expect"]["unread"].as_u64().unwrap_or(0)).unwrap()
}

#[test]
fn every_stream_reads_as_expected_in_pieces_of_any_size() {
    for vector in dirstreams() {
        let (id, bytes, expect) = (text(&vector["id"]), bytes(&vector), &vector["expect"]);
        for size in 1..=bytes.len() {
            let (items, unread, end) = read(reader_for(&vector), bytes.chunks(size));
            let Some(wrong) = expect["error"].as_str() else {
                assert_eq!(json(&items), expect["events"], "{id} by {size}");
                assert_eq!(unread, left_over(&vector), "{id}");
                assert_eq!(end, Ok(()), "{id} by {size}");
                continue;
            };
            assert_eq!(end, Err(error(wrong)), "{id} by {size}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_not_whole() {
    for vector in dirstreams() {
        let bytes = bytes(&vector);
        if vector["expect"]["error"].is_string() {
            continue;
        }
        for end in 0..bytes.len() - left_over(&vector) {
            let (_, _, result) = whole(reader_for(&vector), &bytes[..end]);
            assert_eq!(result, Err(TreeError::Eof), "{} at {end}", vector["id"]);
        }
    }
}

/// The recorded streams that came whole: bytes, charset of the names, expected headers.
fn recorded() -> Vec<(String, Vec<u8>, Charset, Vec<Value>)> {
    let gbk = Charset::GBK.encode("目录", |_| String::new());
    vectors::peers()
        .into_iter()
        .filter_map(|vector| {
            let headers = vector["expected"]["directory_stream"].as_array()?.clone();
            let bytes = bytes(&vector);
            let in_gbk = bytes.windows(gbk.len()).any(|window| window == gbk);
            let charset = if in_gbk { Charset::GBK } else { Charset::UTF_8 };
            Some((text(&vector["id"]).to_owned(), bytes, charset, headers))
        })
        .collect()
}

#[test]
fn every_recorded_stream_reads_as_expected_in_pieces_of_any_size() {
    let (mut ended, mut broken) = (0, 0);
    for (id, bytes, charset, headers) in recorded() {
        // Debian's iptux crashed in the middle of what we sent it.
        let end = if headers.len() == 7 { Ok(()) } else { Err(TreeError::Eof) };
        ended += usize::from(end.is_ok());
        broken += usize::from(end.is_err());
        for size in [1, 2, 3, 5, 7, 11, 40, 41, 47, 64, 1_000, 5_000, bytes.len()] {
            let (items, unread, found_end) = read(TreeReader::folder(charset), bytes.chunks(size));
            assert_eq!(items.len(), headers.len(), "{id}");
            for (item, expected) in items.iter().zip(&headers) {
                assert_recorded(item, expected, &id);
            }
            assert_eq!((unread, found_end), (0, end), "{id}");
        }
    }
    assert_eq!((ended, broken), (8, 2));
}

fn assert_recorded(item: &Item, expected: &Value, id: &str) {
    let (attr, times) = match item {
        Item::Folder(entry) => (entry.attr, entry.times),
        Item::File(entry, data) => {
            assert_eq!(entry.size, data.len() as u64, "{id}");
            (entry.attr, entry.times)
        }
        Item::Up(attr, times) => (*attr, *times),
        Item::Other(_) => panic!("{id}"),
    };
    assert_eq!(attr, expected["attr"], "{id}");
    let kind = match item {
        Item::Folder(_) => "directory",
        Item::File(..) => "file",
        _ => "return",
    };
    assert_eq!(kind, expected["kind"], "{id}");
    if let Item::Folder(entry) | Item::File(entry, _) = item {
        assert_eq!(entry.name, text(&expected["name"]), "{id}");
        assert_eq!(entry.size, expected["size"], "{id}");
    }
    let extra: Vec<_> = [("14", times.modified), ("16", times.created)]
        .iter()
        .filter_map(|(key, time)| Some(format!("{key}={:x}", (*time)?)))
        .collect();
    assert_eq!(json!(extra), expected["extra"], "{id}");
}

/// Writes what was read.
fn write(items: &[Item], charset: Charset) -> Vec<u8> {
    let (mut writer, mut out) = (TreeWriter::new(charset), Vec::new());
    for item in items {
        match item {
            Item::Folder(entry) => writer.folder(entry, &mut out),
            Item::File(entry, data) => {
                writer.file(entry, &mut out);
                out.extend_from_slice(data);
            }
            Item::Up(..) => assert!(writer.up(&mut out)),
            Item::Other(_) => panic!("never written"),
        }
    }
    assert_eq!(writer.depth(), 0);
    out
}

#[test]
fn our_streams_have_the_bytes_of_the_official_client_and_of_iptux() {
    let official = bytes(&named(&dirstreams(), "win"));
    let (items, ..) = whole(TreeReader::folder(Charset::UTF_8), &official);
    assert_eq!(
        write(&items, Charset::UTF_8).escape_ascii().to_string(),
        official.escape_ascii().to_string()
    );
    let mut same = 0;
    for (id, bytes, charset, headers) in recorded() {
        let (items, ..) = whole(TreeReader::folder(charset), &bytes);
        // Those that iptux wrote itself.
        if headers[0]["header_size"] == 46 || headers[0]["header_size"] == 48 {
            assert_eq!(write(&items, charset), bytes, "{id}");
            same += 1;
        }
    }
    assert_eq!(same, 4);
}

#[test]
fn names_in_the_other_charset_are_read_too() {
    let header = |name: &str, charset: Charset| {
        let entry =
            TreeEntry { name: name.to_owned().into(), size: 0, attr: 0, times: Times::default() };
        let mut out = Vec::new();
        TreeWriter::new(charset).folder(&entry, &mut out);
        out
    };
    for (name, written, expected) in [
        ("文件", Charset::GBK, Charset::UTF_8),
        // An odd number of bytes: no GBK.
        ("文件夹", Charset::UTF_8, Charset::GBK),
        ("表示", Charset::SHIFT_JIS, Charset::SHIFT_JIS),
    ] {
        let (items, ..) = whole(TreeReader::folder(expected), &header(name, written));
        let [Item::Folder(entry)] = &items[..] else { panic!("{name}") };
        assert_eq!(entry.name, name);
    }
}

#[test]
fn the_junk_that_feiq_sends_before_the_first_header_is_passed_over() {
    let stream = bytes(&named(&dirstreams(), "mac"));
    let (expected, ..) = whole(TreeReader::folder(Charset::GBK), &stream);
    for zeros in [0, 1, 100, 4_096, 8_000] {
        let junk = [&b"0<"[..], &vec![0; zeros], &stream].concat();
        for size in [1, 13, 4_100, junk.len()] {
            let (items, unread, end) = read(TreeReader::folder(Charset::GBK), junk.chunks(size));
            assert_eq!((&items, unread, end), (&expected, 0, Ok(())), "{zeros} by {size}");
        }
    }
    // Anywhere else, and without an end, it is an error.
    let (_, _, end) = whole(TreeReader::folder(Charset::GBK), b"000d:top:0:2:0<\0\x000b:.:0:3:");
    assert_eq!(end, Err(TreeError::HeaderSize));
    let endless = vec![0; 20_000];
    for size in [1, 4_096, endless.len()] {
        let (_, _, end) = read(TreeReader::folder(Charset::GBK), endless.chunks(size));
        assert_eq!(end, Err(TreeError::HeaderSize));
    }
}

/// A header around these fields, its size in so many digits.
fn headed(digits: usize, fields: &str) -> String {
    format!("{:0>digits$x}:{fields}", digits + 1 + fields.len())
}

#[test]
fn headers_of_every_habit_are_read() {
    let time = |header: &str| match &whole(TreeReader::folder(Charset::UTF_8), header.as_bytes()) {
        (items, 0, Err(TreeError::Eof)) => match &items[..] {
            [Item::Folder(entry)] => (entry.attr, entry.times.modified, entry.times.created),
            other => panic!("{header}: {other:?}"),
        },
        other => panic!("{header}: {other:?}"),
    };
    for (digits, fields, expected) in [
        (4, "top:0:2:", (2, None, None)),
        (1, "t:0:2:", (2, None, None)),
        (2, "top:0:2:14=5:", (2, Some(5), None)),
        (8, "top:000000000:2:16=A:14=b:", (2, Some(11), Some(10))),
        (4, "top:0:FF02:1:=:a:", (0xff02, None, None)),
        (4, "top:0:2:2=root::14=5:", (2, Some(5), None)),
        // Times nobody can mean: iptux before 1970, and no number at all.
        (4, "top:0:2:14=ffffffffff000000:16=x:", (2, None, None)),
    ] {
        let header = headed(digits, fields);
        assert_eq!(time(&header), expected, "{header}");
        assert_eq!(time(&header.to_uppercase().replace("ROOT", "root")), expected, "{header}");
    }
}

#[test]
fn headers_nobody_can_mean_end_the_stream() {
    let top = headed(4, "top:0:2:");
    for (second, expected) in [
        (headed(9, "a:0:1:"), TreeError::HeaderSize),
        (":a:0:1:".to_owned(), TreeError::HeaderSize),
        ("-00b:a:0:1:".to_owned(), TreeError::HeaderSize),
        (headed(4, &format!("{}:0:1:", "n".repeat(9_000))), TreeError::HeaderSize),
        (headed(4, "abcdefgh:"), TreeError::Fields),
        (headed(4, "a:8000000000000000:1:"), TreeError::Number),
        (headed(4, "a:10000000000000000:1:"), TreeError::Number),
        (headed(4, "a::1:"), TreeError::Fields),
        (headed(4, "abc:0:100000001:"), TreeError::Number),
        (headed(4, "abc:0::"), TreeError::Number),
        (headed(4, "abc:0:0:"), TreeError::Type),
        (headed(4, "abc:0:20:"), TreeError::Type),
        (headed(4, "abc:0:8:"), TreeError::Type),
        (headed(4, ".:0:1:"), TreeError::Path),
        (headed(4, ":0:1:2:3:"), TreeError::Path),
    ] {
        let stream = top.clone() + &second;
        let (items, _, end) = whole(TreeReader::folder(Charset::UTF_8), stream.as_bytes());
        assert_eq!((items.len(), end), (1, Err(expected)), "{second:.40}");
    }
}

#[test]
fn a_name_of_blanks_alone_is_a_name() {
    for name in [" ", "\u{3000}", "\t ", "\u{a0}"] {
        let stream = headed(4, "top:0:2:") + &headed(4, &format!("{name}:1:1:")) + "x";
        let stream = stream + &headed(4, ".:0:3:");
        let (items, _, end) = whole(TreeReader::folder(Charset::UTF_8), stream.as_bytes());
        assert_eq!(end, Ok(()), "{name:?}");
        assert!(matches!(&items[1], Item::File(entry, _) if entry.name == name), "{name:?}");
    }
}

#[test]
fn a_backslash_inside_a_character_is_no_separator() {
    let name = Charset::SHIFT_JIS.encode("表ソ", |_| String::new());
    assert_eq!(name, b"\x95\x5c\x83\x5c");
    let stream = [b"000e:".as_slice(), &name, b":0:2:"].concat();
    let (items, _, end) = whole(TreeReader::folder(Charset::SHIFT_JIS), &stream);
    assert_eq!((items.len(), end), (1, Err(TreeError::Eof)));
    let (_, _, end) = whole(TreeReader::folder(Charset::UTF_8), b"000d:a\\b:0:2:");
    assert_eq!(end, Err(TreeError::Path));
}

#[test]
fn the_offered_kind_is_the_kind_that_comes() {
    let folder = headed(4, "t:0:2:");
    let up = headed(4, ".:0:3:");
    let file = headed(4, "f:0:1:");
    let end = |reader: fn(Charset) -> TreeReader, stream: &str| {
        whole(reader(Charset::UTF_8), stream.as_bytes()).2
    };
    assert_eq!(end(TreeReader::single_file, &folder), Err(TreeError::Order));
    assert_eq!(end(TreeReader::single_file, &up), Err(TreeError::Order));
    assert_eq!(end(TreeReader::folder, &file), Err(TreeError::Order));
    assert_eq!(end(TreeReader::single_file, &file), Ok(()));
    assert_eq!(end(TreeReader::folder, &format!("{folder}{up}")), Ok(()));
    assert_eq!(end(TreeReader::folder, &format!("{folder}{file}{up}{up}")), Ok(()));
}

#[test]
fn folders_nest_to_their_cap_and_no_deeper() {
    let nested = headed(4, "d:0:2:").repeat(DEPTH_MAX);
    let reader = || TreeReader::folder(Charset::UTF_8);
    let ups = headed(4, ".:0:3:").repeat(DEPTH_MAX);
    assert_eq!(whole(reader(), format!("{nested}{ups}").as_bytes()).2, Ok(()));
    let (items, _, end) = whole(reader(), format!("{nested}{}", headed(4, "d:0:2:")).as_bytes());
    assert_eq!((items.len(), end), (DEPTH_MAX, Err(TreeError::Depth)));
}

#[test]
fn files_come_to_their_cap_and_no_more() {
    let stream = |files: usize| {
        format!(
            "{}{}{}",
            headed(4, "d:0:2:"),
            headed(4, "f:0:1:").repeat(files),
            headed(4, ".:0:3:")
        )
    };
    let reader = || TreeReader::folder(Charset::UTF_8);
    assert_eq!(whole(reader(), stream(ENTRIES_MAX - 1).as_bytes()).2, Ok(()));
    let (items, _, end) = whole(reader(), stream(ENTRIES_MAX).as_bytes());
    assert_eq!((items.len(), end), (ENTRIES_MAX, Err(TreeError::Entries)));
}

#[test]
fn contents_beyond_what_was_accepted_are_refused_at_their_header() {
    let stream = format!(
        "{}{}123{}1234{}",
        headed(4, "t:0:2:"),
        headed(4, "a:3:1:"),
        headed(4, "b:4:1:"),
        headed(4, ".:0:3:")
    );
    let reader = |most| TreeReader::folder(Charset::UTF_8).content_max(most);
    assert_eq!(whole(reader(7), stream.as_bytes()).2, Ok(()));
    let (items, _, end) = whole(reader(6), stream.as_bytes());
    assert_eq!((items.len(), end), (2, Err(TreeError::TooLarge)));
    let single = TreeReader::single_file(Charset::UTF_8).content_max(2);
    assert_eq!(whole(single, headed(4, "a:3:1:").as_bytes()).2, Err(TreeError::TooLarge));
    // Together they would be more than any number can say.
    let huge = headed(4, "a:7fffffffffffffff:1:");
    let mut reader = TreeReader::folder(Charset::UTF_8);
    let mut input = headed(4, "t:0:2:");
    for _ in 0..3 {
        input.push_str(&huge);
    }
    let mut input = input.as_bytes();
    for expected in [Ok(()), Ok(()), Ok(()), Err(TreeError::TooLarge)] {
        assert_eq!(reader.next(&mut input).map(drop), expected);
        reader.content_moved(reader.content_left());
    }
}

#[test]
fn links_and_devices_end_a_stream_unless_they_are_to_be_passed_over() {
    for kind in ["4", "5", "6", "7", "10"] {
        let stream = format!(
            "{}{}target{}x{}",
            headed(4, "t:0:2:"),
            headed(4, &format!("l:6:{kind}:")),
            headed(4, "a:1:1:"),
            headed(4, ".:0:3:")
        );
        let strict = TreeReader::folder(Charset::UTF_8);
        assert_eq!(whole(strict.clone(), stream.as_bytes()).2, Err(TreeError::Type));
        for size in [1, 3, 6, stream.len()] {
            let skipping = strict.clone().skipping_others();
            let (items, _, end) = read(skipping, stream.as_bytes().chunks(size));
            assert_eq!(end, Ok(()));
            let [Item::Folder(_), Item::Other(link), Item::File(file, data), Item::Up(..)] =
                &items[..]
            else {
                panic!("{items:?}")
            };
            assert_eq!((link.size, &*file.name, &data[..]), (6, "a", &b"x"[..]));
        }
    }
}

#[test]
fn contents_may_go_past_the_reader() {
    let head = format!("{}{}", headed(4, "t:0:2:"), headed(4, "a:100000:1:"));
    let mut reader = TreeReader::folder(Charset::UTF_8);
    let begun = [head.as_bytes(), b"begun"].concat();
    let mut input = &begun[..];
    while reader.next(&mut input).unwrap() != TreeEvent::More {}
    assert_eq!((reader.content_left(), reader.entries(), reader.depth()), (0x10_0000 - 5, 2, 1));
    reader.content_moved(0x10_0000 - 5);
    let up = headed(4, ".:0:3:");
    let mut input = up.as_bytes();
    assert!(matches!(reader.next(&mut input), Ok(TreeEvent::Up { .. })));
    assert_eq!(reader.next(&mut input), Ok(TreeEvent::End));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_sender_that_closes_without_a_byte_is_told_from_one_that_breaks_off() {
    let mut reader = TreeReader::folder(Charset::GBK);
    assert_eq!((reader.entries(), reader.finish()), (0, Err(TreeError::Eof)));
    let header = headed(4, "t:0:2:");
    reader.next(&mut header.as_bytes()).unwrap();
    assert_eq!((reader.entries(), reader.finish()), (1, Err(TreeError::Eof)));
}

#[test]
fn headers_we_write_are_short_enough_for_official_readers() {
    for (name, charset) in [
        (":".repeat(255), Charset::UTF_8),
        ("ق".repeat(127), Charset::GBK),
        ("长".repeat(2_000), Charset::UTF_8),
        ("长".repeat(2_000), Charset::GBK),
    ] {
        let entry = TreeEntry {
            name: name.as_str().into(),
            size: u64::MAX >> 1,
            attr: u32::MAX,
            times: Times { modified: Some(u64::MAX >> 1), created: None },
        };
        let mut out = Vec::new();
        TreeWriter::new(charset).file(&entry, &mut out);
        assert!(out.len() < 1_023, "{}", out.len());
        let (items, ..) = whole(TreeReader::single_file(charset), &out);
        let [Item::File(read, _)] = &items[..] else { panic!("{items:?}") };
        assert!(charset != Charset::UTF_8 || name.starts_with(&*read.name));
        assert_eq!((read.size, read.attr & 0xff), (u64::MAX >> 1, u32::from(REGULAR)));
        assert_eq!(read.times.created, read.times.modified);
    }
}

#[test]
fn a_way_up_without_a_folder_is_not_written() {
    let mut out = Vec::new();
    assert!(!TreeWriter::new(Charset::UTF_8).up(&mut out));
    assert!(out.is_empty());
}

/// A tree of any shape, as the stream tells it.
fn trees(charset: Charset) -> impl Strategy<Value = Vec<Item>> {
    let name = prop_oneof![
        "[a-z0-9 .:_-]{1,20}[a-z]",
        "[一-龥]{1,12}",
        ":{1,4}",
        "[^/\\\\\\p{C}\\p{Z}]{1,8}"
    ]
    .prop_filter("a name of this charset", move |name| {
        name != "."
            && name != ".."
            && charset.can_encode(name)
            && charset.decode(&charset.encode(name, |_| String::new())) == *name
    });
    let times = (0..=i64::MAX as u64, 0..=i64::MAX as u64);
    let entry = (name, 0..=0xff_ffff_u32, prop::option::of(times));
    let step = (0..10_u8, entry, prop::collection::vec(any::<u8>(), 0..300));
    (prop::collection::vec(step, 0..40)).prop_map(|steps| {
        let mut open: Vec<(u32, Times)> = Vec::new();
        let mut items = Vec::new();
        for (kind, (name, options, times), data) in steps {
            let times = times.map_or_else(Times::default, |(modified, created)| Times {
                modified: Some(modified),
                created: Some(created),
            });
            let attr = options << 8;
            let mut entry = TreeEntry { name: name.into(), size: 0, attr, times };
            if open.is_empty() && !items.is_empty() {
                break;
            } else if (open.is_empty() || kind < 3) && open.len() < DEPTH_MAX {
                entry.attr |= u32::from(FOLDER);
                open.push((attr & READ_ONLY | u32::from(UP), times));
                items.push(Item::Folder(entry));
            } else if kind < 7 {
                entry.attr |= u32::from(REGULAR);
                entry.size = data.len() as u64;
                items.push(Item::File(entry, data));
            } else if let Some((attr, times)) = open.pop() {
                items.push(Item::Up(attr, times));
            }
        }
        items.extend(open.into_iter().rev().map(|(attr, times)| Item::Up(attr, times)));
        items
    })
}

/// Pieces of changing size.
fn cut<'a>(stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    sizes.iter().cycle().map_while(move |&size| {
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

fn charsets() -> impl Strategy<Value = Charset> {
    prop::sample::select(vec![Charset::UTF_8, Charset::GBK, Charset::GB18030, Charset::SHIFT_JIS])
}

/// Bytes like those of a stream, and others.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30),
        prop::sample::select(vec![
            &b"000d:top:0:2:"[..],
            b"000b:a:0:1:",
            b"000b:a:5:1:",
            b"hello",
            b"000b:.:0:3:",
            b"000e:a::b:1:1:",
            b"0<\0\0\0\0",
            b"ffff:",
            b"0019:a:7fffffffffffffff:1:",
            b"000d:a/b:0:1:",
            b"000d:..:0:2:",
            b"000b:l:0:4:",
            b"::",
            b"14=",
            b"000b:",
            b":",
        ])
        .prop_map(<[u8]>::to_vec),
        "[0-9a-f]{1,5}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_in_any_pieces(
        (charset, items) in charsets().prop_flat_map(|charset| (Just(charset), trees(charset))),
        sizes in prop::collection::vec(1..200_usize, 1..20),
    ) {
        prop_assume!(!items.is_empty());
        let stream = write(&items, charset);
        let (found, unread, end) = read(TreeReader::folder(charset), cut(&stream, &sizes));
        prop_assert_eq!(found, items);
        prop_assert_eq!((unread, end), (0, Ok(())));
    }

    #[test]
    fn what_strangers_send_reads_the_same_in_any_pieces(
        bytes in hostile(), sizes in prop::collection::vec(1..30_usize, 1..20),
        single: bool, skipping: bool, charset in charsets(), most in prop::option::of(0..100_u64),
    ) {
        let reader = || {
            let reader = if single {
                TreeReader::single_file(charset)
            } else {
                TreeReader::folder(charset)
            };
            let reader = reader.content_max(most.unwrap_or(u64::MAX));
            if skipping { reader.skipping_others() } else { reader }
        };
        let (items, unread, end) = whole(reader(), &bytes);
        let (again, unread_again, end_again) = read(reader(), cut(&bytes, &sizes));
        prop_assert_eq!((&items, end), (&again, end_again));
        if end.is_ok() {
            prop_assert_eq!(unread, unread_again);
        }
        for item in &items {
            if let Item::Folder(entry) | Item::File(entry, _) | Item::Other(entry) = item {
                prop_assert!(!entry.name.contains(['/', '\\', '\0']));
                prop_assert!(!["", ".", ".."].contains(&&*entry.name));
            }
            if let Item::File(entry, data) = item {
                prop_assert!(data.len() as u64 <= entry.size);
            }
        }
    }
}
