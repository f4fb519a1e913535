//! Pictures decoded and made: what came is proved to be a picture before it is kept, and what is
//! sent becomes the container that `FeiQ` reads (dialect reference, 7).
//!
//! Everything here is slow and takes the memory of a whole picture in pixels, so it runs on one
//! thread of its own, one picture at a time, within the caps of `docs/protocol.md`.
#![expect(clippy::disallowed_types, reason = "files live in io")]

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{DynamicImage, ImageDecoder, ImageResult, Limits, RgbImage};
use sha2::{Digest, Sha256};

use crate::node::{PictureFacts, PictureFormat};
use crate::store::StoreError;
use crate::wire::picture::lzw::{self, LzwError, UNPACKED_MAX};
use crate::wire::picture::{Kind, WIRE_MAX};

/// Most pixels of a picture (threats, caps).
pub const PIXELS_MAX: u64 = 40_000_000;
/// Largest file that is read to be sent, bytes.
pub const INPUT_MAX: u64 = 64 << 20;
/// Memory a decoder may take, bytes: [`PIXELS_MAX`] with four bytes each, and room to work.
const MEMORY_MAX: u64 = 256 << 20;
/// Bytes of a `BITMAPINFOHEADER`.
const DIB_HEADER: u32 = 40;

/// Why a picture is not taken, or cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not of a kind that is read.
    #[error("it is no PNG, JPEG, GIF or BMP")]
    NoPicture,
    /// It cannot be decoded.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It has more than [`PIXELS_MAX`] pixels.
    #[error("it has {width} x {height} pixels, more than 40 million")]
    TooManyPixels {
        /// Width, pixels.
        width: u32,
        /// Height, pixels.
        height: u32,
    },
    /// Its container cannot be unpacked.
    #[error("it is damaged: {0}")]
    Container(#[from] LzwError),
    /// The file to be sent is larger than [`INPUT_MAX`].
    #[error("its file is larger than 64 MiB")]
    LargeFile,
    /// It is larger, as FeiQ reads it, than what FeiQ takes.
    #[error("as FeiQ reads it, it is larger than 16 MiB: scale it down")]
    LargeForPeer,
    /// Not a regular file.
    #[error("it is no regular file")]
    NoFile,
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is no room for it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<image::ImageError> for ImageError {
    fn from(error: image::ImageError) -> Self {
        match error {
            image::ImageError::IoError(error) if error.raw_os_error().is_some() => Self::Io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// A received picture, decoded.
#[derive(Debug)]
pub struct Checked {
    /// What it is.
    pub facts: PictureFacts,
    /// What is to be kept in its place, where that is not what came: a container or a bare bitmap
    /// becomes a PNG.
    pub file: Option<File>,
}

/// Decodes a received picture. `fresh` makes an empty file with room for so many bytes.
pub fn check(
    file: &File,
    fresh: impl FnOnce(u64) -> Result<File, StoreError>,
) -> Result<Checked, ImageError> {
    let mut came = BufReader::new(file.try_clone()?);
    came.seek(SeekFrom::Start(0))?;
    let mut mark = Vec::new();
    came.by_ref().take(16).read_to_end(&mut mark)?;
    came.seek(SeekFrom::Start(0))?;
    let format = match Kind::of(&mark).ok_or(ImageError::NoPicture)? {
        Kind::Jpeg => PictureFormat::Jpeg,
        Kind::Png => PictureFormat::Png,
        Kind::Gif => PictureFormat::Gif,
        Kind::Bmp => PictureFormat::Bmp,
        kind @ (Kind::Container | Kind::Dib) => {
            let mut bitmap = Vec::new();
            came.read_to_end(&mut bitmap)?;
            if kind == Kind::Container {
                bitmap = lzw::unpack(&bitmap)?;
            }
            let pixels = bitmap_pixels(Cursor::new(&bitmap))?;
            drop(bitmap);
            return keep_as_png(&pixels, fresh);
        }
    };
    let pixels = pixels(came, format)?;
    let (width, height) = (pixels.width(), pixels.height());
    drop(pixels);
    Ok(Checked { facts: facts(file, format, width, height)?, file: None })
}

/// Reads the picture in a file and makes the container of it that `FeiQ` takes.
pub fn pack(path: &Path) -> Result<Vec<u8>, ImageError> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    // A FIFO without a writer would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(ImageError::NoFile);
    }
    if found.len() > INPUT_MAX {
        return Err(ImageError::LargeFile);
    }
    let mut file = BufReader::new(file.take(INPUT_MAX));
    let mut picture = Vec::new();
    file.read_to_end(&mut picture)?;
    let format = match Kind::of(&picture) {
        Some(Kind::Jpeg) => PictureFormat::Jpeg,
        Some(Kind::Png) => PictureFormat::Png,
        Some(Kind::Gif) => PictureFormat::Gif,
        Some(Kind::Bmp) => PictureFormat::Bmp,
        Some(Kind::Container | Kind::Dib) | None => return Err(ImageError::NoPicture),
    };
    let pixels = pixels(Cursor::new(&picture), format)?;
    drop(picture);
    let bitmap = bitmap(&flattened(pixels))?;
    let container = lzw::pack(&bitmap)?;
    if container.len() > WIRE_MAX {
        return Err(ImageError::LargeForPeer);
    }
    Ok(container)
}

/// The pixels of a picture file, turned as its camera says; of an animation the first picture.
fn pixels(
    file: impl io::BufRead + Seek,
    format: PictureFormat,
) -> Result<DynamicImage, ImageError> {
    guarded(|| match format {
        PictureFormat::Jpeg => decoded(JpegDecoder::new(file)?),
        PictureFormat::Png => decoded(PngDecoder::with_limits(file, limits())?),
        PictureFormat::Gif => decoded(GifDecoder::new(file)?),
        PictureFormat::Bmp => decoded(BmpDecoder::new(file)?),
    })
}

fn bitmap_pixels(file: impl io::BufRead + Seek) -> Result<DynamicImage, ImageError> {
    guarded(|| decoded(BmpDecoder::new_without_file_header(file)?))
}

/// A decoder that panics costs the picture, not the thread.
fn guarded(
    decode: impl FnOnce() -> Result<DynamicImage, ImageError>,
) -> Result<DynamicImage, ImageError> {
    let panicked = |_| Err(ImageError::Damaged("its decoder gave up".to_owned()));
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(panicked)
}

fn decoded(mut decoder: impl ImageDecoder) -> Result<DynamicImage, ImageError> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(ImageError::TooManyPixels { width, height });
    }
    decoder.set_limits(limits())?;
    let orientation = decoder.orientation()?;
    let mut pixels = DynamicImage::from_decoder(decoder)?;
    pixels.apply_orientation(orientation);
    Ok(pixels)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY_MAX);
    limits
}

fn keep_as_png(
    pixels: &DynamicImage,
    fresh: impl FnOnce(u64) -> Result<File, StoreError>,
) -> Result<Checked, ImageError> {
    let (width, height) = (pixels.width(), pixels.height());
    let mut file = fresh(u64::try_from(pixels.as_bytes().len()).unwrap_or(u64::MAX))?;
    let mut out = BufWriter::new(&mut file);
    write_png(pixels, &mut out)?;
    out.flush()?;
    drop(out);
    let facts = facts(&file, PictureFormat::Png, width, height)?;
    Ok(Checked { facts, file: Some(file) })
}

fn write_png(pixels: &DynamicImage, out: impl Write) -> ImageResult<()> {
    pixels.write_with_encoder(PngEncoder::new_with_quality(
        out,
        CompressionType::Default,
        FilterType::Adaptive,
    ))
}

fn facts(
    file: &File,
    format: PictureFormat,
    width: u32,
    height: u32,
) -> Result<PictureFacts, ImageError> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let size = io::copy(&mut file, &mut hash)?;
    let mut digest = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(digest, "{byte:02x}");
    }
    Ok(PictureFacts { format, width, height, size, digest })
}

/// On white, where it is transparent: a bitmap of 24 bits has no transparency.
fn flattened(pixels: DynamicImage) -> RgbImage {
    if !pixels.color().has_alpha() {
        return pixels.into_rgb8();
    }
    let pixels = pixels.into_rgba8();
    RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| {
        let [r, g, b, alpha] = pixels.get_pixel(x, y).0;
        let over = |colour: u8| {
            let (colour, alpha) = (u16::from(colour), u16::from(alpha));
            u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        image::Rgb([over(r), over(g), over(b)])
    })
}

/// A bitmap as `FeiQ` packs it: a 40-byte header, 24 bits, bottom row first, rows padded to 4 bytes.
fn bitmap(pixels: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let (width, height) = pixels.dimensions();
    let row = pixels.width().checked_mul(3).and_then(|row| row.checked_next_multiple_of(4));
    let size = row.and_then(|row| row.checked_mul(height)).ok_or(ImageError::LargeForPeer)?;
    let all = usize::try_from(size + DIB_HEADER).map_err(|_| ImageError::LargeForPeer)?;
    if all > UNPACKED_MAX {
        return Err(ImageError::LargeForPeer);
    }
    let mut out = Vec::with_capacity(all);
    for number in [DIB_HEADER, width, height] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    // Planes, bits for each pixel, no compression.
    out.extend_from_slice(&[1, 0, 24, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&size.to_le_bytes());
    // Resolution is not said; no palette.
    out.extend_from_slice(&[0; 16]);
    let padding = usize::try_from(row.unwrap_or(0) - width * 3).unwrap_or(0);
    for line in pixels.rows().rev() {
        for image::Rgb([r, g, b]) in line {
            out.extend_from_slice(&[*b, *g, *r]);
        }
        out.extend_from_slice(&[0; 3][..padding]);
    }
    Ok(out)
}
