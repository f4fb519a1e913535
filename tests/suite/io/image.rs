//! Pictures decoded and packed: every format, and every way to be none.

use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::PathBuf;

use feige::io::image::{Checked, ImageError, check, pack};
use feige::node::PictureFormat;
use feige::wire::picture::lzw;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use proptest::prelude::*;
use tempfile::{NamedTempFile, tempfile};

use crate::support::feiq::pictures::{self, Bitmap};

fn checked(bytes: &[u8]) -> Result<Checked, ImageError> {
    let mut file = tempfile().unwrap();
    file.write_all(bytes).unwrap();
    check(&file, |_| Ok(tempfile().unwrap()))
}

fn named(bytes: &[u8]) -> (NamedTempFile, PathBuf) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path().to_owned();
    (file, path)
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    let (_file, path) = named(bytes);
    pack(&path)
}

fn sample() -> DynamicImage {
    let bitmap = Bitmap::sample(37, 21);
    let pixels = bitmap.pixels.concat();
    DynamicImage::ImageRgb8(image::RgbImage::from_raw(37, 21, pixels).unwrap())
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

const FORMATS: [(ImageFormat, PictureFormat); 4] = [
    (ImageFormat::Jpeg, PictureFormat::Jpeg),
    (ImageFormat::Png, PictureFormat::Png),
    (ImageFormat::Gif, PictureFormat::Gif),
    (ImageFormat::Bmp, PictureFormat::Bmp),
];

#[test]
fn every_format_is_decoded_and_kept_as_it_came() {
    for (written_as, format) in FORMATS {
        let bytes = written(&sample(), written_as);
        let Checked { facts, file } = checked(&bytes).unwrap();
        assert_eq!((facts.format, facts.width, facts.height), (format, 37, 21));
        assert_eq!(facts.size, bytes.len() as u64);
        assert_eq!(facts.digest.len(), 64);
        assert!(file.is_none());
    }
}

#[test]
fn containers_and_bare_bitmaps_become_png() {
    let bitmap = Bitmap::sample(37, 21);
    for bytes in [pictures::pack(&bitmap.dib()), bitmap.dib()] {
        let Checked { facts, file } = checked(&bytes).unwrap();
        assert_eq!((facts.format, facts.width, facts.height), (PictureFormat::Png, 37, 21));
        let mut file = file.unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut reader = std::io::BufReader::new(file);
        let png = image::load(&mut reader, ImageFormat::Png).unwrap();
        assert!(png.into_rgb8().into_raw() == bitmap.pixels.concat());
    }
}

#[test]
fn what_is_packed_a_feiq_unpacks_to_the_same_pixels() {
    for (format, _) in FORMATS {
        let container = packed(&written(&sample(), format)).unwrap();
        let bitmap = Bitmap::read(&pictures::unpack(&container).unwrap());
        assert_eq!((bitmap.width, bitmap.height), (37, 21));
        if matches!(format, ImageFormat::Png | ImageFormat::Bmp) {
            assert!(bitmap == Bitmap::sample(37, 21), "{format:?}");
        }
    }
}

#[test]
fn what_is_transparent_lies_on_white() {
    let clear =
        RgbaImage::from_fn(
            2,
            1,
            |x, _| {
                if x == 0 { Rgba([9, 9, 9, 0]) } else { Rgba([0, 100, 200, 51]) }
            },
        );
    let container = packed(&written(&clear.into(), ImageFormat::Png)).unwrap();
    let bitmap = Bitmap::read(&pictures::unpack(&container).unwrap());
    assert_eq!(bitmap.pixels, [[255, 255, 255], [204, 224, 244]]);
}

#[test]
fn what_is_no_picture_is_refused_with_a_reason() {
    let no_picture =
        |result: Result<_, ImageError>| matches!(result.map(drop), Err(ImageError::NoPicture));
    for bytes in [&b""[..], b"hello", b"\xff", b"PK\x03\x04", b"MZ\x90\0"] {
        assert!(no_picture(checked(bytes).map(drop)), "{bytes:?}");
        assert!(no_picture(packed(bytes).map(drop)), "{bytes:?}");
    }
    for (format, _) in FORMATS {
        let whole = written(&sample(), format);
        for end in [4, 20, whole.len() / 2] {
            assert!(checked(&whole[..end]).is_err(), "{format:?} up to {end}");
            assert!(packed(&whole[..end]).is_err(), "{format:?} up to {end}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_decoded() {
    let mut bitmap = Bitmap::sample(1, 1).dib();
    for (width, height) in [(6_401_u32, 6_250_u32), (u32::MAX / 2, 1), (1, u32::MAX / 2)] {
        bitmap[4..8].copy_from_slice(&width.to_le_bytes());
        bitmap[8..12].copy_from_slice(&height.to_le_bytes());
        assert!(checked(&bitmap).is_err(), "{width} x {height}");
    }
    bitmap[4..8].copy_from_slice(&6_401_u32.to_le_bytes());
    bitmap[8..12].copy_from_slice(&6_250_u32.to_le_bytes());
    assert!(matches!(checked(&bitmap), Err(ImageError::TooManyPixels { width: 6_401, .. })));
    let lies = [lzw::MARK, &u32::MAX.to_le_bytes(), &[0; 100]].concat();
    assert!(matches!(checked(&lies), Err(ImageError::Container(_))));
}

#[test]
fn only_a_regular_file_of_a_fair_size_is_sent() {
    assert!(matches!(pack("/".as_ref()), Err(ImageError::NoFile)));
    assert!(matches!(pack("/dev/zero".as_ref()), Err(ImageError::NoFile)));
    assert!(matches!(pack("/no/such/file".as_ref()), Err(ImageError::Io(_))));
    let (large, path) = named(b"BM");
    large.as_file().set_len((64 << 20) + 1).unwrap();
    assert!(matches!(pack(&path), Err(ImageError::LargeFile)));
    // Noise does not become smaller: as FeiQ reads it, this is more than 16 MiB.
    let mut noise = 1_u32;
    let rough = image::RgbImage::from_fn(2_500, 2_000, |_, _| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, r, g, b] = noise.to_le_bytes();
        image::Rgb([r, g, b])
    });
    let result = packed(&written(&rough.into(), ImageFormat::Bmp));
    assert!(matches!(result, Err(ImageError::LargeForPeer)), "{:?}", result.map(|c| c.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_pictures_never_panic(
        which in 0..FORMATS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = written(&sample(), FORMATS[which].0);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // Whether it is still a picture is up to its decoder.
        if let Ok(checked) = checked(&bytes) {
            prop_assert!(u64::from(checked.facts.width) * u64::from(checked.facts.height) <= 40_000_000);
        }
    }
}

/// A GIF of one colour with a frame one pixel narrower than its screen, and nothing in it.
fn narrow_gif(width: u16, height: u16) -> Vec<u8> {
    let [width_bytes, frame, height] = [width, width - 1, height].map(u16::to_le_bytes);
    let screen = [&b"GIF89a"[..], &width_bytes, &height, &[0x80, 0, 0, 0, 0, 0, 9, 9, 9]].concat();
    let image = [&[0x2c, 0, 0, 0, 0][..], &frame, &height, &[0, 2, 1, 0x2c, 0, 0x3b]].concat();
    [screen, image].concat()
}

#[test]
fn what_takes_more_memory_than_forty_megapixels_should_is_refused_before_it_is_decoded() {
    // Twice 4 bytes for each pixel: the screen, and the frame beside it.
    let error = checked(&narrow_gif(8_000, 5_000)).expect_err("too large").to_string();
    assert!(error.contains("limit"), "{error}");
    assert!(!checked(&narrow_gif(80, 50)).is_err_and(|error| error.to_string().contains("limit")));
    // 8 bytes for each pixel.
    let mut header = b"IHDR".to_vec();
    header.extend([8_000_u32.to_be_bytes(), 5_000_u32.to_be_bytes()].concat());
    header.extend([16, 6, 0, 0, 0]);
    let crc = crc32fast::hash(&header).to_be_bytes();
    let start = b"\x89PNG\r\n\x1a\n\0\0\0\x0d";
    let png = [&start[..], &header[..], &crc, b"\0\0\0\0IDAT\x35\xaf\x06\x1e"].concat();
    assert!(matches!(checked(&png), Err(ImageError::TooDeep)));
}

/// The headers of a progressive JPEG of four components, as printers use them, and nothing in it.
fn print_jpeg(width: u16, height: u16) -> Vec<u8> {
    let size = [height, width].map(u16::to_be_bytes).concat();
    let components = [[1, 0x11, 0], [2, 0x11, 0], [3, 0x11, 0], [4, 0x11, 0]].concat();
    let adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";
    let frame = [&b"\xff\xc2\0\x14\x08"[..], &size, &[4], &components].concat();
    let scan = b"\xff\xda\0\x0e\x04\x01\0\x02\0\x03\0\x04\0\0\0\0";
    [&b"\xff\xd8"[..], adobe, &frame, scan, b"\xff\xd9"].concat()
}

#[test]
fn a_jpeg_for_print_is_refused_where_its_coefficients_take_more_than_those_of_others() {
    assert!(matches!(checked(&print_jpeg(8_000, 5_000)), Err(ImageError::TooDeep)));
    // 11 bytes for each pixel, where the largest of the usual colours takes 7.
    assert!(matches!(checked(&print_jpeg(5_091, 5_000)), Err(ImageError::TooDeep)));
    let smaller = checked(&print_jpeg(509, 500));
    assert!(matches!(smaller, Err(ImageError::Damaged(_)) | Ok(_)), "{smaller:?}");
}

#[test]
fn a_picture_too_large_for_feiq_is_refused_before_it_is_decoded() {
    // 22 megapixels of three bytes are all that a container may hold; nothing is behind the header.
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend([7_000_u32.to_le_bytes(), 5_000_u32.to_le_bytes()].concat());
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    assert!(matches!(packed(&file), Err(ImageError::LargeForPeer)));
}

#[test]
fn the_size_of_a_turned_jpeg_is_that_of_the_turned_picture() {
    let mut jpeg = written(&sample(), ImageFormat::Jpeg);
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    jpeg.splice(2..2, exif.iter().copied());
    let Checked { facts, .. } = checked(&jpeg).unwrap();
    assert_eq!((facts.width, facts.height), (21, 37));
    let bitmap = Bitmap::read(&pictures::unpack(&packed(&jpeg).unwrap()).unwrap());
    assert_eq!((bitmap.width, bitmap.height), (21, 37));
}

#[test]
fn a_jpeg_in_grey_and_a_damaged_one_in_colours_are_told_apart() {
    let grey = DynamicImage::ImageLuma8(sample().into_luma8());
    let grey = written(&grey, ImageFormat::Jpeg);
    assert_eq!(checked(&grey).unwrap().facts.width, 37);
    let mut colours = written(&sample(), ImageFormat::Jpeg);
    colours.truncate(300);
    assert!(matches!(checked(&colours), Err(ImageError::Damaged(_))));
}
