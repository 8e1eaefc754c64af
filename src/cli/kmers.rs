//! `runner convert`: pictures of k-mer counts in the other of their two layouts, as varKoder's convert command.
//!
//! In the layout `cgr` (chaos game representation) every k-mer has a cell of its own: from the middle of a square whose
//! corners are A, C, G and T, each base goes half the way to its corner. In `varKode` a k-mer and its reverse complement
//! share a cell, which a table gives.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};
use indexmap::IndexMap;
use rayon::prelude::*;
use walkdir::WalkDir;

use super::compose::Request;
use crate::data::datasets::png_text;
use crate::error::{Error, Result};

/// How a picture is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    VarKode,
    Cgr,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Layout::VarKode => "varKode",
            Layout::Cgr => "cgr",
        }
    }
}

/// What was asked for.
struct Options {
    from: PathBuf,
    to: Layout,
    out: PathBuf,
    table: PathBuf,
    /// Whether a cell of cgr is half of what both of its k-mers have in varKode.
    sum: bool,
    overwrite: bool,
}

impl Options {
    fn of(request: &Request) -> Result<Self> {
        let help = "runner convert FOLDER to=cgr out=DIR mapping=7mer_mapping.csv; sum=true adds up both strands";
        let typed = |key: &str| request.typed(key);
        let needed =
            |key: &str| typed(key).ok_or_else(|| Error::request(format!("`runner convert` needs {key}=…")).help(help));
        let known = ["to", "out", "mapping", "sum", "overwrite"];
        let unknown =
            request.overrides.iter().filter_map(|text| text.split_once('=')).find(|(key, _)| !known.contains(key));
        if let Some((key, _)) = unknown {
            return Err(Error::request(format!("`runner convert` has no option `{key}`")).help(help));
        }
        let to = match needed("to")? {
            "cgr" => Layout::Cgr,
            "varKode" => Layout::VarKode,
            other => return Err(Error::request(format!("to is cgr or varKode, not `{other}`"))),
        };
        Ok(Options {
            from: PathBuf::from(&request.words[0]),
            to,
            out: needed("out")?.into(),
            table: needed("mapping")?.into(),
            sum: typed("sum") == Some("true"),
            overwrite: typed("overwrite") == Some("true"),
        })
    }
}

/// The command; gives what to print.
///
/// # Errors
/// When the table or a picture cannot be read, or a picture is there already.
pub fn convert(request: &Request) -> Result<String> {
    let options = Options::of(request)?;
    let cells = Cells::read(&options.table)?;
    let mut pictures = Vec::new();
    for entry in WalkDir::new(&options.from).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::request(format!("{}: {error}", options.from.display())))?;
        if entry.file_type().is_file() && entry.path().extension().is_some_and(|ending| ending == "png") {
            pictures.push(entry.into_path());
        }
    }
    if pictures.is_empty() {
        return Err(Error::request(format!("there are no PNG files in {}", options.from.display())));
    }
    std::fs::create_dir_all(&options.out).map_err(|error| Error::io("make", &options.out, error))?;
    // One sample may lie there under its older and its newer name, which come to the same picture: the newer is taken.
    let mut wanted: IndexMap<PathBuf, Picture> = IndexMap::new();
    let mut skipped = 0;
    for path in pictures {
        match Picture::of(&path, &options, &cells)? {
            Some((to, picture)) => {
                wanted.insert(to, picture);
            }
            None => skipped += 1,
        }
    }
    if let Some(to) = wanted.keys().find(|to| to.exists() && !options.overwrite) {
        return Err(Error::request(format!("{} exists", to.display())).help("give another out=…, or overwrite=true"));
    }
    let wanted: Vec<(PathBuf, Picture)> = wanted.into_iter().collect();
    wanted.par_iter().try_for_each(|(to, picture)| picture.convert(to, &options, &cells))?;
    let skipped = match skipped {
        0 => String::new(),
        skipped => format!(", {skipped} are in that layout already"),
    };
    Ok(format!("{} pictures converted to {}{skipped}: {}", wanted.len(), options.to.name(), options.out.display()))
}

/// A picture that is to be converted.
struct Picture {
    path: PathBuf,
    layout: Layout,
}

impl Picture {
    /// What a file's name says, and where the converted picture goes; `None` when it has the wanted layout.
    fn of(path: &Path, options: &Options, cells: &Cells) -> Result<Option<(PathBuf, Self)>> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let odd = |what: &str| Error::request(format!("{}: {what}", path.display()));
        let (sample, rest) =
            stem.split_once('@').ok_or_else(|| odd("its name is no <sample>@<digits>K+<layout>+k<k>"))?;
        let (amount, rest) =
            rest.split_once('+').ok_or_else(|| odd("its name does not say how long its k-mers are"))?;
        let (layout, k) = match rest.split_once('+') {
            Some(("cgr", k)) => (Layout::Cgr, k),
            Some(("varKode", k)) => (Layout::VarKode, k),
            Some((other, _)) => return Err(odd(&format!("there is no layout `{other}`"))),
            None => (Layout::VarKode, rest),
        };
        if layout == options.to {
            return Ok(None);
        }
        if k != format!("k{}", cells.k) {
            return Err(odd(&format!("it shows {k}, and the table is of {}-mers", cells.k)));
        }
        let to = options.out.join(format!("{sample}@{amount}+{}+{k}.png", options.to.name()));
        Ok(Some((to, Picture { path: path.to_owned(), layout })))
    }

    fn convert(&self, to: &Path, options: &Options, cells: &Cells) -> Result<()> {
        let odd = |what: &str| Error::request(format!("{}: {what}", self.path.display()));
        let picture = image::open(&self.path).map_err(|error| odd(&error.to_string()))?.into_luma8();
        let side = if self.layout == Layout::Cgr { 1 << cells.k } else { cells.side };
        if picture.dimensions() != (side, side) {
            let (width, height) = picture.dimensions();
            return Err(odd(&format!("it has {width}x{height} pixels, and this layout {side}x{side}")));
        }
        let new = match options.to {
            Layout::Cgr => cells.to_cgr(&picture, options.sum),
            Layout::VarKode => cells.to_varkode(&picture),
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        new.write_to(&mut bytes, image::ImageFormat::Png).map_err(|error| odd(&error.to_string()))?;
        let mut texts: Vec<(String, String)> = png_text::read(&self.path)?.into_iter().collect();
        texts.retain(|(key, _)| key != "varkoderMapping");
        texts.push(("varkoderMapping".into(), options.to.name().into()));
        texts.sort();
        crate::run::write_atomic(to, &png_text::with_texts(bytes.get_ref(), &texts))
    }
}

/// Where the k-mers of one length lie in both layouts.
struct Cells {
    k: u32,
    /// The side of a varKode.
    side: u32,
    /// Column and row in cgr, column and row in varKode, of every k-mer.
    pairs: Vec<([u32; 2], [u32; 2])>,
}

impl Cells {
    /// Reads a table of `kmer,x,y`: the cells of varKode, y upwards.
    fn read(path: &Path) -> Result<Self> {
        let failed = |what: String| Error::request(format!("{}: {what}", path.display()));
        let mut reader = csv::Reader::from_path(path).map_err(|error| failed(error.to_string()))?;
        let header = reader.headers().map_err(|error| failed(error.to_string()))?.clone();
        let column = |name: &str| {
            header.iter().position(|column| column == name).ok_or_else(|| failed(format!("it has no column `{name}`")))
        };
        let columns = [column("kmer")?, column("x")?, column("y")?];
        let mut rows: HashMap<String, [u32; 2]> = HashMap::new();
        for row in reader.records() {
            let row = row.map_err(|error| failed(error.to_string()))?;
            let number = |at: usize| {
                row.get(at).and_then(|text| text.parse().ok()).ok_or_else(|| failed("x and y are whole numbers".into()))
            };
            rows.insert(row.get(columns[0]).unwrap_or_default().to_owned(), [number(columns[1])?, number(columns[2])?]);
        }
        let k = rows.keys().next().map_or(0, String::len) as u32;
        if !(5..=9).contains(&k) || rows.len() != 4usize.pow(k) || rows.keys().any(|kmer| kmer.len() as u32 != k) {
            return Err(failed("it is no table of all k-mers of one length from 5 to 9".into()));
        }
        let side = rows.values().flatten().max().map_or(0, |top| top + 1);
        let mut pairs = Vec::with_capacity(rows.len());
        for (kmer, [x, y]) in rows {
            let [column, row] = chaos_game(&kmer).ok_or_else(|| failed(format!("`{kmer}` is no k-mer")))?;
            pairs.push(([column, (1 << k) - 1 - row], [x, side - 1 - y]));
        }
        Ok(Cells { k, side, pairs })
    }

    /// Both of a varKode's k-mers get its pixel; with `sum` half of it, so that their sum is what it was.
    fn to_cgr(&self, picture: &GrayImage, sum: bool) -> GrayImage {
        let mut new = GrayImage::new(1 << self.k, 1 << self.k);
        for ([x, y], [from_x, from_y]) in &self.pairs {
            let Luma([value]) = *picture.get_pixel(*from_x, *from_y);
            new.put_pixel(*x, *y, Luma([if sum { value / 2 } else { value }]));
        }
        new
    }

    /// Pixels that no k-mer has are as dark as the darkest.
    fn to_varkode(&self, picture: &GrayImage) -> GrayImage {
        let darkest = picture.pixels().map(|Luma([value])| *value).min().unwrap_or(0);
        let mut new = GrayImage::from_pixel(self.side, self.side, Luma([darkest]));
        for ([from_x, from_y], [x, y]) in &self.pairs {
            new.put_pixel(*x, *y, *picture.get_pixel(*from_x, *from_y));
        }
        new
    }
}

/// The cell of a k-mer, counted from the corner of A: each base halves the way to its corner, which in whole numbers
/// sets the bit above all earlier ones.
fn chaos_game(kmer: &str) -> Option<[u32; 2]> {
    let mut cell = [0, 0];
    for (place, base) in kmer.bytes().enumerate() {
        let [x, y] = match base {
            b'A' => [0, 0],
            b'C' => [0, 1],
            b'G' => [1, 1],
            b'T' => [1, 0],
            _ => return None,
        };
        cell[0] |= x << place;
        cell[1] |= y << place;
    }
    Some(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_those_of_halved_ways() {
        for kmer in ["ACGTA", "TTTTT", "GCGCA", "CAAGT"] {
            let mut at = [0.5, 0.5];
            for base in kmer.chars() {
                let corner = match base {
                    'A' => [0.0, 0.0],
                    'C' => [0.0, 1.0],
                    'G' => [1.0, 1.0],
                    _ => [1.0, 0.0],
                };
                at = [(at[0] + corner[0]) / 2.0, (at[1] + corner[1]) / 2.0];
            }
            assert_eq!(chaos_game(kmer), Some(at.map(|part| (part * 32.0) as u32)), "{kmer}");
        }
        assert_eq!(chaos_game("ACGTN"), None);
    }
}
