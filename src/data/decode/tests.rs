use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)
}

fn content(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

const JPEGS: [&str; 6] = ["420.jpg", "422.jpg", "444.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg"];

#[test]
fn pixels_are_pillows() {
    let expected: serde_json::Value = serde_json::from_slice(&content("pillow.json")).unwrap();
    let mut wrong = Vec::new();
    for (name, expected) in expected.as_object().unwrap() {
        for (mode, key) in [(Mode::Rgb, "RGB"), (Mode::L, "L")] {
            let image = Decode { mode, ..Decode::default() }.file(&file(name)).unwrap();
            let hash: String = Sha256::digest(&image.data).iter().map(|byte| format!("{byte:02x}")).collect();
            if hash != expected[key] || serde_json::json!([image.width, image.height]) != expected["size"] {
                wrong.push(format!("{name} as {key}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join(", "));
}

#[test]
fn a_window_has_the_pixels_of_the_whole() {
    for name in JPEGS {
        let bytes = content(name);
        for at_least in [None, Some(40), Some(15), Some(1)] {
            let decode = Decode { at_least, ..Decode::default() };
            let whole = decode.bytes(&bytes).unwrap();
            for place in 0..40 {
                let width = 1 + place * 37 % whole.width;
                let height = 1 + place * 23 % whole.height;
                let left = (place * 11) % (whole.width - width + 1);
                let top = (place * 7) % (whole.height - height + 1);
                let window = Window { left, top, width, height };
                let part = decode.open(&bytes).unwrap().unwrap().window(window).unwrap();
                for row in 0..height {
                    let there = &whole.row(top + row)[left * 3..(left + width) * 3];
                    assert_eq!(part.row(row), there, "{name} {at_least:?} {window:?}");
                }
            }
        }
    }
}

#[test]
fn a_window_outside_is_refused() {
    let bytes = content("420.jpg");
    for (left, width) in [(100, 18), (0, 118), (0, 0), (usize::MAX, 1)] {
        let file = Decode::default().open(&bytes).unwrap().unwrap();
        let error = file.window(Window { left, top: 0, width, height: 1 }).unwrap_err().to_string();
        assert!(error.contains("outside"), "{error}");
    }
}

#[test]
fn sixteen_bits_are_kept_where_they_are_asked_for() {
    for name in ["16bit.png", "16bit.tif"] {
        let Picture::Floats(wide) = (Decode { mode: Mode::Wide, ..Decode::default() }).picture(&file(name)).unwrap()
        else {
            panic!("16 bits are floats")
        };
        let narrow = Decode { mode: Mode::L, ..Decode::default() }.file(&file(name)).unwrap();
        assert_eq!((wide.channels, wide.data.len()), (1, 31 * 22));
        for (wide, narrow) in wide.data.iter().zip(&narrow.data) {
            assert_eq!(((wide * 65535.0).round() as u32 >> 8) as u8, *narrow);
        }
    }
}

#[test]
fn the_content_decides_whatever_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.png");
    std::fs::copy(file("420.jpg"), &path).unwrap();
    assert_eq!(Decode::default().file(&path).unwrap(), Decode::default().file(&file("420.jpg")).unwrap());
    assert_eq!(Decode::default().size(&path).unwrap(), [117, 83]);
    assert_eq!(Decode::default().size(&file("lossy.webp")).unwrap(), [117, 83]);
}

#[test]
fn the_first_of_animated_pictures() {
    for name in ["animated.gif", "animated.webp"] {
        let image = Decode::default().file(&file(name)).unwrap();
        assert_eq!((image.width, image.height), (24, 18), "{name}");
    }
}

#[test]
fn what_is_broken_is_said() {
    let error = |bytes: &[u8]| Decode::default().bytes(bytes).unwrap_err().to_string();
    assert_eq!(error(b""), "the file is empty");
    assert!(error(b"version https://git-lfs\n").starts_with("it is not an image of a known format"));
    let folder = tempfile::tempdir().unwrap();
    for name in JPEGS.iter().copied().chain(["alpha.png", "lossy.webp", "deflate.tif", "animated.gif"]) {
        let bytes = content(name);
        for part in [4, 20, bytes.len() / 3, bytes.len() * 2 / 3, bytes.len() - 40] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes[..part]).unwrap();
            for decode in [Decode::default(), Decode { mode: Mode::Wide, ..Decode::default() }] {
                // What stands at the end of these files is no pixel of the first picture.
                let end = part == bytes.len() - 40 && matches!(name, "deflate.tif" | "lossy.webp" | "alpha.png");
                let mere = end || (name == "animated.gif" && part > bytes.len() / 3);
                let result = decode.picture(&path);
                assert!(result.is_err() || mere, "{name} cut at {part} of {}", bytes.len());
                if let Err(error) = result {
                    assert!(error.to_string().starts_with(&format!("cannot read {}", path.display())), "{error}");
                }
                assert!(decode.verify(&path).is_err() || mere, "{name} cut at {part}");
            }
        }
    }
    // A part of a file that is cut off further down.
    let bytes = content("420.jpg");
    let cut = &bytes[..bytes.len() - 200];
    let file = Decode::default().open(cut).unwrap().unwrap();
    let error = file.window(Window { left: 0, top: 0, width: 5, height: 5 }).unwrap_err().to_string();
    assert_eq!(error, "the JPEG file is truncated");
}

#[test]
fn noise_never_panics() {
    let mut rng = crate::data::rng::Rng::new(crate::data::rng::Purpose::Order, 3, &[]);
    for name in JPEGS.iter().copied().chain(["palette.png", "lossy.webp", "lossless.webp", "plain.tif", "animated.gif"])
    {
        let bytes = content(name);
        for _ in 0..60 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + rng.below(6) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.bits() as u8;
            }
            let limited = Decode { max_pixels: 1 << 20, ..Decode::default() };
            let _ = limited.bytes(&bytes);
            let _ = Decode { at_least: Some(1), mode: Mode::L, ..limited }.bytes(&bytes);
        }
    }
}

/// 30,000 x 30,000 pixels in a small file are refused before memory is taken, unless the limit is raised.
#[test]
fn decompression_bombs() {
    let mut jpeg = content("420.jpg");
    let frame = jpeg.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    let mut png = content("palette.png");
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    for bytes in [&jpeg, &png] {
        let error = Decode::default().bytes(bytes).unwrap_err().to_string();
        assert!(error.contains("it has 30000x30000 pixels, more than the 178956970 allowed"), "{error}");
    }
    let error = Decode { max_pixels: 1_000_000_000, ..Decode::default() }.size_of(&jpeg).unwrap();
    assert_eq!(error, [30_000, 30_000]);
    let small = Decode { max_pixels: 117 * 83 - 1, ..Decode::default() };
    assert!(small.bytes(&content("420.jpg")).unwrap_err().to_string().contains("raise max_image_pixels"));
}
