//! Where images are: in memory, or in files that are decoded when they are asked for.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::disk::DiskCache;
use crate::data::SampleKey;
use crate::data::decode::Decode;
use crate::data::image::{Image, Picture, Planes};
use crate::data::transforms::{Canvas, Pipeline};
use crate::error::{Error, Result};

/// Where images are.
pub enum Images {
    /// Images of one size, one after the other, rows of interleaved channels.
    Memory {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes in a pixel.
        channels: usize,
        /// All of them.
        data: Vec<u8>,
    },
    /// Files.
    Files(Files),
}

/// Images in files, one file or several stacked ones each.
pub struct Files {
    /// The files; those of one image follow one another.
    pub paths: Vec<PathBuf>,
    /// How the files of one image are decoded. Their channels are put together in this order.
    pub parts: Vec<Decode>,
    /// Which channels are kept, in which order; `None` keeps all as they come.
    pub bands: Option<Vec<usize>>,
    /// What their names in predictions are relative to.
    pub root: PathBuf,
    /// Decoded images that are kept.
    pub kept: Kept,
}

/// Decoded images that are kept.
pub enum Kept {
    /// None: each is decoded whenever it is asked for.
    Nothing,
    /// In memory, from the first time they are read.
    Memory(Vec<OnceLock<Picture>>),
    /// In a mapped file.
    Disk(DiskCache),
}

impl Images {
    /// Files of one decoder each, without a cache.
    pub fn files(paths: Vec<PathBuf>, root: PathBuf, decode: Decode) -> Self {
        Images::Files(Files { paths, parts: vec![decode], bands: None, root, kept: Kept::Nothing })
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Images::Memory { width, height, channels, data } => data.len() / (width * height * channels).max(1),
            Images::Files(files) => files.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An image.
    ///
    /// # Errors
    /// When its file cannot be read; the message names it.
    pub fn get(&self, index: usize) -> Result<Picture> {
        match self {
            Images::Memory { width, height, channels, data } => {
                let size = width * height * channels;
                let data = data[index * size..(index + 1) * size].to_vec();
                Ok(Picture::Bytes(Image::new(*width, *height, *channels, data)?))
            }
            Images::Files(files) => files.get(index),
        }
    }

    /// An image seen through transforms. Of a JPEG file no more is decoded than the transforms look at.
    ///
    /// # Errors
    /// When its file cannot be read, or the transforms cannot act on it; the message names it.
    pub fn through(&self, index: usize, pipeline: &Pipeline, key: SampleKey) -> Result<Picture> {
        let named = |error: Error| error.context(format!("image {}", self.name(index)));
        if let Images::Files(Files { kept: Kept::Nothing, bands: None, parts, paths, .. }) = self
            && let [decode] = parts.as_slice()
        {
            let path = &paths[index];
            let unread = |error: Error| error.context(format!("cannot read {}", path.display()));
            let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
            if let Some(file) = decode.open(&bytes).map_err(unread)? {
                let canvas = Canvas { height: file.height, width: file.width, channels: file.channels() };
                let plan = pipeline.windowed(canvas, key).map_err(named)?;
                let image = file.window(plan.window).map_err(unread)?;
                return plan.finish(image).map_err(named);
            }
            return pipeline.run(decode.content(&bytes).map_err(unread)?, key).map_err(named);
        }
        pipeline.run(self.get(index)?, key).map_err(named)
    }

    /// The width and height of an image, without decoding it.
    ///
    /// # Errors
    /// When its file cannot be read; the message names it.
    pub fn size(&self, index: usize) -> Result<[usize; 2]> {
        match self {
            Images::Memory { width, height, .. } => Ok([*width, *height]),
            Images::Files(files) => files.parts[0].size(files.path(index)),
        }
    }

    /// The name of an image: its (first) file, or its number.
    pub fn name(&self, index: usize) -> String {
        match self {
            Images::Memory { .. } => index.to_string(),
            Images::Files(files) => {
                let path = files.path(index);
                path.strip_prefix(&files.root).unwrap_or(path).display().to_string()
            }
        }
    }
}

impl Files {
    /// How many images.
    pub fn len(&self) -> usize {
        self.paths.len() / self.parts.len().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The first file of an image.
    pub fn path(&self, index: usize) -> &Path {
        &self.paths[index * self.parts.len()]
    }

    /// The files of an image, with how they are decoded.
    pub fn of(&self, index: usize) -> impl Iterator<Item = (&Path, &Decode)> {
        let first = index * self.parts.len();
        self.paths[first..first + self.parts.len()].iter().map(PathBuf::as_path).zip(&self.parts)
    }

    /// Keeps the images at `indices` only. What was cached is forgotten.
    pub fn select(&mut self, indices: &[usize]) {
        let parts = self.parts.len();
        let paths = indices.iter().flat_map(|&i| &self.paths[i * parts..(i + 1) * parts]);
        self.paths = paths.cloned().collect();
        if let Kept::Memory(_) = self.kept {
            self.keep_in_memory();
        }
    }

    /// From now on decoded images stay in memory.
    pub fn keep_in_memory(&mut self) {
        self.kept = Kept::Memory((0..self.len()).map(|_| OnceLock::new()).collect());
    }

    fn get(&self, index: usize) -> Result<Picture> {
        match &self.kept {
            Kept::Nothing => self.decode(index),
            Kept::Disk(cache) => cache.get(index),
            Kept::Memory(kept) => {
                if let Some(picture) = kept[index].get() {
                    return Ok(picture.clone());
                }
                let picture = self.decode(index)?;
                Ok(kept[index].get_or_init(|| picture).clone())
            }
        }
    }

    /// Decodes an image.
    ///
    /// # Errors
    /// When one of its files cannot be read, or files of different sizes are to be stacked.
    pub fn decode(&self, index: usize) -> Result<Picture> {
        let picture = match self.parts.as_slice() {
            [only] => only.picture(self.path(index))?,
            _ => {
                let mut pictures = Vec::with_capacity(self.parts.len());
                for (path, decode) in self.of(index) {
                    pictures.push((path, decode.picture(path)?));
                }
                stack(pictures)?
            }
        };
        match &self.bands {
            Some(bands) => choose(picture, bands).map_err(|error| error.context(self.path(index).display())),
            None => Ok(picture),
        }
    }
}

/// Puts the channels of pictures of one size together. All bytes stay bytes; otherwise bytes count as 0…1.
fn stack(pictures: Vec<(&Path, Picture)>) -> Result<Picture> {
    let Some((first, one)) = pictures.first() else { return Err(Error::failed("no files are given to stack")) };
    let (_, height, width) = one.size();
    for (path, picture) in &pictures {
        let (_, h, w) = picture.size();
        if (h, w) != (height, width) {
            let message = format!("{} is {w}x{h} and {} is {width}x{height} pixels", path.display(), first.display());
            return Err(Error::failed(message).help("files that are stacked into one image need one size"));
        }
    }
    let bytes: Option<Vec<&Image>> = pictures
        .iter()
        .map(|(_, picture)| if let Picture::Bytes(image) = picture { Some(image) } else { None })
        .collect();
    if let Some(images) = bytes {
        let channels = images.iter().map(|image| image.channels).sum();
        let mut data = Vec::with_capacity(width * height * channels);
        for pixel in 0..width * height {
            for image in &images {
                data.extend_from_slice(&image.data[pixel * image.channels..(pixel + 1) * image.channels]);
            }
        }
        return Ok(Picture::Bytes(Image::new(width, height, channels, data)?));
    }
    let mut data = Vec::new();
    let mut channels = 0;
    for (_, picture) in pictures {
        let planes = floats(picture);
        channels += planes.channels;
        data.extend(planes.data);
    }
    Ok(Picture::Floats(Planes { width, height, channels, data }))
}

/// Floats of a decoded picture; bytes count as 0…1.
fn floats(picture: Picture) -> Planes {
    let scale = if matches!(picture, Picture::Bytes(_)) { 255.0 } else { 1.0 };
    let (channels, height, width) = picture.size();
    let mut data = vec![0.0; channels * height * width];
    picture.write_floats(&mut data);
    data.iter_mut().for_each(|value| *value /= scale);
    Planes { width, height, channels, data }
}

/// The channels in another order, or some of them.
fn choose(picture: Picture, bands: &[usize]) -> Result<Picture> {
    let (channels, height, width) = picture.size();
    if let Some(band) = bands.iter().find(|&&band| band >= channels) {
        let message = format!("`bands` names channel {band}, and there are {channels}, numbered from 0");
        return Err(Error::failed(message));
    }
    Ok(match picture {
        Picture::Bytes(image) => {
            let pixels = image.data.chunks_exact(channels);
            let data = pixels.flat_map(|pixel| bands.iter().map(|&band| pixel[band])).collect();
            Picture::Bytes(Image::new(width, height, bands.len(), data)?)
        }
        other => {
            let planes = floats(other);
            let plane = width * height;
            let data = bands.iter().flat_map(|&band| &planes.data[band * plane..(band + 1) * plane]).copied().collect();
            Picture::Floats(Planes { width, height, channels: bands.len(), data })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacked_channels() {
        let rgb = Picture::Bytes(Image::new(1, 2, 3, vec![1, 2, 3, 4, 5, 6]).unwrap());
        let nir = Picture::Bytes(Image::new(1, 2, 1, vec![7, 8]).unwrap());
        let (a, b) = (Path::new("rgb.jpg"), Path::new("nir.jpg"));
        let Picture::Bytes(image) = stack(vec![(a, rgb.clone()), (b, nir)]).unwrap() else { panic!("floats") };
        assert_eq!((image.channels, image.data.clone()), (4, vec![1, 2, 3, 7, 4, 5, 6, 8]));
        let Picture::Bytes(chosen) = choose(Picture::Bytes(image), &[3, 0]).unwrap() else { panic!("floats") };
        assert_eq!(chosen.data, [7, 1, 8, 4]);
        let wide = Picture::Bytes(Image::new(2, 1, 1, vec![7, 8]).unwrap());
        let error = stack(vec![(a, rgb), (b, wide)]).unwrap_err().to_string();
        assert!(error.starts_with("nir.jpg is 2x1 and rgb.jpg is 1x2 pixels"), "{error}");
    }
}
