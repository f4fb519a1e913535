//! What reading and writing streams and pictures costs, without any socket or disk.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use feige::wire::Charset;
use feige::wire::picture::lzw;
use feige::wire::tree::{Times, TreeEntry, TreeEvent, TreeReader, TreeWriter};

fn main() {
    divan::main();
}

/// Bytes of one read from a socket.
const READ: usize = 256 << 10;

fn entry(name: &str, size: u64) -> TreeEntry<'_> {
    let times = Times { modified: Some(1_795_000_000), created: Some(1_794_999_999) };
    TreeEntry { name: name.into(), size, attr: 0, times }
}

/// The stream of a folder of `files` files of `size` bytes, in folders of 100.
fn stream(files: usize, size: usize, charset: Charset) -> Vec<u8> {
    let (mut writer, mut out) = (TreeWriter::new(charset), Vec::new());
    let content = vec![b'x'; size];
    writer.folder(&entry("项目资料", 0), &mut out);
    for file in 0..files {
        if file % 100 == 0 {
            if file > 0 {
                writer.up(&mut out);
            }
            writer.folder(&entry("第一季度", 0), &mut out);
        }
        writer.file(&entry(&format!("会议记录 {file:05}.docx"), size as u64), &mut out);
        out.extend_from_slice(&content);
    }
    while writer.up(&mut out) {}
    out
}

/// Reads a stream as a receiver does: bytes of contents, and headers.
fn read(stream: &[u8], charset: Charset) -> (u64, u64) {
    let mut reader = TreeReader::folder(charset);
    let (mut bytes, mut headers) = (0, 0);
    for mut piece in stream.chunks(READ) {
        loop {
            match reader.next(&mut piece).expect("our own stream") {
                TreeEvent::More | TreeEvent::End => break,
                TreeEvent::Content(content) => bytes += black_box(content).len() as u64,
                header => {
                    black_box(header);
                    headers += 1;
                }
            }
        }
    }
    reader.finish().expect("a whole stream");
    (bytes, headers)
}

/// 20,000 small files. Items are headers, the ways up among them.
#[divan::bench(args = ["utf-8", "gbk"])]
fn tree_read_small_files(bencher: Bencher<'_, '_>, charset: &str) {
    let charset: Charset = charset.parse().expect("a charset");
    let stream = stream(20_000, 4_096, charset);
    let headers = read(&stream, charset).1;
    bencher
        .counter(ItemsCount::new(headers))
        .counter(BytesCount::of_slice(&stream))
        .bench_local(|| read(black_box(&stream), charset));
}

/// One file of 256 MiB.
#[divan::bench]
fn tree_read_large_file(bencher: Bencher<'_, '_>) {
    let stream = stream(1, 256 << 20, Charset::UTF_8);
    bencher
        .counter(BytesCount::of_slice(&stream))
        .bench_local(|| read(black_box(&stream), Charset::UTF_8));
}

/// Headers of 20,000 files into one buffer.
#[divan::bench(args = ["utf-8", "gbk"])]
fn tree_write_headers(bencher: Bencher<'_, '_>, charset: &str) {
    let charset: Charset = charset.parse().expect("a charset");
    let names: Vec<_> = (0..20_000).map(|file| format!("会议记录 {file:05}.docx")).collect();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(names.len())).bench_local(|| {
        out.clear();
        let mut writer = TreeWriter::new(charset);
        writer.folder(&entry("项目资料", 0), &mut out);
        for name in &names {
            writer.file(&entry(name, 4_096), &mut out);
        }
        writer.up(&mut out);
        black_box(&out).len()
    });
}

/// A screen of 1,920 by 1,080 dots, 24 bits: lines of text on plain ground.
fn screenshot() -> Vec<u8> {
    let mut seed = 1;
    let glyphs: Vec<[u8; 3]> = (0..64 * 16)
        .map(|_| if noise(&mut seed) < 60 { [40, 40, 40] } else { [250, 250, 250] })
        .collect();
    let mut dib = vec![40; 40];
    for y in 0..1_080 {
        for x in 0..1_920 {
            let glyph = (x / 8 * 31 + y / 18 * 17) % 64;
            let text = x < 1_200 && y % 18 < 16 && x / 8 % 40 < 32;
            let dot = glyphs.get((glyph * 16 + y % 18 * 8 + x % 8) % glyphs.len());
            let ground = if x < 1_200 { [250, 250, 250] } else { [230, 222, 210] };
            dib.extend_from_slice(dot.filter(|_| text).unwrap_or(&ground));
        }
    }
    dib
}

/// As many dots of a photograph: soft shades and grain.
fn photo() -> Vec<u8> {
    let mut seed = 2;
    (0..1_920 * 1_080 * 3)
        .map(|at: u32| (at / 5_760 / 8 + at % 5_760 / 90).to_le_bytes()[0] ^ noise(&mut seed) >> 5)
        .collect()
}

fn noise(seed: &mut u32) -> u8 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    seed.to_be_bytes()[0]
}

fn picture(name: &str) -> Vec<u8> {
    if name == "screenshot" { screenshot() } else { photo() }
}

/// Bytes are those of the picture, not of the container.
#[divan::bench(args = ["screenshot", "photo"])]
fn lzw_pack(bencher: Bencher<'_, '_>, name: &str) {
    let picture = picture(name);
    bencher.counter(BytesCount::of_slice(&picture)).bench_local(|| lzw::pack(black_box(&picture)));
}

/// Bytes are those of the picture, not of the container.
#[divan::bench(args = ["screenshot", "photo"])]
fn lzw_unpack(bencher: Bencher<'_, '_>, name: &str) {
    let picture = picture(name);
    let container = lzw::pack(&picture).expect("small enough");
    bencher
        .counter(BytesCount::of_slice(&picture))
        .bench_local(|| lzw::unpack(black_box(&container)).expect("whole"));
}
