//! What the largest pictures that are taken cost in memory: each is checked as a received one is, in
//! a process of its own, whose peak is printed. The figures of `docs/performance.md`.
//!
//! ```text
//! cargo run --release --example picture_memory
//! ```

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use feige::io::image::{check, pack};
use feige::wire::picture::lzw;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// 40 megapixels, the most that is taken.
const WIDE: u32 = 8_000;
const HIGH: u32 = 5_000;

/// Makes one picture.
type Make = fn() -> Result<Vec<u8>>;

/// What is measured. One colour each: the memory is that of the pixels, whatever they show.
const PICTURES: [(&str, Make); 13] = [
    ("PNG, 24 bits", || png(3, ExtendedColorType::Rgb8)),
    ("PNG, 32 bits", || png(4, ExtendedColorType::Rgba8)),
    ("PNG, 48 bits", || png(6, ExtendedColorType::Rgb16)),
    ("PNG, 64 bits", || png(8, ExtendedColorType::Rgba16)),
    ("JPEG", || Ok(jpeg(0xc0, 3, HIGH))),
    ("JPEG, progressive", || Ok(jpeg(0xc2, 3, HIGH))),
    ("JPEG, progressive, CMYK", || Ok(jpeg(0xc2, 4, HIGH))),
    ("the same, 25 megapixels", || Ok(jpeg(0xc2, 4, 3_180))),
    ("JPEG, turned", || {
        let mut turned = jpeg(0xc0, 3, HIGH);
        turned.splice(2..2, QUARTER_TURN.iter().copied());
        Ok(turned)
    }),
    ("GIF", || Ok(gif(WIDE))),
    ("GIF, narrow frame", || Ok(gif(WIDE - 1))),
    ("BMP, 1 bit", || {
        let bitmap = dib(WIDE, HIGH, 1);
        let size = u32::try_from(bitmap.len() + 14)?;
        Ok([b"BM", &size.to_le_bytes()[..], &[0; 4], &62_u32.to_le_bytes(), &bitmap].concat())
    }),
    ("container, 64 MiB", || Ok(lzw::pack(&dib(5_500, 4_000, 24))?)),
];

/// An EXIF segment that says how the camera was held.
const QUARTER_TURN: &[u8] =
    b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [] => measure(),
        [task, file] => work(task, Path::new(file)),
        _ => Err("no arguments are needed".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, make) in PICTURES {
        let path = folder.path().join("picture");
        let bytes = make()?;
        fs::write(&path, &bytes)?;
        print!("{name:28} {:6} KiB", bytes.len() / 1_024);
        drop(bytes);
        for task in ["check", "pack"] {
            std::io::stdout().flush()?;
            let done = Command::new(std::env::current_exe()?).arg(task).arg(&path).output()?;
            print!("  {task} {}", String::from_utf8_lossy(&done.stdout).trim_end());
        }
        println!();
    }
    Ok(())
}

/// Does one thing with a picture, and tells the most memory the process had meanwhile.
#[expect(clippy::disallowed_types, reason = "a program of its own, with files of its own")]
fn work(task: &str, file: &Path) -> Result<()> {
    let before = peak()?;
    let what = match task {
        "check" => {
            let came = fs::File::open(file)?;
            let checked = check(&came, |_| Ok(tempfile::tempfile().expect("a file can be made")));
            checked.map(|checked| checked.facts.size).map_err(|error| error.to_string())
        }
        _ => pack(file).map(|packed| packed.len() as u64).map_err(|error| error.to_string()),
    };
    let what = what.map_or_else(|error| error, |bytes| format!("{} KiB", bytes / 1_024));
    println!("{} MiB above {} MiB ({what})", (peak()? - before) / 1_024, before / 1_024);
    Ok(())
}

/// Most memory this process had, KiB.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn png(depth: usize, colour: ExtendedColorType) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::NoFilter);
    let pixels = vec![90; WIDE as usize * HIGH as usize * depth];
    encoder.write_image(&pixels, WIDE, HIGH, colour)?;
    Ok(out)
}

/// A picture of one colour with so many full components: three, or four for print. `frame` is the
/// marker of its frame: baseline, or progressive, whose decoder must keep all coefficients until the
/// last scan.
fn jpeg(frame: u8, components: u8, high: u32) -> Vec<u8> {
    let [_, _, h1, h2] = high.to_be_bytes();
    let [_, _, w1, w2] = WIDE.to_be_bytes();
    let baseline = frame == 0xc0;
    let mut out = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    out.extend([1; 64]);
    out.extend([0xff, frame, 0, 8 + 3 * components, 8, h1, h2, w1, w2, components]);
    out.extend((1..=components).flat_map(|component| [component, 0x11, 0]));
    // One code of one bit: no difference to the block before; no more coefficients.
    for table in [0x00, 0x10] {
        out.extend([0xff, 0xc4, 0, 20, table, 1]);
        out.extend([0; 16]);
    }
    let last = if baseline { 63 } else { 0 };
    out.extend([0xff, 0xda, 0, 6 + 2 * components, components]);
    out.extend((1..=components).flat_map(|component| [component, 0]));
    out.extend([0, last, 0]);
    let blocks = WIDE.div_ceil(8) as usize * high.div_ceil(8) as usize * usize::from(components);
    let bits = if baseline { 2 } else { 1 };
    out.resize(out.len() + (blocks * bits).div_ceil(8), 0);
    out.extend([0xff, 0xd9]);
    out
}

/// A picture of one colour with a frame of this width.
fn gif(frame: u32) -> Vec<u8> {
    let [high, wide, frame] = [HIGH, WIDE, frame].map(u32::to_le_bytes);
    let mut out = b"GIF89a".to_vec();
    out.extend([wide[0], wide[1], high[0], high[1], 0x80, 0, 0, 0, 0, 0, 9, 9, 9]);
    out.extend([0x2c, 0, 0, 0, 0, frame[0], frame[1], high[0], high[1], 0, 2]);
    // Codes of runs that grow by one: 0, then each the newest of the table, and a clear code when the
    // table is full.
    let mut left = u64::from(u32::from_le_bytes(frame)) * u64::from(HIGH);
    let (mut bits, mut held, mut bytes) = (0_u64, 0_u32, Vec::new());
    let mut write = |code: u64, width: u32| {
        bits |= code << held;
        held += width;
        while held >= 8 {
            bytes.push(bits.to_le_bytes()[0]);
            bits >>= 8;
            held -= 8;
        }
    };
    while left > 0 {
        write(4, 3);
        let (mut next, mut width) = (6_u64, 3_u32);
        write(0, width);
        left -= 1;
        for run in 2.. {
            if left < run || next > 4_095 {
                break;
            }
            write(next, width);
            left -= run;
            next += 1;
            if next == 1 << width && width < 12 {
                width += 1;
            }
        }
        // What is left of the table's width for the clear code is written with it.
        while left > 0 && next <= 4_095 {
            write(0, width);
            left -= 1;
            next += 1;
            if next == 1 << width && width < 12 {
                width += 1;
            }
        }
        write(if left > 0 { 4 } else { 5 }, width);
    }
    write(0, 7);
    for block in bytes.chunks(255) {
        out.push(u8::try_from(block.len()).unwrap_or(255));
        out.extend_from_slice(block);
    }
    out.extend([0, 0x3b]);
    out
}

/// A bitmap without its file header, of one colour, with so many bits for each pixel.
fn dib(wide: u32, high: u32, bits: u16) -> Vec<u8> {
    let mut out = [40, wide, high].map(u32::to_le_bytes).concat();
    out.extend([1, 0]);
    out.extend(bits.to_le_bytes());
    out.extend([0; 24]);
    if bits == 1 {
        out.extend([0, 0, 0, 0, 255, 255, 255, 0]);
    }
    let row = (wide as usize * usize::from(bits)).div_ceil(32) * 4;
    out.resize(out.len() + row * high as usize, 0x5a);
    out
}
