//! The inputs of a batch in the making: each picture is written straight into its place, by any thread.

use std::sync::OnceLock;

use tch::{Kind, Tensor};

use crate::data::image::Picture;
use crate::error::{Error, Result};
use crate::native::slots::Slots;

/// Places for the pictures of a batch. All have the form of the first one that is done.
pub struct Sheet {
    count: usize,
    buffer: OnceLock<(Form, Values)>,
    /// What came of each picture: its form, or the error.
    done: Vec<OnceLock<Result<Form, Error>>>,
}

/// What pictures of one batch have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    shape: Vec<i64>,
    is_bytes: bool,
}

enum Values {
    Bytes(Slots<u8>),
    Floats(Slots<f32>),
}

impl Form {
    fn of(picture: &Picture) -> Self {
        Form { shape: picture.shape(), is_bytes: picture.kind() == Kind::Uint8 }
    }

    fn describe(&self) -> String {
        format!("{} of shape {:?}", if self.is_bytes { "bytes" } else { "floats" }, self.shape)
    }
}

impl Sheet {
    /// Room for so many pictures, which is taken when the first one is there.
    pub fn new(count: usize) -> Self {
        Sheet { count, buffer: OnceLock::new(), done: (0..count).map(|_| OnceLock::new()).collect() }
    }

    /// Writes a picture into its place, or notes why there is none.
    pub fn put(&self, place: usize, picture: Result<Picture>) {
        let outcome = picture.map(|picture| {
            let form = Form::of(&picture);
            let (common, values) = self.buffer.get_or_init(|| {
                let size = form.shape.iter().product::<i64>() as usize;
                let values = if form.is_bytes {
                    Values::Bytes(Slots::new(self.count, size))
                } else {
                    Values::Floats(Slots::new(self.count, size))
                };
                (form.clone(), values)
            });
            // Another form is an error that is said at the end, in the order of the samples.
            if *common == form {
                match values {
                    Values::Bytes(slots) => slots.write(place, |out| picture.write_bytes(out)),
                    Values::Floats(slots) => slots.write(place, |out| picture.write_floats(out)),
                };
            }
            form
        });
        if let Some(cell) = self.done.get(place) {
            let _ = cell.set(outcome);
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = (usize, &Result<Form, Error>)> {
        self.done.iter().enumerate().filter_map(|(place, cell)| Some((place, cell.get()?)))
    }

    /// The places without a picture, with the reasons.
    pub fn failed(&self) -> impl Iterator<Item = (usize, String)> {
        self.outcomes().filter_map(|(place, outcome)| Some((place, outcome.as_ref().err()?.to_string())))
    }

    /// All pictures as one tensor; those that failed are left out where `lenient`. `None` when there is none.
    ///
    /// # Errors
    /// The first error, and forms that differ; `name` names a picture.
    pub fn tensor(mut self, lenient: bool, name: impl Fn(usize) -> String) -> Result<Option<Tensor>> {
        let mut first: Option<(usize, Form)> = None;
        let mut kept = Vec::with_capacity(self.count);
        for (place, cell) in self.done.iter_mut().enumerate() {
            let form = match cell.take() {
                Some(Ok(form)) => form,
                Some(Err(_)) if lenient => continue,
                Some(Err(error)) => return Err(error),
                None => return Err(Error::failed("a picture of a batch was not made")),
            };
            let (one, common) = first.get_or_insert_with(|| (place, form.clone()));
            if *common != form {
                let (a, b) = (name(*one), name(place));
                let (is, other) = (common.describe(), form.describe());
                return Err(Error::failed(format!("image {a} is {is} after the transforms and {b} is {other}"))
                    .help("end with one size, for instance with Resize and CenterCrop"));
            }
            kept.push(place);
        }
        let (Some((form, values)), Some(_)) = (self.buffer.into_inner(), first) else { return Ok(None) };
        let mut shape = vec![kept.len() as i64];
        shape.extend(&form.shape);
        Ok(Some(match values {
            Values::Bytes(slots) => slots.tensor(&kept, &shape)?,
            Values::Floats(slots) => slots.tensor(&kept, &shape)?,
        }))
    }
}
