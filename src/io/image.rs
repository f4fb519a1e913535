//! Pictures decoded and made: what came is proved to be a picture before it is kept, and what is
//! sent becomes the container that `FeiQ` reads (dialect reference, 7).
//!
//! Everything here is slow and takes the memory of a whole picture in pixels, so it runs on one
//! thread of its own, one picture at a time, within the caps of `docs/protocol.md`.
#![expect(clippy::disallowed_types, reason = "files live in io")]

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageResult, Limits, RgbImage};
use sha2::{Digest, Sha256};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::node::{PictureFacts, PictureFormat};
use crate::store::StoreError;
use crate::wire::picture::lzw::{self, LzwError, UNPACKED_MAX};
use crate::wire::picture::{Kind, WIRE_MAX};

/// Most pixels of a picture (threats, caps).
pub const PIXELS_MAX: u64 = 40_000_000;
/// Largest file that is read to be sent, bytes.
pub const INPUT_MAX: u64 = 64 << 20;
/// Memory a decoder may take, with its pixels, bytes: [`PIXELS_MAX`] with four bytes each, and room
/// to work.
const MEMORY_MAX: u64 = 256 << 20;
/// Memory a JPEG may take until it is proved, bytes: [`PIXELS_MAX`] of a progressive one in the usual
/// colours, whose decoder keeps two bytes for each of three coefficients and makes a grey pixel.
const JPEG_MEMORY_MAX: u64 = PIXELS_MAX * 7;
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
    /// Its pixels are so deep that they take more memory than a decoder gets.
    #[error("decoding it would take too much memory")]
    TooDeep,
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
    let (width, height) = proved(came, format)?;
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

/// Decodes a picture file and lets its pixels go: its width and height, turned as its camera says.
fn proved(file: impl io::BufRead + Seek, format: PictureFormat) -> Result<(u32, u32), ImageError> {
    guarded(|| match format {
        PictureFormat::Jpeg => jpeg_proved(file),
        PictureFormat::Png => decoder_proved(PngDecoder::with_limits(file, limits())?),
        PictureFormat::Gif => decoder_proved(GifDecoder::new(file)?),
        PictureFormat::Bmp => decoder_proved(BmpDecoder::new(file)?),
    })
}

fn decoder_proved(mut decoder: impl ImageDecoder) -> Result<(u32, u32), ImageError> {
    let size = decoder.dimensions();
    let orientation = admitted(&mut decoder)?;
    drop(DynamicImage::from_decoder(decoder)?);
    Ok(turned(size, orientation))
}

/// A JPEG in colours is decoded as a grey one: all its bytes are read, and of a progressive one, whose
/// coefficients are all kept until the end, the pixels would take half as much again.
fn jpeg_proved(mut file: impl io::BufRead + Seek) -> Result<(u32, u32), ImageError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut decoder = JpegDecoder::new(Cursor::new(&bytes))?;
    let size = turned(decoder.dimensions(), admitted(&mut decoder)?);
    drop(decoder);
    // As the other decoder asks it to be.
    let lenient = DecoderOptions::default().set_strict_mode(false);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(&bytes), lenient);
    let damaged = |error: zune_jpeg::errors::DecodeErrors| ImageError::Damaged(error.to_string());
    decoder.decode_headers().map_err(damaged)?;
    let is_grey = match decoder.input_colorspace() {
        Some(ColorSpace::YCbCr) => {
            decoder.set_options(lenient.jpeg_set_out_colorspace(ColorSpace::Luma));
            true
        }
        other => other == Some(ColorSpace::Luma),
    };
    // Those of print have a fourth component, and no short way to grey.
    let kept = decoder.info().filter(|info| !info.sof.is_sequential_dct());
    let coefficients = kept.map_or(0, |info| 2 * u64::from(info.components));
    let each = coefficients + if is_grey { 1 } else { 3 };
    if u64::from(size.0) * u64::from(size.1) * each > JPEG_MEMORY_MAX {
        return Err(ImageError::TooDeep);
    }
    decoder.decode().map(|_| size).map_err(damaged)
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
    guarded(|| {
        let mut decoder = BmpDecoder::new_without_file_header(file)?;
        admitted(&mut decoder)?;
        Ok(DynamicImage::from_decoder(decoder)?)
    })
}

/// A decoder that panics costs the picture, not the thread.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
    let panicked = |_| Err(ImageError::Damaged("its decoder gave up".to_owned()));
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(panicked)
}

/// The pixels of a picture that is to be packed, which need not be decoded if that cannot be.
fn decoded(mut decoder: impl ImageDecoder) -> Result<DynamicImage, ImageError> {
    let (width, height) = decoder.dimensions();
    let orientation = admitted(&mut decoder)?;
    if u64::from(width) * u64::from(height) * 3 > UNPACKED_MAX as u64 {
        return Err(ImageError::LargeForPeer);
    }
    let mut pixels = DynamicImage::from_decoder(decoder)?;
    pixels.apply_orientation(orientation);
    Ok(pixels)
}

/// Lets a decoder go on if the picture has not too many pixels, with what memory is left beside
/// them: how its camera was held.
fn admitted(decoder: &mut impl ImageDecoder) -> Result<Orientation, ImageError> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(ImageError::TooManyPixels { width, height });
    }
    let left = MEMORY_MAX.checked_sub(decoder.total_bytes()).ok_or(ImageError::TooDeep)?;
    let mut limits = limits();
    limits.max_alloc = Some(left);
    decoder.set_limits(limits)?;
    Ok(decoder.orientation()?)
}

fn turned((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (height, width),
        _ => (width, height),
    }
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
    let digest = format!("{:x}", hash.finalize());
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
