//! The text that PNG files carry beside their pixels (chunks tEXt, zTXt and iTXt).

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A];

/// A text is at most so long: a compressed one can claim anything.
const LONGEST: u64 = 1 << 20;

/// The texts of a PNG file by keyword. The pixels are not looked at.
///
/// # Errors
/// When the file cannot be read, is no PNG file or ends early; names the file.
pub fn read(path: &Path) -> Result<HashMap<String, String>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    texts(&bytes).map_err(|what| Error::failed(format!("cannot read {}: {what}", path.display())))
}

/// A PNG file with further texts, behind its header.
pub fn with_texts(png: &[u8], texts: &[(String, String)]) -> Vec<u8> {
    // The signature, then the header chunk: length, name, 13 bytes, checksum.
    let header = (8 + 4 + 4 + 13 + 4).min(png.len());
    let mut out = png[..header].to_vec();
    for (key, text) in texts {
        let mut chunk = b"tEXt".to_vec();
        chunk.extend(key.bytes().chain([0]));
        chunk.extend(text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')));
        let mut checksum = flate2::Crc::new();
        checksum.update(&chunk);
        out.extend(((chunk.len() - 4) as u32).to_be_bytes());
        out.extend(&chunk);
        out.extend(checksum.sum().to_be_bytes());
    }
    out.extend(&png[header..]);
    out
}

fn texts(bytes: &[u8]) -> Result<HashMap<String, String>, &'static str> {
    let mut rest = bytes.strip_prefix(&SIGNATURE).ok_or("it is no PNG file")?;
    let mut texts = HashMap::new();
    loop {
        let (length, after) = rest.split_first_chunk::<4>().ok_or("the PNG file is truncated")?;
        let (kind, after) = after.split_first_chunk::<4>().ok_or("the PNG file is truncated")?;
        let length = u32::from_be_bytes(*length) as usize;
        // The chunk's checksum follows it.
        let data = after.get(..length).ok_or("the PNG file is truncated")?;
        let entry = match kind {
            b"tEXt" => plain(data),
            b"zTXt" => compressed(data),
            b"iTXt" => international(data),
            b"IEND" => return Ok(texts),
            _ => None,
        };
        texts.extend(entry);
        rest = after.get(length + 4..).ok_or("the PNG file is truncated")?;
    }
}

fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    flate2::read::ZlibDecoder::new(bytes).take(LONGEST).read_to_end(&mut text).ok()?;
    Some(text)
}

fn plain(data: &[u8]) -> Option<(String, String)> {
    let (key, text) = split(data)?;
    Some((latin1(key), latin1(text)))
}

fn compressed(data: &[u8]) -> Option<(String, String)> {
    let (key, rest) = split(data)?;
    let text = inflate(rest.strip_prefix(&[0])?)?;
    Some((latin1(key), latin1(&text)))
}

fn international(data: &[u8]) -> Option<(String, String)> {
    let (key, rest) = split(data)?;
    let (&[is_compressed, _], rest) = rest.split_first_chunk::<2>()?;
    let (_language, rest) = split(rest)?;
    let (_translated, text) = split(rest)?;
    let text = if is_compressed == 1 { inflate(text)? } else { text.to_vec() };
    Some((latin1(key), String::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat()
    }

    #[test]
    fn texts_of_all_kinds() {
        let packed = {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all("long".as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let file = [
            SIGNATURE.to_vec(),
            chunk(b"IHDR", &[0; 13]),
            chunk(b"tEXt", b"labels\0a;b\xFC"),
            chunk(b"zTXt", &[b"packed\0\0", &packed[..]].concat()),
            chunk(b"iTXt", &[b"wide\0\0\0\0\0", "\u{4e2d}".as_bytes()].concat()),
            chunk(b"IEND", b""),
        ]
        .concat();
        let found = texts(&file).unwrap();
        assert_eq!(
            (found["labels"].as_str(), found["packed"].as_str(), found["wide"].as_str()),
            ("a;bü", "long", "中")
        );
        assert_eq!(texts(&file[..file.len() - 9]), Err("the PNG file is truncated"));
        assert_eq!(texts(b"GIF"), Err("it is no PNG file"));
    }
}
